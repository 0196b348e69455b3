//! Starts that cannot work: one line of cause, one of remedy, exit code 1, and nothing made worse.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::deployment::{Deployment, Ports, ended_within};

/// Runs `serve` on the deployment's folder and returns what it says when it gives up.
fn refused_start(deployment: &Deployment, ports: Ports, arguments: &[&str]) -> String {
    let mut serve = deployment.command("serve");
    ports.listen(&mut serve);
    refusal(serve.args(arguments))
}

fn refusal(command: &mut Command) -> String {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let to_log = || Stdio::from(log.reopen().expect("the file opens again"));
    let mut child = command.stdout(to_log()).stderr(to_log()).spawn().expect("the built binary starts");
    let status = ended_within(&mut child, Duration::from_secs(20));
    let said = fs::read_to_string(log.path()).expect("the log is text");
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{said}");
    said
}

#[test]
fn a_port_in_use_is_named() {
    let mut deployment = Deployment::start();
    deployment.stop();
    let ports = Ports::free();
    let _holder = TcpListener::bind(("127.0.0.1", ports.https)).expect("the port is free");
    let said = refused_start(&deployment, ports, &[]);
    assert!(said.contains(&ports.https.to_string()), "{said}");
    deployment.run();
    deployment.stop();
}

#[test]
fn a_folder_that_another_server_uses_is_left_alone() {
    let mut deployment = Deployment::start();
    let said = refused_start(&deployment, Ports::free(), &[]);
    assert!(said.contains(&deployment.data().display().to_string()), "{said}");
    assert!(deployment.rest().is_healthy());
    deployment.stop();
}

#[test]
fn an_unknown_configuration_key_is_named() {
    let mut deployment = Deployment::start();
    deployment.stop();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), "[tls]\ncertificate_fil = \"x\"\n").expect("written");
    let said = refused_start(&deployment, *deployment.ports(), &["--config", &file.path().display().to_string()]);
    assert!(said.contains("certificate_fil"), "{said}");
}

#[test]
fn a_folder_without_its_root_is_not_founded_anew() {
    let mut deployment = Deployment::start();
    deployment.stop();
    let root =
        fs::read_dir(deployment.data()).expect("the folder is there").map(|entry| entry.expect("readable").path());
    let root =
        root.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("root")));
    let root = root.expect("the platform root lies in the data folder");
    let bytes = fs::read(&root).expect("readable");
    fs::remove_file(&root).expect("removable");
    refused_start(&deployment, *deployment.ports(), &[]);
    fs::write(&root, bytes).expect("writable");
    set_private(&root);
    deployment.run();
    deployment.stop();
}

/// As the server left it: a root that others can read may be refused.
fn set_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}
