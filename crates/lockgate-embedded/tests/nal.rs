//! The asynchronous driver, over a socket of `embedded-nal-async`'s traits that leads to a server of ours.
#![cfg(feature = "nal")]

mod common;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::{Wire, config, provider};
use embedded_hal_async::delay::DelayNs;
use embedded_nal_async::ConnectedUdp;
use lockgate_dtls::{CloseReason, HandshakeError, Instant, WaitingFor};
use lockgate_embedded::nal::{AsyncError, Driver};
use lockgate_embedded::{
    Buffers, Credentials, Link, MIN_RECEIVE_LEN, MIN_TRANSMIT_LEN, SCRATCH_LEN, Session,
};

const WHO: Credentials<'static> = Credentials {
    identity: b"sensor-17",
    key: b"secret",
};

struct Socket(Wire);

impl ConnectedUdp for Socket {
    type Error = core::convert::Infallible;

    async fn send(&mut self, data: &[u8]) -> Result<(), Self::Error> {
        Link::send(&mut self.0, data).expect("the wire takes it");
        Ok(())
    }

    /// As the trait has it: what is too long is cut, and its whole length is told.
    async fn receive_into(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        poll_fn(|_| match self.0.0.borrow_mut().to_device.pop_front() {
            Some(datagram) => {
                let len = datagram.len().min(buffer.len());
                buffer[..len].copy_from_slice(&datagram[..len]);
                Poll::Ready(Ok(datagram.len()))
            }
            None => Poll::Pending,
        })
        .await
    }
}

/// A clock that waiting moves on.
#[derive(Clone, Default)]
struct Clock(Rc<Cell<u64>>);

impl DelayNs for Clock {
    async fn delay_ns(&mut self, ns: u32) {
        self.0.set(self.0.get() + u64::from(ns / 1000));
    }

    async fn delay_us(&mut self, us: u32) {
        // Only when nothing else is ready: the driver asks the socket first.
        self.0.set(self.0.get() + u64::from(us));
    }
}

/// Runs a future that is never really waiting.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("nothing moves any more");
}

macro_rules! driver {
    ($driver:ident, $wire:expr, $clock:expr) => {
        let config = config();
        let mut scratch = [0; SCRATCH_LEN];
        let (mut receive, mut transmit) = ([0; MIN_RECEIVE_LEN], [0; MIN_TRANSMIT_LEN]);
        let mut buffers = Buffers::new(&mut receive, &mut transmit);
        let mut session = Session::new(provider(1), &config, WHO, &mut scratch);
        let time = $clock.clone();
        let clock = move || Instant::from_micros(time.0.get());
        let socket = Socket($wire.clone());
        let mut $driver = Driver::new(&mut session, &mut buffers, socket, $clock.clone(), clock);
    };
}

#[test]
fn a_session_opens_sends_receives_and_closes() {
    let (wire, clock) = (Wire::new(), Clock::default());
    driver!(driver, wire, clock);
    run(driver.open()).expect("the server is there");
    run(driver.send(b"21.5 C")).expect("open");
    assert_eq!(run(driver.recv()), Ok(&b"21.5 C"[..]));
    // What is longer than the buffer is cut by the socket: it is dropped, and nothing else happens.
    wire.0.borrow_mut().to_device.push_back(vec![23; 5000]);
    run(driver.send(b"21.6 C")).expect("open");
    assert_eq!(run(driver.recv()), Ok(&b"21.6 C"[..]));
    run(driver.close()).expect("open");
    assert!(run(driver.send(b"x")).is_err(), "it is over");
    assert_eq!(wire.0.borrow().opened, 1);
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let (wire, clock) = (Wire::new(), Clock::default());
    wire.0.borrow_mut().mute = true;
    driver!(driver, wire, clock);
    let error = run(driver.open()).expect_err("nobody answers");
    let AsyncError::Closed(CloseReason::HandshakeFailed(HandshakeError::Timeout(timeout))) = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(timeout.waiting_for, WaitingFor::Hello);
    assert_eq!(clock.0.get(), 60_000_000);
    assert_eq!(wire.0.borrow().sent.len(), 6, "once and five times again");
}
