//! Who is let in, and who is not.

use std::net::SocketAddr;
use std::time::Duration;

use lockgate_tokio::dtls::{CipherSuite, HandshakeError};
use lockgate_tokio::{ChannelKeys, ClientOptions, Error, KeyAnswer, KeyRequest, Options, Psk};
use tokio::net::UdpSocket;

use super::support::*;

pub(super) async fn what_is_offered_and_agreed_is_told(mode: Mode) {
    let (mut listener, address) = listen(mode.options());
    let connector = connector();
    let mut asking = peer(address);
    asking.server_name = b"lock.example".to_vec();
    let connecting = tokio::spawn(async move {
        let connection = connector.connect(asking).await.unwrap();
        (connector, connection)
    });
    let incoming = in_time(listener.accept()).await.unwrap();
    assert_eq!(incoming.identity(), IDENTITY);
    assert_eq!(incoming.server_name(), b"lock.example");
    assert_eq!(incoming.local_addr(), address);
    let remote = incoming.remote_addr();
    let server = in_time(incoming.accept()).await.unwrap();
    let (connector, client) = in_time(connecting).await.unwrap();
    assert_eq!(remote, connector.local_addr());
    assert_eq!(server.remote_addr(), remote);
    assert_eq!(client.remote_addr(), address);
    assert_eq!(server.identity(), IDENTITY);
    assert_eq!(server.server_name(), b"lock.example");
    assert_eq!(
        server.cipher_suite(),
        CipherSuite::ECDHE_PSK_AES_128_GCM_SHA256
    );
    assert_eq!(server.cipher_suite(), client.cipher_suite());
    assert_eq!(
        server.info().own_cid.as_slice(),
        client.info().peer_cid.as_slice()
    );
    assert_eq!(server.info().own_cid.len(), 8);
    assert!(server.max_payload() > 1200);
    // With or without a socket of its own, the peer sees the address that it asked.
    assert_eq!(server.peer_socket().await.is_some(), mode.is_per_peer());
    if let Some(socket) = server.peer_socket().await {
        let socket = socket.upgrade().unwrap();
        assert_eq!(socket.peer_addr().unwrap(), remote);
        assert_eq!(socket.local_addr().unwrap(), address);
    }
}

pub(super) async fn a_peer_can_be_refused_or_made_to_try_again(mode: Mode) {
    let (mut listener, address) = listen(mode.options());
    let connector = connector();
    let connecting = tokio::spawn(async move { connector.connect(peer(address)).await });
    in_time(listener.accept()).await.unwrap().refuse();
    let error = in_time(connecting).await.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Handshake(HandshakeError::PeerAlert(a)) if a.to_string().contains("canceled")),
        "{error}"
    );

    // Forgotten without a word, the peer has to begin again.
    let mut hasty = options();
    hasty.config.initial_timeout = Duration::from_millis(50);
    hasty.config.max_retransmits = 2;
    let connecting = tokio::spawn(lockgate_tokio::connect(address, hasty));
    in_time(listener.accept()).await.unwrap().retry();
    let error = in_time(connecting).await.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Handshake(HandshakeError::Timeout(_))),
        "{error}"
    );
    let connecting = tokio::spawn(lockgate_tokio::connect(address, options()));
    let key = Psk::new(KEY).unwrap();
    let accepting = in_time(listener.accept())
        .await
        .unwrap()
        .accept_with_key(key);
    in_time(accepting).await.unwrap();
    in_time(connecting).await.unwrap().unwrap();
}

pub(super) async fn dropping_the_accepting_future_ends_the_handshake(mode: Mode) {
    let (mut listener, address) = listen(mode.with(Options::new(|_: KeyRequest| {
        std::future::pending::<KeyAnswer>()
    })));
    let connecting = tokio::spawn(lockgate_tokio::connect(address, options()));
    let incoming = in_time(listener.accept()).await.unwrap();
    let accepting = tokio::time::timeout(Duration::from_millis(50), incoming.accept());
    assert!(accepting.await.is_err());
    let error = in_time(connecting).await.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Handshake(HandshakeError::PeerAlert(_))),
        "{error}"
    );
    let statistics = listener.statistics().await;
    assert_eq!((statistics.connections, statistics.half_open), (0, 0));
}

