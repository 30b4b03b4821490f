use clap::{Arg, ArgAction};

use super::*;

fn mended(args: &[&str]) -> Vec<String> {
    let sub = Command::new("proxy")
        .arg(Arg::new("psk-csv").long("psk-csv"))
        .arg(Arg::new("psk").long("psk").action(ArgAction::Append))
        .arg(Arg::new("any").long("any").allow_hyphen_values(true))
        .arg(Arg::new("v").short('v').long("verbose"));
    let mut command = Command::new("lockgate").subcommand(sub);
    command.build();
    let args = args.iter().map(OsString::from);
    with_two_dashes(&command, args)
        .into_iter()
        .map(|a| a.into_string().unwrap())
        .collect()
}

#[test]
fn a_long_name_gets_its_second_dash() {
    assert_eq!(
        mended(&["lockgate", "proxy", "-psk-csv", "a", "-psk=b", "-help"]),
        ["lockgate", "proxy", "--psk-csv", "a", "--psk=b", "--help"]
    );
}

#[test]
fn all_else_stays() {
    let args = [
        "lockgate",
        "proxy",
        "--psk-csv",
        "-v",
        "-vv",
        "-",
        "-pskx",
        "-psk:1",
        "psk",
        "--",
        "-psk",
    ];
    assert_eq!(mended(&args), args);
}

#[test]
fn the_value_of_a_flag_stays() {
    assert_eq!(
        mended(&[
            "lockgate", "proxy", "-any", "-psk", "-psk", "b", "--any", "--", "-psk"
        ]),
        [
            "lockgate", "proxy", "--any", "-psk", "--psk", "b", "--any", "--", "--psk"
        ]
    );
    assert_eq!(
        mended(&["lockgate", "proxy", "--any=x", "-psk"]),
        ["lockgate", "proxy", "--any=x", "--psk"]
    );
}

#[test]
fn a_subcommand_of_a_subcommand_has_flags_of_its_own() {
    let device = Command::new("device").arg(Arg::new("out").long("out"));
    let mut command =
        Command::new("lockgate").subcommand(Command::new("keygen").subcommand(device));
    command.build();
    let args = ["lockgate", "keygen", "device", "-out", "a", "-other"];
    let mended = with_two_dashes(&command, args.map(OsString::from));
    let expected = ["lockgate", "keygen", "device", "--out", "a", "-other"];
    assert_eq!(mended, expected.map(OsString::from));
}

#[test]
fn flags_of_no_subcommand_stay() {
    let args = ["lockgate", "-psk", "proxy"];
    assert_eq!(mended(&args), args);
}

#[test]
fn a_value_need_not_be_text() {
    use std::os::unix::ffi::OsStringExt;
    let sub = Command::new("proxy").arg(Arg::new("keylog").long("keylog"));
    let command = Command::new("lockgate").subcommand(sub);
    let args = [
        b"lockgate".to_vec(),
        b"proxy".to_vec(),
        b"-keylog=\xff".to_vec(),
    ];
    let mended = with_two_dashes(&command, args.map(OsString::from_vec));
    assert_eq!(mended[2].as_encoded_bytes(), b"--keylog=\xff");
}
