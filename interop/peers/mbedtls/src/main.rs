//! Mbed TLS as a DTLS 1.2 peer with connection IDs (RFC 9146), driven by lines on standard input.
//!
//! ```text
//! mbedtls-peer client ADDRESS:PORT IDENTITY HEXKEY SUITE [HEXCID] [MTU]
//! mbedtls-peer server ADDRESS:PORT IDENTITY HEXKEY SUITE [HEXCID] [MTU]
//! ```
//!
//! `SUITE` is a number of the registry in hexadecimal. A CID of `-` turns the extension off; an empty one offers to send
//! with the other's CID but wants none. Prints `listening on …` (server), `connected …` with what was agreed,
//! `received LINE` and `closed`. Every line typed is sent as one record; the end of input says goodbye.

use std::error::Error;
use std::ffi::{CStr, c_int, c_uchar, c_void};
use std::net::{SocketAddr, UdpSocket};
use std::ptr::null_mut;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, io, mem, slice, thread};

use mbedtls_rs_sys as sys;

const WANT_READ: c_int = sys::MBEDTLS_ERR_SSL_WANT_READ;
const TIMEOUT: c_int = sys::MBEDTLS_ERR_SSL_TIMEOUT;
/// `MBEDTLS_ERR_NET_SEND_FAILED`, from a module that this build leaves out.
const SEND_FAILED: c_int = -0x004E;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [role, address, identity, key, suite, rest @ ..] = args.as_slice() else {
        return Err("see the comment at the top of the source".into());
    };
    let peer = Peer {
        server: role == "server",
        address: address.parse()?,
        identity: identity.clone(),
        key: from_hex(key)?,
        suite: i32::from_str_radix(suite, 16)?,
        cid: match rest.first().map(String::as_str) {
            None | Some("-") => None,
            Some(hex) => Some(from_hex(hex)?),
        },
        mtu: rest.get(1).map_or(Ok(0), |mtu| mtu.parse())?,
    };
    // SAFETY: every pointer below is to something that lives until `talk` returns, and only this thread uses them.
    unsafe { peer.talk() }
}

struct Peer {
    server: bool,
    address: SocketAddr,
    identity: String,
    key: Vec<u8>,
    suite: c_int,
    cid: Option<Vec<u8>>,
    mtu: u16,
}

/// The socket and where the other end is.
struct Net {
    socket: UdpSocket,
    remote: Option<SocketAddr>,
}

/// The two deadlines that Mbed TLS asks a timer for.
#[derive(Default)]
struct Timer {
    intermediate: Option<Instant>,
    last: Option<Instant>,
}

impl Peer {
    unsafe fn talk(self) -> Result<(), Box<dyn Error>> {
        let mut net = if self.server {
            let socket = UdpSocket::bind(self.address)?;
            println!("listening on {}", socket.local_addr()?);
            Net {
                socket,
                remote: None,
            }
        } else {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            Net {
                socket,
                remote: Some(self.address),
            }
        };
        let mut timer = Timer::default();
        let suites = [self.suite, 0];
        unsafe {
            let mut config: sys::mbedtls_ssl_config = mem::zeroed();
            let mut ssl: sys::mbedtls_ssl_context = mem::zeroed();
            let mut cookies: sys::mbedtls_ssl_cookie_ctx = mem::zeroed();
            sys::mbedtls_ssl_config_init(&raw mut config);
            sys::mbedtls_ssl_init(&raw mut ssl);
            sys::mbedtls_ssl_cookie_init(&raw mut cookies);
            let endpoint = if self.server {
                sys::MBEDTLS_SSL_IS_SERVER
            } else {
                sys::MBEDTLS_SSL_IS_CLIENT
            };
            check(
                "config",
                sys::mbedtls_ssl_config_defaults(
                    &raw mut config,
                    endpoint as c_int,
                    sys::MBEDTLS_SSL_TRANSPORT_DATAGRAM as c_int,
                    sys::MBEDTLS_SSL_PRESET_DEFAULT as c_int,
                ),
            )?;
            sys::mbedtls_ssl_conf_rng(&raw mut config, Some(random), null_mut());
            sys::mbedtls_ssl_conf_ciphersuites(&raw mut config, suites.as_ptr());
            check(
                "psk",
                sys::mbedtls_ssl_conf_psk(
                    &raw mut config,
                    self.key.as_ptr(),
                    self.key.len(),
                    self.identity.as_ptr(),
                    self.identity.len(),
                ),
            )?;
            if self.server {
                check(
                    "cookie",
                    sys::mbedtls_ssl_cookie_setup(&raw mut cookies, Some(random), null_mut()),
                )?;
                sys::mbedtls_ssl_conf_dtls_cookies(
                    &raw mut config,
                    Some(sys::mbedtls_ssl_cookie_write),
                    Some(sys::mbedtls_ssl_cookie_check),
                    (&raw mut cookies).cast(),
                );
            }
            if let Some(cid) = &self.cid {
                let ignore = sys::MBEDTLS_SSL_UNEXPECTED_CID_IGNORE as c_int;
                check(
                    "cid",
                    sys::mbedtls_ssl_conf_cid(&raw mut config, cid.len(), ignore),
                )?;
            }
            check(
                "setup",
                sys::mbedtls_ssl_setup(&raw mut ssl, &raw const config),
            )?;
            self.set_cid(&raw mut ssl)?;
            sys::mbedtls_ssl_set_mtu(&raw mut ssl, self.mtu);
            sys::mbedtls_ssl_set_bio(
                &raw mut ssl,
                (&raw mut net).cast(),
                Some(send),
                Some(receive),
                None,
            );
            sys::mbedtls_ssl_set_timer_cb(
                &raw mut ssl,
                (&raw mut timer).cast(),
                Some(set_timer),
                Some(get_timer),
            );
            self.handshake(&raw mut ssl, &raw mut net)?;
            report(&raw mut ssl)?;
            converse(&raw mut ssl)
        }
    }

