//! Exported sessions against `Dormant::open` and `Endpoint::import`, and those that can be resumed.

use std::convert::Infallible;
use std::net::SocketAddr;

use lockgate_dtls::config::{MAX_HEADROOM, MAX_TAILROOM};
use lockgate_dtls::crypto::{AeadAlgorithm, AeadKey as _, Provider as _};
use lockgate_dtls::export::{Dormant, ExportKey, MAX_EXPORT_LEN};
use lockgate_dtls::lease::{LeaseError, LeaseId, LeaseStore, MemoryLeaseStore};
use lockgate_dtls::{
    CidConfig, CipherSuite, CloseReason, Config, ConnectionHandle, Datagram, Endpoint,
    EndpointConfig, Event, Instant, Received, SuiteList, UdpPath,
};

use crate::{FuzzProvider, Lenient, Script, sessions};

const EXPORT_KEY: [u8; 16] = [0x42; 16];
const AEAD: AeadAlgorithm = AeadAlgorithm::Aes128Gcm;
const MAGIC_LEN: usize = 5;
const NONCE_LEN: usize = 12;

/// A lease store that grants whatever is asked, with an end that the script chose.
struct Yielding(u64);

impl LeaseStore for Yielding {
    type Error = Infallible;

    fn advance(&mut self, _: LeaseId, _: u32, _: u64) -> Result<(), LeaseError<Infallible>> {
        Ok(())
    }

    fn take_over(&mut self, _: LeaseId, _: u32, _: u64) -> Result<u64, LeaseError<Infallible>> {
        Ok(self.0)
    }
}

fn path() -> UdpPath {
    UdpPath::from(SocketAddr::from(([192, 0, 2, 1], 40_000)))
}

fn now() -> Instant {
    Instant::default()
}

fn endpoint(seed: u64, server: bool, choice: u8) -> Endpoint<FuzzProvider, UdpPath> {
    let suites = [
        CipherSuite::PSK_AES_128_CCM_8,
        CipherSuite::PSK_AES_128_GCM_SHA256,
        CipherSuite::PSK_CHACHA20_POLY1305_SHA256,
        CipherSuite::PSK_AES_256_GCM_SHA384,
    ];
    let config = EndpointConfig {
        server,
        cookies: false,
        cid_key: Some(lockgate_dtls::CidKey::new([7; 16])),
        max_connections: 64,
        config: Config {
            cipher_suites: SuiteList::new(&[suites[usize::from(choice & 3)]]),
            cid: match choice >> 2 & 3 {
                0 => CidConfig::Length(8),
                1 => CidConfig::Length(20),
                2 => CidConfig::Length(0),
                _ => CidConfig::Off,
            },
            ..Config::default()
        },
        ..EndpointConfig::default()
    };
    Endpoint::new(FuzzProvider::new(seed, Lenient::default()), now(), config)
        .expect("valid options")
}

/// A client and a server that are connected.
fn connected(
    choice: u8,
) -> (
    Endpoint<FuzzProvider, UdpPath>,
    ConnectionHandle,
    Endpoint<FuzzProvider, UdpPath>,
    ConnectionHandle,
) {
    let (mut client, mut server) = (endpoint(1, false, choice), endpoint(2, true, choice));
    let c = client.connect(now(), path(), b"").expect("room");
    let mut s = None;
    let mut buf = [0; 2048];
    for _ in 0..8 {
        while let Some(sent) = client.poll_transmit(now(), &mut buf) {
            take(&mut server, &mut buf[..sent.len]);
        }
        while let Some((handle, event)) = server.poll_event() {
            match event {
                Event::PskRequested => server.provide_psk(now(), handle, b"key").expect("asked"),
                Event::Connected => s = Some(handle),
                _ => {}
            }
        }
        while let Some(sent) = server.poll_transmit(now(), &mut buf) {
            take(&mut client, &mut buf[..sent.len]);
        }
        while let Some((handle, event)) = client.poll_event() {
            if matches!(event, Event::PskRequested) {
                client
                    .provide_identity(now(), handle, b"id", b"key")
                    .expect("asked");
            }
        }
    }
    (client, c, server, s.expect("connected"))
}

