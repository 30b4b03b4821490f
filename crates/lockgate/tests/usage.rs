//! What the command says when it is not given what it needs.

use std::{
    fs,
    process::{Command, Output},
};

fn lockgate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(args)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// The one line of a failure.
fn failure(args: &[&str]) -> String {
    let output = lockgate(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    let line = String::from_utf8(output.stderr).unwrap();
    let said = line
        .strip_prefix("lockgate: ")
        .expect("starts with lockgate:");
    let said = said.strip_suffix('\n').expect("ends with a line feed");
    assert!(!said.contains('\n'), "{said}");
    said.into()
}

#[test]
fn help_and_version_are_no_failures() {
    for (args, says) in [
        (&["--help"][..], "Usage: lockgate"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["proxy", "--help"], "--psk-csv <FILE>"),
        (&["proxy", "-help"], "Example:"),
        (&["proxy", "-h"], "Key service and program:"),
    ] {
        let output = lockgate(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(says), "{args:?}: {text}");
        assert!(output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn usage_errors_are_one_line_and_exit_1() {
    assert!(failure(&[]).contains("requires a subcommand"));
    assert!(failure(&["frob"]).contains("'frob'"));
    assert!(failure(&["proxy"]).starts_with("no key source"));
    assert!(failure(&["proxy", "--psk", "a:00"]).starts_with("no backend"));
    assert!(failure(&["proxy", "--frob"]).contains("'--frob'"));
    assert!(failure(&["proxy", "--connect"]).contains("--connect"));
    let wrong_filter = ["proxy", "--connect=b:1", "--psk=a:00", "--log-level", "=="];
    assert!(failure(&wrong_filter).starts_with("--log-level: "));
}

#[test]
fn one_dash_does_as_well_as_two() {
    let said = failure(&["proxy", "-connect", "b:1", "-psk=dev:0"]);
    assert_eq!(
        said,
        "--psk: expected IDENTITY:HEX, but the key has an odd number of hexadecimal digits (1)"
    );
}

#[test]
fn broken_key_files_stop_the_start_and_name_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.csv");
    let name = file.to_str().unwrap();
    let start = ["proxy", "--connect", "127.0.0.1:9", "-psk-csv", name];
    for (text, says) in [
        (
            "a,00\nb,0g\n",
            "keys.csv:2: expected identity,hexkey, but the key has something",
        ),
        (
            "a\n",
            "keys.csv:1: expected identity,hexkey, found one column",
        ),
        (
            "",
            "keys.csv: holds no key; expected lines of identity,hexkey",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let said = failure(&start);
        assert!(said.contains(says), "{said}");
    }
    fs::remove_file(&file).unwrap();
    assert!(failure(&start).contains("keys.csv: cannot be read: No such file"));
}

#[test]
fn an_absent_program_stops_the_start() {
    let said = failure(&["proxy", "-connect=b:1", "-shell-kms-cmd=/nonexistent/kms"]);
    assert_eq!(said, "program: /nonexistent/kms is not an executable file");
}
