//! Running other programs: shown, silent, or for their output.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::failure::Failure;

/// Runs a command with its output shown; `remedy` is what to do when it fails.
pub(crate) fn run(command: &mut Command, remedy: &str) -> Result<(), Failure> {
    let line = shown(command);
    println!("$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("`{line}` ended with {status}"), remedy)),
        Err(error) => Err(Failure::new(format!("`{line}` did not start: {error}"), remedy)),
    }
}

/// Runs a command for what it prints on standard output.
pub(crate) fn output(command: &mut Command, remedy: &str) -> Result<String, Failure> {
    let line = shown(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::new(format!("`{line}` did not start: {error}"), remedy))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{line}` ended with {}", output.status), remedy));
    }
    String::from_utf8(output.stdout).map_err(|_| Failure::new(format!("`{line}` printed no UTF-8"), remedy))
}

/// Runs a command for what it prints on standard output, which goes into a file.
pub(crate) fn output_to(command: &mut Command, path: &Path, remedy: &str) -> Result<(), Failure> {
    let file = File::create(path).map_err(|error| Failure::file(path, &error))?;
    run(command.stdout(file), remedy)
}

/// Starts a command, and leaves it to the caller.
pub(crate) fn start(command: &mut Command, remedy: &str) -> Result<Child, Failure> {
    let line = shown(command);
    command.spawn().map_err(|error| Failure::new(format!("`{line}` did not start: {error}"), remedy))
}

/// Whether a command can be started and ends well; it prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{output, run, succeeds};

    #[test]
    fn a_failing_program_is_named_in_the_cause() {
        let failure = run(&mut Command::new("false"), "look at its output").expect_err("false fails");
        assert!(failure.to_string().contains("`false` ended with"), "{failure}");
        assert_eq!(failure.remedy, "look at its output");
    }

    #[test]
    fn a_program_that_is_not_there_does_not_succeed() {
        assert!(!succeeds(&mut Command::new("no-such-program-here")));
        assert!(output(&mut Command::new("no-such-program-here"), "install it").is_err());
    }

    #[test]
    fn output_is_what_the_program_printed() {
        assert_eq!(output(Command::new("echo").arg("hello"), "").expect("echo works"), "hello\n");
    }
}
