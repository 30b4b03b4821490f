//! The table of peers, suites, credentials and links: which of them work, found out by trying.
//!
//! `cargo run -p lockgate-interop --bin table` tries a choice of at most [`MAX_CHOICE`] and prints it; `--all` tries every
//! combination. A cell passes when the handshake completes with what was asked for, by the reports of both ends, and data
//! goes both ways; a refusal passes when the one that must refuse does, with the right alert. What cannot be tried says
//! why, and does not count as passed.

mod cell;
mod choice;
mod remote;
mod run;

pub use cell::{By, Cell, Fault, PATH_LIMIT, Peer, Proof, Role, Trial, short};
pub use choice::{MAX_CHOICE, choice, product};
pub use run::{Line, Outcome, run_all};

use std::fmt::Write as _;

/// The lines as a table in Markdown, and the count below it.
pub fn markdown(lines: &[Line]) -> String {
    let mut text = String::from("| peer | role | suite | proof | trial | outcome |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for Line { cell, outcome, .. } in lines {
        let role = match cell.role {
            Role::Client => "client",
            Role::Server => "server",
        };
        let (peer, suite) = (cell.peer.name(), short(cell.suite));
        let (proof, trial) = (cell.proof, cell.trial);
        let _ = writeln!(
            text,
            "| {peer} | {role} | {suite} | {proof} | {trial} | {outcome} |"
        );
    }
    let _ = writeln!(text, "\n{}", count(lines));
    text
}

/// How many cells passed, failed and did not run.
pub fn count(lines: &[Line]) -> String {
    let passed = lines.iter().filter(|l| l.outcome == Outcome::Passed);
    let failed = lines
        .iter()
        .filter(|l| matches!(l.outcome, Outcome::Failed(_)));
    let (passed, failed) = (passed.count(), failed.count());
    let not_run = lines.len() - passed - failed;
    format!(
        "{} cells: {passed} passed, {failed} failed, {not_run} not run",
        lines.len()
    )
}
