//! No descriptors left. Alone in its program, because the limit is the process's.

mod support;

use std::fs::File;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::*;

#[tokio::test]
async fn accepting_pauses_and_sessions_live_on() {
    let (mut listener, address) = listen(Mode::PerPeer.options());
    // One socket for all clients, so that only the server needs descriptors.
    let connector = connector();
    let (first, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let mut first = first.unwrap();
    tokio::spawn(send_back(server.unwrap()));
    let other = self::connector();
    let third = self::connector();

    // All that a low limit leaves are taken.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 256, hard).unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok())
        .take(256)
        .collect();

    // The one that runs into the limit is served by the listening socket.
    let (second, server) = tokio::join!(
        in_time(other.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut second, server) = (second.unwrap(), server.unwrap());
    assert!(server.peer_socket().await.is_none());
    tokio::spawn(send_back(server));
    echo(&mut second, b"by the listening socket").await;
    echo(&mut first, b"by its own").await;
    // Then nobody is let in, and those who are in do not notice.
    let waiting = tokio::spawn(async move { third.connect(peer(address)).await });
    let nobody = tokio::time::timeout(Duration::from_millis(1500), listener.accept());
    assert!(nobody.await.is_err());
    echo(&mut second, b"still here").await;
    echo(&mut first, b"so am I").await;

    drop(taken);
    let server = in_time(listener.accept_connection()).await.unwrap();
    let mut third = in_time(waiting).await.unwrap().unwrap();
    assert!(server.peer_socket().await.is_some());
    tokio::spawn(send_back(server));
    echo(&mut third, b"in at last").await;
    echo(&mut second, b"by its own by now").await;
    assert_eq!(listener.statistics().await.peer_sockets, 3);
}
