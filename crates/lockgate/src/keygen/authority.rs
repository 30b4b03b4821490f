//! The certificate authority: making one, and using one that lies in a folder.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, parse_x509_certificate};
use zeroize::Zeroizing;

use super::files::{self, NewFile};
use super::key::{DerArgs, Form, KeyArgs, read_certificates, read_key};
use super::validity::{Validity, ValidityArgs};
use super::{OutArgs, names};
use crate::Failure;

/// How long an authority is good unless told otherwise.
const DAYS: u32 = 3_650;

#[derive(clap::Args)]
pub(super) struct CaArgs {
    #[command(flatten)]
    out: OutArgs,

    /// The authority's common name [default: "Lockgate test CA" and a few digits, so that no two
    /// are called the same]
    #[arg(long)]
    name: Option<String>,

    /// Let the authority in this folder sign the new one: an intermediate. Its ca.pem is its own
    /// certificate and then those above it, without the root
    #[arg(long, value_name = "DIR")]
    ca: Option<PathBuf>,

    #[command(flatten)]
    validity: ValidityArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    form: DerArgs,
}

/// A certificate that may sign others, and its key.
pub(super) struct Authority {
    /// Named in errors.
    name: String,
    key: Zeroizing<KeyPair>,
    /// The certificate, then those above it as far as they are known.
    chain: Vec<CertificateDer<'static>>,
}

pub(super) fn run(args: &CaArgs) -> Result<(), Failure> {
    let form = args.form.form();
    let above = args.ca.as_deref().map(Authority::open).transpose()?;
    let limit = above.as_ref().map(Authority::end).transpose()?;
    let validity = args.validity.resolve(DAYS, limit)?;
    let [certificate, key] = paths(&args.out.dir, "ca", form);
    files::check_free([&*certificate, &*key], args.out.force)?;
    let made = Authority::make(
        args.name.as_deref(),
        args.key.algorithm.generate()?,
        validity,
        above.as_ref(),
    )?;
    files::make_dir(&args.out.dir)?;
    files::write(&made.files(&args.out.dir, form)?, args.out.force)
}

/// Where the certificate and the key of `stem` lie.
pub(super) fn paths(dir: &Path, stem: &str, form: Form) -> [PathBuf; 2] {
    let ending = form.ending();
    [
        dir.join(format!("{stem}.{ending}")),
        dir.join(format!("{stem}-key.{ending}")),
    ]
}

impl Authority {
    /// A new one, signed by itself or by the one above. Without a name it gets one from its key.
    pub(super) fn make(
        name: Option<&str>,
        key: Zeroizing<KeyPair>,
        validity: Validity,
        above: Option<&Self>,
    ) -> Result<Self, Failure> {
        let name = name.map_or_else(|| default_name(&key, above.is_some()), str::to_owned);
        names::check_common_name(&name)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = names::subject(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = validity.start;
        params.not_after = validity.end;
        let chain = match above {
            None => {
                let signed = params
                    .self_signed(&*key)
                    .map_err(|e| format!("cannot sign the certificate: {e}"))?;
                vec![signed.into()]
            }
            Some(above) => {
                if !above.may_sign_authorities()? {
                    return Err(format!("{}: may not sign other authorities", above.name));
                }
                let mut chain = vec![above.sign(params, &key)?];
                chain.extend_from_slice(above.chain_below_root()?);
                chain
            }
        };
        Ok(Self { name, key, chain })
    }

    /// Reads `ca.pem` or `ca.der` and its key from a folder, and checks that they can be used.
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        // One that cannot be looked at is left to fail with its reason when it is read.
        let absent = |form| matches!(paths(dir, "ca", form)[0].try_exists(), Ok(false));
        let form = match (absent(Form::Pem), absent(Form::Der)) {
            (false, _) => Form::Pem,
            (true, false) => Form::Der,
            (true, true) => {
                let dir = dir.display();
                return Err(format!(
                    "{dir}: holds no ca.pem (lockgate keygen ca --out {dir} makes one)"
                ));
            }
        };
        let [certificate, key] = paths(dir, "ca", form);
        let authority = Self {
            name: certificate.display().to_string(),
            chain: read_certificates(&certificate)?,
            key: read_key(&key)?,
        };
        let own = authority.parsed()?;
        let wrong = |what: &str| Err(format!("{}: {what}", authority.name));
        if !own.is_ca() {
            return wrong("is the certificate of no authority");
        }
        if let Ok(Some(usage)) = own.key_usage()
            && !usage.value.key_cert_sign()
        {
            return wrong("may not sign certificates");
        }
        if *own.public_key().subject_public_key.data != *authority.key.public_key_raw() {
            return wrong(&format!("does not belong to the key in {}", key.display()));
        }
        drop(own);
        Ok(authority)
    }

