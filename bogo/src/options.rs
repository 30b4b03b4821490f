//! What the runner asks for, from the command line.
//!
//! Its flags describe another library's test program; each here is one that a test in our scope uses. Every other flag is
//! [`OptionError::Unknown`], which the runner counts as not implemented.

use std::fmt;
use std::path::PathBuf;

use std::os::unix::ffi::OsStringExt;

/// How the runner writes DTLS 1.2.
const DTLS_1_2: u16 = 0xfefd;

/// What kind of credential a `-new-…-credential` flag begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CredentialKind {
    /// A chain of certificates.
    #[default]
    X509,
    /// A bare public key (RFC 7250).
    RawPublicKey,
    /// A pre-shared key of TLS 1.3, which no handshake of 1.2 can use.
    ImportedPsk,
}

/// A credential of ours.
#[derive(Clone, Debug, Default)]
pub(crate) struct CredentialOptions {
    pub(crate) kind: CredentialKind,
    /// PEM, the leaf first.
    pub(crate) chain: Option<PathBuf>,
    /// PEM.
    pub(crate) key: Option<PathBuf>,
    /// What it may sign with, in order of preference; empty for whatever fits the key.
    pub(crate) signing_prefs: Vec<u16>,
    /// Not to be used with a peer that names no issuer of its chain.
    pub(crate) must_match_issuer: bool,
}

/// How our server answers a client's ALPN offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum AlpnAnswer {
    /// As if there were no such extension.
    #[default]
    Decline,
    /// With this protocol.
    Select(Vec<u8>),
    /// With `no_application_protocol`.
    Reject,
    /// With a protocol without a name, which is a mistake of ours.
    SelectEmpty,
}

/// Everything that one connection goes by.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the runner's"
)]
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) ipv6: bool,
    pub(crate) shim_id: u64,
    pub(crate) handshaker_supported: bool,
    pub(crate) server: bool,
    pub(crate) dtls: bool,
    pub(crate) resume_count: u16,
    pub(crate) answer_later: bool,
    pub(crate) min_version: Option<u16>,
    pub(crate) max_version: Option<u16>,
    pub(crate) no_dtls_1_0: bool,
    pub(crate) no_dtls_1_2: bool,
    pub(crate) no_dtls_1_3: bool,
    pub(crate) mtu: Option<usize>,
    pub(crate) initial_timeout_ms: Option<u32>,
    pub(crate) max_certificate_list: Option<usize>,
    pub(crate) credential: Option<CredentialOptions>,
    pub(crate) more_credentials: Vec<CredentialOptions>,
    pub(crate) expect_credential: Option<i32>,
    pub(crate) client_certificate_types: Vec<u8>,
    pub(crate) psk: Vec<u8>,
    pub(crate) psk_identity: Vec<u8>,
    pub(crate) groups: Vec<u16>,
    pub(crate) verify_prefs: Vec<u16>,
    pub(crate) verify_peer: bool,
    pub(crate) require_client_certificate: bool,
    pub(crate) custom_verify: bool,
    pub(crate) verify_fail: bool,
    pub(crate) expect_verify_result: bool,
    pub(crate) verify_again_on_resume: bool,
    pub(crate) host_name: Vec<u8>,
    pub(crate) expect_server_name: Vec<u8>,
    pub(crate) no_server_name_ack: bool,
    pub(crate) advertise_alpn: Vec<u8>,
    pub(crate) expect_alpn: Vec<u8>,
    pub(crate) expect_advertised_alpn: Vec<u8>,
    pub(crate) alpn_answer: AlpnAnswer,
    pub(crate) allow_unknown_alpn: bool,
    pub(crate) export_len: usize,
    pub(crate) export_label: Vec<u8>,
    pub(crate) export_context: Vec<u8>,
    pub(crate) export_with_context: bool,
    pub(crate) expect_session_miss: bool,
    pub(crate) expect_ticket_renewal: bool,
    pub(crate) expect_session_id: Option<bool>,
    pub(crate) writes_first: bool,
    pub(crate) shuts_down: bool,
    pub(crate) send_alert: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            ipv6: false,
            shim_id: 0,
            handshaker_supported: false,
            server: false,
            dtls: false,
            resume_count: 0,
            answer_later: false,
            min_version: None,
            max_version: None,
            no_dtls_1_0: false,
            no_dtls_1_2: false,
            no_dtls_1_3: false,
            mtu: None,
            initial_timeout_ms: None,
            max_certificate_list: None,
            credential: None,
            more_credentials: Vec::new(),
            expect_credential: None,
            client_certificate_types: Vec::new(),
            psk: Vec::new(),
            psk_identity: Vec::new(),
            groups: Vec::new(),
            verify_prefs: Vec::new(),
            verify_peer: false,
            require_client_certificate: false,
            custom_verify: false,
            verify_fail: false,
            expect_verify_result: false,
            verify_again_on_resume: false,
            host_name: Vec::new(),
            expect_server_name: Vec::new(),
            no_server_name_ack: false,
            advertise_alpn: Vec::new(),
            expect_alpn: Vec::new(),
            expect_advertised_alpn: Vec::new(),
            alpn_answer: AlpnAnswer::Decline,
            allow_unknown_alpn: false,
            export_len: 0,
            export_label: Vec::new(),
            export_context: Vec::new(),
            export_with_context: false,
            expect_session_miss: false,
            expect_ticket_renewal: false,
            expect_session_id: None,
            writes_first: false,
            shuts_down: false,
            send_alert: false,
        }
    }
}

