//! wolfSSL as a DTLS 1.2 peer with connection IDs (RFC 9146), driven by lines on standard input; see `peers/common`.

use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_uint, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::slice;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use peer_common::{AGAIN, Args, End, Net, hex, typed};
use wolfssl_sys as sys;

/// What wolfSSL's functions return when all went well.
const SUCCESS: c_int = 1;

/// Callbacks for keys get no pointer of ours, so they find the arguments here.
static ARGS: OnceLock<Args> = OnceLock::new();

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::read()?;
    let net = args.open()?;
    let args = ARGS.get_or_init(|| args);
    // SAFETY: what wolfSSL keeps pointers to is either copied by it, or stands in `Conversation::net`, which lives in a box
    // as long as the `WOLFSSL` does; only this thread uses any of it.
    unsafe { run(args, net) }
}

/// One connection at a time.
struct Conversation {
    ssl: *mut sys::WOLFSSL,
    net: Box<Net>,
    /// When the other end was last heard, or wolfSSL's timer ran out.
    quiet_since: Instant,
}

unsafe fn run(args: &Args, net: Net) -> Result<(), Box<dyn Error>> {
    let lines = typed();
    let mut left = args.sessions;
    let mut net = Box::new(net);
    let mut session: *mut sys::WOLFSSL_SESSION = null_mut();
    unsafe {
        sys::wolfSSL_Init();
        let context = configure(args)?;
        loop {
            if args.server {
                net.await_client();
            }
            let mut talk = Conversation::new(args, context, net)?;
            if !session.is_null() {
                check(
                    &talk,
                    "session",
                    sys::wolfSSL_set_session(talk.ssl, session),
                )?;
            }
            talk.handshake(args)?;
            talk.report(args);
            let end = talk.converse(&lines)?;
            left = left.saturating_sub(1);
            match end {
                End::Again => {
                    session = sys::wolfSSL_get1_session(talk.ssl);
                    net = Box::new(args.open()?);
                }
                End::Closed if args.server && left > 0 => net = talk.net,
                End::Closed | End::Done => return Ok(()),
            }
            sys::wolfSSL_free(talk.ssl);
        }
    }
}

unsafe fn configure(args: &Args) -> Result<*mut sys::WOLFSSL_CTX, Box<dyn Error>> {
    unsafe {
        let context = sys::wolfSSL_CTX_new(if args.server {
            sys::wolfDTLSv1_2_server_method()
        } else {
            sys::wolfDTLSv1_2_client_method()
        });
        if context.is_null() {
            return Err("there is no memory".into());
        }
        let [high, low] = args.suite.to_be_bytes();
        let suite = sys::wolfSSL_get_cipher_name_from_suite(high, low);
        must("suite", sys::wolfSSL_CTX_set_cipher_list(context, suite))?;
        sys::wolfSSL_CTX_SetIORecv(context, Some(receive));
        sys::wolfSSL_CTX_SetIOSend(context, Some(send));
        sys::wolfSSL_CTX_SetGenCookie(context, Some(cookie));
        if args.psk.is_some() {
            sys::wolfSSL_CTX_set_psk_client_callback(context, Some(client_psk));
            sys::wolfSSL_CTX_set_psk_server_callback(context, Some(server_psk));
        }
        let format = if args.raw {
            sys::WOLFSSL_FILETYPE_ASN1
        } else {
            sys::WOLFSSL_FILETYPE_PEM
        };
        if let Some(file) = &args.certificate {
            let loaded = sys::wolfSSL_CTX_use_certificate_file(
                context,
                path(file)?.as_ptr(),
                format as c_int,
            );
            must("certificate", loaded)?;
        }
        if let Some(file) = &args.key {
            let pem = sys::WOLFSSL_FILETYPE_PEM as c_int;
            let loaded = sys::wolfSSL_CTX_use_PrivateKey_file(context, path(file)?.as_ptr(), pem);
            must("key", loaded)?;
        }
        if let Some(file) = &args.authority {
            let loaded =
                sys::wolfSSL_CTX_load_verify_locations(context, path(file)?.as_ptr(), null());
            must("authority", loaded)?;
        }
        if args.raw {
            let types = [sys::WOLFSSL_CERT_TYPE_RPK as c_char];
            must(
                "type",
                sys::wolfSSL_CTX_set_server_cert_type(context, types.as_ptr(), 1),
            )?;
            must(
                "type",
                sys::wolfSSL_CTX_set_client_cert_type(context, types.as_ptr(), 1),
            )?;
        }
        let ask = sys::WOLFSSL_VERIFY_PEER | sys::WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        let mode = if !args.server || args.auth {
            ask
        } else {
            sys::WOLFSSL_VERIFY_NONE
        };
        let callback: sys::VerifyCallback = if args.raw { Some(accept) } else { None };
        sys::wolfSSL_CTX_set_verify(context, mode as c_int, callback);
        if !args.tickets {
            sys::wolfSSL_CTX_NoTicketTLSv12(context);
        } else if !args.server {
            must("ticket", sys::wolfSSL_CTX_UseSessionTicket(context))?;
        }
        Ok(context)
    }
}