pub(super) async fn a_wrong_or_unknown_key_lets_nobody_in(mode: Mode) {
    let mut short = mode.options();
    short.endpoint.config.handshake_timeout = Duration::from_millis(300);
    let (listener, address) = listen(short);
    tokio::spawn(serve_echo(listener));
    for (identity, key) in [(IDENTITY, b"wrong".as_slice()), (b"stranger", KEY)] {
        let wrong = ClientOptions::new(identity, key);
        let error = in_time(lockgate_tokio::connect(address, wrong))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Handshake(_)), "{error}");
    }
    let mut connection = in_time(lockgate_tokio::connect(address, options()))
        .await
        .unwrap();
    echo(&mut connection, b"a friend").await;
}

pub(super) async fn a_slow_key_store_delays_its_own_peers_only(mode: Mode) {
    let (keys, mut questions) = ChannelKeys::new(8);
    let address = echo_server(mode.with(Options::new(keys)));
    let slow = tokio::spawn(lockgate_tokio::connect(
        address,
        ClientOptions::new(b"slow", KEY),
    ));
    let (request, late) = in_time(questions.recv()).await.unwrap();
    assert_eq!(request.identity, b"slow");
    let quick = tokio::spawn(lockgate_tokio::connect(address, options()));
    let (_, answer) = in_time(questions.recv()).await.unwrap();
    answer.send(KeyAnswer::Key(Psk::new(KEY).unwrap())).unwrap();
    let mut quick = in_time(quick).await.unwrap().unwrap();
    echo(&mut quick, b"quick").await;
    late.send(KeyAnswer::Key(Psk::new(KEY).unwrap())).unwrap();
    let mut slow = in_time(slow).await.unwrap().unwrap();
    echo(&mut slow, b"slow").await;
    // A question that nobody answers is a failure, which is told at once.
    let unlucky = tokio::spawn(lockgate_tokio::connect(address, options()));
    drop(in_time(questions.recv()).await.unwrap());
    let error = in_time(unlucky).await.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Handshake(HandshakeError::PeerAlert(_))),
        "{error}"
    );
}

pub(super) async fn a_key_store_that_panics_harms_its_own_peers_only(mode: Mode) {
    let address = echo_server(mode.with(Options::new(|request: KeyRequest| async move {
        assert_eq!(request.identity, IDENTITY, "the test wants this panic");
        Psk::new(KEY).map_or(KeyAnswer::Failed, KeyAnswer::Key)
    })));
    let mut friend = in_time(lockgate_tokio::connect(address, options()))
        .await
        .unwrap();
    let unlucky = ClientOptions::new(b"unlucky", KEY);
    let error = in_time(lockgate_tokio::connect(address, unlucky))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Handshake(HandshakeError::PeerAlert(_))),
        "{error}"
    );
    echo(&mut friend, b"not harmed").await;
}

