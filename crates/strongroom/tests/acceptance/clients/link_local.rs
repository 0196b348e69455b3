//! Managed identities as a virtual machine has them: the metadata service at 169.254.169.254, and no variable that
//! says so.
//!
//! The address must not be the one of the machine the tests run on: server and client run in a network namespace of
//! their own, which has a loopback interface with that address and nothing else.

use std::process::Command;

use super::language::Language;
use super::scene::{SIGNATURE, Scene};

/// Lets a language's program sign in at the link-local address and use a key.
#[track_caller]
pub(super) fn walk(language: Language, credential: &str) {
    let mut scene = Scene::new();
    scene.admit_machine();
    scene.stop();
    let script = scene.file("link-local.sh");
    std::fs::write(&script, SCRIPT).expect("the script is written");
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "bash"]).arg(script);
    let serve = scene.serve(&["--imds", "169.254.169.254:80"]);
    command.arg(serve.get_program()).args(serve.get_args()).arg("--");
    scene.walk_started_by(command, language, credential, &["signature"]);
    scene.expect_operations_of_stopped(language, SIGNATURE);
}

/// Arguments: the words that start the server, `--`, and the words that start the client. The server is ready when its
/// `client.env` is there again. Of its variables only those stay that a machine without any setting would need to find
/// the HSM and trust it.
const SCRIPT: &str = r#"
set -eu
ip link set lo up
ip address add 169.254.169.254/32 dev lo
server=()
while [ "$1" != -- ]; do server+=("$1"); shift; done
shift
"${server[@]}" >"$SERVER_LOG" 2>&1 &
pid=$!
trap 'kill -TERM $pid 2>/dev/null; wait $pid' EXIT
for _ in $(seq 300); do
    [ -e "$CLIENT_ENV" ] && break
    kill -0 $pid
    sleep 0.1
done
. "$CLIENT_ENV"
unset AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_AUTHORITY_HOST AZURE_POD_IDENTITY_AUTHORITY_HOST
"$@"
"#;
