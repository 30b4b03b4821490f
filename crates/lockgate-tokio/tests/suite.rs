//! What a listener does for its peers, the same in every mode.

mod support;

use std::time::Duration;

use lockgate_tokio::dtls::{CidConfig, CipherSuite, CloseReason, HandshakeError, SendError};
use lockgate_tokio::{
    ChannelKeys, Error, KeyAnswer, KeyRequest, Listener, Options, Psk, QueueLimits,
};
use support::*;
use tokio::net::UdpSocket;

/// Makes a test of each function, in each mode. They are the same tests by construction, which no list of calls is.
macro_rules! in_every_mode {
    ($($test:ident)*) => {
        mod shared_socket { $(#[tokio::test] async fn $test() { super::$test(super::Mode::Shared).await; })* }
        mod socket_per_peer { $(#[tokio::test] async fn $test() { super::$test(super::Mode::PerPeer).await; })* }
        mod workers { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            super::$test(super::Mode::Workers).await;
        })* }
        mod workers_socket_per_peer { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            super::$test(super::Mode::WorkersPerPeer).await;
        })* }
    };
}

in_every_mode! {
    what_is_offered_and_agreed_is_told
    datagrams_stay_datagrams
    both_ends_say_goodbye
    halves_work_in_two_tasks
    a_peer_can_be_refused_or_made_to_try_again
    dropping_the_accepting_future_ends_the_handshake
    a_wrong_or_unknown_key_lets_nobody_in
    a_slow_key_store_delays_its_own_peers_only
    a_key_store_that_panics_harms_its_own_peers_only
    a_silent_peer_delays_nobody
    who_gave_up_is_not_offered
    a_peer_moves_from_one_address_of_ours_to_another
    garbage_and_half_handshakes_harm_nobody
    two_hundred_peers_at_once
    a_peer_moves_and_keeps_its_connection
    a_connection_without_ids_is_found_by_its_address
    several_connections_share_a_clients_socket
    a_reader_that_never_reads_loses_only_its_own
    a_new_handshake_from_the_same_address
    every_kind_of_address_is_served
    connections_outlive_the_listener
}

async fn what_is_offered_and_agreed_is_told(mode: Mode) {
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
    assert_eq!(server.cipher_suite(), CipherSuite::PSK_AES_128_GCM_SHA256);
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

async fn datagrams_stay_datagrams(mode: Mode) {
    let address = echo_server(mode.options());
    let connector = connector();
    let mut connection = in_time(connector.connect(peer(address))).await.unwrap();
    for len in [0, 1, 1200, connection.max_payload()] {
        echo(&mut connection, &vec![7; len]).await;
    }
    let limit = connection.max_payload();
    let error = connection.send(&vec![7; limit + 1]).await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::TooLarge { limit: l }) if l == limit));
    // What is longer than the buffer is cut, and the next one is whole.
    connection.send(b"long").await.unwrap();
    connection.send(b"next").await.unwrap();
    let mut short = [0; 2];
    assert_eq!(in_time(connection.recv(&mut short)).await.unwrap(), 2);
    assert_eq!(&short, b"lo");
    assert_eq!(
        &in_time(connection.recv_bytes()).await.unwrap()[..],
        b"next"
    );
    let statistics = connection.statistics();
    assert_eq!((statistics.sent, statistics.received), (6, 6));
    assert_eq!(statistics.sent_bytes, statistics.received_bytes);
}

async fn both_ends_say_goodbye(mode: Mode) {
    let (mut listener, address) = listen(mode.options());
    let connector = connector();
    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    // What was sent before the goodbye arrives before the goodbye.
    server.send(b"last words").await.unwrap();
    in_time(server.close()).await;
    assert_eq!(
        &in_time(client.recv_bytes()).await.unwrap()[..],
        b"last words"
    );
    let end = in_time(client.recv(&mut [0; 8])).await.unwrap_err();
    assert!(
        matches!(end, Error::Closed(CloseReason::PeerClosed)),
        "{end}"
    );
    assert_eq!(in_time(client.closed()).await, CloseReason::PeerClosed);
    let end = client.send(b"too late").await.unwrap_err();
    assert!(
        matches!(end, Error::Closed(CloseReason::PeerClosed)),
        "{end}"
    );

    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let mut server = server.unwrap();
    drop(client);
    let end = in_time(server.recv(&mut [0; 8])).await.unwrap_err();
    assert!(
        matches!(end, Error::Closed(CloseReason::PeerClosed)),
        "{end}"
    );

    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let _server = server.unwrap();
    in_time(listener.close()).await;
    let end = in_time(client.unwrap().recv(&mut [0; 8]))
        .await
        .unwrap_err();
    assert!(
        matches!(end, Error::Closed(CloseReason::PeerClosed)),
        "{end}"
    );
}

