//! `strongroom quickstart`: the whole story with one command.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::az::said;
use crate::deployment::Ports;
use crate::environment::{now, path};

pub(crate) fn quickstart(home: &std::path::Path, ports: Ports) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env_clear().env("PATH", path()).env("HOME", home).env("NO_COLOR", "1").stdin(Stdio::null());
    command.args(["quickstart", "--exit"]);
    ports.listen(&mut command);
    command
}

#[test]
fn quickstart_ends_well_in_an_empty_home_and_again_on_what_it_made() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let ports = Ports::free();
    for run in ["first", "second"] {
        let started = now();
        let output = quickstart(home.path(), ports).output().expect("the built binary starts");
        assert!(output.status.success(), "{run}: {}", said(&output));
        println!("{run} quickstart: {:.1} s", started.elapsed().as_secs_f64());
        assert!(started.elapsed().as_secs() < 60, "the {run} run took {:?}", started.elapsed());
    }
    let made = home.path().join(".local/share/strongroom/quickstart");
    for number in 0..3 {
        for kind in ["key", "cer"] {
            let file = made.join(format!("cert_{number}.{kind}"));
            assert!(file.exists(), "{} is missing", file.display());
        }
    }
    let names =
        std::fs::read_dir(&made).expect("the folder is there").map(|entry| entry.expect("readable").file_name());
    let domains: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with("-SD.json")).collect();
    assert_eq!(domains.len(), 1, "one security domain: {domains:?}");
    for file in ["drill-report.json", "drill-report.html"] {
        assert!(made.join(file).exists(), "{file} is missing");
    }
}

#[test]
fn a_taken_port_is_named_with_the_flag_that_helps() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let ports = Ports::free();
    let _holder = TcpListener::bind(("127.0.0.1", ports.https)).expect("the port is free");
    let output = quickstart(home.path(), ports).output().expect("the built binary starts");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(&ports.https.to_string()) && stderr.contains("--listen"), "{stderr}");
}
