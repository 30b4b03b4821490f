//! What an allow list calls the keys in it.

use std::collections::HashMap;

use lockgate_webpki::KeyHash;

/// Longer names are cut, in bytes: a session keeps no more.
const MAX_NAME_LEN: usize = 64;

/// Adds the names in an allow list: on each line the second word, behind the hash. A file of keys has none.
pub(super) fn names(text: &[u8], names: &mut HashMap<KeyHash, Box<str>>) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        if let (Some(hash), Some(name)) = (words.next().and_then(KeyHash::parse), words.next()) {
            names.insert(hash, name[..name.floor_char_boundary(MAX_NAME_LEN)].into());
        }
    }
}
