//! Prints which peers, suites, credentials and links work with us, by trying.
//!
//! ```text
//! cargo run -p lockgate-interop --bin table -- [--all] [--only TEXT] [--jobs N]
//! ```

use std::process::ExitCode;

use lockgate_interop::table::{self, Outcome};

const USAGE: &str = "usage: table [--all] [--only TEXT] [--jobs N]

  --all         every combination, not the choice of CI
  --only TEXT   only cells whose line contains TEXT, such as \"GnuTLS server\"; may be repeated: all must be there
  --jobs N      so many at a time (default 2)

Set LOCKGATE_TABLE_WORDS=1 to see what the peers of failed cells printed.";

fn main() -> ExitCode {
    let (mut all, mut only, mut jobs) = (false, Vec::new(), 2);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--all" => all = true,
            "--only" => only.extend(args.next()),
            "--jobs" => jobs = args.next().and_then(|n| n.parse().ok()).unwrap_or(2),
            "-h" | "--help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            other => {
                eprintln!("there is no {other}\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let mut cells = if all {
        table::product()
    } else {
        table::choice()
    };
    cells.retain(|cell| only.iter().all(|text| cell.to_string().contains(text)));
    if std::env::var_os("LOCKGATE_TABLE_WORDS").is_none() {
        // A cell that panics is a failed one, and its line says why.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let lines = table::run_all(&cells, jobs, &|line| {
        if !matches!(line.outcome, Outcome::NotRun(_)) {
            eprintln!(
                "{:5.1} s  {}: {}",
                line.time.as_secs_f32(),
                line.cell,
                line.outcome
            );
        }
    });
    print!("{}", table::markdown(&lines));
    let failed = lines
        .iter()
        .any(|line| matches!(line.outcome, Outcome::Failed(_)));
    ExitCode::from(u8::from(failed))
}
