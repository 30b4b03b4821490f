//! libcoap's client over DTLS, through the proxy, to libcoap's server on plain UDP.

use lockgate_interop::{Process, Proxy, free_port, peers};

fn behind_proxy() -> (Process, Proxy) {
    let address = free_port();
    let server = peers::coap_server(address);
    let proxy = Proxy::start(address, &[]);
    (server, proxy)
}

fn get_put_get(library: &str) {
    if !peers::libcoap(library) {
        return;
    }
    let (_server, proxy) = behind_proxy();
    let mut get = peers::coap_client(library, proxy.address(), "", &["-m", "get"]);
    get.wait_for("This is a test server made with libcoap");
    assert!(get.wait().success());
    let put = ["-m", "put", "-e", "21.5 degrees"];
    let mut put = peers::coap_client(library, proxy.address(), "example_data", &put);
    assert!(put.wait().success());
    let mut get = peers::coap_client(library, proxy.address(), "example_data", &["-m", "get"]);
    get.wait_for("21.5 degrees");
    assert!(get.wait().success());
    proxy.stop();
}

#[test]
fn get_and_put_work_with_libcoap_on_openssl() {
    get_put_get("openssl");
}

#[test]
fn get_and_put_work_with_libcoap_on_gnutls() {
    get_put_get("gnutls");
}

#[test]
fn observed_values_keep_coming() {
    if !peers::libcoap("openssl") {
        return;
    }
    let (_server, proxy) = behind_proxy();
    // The server's clock, told every second, for three seconds.
    let observe = ["-m", "get", "-s", "3", "-B", "4"];
    let mut client = peers::coap_client("openssl", proxy.address(), "time", &observe);
    assert!(client.wait().success());
    // Times of day run together, because the client adds no line ends.
    let times = client.output().matches(':').count() / 2;
    assert!(times >= 3, "only {times} times in {}", client.output());
    proxy.stop();
}

#[test]
fn a_body_in_blocks_arrives_whole() {
    if !peers::libcoap("openssl") {
        return;
    }
    let (_server, proxy) = behind_proxy();
    let body = "0123456789abcdef".repeat(200);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &body).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let put = ["-m", "put", "-b", "64", "-f", path];
    let mut put = peers::coap_client("openssl", proxy.address(), "example_data", &put);
    assert!(put.wait().success());
    let get = ["-m", "get", "-b", "128"];
    let mut get = peers::coap_client("openssl", proxy.address(), "example_data", &get);
    get.wait_for(&body);
    proxy.stop();
}