/// Which versions of DTLS the runner lets us speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// DTLS 1.2, perhaps among others.
    Include12,
    /// Some, but not 1.2.
    Others,
    /// None.
    Nothing,
}

impl Options {
    /// Which versions are switched on. On the wire a later version of DTLS is a smaller number.
    pub(crate) fn versions(&self) -> Versions {
        let within = |version: u16, off: bool| {
            !off && self.min_version.is_none_or(|min| version <= min)
                && self.max_version.is_none_or(|max| version >= max)
        };
        if within(DTLS_1_2, self.no_dtls_1_2) {
            Versions::Include12
        } else if within(DTLS_1_2 - 1, self.no_dtls_1_3) || within(DTLS_1_2 + 2, self.no_dtls_1_0) {
            Versions::Others
        } else {
            Versions::Nothing
        }
    }

    /// The credential that flags about one now speak of.
    fn current_credential(&mut self) -> &mut CredentialOptions {
        match self.more_credentials.last_mut() {
            Some(last) => last,
            None => self.credential.get_or_insert_default(),
        }
    }

    fn new_credential(&mut self, kind: CredentialKind) {
        self.more_credentials.push(CredentialOptions {
            kind,
            ..CredentialOptions::default()
        });
    }
}

/// The options of the first connection, and of those that resume it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandLine {
    pub(crate) initial: Options,
    pub(crate) resume: Options,
}

/// What is wrong with the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OptionError {
    /// A flag that no test of ours uses.
    Unknown(String),
    /// Its value is missing.
    MissingValue(String),
    /// Its value is not what it takes.
    BadValue(String),
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(flag) => write!(f, "flag {flag} is not implemented"),
            Self::MissingValue(flag) => write!(f, "flag {flag} lacks its value"),
            Self::BadValue(flag) => write!(f, "flag {flag} has a value that cannot be"),
        }
    }
}

type Switch = fn(&mut Options);
/// `None` when the value is not one that the flag takes.
type Setter = fn(&mut Options, &[u8]) -> Option<()>;

