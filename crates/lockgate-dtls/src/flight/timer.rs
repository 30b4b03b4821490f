//! The retransmission timer of RFC 6347 §4.2.4.

use core::time::Duration;

use crate::config::Config;
use crate::time::Instant;

/// What a passed deadline means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Nothing has passed.
    NotYet,
    /// The flight is to be sent again.
    Retransmit,
    /// The tries or the time are used up.
    GiveUp,
}

/// One handshake's timer: when to send the flight again, and when to give up.
#[derive(Debug)]
pub(crate) struct RetransmitTimer {
    timeout: Duration,
    /// The first time-out of a flight.
    #[cfg(feature = "endpoint")]
    initial: Duration,
    next: Option<Instant>,
    last_sent: Instant,
    end: Instant,
    tries: u8,
    /// What the path is known to take, or 0.
    #[cfg(feature = "endpoint")]
    path_mtu: u16,
}

impl RetransmitTimer {
    pub(crate) fn new(now: Instant, config: &Config) -> Self {
        Self {
            timeout: config.initial_timeout,
            #[cfg(feature = "endpoint")]
            initial: config.initial_timeout,
            next: None,
            last_sent: now,
            end: now + config.handshake_timeout,
            tries: 0,
            #[cfg(feature = "endpoint")]
            path_mtu: 0,
        }
    }

    /// A new flight has been built; its tries begin anew.
    #[cfg_attr(
        feature = "endpoint",
        expect(
            unused_variables,
            reason = "a handshake has a first time-out of its own"
        )
    )]
    pub(crate) fn new_flight(&mut self, config: &Config) {
        #[cfg(feature = "endpoint")]
        {
            self.timeout = self.initial;
        }
        #[cfg(not(feature = "endpoint"))]
        {
            self.timeout = config.initial_timeout;
        }
        self.tries = 0;
    }

    /// Changes the first time-out: a running one goes on as if it had begun with it.
    #[cfg(feature = "endpoint")]
    pub(crate) fn set_initial(&mut self, initial: Duration, config: &Config) {
        self.initial = initial;
        self.timeout =
            (initial * 2u32.saturating_pow(u32::from(self.tries))).min(config.max_timeout);
        if self.next.is_some() {
            self.next = Some(self.last_sent + self.timeout);
        }
    }

    /// Sets the MTU to what the path is known to take, in bytes of UDP payload: it is not tried smaller after losses.
    #[cfg(feature = "endpoint")]
    pub(crate) fn set_mtu(&mut self, mtu: u16) {
        self.path_mtu = mtu;
    }

    /// The flight went out.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
        self.next = Some(now + self.timeout);
    }

    /// Stops sending again, until the next [`RetransmitTimer::sent`]; the end stays.
    pub(crate) fn pause(&mut self) {
        self.next = None;
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.next.map_or(self.end, |next| next.min(self.end))
    }

    /// Whether a repeat of the peer's may be answered with a repeat of ours: not so soon that an echo of the network
    /// would multiply.
    pub(crate) fn may_answer_repeat(&self, now: Instant, config: &Config) -> bool {
        now.saturating_since(self.last_sent) >= config.repeat_interval
    }

    pub(crate) fn expire(&mut self, now: Instant, config: &Config) -> Expired {
        if now >= self.end {
            return Expired::GiveUp;
        }
        match self.next {
            Some(next) if now >= next => {
                if self.tries >= config.max_retransmits {
                    return Expired::GiveUp;
                }
                self.tries += 1;
                self.timeout = (self.timeout * 2).min(config.max_timeout);
                self.next = None;
                Expired::Retransmit
            }
            _ => Expired::NotYet,
        }
    }

    /// The MTU for this try: smaller after every second loss, in case the path swallows what is long. A `ClientHello` is
    /// kept whole where it can be: a server without state for strangers may not put it together.
    pub(crate) fn mtu(&self, config: &Config, hello: bool) -> usize {
        #[cfg(feature = "endpoint")]
        if self.path_mtu != 0 {
            return usize::from(self.path_mtu);
        }
        let shrunk = match self.tries {
            0 | 1 => config.mtu,
            2 | 3 => config.mtu.min(548),
            _ if hello => config.mtu.min(548),
            _ => crate::config::MIN_MTU,
        };
        shrunk.max(crate::config::MIN_MTU).min(config.mtu)
    }
}
