//! Starts that cannot work: exit code 1, one line of cause, one of remedy, and nothing made worse.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::net::TcpListener;
use std::process::Command;

use crate::server::{Folder, Server, output, set_mode, strongroom};

/// Runs a command that must give up; checks the form of what it says, and what it says: two lines. Lines of the server's
/// own log may stand around them, one of a store that is still closing even behind them.
pub(crate) fn refused(command: &mut Command, cause: &[&str], remedy: &str) {
    let output = output(command);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty());
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("20")).collect();
    let [first, second] = lines.as_slice() else { panic!("two lines besides the log: {said}") };
    let (first, second) = (first.strip_prefix("strongroom: ").unwrap(), second.strip_prefix("help: ").unwrap());
    for part in cause {
        assert!(first.contains(part), "{part:?} is missing in {first:?}");
    }
    assert!(second.contains(remedy), "{remedy:?} is missing in {second:?}");
}

#[test]
fn a_folder_that_another_server_uses() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let pid = server.pid().to_string();
    let data = folder.data().display().to_string();
    refused(&mut folder.serve(), &[&data, "is in use by process", &pid], "--data-dir");
    assert_eq!(server.health()["status"], "ready");
    server.stop();
}

#[test]
fn a_port_in_use() {
    let folder = Folder::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let own = std::process::id().to_string();
    let mut serve = folder.serve_anywhere();
    serve.args(["--imds", "off", "--listen", &address]);
    refused(&mut serve, &[&address, "is in use by process", &own], "--listen");
    let mut serve = folder.serve_anywhere();
    serve.args(["--listen", "127.0.0.1:0", "--imds", &address]);
    refused(&mut serve, &[&address, "is in use by process", &own], "--imds off");
    assert!(!folder.file("store.redb").exists() && !folder.file("root.key").exists(), "nothing was founded");
}

#[test]
fn a_stale_client_env_does_not_say_ready() {
    let folder = Folder::used();
    assert!(!folder.file("client.env").exists(), "a graceful stop takes it away");
    fs::write(folder.file("client.env"), "left by a crash").unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    refused(folder.serve_anywhere().args(["--imds", "off", "--listen", &address]), &["is in use"], "--listen");
    assert!(!folder.file("client.env").exists());
}

#[test]
fn a_configuration_that_is_wrong() {
    let folder = Folder::new();
    for (text, cause) in [
        ("[tls]\ncertificate_fil = \"x\"\n", vec!["strongroom.toml: line 2: ", "certificate_fil", "certificate_file"]),
        ("\nlisten = [\"nowhere\"]\n", vec!["strongroom.toml: line 2: listen: ", "allowed: "]),
        ("[root]\nprovider = \"tpm\"\n", vec!["strongroom.toml: line 2: root.provider: ", "`file`"]),
    ] {
        let file = folder.beside("strongroom.toml", text);
        refused(folder.serve().arg("--config").arg(&file), &cause, "check-config");
        refused(strongroom().args(["check-config", "--config"]).arg(&file), &cause, "check-config");
    }
    refused(folder.serve().args(["--config", "/does/not/exist.toml"]), &["/does/not/exist.toml"], "correct the file");
    let half = folder.beside("half.toml", "[tls]\ncertificate_file = \"x\"\n");
    refused(folder.serve().arg("--config").arg(half), &["tls.private_key_file"], "set both");
    let missing = folder
        .beside("missing.toml", "data_dir = \"data\"\n[tls]\ncertificate_file = \"x\"\nprivate_key_file = \"y\"\n");
    refused(strongroom().args(["check-config", "--config"]).arg(missing), &["/x: No such file"], "[tls]");
    assert!(!folder.file("store.redb").exists(), "nothing was founded");
}

#[test]
fn a_damaged_store() {
    let folder = Folder::used();
    let store = folder.file("store.redb");
    let length = fs::metadata(&store).unwrap().len();
    let before = fs::read(&store).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&store).unwrap();
    file.seek(SeekFrom::Start(length / 4)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(length / 2).unwrap()]).unwrap();
    refused(&mut folder.serve(), &["store.redb", "damaged"], "restore the data folder");
    fs::write(&store, before).unwrap();
    Server::start(&folder).stop();
}

#[test]
fn a_file_that_is_no_store() {
    let folder = Folder::used();
    fs::write(folder.file("store.redb"), "not a store at all").unwrap();
    refused(&mut folder.serve(), &["store.redb"], "restore the data folder");
}

#[test]
fn a_store_that_is_gone() {
    let folder = Folder::used();
    fs::remove_file(folder.file("store.redb")).unwrap();
    refused(&mut folder.serve(), &["the store is empty"], "put the store back");
}