fn take(endpoint: &mut Endpoint<FuzzProvider, UdpPath>, bytes: &mut [u8]) -> Option<Vec<u8>> {
    let mut datagram = Datagram::new(bytes);
    let mut payload = None;
    while let Some(received) = endpoint.handle(now(), path(), &mut datagram) {
        if let Received::Application { payload: at, .. } = received {
            payload = Some(datagram.bytes()[at].to_vec());
        }
    }
    payload
}

/// Sequence numbers of the records of one session stand here.
fn sequence(record: &[u8]) -> u64 {
    u64::from_be_bytes(*record[3..].first_chunk().expect("a record"))
}

/// Plays one input.
///
/// # Panics
/// When a promise is broken.
pub fn import(data: &[u8]) {
    let mut script = Script::new(data);
    let (Some(mode), Some(choice), Some(count), Some(end)) =
        (script.u8(), script.u8(), script.u16(), script.u64())
    else {
        return;
    };
    let key = ExportKey::new(AEAD, &EXPORT_KEY).expect("its length");
    let provider = FuzzProvider::new(3, Lenient::default());
    match mode % 6 {
        0 => {
            // Bytes from anywhere: nothing but what we wrote opens.
            let opened = Dormant::open::<_, Infallible>(&provider, &key, script.rest());
            assert!(opened.is_err(), "a forgery opened");
        }
        1 => bring_back(&seal(script.rest()), choice, u64::from(count), end),
        2 => {
            let mut store = MemoryLeaseStore::default();
            let (_, _, mut server, s) = connected(choice);
            let blob = export(&mut server, s, &mut store, &key);
            let mut body = unseal(&blob);
            for change in script.rest().chunks_exact(3) {
                let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % body.len();
                body[at] ^= change[2];
            }
            bring_back(&seal(&body), choice, u64::from(count), end);
        }
        3 => genuine(choice, u64::from(count), script.rest(), &key),
        4 => sessions::changed(choice, script.rest()),
        _ => sessions::made_up(choice, script.rest()),
    }
}

fn export<S: LeaseStore>(
    server: &mut Endpoint<FuzzProvider, UdpPath>,
    handle: ConnectionHandle,
    store: &mut S,
    key: &ExportKey,
) -> Vec<u8>
where
    S::Error: std::fmt::Debug,
{
    let mut blob = vec![0; MAX_EXPORT_LEN];
    let len = server
        .export(handle, store, key, &mut blob)
        .expect("an established session");
    blob.truncate(len);
    blob
}

/// What only a holder of the key can write.
fn seal(body: &[u8]) -> Vec<u8> {
    let provider = FuzzProvider::new(4, Lenient::default());
    let mut blob = b"LGA\x01".to_vec();
    blob.push(AEAD as u8);
    blob.extend([9; NONCE_LEN]);
    blob.extend(body);
    blob.extend([0; 16]);
    let (head, sealed) = blob.split_at_mut(MAGIC_LEN + NONCE_LEN);
    provider
        .aead_key(AEAD, &EXPORT_KEY)
        .and_then(|key| key.seal_in_place(&[9; NONCE_LEN], &head[..MAGIC_LEN], sealed))
        .expect("sealed");
    blob
}

fn unseal(blob: &[u8]) -> Vec<u8> {
    let provider = FuzzProvider::new(4, Lenient::default());
    let (head, sealed) = blob.split_at(MAGIC_LEN + NONCE_LEN);
    let nonce = head.last_chunk().expect("a nonce");
    let mut body = sealed.to_vec();
    provider
        .aead_key(AEAD, &EXPORT_KEY)
        .and_then(|key| key.open_in_place(nonce, &head[..MAGIC_LEN], &mut body))
        .expect("what we exported opens");
    body.truncate(body.len() - 16);
    body
}

