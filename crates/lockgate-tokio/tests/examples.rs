//! The examples do what they say, and the documentation shows nothing else.
#![allow(dead_code, reason = "their main functions are not called")]

mod support;

use std::path::Path;

use support::in_time;

#[path = "../examples/echo_client.rs"]
mod echo_client;
#[path = "../examples/echo_server.rs"]
mod echo_server;
#[path = "../examples/key_store.rs"]
mod key_store;
#[path = "../examples/mutual_x509.rs"]
mod mutual_x509;
#[path = "../examples/rebinding.rs"]
mod rebinding;
#[path = "../examples/streams.rs"]
mod streams;
#[path = "../examples/without_a_runtime.rs"]
mod without_a_runtime;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_talk_to_the_echo_server() {
    let (listener, address) = support::listen(support::Mode::Shared.options());
    tokio::spawn(echo_server::serve(listener));
    let answer = in_time(Box::pin(echo_client::ask(address, "hello"))).await;
    assert_eq!(answer.unwrap(), "hello");
    let blocking = tokio::task::spawn_blocking(move || without_a_runtime::ask(address, "hello"));
    assert_eq!(in_time(blocking).await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn both_ends_show_certificates() {
    let dir = tempfile::tempdir().unwrap();
    support::papers::write_all(dir.path());
    let files = |who: &str| {
        let file = |end: &str| dir.path().join(format!("{who}.{end}"));
        (file("pem"), file("key"))
    };
    let ca = dir.path().join("ca.pem");
    let listener = mutual_x509::listen("127.0.0.1:0", &files("server"), &ca).unwrap();
    let address = listener.local_addrs()[0];
    tokio::spawn(mutual_x509::serve(listener));
    let device = files("device");
    let asked = mutual_x509::ask(address, "localhost", &device, &ca, "hello");
    assert_eq!(in_time(Box::pin(asked)).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_client_moves() {
    in_time(rebinding::story()).await.unwrap();
}

#[tokio::test]
async fn keys_come_from_stores() {
    in_time(key_store::with_a_store()).await.unwrap();
    in_time(key_store::with_a_channel()).await.unwrap();
}

#[tokio::test]
async fn connections_are_streams() {
    in_time(streams::bytes()).await.unwrap();
    in_time(streams::datagrams()).await.unwrap();
}

/// Lines without their indentation.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

#[test]
fn every_block_of_the_documentation_is_from_an_example() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages: String = std::fs::read_dir(here.join("../../docs/library"))
        .unwrap()
        .map(|page| std::fs::read_to_string(page.unwrap().path()).unwrap())
        .collect();
    let examples: Vec<String> = std::fs::read_dir(here.join("examples"))
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let mut blocks = 0;
    for block in pages.split("```rust\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let wanted = lines(block);
        let found = examples.iter().any(|example| {
            let example = lines(example);
            example.windows(wanted.len()).any(|window| window == wanted)
        });
        assert!(found, "in no example:\n{block}");
        blocks += 1;
    }
    assert!(blocks >= 6, "{blocks}");
}