#[test]
fn a_store_that_was_put_back() {
    let folder = Folder::used();
    let old = fs::read(folder.file("store.redb")).unwrap();
    // Another secret changes the administrator's record.
    fs::remove_file(folder.file("bootstrap-secret")).unwrap();
    Server::start(&folder).stop();
    fs::write(folder.file("store.redb"), &old).unwrap();
    refused(&mut folder.serve(), &["rolled back"], "--accept-rollback");
    let server = Server::start_with(&folder, folder.serve().arg("--accept-rollback"));
    server.stop();
    let log =
        fs::read_dir(folder.file("audit")).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    assert!(log.collect::<String>().contains("RollbackAccept"), "the audit log says so");
    Server::start(&folder).stop();
}

#[test]
fn a_root_that_is_gone_is_not_made_anew() {
    let folder = Folder::used();
    let root = fs::read(folder.file("root.key")).unwrap();
    fs::remove_file(folder.file("root.key")).unwrap();
    refused(&mut folder.serve(), &["root.key is missing"], "put the root file back");
    assert!(!folder.file("root.key").exists());
    fs::write(folder.file("root.key"), root).unwrap();
    refused(&mut folder.serve(), &["root.key", "mode"], "chmod 600");
    set_mode(&folder.file("root.key"), 0o600);
    Server::start(&folder).stop();
}

#[test]
fn a_root_of_another_deployment() {
    let (folder, other) = (Folder::used(), Folder::used());
    fs::copy(other.file("root.key"), folder.file("root.key")).unwrap();
    refused(&mut folder.serve(), &["the platform root does not fit this store"], "[root] file");
}

#[test]
fn a_store_of_another_deployment() {
    let (folder, other) = (Folder::used(), Folder::used());
    for name in ["root.key", "store.redb"] {
        fs::copy(other.file(name), folder.file(name)).unwrap();
    }
    refused(&mut folder.serve(), &["the data folder belongs to deployment"], "belong together");
}

#[test]
fn a_root_without_its_store_founds_only_when_asked() {
    let (folder, other) = (Folder::new(), Folder::used());
    let file = folder.beside("strongroom.toml", &format!("[root]\nfile = {:?}\n", other.file("root.key")));
    refused(folder.serve().arg("--config").arg(&file), &["a platform root exists already"], "--init");
    Server::start_with(&folder, folder.serve().arg("--config").arg(&file).arg("--init")).stop();
    Server::start_with(&folder, folder.serve().arg("--config").arg(&file)).stop();
}

#[test]
fn a_folder_that_is_none_or_is_open_to_others() {
    let folder = Folder::new();
    folder.beside("data", "a file");
    refused(&mut folder.serve(), &["is not a folder"], "--data-dir");
    let folder = Folder::new();
    fs::create_dir(folder.data()).unwrap();
    fs::write(folder.file("something"), "else").unwrap();
    set_mode(&folder.data(), 0o755);
    refused(&mut folder.serve(), &["is open to others (mode 755)"], "chmod 700");
}

#[test]
fn a_home_that_is_not_known() {
    refused(strongroom().arg("serve"), &["no data folder"], "--data-dir");
}

#[test]
fn a_full_disk() {
    let folder = Folder::new();
    fs::create_dir(folder.data()).unwrap();
    // A file system of 64 KiB in a mount namespace of its own.
    let mount = "mount -t tmpfs -o size=64k,mode=700 none \"$0\" && exec \"$@\"";
    let serve = folder.serve();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", mount]).arg(folder.data());
    command.arg(serve.get_program()).args(serve.get_args());
    refused(&mut command, &["space"], "free some space");
}

#[test]
fn an_address_of_another_machine() {
    let folder = Folder::new();
    let mut serve = folder.serve_anywhere();
    serve.args(["--imds", "off", "--listen", "192.0.2.1:8443"]);
    refused(&mut serve, &["cannot listen on 192.0.2.1:8443"], "--listen");
}

#[test]
fn memory_that_must_be_locked_and_cannot_be() {
    let folder = Folder::new();
    let file = folder.beside("strongroom.toml", "[root]\nrequire_locked_memory = true\n");
    let serve = folder.serve();
    let mut command = Command::new("setpriv");
    command.args([
        "--bounding-set=-ipc_lock",
        "--inh-caps=-ipc_lock",
        "sh",
        "-c",
        "ulimit -l 64 && exec \"$0\" \"$@\"",
    ]);
    command.arg(serve.get_program()).args(serve.get_args()).arg("--config").arg(file);
    refused(&mut command, &["memory cannot be kept out of swap"], "LimitMEMLOCK=infinity");
}

#[test]
fn a_command_line_that_is_wrong_is_a_usage_error() {
    for arguments in [&["serve", "--nonsense"][..], &["serve", "--listen", "x"], &[], &["nonsense"]] {
        let output = output(strongroom().args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