impl Conversation {
    unsafe fn new(
        args: &Args,
        context: *mut sys::WOLFSSL_CTX,
        mut net: Box<Net>,
    ) -> Result<Self, Box<dyn Error>> {
        unsafe {
            let ssl = sys::wolfSSL_new(context);
            if ssl.is_null() {
                return Err("there is no memory".into());
            }
            let pointer: *mut Net = &raw mut *net;
            sys::wolfSSL_SetIOReadCtx(ssl, pointer.cast());
            sys::wolfSSL_SetIOWriteCtx(ssl, pointer.cast());
            sys::wolfSSL_SetCookieCtx(ssl, pointer.cast());
            sys::wolfSSL_dtls_set_using_nonblock(ssl, 1);
            let talk = Self {
                ssl,
                net,
                quiet_since: Instant::now(),
            };
            if let Some(name) = &args.name {
                let text = CString::new(name.as_str())?;
                check(
                    &talk,
                    "name",
                    sys::wolfSSL_check_domain_name(ssl, text.as_ptr()),
                )?;
                let host = sys::WOLFSSL_SNI_HOST_NAME as c_uchar;
                let len = name.len() as u16;
                let asked = sys::wolfSSL_UseSNI(ssl, host, name.as_ptr().cast(), len);
                check(&talk, "name", asked)?;
            }
            if let Some(cid) = &args.cid {
                let mut cid = cid.clone();
                check(&talk, "cid", sys::wolfSSL_dtls_cid_use(ssl))?;
                let set = sys::wolfSSL_dtls_cid_set(ssl, cid.as_mut_ptr(), cid.len() as c_uint);
                check(&talk, "cid", set)?;
            }
            if args.mtu != 0 {
                check(&talk, "mtu", sys::wolfSSL_dtls_set_mtu(ssl, args.mtu))?;
            }
            Ok(talk)
        }
    }

    unsafe fn handshake(&mut self, args: &Args) -> Result<(), String> {
        loop {
            let result = unsafe {
                if args.server {
                    sys::wolfSSL_accept(self.ssl)
                } else {
                    sys::wolfSSL_connect(self.ssl)
                }
            };
            if result == SUCCESS {
                return Ok(());
            }
            unsafe { self.wait("handshake", result)? };
        }
    }

