//! Other libraries' servers: small C programs of this bench, compiled when they are needed and what they stand on is there.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Scratch;

/// What all of them include.
const COMMON: &str = include_str!("../peers/common.h");

/// One library and the program that serves with it.
struct Source {
    name: &'static str,
    text: &'static str,
    libraries: &'static [&'static str],
    package: &'static str,
}

const SOURCES: [Source; 4] = [
    Source {
        name: "wolfSSL",
        text: include_str!("../peers/wolfssl.c"),
        libraries: &["-lwolfssl"],
        package: "libwolfssl-dev",
    },
    Source {
        name: "OpenSSL",
        text: include_str!("../peers/openssl.c"),
        libraries: &["-lssl", "-lcrypto"],
        package: "libssl-dev",
    },
    Source {
        name: "GnuTLS",
        text: include_str!("../peers/gnutls.c"),
        libraries: &["-lgnutls"],
        package: "libgnutls28-dev",
    },
    Source {
        name: "Mbed TLS",
        text: include_str!("../peers/mbedtls.c"),
        libraries: &["-lmbedtls", "-lmbedx509", "-lmbedcrypto"],
        package: "libmbedtls-dev",
    },
];

/// A program that serves with another library.
pub struct Peer {
    /// The library and its version.
    pub name: String,
    /// Which library it is.
    pub library: &'static str,
    /// Whether it is the machine's own, not one that was built for this.
    pub of_the_system: bool,
    /// The program.
    pub program: PathBuf,
}

/// The wolfSSL that `interop/peers` has built with optimisation, if it has: version 5.9 with its assembly, where Debian's
/// is without.
pub fn wolfssl_beside() -> Option<PathBuf> {
    let target = std::env::current_exe().ok()?;
    let built = target.ancestors().nth(2)?.join("peers/release/build");
    std::fs::read_dir(built)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("out")))
        .find(|out| out.join("lib/libwolfssl.a").is_file())
}

/// All that can be had, and why the others cannot. `wolfssl` is a folder with another wolfSSL's `include` and `lib`.
pub fn build(scratch: &Scratch, wolfssl: Option<&Path>) -> io::Result<(Vec<Peer>, Vec<String>)> {
    scratch.write("common.h", COMMON)?;
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for source in &SOURCES {
        match compile(scratch, source, None)? {
            Ok(peer) => peers.push(peer),
            Err(why) => missing.push(format!("{} is left out: {why}", source.name)),
        }
    }
    if let Some(prefix) = wolfssl {
        match compile(scratch, &SOURCES[0], Some(prefix))? {
            Ok(peer) => peers.push(peer),
            Err(why) => return Err(io::Error::other(format!("{}: {why}", prefix.display()))),
        }
    }
    Ok((peers, missing))
}

fn compile(
    scratch: &Scratch,
    source: &Source,
    prefix: Option<&Path>,
) -> io::Result<Result<Peer, String>> {
    let own = if prefix.is_some() { "-own" } else { "" };
    let stem = format!("{}{own}", source.name.replace(' ', ""));
    let (text, program) = (
        scratch.write(&format!("{stem}.c"), source.text)?,
        scratch.file(&stem),
    );
    let mut command = Command::new("cc");
    command.args(["-O2", "-std=gnu11", "-o"]).arg(&program);
    command.arg(text);
    if let Some(prefix) = prefix {
        let (include, lib) = (prefix.join("include"), prefix.join("lib"));
        command.arg("-I").arg(include).arg("-L").arg(&lib);
        command.args(["-Wl,-Bstatic", "-lwolfssl", "-Wl,-Bdynamic", "-lm"]);
        command.arg("-lpthread");
    } else {
        command.args(source.libraries);
    }
    let Ok(compiled) = command.output() else {
        return Ok(Err("there is no C compiler (cc)".to_owned()));
    };
    if !compiled.status.success() {
        let said = String::from_utf8_lossy(&compiled.stderr);
        // Usually a missing header; what else it is shall be seen.
        let first = said.lines().find_map(|line| line.split_once("error: "));
        let first = first.map_or("it does not compile", |(_, what)| what);
        return Ok(Err(format!("{first} (Debian: {})", source.package)));
    }
    let asked = Command::new(&program).arg("version").output()?;
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let of = if prefix.is_some() { ", built" } else { "" };
    Ok(Ok(Peer {
        name: format!("{} {version}{of}", source.name),
        library: source.name,
        of_the_system: prefix.is_none(),
        program,
    }))
}
