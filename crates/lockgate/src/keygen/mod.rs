//! `lockgate keygen`: certificates, raw public keys and pre-shared keys to try things out with.
//!
//! Everything is checked before the first file is written. Standard output names each file in a
//! comment (`# wrote …`), so that what else is printed there can go straight into an allow list or
//! a CSV file.

mod authority;
mod crl;
mod demo;
mod files;
mod key;
mod leaf;
mod names;
mod psk;
mod raw;
mod validity;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, Subcommand};
use lockgate_gateway::config::one_line;

use crate::Failure;

pub(crate) const NAME: &str = "keygen";

const EXAMPLE: &str = "\
Private keys are written with mode 0600. No file is replaced without --force. Every flag may also be
written with one dash.

Example:
  lockgate keygen ca --out pki
  lockgate keygen server --ca pki --out pki gateway.example 192.0.2.1
  lockgate keygen device --ca pki --out pki sensor-17 sensor-18
  lockgate keygen psk --count 10 >> keys.csv";

#[derive(clap::Args)]
struct KeygenArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a certificate authority: ca.pem and ca-key.pem
    Ca(authority::CaArgs),
    /// Make a server's certificate: server.pem (the chain, leaf first) and server-key.pem
    Server(leaf::ServerArgs),
    /// Make certificates of devices: ID.pem (the chain, leaf first) and ID-key.pem for each
    Device(leaf::DeviceArgs),
    /// Make raw key pairs (RFC 7250): NAME-key.pem and NAME-pub.pem, and print the lines for an
    /// allow list
    Raw(raw::RawArgs),
    /// Make pre-shared keys: lines of identity,hexkey
    Psk(psk::PskArgs),
    /// Make the list of an authority's revoked certificates
    Crl(crl::CrlArgs),
    /// Make one of everything, and print commands that use it
    Demo(demo::DemoArgs),
}

/// How the files of a subcommand are written.
#[derive(clap::Args)]
struct OutArgs {
    /// The folder for the files; it is made when it does not exist
    #[arg(long = "out", value_name = "DIR")]
    dir: std::path::PathBuf,

    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

pub(crate) fn command() -> Command {
    KeygenArgs::augment_args(Command::new(NAME))
        .about("Make test certificates, raw keys and pre-shared keys")
        // Or a comment for developers would stand there.
        .long_about(None)
        // Too few words are one line on standard error, as everywhere.
        .arg_required_else_help(false)
        .after_help(EXAMPLE)
}

pub(crate) fn run(flags: &ArgMatches) -> Result<(), Failure> {
    let args = KeygenArgs::from_arg_matches(flags).map_err(|e| one_line(&e))?;
    match args.what {
        What::Ca(args) => authority::run(&args),
        What::Server(args) => leaf::run_server(&args),
        What::Device(args) => leaf::run_device(&args),
        What::Raw(args) => raw::run(&args),
        What::Psk(args) => psk::run(&args),
        What::Crl(args) => crl::run(&args),
        What::Demo(args) => demo::run(&args),
    }
}