/// Flags without a value. What says nothing to us does nothing, and says so.
const SWITCHES: &[(&str, Switch)] = &[
    ("-ipv6", |o| o.ipv6 = true),
    ("-is-handshaker-supported", |o| {
        o.handshaker_supported = true;
    }),
    ("-server", |o| o.server = true),
    ("-dtls", |o| o.dtls = true),
    ("-async", |o| o.answer_later = true),
    ("-no-tls1", |o| o.no_dtls_1_0 = true),
    // There is no DTLS 1.1.
    ("-no-tls11", |_| {}),
    ("-no-tls12", |o| o.no_dtls_1_2 = true),
    ("-no-tls13", |o| o.no_dtls_1_3 = true),
    // Reading before the handshake was asked for begins it: there is no such call here.
    ("-implicit-handshake", |_| {}),
    // Another way to the same credential in the reference.
    ("-use-old-client-cert-callback", |_| {}),
    // DTLS 1.2 has no HelloRetryRequest.
    ("-expect-no-hrr", |_| {}),
    ("-new-x509-credential", |o| {
        o.new_credential(CredentialKind::X509);
    }),
    ("-new-rpk-credential", |o| {
        o.new_credential(CredentialKind::RawPublicKey);
    }),
    ("-new-psk-credential", |o| {
        o.new_credential(CredentialKind::ImportedPsk);
    }),
    ("-psk-importer-sha256", |_| {}),
    ("-must-match-issuer", |o| {
        o.current_credential().must_match_issuer = true;
    }),
    ("-verify-peer", |o| o.verify_peer = true),
    ("-require-any-client-certificate", |o| {
        o.require_client_certificate = true;
    }),
    ("-use-custom-verify-callback", |o| o.custom_verify = true),
    ("-verify-fail", |o| o.verify_fail = true),
    ("-expect-verify-result", |o| o.expect_verify_result = true),
    ("-reverify-on-resume", |o| o.verify_again_on_resume = true),
    ("-no-server-name-ack", |o| o.no_server_name_ack = true),
    ("-decline-alpn", |o| o.alpn_answer = AlpnAnswer::Decline),
    ("-reject-alpn", |o| o.alpn_answer = AlpnAnswer::Reject),
    ("-select-empty-alpn", |o| {
        o.alpn_answer = AlpnAnswer::SelectEmpty;
    }),
    ("-allow-unknown-alpn-protos", |o| {
        o.allow_unknown_alpn = true;
    }),
    ("-use-export-context", |o| o.export_with_context = true),
    ("-expect-session-miss", |o| o.expect_session_miss = true),
    ("-expect-ticket-renewal", |o| o.expect_ticket_renewal = true),
    ("-expect-session-id", |o| o.expect_session_id = Some(true)),
    ("-expect-no-session-id", |o| {
        o.expect_session_id = Some(false);
    }),
    ("-shim-writes-first", |o| o.writes_first = true),
    ("-shim-shuts-down", |o| o.shuts_down = true),
    ("-send-alert", |o| o.send_alert = true),
];

/// Flags with a value.
const SETTERS: &[(&str, Setter)] = &[
    ("-port", |o, v| number(v).map(|n| o.port = n)),
    ("-shim-id", |o, v| number(v).map(|n| o.shim_id = n)),
    ("-resume-count", |o, v| {
        number(v).map(|n| o.resume_count = n)
    }),
    ("-min-version", |o, v| {
        number(v).map(|n| o.min_version = Some(n))
    }),
    ("-max-version", |o, v| {
        number(v).map(|n| o.max_version = Some(n))
    }),
    ("-mtu", |o, v| number(v).map(|n| o.mtu = Some(n))),
    ("-initial-timeout-duration-ms", |o, v| {
        number(v).map(|n| o.initial_timeout_ms = Some(n))
    }),
    ("-max-cert-list", |o, v| {
        number(v).map(|n| o.max_certificate_list = Some(n))
    }),
    ("-cert-file", |o, v| {
        o.current_credential().chain = Some(path(v));
        Some(())
    }),
    ("-key-file", |o, v| {
        o.current_credential().key = Some(path(v));
        Some(())
    }),
    ("-signing-prefs", |o, v| {
        number(v).map(|n| o.current_credential().signing_prefs.push(n))
    }),
    ("-expect-selected-credential", |o, v| {
        number(v).map(|n| o.expect_credential = Some(n))
    }),
    ("-available-client-cert-types", |o, v| {
        number(v).map(|n| o.client_certificate_types.push(n))
    }),
    // The peer's certificate is judged by what the other flags say.
    ("-trust-cert", |_, _| Some(())),
    ("-psk", |o, v| bytes(&mut o.psk, v)),
    ("-psk-identity", |o, v| bytes(&mut o.psk_identity, v)),
    ("-psk-importer-key", |_, _| Some(())),
    ("-psk-importer-identity", |_, _| Some(())),
    ("-psk-importer-context", |_, _| Some(())),
    ("-curves", |o, v| number(v).map(|n| o.groups.push(n))),
    ("-verify-prefs", |o, v| {
        number(v).map(|n| o.verify_prefs.push(n))
    }),
    ("-host-name", |o, v| bytes(&mut o.host_name, v)),
    ("-expect-server-name", |o, v| {
        bytes(&mut o.expect_server_name, v)
    }),
    ("-advertise-alpn", |o, v| bytes(&mut o.advertise_alpn, v)),
    ("-expect-alpn", |o, v| bytes(&mut o.expect_alpn, v)),
    ("-expect-advertised-alpn", |o, v| {
        bytes(&mut o.expect_advertised_alpn, v)
    }),
    ("-select-alpn", |o, v| {
        o.alpn_answer = AlpnAnswer::Select(v.to_vec());
        Some(())
    }),
    ("-export-keying-material", |o, v| {
        number(v).map(|n| o.export_len = n)
    }),
    ("-export-label", |o, v| bytes(&mut o.export_label, v)),
    ("-export-context", |o, v| bytes(&mut o.export_context, v)),
];

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn path(value: &[u8]) -> PathBuf {
    std::ffi::OsString::from_vec(value.to_vec()).into()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every setter answers in the same way"
)]
fn bytes(target: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    *target = value.to_vec();
    Some(())
}

