//! The file of `--config`.
//!
//! Each key becomes the flag of the same name and goes through the same parser as the command line.
//! So a value means the same in both places, and a new flag is a new key at once.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::{ArgAction, ArgMatches, Args, Command};
use toml::de::{DeTable, DeValue};

use super::{ConfigError, ProxyArgs, error::one_line, values::NamedFiles};

/// Keys whose values are paths.
const PATHS: [&str; 11] = [
    "psk-csv",
    "rest-ca",
    "shell-kms-cmd",
    "keylog",
    "cert",
    "key",
    "rpk",
    "ca",
    "crl",
    "rpk-allow",
    "upstream-pool-table",
];
/// The key whose values hold two paths.
const NAMED_PATHS: &str = "sni-cert";
/// Flags that make no sense in a file.
const NOT_IN_FILE: [&str; 3] = ["config", "help", "verbose"];

/// What a file at `path` says, as if it stood on the command line.
pub(super) fn read(path: &Path) -> Result<ArgMatches, ConfigError> {
    let text = fs::read_to_string(path).map_err(|e| ConfigError::File {
        path: path.into(),
        line: None,
        reason: format!("cannot be read: {e}"),
    })?;
    parse(path, &text)
}

/// `path` is named in errors and is what relative paths are relative to.
pub(super) fn parse(path: &Path, text: &str) -> Result<ArgMatches, ConfigError> {
    let wrong = |at: Option<usize>, reason: String| ConfigError::File {
        path: path.into(),
        line: at.map(|at| line_at(text, at)),
        reason,
    };
    // The error's own text would quote the line, and that might hold a key.
    let table = DeTable::parse(text)
        .map_err(|e| wrong(e.span().map(|s| s.start), e.message().replace('\n', ", ")))?;
    let mut command = ProxyArgs::augment_args(Command::new("file")).no_binary_name(true);
    command.build();
    // In the order of the file, so that the first mistake in it is the one that is reported.
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut all = Vec::new();
    for (key, value) in entries {
        let at = Some(key.span().start);
        let name: &str = key.get_ref();
        let flag = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(name) && !NOT_IN_FILE.contains(&name))
            .ok_or_else(|| wrong(at, format!("unknown key {name:?}")))?;
        let is_list = matches!(flag.get_action(), ArgAction::Append);
        let values = values(value.get_ref(), is_list)
            .ok_or_else(|| wrong(at, format!("{name}: expected {}", expected(is_list))))?;
        if values.is_empty() {
            return Err(wrong(at, format!("{name}: the list is empty")));
        }
        let flags: Vec<OsString> = values
            .into_iter()
            .map(|v| to_flag(path, name, &v))
            .collect();
        // One by one, because an error of all together could not name the line.
        command
            .try_get_matches_from_mut(&flags)
            .map_err(|e| wrong(at, one_line(&e)))?;
        all.extend(flags);
    }
    command
        .try_get_matches_from_mut(all)
        .map_err(|e| wrong(None, one_line(&e)))
}

/// The value, or those of a list, as text; `None` when it has no such form.
fn values(value: &DeValue<'_>, is_list: bool) -> Option<Vec<String>> {
    match value {
        DeValue::Array(items) if is_list => items.iter().map(|i| scalar(i.get_ref())).collect(),
        other => Some(vec![scalar(other)?]),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn expected(is_list: bool) -> &'static str {
    if is_list {
        "a text or a list of texts"
    } else {
        "one text, whole number, true or false"
    }
}

fn to_flag(file: &Path, name: &str, value: &str) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    if PATHS.contains(&name) && !value.is_empty() && !is_looked_up(name, value) {
        flag.push(beside(file, value));
    } else if name == NAMED_PATHS
        && let Some(directory) = file.parent()
        && let Some(value) = NamedFiles::beside(value, directory)
    {
        flag.push(value);
    } else {
        flag.push(value);
    }
    flag
}

/// A program without a slash is found through `PATH`, as on the command line.
fn is_looked_up(name: &str, value: &str) -> bool {
    name == "shell-kms-cmd" && !value.contains('/')
}

fn beside(file: &Path, value: &str) -> PathBuf {
    file.parent()
        .map_or_else(|| value.into(), |p| p.join(value))
}

/// The line, counted from 1, of the byte `at`.
fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())]
        .split(|&b| b == b'\n')
        .count()
}
