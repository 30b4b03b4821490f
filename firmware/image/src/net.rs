//! UDP over Ethernet with smoltcp, as a [`Link`].

use core::convert::Infallible;

use lockgate_dtls::Instant;
use lockgate_embedded::{Link, LinkError};
use lockgate_firmware_board::{Clock, Ethernet};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::udp;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};

/// The buffers of the socket, in bytes; with its headers such a datagram fits an Ethernet frame.
const BUFFER_LEN: usize = 1280;

/// The memory of the network stack.
pub struct Packets<'m> {
    ethernet: Ethernet,
    received: ([udp::PacketMetadata; 2], [u8; BUFFER_LEN]),
    to_send: ([udp::PacketMetadata; 2], [u8; BUFFER_LEN]),
    sockets: [SocketStorage<'m>; 1],
}

impl Packets<'_> {
    /// Memory that nothing is in.
    pub const fn new() -> Self {
        Self {
            ethernet: Ethernet::new(),
            received: ([udp::PacketMetadata::EMPTY; 2], [0; BUFFER_LEN]),
            to_send: ([udp::PacketMetadata::EMPTY; 2], [0; BUFFER_LEN]),
            sockets: [SocketStorage::EMPTY],
        }
    }
}

impl Default for Packets<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// One UDP socket to the emulator's host.
pub struct Network<'m> {
    ethernet: &'m mut Ethernet,
    interface: Interface,
    sockets: SocketSet<'m>,
    socket: SocketHandle,
    peer: IpEndpoint,
    clock: Clock,
}

impl<'m> Network<'m> {
    /// Starts the network, with a socket at `local_port` to the host's `port`.
    pub fn start(packets: &'m mut Packets<'m>, local_port: u16, port: u16) -> Self {
        let mut clock = Clock::start();
        let ethernet = &mut packets.ethernet;
        ethernet.start();
        let address = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 1]));
        let start = smoltcp::time::Instant::from_micros(clock.micros().cast_signed());
        let mut interface = Interface::new(Config::new(address), ethernet, start);
        interface.update_ip_addrs(|addresses| {
            // The list is empty, so that there is room for one.
            let _ = addresses.push(IpCidr::new(IpAddress::v4(10, 0, 2, 15), 24));
        });
        let mut sockets = SocketSet::new(&mut packets.sockets[..]);
        let mut socket = udp::Socket::new(
            udp::PacketBuffer::new(&mut packets.received.0[..], &mut packets.received.1[..]),
            udp::PacketBuffer::new(&mut packets.to_send.0[..], &mut packets.to_send.1[..]),
        );
        // Only port 0 or a socket in use is refused.
        let _ = socket.bind(local_port);
        let socket = sockets.add(socket);
        Self {
            ethernet,
            interface,
            sockets,
            socket,
            peer: IpEndpoint::new(IpAddress::v4(10, 0, 2, 2), port),
            clock,
        }
    }

    /// The time since the start.
    pub fn now(&mut self) -> Instant {
        Instant::from_micros(self.clock.micros())
    }

    /// The clock.
    pub fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    fn poll(&mut self) {
        let now = smoltcp::time::Instant::from_micros(self.clock.micros().cast_signed());
        self.interface.poll(now, self.ethernet, &mut self.sockets);
    }
}

impl Link for Network<'_> {
    type Error = Infallible;

    // smoltcp forbids fragments on the way in each packet that it does not cut itself, which it is not built to do. What is
    // longer would never find room.
    fn max_datagram(&self) -> usize {
        BUFFER_LEN
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), LinkError<Infallible>> {
        let peer = self.peer;
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.socket);
        let sent = socket.send_slice(datagram, peer);
        self.poll();
        sent.map_err(|_| LinkError::Busy)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, LinkError<Infallible>> {
        self.poll();
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.socket);
        match socket.recv_slice(buffer) {
            Ok((len, _)) => Ok(Some(len)),
            Err(udp::RecvError::Exhausted) => Ok(None),
            Err(udp::RecvError::Truncated) => Err(LinkError::Oversized),
        }
    }
}
