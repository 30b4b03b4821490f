//! Certificates, raw public keys, resumption and application protocols, over loopback.

mod support;

use std::net::SocketAddr;

use lockgate_aws_lc::PrivateKey;
use lockgate_tokio::dtls::certificate::{CertificateError, CertificateType, ClientAuth};
use lockgate_tokio::dtls::config::ProtocolList;
use lockgate_tokio::dtls::crypto::{KeyType, SigningKey as _};
use lockgate_tokio::dtls::wire::AlertDescription;
use lockgate_tokio::dtls::{CloseReason, HandshakeError, Session};
use lockgate_tokio::webpki::{CredentialStore, KeyHash, Verifier, algorithms};
use lockgate_tokio::{
    Client, ClientOptions, Connection, Credentials, Error, Listener, Options, StaticKeys, blocking,
    connect,
};
use support::papers::Authority;
use support::{client_echo, echo, in_time, listen, send_back};

fn server(credentials: Credentials, client_auth: ClientAuth) -> Options {
    let mut options = Options::new(StaticKeys::new()).credentials(credentials);
    options.endpoint.config.psk = false;
    options.endpoint.config.client_auth = client_auth;
    options
}

fn one(authority: &Authority, name: &str) -> Credentials {
    let mut store = CredentialStore::new();
    store.add(authority.credential(name));
    Credentials::new().with_store(store)
}

async fn pair(
    listener: &mut Listener,
    address: SocketAddr,
    options: ClientOptions,
) -> (Result<Connection, Error>, Result<Connection, Error>) {
    let accepted = async {
        match tokio::time::timeout(std::time::Duration::from_secs(3), listener.accept()).await {
            Ok(incoming) => incoming.unwrap().accept().await,
            Err(_) => Err(Error::TimedOut),
        }
    };
    in_time(async { tokio::join!(Box::pin(connect(address, options)), Box::pin(accepted)) }).await
}

#[tokio::test]
async fn a_server_shows_a_certificate_to_every_kind_of_client() {
    let authority = Authority::new("CA");
    let (mut listener, address) = listen(server(one(&authority, "lock.example"), ClientAuth::None));
    let options = ClientOptions::with_credentials(
        Credentials::new().trusting(authority.verifier()),
        "lock.example",
    );
    let (client, accepted) = pair(&mut listener, address, options.clone()).await;
    let (mut client, accepted) = (client.unwrap(), accepted.unwrap());
    let shown = client.peer_certificate().unwrap();
    assert!(shown.verified);
    assert_eq!(shown.identity.common_name.as_deref(), Some("lock.example"));
    assert_eq!(client.peer_name(), Some("lock.example"));
    assert_eq!(client.info().peer_key_hash, Some(shown.identity.key_hash.0));
    assert_eq!(accepted.server_name(), b"lock.example");
    assert!(accepted.peer_certificate().is_none() && accepted.identity().is_empty());
    tokio::spawn(send_back(accepted));
    echo(&mut client, b"hello").await;

    tokio::spawn(support::serve_echo(listener));
    let mut alone = in_time(Box::pin(Client::connect(address, options.clone())))
        .await
        .unwrap();
    client_echo(&mut alone, b"alone").await;
    assert!(alone.peer_certificate().unwrap().verified);
    let blocking = tokio::task::spawn_blocking(move || {
        let mut client = blocking::Client::connect(address, options).unwrap();
        client.send(b"blocking").unwrap();
        let mut answer = [0; 16];
        let len = client.recv(&mut answer, Some(support::PATIENCE)).unwrap();
        (answer[..len].to_vec(), client.peer_certificate().is_some())
    });
    assert_eq!(blocking.await.unwrap(), (b"blocking".to_vec(), true));
}

#[tokio::test]
async fn whom_the_client_does_not_know_it_refuses() {
    let (authority, other) = (Authority::new("CA"), Authority::new("CA"));
    let (_listener, address) = listen(server(one(&authority, "lock.example"), ClientAuth::None));
    let attempt = async |trusted: &Authority, name: &str| {
        let trust = Credentials::new().trusting(trusted.verifier());
        let options = ClientOptions::with_credentials(trust, name);
        let failed = in_time(Box::pin(Client::connect(address, options.clone()))).await;
        let failed = failed.err().unwrap();
        let hub = in_time(Box::pin(connect(address, options)))
            .await
            .unwrap_err();
        assert_eq!(failed.to_string(), hub.to_string());
        match hub {
            Error::Handshake(HandshakeError::Certificate(error)) => error,
            other => panic!("{other}"),
        }
    };
    let wrong = attempt(&other, "lock.example").await;
    assert!(
        matches!(
            wrong,
            CertificateError::UnknownIssuer | CertificateError::BadSignature
        ),
        "{wrong}"
    );
    assert_eq!(
        attempt(&authority, "other.example").await,
        CertificateError::WrongName
    );
    // Only who asks for it by name gets in.
    let options =
        ClientOptions::with_credentials(Credentials::new().trusting_anybody_insecurely(), "x");
    let client = in_time(Box::pin(Client::connect(address, options)))
        .await
        .unwrap();
    assert!(!client.peer_certificate().unwrap().verified);
}

