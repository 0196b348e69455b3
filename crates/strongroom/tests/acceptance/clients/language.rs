//! How the program of each language is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment;

/// A language with a program below `tests/clients`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Go,
    Java,
    JavaScript,
    Python,
    Rust,
}

/// What each language has a program for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// Walks chapters of operations.
    Walk,
    /// The example of the README.
    Readme,
}

impl Language {
    /// The words that start a program; its arguments follow. What must be made first goes into `scratch`.
    pub(super) fn command(self, program: Program, scratch: &Path, ca_file: &Path) -> Vec<OsString> {
        let name = match program {
            Program::Walk => "walk",
            Program::Readme => "readme",
        };
        match self {
            Self::Go => vec![environment::go_program(name).into()],
            Self::Java => java(program, scratch, ca_file),
            Self::JavaScript => {
                let source = javascript_beside_its_packages(scratch).join(format!("{name}.mjs"));
                vec![environment::node().into(), source.into()]
            }
            // -B: no compiled files beside the sources.
            Self::Python => {
                let source = sources("python").join(format!("{name}.py"));
                vec![environment::sdk_python().into(), "-B".into(), source.into()]
            }
            Self::Rust => vec![environment::rust_program(name).into()],
        }
    }

    /// What the `User-Agent` of its packages holds.
    pub(super) const fn user_agent(self) -> &'static str {
        match self {
            Self::Go => "azsdk-go-",
            Self::Java => "azsdk-java-",
            Self::JavaScript => "azsdk-js-",
            Self::Python => "azsdk-python-",
            Self::Rust => "azsdk-rust-",
        }
    }
}

fn sources(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients").join(folder)
}

/// Node looks for packages in the folder of the source and above it, and the sources have none there.
fn javascript_beside_its_packages(scratch: &Path) -> PathBuf {
    let folder = scratch.join("javascript");
    if folder.exists() {
        return folder;
    }
    let mut copy = Command::new("cp");
    let copied = copy.arg("-r").arg(sources("javascript")).arg(&folder).status();
    assert!(copied.is_ok_and(|status| status.success()), "the sources are copied to {}", folder.display());
    std::os::unix::fs::symlink(environment::node_modules(), folder.join("node_modules")).expect("a link is made");
    folder
}

/// Java trusts what is in its trust store and reads no variable about it.
fn java(program: Program, scratch: &Path, ca_file: &Path) -> Vec<OsString> {
    let trust_store = scratch.join("trust.p12");
    let mut import = Command::new("keytool");
    import.args(["-importcert", "-noprompt", "-alias", "strongroom", "-storetype", "PKCS12"]);
    import.args(["-storepass", TRUST_STORE_PASSWORD, "-file"]).arg(ca_file).arg("-keystore").arg(&trust_store);
    let output = import.output().expect("the Java development kit has keytool");
    assert!(output.status.success(), "{}", crate::az::said(&output));
    let property = |name: &str, value: &str| OsString::from(format!("-D{name}={value}"));
    let folder = environment::java_programs();
    let class_path = format!("{}:{}/*", folder.join("classes").display(), folder.join("libraries").display());
    vec![
        "java".into(),
        property("javax.net.ssl.trustStore", &trust_store.display().to_string()),
        property("javax.net.ssl.trustStorePassword", TRUST_STORE_PASSWORD),
        // The packages log each connection; what went wrong is in the exception.
        property("org.slf4j.simpleLogger.defaultLogLevel", "error"),
        "-cp".into(),
        class_path.into(),
        match program {
            Program::Walk => "Walk".into(),
            Program::Readme => "Readme".into(),
        },
    ]
}

/// A trust store holds nothing secret, and Java wants a password for it.
const TRUST_STORE_PASSWORD: &str = "changeit";
