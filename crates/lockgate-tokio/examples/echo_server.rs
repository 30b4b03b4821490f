//! Sends back whatever comes: `echo_server 127.0.0.1:5684`. Knows `Client_identity` with the key `secretPSK`.

use std::convert::Infallible;

use lockgate_tokio::{Connection, Error, Listener, Options, StaticKeys};

pub(crate) async fn serve(mut listener: Listener) -> Result<(), Error> {
    loop {
        // Handshakes run beside each other and in the background.
        let connection = listener.accept_connection().await?;
        tokio::spawn(async move {
            let peer = connection.remote_addr();
            let Err(end) = echo(connection).await;
            println!("{peer}: {end}");
        });
    }
}

async fn echo(mut connection: Connection) -> Result<Infallible, Error> {
    loop {
        let datagram = connection.recv_bytes().await?;
        connection.send_bytes(datagram).await?;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(address) = std::env::args().nth(1) else {
        println!("usage: echo_server ADDRESS:PORT");
        return Ok(());
    };
    let keys = StaticKeys::new().with(b"Client_identity", b"secretPSK")?;
    let listener = Listener::bind(&[address.parse()?], Options::new(keys))?;
    println!("listening at {}", listener.local_addrs()[0]);
    Ok(serve(listener).await?)
}
