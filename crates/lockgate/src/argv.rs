//! One dash or two: `-psk-csv FILE` means `--psk-csv FILE`.
//!
//! The proxy that `lockgate proxy` replaces takes long names with either, so scripts and unit files
//! have both.

#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::Command;

/// Gives a second dash to every argument that is a dash and the long name of a flag of the
/// subcommand (or of its own subcommand, when that comes next), `=value` or not. Single letters,
/// other words and all after `--` stay as they are, and so does the value of a flag whose value may
/// begin with a dash.
///
/// `command` must have been built, or flags that clap adds itself are not known yet.
pub(crate) fn with_two_dashes<'a>(
    command: &'a Command,
    args: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    let mut flags_of = None;
    let mut verbatim = false;
    let mut is_value = false;
    let mut mend = |index: usize, arg: OsString| {
        if index == 1 {
            flags_of = arg.to_str().and_then(|name| command.find_subcommand(name));
        }
        if index == 2 {
            let of_its_own = |sub: &'a Command| sub.find_subcommand(arg.to_str()?);
            flags_of = flags_of.and_then(of_its_own).or(flags_of);
        }
        if std::mem::take(&mut is_value) {
            return arg;
        }
        verbatim |= arg == "--";
        let Some(sub) = flags_of.filter(|_| !verbatim) else {
            return arg;
        };
        let mut mended = OsString::new();
        if lacks_a_dash(sub, &arg) {
            mended.push("-");
        }
        mended.push(arg);
        is_value = takes_next(sub, &mended);
        mended
    };
    let args = args.into_iter().enumerate();
    args.map(|(index, arg)| mend(index, arg)).collect()
}

/// Whether `arg` is a flag that takes the next word, whatever that is.
fn takes_next(command: &Command, arg: &OsString) -> bool {
    command.get_arguments().any(|flag| {
        let is_it = |long: &str| arg.to_str().and_then(|a| a.strip_prefix("--")) == Some(long);
        flag.is_allow_hyphen_values_set() && flag.get_long().is_some_and(is_it)
    })
}

fn lacks_a_dash(command: &Command, arg: &OsString) -> bool {
    // The value may be any bytes; only the name needs to be text.
    let Some(word) = arg.as_encoded_bytes().strip_prefix(b"-") else {
        return false;
    };
    let name = word.split(|&b| b == b'=').next().unwrap_or(word);
    name.len() > 1
        && command
            .get_arguments()
            .filter_map(|flag| flag.get_long())
            .any(|long| long.as_bytes() == name)
}
