//! Keys from somewhere else, and a say in who is let in: both ends in one program.

use std::time::Duration;

use lockgate_tokio::{
    ChannelKeys, ClientOptions, Error, KeyAnswer, KeyFuture, KeyRequest, KeyStore, Listener,
    Options, Psk, connect,
};

/// Stands for a database or a service: it takes its time, and delays nobody but who asked.
struct SlowDirectory;

impl KeyStore for SlowDirectory {
    fn lookup(&self, request: KeyRequest) -> KeyFuture {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            match request.identity.strip_prefix(b"device-") {
                Some(number) => Psk::new(&[b"key of ", number].concat())
                    .map_or(KeyAnswer::Failed, KeyAnswer::Key),
                None => KeyAnswer::Unknown,
            }
        })
    }
}

pub(crate) async fn with_a_store() -> Result<(), Error> {
    let mut listener = Listener::bind(&[([127, 0, 0, 1], 0).into()], Options::new(SlowDirectory))?;
    let server = listener.local_addrs()[0];
    let device = tokio::spawn(connect(
        server,
        ClientOptions::new(b"device-7", b"key of 7"),
    ));

    let incoming = listener.accept().await?;
    println!(
        "{} claims to be {}",
        incoming.remote_addr(),
        incoming.identity().escape_ascii()
    );
    // Or incoming.refuse(), or incoming.retry().
    let connection = incoming.accept().await?;
    println!("and has proved it; {:?}", connection.cipher_suite());
    device.await.map_err(std::io::Error::other)??;
    Ok(())
}

pub(crate) async fn with_a_channel() -> Result<(), Error> {
    let (keys, mut questions) = ChannelKeys::new(16);
    tokio::spawn(async move {
        while let Some((request, answer)) = questions.recv().await {
            println!("who is {}?", request.identity.escape_ascii());
            let key = Psk::new(b"secretPSK").map_or(KeyAnswer::Failed, KeyAnswer::Key);
            // A peer that has gone meanwhile needs no answer.
            let _ = answer.send(key);
        }
    });
    let mut listener = Listener::bind(&[([127, 0, 0, 1], 0).into()], Options::new(keys))?;
    let server = listener.local_addrs()[0];
    let device = tokio::spawn(connect(server, ClientOptions::new(b"lamp", b"secretPSK")));
    let connection = listener.accept_connection().await?;
    println!("{} is in", connection.identity().escape_ascii());
    device.await.map_err(std::io::Error::other)??;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    with_a_store().await?;
    with_a_channel().await
}
