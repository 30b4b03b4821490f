//! What we show and whom we believe, from the flags.

use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::crypto::KeyType;
use lockgate_tokio::Credentials;
use lockgate_tokio::webpki::{
    CredentialLoader, CredentialStore, Source, Time, Verifier, algorithms,
};

use super::args::NcArgs;
use crate::Failure;

pub(super) fn load(args: &NcArgs) -> Result<Credentials, Failure> {
    let mut credentials = Credentials::new();
    match (&args.certificate, &args.pkey) {
        (Some(certificate), Some(key)) => {
            credentials = credentials
                .with_x509_files(certificate, key)
                .map_err(|e| e.to_string())?;
        }
        (None, Some(key)) => {
            let key = Source::read(key)
                .and_then(|source| source.private_key(PrivateKey::from_pem, PrivateKey::from_der));
            credentials = credentials.with_raw_public_key(key.map_err(|e| e.to_string())?);
        }
        _ if args.listen && args.psk.is_none() => {
            if !args.insecure {
                return Err(
                    "nothing to show to clients: give --psk, or --cert and --key, or --key for a \
                     raw public key, or --insecure to make up a certificate"
                        .into(),
                );
            }
            credentials = credentials.with_store(made_up()?);
        }
        _ => {}
    }
    if args.insecure {
        return Ok(credentials.trusting_anybody_insecurely());
    }
    let trusts = args.cafile.is_some() || args.peer_keys.is_some();
    if trusts {
        let mut verifier = Verifier::builder(algorithms::AWS_LC);
        if let Some(path) = &args.cafile {
            verifier = Source::read(path)
                .and_then(|source| verifier.anchors(&source))
                .map_err(|e| e.to_string())?;
        }
        if let Some(path) = &args.peer_keys {
            verifier = Source::read(path)
                .and_then(|source| verifier.keys(&source))
                .map_err(|e| e.to_string())?;
        }
        credentials = credentials.trusting(verifier.build());
    } else if !args.listen && args.psk.is_none() {
        return Err(
            "nothing to know the server by: give --psk, --cafile or --peer-keys, or --insecure to \
             believe anybody"
                .into(),
        );
    }
    Ok(credentials)
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
