//! Keys from an HTTP service, against real servers on loopback.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use lockgate_gateway::keys::{
    KeyError, KeySource, MAX_BODY_LEN, RestFormat, RestKeys, RestOptions,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

type Requests = Arc<Mutex<Vec<(Option<String>, HeaderMap)>>>;

/// A service that answers every request with `status` and `body`, and remembers the requests.
async fn service(status: u16, body: impl Into<Vec<u8>>) -> (SocketAddr, Requests) {
    let requests = Requests::default();
    let body = body.into();
    let answer =
        move |State(seen): State<Requests>, RawQuery(query): RawQuery, headers: HeaderMap| {
            seen.lock().unwrap().push((query, headers));
            async move { (StatusCode::from_u16(status).unwrap(), body).into_response() }
        };
    let app = Router::new().route("/keys", get(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.with_state(Arc::clone(&requests));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, requests)
}

/// A server that reads a request's head and then does as it likes.
async fn rogue<F, A>(act: A) -> SocketAddr
where
    F: Future<Output = ()> + Send,
    A: Fn(TcpStream) -> F + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            act(stream).await;
        }
    });
    address
}

fn options(address: SocketAddr) -> RestOptions {
    RestOptions::new(format!("http://{address}/keys").parse().unwrap())
}

async fn ask(options: RestOptions) -> Result<Option<Vec<u8>>, KeyError> {
    let found = RestKeys::new(options).unwrap().lookup(b"dev-1").await?;
    Ok(found.map(|key| key.as_bytes().to_vec()))
}

async fn answer(format: RestFormat, body: &[u8]) -> Result<Option<Vec<u8>>, KeyError> {
    let (address, _) = service(200, body).await;
    let mut options = options(address);
    options.format = format;
    ask(options).await
}

#[tokio::test]
async fn auto_tells_hex_from_raw() {
    let auto = RestFormat::Auto;
    let hex = b" 00112233445566778899AAbbccddeeff\r\n";
    let bytes = answer(auto, hex).await.unwrap().unwrap();
    assert_eq!((bytes[1], bytes[15], bytes.len()), (0x11, 0xff, 16));
    let longest = "a5".repeat(64);
    let bytes = answer(auto, longest.as_bytes()).await.unwrap().unwrap();
    assert_eq!(bytes, [0xa5; 64]);
    // Too few digits, an odd number of them, something else among them: a pass phrase.
    for raw in [
        &b"00112233445566"[..],
        b"00112233445566778",
        b"0011223344556677-",
        b"s3cret\n",
    ] {
        assert_eq!(answer(auto, raw).await.unwrap().unwrap(), raw);
    }
}