impl CommandLine {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(args: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, OptionError> {
        let mut line = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let given = String::from_utf8_lossy(&arg).into_owned();
            // There is no second program here for which `-on-handshaker` could speak.
            let name = given.strip_prefix("-on-shim").unwrap_or(&given);
            let (first, again, name) = if let Some(name) = name.strip_prefix("-on-initial") {
                (true, false, name)
            } else if let Some(name) = name.strip_prefix("-on-resume") {
                (false, true, name)
            } else {
                (true, true, name)
            };
            let targets = [(first, &mut line.initial), (again, &mut line.resume)];
            let targets = targets.into_iter().filter_map(|(on, o)| on.then_some(o));
            if let Some((_, switch)) = SWITCHES.iter().find(|(n, _)| *n == name) {
                targets.for_each(switch);
            } else if let Some((_, set)) = SETTERS.iter().find(|(n, _)| *n == name) {
                let Some(value) = args.next() else {
                    return Err(OptionError::MissingValue(given));
                };
                for options in targets {
                    set(options, &value).ok_or_else(|| OptionError::BadValue(given.clone()))?;
                }
            } else {
                return Err(OptionError::Unknown(given));
            }
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<CommandLine, OptionError> {
        CommandLine::parse(args.iter().map(|a| a.as_bytes().to_vec()))
    }

    #[test]
    fn prefixes_choose_the_connection() {
        let line = parse(&[
            "-server",
            "-on-resume-verify-fail",
            "-on-initial-mtu",
            "256",
        ]);
        let line = line.expect("known flags");
        assert!(line.initial.server && line.resume.server);
        assert!(!line.initial.verify_fail && line.resume.verify_fail);
        assert_eq!((line.initial.mtu, line.resume.mtu), (Some(256), None));
    }

    #[test]
    fn flags_about_credentials_go_to_the_newest() {
        let line = parse(&[
            "-key-file",
            "a",
            "-new-x509-credential",
            "-key-file",
            "b",
            "-signing-prefs",
            "2052",
            "-new-rpk-credential",
            "-must-match-issuer",
        ])
        .expect("known flags")
        .initial;
        let default = line.credential.expect("one without a name");
        assert_eq!(default.key, Some("a".into()));
        assert!(default.signing_prefs.is_empty());
        assert_eq!(line.more_credentials[0].key, Some("b".into()));
        assert_eq!(line.more_credentials[0].signing_prefs, [2052]);
        assert_eq!(line.more_credentials[1].kind, CredentialKind::RawPublicKey);
        assert!(line.more_credentials[1].must_match_issuer);
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert_eq!(
            parse(&["-quic"]).unwrap_err(),
            OptionError::Unknown("-quic".into())
        );
        assert_eq!(
            parse(&["-on-resume-early"]).unwrap_err(),
            OptionError::Unknown("-on-resume-early".into())
        );
        assert_eq!(
            parse(&["-mtu"]).unwrap_err(),
            OptionError::MissingValue("-mtu".into())
        );
        assert_eq!(
            parse(&["-mtu", "many"]).unwrap_err(),
            OptionError::BadValue("-mtu".into())
        );
    }

    #[test]
    fn versions_count_backwards() {
        let versions = |args: &[&str]| parse(args).expect("known flags").initial.versions();
        assert_eq!(versions(&[]), Versions::Include12);
        assert_eq!(versions(&["-min-version", "65279"]), Versions::Include12);
        assert_eq!(versions(&["-max-version", "65276"]), Versions::Include12);
        assert_eq!(versions(&["-max-version", "65279"]), Versions::Others);
        assert_eq!(versions(&["-min-version", "65276"]), Versions::Others);
        assert_eq!(versions(&["-no-tls12", "-no-tls1"]), Versions::Others);
        assert_eq!(
            versions(&["-no-tls12", "-no-tls13", "-no-tls1"]),
            Versions::Nothing
        );
    }
}
