//! Programs under load, each in a process of its own.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::machine::processor_nanos;

/// The `lockgate` program that was built beside this one.
pub fn lockgate_beside() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name("lockgate");
    path.is_file().then_some(path)
}

/// A server in a process of its own, ended when this is dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `command`, which is to listen at `address`, and waits until it does. What it says goes to `log`.
    pub fn start(mut command: Command, address: SocketAddr, log: &Path) -> io::Result<Self> {
        let file = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        let mut this = Self { child, address };
        match this.wait_until_bound() {
            Ok(()) => Ok(this),
            Err(error) => {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                Err(io::Error::other(format!("{error} {}", said.trim())))
            }
        }
    }

    /// Its address is taken once it listens.
    fn wait_until_bound(&mut self) -> io::Result<()> {
        for _ in 0..250 {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("the server has ended: {status}")));
            }
            if UdpSocket::bind(self.address).is_err() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other("the server does not listen"))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time that it has used, in nanoseconds.
    pub fn processor_nanos(&self) -> io::Result<u64> {
        processor_nanos(self.id()).ok_or_else(|| io::Error::other("the server has ended"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on loopback that was free a moment ago.
pub fn free_address() -> io::Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A plain echo server in a thread, which ends with the process.
pub fn echo() -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    // Many may speak at once; a smaller one is no reason not to answer.
    let _ = set_socket_recv_buffer_size(&socket, 4 << 20);
    std::thread::spawn(move || {
        let mut buf = [0; 2048];
        loop {
            if let Ok((len, from)) = socket.recv_from(&mut buf) {
                let _ = socket.send_to(&buf[..len], from);
            }
        }
    });
    Ok(address)
}

/// A folder for a run's files, removed when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let nanos = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default();
        let name = format!("lockgate-bench-{}-{}", std::process::id(), nanos.as_nanos());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Where something of this name stands in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes such a file.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.file(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
