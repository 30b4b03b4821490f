//! Mbed TLS as a DTLS 1.2 peer with connection IDs (RFC 9146), driven by lines on standard input; see `peers/common`.

use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::net::SocketAddr;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use std::{fs, io, mem, slice};

use mbedtls_rs_sys as sys;
use peer_common::{AGAIN, Args, End, Net, hex, typed};

const WANT_READ: c_int = sys::MBEDTLS_ERR_SSL_WANT_READ;
const TIMEOUT: c_int = sys::MBEDTLS_ERR_SSL_TIMEOUT;
/// `MBEDTLS_ERR_NET_SEND_FAILED`, from a module that this build leaves out.
const SEND_FAILED: c_int = -0x004E;
/// How long tickets hold, in seconds.
const TICKET_LIFETIME: u32 = 3600;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::read()?;
    let net = args.open()?;
    // SAFETY: every pointer below is to something in the box or in `args`, which live until `run` returns and do not
    // move, and only this thread uses them.
    unsafe { Peer::new(args, net).run() }
}

/// The two deadlines that Mbed TLS asks a timer for.
#[derive(Default)]
struct Timer {
    intermediate: Option<Instant>,
    last: Option<Instant>,
}

/// Everything that Mbed TLS holds pointers to.
struct Peer {
    args: Args,
    net: Net,
    timer: Timer,
    suites: [c_int; 2],
    name: Option<CString>,
    config: sys::mbedtls_ssl_config,
    ssl: sys::mbedtls_ssl_context,
    cookies: sys::mbedtls_ssl_cookie_ctx,
    tickets: sys::mbedtls_ssl_ticket_context,
    cache: sys::mbedtls_ssl_cache_context,
    session: sys::mbedtls_ssl_session,
    own: sys::mbedtls_x509_crt,
    key: sys::mbedtls_pk_context,
    authorities: sys::mbedtls_x509_crt,
    /// The master secrets of this connection and of the one before: a resumed session keeps its own.
    secrets: [Vec<u8>; 2],
}

impl Peer {
    unsafe fn new(args: Args, net: Net) -> Box<Self> {
        // SAFETY: these are structs of C, for which zeros are what `_init` begins with.
        let mut peer = Box::new(unsafe {
            Self {
                suites: [args.suite.into(), 0],
                name: args
                    .name
                    .as_deref()
                    .and_then(|name| CString::new(name).ok()),
                args,
                net,
                timer: Timer::default(),
                config: mem::zeroed(),
                ssl: mem::zeroed(),
                cookies: mem::zeroed(),
                tickets: mem::zeroed(),
                cache: mem::zeroed(),
                session: mem::zeroed(),
                own: mem::zeroed(),
                key: mem::zeroed(),
                authorities: mem::zeroed(),
                secrets: [Vec::new(), Vec::new()],
            }
        });
        unsafe {
            sys::mbedtls_ssl_config_init(&raw mut peer.config);
            sys::mbedtls_ssl_init(&raw mut peer.ssl);
            sys::mbedtls_ssl_cookie_init(&raw mut peer.cookies);
            sys::mbedtls_ssl_ticket_init(&raw mut peer.tickets);
            sys::mbedtls_ssl_cache_init(&raw mut peer.cache);
            sys::mbedtls_ssl_session_init(&raw mut peer.session);
            sys::mbedtls_x509_crt_init(&raw mut peer.own);
            sys::mbedtls_pk_init(&raw mut peer.key);
            sys::mbedtls_x509_crt_init(&raw mut peer.authorities);
        }
        peer
    }

    unsafe fn run(mut self: Box<Self>) -> Result<(), Box<dyn Error>> {
        let lines = typed();
        unsafe {
            self.configure()?;
            let mut left = self.args.sessions;
            loop {
                self.handshake()?;
                self.report()?;
                let end = converse(&raw mut self.ssl, &lines)?;
                left = left.saturating_sub(1);
                match end {
                    End::Again => {
                        check(
                            "session",
                            sys::mbedtls_ssl_get_session(
                                &raw const self.ssl,
                                &raw mut self.session,
                            ),
                        )?;
                        check("reset", sys::mbedtls_ssl_session_reset(&raw mut self.ssl))?;
                        self.net = self.args.open()?;
                        self.prepare()?;
                        check(
                            "session",
                            sys::mbedtls_ssl_set_session(
                                &raw mut self.ssl,
                                &raw const self.session,
                            ),
                        )?;
                    }
                    End::Closed if self.args.server && left > 0 => {
                        check("reset", sys::mbedtls_ssl_session_reset(&raw mut self.ssl))?;
                        self.prepare()?;
                    }
                    End::Closed | End::Done => return Ok(()),
                }
            }
        }
    }

