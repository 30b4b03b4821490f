//! Our own servers under load: each shakes hands, sends back what comes, and lets its clients say goodbye.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use clap::{Args, ValueEnum};
use lockgate_dtls::crypto::NamedGroup;
use lockgate_dtls::{CipherSuite, ConnectionHandle, EndpointConfig, Event, Role};
use lockgate_tokio::{Credentials, Driver, Io, Listener, Options, Service, StaticKeys, bind};

use crate::loopback::{IDENTITY, KEY, proving_config};
use crate::papers::{Caller, Paper, Proof, verifier};

/// How such a server is made of `lockgate-tokio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Made {
    /// A service in a `Driver`: one task for all clients.
    Driver,
    /// A `Listener`, and a task for each client, as its example has it.
    Listener,
}

/// What such a server is told.
#[derive(Clone, Debug, Args)]
pub struct EchoOptions {
    /// How it is made
    made: Made,
    /// Where clients send
    bind: SocketAddr,
    /// A certificate (DER), instead of the bench's pre-shared key
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// The key to it (PEM)
    #[arg(long)]
    key: Option<PathBuf>,
    /// The authority (DER) that clients' certificates have to come from
    #[arg(long)]
    ca: Option<PathBuf>,
}

impl EchoOptions {
    fn config(&self) -> EndpointConfig {
        let (suite, proof) = match (&self.cert, &self.ca) {
            (None, _) => (CipherSuite::PSK_AES_128_CCM_8, Proof::Psk),
            (Some(_), None) => (CipherSuite::ECDHE_ECDSA_AES_128_GCM_SHA256, Proof::Server),
            (Some(_), Some(_)) => (CipherSuite::ECDHE_ECDSA_AES_128_GCM_SHA256, Proof::Mutual),
        };
        proving_config(true, suite, true, proof, NamedGroup::SECP256R1)
    }
}

/// Serves until the process is ended.
pub fn serve(options: &EchoOptions) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match options.made {
            Made::Driver => drive(options).await,
            Made::Listener => listen(options).await,
        }
    })
}

async fn drive(options: &EchoOptions) -> io::Result<()> {
    let paper = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => Some(Arc::new(Paper::load(cert, key)?)),
        _ => None,
    };
    let verifier = options.ca.as_ref().map(fs::read).transpose()?.map(verifier);
    let sockets = bind(&[options.bind]).map_err(|(_, error)| error)?;
    let echo = Echo(Caller::with(Role::Server, paper, verifier));
    let mut driver = Driver::new(sockets, options.config(), echo).map_err(io::Error::other)?;
    driver.run().await;
    Ok(())
}

/// Answers what the engine asks, and sends back what clients send.
struct Echo(Caller);

impl Service for Echo {
    fn on_application(&mut self, io: &mut Io, connection: ConnectionHandle, payload: &mut [u8]) {
        // A datagram that does not get out is lost, as datagrams are.
        let _ = io.send(connection, payload);
    }

    fn on_event(&mut self, io: &mut Io, connection: ConnectionHandle, event: Event) {
        if !matches!(event, Event::Closed(_)) {
            let now = io.now();
            self.0.answer(io.endpoint(), now, connection, event);
        }
    }
}

async fn listen(options: &EchoOptions) -> io::Result<()> {
    let mut credentials = Credentials::new();
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        credentials = credentials
            .with_x509_files(cert, key)
            .map_err(io::Error::other)?;
    }
    if let Some(ca) = &options.ca {
        credentials = credentials.trusting_file(ca).map_err(io::Error::other)?;
    }
    let keys = StaticKeys::new()
        .with(IDENTITY, KEY)
        .map_err(io::Error::other)?;
    let mut listening = Options::new(keys).credentials(credentials);
    listening.endpoint = options.config();
    let mut listener = Listener::bind(&[options.bind], listening).map_err(io::Error::other)?;
    loop {
        let accepted = listener.accept_connection().await;
        let mut connection = accepted.map_err(io::Error::other)?;
        tokio::spawn(async move {
            while let Ok(datagram) = connection.recv_bytes().await {
                if connection.send_bytes(datagram).await.is_err() {
                    break;
                }
            }
        });
    }
}
