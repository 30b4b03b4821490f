//! Which of many sockets can be read.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// A set of sockets with a number each, level-triggered.
pub struct Epoll(OwnedFd);

/// Room for what [`Epoll::wait`] finds.
pub struct Ready([Event; 128]);

impl Ready {
    /// Nothing found yet.
    pub const fn new() -> Self {
        let none = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        Self([none; 128])
    }
}

impl Default for Ready {
    fn default() -> Self {
        Self::new()
    }
}

impl Epoll {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Adds a socket under a number.
    pub fn add(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        let data = EventData::new_u64(number as u64);
        Ok(epoll::add(&self.0, socket, data, EventFlags::IN)?)
    }

    /// The numbers of those that can be read; none when `timeout` passes first.
    pub fn wait<'a>(
        &self,
        ready: &'a mut Ready,
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = usize> + use<'a>> {
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        let count = match epoll::wait(&self.0, &mut ready.0, timeout.as_ref()) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(ready
            .0
            .iter()
            .take(count)
            .map(|event| event.data.u64() as usize))
    }
}
