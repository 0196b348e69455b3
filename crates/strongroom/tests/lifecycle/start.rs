//! Starts that work, and stops.

use std::fs;
use std::io::{Read as _, Write as _};
use std::thread::sleep;

use rustix::process::Signal;

use crate::server::{Folder, STEP, Server, read_all, strongroom, until};

#[test]
fn a_first_start_is_ready_and_a_stop_ends_with_0() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let health = server.health();
    assert_eq!(health["status"], "ready");
    assert_eq!(health["rootProvider"], "file");
    let remembered = fs::read_to_string(folder.file("deployment-id")).unwrap();
    assert_eq!(health["deployment"], remembered.trim());
    let said = server.stop();
    assert!(!said.contains("ERROR") && !said.contains("panic"), "{said}");
}

#[test]
fn a_second_start_is_the_same_deployment() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let before = (server.health(), server.variables(), fs::read(folder.file("ca.pem")).unwrap());
    let ports = [format!("127.0.0.1:{}", server.port()), format!("127.0.0.1:{}", server.metadata_port())];
    server.stop();
    let mut serve = folder.serve_anywhere();
    serve.args(["--listen", &ports[0], "--imds", &ports[1]]);
    let server = Server::start_with(&folder, &mut serve);
    let after = (server.health(), server.variables(), fs::read(folder.file("ca.pem")).unwrap());
    // The variables include the secret: a shell that has sourced them goes on working.
    assert_eq!(before, after);
    server.stop();
}

#[test]
fn everything_in_the_folder_belongs_to_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::used();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.data()), 0o700);
    for entry in fs::read_dir(folder.data()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn a_start_killed_at_any_moment_is_made_up_for_by_the_next() {
    for round in 0..15 {
        let folder = Folder::new();
        let mut child = folder.serve().stdout(std::process::Stdio::null()).spawn().unwrap();
        sleep(STEP * round);
        child.kill().unwrap();
        child.wait().unwrap();
        let server = Server::start(&folder);
        assert_eq!(server.health()["status"], "ready", "killed after {:?}", STEP * round);
        server.stop();
    }
}

#[test]
fn a_lost_bootstrap_secret_is_issued_anew() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let before = server.variables();
    server.stop();
    fs::remove_file(folder.file("bootstrap-secret")).unwrap();
    let server = Server::start(&folder);
    let after = server.variables();
    assert_ne!(before["STRONGROOM_CLIENT_SECRET"], after["STRONGROOM_CLIENT_SECRET"]);
    assert_eq!(before["STRONGROOM_CLIENT_ID"], after["STRONGROOM_CLIENT_ID"]);
    server.stop();
}

#[test]
fn a_request_in_flight_is_finished_at_a_stop() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let port = server.port();
    let mut stream = server.connect("login.localhost");
    let head = format!(
        "POST /common/oauth2/v2.0/token HTTP/1.1\r\nhost: login.localhost:{port}\r\ncontent-length: 20\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"grant_type").unwrap();
    // An answer on another connection shows that the server has had time to see the first half.
    server.health();
    server.signal(Signal::TERM);
    until("nobody is let in", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    stream.write_all(b"=nonsense.").unwrap();
    let answer = read_all(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("AADSTS"), "{answer}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_server_that_is_told_to_stop_serves_on_while_it_says_that_it_is_not_ready() {
    let folder = Folder::new();
    let configuration = folder.beside("strongroom.toml", "[public]\ndrain_seconds = 600\n");
    let server = Server::start_with(&folder, folder.serve().arg("--config").arg(configuration));
    let (ready, path) = ("management.localhost", "/health/ready");
    assert!(server.get(ready, path).starts_with("HTTP/1.1 200 "));
    server.signal(Signal::TERM);
    until("it is not ready", || !server.get(ready, path).starts_with("HTTP/1.1 200 "));
    let answer = server.get(ready, path);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"stopping\""), "{answer}");
    let answer = server.get("login.localhost", "/common/.well-known/openid-configuration");
    assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 4"), "it serves: {answer}");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "a second signal means now");
}

#[test]
fn the_log_can_be_json() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, folder.serve().args(["--log-format", "json"]));
    let said = server.stop();
    assert!(!said.is_empty());
    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
}

#[test]
fn a_free_port_is_the_same_on_both_families() {
    let folder = Folder::new();
    let mut serve = folder.serve_anywhere();
    serve.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0", "--imds", "off"]);
    let server = Server::start_with(&folder, &mut serve);
    let port = server.port();
    for address in ["127.0.0.1", "127.0.0.2"] {
        std::net::TcpStream::connect((address, port)).unwrap();
    }
    assert_eq!(server.variables()["STRONGROOM_IMDS_URL"], "");
    server.stop();
}

#[test]
fn no_core_file_is_ever_written() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    assert_eq!(server.health()["coreDumpsDisabled"], true);
    server.stop();
}

#[test]
fn check_config_says_what_a_server_would_do() {
    let folder = Folder::new();
    let file = folder
        .beside("strongroom.toml", "data_dir = \"d\"\ndomain = \"hsm.example.com\"\nlisten = [\"0.0.0.0:443\"]\n");
    let output = crate::server::output(strongroom().args(["check-config", "--config"]).arg(file));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("hsm.example.com") && text.contains("0.0.0.0:443"), "{text}");
    assert!(!folder.data().exists(), "nothing is made");
}

#[test]
fn the_text_on_standard_output_says_where_everything_is() {
    let folder = Folder::new();
    let mut child = folder.serve().stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut text = [0; 64];
    child.stdout.as_mut().unwrap().read_exact(&mut text).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(String::from_utf8_lossy(&text).starts_with("strongroom 0.1.0 is ready."));
    assert!(folder.file("client.env").exists(), "it is said only when it is so");
}
