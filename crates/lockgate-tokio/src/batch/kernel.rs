//! `recvmmsg` and `sendmmsg`.
//!
//! The safe crates that wrap them either allocate the control message of each datagram (nix) or send one control message
//! with all of them, or to one destination at a time (quinn-udp); a server answers many peers from the address that each
//! of them used.
#![allow(unsafe_code, reason = "the structures of the two calls hold pointers")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nix::libc;

/// How many datagrams one call takes or sends at most.
pub(super) const MAX_MESSAGES: usize = 64;

/// Room for the address of ours in a control message, aligned as its header must be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// With room for two short messages before it, which whoever made the socket may have asked for.
// SAFETY: only computes lengths.
const CONTROL_LEN: usize = unsafe {
    libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as u32)
        + 2 * libc::CMSG_SPACE(size_of::<u64>() as u32)
} as usize;

/// What the kernel says, or is told, of one datagram besides its bytes.
#[derive(Clone, Copy)]
pub(super) struct Letter {
    /// The datagram's length.
    pub(super) len: usize,
    /// Who sent it.
    pub(super) from: Option<SocketAddr>,
    /// The address of ours that it came to.
    pub(super) to: Option<IpAddr>,
    name: libc::sockaddr_storage,
    control: Control,
}

impl Letter {
    pub(super) const fn new() -> Self {
        Self {
            len: 0,
            from: None,
            to: None,
            // SAFETY: plain numbers and bytes, for which zero is a value.
            name: unsafe { MaybeUninit::zeroed().assume_init() },
            control: Control([0; CONTROL_LEN]),
        }
    }
}

/// One datagram to send.
pub(super) struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) to: SocketAddr,
    /// The address of ours that it leaves from; the kernel chooses where there is none.
    pub(super) from: Option<IpAddr>,
}

/// The headers of one call. They live on the stack: what they point to is borrowed for as long as the call takes.
struct Headers {
    parts: [MaybeUninit<libc::iovec>; MAX_MESSAGES],
    messages: [MaybeUninit<libc::mmsghdr>; MAX_MESSAGES],
    count: usize,
}

impl Headers {
    const fn new() -> Self {
        Self {
            parts: [const { MaybeUninit::uninit() }; MAX_MESSAGES],
            messages: [const { MaybeUninit::uninit() }; MAX_MESSAGES],
            count: 0,
        }
    }

    /// Adds one message. The pointers are only read by the system call.
    fn push(
        &mut self,
        (base, len): (*mut libc::c_void, usize),
        (name, name_len): (*mut libc::sockaddr_storage, usize),
        (control, control_len): (*mut Control, usize),
    ) {
        let part = self.parts[self.count].write(libc::iovec {
            iov_base: base,
            iov_len: len,
        });
        // SAFETY: numbers and pointers, for which zero is a value. Written so because some systems pad the structure.
        let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.msg_hdr.msg_name = name.cast();
        header.msg_hdr.msg_namelen = name_len as libc::socklen_t;
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        if control_len > 0 {
            header.msg_hdr.msg_control = control.cast();
            header.msg_hdr.msg_controllen = control_len as _;
        }
        self.messages[self.count].write(header);
        self.count += 1;
    }

    /// The message at `n`, which has been added.
    fn get(&self, n: usize) -> &libc::mmsghdr {
        assert!(n < self.count);
        // SAFETY: `push` has written all below `count`.
        unsafe { self.messages[n].assume_init_ref() }
    }
}

/// Takes datagrams into `slots`, one each, and what is to say of them into `letters`; as many as there are of both, and
/// at most [`MAX_MESSAGES`]. Never waits. With `addresses`, the socket tells where datagrams came to, and is asked.
///
/// What is longer than its slot is cut.
pub(super) fn receive<'a>(
    socket: BorrowedFd<'_>,
    slots: impl Iterator<Item = &'a mut [u8]>,
    letters: &mut [Letter],
    addresses: bool,
) -> io::Result<usize> {
    let mut call = Headers::new();
    let control_len = if addresses { CONTROL_LEN } else { 0 };
    for (slot, letter) in slots.zip(letters.iter_mut()).take(MAX_MESSAGES) {
        call.push(
            (slot.as_mut_ptr().cast(), slot.len()),
            (&raw mut letter.name, size_of::<libc::sockaddr_storage>()),
            (&raw mut letter.control, control_len),
        );
    }
    // SAFETY: `count` headers have been written; each points to a part that lives in `call`, a slot, a name and a control
    // buffer that are borrowed mutably until this function returns, with their true lengths, and no two to the same.
    let taken = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            call.messages.as_mut_ptr().cast(),
            call.count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let taken = usize::try_from(taken).map_err(|_| io::Error::last_os_error())?;
    for (n, letter) in letters.iter_mut().enumerate().take(taken) {
        let header = call.get(n);
        letter.len = header.msg_len as usize;
        letter.from = socket_addr(&letter.name, header.msg_hdr.msg_namelen as usize);
        letter.to = if addresses {
            own_address(&header.msg_hdr)
        } else {
            None
        };
    }
    Ok(taken)
}