    unsafe fn configure(&mut self) -> Result<(), Box<dyn Error>> {
        let config = &raw mut self.config;
        let endpoint = if self.args.server {
            sys::MBEDTLS_SSL_IS_SERVER
        } else {
            sys::MBEDTLS_SSL_IS_CLIENT
        };
        unsafe {
            check(
                "config",
                sys::mbedtls_ssl_config_defaults(
                    config,
                    endpoint as c_int,
                    sys::MBEDTLS_SSL_TRANSPORT_DATAGRAM as c_int,
                    sys::MBEDTLS_SSL_PRESET_DEFAULT as c_int,
                ),
            )?;
            sys::mbedtls_ssl_conf_rng(config, Some(random), null_mut());
            sys::mbedtls_ssl_conf_ciphersuites(config, self.suites.as_ptr());
            if let Some((identity, key)) = &self.args.psk {
                let (identity, identity_len) = (identity.as_ptr(), identity.len());
                check(
                    "psk",
                    sys::mbedtls_ssl_conf_psk(
                        config,
                        key.as_ptr(),
                        key.len(),
                        identity,
                        identity_len,
                    ),
                )?;
            }
            self.configure_certificates()?;
            if self.args.server {
                self.configure_server()?;
            } else if !self.args.tickets {
                let off = sys::MBEDTLS_SSL_SESSION_TICKETS_DISABLED as c_int;
                sys::mbedtls_ssl_conf_session_tickets(config, off);
            }
            if let Some(cid) = &self.args.cid {
                let ignore = sys::MBEDTLS_SSL_UNEXPECTED_CID_IGNORE as c_int;
                check("cid", sys::mbedtls_ssl_conf_cid(config, cid.len(), ignore))?;
            }
            check("setup", sys::mbedtls_ssl_setup(&raw mut self.ssl, config))?;
            sys::mbedtls_ssl_set_mtu(&raw mut self.ssl, self.args.mtu);
            sys::mbedtls_ssl_set_bio(
                &raw mut self.ssl,
                (&raw mut self.net).cast(),
                Some(send),
                Some(receive),
                None,
            );
            sys::mbedtls_ssl_set_timer_cb(
                &raw mut self.ssl,
                (&raw mut self.timer).cast(),
                Some(set_timer),
                Some(get_timer),
            );
            sys::mbedtls_ssl_set_export_keys_cb(
                &raw mut self.ssl,
                Some(keep_secret),
                (&raw mut self.secrets).cast(),
            );
            self.prepare()?;
        }
        Ok(())
    }

    unsafe fn configure_certificates(&mut self) -> Result<(), Box<dyn Error>> {
        let config = &raw mut self.config;
        unsafe {
            if let Some(file) = &self.args.authority {
                parse_certificates(&raw mut self.authorities, file)?;
                sys::mbedtls_ssl_conf_ca_chain(config, &raw mut self.authorities, null_mut());
            }
            if let (Some(file), Some(key)) = (&self.args.certificate, &self.args.key) {
                parse_certificates(&raw mut self.own, file)?;
                let pem = CString::new(fs::read(key)?)?;
                let pem = pem.as_bytes_with_nul();
                check(
                    "key",
                    sys::mbedtls_pk_parse_key(
                        &raw mut self.key,
                        pem.as_ptr(),
                        pem.len(),
                        null(),
                        0,
                        Some(random),
                        null_mut(),
                    ),
                )?;
                check(
                    "own certificate",
                    sys::mbedtls_ssl_conf_own_cert(config, &raw mut self.own, &raw mut self.key),
                )?;
            }
            let auth = if !self.args.server || self.args.auth {
                sys::MBEDTLS_SSL_VERIFY_REQUIRED
            } else {
                sys::MBEDTLS_SSL_VERIFY_NONE
            };
            sys::mbedtls_ssl_conf_authmode(config, auth as c_int);
        }
        Ok(())
    }

