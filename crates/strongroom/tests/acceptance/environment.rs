//! What the tests are told from outside: where the official clients are, how often to crash.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Where deployments keep their records unless a test says so itself: `STRONGROOM_TEST_STORE`.
#[expect(clippy::disallowed_methods, reason = "a test is told by its environment what to test")]
pub(crate) fn engine() -> Engine {
    match std::env::var("STRONGROOM_TEST_STORE").as_deref() {
        Err(_) | Ok("embedded") => Engine::Embedded,
        Ok("etcd") => Engine::Etcd,
        Ok(other) => panic!("STRONGROOM_TEST_STORE is `{other}`, neither `embedded` nor `etcd`"),
    }
}

/// What keeps the records of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Embedded,
    Etcd,
}

/// The `az` program of the installed test environment.
pub(crate) fn az() -> PathBuf {
    client("az/bin/az")
}

/// The Python that has the Azure CLI's libraries.
pub(crate) fn az_python() -> PathBuf {
    client("az/bin/python")
}

/// The Python that has the SDK's libraries.
pub(crate) fn sdk_python() -> PathBuf {
    client("sdk/bin/python")
}

/// A Node.js that the JavaScript packages support.
pub(crate) fn node() -> PathBuf {
    client("javascript/bin/node")
}

/// The installed JavaScript packages.
pub(crate) fn node_modules() -> PathBuf {
    client("javascript/node_modules")
}

/// The installed blob store.
pub(crate) fn azurite() -> PathBuf {
    client("azurite/node_modules/azurite/dist/src/blob/main.js")
}

/// The Node.js that it runs on.
pub(crate) fn azurite_node() -> PathBuf {
    client("azurite/bin/node")
}

/// A built program of `tests/clients/rust`.
pub(crate) fn rust_program(name: &str) -> PathBuf {
    client(&format!("rust/debug/{name}"))
}

/// A built program of `tests/clients/go`.
pub(crate) fn go_program(name: &str) -> PathBuf {
    client(&format!("go/{name}"))
}

/// The folder with the classes and libraries of `tests/clients/java`.
pub(crate) fn java_programs() -> PathBuf {
    client("java/classes/Walk.class").ancestors().nth(2).expect("it is below a folder").to_owned()
}

/// The Python that has what reads the OpenAPI reference.
pub(crate) fn openapi_python() -> PathBuf {
    client("openapi/bin/python")
}

/// The Python that has Prometheus' own parser.
pub(crate) fn monitoring_python() -> PathBuf {
    client("monitoring/bin/python")
}

/// The server of OpenBao.
pub(crate) fn openbao() -> PathBuf {
    client("openbao/bin/bao")
}

/// How often the crash test kills the server.
pub(crate) fn kills() -> u32 {
    match variable("STRONGROOM_TEST_KILLS") {
        Some(text) => text.parse().expect("STRONGROOM_TEST_KILLS is a number"),
        None => KILLS_BY_HAND,
    }
}

/// For how long machines fail in the cluster's test; each kind of fault happens once if nobody says.
pub(crate) fn chaos() -> Option<Duration> {
    let minutes: u64 = variable("STRONGROOM_CHAOS_MINUTES")?.parse().expect("STRONGROOM_CHAOS_MINUTES is a number");
    Some(Duration::from_secs(60 * minutes))
}

/// Where what is said on the wire is kept; it is not if there is none.
pub(crate) fn exchanges() -> Option<PathBuf> {
    variable("STRONGROOM_TEST_EXCHANGES").map(PathBuf::from)
}

/// The programs the tests may call, as the caller has them.
pub(crate) fn path() -> String {
    variable("PATH").expect("PATH is set")
}

/// The time, for deadlines and for figures that are reported.
#[expect(clippy::disallowed_methods, reason = "a test waits for another process and must give up at some time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits until something has happened, for a minute at most.
pub(crate) fn until(what: &str, mut has_happened: impl FnMut() -> bool) {
    let give_up = now() + Duration::from_secs(60);
    while !has_happened() {
        assert!(now() < give_up, "{what}: not in time");
        thread::sleep(Duration::from_millis(20));
    }
}

fn client(program: &str) -> PathBuf {
    let folder = match variable("STRONGROOM_TEST_ENV") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-env"),
    };
    let path = folder.join(program);
    assert!(
        path.exists(),
        "{} is missing\nremedy: run `cargo xtask acceptance`, which installs it, or name its folder in STRONGROOM_TEST_ENV",
        path.display()
    );
    path
}

#[expect(clippy::disallowed_methods, reason = "the harness has no other way to be told")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Enough to see a fault while working on it; `cargo xtask` asks for more.
const KILLS_BY_HAND: u32 = 20;
