//! `config.json` against the sources: the runner takes any text that it finds for a match, so a slip there lets tests pass
//! that should not.

use std::collections::HashMap;

use serde_json::Value;

/// Two faults of ours may be one of the runner's; more would say nothing.
const MOST_CODES: usize = 2;

fn config() -> Value {
    serde_json::from_str(include_str!("../config.json")).expect("it is JSON")
}

#[test]
fn every_error_is_mapped_to_codes_that_exist() {
    let sources = [
        include_str!("../src/answers.rs"),
        include_str!("../src/credentials.rs"),
        include_str!("../src/faults.rs"),
        include_str!("../src/main.rs"),
    ]
    .concat();
    let config = config();
    let errors = config["ErrorMap"].as_object().expect("a map");
    assert!(!errors.is_empty());
    for (error, codes) in errors {
        let codes = codes.as_array().expect("a list");
        assert!((1..=MOST_CODES).contains(&codes.len()), "{error}");
        for code in codes {
            let code = code.as_str().expect("a text");
            // Brackets on both sides: no code can be part of another.
            let name = code
                .strip_prefix('[')
                .and_then(|c| c.strip_suffix(']'))
                .unwrap_or_else(|| panic!("{error}: {code} lacks its brackets"));
            let fixed = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let known = if fixed == name {
                sources.contains(&format!("\"{name}\""))
            } else {
                sources.contains(&format!("\"{fixed}{{"))
            };
            assert!(known, "{error}: nothing says {code}");
        }
    }
}

#[test]
fn no_code_stands_for_two_errors() {
    let config = config();
    let mut seen = HashMap::new();
    for (error, codes) in config["ErrorMap"].as_object().expect("a map") {
        for code in codes.as_array().expect("a list") {
            let before = seen.insert(code.as_str().expect("a text").to_owned(), error);
            assert_eq!(before, None, "{code}");
        }
    }
}

#[test]
fn every_disabled_group_has_a_reason() {
    let config = config();
    for (pattern, reason) in config["DisabledTests"].as_object().expect("a map") {
        assert!(!reason.as_str().expect("a text").is_empty(), "{pattern}");
        // The runner knows only this way to say "none of".
        assert!(!pattern.contains("[!"), "{pattern}");
        assert_ne!(pattern, "*");
    }
}