    unsafe fn configure_server(&mut self) -> Result<(), String> {
        let config = &raw mut self.config;
        unsafe {
            check(
                "cookie",
                sys::mbedtls_ssl_cookie_setup(&raw mut self.cookies, Some(random), null_mut()),
            )?;
            sys::mbedtls_ssl_conf_dtls_cookies(
                config,
                Some(sys::mbedtls_ssl_cookie_write),
                Some(sys::mbedtls_ssl_cookie_check),
                (&raw mut self.cookies).cast(),
            );
            if self.args.tickets {
                check(
                    "tickets",
                    sys::mbedtls_ssl_ticket_setup(
                        &raw mut self.tickets,
                        Some(random),
                        null_mut(),
                        sys::mbedtls_cipher_type_t_MBEDTLS_CIPHER_AES_256_GCM,
                        TICKET_LIFETIME,
                    ),
                )?;
                sys::mbedtls_ssl_conf_session_tickets_cb(
                    config,
                    Some(sys::mbedtls_ssl_ticket_write),
                    Some(sys::mbedtls_ssl_ticket_parse),
                    (&raw mut self.tickets).cast(),
                );
            }
            sys::mbedtls_ssl_conf_session_cache(
                config,
                (&raw mut self.cache).cast(),
                Some(sys::mbedtls_ssl_cache_get),
                Some(sys::mbedtls_ssl_cache_set),
            );
        }
        Ok(())
    }

    /// What a reset forgets.
    unsafe fn prepare(&mut self) -> Result<(), String> {
        let name = self.name.as_ref().map_or(null(), |name| name.as_ptr());
        unsafe {
            check(
                "name",
                sys::mbedtls_ssl_set_hostname(&raw mut self.ssl, name),
            )?;
            if let Some(cid) = &self.args.cid {
                let on = sys::MBEDTLS_SSL_CID_ENABLED as c_int;
                check(
                    "cid",
                    sys::mbedtls_ssl_set_cid(&raw mut self.ssl, on, cid.as_ptr(), cid.len()),
                )?;
            }
        }
        Ok(())
    }

    unsafe fn handshake(&mut self) -> Result<(), Box<dyn Error>> {
        let ssl = &raw mut self.ssl;
        unsafe {
            if self.args.server {
                // The cookie is bound to where the client is, which the first datagram tells.
                let from = self.net.await_client();
                introduce(ssl, from)?;
            }
            loop {
                match sys::mbedtls_ssl_handshake(ssl) {
                    0 => return Ok(()),
                    WANT_READ => {}
                    sys::MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED => {
                        check("reset", sys::mbedtls_ssl_session_reset(ssl))?;
                        if let Some(from) = self.net.remote {
                            introduce(ssl, from)?;
                        }
                        self.prepare()?;
                    }
                    error => check("handshake", error)?,
                }
            }
        }
    }

    /// Says what was agreed.
    unsafe fn report(&mut self) -> Result<(), String> {
        let (mut enabled, mut len) = (0, 0);
        let mut cid = [0; sys::MBEDTLS_SSL_CID_OUT_LEN_MAX as usize];
        let ssl = &raw mut self.ssl;
        unsafe {
            check(
                "peer cid",
                sys::mbedtls_ssl_get_peer_cid(
                    ssl,
                    &raw mut enabled,
                    cid.as_mut_ptr(),
                    &raw mut len,
                ),
            )?;
            let suite = CStr::from_ptr(sys::mbedtls_ssl_get_ciphersuite(ssl)).to_string_lossy();
            let certificate = sys::mbedtls_ssl_get_peer_cert(ssl);
            let peer = if certificate.is_null() {
                "none".into()
            } else {
                let mut name = [0 as c_char; 256];
                let subject = &raw const (*certificate).subject;
                sys::mbedtls_x509_dn_gets(name.as_mut_ptr(), name.len(), subject);
                CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned()
            };
            let resumed = self.secrets[0] == self.secrets[1];
            let cid = hex(&cid[..len]);
            let on = if enabled == 0 { "off" } else { "on" };
            println!(
                "connected suite={suite} resumed={resumed} peer={peer} cid={on} peer_cid={cid}"
            );
        }
        Ok(())
    }
}

unsafe fn parse_certificates(
    into: *mut sys::mbedtls_x509_crt,
    file: &Path,
) -> Result<(), Box<dyn Error>> {
    let pem = CString::new(fs::read(file)?)?;
    let pem = pem.as_bytes_with_nul();
    check("certificate", unsafe {
        sys::mbedtls_x509_crt_parse(into, pem.as_ptr(), pem.len())
    })?;
    Ok(())
}

