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

    /// Watches one phase.
    pub(super) fn watch(
        &self,
        showing: Showing,
    ) -> impl FnMut(&Progress) -> ControlFlow<()> + use<> {
        let (what, length) = match showing {
            Showing::Handshakes(wanted) => ("connecting", wanted),
            Showing::Storm(duration) => ("storming", duration.as_millis() as u64),
            Showing::Traffic(duration) => ("running", duration.as_millis() as u64),
            Showing::Probe(asked) => ("probing", asked),
        };
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:16}] {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what);
        let shown = Shown(bar, self.terminal && !self.quiet);
        let (quiet, terminal) = (self.quiet, self.terminal);
        let stop = Arc::clone(&self.stop);
        let mut told = Duration::ZERO;
        move |progress| {
            if !quiet {
                let passed = progress.elapsed.as_millis() as u64;
                let (position, text) = match showing {
                    Showing::Handshakes(wanted) => (
                        progress.completed + progress.failed,
                        connecting(progress, wanted),
                    ),
                    Showing::Storm(_) => (passed, storming(progress)),
                    Showing::Traffic(_) => (passed, running(progress)),
                    Showing::Probe(_) => (progress.answered, running(progress)),
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

/// What is watched.
#[derive(Clone, Copy)]
pub(super) enum Showing {
    /// So many sessions are made.
    Handshakes(u64),
    /// They are made again and again, for so long.
    Storm(Duration),
    /// They are used, for so long.
    Traffic(Duration),
    /// So many echo once.
    Probe(u64),
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
    format!(
        "{} of {} sessions, {} under way{}",
        number(progress.sessions.into()),
        number(wanted),
        number(progress.under_way.into()),
        failed(progress)
    )
}

fn storming(progress: &Progress) -> String {
    format!(
        "{} handshakes ({}/s){}",
        number(progress.completed),
        number(rate(progress.completed, progress)),
        failed(progress)
    )
}

fn failed(progress: &Progress) -> String {
    match progress.failed {
        0 => String::new(),
        failed => format!(", {} failed", number(failed)),
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rate to look at"
)]
fn rate(count: u64, progress: &Progress) -> u64 {
    (count as f64 / progress.elapsed.as_secs_f64().max(0.001)) as u64
}

fn running(progress: &Progress) -> String {
    format!(
        "{} sessions, {} sent ({}/s), {} answered",
        number(progress.sessions.into()),
        number(progress.sent),
        number(rate(progress.sent, progress)),
        percent_of(progress.answered, progress.sent)
    )
}