    /// The two files of an authority.
    pub(super) fn files(&self, dir: &Path, form: Form) -> Result<[NewFile; 2], Failure> {
        let [certificate, key] = paths(dir, "ca", form);
        Ok([
            NewFile {
                path: key,
                secret: true,
                bytes: form.write_key(&self.key)?,
            },
            NewFile {
                path: certificate,
                secret: false,
                bytes: form.write_chain(&self.chain[0], &self.chain[1..])?,
            },
        ])
    }

    /// Signs a certificate for `key`.
    pub(super) fn sign(
        &self,
        mut params: CertificateParams,
        key: &KeyPair,
    ) -> Result<CertificateDer<'static>, Failure> {
        params.use_authority_key_identifier_extension = true;
        let signed: CertificateDer<'_> = params
            .signed_by(key, &self.issuer()?)
            .map_err(|e| format!("{}: cannot sign: {e}", self.name))?
            .into();
        let copied = parse(&signed)
            .ok_or("made a certificate that cannot be read")?
            .issuer()
            .as_raw()
            .to_owned();
        // A subject with one attribute twice, for instance, is more than rcgen carries over.
        if copied != self.parsed()?.subject().as_raw() {
            return Err(format!(
                "{}: its subject is of a form that this command cannot copy into certificates",
                self.name
            ));
        }
        Ok(signed)
    }

    /// What rcgen signs with.
    pub(super) fn issuer(&self) -> Result<Issuer<'_, &KeyPair>, Failure> {
        Issuer::from_ca_cert_der(&self.chain[0], &*self.key)
            .map_err(|e| format!("{}: cannot be used: {e}", self.name))
    }

    /// What a server or a device sends after its own certificate: all but the root, which the other
    /// side has or does not trust.
    pub(super) fn chain_below_root(&self) -> Result<&[CertificateDer<'static>], Failure> {
        let mut len = 0;
        for certificate in &self.chain {
            let parsed = parse(certificate)
                .ok_or_else(|| format!("{}: holds a broken certificate", self.name))?;
            if parsed.subject().as_raw() == parsed.issuer().as_raw() {
                break;
            }
            len += 1;
        }
        Ok(&self.chain[..len])
    }

    /// The last moment at which it is good.
    pub(super) fn end(&self) -> Result<OffsetDateTime, Failure> {
        Ok(self.parsed()?.validity().not_after.to_datetime())
    }

    /// Its own certificate, to look into.
    pub(super) fn parsed(&self) -> Result<X509Certificate<'_>, Failure> {
        parse(&self.chain[0]).ok_or_else(|| format!("{}: is no certificate", self.name))
    }

    fn may_sign_authorities(&self) -> Result<bool, Failure> {
        let own = self.parsed()?;
        let constraints = own.basic_constraints().ok().flatten();
        Ok(constraints.is_none_or(|c| c.value.path_len_constraint != Some(0)))
    }

    /// For errors: the file that it was read from.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Two authorities of one name and different keys are told apart by nobody.
fn default_name(key: &KeyPair, intermediate: bool) -> String {
    let hash = digest(&SHA256, key.public_key_raw());
    let digits = &super::raw::hex(hash.as_ref())[..8];
    let kind = if intermediate { "intermediate " } else { "" };
    format!("Lockgate test {kind}CA {digits}")
}

/// A certificate and nothing after it.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match parse_x509_certificate(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}