    /// Says what was agreed.
    unsafe fn report(&self, args: &Args) {
        unsafe {
            let suite = sys::wolfSSL_get_current_cipher_suite(self.ssl);
            let resumed = sys::wolfSSL_session_reused(self.ssl) == 1;
            let mut kind = -1;
            if args.server {
                sys::wolfSSL_get_negotiated_client_cert_type(self.ssl, &raw mut kind);
            } else {
                sys::wolfSSL_get_negotiated_server_cert_type(self.ssl, &raw mut kind);
            }
            let raw = kind == sys::WOLFSSL_CERT_TYPE_RPK as c_int;
            let certificate = sys::wolfSSL_get_peer_certificate(self.ssl);
            let peer = if raw {
                "a raw public key".into()
            } else if certificate.is_null() {
                "none".into()
            } else {
                let name = sys::wolfSSL_X509_get_subjectCN(certificate);
                CStr::from_ptr(name).to_string_lossy().into_owned()
            };
            let on = if sys::wolfSSL_dtls_cid_is_enabled(self.ssl) == 1 {
                "on"
            } else {
                "off"
            };
            let mut len = 0;
            sys::wolfSSL_dtls_cid_get_tx_size(self.ssl, &raw mut len);
            let mut cid = vec![0; len as usize];
            sys::wolfSSL_dtls_cid_get_tx(self.ssl, cid.as_mut_ptr(), len);
            let cid = hex(&cid);
            println!(
                "connected suite={suite:04x} resumed={resumed} peer={peer} cid={on} peer_cid={cid}"
            );
        }
    }

    /// Sends what is typed and prints what comes, until either end says goodbye.
    unsafe fn converse(&mut self, lines: &Receiver<String>) -> Result<End, Box<dyn Error>> {
        let mut buf = [0; 4096];
        loop {
            let leave = match lines.try_recv() {
                Ok(line) if line == AGAIN => Some(End::Again),
                Ok(line) => {
                    let len = line.len() as c_int;
                    let sent = unsafe { sys::wolfSSL_write(self.ssl, line.as_ptr().cast(), len) };
                    if sent != len {
                        return Err(self.error("write", sent).into());
                    }
                    None
                }
                Err(TryRecvError::Disconnected) => Some(End::Done),
                Err(TryRecvError::Empty) => None,
            };
            if let Some(end) = leave {
                unsafe { sys::wolfSSL_shutdown(self.ssl) };
                return Ok(end);
            }
            let room = buf.len() as c_int;
            let read = unsafe { sys::wolfSSL_read(self.ssl, buf.as_mut_ptr().cast(), room) };
            if read > 0 {
                println!(
                    "received {}",
                    String::from_utf8_lossy(&buf[..read as usize])
                );
            } else if unsafe { sys::wolfSSL_get_error(self.ssl, read) }
                == sys::WOLFSSL_ERROR_ZERO_RETURN as c_int
            {
                println!("closed");
                return Ok(End::Closed);
            } else {
                unsafe { self.wait("read", read)? };
            }
        }
    }

    /// After a call that could not finish: lets wolfSSL's timer run, or says what is wrong.
    unsafe fn wait(&mut self, what: &str, result: c_int) -> Result<(), String> {
        unsafe {
            if sys::wolfSSL_get_error(self.ssl, result) != sys::WOLFSSL_ERROR_WANT_READ as c_int {
                return Err(self.error(what, result));
            }
            let patience = sys::wolfSSL_dtls_get_current_timeout(self.ssl).max(1);
            if what == "handshake"
                && self.quiet_since.elapsed() > Duration::from_secs(patience as u64)
            {
                self.quiet_since = Instant::now();
                let repeated = sys::wolfSSL_dtls_got_timeout(self.ssl);
                let error = sys::wolfSSL_get_error(self.ssl, repeated);
                if repeated != SUCCESS && error != sys::WOLFSSL_ERROR_WANT_READ as c_int {
                    return Err(self.error("repeat", repeated));
                }
            }
        }
        Ok(())
    }

    fn error(&self, what: &str, result: c_int) -> String {
        let mut text = [0 as c_char; 80];
        let text = unsafe {
            let error = sys::wolfSSL_get_error(self.ssl, result);
            sys::wolfSSL_ERR_error_string(error as _, text.as_mut_ptr());
            CStr::from_ptr(text.as_ptr())
        };
        format!("{what}: wolfSSL says {}", text.to_string_lossy())
    }
}

