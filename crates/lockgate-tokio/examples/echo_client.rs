//! Says something and prints what comes back: `echo_client 127.0.0.1:5684 hello`.

use std::net::SocketAddr;
use std::time::Duration;

use lockgate_tokio::{ClientOptions, Error, connect};

pub(crate) async fn ask(server: SocketAddr, text: &str) -> Result<String, Error> {
    let mut options = ClientOptions::new(b"Client_identity", b"secretPSK");
    options.config.handshake_timeout = Duration::from_secs(10);
    let mut connection = connect(server, options).await?;
    connection.send(text.as_bytes()).await?;
    let mut answer = [0; 2048];
    // A datagram may get lost, on its way or on its way back.
    let answered = tokio::time::timeout(Duration::from_secs(5), connection.recv(&mut answer));
    let len = answered.await.map_err(|_| Error::TimedOut)??;
    connection.close().await;
    Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), Some(text)) = (arguments.next(), arguments.next()) else {
        println!("usage: echo_client ADDRESS:PORT TEXT");
        return Ok(());
    };
    println!("{}", ask(server.parse()?, &text).await?);
    Ok(())
}
