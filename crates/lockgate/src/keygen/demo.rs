//! One of everything, and the commands that use it.

use std::path::Path;

use super::authority::Authority;
use super::files::{self, NewFile};
use super::key::{Form, KeyArgs};
use super::leaf::{self, Maker};
use super::validity::Validity;
use super::{OutArgs, crl, psk, raw};
use crate::Failure;

/// All of it is for trying out.
const DAYS: u32 = 90;
const PSK_BYTES: usize = 16;

#[derive(clap::Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    out: OutArgs,
    #[command(flatten)]
    key: KeyArgs,
}

pub(super) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let dir = &args.out.dir;
    let all = make(args)?;
    files::check_free(all.iter().map(|f| f.path.as_path()), args.out.force)?;
    files::make_dir(dir)?;
    files::write(&all, args.out.force)?;
    files::say(introduction(dir).as_bytes())
}

fn make(args: &DemoArgs) -> Result<Vec<NewFile>, Failure> {
    let dir = &args.out.dir;
    let algorithm = args.key.algorithm;
    let form = Form::Pem;
    let validity = Validity::from_now(DAYS)?;
    let authority = Authority::make(None, algorithm.generate()?, validity, None)?;
    let maker = Maker {
        authority: &authority,
        validity,
        algorithm,
        form,
        dir,
    };
    let mut all = Vec::from(authority.files(dir, form)?);
    let local = ["localhost", "127.0.0.1", "::1"].map(String::from);
    all.extend(maker.make("server", leaf::server(&local)?)?.files);
    let other = ["other.example".to_owned()];
    all.extend(maker.make("other", leaf::server(&other)?)?.files);
    all.extend(maker.make("device", leaf::device("device"))?.files);
    let lost = maker.make("lost-device", leaf::device("lost-device"))?;
    let serial = crl::serial_of(&lost.files[1].path, &lost.certificate, &authority)?;
    all.extend(lost.files);
    let list = crl::list(&authority, vec![serial], DAYS)?;
    all.push(NewFile {
        path: dir.join("crl.pem"),
        secret: false,
        bytes: form.write("X509 CRL", &list)?,
    });
    let server_raw = algorithm.generate()?;
    all.extend(raw::new_files(dir, "server-raw", &server_raw, form)?);
    let device_raw = algorithm.generate()?;
    all.extend(raw::new_files(dir, "device-raw", &device_raw, form)?);
    all.push(NewFile {
        path: dir.join("rpk-allow.txt"),
        secret: false,
        bytes: raw::allow_line("device-raw", &device_raw)
            .into_bytes()
            .into(),
    });
    let ids = ["dev-1", "dev-2", "dev-3"].map(String::from);
    all.push(NewFile {
        path: dir.join("psk.csv"),
        secret: true,
        bytes: psk::lines(&ids, PSK_BYTES)?,
    });
    Ok(all)
}

/// Commands to paste. Secrets are named by their files, never printed.
fn introduction(dir: &Path) -> String {
    let file = |name: &str| for_shell(&dir.join(name));
    let pair = |name: &str| {
        let certificate = file(&format!("{name}.pem"));
        let key = file(&format!("{name}-key.pem"));
        (certificate, key)
    };
    let ca = file("ca.pem");
    let crl = file("crl.pem");
    let allow = file("rpk-allow.txt");
    let keys = file("psk.csv");
    let (server, server_key) = pair("server");
    let (other, other_key) = pair("other");
    let (device, device_key) = pair("device");
    let (lost, lost_key) = pair("lost-device");
    let raw_key = file("server-raw-key.pem");
    let client = "openssl s_client -dtls1_2 -connect 127.0.0.1:5684";
    let trusting = format!("{client} -CAfile {ca} -verify_return_error");
    format!(
        "
Put DTLS in front of a UDP server on port 5683:

  lockgate proxy --bind 127.0.0.1:5684 --connect 127.0.0.1:5683 \\
    --cert {server} --key {server_key} --ca {ca} --client-auth optional --crl {crl} \\
    --sni-cert other.example={other},{other_key} \\
    --rpk {raw_key} --rpk-allow {allow} --psk-csv {keys}

Meet it from another terminal, as a device with a certificate:

  {trusting} -verify_hostname localhost -cert {device} -key {device_key}

without one, and by the server's other name:

  {trusting} -servername other.example -verify_hostname other.example

as a device that is revoked, which the proxy refuses:

  {trusting} -cert {lost} -key {lost_key}

and with a pre-shared key:

  {client} -psk_identity dev-1 -psk \"$(sed -n s/^dev-1,//p {keys})\"

The keys of device-raw are for clients with raw public keys.
"
    )
}

/// A path as a shell takes it.
fn for_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
