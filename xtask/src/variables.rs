//! What whoever starts a task may say by variables of the environment.

/// Whether a variable is set.
#[expect(clippy::disallowed_methods, reason = "a build task has no configuration of its own")]
pub(crate) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// Whether generated files are to be written anew, here as in the tests that write pages.
pub(crate) fn blessed() -> bool {
    is_set("STRONGROOM_BLESS")
}
