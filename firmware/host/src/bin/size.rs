//! Prints the table of what DTLS costs a device, against its bars.
//!
//! ```text
//! size PROXY IMAGES COMMAND…    IMAGES is where empty, device, client, measure and their variants are;
//!                                the command runs IMAGE, which is filled in
//! ```
//!
//! The PSK client is measured against `PROXY`, those with public keys against a server in this program.
//!
//! Exit code 0 only if no bar is missed.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lockgate_firmware_host::{Proof, Proxy, Server, start_device, told};

/// How long the measured dialogue may take.
const LIMIT: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let proxy = arguments.next().unwrap_or_default();
    let images = arguments.next().unwrap_or_default();
    let command: Vec<String> = arguments.collect();
    match run(&proxy, Path::new(&images), &command) {
        Ok(true) => {
            println!("size: no bar is missed");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            println!("size: FAILED: a bar is missed");
            ExitCode::FAILURE
        }
        Err(why) => {
            println!("size: FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether no bar is missed.
fn run(proxy: &str, images: &Path, command: &[String]) -> Result<bool, String> {
    let flash = |name: &str| {
        let elf = std::fs::read(images.join(name)).map_err(told("image"))?;
        flash_len(&elf).ok_or_else(|| format!("{name} is not a 32-bit ELF file"))
    };
    let (empty, client, device) = (flash("empty")?, flash("client")?, flash("device")?);
    let path = |name: &str| images.join(name).display().to_string();
    let measured = measure_psk(proxy, command, &path("measure"))?;
    let rows = psk_rows([client, device, empty], &measured)?;
    let mut rows: Vec<Row<String>> = rows
        .map(|(what, value, unit, bar)| (what.to_owned(), value, unit, bar))
        .into();
    for (proof, suffix, what) in [
        (Proof::Raw, "rpk", "raw public keys"),
        (Proof::X509, "x509", "X.509 server, own raw public key"),
    ] {
        let client = flash(&format!("client_{suffix}"))?;
        let server = Server::start(proof)?;
        let image = path(&format!("measure_{suffix}"));
        let measured = measure(server.port, None, command, &image)?;
        rows.extend(public_key_rows(what, client - empty, &measured)?);
    }
    println!("| what | measured | bar |");
    println!("|---|---|---|");
    let mut held = true;
    for (what, value, unit, bar) in rows {
        let limit = bar.map_or(String::new(), |bar| format!("{} {unit}", grouped(bar)));
        let missed = bar.is_some_and(|bar| value > bar);
        held &= !missed;
        let remark = if missed { " MISSED" } else { "" };
        println!("| {what} | {} {unit} | {limit}{remark} |", grouped(value));
    }
    Ok(held)
}

/// What a client with a pre-shared key costs, the example with `device` bytes of flash among it.
fn psk_rows(
    [client, device, empty]: [u32; 3],
    measured: &Measured,
) -> Result<[Row<&'static str>; 12], String> {
    let get = |name| get(measured, name);
    Ok([
        (
            "flash: DTLS 1.2 PSK CCM_8 client with CID, crypto included",
            client - empty,
            "B",
            Some(26 * 1024),
        ),
        (
            "RAM of an established association",
            get("association")?,
            "B",
            Some(256),
        ),
        (
            "extra RAM while handshaking",
            extra(measured)?,
            "B",
            Some(1024),
        ),
        (
            "stack high-water mark of a PSK handshake",
            get("handshake_stack")?,
            "B",
            Some(3 * 1024),
        ),
        (
            "instructions of a PSK handshake",
            get("handshake_instructions")?,
            "",
            None,
        ),
        (
            "flash: the example with sleep, leases and commands",
            device - empty,
            "B",
            None,
        ),
        (
            "flash: the empty firmware with the network stack",
            empty,
            "B",
            None,
        ),
        (
            "RAM of the keys beside an association",
            get("keys")?,
            "B",
            None,
        ),
        (
            "RAM of a Session, which holds either of both lives",
            get("session")?,
            "B",
            None,
        ),
        (
            "RAM of the scratch memory of a handshake (in the extra above)",
            get("scratch")?,
            "B",
            None,
        ),
        (
            "stack high-water mark of a report and its answer",
            get("report_stack")?,
            "B",
            None,
        ),
        (
            "instructions of a report and its answer",
            get("report_instructions")?,
            "",
            None,
        ),
    ])
}

/// What a client with public keys costs.
fn public_key_rows(
    what: &str,
    flash: u32,
    measured: &Measured,
) -> Result<[Row<String>; 6], String> {
    let get = |name| get(measured, name);
    let row = |part: &str, value, unit| (format!("{what}: {part}"), value, unit, None);
    Ok([
        row("flash of the client", flash, "B"),
        row(
            "RAM of an established association",
            get("association")?,
            "B",
        ),
        row("extra RAM while handshaking", extra(measured)?, "B"),
        row("of that the scratch memory", get("scratch")?, "B"),
        row(
            "stack high-water mark of a handshake",
            get("handshake_stack")?,
            "B",
        ),
        row(
            "instructions of a handshake",
            get("handshake_instructions")?,
            "",
        ),
    ])
}

/// What, how much, its unit, and the bar.
type Row<T> = (T, u32, &'static str, Option<u32>);

type Measured = BTreeMap<String, u32>;

fn get(measured: &Measured, name: &str) -> Result<u32, String> {
    let value = measured.get(name).copied();
    value.ok_or_else(|| format!("{name} was not measured: {measured:?}"))
}

/// What a handshake takes over an established session. A connection holds the larger of both, beside its provider.
fn extra(measured: &Measured) -> Result<u32, String> {
    let get = |name| get(measured, name);
    let handshaking = get("connection")? - get("provider")? + get("scratch")?;
    Ok(handshaking - get("association")? - get("keys")?)
}

/// Measures against the proxy, with a backend that echoes.
fn measure_psk(proxy: &str, command: &[String], image: &str) -> Result<Measured, String> {
    let backend = UdpSocket::bind("127.0.0.1:0").map_err(told("backend"))?;
    let address = backend.local_addr().map_err(told("backend"))?;
    let wait = Some(Duration::from_millis(10));
    backend.set_read_timeout(wait).map_err(told("backend"))?;
    let proxy = Proxy::start(proxy, address)?;
    measure(proxy.port, Some(&backend), command, image)
}

/// Runs the measuring image against a server at this port, and reads what it prints as `name=value`.
fn measure(
    port: u16,
    backend: Option<&UdpSocket>,
    command: &[String],
    image: &str,
) -> Result<Measured, String> {
    let command: Vec<String> = command
        .iter()
        .map(|word| word.replace("IMAGE", image))
        .collect();
    let (mut device, lines) = start_device(&command, port)?;
    let start = Instant::now();
    let mut buffer = [0; 2048];
    while device.0.try_wait().map_err(told("the device"))?.is_none() {
        match backend {
            Some(backend) => {
                if let Ok((len, from)) = backend.recv_from(&mut buffer) {
                    backend
                        .send_to(&buffer[..len], from)
                        .map_err(told("backend"))?;
                }
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
        if start.elapsed() > LIMIT {
            return Err(format!("not measured after {LIMIT:?}"));
        }
    }
    let read = |line: String| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(lines.iter().filter_map(read).collect())
}

/// How many bytes of flash an image takes: every loaded segment's file size.
fn flash_len(elf: &[u8]) -> Option<u32> {
    let word = |at: usize| Some(u32::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u16::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    // 32-bit, little-endian.
    if elf.get(..6)? != b"\x7fELF\x01\x01" {
        return None;
    }
    let (start, size, count) = (
        word(28)? as usize,
        usize::from(half(42)?),
        usize::from(half(44)?),
    );
    (0..count)
        .map(|index| start + index * size)
        // PT_LOAD
        .filter(|&at| word(at) == Some(1))
        .map(|at| word(at + 16))
        .sum()
}

fn grouped(value: u32) -> String {
    if value < 1000 {
        value.to_string()
    } else {
        format!("{},{:03}", grouped(value / 1000), value % 1000)
    }
}
