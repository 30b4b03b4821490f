//! The same handshakes with OpenSSL, by the crate `openssl`: DTLS 1.2 over queues of datagrams in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::rc::Rc;

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use crate::loopback::{IDENTITY, KEY};
use crate::papers::{Paper, Papers, Proof, SERVER_NAME};
use crate::timing::Work;

/// What the library calls itself.
pub fn version() -> &'static str {
    openssl::version::version()
}

/// Options of both ends.
pub struct OpenSsl {
    client: SslContext,
    server: SslContext,
    named: bool,
}

/// The cookie of every client: making one costs OpenSSL's callers something, and here nothing.
const COOKIE: &[u8; 32] = &[0xC0; 32];

impl OpenSsl {
    /// Both ends under one suite and group, by OpenSSL's names; certificates of both are checked against the authority.
    pub fn new(suite: &str, group: &str, proof: Proof) -> Result<Self, ErrorStack> {
        let papers = Papers::certificates();
        let mut client = context(suite, group, &papers)?;
        let mut server = context(suite, group, &papers)?;
        server.set_options(SslOptions::COOKIE_EXCHANGE);
        server.set_cookie_generate_cb(|_, out| {
            out[..COOKIE.len()].copy_from_slice(COOKIE);
            Ok(COOKIE.len())
        });
        server.set_cookie_verify_cb(|_, cookie| cookie == COOKIE);
        match proof {
            Proof::Psk | Proof::RawKeys => {
                client.set_psk_client_callback(|_, _, identity, key| {
                    identity[..IDENTITY.len()].copy_from_slice(IDENTITY);
                    identity[IDENTITY.len()] = 0;
                    key[..KEY.len()].copy_from_slice(KEY);
                    Ok(KEY.len())
                });
                server.set_psk_server_callback(|_, identity, key| {
                    assert_eq!(identity, Some(IDENTITY));
                    key[..KEY.len()].copy_from_slice(KEY);
                    Ok(KEY.len())
                });
            }
            Proof::Server | Proof::Mutual => {
                show(&mut server, &papers.server)?;
                client.set_verify(SslVerifyMode::PEER);
                if proof == Proof::Mutual {
                    show(&mut client, &papers.client)?;
                    server.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
                }
            }
        }
        Ok(Self {
            client: client.build(),
            server: server.build(),
            named: matches!(proof, Proof::Server | Proof::Mutual),
        })
    }

    /// A whole handshake.
    ///
    /// # Panics
    /// When it does not succeed at once.
    pub fn connect(&self) -> (SslStream<Wire>, SslStream<Wire>) {
        let (near, far) = Wire::pair();
        let end = |context, wire, ask_for: Option<&str>| {
            let mut ssl = Ssl::new(context)?;
            ssl.set_mtu(1200)?;
            if let Some(name) = ask_for {
                ssl.set_hostname(name)?;
                ssl.param_mut().set_host(name)?;
            }
            SslStream::new(ssl, wire)
        };
        let name = self.named.then_some(SERVER_NAME);
        let mut client = end(&self.client, near, name).expect("memory");
        let mut server = end(&self.server, far, None).expect("memory");
        for _ in 0..8 {
            let at_client = client.connect();
            let at_server = server.accept();
            match (at_client, at_server) {
                (Ok(()), Ok(())) => return (client, server),
                (Err(error), _) | (_, Err(error)) if error.io_error().is_none_or(is_fault) => {
                    panic!("the handshake failed: {error}")
                }
                _ => {}
            }
        }
        panic!("the handshake did not end");
    }

    /// Whole handshakes, with cookies, each between two new connections of contexts that live on.
    pub fn full(self) -> Work<'static> {
        Box::new(move |runs| {
            for _ in 0..runs {
                black_box(self.connect());
            }
        })
    }
}

fn is_fault(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::WouldBlock
}

fn context(suite: &str, group: &str, papers: &Papers) -> Result<SslContextBuilder, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::dtls())?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    // CCM with short tags is below its usual level.
    context.set_security_level(0);
    context.set_cipher_list(suite)?;
    context.set_groups_list(group)?;
    context.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(X509::from_der(&papers.authority)?)?;
    context.set_cert_store(store.build());
    Ok(context)
}

fn show(context: &mut SslContextBuilder, paper: &Paper) -> Result<(), ErrorStack> {
    let certificate = X509::from_der(&paper.der)?;
    context.set_certificate(&certificate)?;
    let key = PKey::private_key_from_pkcs8(&paper.key.to_pkcs8_der())?;
    context.set_private_key(&key)?;
    context.check_private_key()
}

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of a pair of queues.
#[derive(Debug)]
pub struct Wire {
    incoming: Queue,
    outgoing: Queue,
}

impl Wire {
    fn pair() -> (Self, Self) {
        let (up, down) = (Queue::default(), Queue::default());
        let near = Self {
            incoming: Rc::clone(&down),
            outgoing: Rc::clone(&up),
        };
        let far = Self {
            incoming: up,
            outgoing: down,
        };
        (near, far)
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut queue = self.incoming.borrow_mut();
        let datagram = queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let len = datagram.len().min(buf.len());
        buf[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.borrow_mut().push_back(buf.to_vec());
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
