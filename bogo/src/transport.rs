//! The runner's packet protocol: datagrams and a virtual clock over one TCP connection.

use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::time::Duration;

/// How long the runner may be silent; it gives us up after 15 s of our silence itself.
const PATIENCE: Duration = Duration::from_mins(1);
/// Longest datagram that is read: what a test sends to be refused is longer than a record.
const MAX_DATAGRAM_LEN: usize = 1 << 17;
/// How much of what the runner still sends is read away at the end.
const MAX_DRAINED: u64 = 1 << 24;

/// What the runner sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A datagram (`P`).
    Datagram(Vec<u8>),
    /// So much time passes (`T`); it has been acknowledged.
    Advance(Duration),
    /// The path now carries so many bytes (`M`).
    Mtu(usize),
    /// The next deadline must be so far away, or there must be none (`E`).
    ExpectTimeout(Option<Duration>),
    /// The first retransmission time-out is now this (`U`).
    InitialTimeout(Duration),
}

/// The connection to the runner.
#[derive(Debug)]
pub(crate) struct Transport {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Transport {
    /// Connects to the runner and says who we are.
    pub(crate) fn connect(port: u16, ipv6: bool, shim_id: u64) -> io::Result<Self> {
        let host: IpAddr = if ipv6 {
            Ipv6Addr::LOCALHOST.into()
        } else {
            Ipv4Addr::LOCALHOST.into()
        };
        let mut writer = TcpStream::connect((host, port))?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(PATIENCE))?;
        writer.set_write_timeout(Some(PATIENCE))?;
        writer.write_all(&shim_id.to_le_bytes())?;
        Ok(Self {
            reader: BufReader::new(writer.try_clone()?),
            writer,
        })
    }

    /// The next command; `None` when the runner has closed its side.
    pub(crate) fn read(&mut self) -> io::Result<Option<Command>> {
        let mut opcode = [0];
        match self.reader.read_exact(&mut opcode) {
            Ok(()) => {}
            // The runner may hang up while what we sent last is unread.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        Ok(Some(match opcode[0] {
            b'P' => {
                let len = self.u32()? as usize;
                if len > MAX_DATAGRAM_LEN {
                    return Err(io::Error::other(format!("a datagram of {len} bytes")));
                }
                let mut datagram = vec![0; len];
                self.reader.read_exact(&mut datagram)?;
                Command::Datagram(datagram)
            }
            b'T' => {
                let time = Duration::from_nanos(self.u64()?);
                // The runner takes what comes before this for sent before the time passed.
                self.writer.write_all(b"t")?;
                Command::Advance(time)
            }
            b'M' => Command::Mtu(self.u32()? as usize),
            b'E' => {
                let time = self.u64()?;
                Command::ExpectTimeout((time != u64::MAX).then(|| Duration::from_nanos(time)))
            }
            b'U' => Command::InitialTimeout(Duration::from_millis(self.u32()?.into())),
            other => return Err(io::Error::other(format!("opcode {other} is not known"))),
        }))
    }

    /// Sends one datagram.
    pub(crate) fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let len = u32::try_from(datagram.len()).map_err(io::Error::other)?;
        let mut packet = Vec::with_capacity(5 + datagram.len());
        packet.push(b'P');
        packet.extend_from_slice(&len.to_be_bytes());
        packet.extend_from_slice(datagram);
        self.writer.write_all(&packet)
    }

    /// Closes our side and waits for the runner to close its own, so that what we said last is not lost.
    pub(crate) fn finish(mut self) {
        // Where the runner has gone already there is nothing to save.
        if self.writer.shutdown(Shutdown::Write).is_ok() {
            let _ = io::copy(
                &mut Read::by_ref(&mut self.reader).take(MAX_DRAINED),
                &mut io::sink(),
            );
        }
    }

    fn u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.reader.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn u64(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.reader.read_exact(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }
}
