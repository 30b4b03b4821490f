//! Allow lists, pre-shared keys and revocation lists.

use lockgate_gateway::keys::{CsvKeys, KeySource as _};

use crate::{fails, folder, lockgate, made, mode, openssl_ok, openssl_refuses, skipped};

#[test]
fn the_line_of_an_allow_list_is_the_hash_of_the_public_key() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    let said = made(dir, "raw --out keys sensor-1 sensor-2");
    let lines: Vec<_> = said.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(lines.len(), 2, "{said}");
    for (line, name) in lines.iter().zip(["sensor-1", "sensor-2"]) {
        openssl_ok(
            dir,
            &format!("pkey -pubin -in keys/{name}-pub.pem -outform DER -out spki.der"),
        );
        let digest = openssl_ok(dir, "dgst -sha256 -r spki.der");
        let (hash, _) = digest.split_once(' ').unwrap();
        assert_eq!(*line, format!("{hash} {name}"));
    }
}

#[tokio::test]
async fn the_proxy_reads_the_pre_shared_keys() {
    let dir = folder();
    let dir = dir.path();
    let mut args = vec!["psk", "--out", "keys.csv", "--bytes", "32"];
    let odd = [
        "plain",
        "a,b",
        "#no-comment",
        " blank ",
        "quo\"te",
        "\u{feff}bom",
        "é",
    ];
    args.extend(odd);
    let output = lockgate(dir, &args);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"# wrote keys.csv\n");
    let path = dir.join("keys.csv");
    assert_eq!(mode(&path), 0o600);
    let keys = CsvKeys::open(path).await.unwrap();
    assert_eq!(keys.len(), odd.len());
    let mut seen = Vec::new();
    for id in odd {
        let key = keys.lookup(id.as_bytes()).await.unwrap().expect(id);
        assert_eq!(key.as_bytes().len(), 32);
        assert!(!seen.contains(&key.as_bytes().to_vec()));
        seen.push(key.as_bytes().to_vec());
    }

    let lines = made(dir, "psk --count 12 --prefix x");
    let ids: Vec<_> = lines.lines().map(|l| l.split_once(',').unwrap()).collect();
    assert_eq!(ids.len(), 12);
    assert_eq!((ids[0].0, ids[11].0), ("x1", "x12"));
    let is_key = |k: &str| {
        k.len() == 32
            && k.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    assert!(ids.iter().all(|(_, key)| is_key(key)), "{lines}");
    assert!(made(dir, "psk").starts_with("dev-1,"));
}

#[test]
fn a_list_revokes_what_it_names() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    made(dir, "ca --out pki");
    made(dir, "device --ca pki --out pki a b c");
    made(
        dir,
        "crl --ca pki --revoke pki/a.pem pki/b.pem --revoke pki/a.pem --out list.pem",
    );
    let text = openssl_ok(dir, "crl -in list.pem -CAfile pki/ca.pem -noout -text");
    assert!(text.contains("verify OK"), "{text}");
    assert!(text.contains("X509v3 CRL Number"), "{text}");
    assert_eq!(text.matches("Serial Number:").count(), 2, "{text}");
    let verify = "verify -crl_check -CAfile pki/ca.pem -CRLfile list.pem";
    openssl_ok(dir, &format!("{verify} pki/c.pem"));
    for revoked in ["a", "b"] {
        openssl_refuses(
            dir,
            &format!("{verify} pki/{revoked}.pem"),
            "certificate revoked",
        );
    }
    assert!(fails(dir, "crl --ca pki --out list.pem").contains("list.pem exists"));
    made(dir, "crl --ca pki --out list.pem --force");
    openssl_ok(dir, &format!("{verify} pki/a.pem"));

    made(dir, "ca --out other");
    let said = fails(dir, "crl --ca other --revoke pki/a.pem --out x.pem");
    assert!(
        said.starts_with("pki/a.pem: was not signed by other/ca.pem"),
        "{said}"
    );
    // The same name is not the same authority.
    made(dir, "ca --out one --name Same");
    made(dir, "ca --out two --name Same");
    made(dir, "device --ca one --out one a");
    let said = fails(dir, "crl --ca two --revoke one/a.pem --out x.pem");
    assert!(
        said.starts_with("one/a.pem: was not signed by two/ca.pem"),
        "{said}"
    );
}
