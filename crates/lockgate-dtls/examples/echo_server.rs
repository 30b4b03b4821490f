//! The engine on a plain `std` socket: a DTLS echo server in one loop.
//!
//! ```text
//! cargo run -p lockgate-dtls --example echo_server -- 127.0.0.1:5684
//! openssl s_client -dtls1_2 -connect 127.0.0.1:5684 -psk_identity Client_identity -psk 73656372657450534b
//! ```

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::{Datagram, Endpoint, EndpointConfig, Event, Instant, Received, UdpPath};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:5684".into());
    let socket = UdpSocket::bind(address.parse::<SocketAddr>()?)?;
    println!("listening on {}", socket.local_addr()?);
    let start = std::time::Instant::now();
    let now = || Instant::from_micros(start.elapsed().as_micros() as u64);
    let mut endpoint: Endpoint<AwsLc> = Endpoint::new(AwsLc, now(), EndpointConfig::default())?;
    let mut buf = vec![0; 65_536];
    let mut out = vec![0; 65_536];
    loop {
        let wait = endpoint
            .poll_timeout()
            .map(|at| at.saturating_since(now()).max(Duration::from_millis(1)));
        socket.set_read_timeout(wait)?;
        if let Ok((len, from)) = socket.recv_from(&mut buf) {
            let mut datagram = Datagram::new(&mut buf[..len]);
            while let Some(received) = endpoint.handle(now(), UdpPath::from(from), &mut datagram) {
                match received {
                    Received::Application {
                        connection,
                        payload,
                    } => {
                        let payload = &datagram.bytes()[payload];
                        println!("{from}: {}", payload.escape_ascii());
                        if let Ok((record, path)) = endpoint.send(connection, payload, &mut out) {
                            socket.send_to(&out[record], path.remote())?;
                        }
                    }
                    Received::Reply(range) => {
                        socket.send_to(&datagram.bytes()[range], from)?;
                    }
                    Received::Dropped { reason, .. } => println!("{from}: dropped: {reason}"),
                    Received::Progress(_) | Received::Kept => {}
                }
            }
        }
        endpoint.handle_timeout(now());
        while let Some((handle, event)) = endpoint.poll_event() {
            println!("{handle:?}: {event:?}");
            if matches!(event, Event::PskRequested) {
                // Here a server would look the identity up, and answer whenever it has the key.
                endpoint.provide_psk(now(), handle, b"secretPSK")?;
            }
        }
        while let Some(transmit) = endpoint.poll_transmit(now(), &mut out) {
            socket.send_to(&out[..transmit.len], transmit.path.remote())?;
        }
    }
}