pub(super) async fn who_gave_up_is_not_offered(mode: Mode) {
    let mut short = mode.options();
    short.endpoint.config.handshake_timeout = Duration::from_millis(500);
    let (mut listener, address) = listen(short);
    let connector = connector();
    let mut impatient = peer(address);
    impatient.server_name = b"first".to_vec();
    impatient.timeout = Some(Duration::from_millis(100));
    let error = in_time(connector.connect(impatient)).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error}");
    // Its goodbye is under keys that the server, which nobody has told to go on, does not have: only time tells.
    in_time(async {
        while listener.statistics().await.half_open > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut patient = peer(address);
    patient.server_name = b"second".to_vec();
    let connecting = tokio::spawn(async move { connector.connect(patient).await });
    let incoming = in_time(listener.accept()).await.unwrap();
    assert_eq!(incoming.server_name(), b"second");
    in_time(incoming.accept()).await.unwrap();
    in_time(connecting).await.unwrap().unwrap();
}

/// The first flight of a handshake, as a client of ours sends it, and what comes back to it.
async fn say_hello_and_fall_silent(address: SocketAddr) -> UdpSocket {
    let catcher = UdpSocket::bind(LOOPBACK).await.unwrap();
    let to = catcher.local_addr().unwrap();
    let talking = tokio::spawn(lockgate_tokio::connect(to, options()));
    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
    let mut buf = [0; 2048];
    // Hello, cookie, hello with the cookie, and not a word more.
    let (len, client) = in_time(catcher.recv_from(&mut buf)).await.unwrap();
    silent.send_to(&buf[..len], address).await.unwrap();
    let len = in_time(silent.recv(&mut buf)).await.unwrap();
    catcher.send_to(&buf[..len], client).await.unwrap();
    let (len, _) = in_time(catcher.recv_from(&mut buf)).await.unwrap();
    talking.abort();
    silent.send_to(&buf[..len], address).await.unwrap();
    in_time(silent.recv(&mut buf)).await.unwrap();
    silent
}

pub(super) async fn a_silent_peer_delays_nobody(mode: Mode) {
    let (listener, address) = listen(mode.options());
    let silent = say_hello_and_fall_silent(address).await;
    let half_open = listener.statistics().await.half_open;
    assert_eq!(half_open, 1, "the server waits for the silent one");
    tokio::spawn(serve_echo(listener));
    let began = tokio::time::Instant::now();
    for _ in 0..20 {
        let mut connection = in_time(lockgate_tokio::connect(address, options()))
            .await
            .unwrap();
        echo(&mut connection, b"not delayed").await;
    }
    // The silent one's handshake is given up after a minute; 20 others need a fraction of a second.
    assert!(began.elapsed() < Duration::from_secs(10));
    drop(silent);
}

pub(super) async fn garbage_and_half_handshakes_harm_nobody(mode: Mode) {
    let (listener, address) = listen(mode.options());
    let stranger = UdpSocket::bind(LOOPBACK).await.unwrap();
    let mut held = Vec::new();
    let (mut connection, server) = {
        let connector = connector();
        let mut listener = listener;
        let (client, server) = tokio::join!(
            in_time(connector.connect(peer(address))),
            in_time(listener.accept_connection())
        );
        tokio::spawn(send_back(server.unwrap()));
        (client.unwrap(), listener)
    };
    for round in 0..10_u8 {
        for garbage in [
            &b""[..],
            b"x",
            &[22; 13],
            &[0xff; 1400],
            &[25; 60],
            &[23; 40],
        ] {
            stranger.send_to(garbage, address).await.unwrap();
        }
        held.push(say_hello_and_fall_silent(address).await);
        echo(&mut connection, &[round]).await;
    }
    let statistics = server.statistics().await;
    assert!(
        statistics.io.dropped.total() >= 40,
        "{}",
        statistics.io.dropped
    );
    assert_eq!(statistics.half_open, 10);
}

pub(super) async fn a_new_handshake_from_the_same_address(mode: Mode) {
    let (mut listener, address) = listen(mode.options());
    let own = UdpSocket::bind(LOOPBACK)
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for round in 0..3_u8 {
        // A device that was switched off says no goodbye and comes back from where it was.
        let mut again = options();
        again.bind = Some(own);
        let (client, server) = tokio::join!(
            in_time(lockgate_tokio::Client::connect(address, again)),
            in_time(listener.accept_connection())
        );
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(server.remote_addr(), own);
        client.send(&[round]).await.unwrap();
        assert_eq!(in_time(server.recv_bytes()).await.unwrap()[..], [round]);
        tokio::spawn(async move { server.closed().await });
    }
}
