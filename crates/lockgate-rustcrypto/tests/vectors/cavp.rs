//! NIST's vectors of AES-CCM (CAVP), which `crates/lockgate-aws-lc/tests/fetch-vectors` fetches.

use std::collections::HashMap;
use std::path::PathBuf;
use std::{env, fs};

/// Vectors for keys of 128 and 256 bits: of the 5 files for each, 240, 330, 70, 250 and 70.
pub(crate) const CASES: usize = 2 * 960;

/// One record; `sealed` is ciphertext and tag.
pub(crate) struct Case {
    /// File and number, for messages.
    pub(crate) name: String,
    pub(crate) key: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    /// `None` when `sealed` must be refused.
    pub(crate) text: Option<Vec<u8>>,
    pub(crate) sealed: Vec<u8>,
    pub(crate) tag_len: usize,
}

/// All vectors for keys of 128 and 256 bits, of every length of nonce and tag.
///
/// The folder is `LOCKGATE_VECTORS`, and then it must be there, or `target/vectors` of the workspace. `None`, with a line
/// that says so, when that is not there.
pub(crate) fn aes_ccm() -> Option<Vec<Case>> {
    let wanted = env::var_os("LOCKGATE_VECTORS").map(PathBuf::from);
    let folder = wanted.clone().unwrap_or_else(|| {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/vectors"))
    });
    let folder = folder.join("ccm-50.0.2");
    if wanted.is_none() && !folder.is_dir() {
        println!(
            "skipped: NIST's vectors of AES-CCM are not here; run crates/lockgate-aws-lc/tests/fetch-vectors"
        );
        return None;
    }
    let mut cases = Vec::new();
    for bits in [128, 256] {
        for kind in ["DVPT", "VADT", "VNT", "VPT", "VTT"] {
            let path = folder.join(format!("{kind}{bits}.rsp"));
            let text = fs::read_to_string(&path).unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; run crates/lockgate-aws-lc/tests/fetch-vectors",
                    path.display()
                )
            });
            parse(&format!("{kind}{bits}"), &text, &mut cases);
        }
    }
    assert_eq!(cases.len(), CASES, "in {}", folder.display());
    Some(cases)
}

/// Lines of `name = value`, some several in brackets; a value holds until the next of its name.
fn parse(file: &str, text: &str, cases: &mut Vec<Case>) {
    let mut values = HashMap::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') || line.starts_with("Count") {
            cases.extend(take(file, &mut values));
        }
        for pair in line.trim_matches(['[', ']']).split(", ") {
            if let Some((name, value)) = pair.split_once(" = ") {
                values.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    cases.extend(take(file, &mut values));
}

/// What the lines so far make, if they make a case; what is only of that case is forgotten.
fn take(file: &str, values: &mut HashMap<String, String>) -> Option<Case> {
    let sealed = hex(&values.remove("CT")?);
    let (aad, text) = (values.remove("Adata"), values.remove("Payload"));
    let refused = values
        .remove("Result")
        .is_some_and(|result| result == "Fail");
    let number = |name: &str| values[name].parse::<usize>().expect("a length");
    // Nothing is written as one byte of zero.
    let cut = |digits: String, len| hex(&digits)[..len].to_vec();
    let text = text.map(|text| cut(text, number("Plen")));
    assert_eq!(text.is_none(), refused, "{file}: {values:?}");
    Some(Case {
        name: format!("{file} {} of {values:?}", values["Count"]),
        key: hex(&values["Key"]),
        nonce: hex(&values["Nonce"]),
        aad: cut(aad.expect("Adata"), number("Alen")),
        text,
        sealed,
        tag_len: number("Tlen"),
    })
}

fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hexadecimal"))
        .collect()
}
