//! Which of the usual forms a private key's DER has.

use lockgate_dtls::crypto::KeyType;

use super::PrivateKeyError;

/// The form, and whose key it is where the form leaves that open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5958 §2)
    Pkcs8(KeyType),
    /// `ECPrivateKey` (RFC 5915 §3)
    Sec1(KeyType),
    /// `RSAPrivateKey` (RFC 8017 §A.1.2)
    Pkcs1,
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xA0;

const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const SECP256R1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const SECP384R1: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];
const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];

/// Looks as far as it takes to choose a parser; that one looks at the rest.
pub(super) fn form(der: &[u8]) -> Result<Form, PrivateKeyError> {
    let mut outer = Reader(der);
    let mut key = outer.sequence()?;
    if !outer.0.is_empty() {
        return Err(PrivateKeyError::Malformed);
    }
    if key.next_is(SEQUENCE) {
        // An `EncryptedPrivateKeyInfo` (RFC 5958 §3); in a public key and a certificate no OCTET STRING follows.
        key.sequence()?;
        let encrypted = key.next_is(OCTET_STRING);
        return Err(if encrypted {
            PrivateKeyError::Encrypted
        } else {
            PrivateKeyError::Malformed
        });
    }
    key.value(INTEGER)?;
    if key.next_is(SEQUENCE) {
        let mut algorithm = key.sequence()?;
        let key_type = match algorithm.value(OBJECT_IDENTIFIER)? {
            EC_PUBLIC_KEY => curve(&mut algorithm)?,
            ED25519 => KeyType::Ed25519,
            RSA_ENCRYPTION => KeyType::Rsa,
            _ => return Err(PrivateKeyError::Unsupported),
        };
        Ok(Form::Pkcs8(key_type))
    } else if key.next_is(OCTET_STRING) {
        let scalar = key.value(OCTET_STRING)?;
        let key_type = if key.next_is(CONTEXT_0) {
            curve(&mut Reader(key.value(CONTEXT_0)?))?
        } else {
            // Without parameters the length is all there is to tell by.
            match scalar.len() {
                32 => KeyType::EcdsaP256,
                48 => KeyType::EcdsaP384,
                _ => return Err(PrivateKeyError::Unsupported),
            }
        };
        Ok(Form::Sec1(key_type))
    } else if key.next_is(INTEGER) {
        Ok(Form::Pkcs1)
    } else {
        Err(PrivateKeyError::Malformed)
    }
}

/// A curve's name; curves spelt out in numbers are not taken (RFC 5480 §2.1.1).
fn curve(parameters: &mut Reader<'_>) -> Result<KeyType, PrivateKeyError> {
    if !parameters.next_is(OBJECT_IDENTIFIER) {
        return Err(PrivateKeyError::Unsupported);
    }
    match parameters.value(OBJECT_IDENTIFIER)? {
        SECP256R1 => Ok(KeyType::EcdsaP256),
        SECP384R1 => Ok(KeyType::EcdsaP384),
        _ => Err(PrivateKeyError::Unsupported),
    }
}

/// As much of DER (X.690) as it takes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next_is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The contents of the next value, which is of type `tag`.
    fn value(&mut self, tag: u8) -> Result<&'a [u8], PrivateKeyError> {
        let (header, len) = match *self.0 {
            [_, len, ..] if len < 0x80 => (2, usize::from(len)),
            [_, 0x81, len, ..] if len >= 0x80 => (3, usize::from(len)),
            [_, 0x82, high, low, ..] if high > 0 => {
                (4, usize::from(u16::from_be_bytes([high, low])))
            }
            // Longer than the key of any size that is taken, or not the shortest form.
            _ => return Err(PrivateKeyError::Malformed),
        };
        let value = self.0.get(header..header + len);
        let value = value.filter(|_| self.next_is(tag));
        let value = value.ok_or(PrivateKeyError::Malformed)?;
        self.0 = &self.0[header + len..];
        Ok(value)
    }

    fn sequence(&mut self) -> Result<Self, PrivateKeyError> {
        self.value(SEQUENCE).map(Self)
    }
}
