//! Says what is wrong when wolfSSL was built without what `.cargo/config.toml` switches on.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let include =
        std::env::var("DEP_WOLFSSL_INCLUDE").expect("wolfssl-sys says where its headers are");
    let options = Path::new(&include).join("wolfssl/options.h");
    let options = std::fs::read_to_string(options).expect("wolfSSL's build writes its options");
    assert!(
        options.contains("WOLFSSL_DTLS_CID"),
        "wolfSSL was built without connection IDs: run cargo in interop/peers, so that it reads .cargo/config.toml, after \
         `cargo clean -p wolfssl-sys`"
    );
}
