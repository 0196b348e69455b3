//! Starting this binary again as a child that works on a store until it is stopped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names the file of the store to the child.
const PATH_VARIABLE: &str = "STRONGROOM_STORE_TEST_CHILD";

/// The command that runs one ignored test of this binary as a child on a store, behind a wrapper or directly.
pub(crate) fn command(wrapper: &[&str], test: &str, path: &Path) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&binary);
            command
        }
        [] => Command::new(&binary),
    };
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads", "1"]);
    command.env(PATH_VARIABLE, path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// The store to work on, in the child.
#[expect(clippy::disallowed_methods, reason = "the parent has no other way to tell a test its argument")]
pub(crate) fn path() -> PathBuf {
    std::env::var_os(PATH_VARIABLE).expect("this runs only as the child of another test").into()
}
