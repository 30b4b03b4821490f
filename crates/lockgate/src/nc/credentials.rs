//! What we show and whom we believe, from the flags.

use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::crypto::KeyType;
use lockgate_tokio::Credentials;
use lockgate_tokio::webpki::{CredentialLoader, CredentialStore, Source, Time, algorithms};

use super::args::NcArgs;
use crate::Failure;

pub(super) fn load(args: &NcArgs) -> Result<Credentials, Failure> {
    if !args.listen {
        return args.proof.of_client(args.psk.is_some());
    }
    let mut credentials = args.proof.shown(Credentials::new())?;
    if credentials.shows_nothing() && args.psk.is_none() {
        if !args.proof.insecure {
            return Err(
                "nothing to show to clients: give --psk, or --cert and --key, or --key for a \
                 raw public key, or --insecure to make up a certificate"
                    .into(),
            );
        }
        credentials = credentials.with_store(made_up()?);
    }
    args.proof.believed(credentials)
}

/// A key and a certificate that signs itself, for this run.
fn made_up() -> Result<CredentialStore<PrivateKey>, Failure> {
    let failed = |e: &dyn std::fmt::Display| format!("cannot make up a certificate: {e}");
    let key = PrivateKey::generate(KeyType::EcdsaP256).map_err(|e| failed(&e))?;
    let der = key.to_pkcs8_der();
    let pair = rcgen::KeyPair::try_from(der.as_slice()).map_err(|e| failed(&e))?;
    let mut params =
        rcgen::CertificateParams::new(vec!["localhost".into()]).map_err(|e| failed(&e))?;
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "lockgate nc (made up)");
    let certificate = params.self_signed(&pair).map_err(|e| failed(&e))?;
    let loader = CredentialLoader {
        algorithms: algorithms::AWS_LC,
        time: Time::Unknown,
    };
    let source = Source::new("made up", certificate.der().to_vec());
    let credential = loader.x509(&source, "made up", key);
    let mut store = CredentialStore::new();
    store.add(credential.map_err(|e| failed(&e))?);
    Ok(store)
}
