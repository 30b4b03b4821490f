//! Failures as one line: what went wrong, and what to do about it.

use std::io;
use std::net::SocketAddr;

use lockgate_dtls::certificate::CertificateError;
use lockgate_dtls::wire::AlertDescription as Alert;
use lockgate_dtls::{
    CloseReason, HandshakeError, PeerIncompatible, PeerMisbehaved, Timeout, WaitingFor,
};
use lockgate_tokio::Error;

use super::args::NcArgs;
use crate::Failure;

const NO_SUITE: &str = "no cipher suite in common: a pre-shared key here and a certificate there, or \
                        the other way round? (--psk, --cafile, --cert)";
const WRONG_KEY: &str = "the keys differ: check --psk and --psk-identity";

/// Why a connection with the server at `peer` could not be made. `sent` is how many datagrams were tried.
pub(super) fn connecting(args: &NcArgs, peer: SocketAddr, error: &Error, sent: u64) -> Failure {
    let why = match error {
        Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            "nobody listens there (ICMP: port unreachable)".into()
        }
        Error::CertificateWanted(_) if args.proof.pkey.is_none() => {
            "the server asked for a client certificate: give --cert and --key".into()
        }
        Error::CertificateWanted(e) => {
            format!("the server does not take our certificate: {e}; check --cert")
        }
        Error::Handshake(e) => handshake(args, *e, sent),
        e => e.to_string(),
    };
    format!("{peer}: {why}")
}

fn handshake(args: &NcArgs, error: HandshakeError, sent: u64) -> String {
    let psk = args.psk.is_some();
    match error {
        HandshakeError::Timeout(Timeout {
            waiting_for: WaitingFor::Hello,
            ..
        }) => format!(
            "no answer in {:?} to {sent} datagrams: is it DTLS that listens there, and does UDP get through? \
             (--timeout)",
            args.timeout
        ),
        HandshakeError::Timeout(Timeout {
            waiting_for: WaitingFor::Finished,
            undecryptable: 1..,
        })
        | HandshakeError::PeerMisbehaved(PeerMisbehaved::IncorrectFinished) => WRONG_KEY.into(),
        // Many servers do not answer at all when the keys differ, so that nobody can try identities out.
        HandshakeError::Timeout(Timeout {
            waiting_for: WaitingFor::Finished,
            ..
        }) if psk => format!(
            "the server fell silent at the end, in {:?}: {WRONG_KEY}",
            args.timeout
        ),
        HandshakeError::Timeout(timeout) => {
            format!("{timeout} ({sent} datagrams in {:?})", args.timeout)
        }
        HandshakeError::PeerAlert(Alert::UNKNOWN_PSK_IDENTITY) => {
            "the server does not know the identity: check --psk-identity".into()
        }
        HandshakeError::PeerAlert(alert @ (Alert::BAD_RECORD_MAC | Alert::DECRYPT_ERROR))
            if psk =>
        {
            format!("the server ended it with {alert}: {WRONG_KEY}")
        }
        HandshakeError::PeerAlert(Alert::HANDSHAKE_FAILURE | Alert::INSUFFICIENT_SECURITY) => {
            if psk && args.proof.cafile.is_none() {
                format!("the server refused: {NO_SUITE}, or {WRONG_KEY}")
            } else {
                format!("the server refused: {NO_SUITE}")
            }
        }
        HandshakeError::PeerIncompatible(PeerIncompatible::NoCommonCipherSuite) => NO_SUITE.into(),
        HandshakeError::PeerIncompatible(PeerIncompatible::NoCommonProtocol)
        | HandshakeError::PeerAlert(Alert::NO_APPLICATION_PROTOCOL) => {
            "no application protocol in common: check --alpn".into()
        }
        HandshakeError::Certificate(e) => format!("{e}{}", remedy(e)),
        e => e.to_string(),
    }
}

/// Why a peer of a listener did not get in.
pub(super) fn peer(error: &Error) -> String {
    let Error::Handshake(error) = error else {
        return error.to_string();
    };
    match *error {
        HandshakeError::Timeout(Timeout {
            waiting_for: WaitingFor::Finished,
            undecryptable: 1..,
        })
        | HandshakeError::PeerMisbehaved(PeerMisbehaved::IncorrectFinished) => WRONG_KEY.into(),
        HandshakeError::UnknownPskIdentity { .. } => {
            "it has an identity that we do not know: check --psk-identity".into()
        }
        HandshakeError::PeerAlert(
            alert @ (Alert::UNKNOWN_CA
            | Alert::BAD_CERTIFICATE
            | Alert::CERTIFICATE_EXPIRED
            | Alert::CERTIFICATE_UNKNOWN
            | Alert::UNSUPPORTED_CERTIFICATE),
        ) => format!("it does not believe our certificate ({alert}): check --cert"),
        HandshakeError::Certificate(e) => format!("{e}{}", remedy(e)),
        e => e.to_string(),
    }
}

/// What to do about a certificate that was refused.
pub(crate) fn remedy(error: CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => ": give its authority with --cafile",
        CertificateError::UnknownKey => ": give the key with --peer-keys",
        CertificateError::WrongName => ": give the name that it is for with --servername",
        CertificateError::Expired => ": the peer needs a new one, or this machine's clock is wrong",
        CertificateError::NotYetValid => ": is this machine's clock wrong?",
        CertificateError::Missing => ": the client has to give one",
        _ => "",
    }
}

/// Why a connection is over that was established; nothing when that is as it should be.
pub(super) fn ended(reason: CloseReason) -> Result<(), Failure> {
    match reason {
        CloseReason::Local | CloseReason::PeerClosed => Ok(()),
        reason => Err(format!("the connection is over: {reason}")),
    }
}
