//! As much of DER (X.690) as keys take.

use lockgate_dtls::crypto::KeyType;

use super::PrivateKeyError;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xA0;
const CONTEXT_1: u8 = 0xA1;

const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const SECP256R1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const SECP384R1: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];

/// What stands before the public key's bytes in a `SubjectPublicKeyInfo` (RFC 5480 §2, RFC 8410 §4).
pub(super) const fn info_prefix(key_type: KeyType) -> &'static [u8] {
    match key_type {
        KeyType::EcdsaP256 => &[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06,
            0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ],
        KeyType::EcdsaP384 => &[
            0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06,
            0x05, 0x2B, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
        ],
        KeyType::Ed25519 => &[
            0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00,
        ],
        // There are no such keys here.
        KeyType::Rsa => &[],
    }
}

type Parts<'a> = (KeyType, &'a [u8], Option<&'a [u8]>);

/// The type, the secret and, where it is there, the public key of a `OneAsymmetricKey` (RFC 5958 §2).
pub(super) fn pkcs8(der: &[u8]) -> Result<Parts<'_>, PrivateKeyError> {
    let mut outer = Reader(der);
    let mut info = outer.sequence()?;
    outer.end()?;
    if info.next_is(SEQUENCE) {
        // An `EncryptedPrivateKeyInfo`; in a public key and a certificate no OCTET STRING follows.
        info.sequence()?;
        return Err(if info.next_is(OCTET_STRING) {
            PrivateKeyError::Encrypted
        } else {
            PrivateKeyError::Malformed
        });
    }
    info.value(INTEGER)?;
    let mut algorithm = info.sequence()?;
    let key_type = match algorithm.value(OBJECT_IDENTIFIER)? {
        EC_PUBLIC_KEY if !algorithm.next_is(OBJECT_IDENTIFIER) => {
            return Err(PrivateKeyError::Unsupported);
        }
        EC_PUBLIC_KEY => match algorithm.value(OBJECT_IDENTIFIER)? {
            SECP256R1 => KeyType::EcdsaP256,
            SECP384R1 => KeyType::EcdsaP384,
            _ => return Err(PrivateKeyError::Unsupported),
        },
        ED25519 => KeyType::Ed25519,
        _ => return Err(PrivateKeyError::Unsupported),
    };
    let mut key = Reader(info.value(OCTET_STRING)?);
    // Attributes and a public key may follow, which other programs put there for themselves.
    if key_type == KeyType::Ed25519 {
        let seed = key.value(OCTET_STRING)?;
        key.end()?;
        return Ok((key_type, seed, None));
    }
    let mut whole = key.sequence()?;
    key.end()?;
    whole.value(INTEGER)?;
    let scalar = whole.value(OCTET_STRING)?;
    if whole.next_is(CONTEXT_0) {
        whole.value(CONTEXT_0)?;
    }
    let public = if whole.next_is(CONTEXT_1) {
        let bits = Reader(whole.value(CONTEXT_1)?).value(BIT_STRING)?;
        // No unused bits: a point is whole bytes.
        let point = bits.strip_prefix(&[0]).ok_or(PrivateKeyError::Malformed)?;
        Some(point)
    } else {
        None
    };
    whole.end()?;
    Ok((key_type, scalar, public))
}

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
            // Longer than any key, or not the shortest form.
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

    const fn end(&self) -> Result<(), PrivateKeyError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(PrivateKeyError::Malformed)
        }
    }
}
