//! Both ends show certificates of one authority:
//! `mutual_x509 server.pem server.key device.pem device.key ca.pem`. `lockgate keygen` makes such files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lockgate_tokio::dtls::certificate::ClientAuth;
use lockgate_tokio::{ClientOptions, Credentials, Listener, Options, StaticKeys, connect};

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn listen(
    address: &str,
    (certificate, key): &(PathBuf, PathBuf),
    ca: &Path,
) -> Result<Listener, Failure> {
    let credentials = Credentials::new()
        .with_x509_files(certificate, key)?
        .trusting_file(ca)?;
    let mut options = Options::new(StaticKeys::new()).credentials(credentials);
    options.endpoint.config.psk = false;
    options.endpoint.config.client_auth = ClientAuth::Required;
    Ok(Listener::bind(&[address.parse()?], options)?)
}

pub(crate) async fn serve(mut listener: Listener) -> Result<(), lockgate_tokio::Error> {
    loop {
        let mut connection = listener.accept_connection().await?;
        println!("{:?} is here", connection.peer_name());
        tokio::spawn(async move {
            while let Ok(datagram) = connection.recv_bytes().await {
                if connection.send_bytes(datagram).await.is_err() {
                    break;
                }
            }
        });
    }
}

pub(crate) async fn ask(
    server: SocketAddr,
    name: &str,
    (certificate, key): &(PathBuf, PathBuf),
    ca: &Path,
    text: &str,
) -> Result<String, Failure> {
    let credentials = Credentials::new()
        .with_x509_files(certificate, key)?
        .trusting_file(ca)?;
    // The server's certificate has to be for this name.
    let options = ClientOptions::with_credentials(credentials, name);
    let mut connection = connect(server, options).await?;
    connection.send(text.as_bytes()).await?;
    let answer = connection.recv_bytes().await?;
    connection.close().await;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    let [server, server_key, device, device_key, ca] = arguments.as_slice() else {
        println!("usage: mutual_x509 SERVER.PEM SERVER.KEY DEVICE.PEM DEVICE.KEY CA.PEM");
        return Ok(());
    };
    let server = (server.clone(), server_key.clone());
    let listener = listen("127.0.0.1:0", &server, ca)?;
    let address = listener.local_addrs()[0];
    tokio::spawn(serve(listener));
    let device = (device.clone(), device_key.clone());
    println!("{}", ask(address, "localhost", &device, ca, "hello").await?);
    Ok(())
}
