//! The same client as `echo_client`, with a socket that blocks: `without_a_runtime 127.0.0.1:5684 hello`.

use std::net::SocketAddr;
use std::time::Duration;

use lockgate_tokio::blocking::Client;
use lockgate_tokio::{ClientOptions, Error};

pub(crate) fn ask(server: SocketAddr, text: &str) -> Result<String, Error> {
    let options = ClientOptions::new(b"Client_identity", b"secretPSK");
    let mut client = Client::connect(server, options)?;
    client.send(text.as_bytes())?;
    let mut answer = [0; 2048];
    let len = client.recv(&mut answer, Some(Duration::from_secs(5)))?;
    client.close()?;
    Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), Some(text)) = (arguments.next(), arguments.next()) else {
        println!("usage: without_a_runtime ADDRESS:PORT TEXT");
        return Ok(());
    };
    println!("{}", ask(server.parse()?, &text)?);
    Ok(())
}
