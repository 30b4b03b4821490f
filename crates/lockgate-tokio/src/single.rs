//! One connection to one server, without its socket: what the async and the blocking client have in common.

use std::collections::VecDeque;
use std::net::SocketAddr;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::config::{MAX_HEADROOM, MAX_TAILROOM};
use lockgate_dtls::{
    CloseReason, ConnectionHandle, ConnectionInfo, Datagram, EndpointConfig, Event, Instant,
    Received,
};

use crate::{ClientOptions, Clock, Endpoint, Error, MAX_DATAGRAM_LEN, Path};

pub(crate) struct Single {
    endpoint: Endpoint,
    connection: ConnectionHandle,
    pub(crate) server: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) options: ClientOptions,
    pub(crate) incoming: Box<[u8]>,
    outgoing: Box<[u8]>,
    /// Application data that came in one UDP datagram with other records. Nothing is received before it is read, so it is
    /// never more than one datagram holds.
    ready: VecDeque<Box<[u8]>>,
    pub(crate) established: bool,
    closed: Option<CloseReason>,
}

impl Single {
    /// Begins a handshake.
    pub(crate) fn connect(server: SocketAddr, options: ClientOptions) -> Result<Box<Self>, Error> {
        let clock = Clock::start();
        let config = EndpointConfig {
            config: options.config,
            server: false,
            max_connections: 1,
            key_cache: 1,
            ..EndpointConfig::default()
        };
        let mut endpoint = Endpoint::new(AwsLc, clock.now(), config)?;
        let path = Path::new(server, 0);
        let connection = endpoint.connect(clock.now(), path, &options.server_name)?;
        Ok(Box::new(Self {
            endpoint,
            connection,
            server,
            clock,
            options,
            incoming: vec![0; MAX_DATAGRAM_LEN].into(),
            outgoing: vec![0; MAX_HEADROOM + MAX_DATAGRAM_LEN + MAX_TAILROOM].into(),
            ready: VecDeque::new(),
            established: false,
            closed: None,
        }))
    }

    /// Hears what happened; an error when the connection is over and all has been read.
    pub(crate) fn follow_events(&mut self) -> Result<(), Error> {
        while let Some((_, event)) = self.endpoint.poll_event() {
            match event {
                Event::PskRequested => self.endpoint.provide_identity(
                    self.clock.now(),
                    self.connection,
                    &self.options.identity,
                    &self.options.psk,
                )?,
                Event::Connected => self.established = true,
                Event::Closed(reason) => self.closed = Some(reason),
                // The configuration asks for none of the rest.
                _ => {}
            }
        }
        Ok(())
    }

    /// Why the connection is over, if it is.
    pub(crate) fn end(&self) -> Result<(), Error> {
        self.closed.map_or(Ok(()), |reason| Err(reason.into()))
    }

    /// The next datagram that the engine sends by itself.
    pub(crate) fn next_transmit(&mut self) -> Option<&[u8]> {
        let now = self.clock.now();
        let next = self.endpoint.poll_transmit(now, &mut self.outgoing)?;
        Some(&self.outgoing[..next.len])
    }

    /// A payload as a record.
    pub(crate) fn seal(&mut self, payload: &[u8]) -> Result<&[u8], Error> {
        if let Some(reason) = self.closed {
            return Err(Error::Closed(reason));
        }
        let (record, _) = self
            .endpoint
            .send(self.connection, payload, &mut self.outgoing)?;
        Ok(&self.outgoing[record])
    }

    /// When to come back if nothing comes.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }

    pub(crate) fn handle_timeout(&mut self) {
        self.endpoint.handle_timeout(self.clock.now());
    }

    /// Takes in the first `len` bytes of [`Single::incoming`].
    pub(crate) fn take_in(&mut self, len: usize) {
        let now = self.clock.now();
        let path = Path::new(self.server, 0);
        let mut datagram = Datagram::new(&mut self.incoming[..len]);
        while let Some(received) = self.endpoint.handle(now, path, &mut datagram) {
            if let Received::Application { payload, .. } = received {
                self.ready.push_back(datagram.bytes()[payload].into());
            }
        }
    }

    /// The next application data that came; its length in `out`, which cuts what is longer.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Option<usize> {
        let datagram = self.ready.pop_front()?;
        let len = datagram.len().min(out.len());
        out[..len].copy_from_slice(&datagram[..len]);
        Some(len)
    }

    pub(crate) fn close(&mut self) {
        self.endpoint.close(self.connection);
    }

    pub(crate) fn info(&self) -> Option<ConnectionInfo<Path>> {
        self.endpoint.info(self.connection)
    }
}
