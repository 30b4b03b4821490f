//! The CSV file while it is edited.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use lockgate_gateway::keys::{CsvKeys, KeyError, KeySource};
use tokio::time::sleep;

async fn byte(keys: &CsvKeys, identity: &str) -> Option<u8> {
    let found = keys.lookup(identity.as_bytes()).await.unwrap();
    found.map(|key| key.as_bytes()[0])
}

/// Waits until `a` has the key `expected`. The bound is far below the ten seconds of the regular
/// look, so that only the kernel's word can be what made it true.
async fn becomes(keys: &CsvKeys, expected: u8) {
    let begin = Instant::now();
    while byte(keys, "a").await != Some(expected) {
        assert!(begin.elapsed() < Duration::from_secs(8), "not reloaded");
        sleep(Duration::from_millis(20)).await;
    }
}

fn replace(file: &Path, text: &str) {
    let new = file.with_extension("tmp");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

#[tokio::test]
async fn a_file_that_is_written_in_place_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.csv");
    fs::write(&file, "a,01\nb,02\n").unwrap();
    let keys = CsvKeys::open(&file).await.unwrap();
    assert_eq!((byte(&keys, "a").await, keys.len()), (Some(1), 2));
    fs::write(&file, "a,03\n").unwrap();
    becomes(&keys, 3).await;
    assert_eq!((byte(&keys, "b").await, keys.len()), (None, 1));
}

#[tokio::test]
async fn a_file_that_is_replaced_is_read_again_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.csv");
    fs::write(&file, "a,01\n").unwrap();
    let keys = CsvKeys::open(&file).await.unwrap();
    for round in 2..5 {
        replace(&file, &format!("a,{round:02}\n"));
        becomes(&keys, round).await;
    }
    // As editors do that keep a copy.
    fs::rename(&file, dir.path().join("keys.csv~")).unwrap();
    fs::write(&file, "a,09\n").unwrap();
    becomes(&keys, 9).await;
}

/// How Kubernetes updates a mounted secret: the file is a link through a link to a directory, and
/// only the link to the directory is replaced.
#[tokio::test]
async fn a_replaced_directory_on_the_way_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (version, text) in [("v1", "a,01\n"), ("v2", "a,02\n")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("keys.csv"), text).unwrap();
    }
    symlink("v1", at("..data")).unwrap();
    symlink("..data/keys.csv", at("keys.csv")).unwrap();
    let keys = CsvKeys::open(at("keys.csv")).await.unwrap();
    assert_eq!(byte(&keys, "a").await, Some(1));
    symlink("v2", at("..tmp")).unwrap();
    fs::rename(at("..tmp"), at("..data")).unwrap();
    becomes(&keys, 2).await;
}

/// The directory that is watched says nothing here, as on a network file system. Time is paused, so
/// the regular look comes at once.
#[tokio::test(start_paused = true)]
async fn a_change_that_nobody_reports_is_found_by_looking() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("keys.csv");
    fs::write(&target, "a,01\n").unwrap();
    symlink(&target, dir.path().join("keys.csv")).unwrap();
    let keys = CsvKeys::open(dir.path().join("keys.csv")).await.unwrap();
    replace(&target, "a,02\nb,03\n");
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(byte(&keys, "a").await, Some(2));
}

#[tokio::test]
async fn a_broken_or_missing_new_file_keeps_the_old_keys() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.csv");
    fs::write(&file, "a,01\n").unwrap();
    let keys = CsvKeys::open(&file).await.unwrap();
    for broken in ["a,02\nb,xx\n", "", "a\n"] {
        replace(&file, broken);
        let error = keys.reload().await.unwrap_err();
        assert!(matches!(error, KeyError::File { .. }), "{error}");
        assert_eq!(byte(&keys, "a").await, Some(1));
    }
    fs::remove_file(&file).unwrap();
    keys.reload().await.unwrap_err();
    assert_eq!(byte(&keys, "a").await, Some(1));
    // The watching goes on after all that.
    fs::write(&file, "a,04\n").unwrap();
    becomes(&keys, 4).await;
}

#[tokio::test]
async fn a_reload_on_demand_reads_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.csv");
    fs::write(&file, "a,01\n").unwrap();
    let keys = CsvKeys::open(&file).await.unwrap();
    fs::write(&file, "a,02\n").unwrap();
    keys.reload().await.unwrap();
    assert_eq!(byte(&keys, "a").await, Some(2));
}

#[tokio::test]
async fn a_file_that_is_not_there_or_broken_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.csv");
    let error = CsvKeys::open(&file).await.unwrap_err().to_string();
    assert!(error.contains("keys.csv: cannot be read"), "{error}");
    fs::write(&file, "a,01\nb\n").unwrap();
    let error = CsvKeys::open(&file).await.unwrap_err().to_string();
    assert!(
        error.contains("keys.csv:2: expected identity,hexkey"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_and_holds_nothing_up() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.csv");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for path in [pipe.as_path(), dir.path()] {
        let opened = tokio::time::timeout(Duration::from_secs(5), CsvKeys::open(path)).await;
        let error = opened.expect("an answer").unwrap_err().to_string();
        let name = path.to_str().unwrap();
        assert_eq!(error, format!("{name}: is not a regular file"));
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_broken_new_file_is_logged_once_and_without_keys() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    // For this thread, on which the test's runtime runs everything.
    let _logging = tracing::subscriber::set_default(subscriber);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.csv");
    fs::write(&file, "a,01\n").unwrap();
    let keys = CsvKeys::open(&file).await.unwrap();
    replace(&file, "a,02\nb,deadbee5x\n");
    let begin = Instant::now();
    while !log.text().contains("WARN") {
        assert!(begin.elapsed() < Duration::from_secs(8), "no warning");
        sleep(Duration::from_millis(20)).await;
    }
    // Reading the file must not look like another change of it.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(byte(&keys, "a").await, Some(1));
    let text = log.text();
    let warnings: Vec<_> = text.lines().filter(|l| l.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(
        warnings[0].contains("keys.csv:2: expected identity,hexkey"),
        "{text}"
    );
    assert!(warnings[0].contains("the old keys stay"), "{text}");
    assert!(!text.contains("deadbee5"), "{text}");
}
