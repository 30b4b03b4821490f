//! Certificate revocation lists (RFC 5280 §5).

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use x509_parser::extensions::ParsedExtension;

use super::authority::{Authority, parse};
use super::files::{self, NewFile};
use super::key::{DerArgs, read_certificates};
use super::validity::Validity;
use crate::Failure;

#[derive(clap::Args)]
pub(super) struct CrlArgs {
    /// The folder with the authority's ca.pem and ca-key.pem
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,

    /// The certificates to revoke, all of them: the new list knows nothing of an older one. Without
    /// any, the list is empty
    #[arg(long, value_name = "CERT", num_args = 1..)]
    revoke: Vec<PathBuf>,

    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// For how many days the list is good
    #[arg(
        long,
        value_name = "N",
        default_value = "30",
        value_parser = clap::value_parser!(u32).range(1..=36_500)
    )]
    days: u32,

    /// Replace the file if it exists
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    form: DerArgs,
}

pub(super) fn run(args: &CrlArgs) -> Result<(), Failure> {
    files::check_free([args.out.as_path()], args.force)?;
    let authority = Authority::open(&args.ca)?;
    let mut serials = Vec::new();
    for path in &args.revoke {
        let certificates = read_certificates(path)?;
        serials.push(serial_of(path, &certificates[0], &authority)?);
    }
    let list = list(&authority, serials, args.days)?;
    let file = NewFile {
        path: args.out.clone(),
        secret: false,
        bytes: args.form.form().write("X509 CRL", &list)?,
    };
    files::write(&[file], args.force)
}

/// The serial number of a certificate that the authority has signed; `path` is named in errors.
pub(super) fn serial_of(
    path: &Path,
    certificate: &[u8],
    authority: &Authority,
) -> Result<Vec<u8>, Failure> {
    let certificate =
        parse(certificate).ok_or_else(|| format!("{}: is no certificate", path.display()))?;
    let issuer = authority.parsed()?;
    let signed = certificate.issuer().as_raw() == issuer.subject().as_raw()
        && certificate
            .verify_signature(Some(issuer.public_key()))
            .is_ok();
    if !signed {
        return Err(format!(
            "{}: was not signed by {}; only an authority's own certificates are on its list",
            path.display(),
            authority.name()
        ));
    }
    Ok(certificate.raw_serial().to_vec())
}

/// The list of these serial numbers in DER, good for `days` from now.
pub(super) fn list(
    authority: &Authority,
    mut serials: Vec<Vec<u8>>,
    days: u32,
) -> Result<Vec<u8>, Failure> {
    serials.sort_unstable();
    serials.dedup();
    let Validity { start, end } = Validity::from_now(days)?;
    let revoked = |serial: Vec<u8>| RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: start,
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: start,
        next_update: end,
        crl_number: number(),
        issuing_distribution_point: None,
        revoked_certs: serials.into_iter().map(revoked).collect(),
        key_identifier_method: key_identifier(authority)?,
    };
    let list = params
        .signed_by(&authority.issuer()?)
        .map_err(|e| format!("{}: cannot sign a list: {e}", authority.name()))?;
    Ok(list.der().to_vec())
}

/// Numbers must rise (RFC 5280 §5.2.3), and nobody keeps count: milliseconds since 1970.
fn number() -> SerialNumber {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    SerialNumber::from(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The authority's own key identifier, whatever it was made of (RFC 5280 §5.2.1).
fn key_identifier(authority: &Authority) -> Result<KeyIdMethod, Failure> {
    let own = authority.parsed()?;
    let id = own
        .iter_extensions()
        .find_map(|e| match e.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
    Ok(id.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified))
}