async fn halves_work_in_two_tasks(mode: Mode) {
    let address = echo_server(mode.options());
    let connector = connector();
    let connection = in_time(connector.connect(peer(address))).await.unwrap();
    let (mut sender, mut receiver) = connection.split();
    let reading = tokio::spawn(async move {
        for n in 0..100_u8 {
            assert_eq!(&receiver.recv_bytes().await.unwrap()[..], [n]);
        }
        receiver
    });
    for n in 0..100_u8 {
        sender.send(&[n]).await.unwrap();
    }
    let receiver = in_time(reading).await.unwrap();
    let mut whole = sender.reunite(receiver).ok().unwrap();
    echo(&mut whole, b"whole again").await;
}

async fn a_peer_can_be_refused_or_made_to_try_again(mode: Mode) {
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

async fn dropping_the_accepting_future_ends_the_handshake(mode: Mode) {
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

async fn a_wrong_or_unknown_key_lets_nobody_in(mode: Mode) {
    let mut options = mode.options();
    options.endpoint.config.handshake_timeout = Duration::from_millis(300);
    let (listener, address) = listen(options);
    tokio::spawn(serve_echo(listener));
    for (identity, key) in [(IDENTITY, b"wrong".as_slice()), (b"stranger", KEY)] {
        let options = lockgate_tokio::ClientOptions::new(identity, key);
        let error = in_time(lockgate_tokio::connect(address, options))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Handshake(_)), "{error}");
    }
    let mut connection = in_time(lockgate_tokio::connect(address, options_of_a_friend()))
        .await
        .unwrap();
    echo(&mut connection, b"a friend").await;
}

fn options_of_a_friend() -> lockgate_tokio::ClientOptions {
    options()
}