/// Hands messages to the kernel, at most as many as there are `letters` to write their addresses into and at most
/// [`MAX_MESSAGES`]; how many it took. An error is that of the first message; what happens to a later one is
/// said when it is the first.
pub(super) fn send<'a>(
    socket: BorrowedFd<'_>,
    messages: impl Iterator<Item = Message<'a>>,
    letters: &mut [Letter],
) -> io::Result<usize> {
    let mut call = Headers::new();
    for (message, letter) in messages.zip(letters.iter_mut()).take(MAX_MESSAGES) {
        let name_len = write_name(&mut letter.name, message.to);
        let control_len = message.from.map_or(0, |from| {
            write_control(&mut letter.control, from, message.to)
        });
        call.push(
            (
                message.bytes.as_ptr().cast_mut().cast(),
                message.bytes.len(),
            ),
            (&raw mut letter.name, name_len),
            (&raw mut letter.control, control_len),
        );
    }
    // SAFETY: as in `receive`; the kernel only reads from what the headers point to, and writes `msg_len`, which is in
    // `call`.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            call.messages.as_mut_ptr().cast(),
            call.count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn socket_addr(name: &libc::sockaddr_storage, len: usize) -> Option<SocketAddr> {
    let name = ptr::from_ref(name);
    // SAFETY: the storage is as long as the longest address and aligned for each of them, and was written whole at the
    // beginning; both structures are plain numbers, so whatever the bytes are, they can be read as one.
    match unsafe { libc::c_int::from((*name).ss_family) } {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: as above.
            let v4 = unsafe { name.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let v6 = unsafe { name.cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let (port, flow, scope) = (
                u16::from_be(v6.sin6_port),
                v6.sin6_flowinfo,
                v6.sin6_scope_id,
            );
            Some(SocketAddrV6::new(ip, port, flow, scope).into())
        }
        _ => None,
    }
}

/// Writes an address as the kernel reads it; its length.
fn write_name(name: &mut libc::sockaddr_storage, address: SocketAddr) -> usize {
    let name = ptr::from_mut(name);
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: plain numbers, for which zero is a value; the storage takes every kind of address.
            let mut raw: libc::sockaddr_in = unsafe { MaybeUninit::zeroed().assume_init() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            // SAFETY: as above.
            unsafe { name.cast::<libc::sockaddr_in>().write(raw) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let mut raw: libc::sockaddr_in6 = unsafe { MaybeUninit::zeroed().assume_init() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_flowinfo = v6.flowinfo();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            // SAFETY: as above.
            unsafe { name.cast::<libc::sockaddr_in6>().write(raw) };
            size_of::<libc::sockaddr_in6>()
        }
    }
}

/// The address that an answer can leave from, if the message tells it: a group is none.
fn own_address(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the kernel has filled the control buffer and its length into this header, and both live; the macros stay
    // within that length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    let mut found = None;
    while !next.is_null() {
        // SAFETY: not null, so a whole header lies there, aligned.
        let control = unsafe { &*next };
        // SAFETY: the data follow the header.
        let data = unsafe { libc::CMSG_DATA(next) };
        // Where others came before it, the last one may be cut.
        let holds = |len: usize| {
            // SAFETY: only computes a length.
            control.cmsg_len as usize >= unsafe { libc::CMSG_LEN(len as u32) } as usize
        };
        match (control.cmsg_level, control.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if holds(size_of::<libc::in_pktinfo>()) => {
                // SAFETY: this kind carries this structure, whole as its length says; it may lie unaligned.
                let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                // Not the destination in the header, which may be a broadcast.
                found = Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if holds(size_of::<libc::in6_pktinfo>()) => {
                // SAFETY: as above.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                found = Some(IpAddr::from(info.ipi6_addr.s6_addr));
            }
            _ => {}
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    found.filter(|address: &IpAddr| {
        let canonical = address.to_canonical();
        !canonical.is_multicast() && !canonical.is_unspecified()
    })
}

/// Has a datagram to `to` leave from `from`; the length of the control message.
fn write_control(control: &mut Control, from: IpAddr, to: SocketAddr) -> usize {
    match from {
        IpAddr::V4(from) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(from.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            write_one(control, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
        }
        IpAddr::V6(from) => {
            let scope = match to {
                SocketAddr::V4(_) => 0,
                SocketAddr::V6(to) => to.scope_id(),
            };
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: from.octets(),
                },
                ipi6_ifindex: scope as _,
            };
            write_one(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        }
    }
}

fn write_one<T: Copy>(control: &mut Control, level: i32, kind: i32, value: T) -> usize {
    const { assert!(size_of::<T>() <= size_of::<libc::in6_pktinfo>()) };
    let len = size_of::<T>() as u32;
    let header = ptr::from_mut(control).cast::<libc::cmsghdr>();
    // SAFETY: the buffer is aligned for the header and holds one with the longest value, which is not shorter than this
    // one.
    unsafe {
        (*header).cmsg_len = libc::CMSG_LEN(len) as _;
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        libc::CMSG_SPACE(len) as usize
    }
}