fn check(talk: &Conversation, what: &str, result: c_int) -> Result<(), String> {
    if result == SUCCESS {
        Ok(())
    } else {
        Err(talk.error(what, result))
    }
}

fn must(what: &str, result: c_int) -> Result<(), String> {
    if result == SUCCESS {
        Ok(())
    } else {
        Err(format!("{what}: wolfSSL says {result}"))
    }
}

fn path(path: &Path) -> Result<CString, Box<dyn Error>> {
    Ok(CString::new(path.to_str().ok_or("a path in UTF-8")?)?)
}

unsafe extern "C" fn receive(
    _: *mut sys::WOLFSSL,
    buf: *mut c_char,
    len: c_int,
    net: *mut c_void,
) -> c_int {
    let net = unsafe { &mut *net.cast::<Net>() };
    let buf = unsafe { slice::from_raw_parts_mut(buf.cast::<u8>(), len as usize) };
    match net.receive(buf) {
        Some(len) => len as c_int,
        None => sys::IOerrors_WOLFSSL_CBIO_ERR_WANT_READ,
    }
}

unsafe extern "C" fn send(
    _: *mut sys::WOLFSSL,
    buf: *mut c_char,
    len: c_int,
    net: *mut c_void,
) -> c_int {
    let net = unsafe { &*net.cast::<Net>() };
    let buf = unsafe { slice::from_raw_parts(buf.cast::<u8>(), len as usize) };
    // What cannot be sent is as good as lost on the way.
    let _ = net.send(buf);
    len
}

/// Bound to where the client is, which is all that a test needs.
unsafe extern "C" fn cookie(
    _: *mut sys::WOLFSSL,
    buf: *mut c_uchar,
    len: c_int,
    net: *mut c_void,
) -> c_int {
    let net = unsafe { &*net.cast::<Net>() };
    let buf = unsafe { slice::from_raw_parts_mut(buf, len as usize) };
    let port = net.remote.map_or(0, |remote| remote.port()).to_be_bytes();
    for (byte, port) in buf.iter_mut().zip(port.iter().cycle()) {
        *byte = *port;
    }
    len
}

unsafe extern "C" fn client_psk(
    _: *mut sys::WOLFSSL,
    _: *const c_char,
    identity: *mut c_char,
    identity_len: c_uint,
    key: *mut c_uchar,
    key_len: c_uint,
) -> c_uint {
    let Some((own, own_key)) = ARGS.get().and_then(|args| args.psk.as_ref()) else {
        return 0;
    };
    if own.len() >= identity_len as usize || own_key.len() > key_len as usize {
        return 0;
    }
    let room = unsafe { slice::from_raw_parts_mut(identity.cast::<u8>(), own.len() + 1) };
    room[..own.len()].copy_from_slice(own.as_bytes());
    room[own.len()] = 0;
    unsafe { slice::from_raw_parts_mut(key, own_key.len()) }.copy_from_slice(own_key);
    own_key.len() as c_uint
}

unsafe extern "C" fn server_psk(
    _: *mut sys::WOLFSSL,
    identity: *const c_char,
    key: *mut c_uchar,
    key_len: c_uint,
) -> c_uint {
    let said = unsafe { CStr::from_ptr(identity) };
    match ARGS.get().and_then(|args| args.psk.as_ref()) {
        Some((own, own_key))
            if said.to_bytes() == own.as_bytes() && own_key.len() <= key_len as usize =>
        {
            unsafe { slice::from_raw_parts_mut(key, own_key.len()) }.copy_from_slice(own_key);
            own_key.len() as c_uint
        }
        _ => 0,
    }
}

/// Raw public keys are accepted, whatever they are.
unsafe extern "C" fn accept(_: c_int, _: *mut sys::WOLFSSL_X509_STORE_CTX) -> c_int {
    1
}