#[tokio::test]
async fn both_show_certificates() {
    let (authority, other) = (Authority::new("CA"), Authority::new("Other"));
    let credentials = one(&authority, "lock.example").trusting(authority.verifier());
    let (mut listener, address) = listen(server(credentials, ClientAuth::Required));
    let trust = |own: Credentials| {
        let own = own.trusting(authority.verifier());
        ClientOptions::with_credentials(own, "lock.example")
    };
    let (client, accepted) = pair(&mut listener, address, trust(one(&authority, "device-1"))).await;
    let (mut client, accepted) = (client.unwrap(), accepted.unwrap());
    assert_eq!(accepted.peer_name(), Some("device-1"));
    assert!(accepted.peer_certificate().unwrap().verified);
    tokio::spawn(send_back(accepted));
    echo(&mut client, b"hello").await;

    let (nothing, _) = pair(&mut listener, address, trust(Credentials::new())).await;
    assert!(
        matches!(nothing, Err(Error::CertificateWanted(_))),
        "{nothing:?}"
    );
    let (stranger, _) = pair(&mut listener, address, trust(one(&other, "device-1"))).await;
    // Its issuer is not among those that the server lists, or the server refuses it.
    assert!(
        matches!(
            stranger,
            Err(
                Error::Handshake(HandshakeError::PeerAlert(AlertDescription::UNKNOWN_CA))
                    | Error::CertificateWanted(_)
            )
        ),
        "{stranger:?}"
    );
}

