//! A connection for code that knows byte streams, or streams of datagrams: both ends in one program.

use std::future::poll_fn;
use std::pin::Pin;

use lockgate_tokio::{
    Bytes, ClientOptions, Connection, Error, Listener, Options, StaticKeys, connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn pair() -> Result<(Connection, Connection), Error> {
    let keys = StaticKeys::new().with(b"me", b"secretPSK")?;
    let mut listener = Listener::bind(&[([127, 0, 0, 1], 0).into()], Options::new(keys))?;
    let options = ClientOptions::new(b"me", b"secretPSK");
    let connecting = connect(listener.local_addrs()[0], options);
    let (client, server) = tokio::join!(connecting, listener.accept_connection());
    Ok((client?, server?))
}

pub(crate) async fn bytes() -> Result<(), Error> {
    let (client, server) = pair().await?;
    let (mut client, mut server) = (client.into_stream(), server.into_stream());
    client.write_all(b"one, ").await?;
    client.write_all(b"two").await?;
    client.shutdown().await?;
    let mut all = String::new();
    server.read_to_string(&mut all).await?;
    assert_eq!(all, "one, two");
    Ok(())
}

/// With the crate `futures` this is `datagrams.send(…)` and `datagrams.next()`.
pub(crate) async fn datagrams() -> Result<(), Error> {
    use futures_core::Stream;
    use futures_sink::Sink;

    let (client, server) = pair().await?;
    let (mut client, mut server) = (client.into_datagrams(), server.into_datagrams());
    for text in ["one", "two"] {
        poll_fn(|cx| Pin::new(&mut client).poll_ready(cx)).await?;
        Pin::new(&mut client).start_send(Bytes::from(text))?;
    }
    poll_fn(|cx| Pin::new(&mut client).poll_close(cx)).await?;
    let mut came = Vec::new();
    while let Some(datagram) = poll_fn(|cx| Pin::new(&mut server).poll_next(cx)).await {
        came.push(datagram?);
    }
    assert_eq!(came, ["one", "two"]);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    bytes().await?;
    datagrams().await
}
