//! What the network says about datagrams that are too long for it, and what happens when it is slow. It needs a network
//! of its own, whose links are short and slow:
//!
//! ```text
//! cargo test -p lockgate-tokio --test namespace --no-run
//! unshare -rn sh -c 'ip link set lo up mtu 1400 &&
//!   tc qdisc add dev lo root tbf rate 100mbit burst 20kb limit 40mb && target/debug/deps/namespace-… --ignored'
//! ```

mod support;

use lockgate_tokio::dtls::SendError;
use lockgate_tokio::{Connector, ConnectorOptions, Error, Listener};
use support::*;

#[tokio::test]
#[ignore = "needs a network of its own, see above"]
async fn the_longest_payload_shrinks_to_what_the_path_takes() {
    for (host, headers) in [("127.0.0.1:0", 28), ("[::1]:0", 48)] {
        for mode in [Mode::Shared, Mode::PerPeer] {
            let mut listener = Listener::bind(&[host.parse().unwrap()], mode.options()).unwrap();
            let connector = Connector::new(ConnectorOptions {
                bind: host.parse().unwrap(),
                ..ConnectorOptions::default()
            })
            .unwrap();
            let server = listener.local_addrs()[0];
            let (client, server) = tokio::join!(
                in_time(connector.connect(peer(server))),
                in_time(listener.accept_connection())
            );
            for mut connection in [client.unwrap(), server.unwrap()] {
                let overhead = connection.info().record_overhead;
                let fits = 1400 - headers - overhead;
                assert!(connection.max_payload() > fits);
                // Lost, as datagrams are; but we hear why.
                connection.send(&vec![1; fits + 1]).await.unwrap();
                in_time(async {
                    while connection.max_payload() > fits {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
                assert_eq!(connection.max_payload(), fits);
                assert_eq!(connection.statistics().path_mtu, Some(1400));
                let error = connection.send(&vec![1; fits + 1]).await.unwrap_err();
                assert!(
                    matches!(error, Error::Send(SendError::TooLarge { limit }) if limit == fits)
                );
                connection.send(&vec![1; fits]).await.unwrap();
                // Kept, or its end would be the other's.
                std::mem::forget(connection);
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs a network of its own, see above"]
async fn a_sender_waits_for_a_slow_link() {
    const DATAGRAMS: u32 = 12_000;
    for mode in [Mode::Shared, Mode::Workers] {
        let mut options = mode.options();
        options.queues.receive = 16 << 20;
        let (mut listener, address) = listen(options);
        let connector = connector();
        let (client, server) = tokio::join!(
            in_time(connector.connect(peer(address))),
            in_time(listener.accept_connection())
        );
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        let sending = tokio::spawn(async move {
            for n in 0..DATAGRAMS {
                let mut payload = [0; 1000];
                payload[..4].copy_from_slice(&n.to_be_bytes());
                client.send(&payload).await.unwrap();
            }
            client
        });
        for n in 0..DATAGRAMS {
            let payload = in_time(server.recv_bytes()).await.unwrap();
            assert_eq!(payload[..4], n.to_be_bytes());
        }
        in_time(sending).await.unwrap();
    }
}
