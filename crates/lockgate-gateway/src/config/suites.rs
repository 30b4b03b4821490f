//! The names of cipher suites, as operators write them.

/// The suites that Lockgate offers for pre-shared keys, the most preferred first: IANA number and
/// name.
///
/// GCM and `ChaCha20` lead because servers compute them fastest; full tags come before the 8-byte
/// tags, which a device should only get when it has nothing better.
pub const SUITES: [(u16, &str); 7] = [
    (0x00A8, "TLS_PSK_WITH_AES_128_GCM_SHA256"),
    (0x00A9, "TLS_PSK_WITH_AES_256_GCM_SHA384"),
    (0xCCAB, "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256"),
    (0xC0A4, "TLS_PSK_WITH_AES_128_CCM"),
    (0xC0A5, "TLS_PSK_WITH_AES_256_CCM"),
    (0xC0A8, "TLS_PSK_WITH_AES_128_CCM_8"),
    (0xC0A9, "TLS_PSK_WITH_AES_256_CCM_8"),
];

/// The numbers of [`SUITES`] in the same order: the default of `--cipher-suites`.
pub fn default_suites() -> Vec<u16> {
    SUITES.iter().map(|&(number, _)| number).collect()
}

/// The IANA name of a suite that Lockgate offers.
pub fn suite_name(number: u16) -> Option<&'static str> {
    SUITES.iter().find(|s| s.0 == number).map(|s| s.1)
}

/// The number of a suite from its IANA name, in either case, with or without `TLS_`.
pub(super) fn parse_suite(text: &str) -> Result<u16, String> {
    let wanted = text.trim().to_ascii_uppercase();
    let wanted = wanted.strip_prefix("TLS_").unwrap_or(&wanted);
    SUITES
        .iter()
        .find(|(_, name)| name.strip_prefix("TLS_") == Some(wanted))
        .map(|&(number, _)| number)
        .ok_or_else(|| {
            let names: Vec<&str> = SUITES.iter().map(|s| s.1).collect();
            format!("expected some of {}", names.join(", "))
        })
}
