//! Why a private key cannot be read.

use std::fmt;

use aws_lc_rs::error::{KeyRejected, Unspecified};

/// Why a private key cannot be read. Its `Display` is one line that follows the name of the file well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// The key is encrypted with a passphrase, and there is nobody to ask for it.
    Encrypted,
    /// The key is in OpenSSH's own format.
    OpenSsh,
    /// The PEM text holds no private key.
    NoKey,
    /// The PEM text is damaged: a line is missing, or its base64 is not.
    BadPem,
    /// The DER is no private key in any of the known forms.
    Malformed,
    /// A key of another kind or curve than those that Lockgate signs with.
    Unsupported,
    /// An RSA key of less than 2,048 or more than 8,192 bits.
    RsaSize,
    /// The numbers in the key are no key: out of range, or the public half belongs to another private one.
    Inconsistent,
}

impl fmt::Display for PrivateKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypted => {
                "the key is encrypted; write it without a passphrase: openssl pkey -in FILE -out NEW-FILE"
            }
            Self::OpenSsh => {
                "the key is in OpenSSH's format; convert it: ssh-keygen -p -m PKCS8 -f FILE"
            }
            Self::NoKey => {
                "there is no private key in the PEM text; it begins with a line -----BEGIN PRIVATE KEY-----, or with EC \
                 or RSA before PRIVATE"
            }
            Self::BadPem => "the PEM text is damaged: its base64 or its last line is wrong",
            Self::Malformed => {
                "this is no private key: the DER is neither PKCS#8 nor SEC1 nor PKCS#1"
            }
            Self::Unsupported => {
                "the key is of a kind that is not supported; take ECDSA on P-256 or P-384, Ed25519 or RSA"
            }
            Self::RsaSize => "the RSA key has less than 2048 or more than 8192 bits; make a new one",
            Self::Inconsistent => {
                "the key is damaged: its numbers are out of range or do not belong together"
            }
        })
    }
}

impl std::error::Error for PrivateKeyError {}

/// For keys whose form has been found right.
impl From<KeyRejected> for PrivateKeyError {
    fn from(error: KeyRejected) -> Self {
        match error.description_() {
            "TooSmall" | "TooLarge" => Self::RsaSize,
            _ => Self::Inconsistent,
        }
    }
}

impl From<Unspecified> for PrivateKeyError {
    fn from(_: Unspecified) -> Self {
        Self::Inconsistent
    }
}