async fn a_slow_key_store_delays_its_own_peers_only(mode: Mode) {
    let (keys, mut questions) = ChannelKeys::new(8);
    let address = echo_server(mode.with(Options::new(keys)));
    let slow = tokio::spawn(lockgate_tokio::connect(
        address,
        lockgate_tokio::ClientOptions::new(b"slow", KEY),
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

async fn a_key_store_that_panics_harms_its_own_peers_only(mode: Mode) {
    let address = echo_server(mode.with(Options::new(|request: KeyRequest| async move {
        assert_eq!(request.identity, IDENTITY, "the test wants this panic");
        Psk::new(KEY).map_or(KeyAnswer::Failed, KeyAnswer::Key)
    })));
    let mut friend = in_time(lockgate_tokio::connect(address, options()))
        .await
        .unwrap();
    let unlucky = lockgate_tokio::ClientOptions::new(b"unlucky", KEY);
    let error = in_time(lockgate_tokio::connect(address, unlucky))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Handshake(HandshakeError::PeerAlert(_))),
        "{error}"
    );
    echo(&mut friend, b"not harmed").await;
}

async fn who_gave_up_is_not_offered(mode: Mode) {
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

async fn a_peer_moves_from_one_address_of_ours_to_another(mode: Mode) {
    let mut listener = Listener::bind(&[LOOPBACK, LOOPBACK], mode.options()).unwrap();
    let ours = [listener.local_addrs()[0], listener.local_addrs()[1]];
    let relay = UdpSocket::bind(LOOPBACK).await.unwrap();
    let through = relay.local_addr().unwrap();
    let (turn, mut turned) = tokio::sync::watch::channel(ours[0]);
    // Forwards to the one or the other address; the client sees one.
    tokio::spawn(async move {
        let (mut buf, mut client) = ([0; 2048], None);
        loop {
            let (len, from) = relay.recv_from(&mut buf).await.unwrap();
            let to = if ours.contains(&from) {
                client.unwrap()
            } else {
                client = Some(from);
                *turned.borrow_and_update()
            };
            relay.send_to(&buf[..len], to).await.unwrap();
        }
    });
    let (client, server) = tokio::join!(
        in_time(lockgate_tokio::connect(through, options())),
        in_time(listener.accept_connection())
    );
    let mut client = client.unwrap();
    let server = server.unwrap();
    let sockets = usize::from(mode.is_per_peer());
    tokio::spawn(send_back(server));
    for (round, to) in (0..).zip([ours[1], ours[0], ours[1]]) {
        turn.send(to).unwrap();
        for n in 0..3 {
            echo(&mut client, &[round, n]).await;
        }
        assert_eq!(listener.statistics().await.peer_sockets, sockets);
    }
}

/// The first flight of a handshake, as a client of ours sends it, and what comes back to it.
async fn say_hello_and_fall_silent(address: std::net::SocketAddr) -> UdpSocket {
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

async fn a_silent_peer_delays_nobody(mode: Mode) {
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

async fn garbage_and_half_handshakes_harm_nobody(mode: Mode) {
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

async fn two_hundred_peers_at_once(mode: Mode) {
    let (listener, address) = listen(mode.options());
    let (connections, serving) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut listener: Listener = listener;
        for _ in 0..200 {
            tokio::spawn(send_back(listener.accept_connection().await.unwrap()));
        }
        connections.send(listener.statistics().await).ok();
        // Kept, or nobody else would be let in.
        std::future::pending::<()>().await;
        drop(listener);
    });
    let peers: Vec<_> = (0..200_u16)
        .map(|n| {
            tokio::spawn(async move {
                let mut connection = lockgate_tokio::connect(address, options()).await.unwrap();
                for round in 0..5_u16 {
                    let payload = (n << 3 | round).to_be_bytes();
                    // Datagrams may be lost where a socket's buffer overflows: asked again, as a protocol would.
                    let answer = loop {
                        connection.send(&payload).await.unwrap();
                        let answer =
                            tokio::time::timeout(Duration::from_secs(2), connection.recv_bytes());
                        if let Ok(answer) = answer.await {
                            break answer.unwrap();
                        }
                    };
                    assert_eq!(answer[..], payload);
                }
                connection
            })
        })
        .collect();
    let mut kept = Vec::new();
    for peer in peers {
        kept.push(in_time(peer).await.unwrap());
    }
    let statistics = in_time(serving).await.unwrap();
    assert_eq!(statistics.connections, 200);
    let sockets = if mode.is_per_peer() { 200 } else { 0 };
    assert_eq!(statistics.peer_sockets, sockets);
    assert_eq!(statistics.peer_sockets_failed, 0);
}

async fn a_peer_moves_and_keeps_its_connection(mode: Mode) {
    let (mut listener, address) = listen(mode.options());
    let mut connector = connector();
    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    // With several workers, some of the new addresses belong to others than the one that has the connection.
    for round in 1..=8_u64 {
        let here = in_time(connector.rebind()).await.unwrap();
        client.send(b"from elsewhere").await.unwrap();
        assert_eq!(
            &in_time(server.recv_bytes()).await.unwrap()[..],
            b"from elsewhere"
        );
        assert_eq!(server.remote_addr(), here);
        server.send(b"found you").await.unwrap();
        assert_eq!(
            &in_time(client.recv_bytes()).await.unwrap()[..],
            b"found you"
        );
        assert_eq!(server.statistics().moves, round);
        if mode.is_per_peer() {
            let socket = server.peer_socket().await.unwrap().upgrade().unwrap();
            assert_eq!(socket.peer_addr().unwrap(), here);
        }
    }
    let statistics = listener.statistics().await;
    assert_eq!(statistics.peer_sockets, usize::from(mode.is_per_peer()));
    assert_eq!(statistics.handed_over, statistics.taken_over);
    if mode == Mode::Workers {
        // Eight addresses that all hash to one of three workers: once in 2,187 runs.
        assert!(statistics.handed_over > 0);
    }
    assert_eq!(
        statistics.io.dropped.total(),
        0,
        "{}",
        statistics.io.dropped
    );
}

async fn a_connection_without_ids_is_found_by_its_address(mode: Mode) {
    let mut options_of_server = mode.options();
    options_of_server.endpoint.config.cid = CidConfig::Off;
    let address = echo_server(options_of_server);
    let mut connection = in_time(lockgate_tokio::connect(address, options()))
        .await
        .unwrap();
    assert!(connection.info().peer_cid.is_empty());
    for n in 0..20 {
        echo(&mut connection, &[n]).await;
    }
}

async fn several_connections_share_a_clients_socket(mode: Mode) {
    let (listener, address) = listen(mode.options());
    let other = echo_server(mode.options());
    tokio::spawn(serve_echo(listener));
    let connector = connector();
    let mut connections = Vec::new();
    for server in [address, other, address, other, address] {
        connections.push(in_time(connector.connect(peer(server))).await.unwrap());
    }
    for (n, connection) in (0..).zip(&mut connections) {
        echo(connection, &[n]).await;
    }
    // Peers that come from one address have one socket together, and it goes with the last.
    connections.swap_remove(0);
    for (n, connection) in (0..).zip(&mut connections) {
        echo(connection, &[n]).await;
    }
}

async fn a_reader_that_never_reads_loses_only_its_own(mode: Mode) {
    let limit = 16 << 10;
    let mut options = mode.options();
    options.queues = QueueLimits {
        receive: limit,
        ..QueueLimits::default()
    };
    let (mut listener, address) = listen(options);
    let connector = connector();
    let (lazy_client, lazy) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut lazy_client, mut lazy) = (lazy_client.unwrap(), lazy.unwrap());
    tokio::spawn(serve_echo(listener));
    let mut other = in_time(lockgate_tokio::connect(address, support::options()))
        .await
        .unwrap();
    let mut sent = 0;
    while lazy.statistics().receive_dropped < 50 {
        for _ in 0..10 {
            in_time(lazy_client.send(&[9; 1000])).await.unwrap();
            sent += 1;
        }
        assert!(sent < 2000, "{:?}", lazy.statistics());
        echo(&mut other, b"not disturbed").await;
    }
    // The oldest are kept, as many as fit, and the connection is as good as before.
    let statistics = lazy.statistics();
    assert_eq!(statistics.received, (limit / (1000 + 64)) as u64);
    for _ in 0..statistics.received {
        assert_eq!(in_time(lazy.recv_bytes()).await.unwrap().len(), 1000);
    }
    // What was still on its way came meanwhile.
    loop {
        lazy_client.send(b"now").await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(1), lazy.recv_bytes());
        if let Ok(Ok(datagram)) = next.await
            && datagram == "now"
        {
            break;
        }
    }
}

async fn a_new_handshake_from_the_same_address(mode: Mode) {
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

async fn every_kind_of_address_is_served(mode: Mode) {
    for any in ["0.0.0.0:0", "[::]:0", "[::1]:0"] {
        let Ok(listener) = Listener::bind(&[any.parse().unwrap()], mode.options()) else {
            continue; // a machine without IPv6
        };
        let bound = listener.local_addrs()[0];
        tokio::spawn(serve_echo(listener));
        let hosts: &[&str] = match any {
            "0.0.0.0:0" => &["127.0.0.1", "127.0.0.2"],
            "[::]:0" => &["127.0.0.1", "127.0.0.2", "::1"],
            _ => &["::1"],
        };
        for host in hosts {
            let server = std::net::SocketAddr::new(host.parse().unwrap(), bound.port());
            let connecting = lockgate_tokio::connect(server, options());
            let mut connection = in_time(connecting).await.unwrap();
            for n in 0..3 {
                echo(&mut connection, &[n]).await;
            }
            // An answer from another address would never have reached a connected client.
            let mut client = client(server).await;
            client_echo(&mut client, b"connected").await;
        }
    }
}

async fn connections_outlive_the_listener(mode: Mode) {
    let (mut listener, address) = listen(mode.options());
    let connector = connector();
    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut client, server) = (client.unwrap(), server.unwrap());
    drop((listener, connector));
    tokio::spawn(send_back(server));
    echo(&mut client, b"still here").await;
    // Nobody new is let in.
    let mut hasty = options();
    hasty.config.handshake_timeout = Duration::from_millis(300);
    assert!(
        in_time(lockgate_tokio::connect(address, hasty))
            .await
            .is_err()
    );
    echo(&mut client, b"and still").await;
    in_time(client.close()).await;
    // With the last connection the sockets go.
    in_time(async {
        while std::net::UdpSocket::bind(address).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
