//! What one session costs.

use lockgate_dtls::Association;

#[test]
fn an_association_is_small() {
    // With exporter secrets (112 bytes), a window of 256 records and the server's last flight; issue: 1,024 bytes with all
    // an endpoint keeps.
    assert!(
        size_of::<Association>() <= 496,
        "{}",
        size_of::<Association>()
    );
}
