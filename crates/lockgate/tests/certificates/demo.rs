//! The commands that `lockgate keygen demo` prints.

use std::process::Command;

use crate::{Met, Proxy, echo, keygen, meet, skipped};

#[test]
fn the_commands_of_the_demo_work_with_the_proxy() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let said = keygen(dir, "demo --out a-demo\'s");
    let said = said.replace("\\\n", " ");
    let lines: Vec<_> = said.lines().map(str::trim).collect();
    let command = lines.iter().find(|l| l.starts_with("lockgate proxy"));
    let command = command.expect("a command for the proxy");
    let line = command
        .replacen("lockgate", "exec \"$0\"", 1)
        .replace("127.0.0.1:5684", "127.0.0.1:0")
        .replace("127.0.0.1:5683", &echo().to_string());
    let mut shell = Command::new("sh");
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_lockgate")]);
    let proxy = Proxy::launch(dir, &mut shell);

    let clients = lines.iter().filter(|l| l.starts_with("openssl s_client"));
    let run = |line: &&str| {
        meet(
            dir,
            &line.replace("127.0.0.1:5684", &proxy.address.to_string()),
        )
    };
    let met: Vec<Met> = clients.map(run).collect();
    let [device, other_name, revoked, psk] = &met[..] else {
        panic!("{said}");
    };
    assert!(device.is_served().contains("Verify return code: 0 (ok)"));
    assert!(proxy.started().contains("identity=device spki="));
    assert!(
        other_name
            .is_served()
            .contains("Verify return code: 0 (ok)")
    );
    assert!(proxy.started().contains("identity=- "));
    revoked.is_refused("alert certificate revoked");
    let failed = proxy.line_with("handshake failed");
    assert!(
        failed.contains("subject=\"CN=lost-device\"") && failed.contains("is revoked"),
        "{failed}"
    );
    psk.is_served();
    assert!(
        proxy
            .started()
            .contains("identity=dev-1 suite=TLS_ECDHE_PSK_")
    );
}