/// Brings back something that opens, however odd, and uses it.
fn bring_back(blob: &[u8], choice: u8, count: u64, end: u64) {
    let key = ExportKey::new(AEAD, &EXPORT_KEY).expect("its length");
    let mut server = endpoint(5, true, choice);
    let mut store = Yielding(end);
    let imported = server.import(path(), &mut store, &key, blob, count);
    let Ok(handle) = imported else {
        assert_eq!(server.connections(), 0, "a place was lost");
        return;
    };
    assert_eq!(server.connections(), 1);
    let info = server.info(handle).expect("it is established");
    let mut out = [0; 512];
    let _ = server.send(handle, b"hello", &mut out);
    let mut buf = [0; MAX_HEADROOM + MAX_TAILROOM + 64];
    let _ = server.send_in_place(handle, &mut buf, MAX_HEADROOM..MAX_HEADROOM + 64);
    // A record for it that does not open.
    let mut record = vec![if info.own_cid.is_empty() { 23 } else { 25 }, 0xFE, 0xFD];
    record.extend([0, 1, 0, 0, 0, 0, 0, 9]);
    record.extend(info.own_cid.as_slice());
    record.extend([0, 40]);
    record.extend([0; 40]);
    assert_eq!(take(&mut server, &mut record), None, "a forgery opened");
    let again = server.claim(handle, &mut store, count);
    let mut blob = [0; MAX_EXPORT_LEN];
    match server.export(handle, &mut store, &key, &mut blob) {
        Ok(len) => {
            assert!(again.is_ok() && len <= MAX_EXPORT_LEN);
            assert_eq!(server.connections(), 0);
        }
        // One whose numbers or failed opens stood at their limit is over now.
        Err(_) => assert!(
            matches!(
                server.poll_event(),
                Some((_, Event::Closed(CloseReason::Limit(_))))
            ),
            "what was brought back cannot be taken out"
        ),
    }
}

/// A session that goes out and comes back, with records in between.
fn genuine(choice: u8, count: u64, says: &[u8], key: &ExportKey) {
    let mut store = MemoryLeaseStore::default();
    let (mut client, c, mut server, s) = connected(choice);
    let mut out = [0; 512];
    let mut last = 0;
    let (before, between) = says.split_at(says.len() / 2);
    for &n in before.iter().take(16) {
        let (record, _) = server.send(s, &[n; 9], &mut out).expect("established");
        last = sequence(&out[record.clone()]);
        assert_eq!(take(&mut client, &mut out[record]), Some(vec![n; 9]));
    }
    let old = export(&mut server, s, &mut store, key);
    assert!(server.send(s, b"x", &mut out).is_err(), "it was taken out");
    // The client talks on; some of it is lost.
    let mut waiting = Vec::new();
    for &n in between.iter().take(16) {
        let (record, _) = client.send(c, &[n; 9], &mut out).expect("established");
        if n & 1 == 0 {
            waiting.push((n, out[record].to_vec()));
        }
    }
    let mut other = endpoint(6, true, choice);
    let s = other
        .import(path(), &mut store, key, &old, count)
        .expect("the first to bring it back");
    assert!(
        other.import(path(), &mut store, key, &old, count).is_err(),
        "an old copy came back"
    );
    assert!(
        endpoint(7, true, choice)
            .import(path(), &mut store, key, &old, count)
            .is_err(),
        "an old copy came back elsewhere"
    );
    for (n, mut record) in waiting {
        let mut copy = record.clone();
        assert_eq!(take(&mut other, &mut record), Some(vec![n; 9]));
        assert_eq!(take(&mut other, &mut copy), None, "a replay");
    }
    let mut left = count;
    while let Ok((record, _)) = other.send(s, b"back again", &mut out) {
        let number = sequence(&out[record.clone()]);
        assert!(number > last, "a sequence number was used twice");
        last = number;
        assert_eq!(
            take(&mut client, &mut out[record]).as_deref(),
            Some(&b"back again"[..])
        );
        left -= 1;
        if left == 0 || count - left > 8 {
            break;
        }
    }
    let newer = export(&mut other, s, &mut store, key);
    let mut third = endpoint(8, true, choice);
    let s = third
        .import(path(), &mut store, key, &newer, 1)
        .expect("the first to bring it back");
    let (record, _) = third.send(s, b"and again", &mut out).expect("one claimed");
    assert!(
        sequence(&out[record.clone()]) > last,
        "a sequence number was used twice"
    );
    assert!(take(&mut client, &mut out[record]).is_some());
}
