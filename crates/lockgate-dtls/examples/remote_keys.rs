//! Keys that are not where the sessions are: a server whose private key and pre-shared keys lie with somebody else: here a
//! thread, elsewhere a hardware module or another machine.
//!
//! The engine asks by events and goes on when it is answered, so a slow holder delays one handshake and nothing else: the
//! server below serves both its clients while each of their questions is out.
//!
//! ```text
//! cargo run -p lockgate-dtls --example remote_keys
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::certificate::{CertificateType, CertificateTypes};
use lockgate_dtls::crypto::{KeyType, SignatureScheme, SigningKey};
use lockgate_dtls::{
    Config, ConnectionHandle, Credential, Datagram, Endpoint, EndpointConfig, Event, Instant,
    Received, UdpPath,
};

type Failure = Box<dyn Error>;

/// What the server asks the holder of the keys.
enum Question {
    Sign(ConnectionHandle, SignatureScheme, Vec<u8>),
    Psk(ConnectionHandle, Vec<u8>),
}

/// What comes back, some time later.
enum Answer {
    Signature(ConnectionHandle, Vec<u8>),
    Psk(ConnectionHandle, Option<Vec<u8>>),
}

/// The holder: it alone ever sees a key.
fn hold_keys(key: &PrivateKey, questions: &Receiver<Question>, answers: &Sender<Answer>) {
    while let Ok(question) = questions.recv() {
        thread::sleep(Duration::from_millis(50));
        let answer = match question {
            Question::Sign(connection, scheme, message) => {
                let mut signature = [0; 128];
                let signed = key.sign(scheme, &message, &mut signature);
                let len = signed.unwrap_or(0);
                Answer::Signature(connection, signature[..len].to_vec())
            }
            Question::Psk(connection, identity) => {
                let known = identity == b"Client_identity";
                Answer::Psk(connection, known.then(|| b"secretPSK".to_vec()))
            }
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

#[allow(
    clippy::too_many_lines,
    reason = "one loop, told from its start to its end"
)]
fn main() -> Result<(), Failure> {
    let key = PrivateKey::generate(KeyType::EcdsaP256)?;
    let public = key.public_key_info().to_vec();
    let (ask, questions) = channel();
    let (reply, answers) = channel();
    let holder = thread::spawn(move || hold_keys(&key, &questions, &reply));

    let raw = CertificateTypes::new(&[CertificateType::RawPublicKey]);
    let server = Config {
        own_certificate_types: raw,
        ..Config::default()
    };
    let by_certificate = Config {
        psk: false,
        peer_certificate_types: raw,
        ..Config::default()
    };
    let now = Instant::default();
    let end = |config, server| {
        let options = EndpointConfig {
            config,
            server,
            ..EndpointConfig::default()
        };
        Endpoint::<AwsLc>::new(AwsLc, now, options)
    };
    let mut server = end(server, true)?;
    let mut clients = [
        ("raw public key", end(by_certificate, false)?, 1),
        ("pre-shared key", end(Config::default(), false)?, 2),
    ];
    let address = |host| UdpPath::from(SocketAddr::from(([10, 0, 0, host], 5684)));
    for (_, client, _) in &mut clients {
        client.connect(now, address(9), b"")?;
    }

    let (mut connected, mut open) = (0, 0);
    let mut buf = [0; 2048];
    while connected < clients.len() {
        // The link between them loses nothing.
        let mut to_server = VecDeque::new();
        for (name, client, host) in &mut clients {
            while let Some((handle, event)) = client.poll_event() {
                match event {
                    Event::PskRequested => {
                        client.provide_identity(now, handle, b"Client_identity", b"secretPSK")?;
                    }
                    Event::PeerCertificate => {
                        let peer = client.peer_certificate(handle).ok_or("it was shown")?;
                        assert_eq!(peer.public_key_info().ok(), Some(public.as_slice()));
                        client.accept_peer(now, handle, b"the server")?;
                    }
                    Event::Connected => {
                        println!("{name}: connected");
                        connected += 1;
                    }
                    Event::Closed(reason) => return Err(Box::new(reason)),
                    _ => {}
                }
            }
            while let Some(transmit) = client.poll_transmit(now, &mut buf) {
                to_server.push_back((*host, buf[..transmit.len].to_vec()));
            }
        }
        let mut to_clients: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        for (host, mut bytes) in to_server {
            let mut datagram = Datagram::new(&mut bytes);
            while let Some(received) = server.handle(now, address(host), &mut datagram) {
                if let Received::Reply(range) = received {
                    let reply = datagram.bytes()[range].to_vec();
                    to_clients.push((address(host).remote(), reply));
                }
            }
        }
        while let Some((handle, event)) = server.poll_event() {
            match event {
                Event::CredentialRequested => {
                    let chain = [public.as_slice()];
                    let credential = Credential {
                        certificate_type: CertificateType::RawPublicKey,
                        chain: &chain,
                        key_type: KeyType::EcdsaP256,
                        scheme: SignatureScheme::ECDSA_SECP256R1_SHA256,
                        authorities: &[],
                    };
                    // A client that knows no raw public keys gets on with its pre-shared one.
                    if server.provide_credential(now, handle, &credential).is_err() {
                        server.decline_credential(now, handle)?;
                    }
                }
                Event::SignatureRequested => {
                    let request = server.signature_request(handle).ok_or("it was asked")?;
                    println!("asking for a signature with {}", request.scheme);
                    ask.send(Question::Sign(
                        handle,
                        request.scheme,
                        request.message.to_vec(),
                    ))?;
                    open += 1;
                }
                Event::PskRequested => {
                    let identity = server.psk_identity(handle).ok_or("it was asked")?;
                    println!("asking for the key of {}", identity.escape_ascii());
                    ask.send(Question::Psk(handle, identity.to_vec()))?;
                    open += 1;
                }
                _ => {}
            }
        }
        if open > 0
            && let Ok(answer) = answers.recv_timeout(Duration::from_millis(10))
        {
            open -= 1;
            match answer {
                Answer::Signature(handle, signature) => {
                    server.provide_signature(now, handle, &signature)?;
                }
                Answer::Psk(handle, Some(psk)) => server.provide_psk(now, handle, &psk)?,
                Answer::Psk(handle, None) => server.refuse_psk(now, handle)?,
            }
        }
        while let Some(transmit) = server.poll_transmit(now, &mut buf) {
            to_clients.push((transmit.path.remote(), buf[..transmit.len].to_vec()));
        }
        for (to, mut bytes) in to_clients {
            for (_, client, host) in &mut clients {
                if address(*host).remote() == to {
                    let mut datagram = Datagram::new(&mut bytes);
                    while client.handle(now, address(9), &mut datagram).is_some() {}
                }
            }
        }
    }
    drop(ask);
    holder.join().map_err(|_| "the holder of the keys failed")?;
    println!("both are in, and the server never saw a key");
    Ok(())
}
