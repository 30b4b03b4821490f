//! Certificates of servers and devices.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rcgen::{SanType, string::Ia5String};
use rustls_pki_types::CertificateDer;

use super::OutArgs;
use super::authority::{Authority, paths};
use super::files::{self, NewFile};
use super::key::{Algorithm, DerArgs, Form, KeyArgs};
use super::names::{self, IdArgs};
use super::validity::{Validity, ValidityArgs};
use crate::Failure;

/// How long a server's or a device's certificate is good unless told otherwise.
const DAYS: u32 = 365;

#[derive(clap::Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    with: SignArgs,

    /// The DNS names and IP addresses that clients reach the server by
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

#[derive(clap::Args)]
pub(super) struct DeviceArgs {
    #[command(flatten)]
    with: SignArgs,
    #[command(flatten)]
    ids: IdArgs,
}

/// What both have.
#[derive(clap::Args)]
struct SignArgs {
    /// The folder with the authority's ca.pem and ca-key.pem
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    #[command(flatten)]
    out: OutArgs,
    #[command(flatten)]
    validity: ValidityArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    form: DerArgs,
}

/// Makes key pairs and certificates of one kind.
pub(super) struct Maker<'a> {
    pub(super) authority: &'a Authority,
    pub(super) validity: Validity,
    pub(super) algorithm: Algorithm,
    pub(super) form: Form,
    pub(super) dir: &'a Path,
}

pub(super) struct Made {
    /// The key and the certificate, in this order: a certificate without its key is of no use.
    pub(super) files: [NewFile; 2],
    pub(super) certificate: CertificateDer<'static>,
}

pub(super) fn run_server(args: &ServerArgs) -> Result<(), Failure> {
    let subject = server(&args.names)?;
    let authority = Authority::open(&args.with.ca)?;
    let maker = args.with.maker(&authority)?;
    let [certificate, key] = paths(maker.dir, "server", maker.form);
    files::check_free([&*certificate, &*key], args.with.out.force)?;
    let made = maker.make("server", subject)?;
    files::make_dir(maker.dir)?;
    files::write(&made.files, args.with.out.force)
}

pub(super) fn run_device(args: &DeviceArgs) -> Result<(), Failure> {
    let ids = args.ids.resolve();
    if ids.is_empty() {
        return Err("no device: give IDs, or --count N (see --help)".into());
    }
    for id in &ids {
        names::check_file_stem(id)?;
    }
    let authority = Authority::open(&args.with.ca)?;
    let maker = args.with.maker(&authority)?;
    let all = ids.iter().flat_map(|id| paths(maker.dir, id, maker.form));
    let all: Vec<_> = all.collect();
    files::check_free(all.iter().map(PathBuf::as_path), args.with.out.force)?;
    files::make_dir(maker.dir)?;
    for id in &ids {
        let made = maker.make(id, device(id))?;
        files::write(&made.files, args.with.out.force)?;
    }
    Ok(())
}

impl SignArgs {
    fn maker<'a>(&'a self, authority: &'a Authority) -> Result<Maker<'a>, Failure> {
        Ok(Maker {
            authority,
            validity: self.validity.resolve(DAYS, Some(authority.end()?))?,
            algorithm: self.key.algorithm,
            form: self.form.form(),
            dir: &self.out.dir,
        })
    }
}

impl Maker<'_> {
    /// A key pair and a certificate, valid and signed as the maker says.
    pub(super) fn make(&self, stem: &str, mut params: CertificateParams) -> Result<Made, Failure> {
        params.not_before = self.validity.start;
        params.not_after = self.validity.end;
        let key = self.algorithm.generate()?;
        let leaf = self.authority.sign(params, &key)?;
        let above = self.authority.chain_below_root()?;
        let [certificate_path, key_path] = paths(self.dir, stem, self.form);
        let files = [
            NewFile {
                path: key_path,
                secret: true,
                bytes: self.form.write_key(&key)?,
            },
            NewFile {
                path: certificate_path,
                secret: false,
                bytes: self.form.write_chain(&leaf, above)?,
            },
        ];
        Ok(Made {
            files,
            certificate: leaf,
        })
    }
}

/// A server of these names and addresses. The first of them that is short enough is the common
/// name too, for people; programs look at the others.
pub(super) fn server(server_names: &[String]) -> Result<CertificateParams, Failure> {
    let mut params = leaf(ExtendedKeyUsagePurpose::ServerAuth);
    for name in server_names {
        let name = names::server_name(name)?;
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    let mut short = server_names
        .iter()
        .filter(|name| name.len() <= names::MAX_COMMON_NAME);
    params.distinguished_name = short
        .next()
        .map_or_else(DistinguishedName::new, |name| names::subject(name));
    Ok(params)
}

/// The device `id`, which has passed [`names::check_file_stem`].
pub(super) fn device(id: &str) -> CertificateParams {
    let mut params = leaf(ExtendedKeyUsagePurpose::ClientAuth);
    params.distinguished_name = names::subject(id);
    if names::dns_name(id).is_some()
        && let Ok(name) = Ia5String::try_from(id)
    {
        params.subject_alt_names = vec![SanType::DnsName(name)];
    }
    params
}

fn leaf(usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    // Every cipher suite with certificates that we speak lets the key sign and nothing else.
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params
}
