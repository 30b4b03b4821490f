//! What is shown while it runs: a line that is kept up to date on a terminal, otherwise one line a second.

use std::io::IsTerminal as _;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lockgate_load::Progress;

use super::summary::{number, percent_of};

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Display {
    quiet: bool,
    terminal: bool,
    stop: Arc<AtomicBool>,
}

impl Display {
    pub(super) fn new(quiet: bool, stop: Arc<AtomicBool>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            quiet,
            terminal,
            stop,
        }
    }

    /// Whether somebody asked us to stop.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Watches one phase: of so many handshakes, or so long.
    pub(super) fn watch(
        &mut self,
        what: &'static str,
        handshakes: Option<u64>,
        duration: Option<Duration>,
    ) -> impl FnMut(&Progress) -> ControlFlow<()> + use<> {
        let length = handshakes.or(duration.map(|d| d.as_millis() as u64));
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:24}] {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what);
        let shown = Shown(bar, self.terminal && !self.quiet);
        let (quiet, terminal) = (self.quiet, self.terminal);
        let stop = Arc::clone(&self.stop);
        let mut told = Duration::ZERO;
        move |progress| {
            if !quiet {
                let position = match handshakes {
                    Some(_) => progress.completed + progress.failed,
                    None => progress.elapsed.as_millis() as u64,
                };
                let text = match handshakes {
                    Some(wanted) => connecting(progress, wanted),
                    None => running(progress),
                };
                if terminal {
                    shown.0.set_position(position);
                    shown.0.set_message(text);
                } else if progress.elapsed >= told + EVERY {
                    told = progress.elapsed;
                    eprintln!("{what}: {:.0} s, {text}", progress.elapsed.as_secs_f64());
                }
            }
            if stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    }
}

/// Taken off the screen at the end.
struct Shown(ProgressBar, bool);

impl Drop for Shown {
    fn drop(&mut self) {
        if self.1 {
            self.0.finish_and_clear();
        }
    }
}

fn connecting(progress: &Progress, wanted: u64) -> String {
    let failed = match progress.failed {
        0 => String::new(),
        failed => format!(", {} failed", number(failed)),
    };
    format!(
        "{} of {} sessions, {} under way{failed}",
        number(progress.sessions.into()),
        number(wanted),
        number(progress.under_way.into())
    )
}

fn running(progress: &Progress) -> String {
    let seconds = progress.elapsed.as_secs_f64().max(0.001);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rate to look at"
    )]
    let rate = (progress.sent as f64 / seconds) as u64;
    format!(
        "{} sessions, {} sent ({}/s), {} answered",
        number(progress.sessions.into()),
        number(progress.sent),
        number(rate),
        percent_of(progress.answered, progress.sent)
    )
}
