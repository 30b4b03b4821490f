//! Keys from a program, with real scripts.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use lockgate_gateway::keys::{
    CacheLimits, CachedKeys, KeyError, KeySource, MAX_OUTPUT_LEN, ProgramKeys,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// A directory with a script in it, of which `body` is what follows the first line.
struct Script(TempDir);

impl Script {
    /// A child process writes the file: if this one did, another test's fork could hold it open for
    /// writing just when it is to be executed ("text file busy").
    fn new(body: &str) -> Self {
        let script = Self(tempfile::tempdir().unwrap());
        let mut writer = Command::new("sh")
            .args(["-c", "cat > \"$1\" && chmod 700 \"$1\"", "sh"])
            .arg(script.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = writer.stdin.take().unwrap();
        write!(stdin, "#!/bin/sh\n{body}\n").unwrap();
        drop(stdin);
        assert!(writer.wait().unwrap().success());
        script
    }

    fn path(&self) -> PathBuf {
        self.at("kms")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn keys(&self) -> ProgramKeys {
        ProgramKeys::new(self.path()).unwrap()
    }

    async fn ask(&self, identity: &[u8]) -> Result<Option<Vec<u8>>, KeyError> {
        let found = self.keys().lookup(identity).await?;
        Ok(found.map(|key| key.as_bytes().to_vec()))
    }
}

#[tokio::test]
async fn the_output_is_the_key() {
    let script = Script::new("echo; echo ' 00FFa1 '; echo noise >&2");
    assert_eq!(script.ask(b"dev").await, Ok(Some(vec![0, 0xff, 0xa1])));
}

#[tokio::test]
async fn the_identity_is_one_argument_and_no_shell_sees_it() {
    let script = Script::new(r#"printf '%s' "$1" > "$0.seen"; echo $# > "$0.count"; echo 01"#);
    let identity = b"a b;$(touch x)`id`\n*'\"\\\xff\xc3";
    assert_eq!(script.ask(identity).await, Ok(Some(vec![1])));
    assert_eq!(fs::read(script.at("kms.seen")).unwrap(), identity);
    assert_eq!(fs::read(script.at("kms.count")).unwrap(), b"1\n");
}

#[tokio::test]
async fn a_failing_exit_code_means_unknown_even_with_output() {
    let script = Script::new("echo 0011; exit 3");
    assert_eq!(script.ask(b"dev").await, Ok(None));
}

#[tokio::test]
async fn some_identities_are_not_given_to_the_program() {
    let script = Script::new(r#"touch "$0.ran"; echo 0011"#);
    for identity in [&b""[..], b"a\0b", b"-x", b"--help"] {
        assert_eq!(script.ask(identity).await, Ok(None));
    }
    assert!(!script.at("kms.ran").exists());
}

#[tokio::test]
async fn output_that_is_no_key_is_an_error() {
    for (body, what) in [
        ("echo secret", "hexadecimal"),
        ("echo 001", "odd number"),
        ("true", "empty"),
        ("printf '%0130d' 0", "65 bytes"),
    ] {
        let error = Script::new(body).ask(b"dev").await.unwrap_err();
        assert!(matches!(error, KeyError::BadAnswer { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(what) && !error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn output_has_a_bound_and_the_program_is_ended_there() {
    let fits = format!("printf '%{MAX_OUTPUT_LEN}s' ab");
    assert_eq!(Script::new(&fits).ask(b"dev").await, Ok(Some(vec![0xab])));
    let begin = Instant::now();
    for body in ["yes", "printf '%1025s' ab"] {
        let error = Script::new(body).ask(b"dev").await.unwrap_err();
        assert!(error.to_string().contains("longer than 1024"), "{error}");
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_program_that_dies_or_is_gone_is_an_error() {
    let script = Script::new("kill -9 $$");
    let error = script.ask(b"dev").await.unwrap_err();
    assert!(
        error.to_string().ends_with("was ended by signal 9"),
        "{error}"
    );
    let keys = script.keys();
    fs::remove_file(script.path()).unwrap();
    let error = keys.lookup(b"dev").await.unwrap_err();
    assert!(matches!(error, KeyError::Unavailable { .. }), "{error}");
}

/// Whether the process whose number stands in `file` is alive; a zombie is not.
fn is_alive(file: &Path) -> bool {
    let pid = fs::read_to_string(file).unwrap();
    fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim().starts_with('Z'))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect(what);
}

#[tokio::test]
async fn giving_up_kills_the_program_and_its_children() {
    let script = Script::new(
        r#"sleep 1000 & echo $! > "$0.child"; echo $$ > "$0.pid.new"; mv "$0.pid.new" "$0.pid"; wait"#,
    );
    let (child, parent) = (script.at("kms.child"), script.at("kms.pid"));
    let asking = tokio::spawn({
        let keys = script.keys();
        async move { keys.lookup(b"dev").await.map(drop) }
    });
    until("the script runs", || parent.exists()).await;
    assert!(is_alive(&child) && is_alive(&parent));
    asking.abort();
    until("both are gone", || !is_alive(&child) && !is_alive(&parent)).await;
}

#[tokio::test]
async fn a_time_out_kills_the_program() {
    let script =
        Script::new(r#"echo $$ > "$0.pid.new"; mv "$0.pid.new" "$0.pid"; exec sleep 1000"#);
    let limits = CacheLimits {
        timeout: Duration::from_millis(500),
        ..CacheLimits::default()
    };
    let keys = CachedKeys::new(Box::new(script.keys()), limits);
    let error = keys.lookup(b"dev").await.unwrap_err();
    assert!(
        matches!(
            error,
            KeyError::Timeout {
                origin: "program",
                ..
            }
        ),
        "{error}"
    );
    let pid = script.at("kms.pid");
    // On a machine that is too busy to start the script in time there is nothing to look at.
    if pid.exists() {
        until("it is gone", || !is_alive(&pid)).await;
    }
}

#[tokio::test]
async fn only_executable_files_are_accepted_at_start() {
    let script = Script::new("true");
    let plain = script.at("plain");
    fs::write(&plain, "").unwrap();
    for path in [&plain, &script.at("absent"), &script.0.path().to_path_buf()] {
        let error = ProgramKeys::new(path).unwrap_err().to_string();
        assert!(error.ends_with("is not an executable file"), "{error}");
    }
    assert!(ProgramKeys::new("no-such-program-anywhere").is_err());
    // A bare name is found through PATH.
    assert!(ProgramKeys::new("sh").is_ok());
}