unsafe fn introduce(ssl: *mut sys::mbedtls_ssl_context, from: SocketAddr) -> Result<(), String> {
    let id = from.to_string();
    check("transport", unsafe {
        sys::mbedtls_ssl_set_client_transport_id(ssl, id.as_ptr(), id.len())
    })
}

/// Sends what is typed and prints what comes, until either end says goodbye.
unsafe fn converse(
    ssl: *mut sys::mbedtls_ssl_context,
    lines: &Receiver<String>,
) -> Result<End, Box<dyn Error>> {
    let mut buf = [0; 4096];
    loop {
        let leave = match lines.try_recv() {
            Ok(line) if line == AGAIN => Some(End::Again),
            Ok(line) => {
                let sent = unsafe { sys::mbedtls_ssl_write(ssl, line.as_ptr(), line.len()) };
                check("write", sent.min(0))?;
                None
            }
            Err(TryRecvError::Disconnected) => Some(End::Done),
            Err(TryRecvError::Empty) => None,
        };
        if let Some(end) = leave {
            unsafe { sys::mbedtls_ssl_close_notify(ssl) };
            return Ok(end);
        }
        match unsafe { sys::mbedtls_ssl_read(ssl, buf.as_mut_ptr(), buf.len()) } {
            len @ 1.. => {
                println!("received {}", String::from_utf8_lossy(&buf[..len as usize]));
            }
            0 | sys::MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY => {
                println!("closed");
                return Ok(End::Closed);
            }
            WANT_READ | TIMEOUT => {}
            error => check("read", error)?,
        }
    }
}

fn check(what: &str, result: c_int) -> Result<(), String> {
    match result {
        0 => Ok(()),
        error => Err(format!("{what}: Mbed TLS says -0x{:04x}", -error)),
    }
}

unsafe extern "C" fn receive(net: *mut c_void, buf: *mut c_uchar, len: usize) -> c_int {
    let net = unsafe { &mut *net.cast::<Net>() };
    let buf = unsafe { slice::from_raw_parts_mut(buf, len) };
    net.receive(buf).map_or(WANT_READ, |len| len as c_int)
}

unsafe extern "C" fn send(net: *mut c_void, buf: *const c_uchar, len: usize) -> c_int {
    let net = unsafe { &*net.cast::<Net>() };
    let buf = unsafe { slice::from_raw_parts(buf, len) };
    net.send(buf).map_or(SEND_FAILED, |len| len as c_int)
}

unsafe extern "C" fn keep_secret(
    secrets: *mut c_void,
    _: sys::mbedtls_ssl_key_export_type,
    secret: *const c_uchar,
    len: usize,
    _: *const c_uchar,
    _: *const c_uchar,
    _: sys::mbedtls_tls_prf_types,
) {
    let secrets = unsafe { &mut *secrets.cast::<[Vec<u8>; 2]>() };
    secrets.swap(0, 1);
    secrets[1] = unsafe { slice::from_raw_parts(secret, len) }.to_vec();
}

unsafe extern "C" fn set_timer(timer: *mut c_void, intermediate: u32, last: u32) {
    let timer = unsafe { &mut *timer.cast::<Timer>() };
    let after = |ms| (last != 0).then(|| Instant::now() + Duration::from_millis(u64::from(ms)));
    *timer = Timer {
        intermediate: after(intermediate),
        last: after(last),
    };
}

/// -1 without a deadline, else how many of the two have passed.
unsafe extern "C" fn get_timer(timer: *mut c_void) -> c_int {
    let timer = unsafe { &*timer.cast::<Timer>() };
    let passed = |at: Option<Instant>| c_int::from(at.is_some_and(|at| at <= Instant::now()));
    match timer.last {
        None => -1,
        Some(_) if passed(timer.last) == 1 => 2,
        Some(_) => passed(timer.intermediate),
    }
}

unsafe extern "C" fn random(_: *mut c_void, out: *mut c_uchar, len: usize) -> c_int {
    let out = unsafe { slice::from_raw_parts_mut(out, len) };
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| io::Read::read_exact(&mut file, out));
    if read.is_ok() { 0 } else { -1 }
}

/// The library's own source of random numbers is this program's, too.
#[unsafe(no_mangle)]
unsafe extern "C" fn mbedtls_psa_external_get_random(
    context: *mut c_void,
    out: *mut c_uchar,
    size: usize,
    len: *mut usize,
) -> i32 {
    unsafe { *len = size };
    unsafe { random(context, out, size) }
}
