//! A client changes its port, as a NAT does to it, and keeps its connection: both ends in one program.

use lockgate_tokio::{Connector, ConnectorOptions, Error, Listener, Options, Peer, StaticKeys};

pub(crate) async fn story() -> Result<(), Error> {
    let keys = StaticKeys::new().with(b"sensor", b"secretPSK")?;
    let mut listener = Listener::bind(&[([127, 0, 0, 1], 0).into()], Options::new(keys))?;
    let server = listener.local_addrs()[0];

    let mut connector = Connector::new(ConnectorOptions {
        bind: ([127, 0, 0, 1], 0).into(),
        ..ConnectorOptions::default()
    })?;
    let (sensor, gateway) = tokio::join!(
        connector.connect(Peer::new(server, b"sensor", b"secretPSK")?),
        listener.accept_connection(),
    );
    let (mut sensor, mut gateway) = (sensor?, gateway?);

    for reading in ["21.5 C", "21.6 C", "21.4 C"] {
        let from = connector.rebind().await?;
        sensor.send(reading.as_bytes()).await?;
        let datagram = gateway.recv_bytes().await?;
        println!(
            "from {from}: {}, the same connection as ever",
            String::from_utf8_lossy(&datagram)
        );
        // Answers go to where the newest datagram came from.
        assert_eq!(gateway.remote_addr(), from);
        gateway.send(b"noted").await?;
        assert_eq!(sensor.recv_bytes().await?, "noted");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    story().await
}