#[tokio::test]
async fn raw_and_hex_are_what_they_say() {
    let digits = b"00112233445566778899aabbccddeeff\n";
    assert_eq!(
        answer(RestFormat::Raw, digits).await.unwrap().unwrap(),
        digits
    );
    assert_eq!(
        answer(RestFormat::Hex, b"00ff\n").await.unwrap().unwrap(),
        [0, 0xff]
    );
    for bad in [&b"00f"[..], b"secret", b"{\"key\":\"00\"}"] {
        let error = answer(RestFormat::Hex, bad).await.unwrap_err();
        assert!(matches!(error, KeyError::BadAnswer { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn an_empty_or_over_long_key_is_an_error_and_never_a_key() {
    for format in [RestFormat::Auto, RestFormat::Raw, RestFormat::Hex] {
        let error = answer(format, b"").await.unwrap_err();
        assert_eq!(error.to_string(), "rest: the key is empty");
        let error = answer(format, "g".repeat(300).as_bytes())
            .await
            .unwrap_err();
        assert!(matches!(error, KeyError::BadAnswer { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_request_carries_query_and_headers() {
    let (address, requests) = service(200, "sesame").await;
    let url = format!("http://user:pw@{address}/keys?tenant=a%2Fb&flag#part");
    let mut options = RestOptions::new(url.parse().unwrap());
    options.id_query_key = "the id".into();
    options.id_query_val_prefix = "urn:".into();
    options.add_header("X-Token: a:b ").unwrap();
    options.add_header("X-Token:c").unwrap();
    let keys = RestKeys::new(options).unwrap();
    keys.lookup(b"\xff\0 a&b=c%+d/\xc3\xa9").await.unwrap();
    let (query, headers) = requests.lock().unwrap().pop().unwrap();
    assert_eq!(
        query.unwrap(),
        "tenant=a%2Fb&flag&the%20id=urn%3A%FF%00%20a%26b%3Dc%25%2Bd%2F%C3%A9"
    );
    let tokens: Vec<_> = headers.get_all("x-token").iter().collect();
    assert_eq!(tokens, ["a:b", "c"]);
    assert_eq!(headers[header::AUTHORIZATION], "Basic dXNlcjpwdw==");
}

#[tokio::test]
async fn the_query_is_as_documented_by_default() {
    let (address, requests) = service(200, "sesame").await;
    ask(options(address)).await.unwrap();
    assert_eq!(
        requests.lock().unwrap()[0].0.as_deref(),
        Some("pskId=dev-1")
    );
}

#[tokio::test]
async fn only_404_means_unknown() {
    let (address, _) = service(404, "00112233445566778899aabbccddeeff").await;
    assert_eq!(ask(options(address)).await, Ok(None));
    for status in [301, 400, 401, 403, 500, 503] {
        let (address, _) = service(status, "00112233445566778899aabbccddeeff").await;
        let error = ask(options(address)).await.unwrap_err();
        assert!(matches!(error, KeyError::BadAnswer { .. }), "{error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let (target, requests) = service(200, "sesame").await;
    let address = rogue(move |mut stream| async move {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/keys\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
    })
    .await;
    assert!(ask(options(address)).await.is_err());
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_huge_body_is_refused_with_and_without_a_length() {
    let (address, _) = service(200, vec![b'a'; MAX_BODY_LEN + 1]).await;
    let error = ask(options(address)).await.unwrap_err().to_string();
    assert_eq!(error, "rest: the answer is longer than 1024 bytes");
    // One that never ends: read to its end, it would be a time-out.
    let endless = rogue(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'a'; 512]).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let error = ask(options(endless)).await.unwrap_err().to_string();
    assert_eq!(error, "rest: the answer is longer than 1024 bytes");
}

#[tokio::test]
async fn a_slow_service_times_out_before_and_within_the_answer() {
    let silent = rogue(|stream| async move {
        sleep(Duration::from_mins(1)).await;
        drop(stream);
    })
    .await;
    let halting = rogue(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabc")
            .await;
        sleep(Duration::from_mins(1)).await;
    })
    .await;
    for address in [silent, halting] {
        let mut options = options(address);
        options.timeout = Duration::from_millis(200);
        let error = ask(options).await.unwrap_err();
        let after = Duration::from_millis(200);
        assert_eq!(
            error,
            KeyError::Timeout {
                origin: "rest",
                after
            }
        );
    }
}

#[tokio::test]
async fn a_broken_off_answer_is_no_key() {
    let address = rogue(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabc")
            .await;
    })
    .await;
    let error = ask(options(address)).await.unwrap_err();
    assert!(matches!(error, KeyError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_service_that_is_down_is_named_without_secrets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://u:hunter2@{address}/keys?token=hunter3");
    let error = ask(RestOptions::new(url.parse().unwrap()))
        .await
        .unwrap_err();
    assert!(matches!(error, KeyError::Unavailable { .. }), "{error}");
    let error = error.to_string();
    let start = format!("rest: cannot ask http://{address}/keys: ");
    assert!(error.starts_with(&start), "{error}");
    assert!(
        error.contains("refused") && !error.contains("hunter"),
        "{error}"
    );
}

#[tokio::test]
async fn options_hide_their_secrets() {
    let mut options = RestOptions::new("https://u:hunter2@h/p?t=hunter3".parse().unwrap());
    options.add_header("Authorization: hunter4").unwrap();
    assert!(!format!("{options:?}").contains("hunter"), "{options:?}");
    let keys = RestKeys::new(options.clone()).unwrap();
    assert!(!format!("{keys:?}").contains("hunter"), "{keys:?}");
    assert!(!format!("{:?}", options.headers).contains("hunter"));
    for bad in ["no colon hunter5", "bad name: hunter5", "Name: hunter\n5"] {
        let error = options.add_header(bad).unwrap_err();
        assert!(!error.contains("hunter"), "{error}");
    }
}

#[test]
fn plain_http_is_exposed_except_on_this_host() {
    for (url, exposed) in [
        ("http://keys.example/", true),
        ("http://192.0.2.1/", true),
        ("http://[2001:db8::1]/", true),
        ("https://keys.example/", false),
        ("http://localhost:8080/", false),
        ("http://127.0.0.1/", false),
        ("http://[::1]/", false),
    ] {
        assert_eq!(
            RestOptions::new(url.parse().unwrap()).is_exposed(),
            exposed,
            "{url}"
        );
    }
}

mod https {
    use std::{fs, path::Path};

    use rustls::{ServerConfig, crypto::aws_lc_rs};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A service with a certificate of its own authority, which is written to `ca`.
    async fn service(ca: &Path) -> SocketAddr {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        fs::write(ca, made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust us leaves here.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsesame";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        });
        address
    }

    fn options(address: SocketAddr) -> RestOptions {
        let url = format!("https://localhost:{}/keys", address.port());
        RestOptions::new(url.parse().unwrap())
    }

    #[tokio::test]
    async fn a_server_of_a_given_authority_is_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        let mut options = options(service(&ca).await);
        options.ca_file = Some(ca);
        assert_eq!(ask(options).await.unwrap().unwrap(), b"sesame");
    }

    #[tokio::test]
    async fn a_server_of_a_strange_authority_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let options = options(service(&dir.path().join("ca.pem")).await);
        let error = ask(options).await.unwrap_err();
        assert!(matches!(error, KeyError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }

    #[tokio::test]
    async fn a_useless_authority_file_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        let mut options = RestOptions::new("https://localhost/".parse().unwrap());
        options.ca_file = Some(ca.clone());
        let error = RestKeys::new(options.clone()).unwrap_err().to_string();
        assert!(error.contains("ca.pem: cannot be read"), "{error}");
        fs::write(&ca, "not a certificate").unwrap();
        let error = RestKeys::new(options).unwrap_err().to_string();
        assert!(
            error.contains("ca.pem: holds no PEM certificate"),
            "{error}"
        );
    }
}