#[tokio::test]
async fn who_shows_a_certificate_can_be_sent_away() {
    let authority = Authority::new("CA");
    let credentials = one(&authority, "lock.example").trusting(authority.verifier());
    let (mut listener, address) = listen(server(credentials, ClientAuth::Required));
    let own = one(&authority, "device-1").trusting(authority.verifier());
    let connecting = tokio::spawn(Box::pin(connect(
        address,
        ClientOptions::with_credentials(own, "lock.example"),
    )));
    let incoming = in_time(listener.accept()).await.unwrap();
    let shown = incoming.peer_certificate().unwrap();
    assert_eq!(shown.identity.common_name.as_deref(), Some("device-1"));
    incoming.refuse();
    let refused = in_time(connecting).await.unwrap();
    assert!(
        matches!(
            refused,
            Err(Error::Handshake(HandshakeError::PeerAlert(
                AlertDescription::USER_CANCELED
            )))
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn who_shows_nothing_is_offered_when_all_else_is_done() {
    let authority = Authority::new("CA");
    for per_peer in [false, true] {
        let options = server(one(&authority, "lock.example"), ClientAuth::None);
        let (mut listener, address) = listen(options.socket_per_peer(per_peer));
        let options = ClientOptions::with_credentials(
            Credentials::new().trusting(authority.verifier()),
            "lock.example",
        );
        let mut refused = in_time(Box::pin(connect(address, options.clone())))
            .await
            .unwrap();
        in_time(listener.accept()).await.unwrap().refuse();
        let end = in_time(refused.recv_bytes()).await.unwrap_err();
        assert!(
            matches!(end, Error::Closed(CloseReason::PeerClosed)),
            "{end}"
        );

        let _forgotten = in_time(Box::pin(connect(address, options.clone())))
            .await
            .unwrap();
        in_time(listener.accept()).await.unwrap().retry();
        let statistics = in_time(listener.statistics()).await;
        assert_eq!((statistics.connections, statistics.peer_sockets), (0, 0));

        // What it says before it is accepted is not lost.
        let mut early = in_time(Box::pin(connect(address, options))).await.unwrap();
        in_time(early.send(b"early")).await.unwrap();
        let incoming = in_time(listener.accept()).await.unwrap();
        let mut accepted = in_time(incoming.accept()).await.unwrap();
        assert_eq!(in_time(accepted.recv_bytes()).await.unwrap(), &b"early"[..]);
    }
}

#[tokio::test]
async fn raw_public_keys_both_ways() {
    let keys = [(); 2].map(|()| PrivateKey::generate(KeyType::EcdsaP256).unwrap());
    let [ours, theirs] = keys;
    let known = |key: &PrivateKey| {
        let builder = Verifier::builder(algorithms::AWS_LC);
        builder.key(KeyHash::of(key.public_key_info())).build()
    };
    let (server_trust, client_trust) = (known(&theirs), known(&ours));
    let hash = KeyHash::of(theirs.public_key_info());
    let credentials = Credentials::new()
        .with_raw_public_key(ours)
        .trusting(server_trust);
    let (mut listener, address) = listen(server(credentials, ClientAuth::Required));
    let own = Credentials::new()
        .with_raw_public_key(theirs)
        .trusting(client_trust);
    let options = ClientOptions::with_credentials(own, "");
    let (client, accepted) = pair(&mut listener, address, options).await;
    let (mut client, accepted) = (client.unwrap(), accepted.unwrap());
    let shown = accepted.peer_certificate().unwrap();
    assert_eq!(shown.certificate_type, CertificateType::RawPublicKey);
    assert_eq!(shown.identity.key_hash, hash);
    assert_eq!(accepted.info().peer_key_hash, Some(hash.0));
    tokio::spawn(send_back(accepted));
    echo(&mut client, b"hello").await;
}

#[tokio::test]
async fn sessions_go_on_by_ticket_and_by_id() {
    let authority = Authority::new("CA");
    for tickets in [true, false] {
        let credentials = one(&authority, "lock.example").trusting(authority.verifier());
        let mut options = server(credentials, ClientAuth::Required).resumption(16);
        options.endpoint.config.tickets = tickets;
        let (mut listener, address) = listen(options);
        let own = one(&authority, "device-1").trusting(authority.verifier());
        let mut options = ClientOptions::with_credentials(own, "lock.example");
        options.config.resumption = true;
        let (client, accepted) = pair(&mut listener, address, options.clone()).await;
        let client = client.unwrap();
        assert!(!client.info().resumed);
        let session = client.session().expect("one to keep").clone();
        assert_eq!(session.has_ticket(), tickets);
        drop((client, accepted));

        options.session = Some(session.clone());
        let (client, accepted) = pair(&mut listener, address, options.clone()).await;
        let (mut client, accepted) = (client.unwrap(), accepted.unwrap());
        assert!(client.info().resumed && accepted.info().resumed);
        assert_eq!(accepted.peer_name(), Some("device-1"));
        assert!(accepted.peer_certificate().is_none());
        tokio::spawn(send_back(accepted));
        echo(&mut client, b"hello").await;

        // It was verified for that name, and for no other.
        let mut elsewhere = options.clone();
        elsewhere.certificate_name = Some("other.example".into());
        let (client, _) = pair(&mut listener, address, elsewhere).await;
        assert!(
            matches!(
                client,
                Err(Error::Handshake(HandshakeError::Certificate(
                    CertificateError::WrongName
                )))
            ),
            "{client:?}"
        );
    }
}

#[tokio::test]
async fn a_key_that_is_gone_ends_its_sessions() {
    let known = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let knows = std::sync::Arc::clone(&known);
    let keys = move |_: lockgate_tokio::KeyRequest| {
        let known = knows.load(std::sync::atomic::Ordering::Relaxed);
        async move {
            let key = known.then(|| lockgate_tokio::Psk::new(support::KEY).unwrap());
            lockgate_tokio::KeyAnswer::from(key)
        }
    };
    let mut options = Options::new(keys).resumption(16);
    options.endpoint.config.handshake_timeout = std::time::Duration::from_secs(2);
    let (mut listener, address) = listen(options);
    let mut options = support::options();
    options.config.resumption = true;
    let (client, _accepted) = pair(&mut listener, address, options.clone()).await;
    let session: Session = client.unwrap().session().unwrap().clone();
    options.session = Some(session);
    let (client, accepted) = pair(&mut listener, address, options.clone()).await;
    assert!(client.unwrap().info().resumed);
    assert_eq!(accepted.unwrap().identity(), support::IDENTITY);
    known.store(false, std::sync::atomic::Ordering::Relaxed);
    options.config.handshake_timeout = std::time::Duration::from_secs(2);
    let (client, accepted) = pair(&mut listener, address, options).await;
    assert!(client.is_err() && accepted.is_err());
}

#[tokio::test]
async fn an_application_protocol_is_agreed() {
    let authority = Authority::new("CA");
    let mut options = server(one(&authority, "lock.example"), ClientAuth::None);
    options.endpoint.config.protocols = ProtocolList::new(&[b"coap", b"x"]).unwrap();
    let (mut listener, address) = listen(options);
    let trust = Credentials::new().trusting(authority.verifier());
    let mut options = ClientOptions::with_credentials(trust, "lock.example");
    options.config.protocols = ProtocolList::new(&[b"y", b"coap"]).unwrap();
    let (client, accepted) = pair(&mut listener, address, options).await;
    assert_eq!(client.unwrap().protocol(), Some(&b"coap"[..]));
    assert_eq!(accepted.unwrap().protocol(), Some(&b"coap"[..]));
}