    unsafe fn set_cid(&self, ssl: *mut sys::mbedtls_ssl_context) -> Result<(), String> {
        let Some(cid) = &self.cid else { return Ok(()) };
        let on = sys::MBEDTLS_SSL_CID_ENABLED as c_int;
        check("cid", unsafe {
            sys::mbedtls_ssl_set_cid(ssl, on, cid.as_ptr(), cid.len())
        })
    }

    unsafe fn handshake(
        &self,
        ssl: *mut sys::mbedtls_ssl_context,
        net: *mut Net,
    ) -> Result<(), Box<dyn Error>> {
        unsafe {
            if self.server {
                // The cookie is bound to where the client is, which the first datagram tells.
                let mut probe = [0; 1];
                let (_, from) = (*net).socket.peek_from(&mut probe)?;
                (*net).remote = Some(from);
                introduce(ssl, from)?;
            }
            loop {
                match sys::mbedtls_ssl_handshake(ssl) {
                    0 => return Ok(()),
                    WANT_READ => {}
                    sys::MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED => {
                        check("reset", sys::mbedtls_ssl_session_reset(ssl))?;
                        if let Some(from) = (*net).remote {
                            introduce(ssl, from)?;
                        }
                        self.set_cid(ssl)?;
                    }
                    error => check("handshake", error)?,
                }
            }
        }
    }
}

unsafe fn introduce(ssl: *mut sys::mbedtls_ssl_context, from: SocketAddr) -> Result<(), String> {
    let id = from.to_string();
    check("transport", unsafe {
        sys::mbedtls_ssl_set_client_transport_id(ssl, id.as_ptr(), id.len())
    })
}

/// Says what was agreed.
unsafe fn report(ssl: *mut sys::mbedtls_ssl_context) -> Result<(), String> {
    let (mut enabled, mut len) = (0, 0);
    let mut cid = [0; sys::MBEDTLS_SSL_CID_OUT_LEN_MAX as usize];
    unsafe {
        check(
            "peer cid",
            sys::mbedtls_ssl_get_peer_cid(ssl, &raw mut enabled, cid.as_mut_ptr(), &raw mut len),
        )?;
        let suite = CStr::from_ptr(sys::mbedtls_ssl_get_ciphersuite(ssl)).to_string_lossy();
        let hex: String = cid[..len]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let on = if enabled == 0 { "off" } else { "on" };
        println!("connected suite={suite} cid={on} peer_cid={hex}");
    }
    Ok(())
}

/// Sends what is typed and prints what comes, until either end says goodbye.
unsafe fn converse(ssl: *mut sys::mbedtls_ssl_context) -> Result<(), Box<dyn Error>> {
    let (typed, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if typed.send(line).is_err() {
                return;
            }
        }
    });
    let mut buf = [0; 4096];
    loop {
        match lines.try_recv() {
            Ok(line) => {
                let sent = unsafe { sys::mbedtls_ssl_write(ssl, line.as_ptr(), line.len()) };
                check("write", sent.min(0))?;
            }
            Err(mpsc::TryRecvError::Disconnected) => {
                unsafe { sys::mbedtls_ssl_close_notify(ssl) };
                return Ok(());
            }
            Err(mpsc::TryRecvError::Empty) => {}
        }
        match unsafe { sys::mbedtls_ssl_read(ssl, buf.as_mut_ptr(), buf.len()) } {
            len @ 1.. => {
                println!("received {}", String::from_utf8_lossy(&buf[..len as usize]));
            }
            0 | sys::MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY => {
                println!("closed");
                return Ok(());
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

fn from_hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

/// Waits a little, so that the loop around it does not spin.
unsafe extern "C" fn receive(net: *mut c_void, buf: *mut c_uchar, len: usize) -> c_int {
    let net = unsafe { &mut *net.cast::<Net>() };
    let buf = unsafe { slice::from_raw_parts_mut(buf, len) };
    if net
        .socket
        .set_read_timeout(Some(Duration::from_millis(10)))
        .is_err()
    {
        return WANT_READ;
    }
    match net.socket.recv_from(buf) {
        Ok((len, from)) => {
            // A server answers to where the newest datagram came from: good enough for a test.
            net.remote = Some(from);
            len as c_int
        }
        Err(_) => WANT_READ,
    }
}

unsafe extern "C" fn send(net: *mut c_void, buf: *const c_uchar, len: usize) -> c_int {
    let net = unsafe { &*net.cast::<Net>() };
    let buf = unsafe { slice::from_raw_parts(buf, len) };
    match net.remote.map(|remote| net.socket.send_to(buf, remote)) {
        Some(Ok(len)) => len as c_int,
        _ => SEND_FAILED,
    }
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
