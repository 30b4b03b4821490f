//! The names of cipher suites, as operators write them.

use lockgate_dtls::CipherSuite;

/// The numbers of all suites that Lockgate knows, the most preferred first: the default of `--cipher-suites`. Those for
/// which there are no keys or certificates are passed over.
///
/// In the engine's order, but pre-shared keys come before certificates. Devices with such a key often offer what else their
/// library has, without an authority to check our certificate by; and the key says who they are, which a certificate
/// of ours does not.
pub fn default_suites() -> Vec<u16> {
    let uses_psk = |suite: &CipherSuite| {
        suite
            .parameters()
            .is_some_and(|parameters| parameters.key_exchange.uses_psk())
    };
    let (psk, signed): (Vec<_>, Vec<_>) = CipherSuite::ALL.into_iter().partition(uses_psk);
    psk.iter().chain(&signed).map(|suite| suite.0).collect()
}

/// The IANA name of a suite that Lockgate offers.
pub fn suite_name(number: u16) -> Option<&'static str> {
    CipherSuite(number).name()
}

/// The number of a suite from its IANA name, in either case, with or without `TLS_`.
pub fn parse_suite(text: &str) -> Result<u16, &'static str> {
    let wanted = text.trim().to_ascii_uppercase();
    let wanted = wanted.strip_prefix("TLS_").unwrap_or(&wanted);
    CipherSuite::ALL
        .into_iter()
        .find(|suite| suite.name().and_then(|name| name.strip_prefix("TLS_")) == Some(wanted))
        .map(|suite| suite.0)
        .ok_or("expected names of cipher suites as --help lists them")
}
