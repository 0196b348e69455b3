//! The requests, for programs that cannot make them themselves: paths, a body, a token.

use std::process::Command;

use serde_json::Value;

use crate::deployment::{Deployment, write_private};
use crate::failure::Failure;
use crate::program;

/// Every request, and what they share.
pub(super) struct Questions {
    /// Of the managed HSM: name and port.
    pub(super) host: String,
    pub(super) port: String,
    /// The value of the header `authorization`.
    pub(super) authorization: String,
    get_key: Question,
    sign_es256: Question,
}

/// A request.
pub(super) struct Question {
    /// With its query.
    pub(super) path: String,
    /// JSON to be posted; a request without it is a GET.
    pub(super) body: Option<&'static str>,
}

impl Questions {
    /// What the managed HSM of `bench` can be asked for, once it has been made.
    pub(super) fn new(deployment: &Deployment) -> Result<Self, Failure> {
        let environment = deployment.environment()?;
        let variable = |name| environment.get(name);
        let suffix = variable("STRONGROOM_MHSM_SUFFIX")?.trim_start_matches('.');
        let host = format!("{HSM}.{suffix}");
        let port = host.rsplit_once(':').map_or("443", |(_, port)| port).to_owned();
        let authority = variable("STRONGROOM_AUTHORITY_URL")?;
        let trust = option("cacert", variable("STRONGROOM_CA_FILE")?);
        let form = [
            option("url", &format!("{authority}/{}/oauth2/v2.0/token", variable("STRONGROOM_TENANT_ID")?)),
            option("data-urlencode", "grant_type=client_credentials"),
            option("data-urlencode", &format!("client_id={}", variable("STRONGROOM_CLIENT_ID")?)),
            option("data-urlencode", &format!("client_secret={}", variable("STRONGROOM_CLIENT_SECRET")?)),
            option("data-urlencode", &format!("scope=https://{suffix}/.default")),
        ];
        let token = text(&curl(deployment, &format!("{trust}{}", form.concat()))?, "/access_token")?;
        let authorization = format!("Bearer {token}");
        let newest = |key: &str| {
            let url = option("url", &format!("https://{host}/keys/{key}?{API_VERSION}"));
            let header = option("header", &format!("authorization: {authorization}"));
            let kid = text(&curl(deployment, &format!("{trust}{url}{header}"))?, "/key/kid")?;
            path_of(&kid).ok_or_else(|| Failure::new(format!("{kid} has no path"), UNKNOWN))
        };
        let get_key = Question { path: format!("{}?{API_VERSION}", newest("bench-oct")?), body: None };
        let sign = format!("{}/sign?{API_VERSION}", newest("bench-ec")?);
        Ok(Self { get_key, sign_es256: Question { path: sign, body: Some(SIGN_BODY) }, host, port, authorization })
    }

    pub(super) fn of(&self, operation: &str) -> Result<&Question, Failure> {
        match operation {
            "get-key" => Ok(&self.get_key),
            "sign-es256" => Ok(&self.sign_es256),
            other => Err(Failure::new(format!("there is no request for {other}"), "add it to cross_check::question")),
        }
    }
}

/// Asks curl. Everything is in a file: arguments can be read by anybody.
fn curl(deployment: &Deployment, options: &str) -> Result<Value, Failure> {
    let file = deployment.folder().join("curl");
    write_private(&file, &format!("{CURL}{options}"))?;
    let answer = program::output(Command::new("curl").arg("--disable").arg("--config").arg(&file), UNKNOWN)?;
    serde_json::from_str(&answer).map_err(|error| Failure::new(format!("the server answers no JSON: {error}"), UNKNOWN))
}

/// A line of curl's configuration (curl(1), `--config`).
fn option(name: &str, value: &str) -> String {
    format!("{name} = \"{}\"\n", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn text(answer: &Value, pointer: &str) -> Result<String, Failure> {
    let member = answer.pointer(pointer).and_then(Value::as_str);
    member.map(str::to_owned).ok_or_else(|| Failure::new(format!("the answer has no {pointer}"), UNKNOWN))
}

fn path_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').and_then(|at| rest.get(at..)).map(str::to_owned)
}

/// The managed HSM that `bench` makes.
const HSM: &str = "bench";
const API_VERSION: &str = "api-version=7.6";
/// As `bench` sends it: 32 times the same byte stand for a digest.
const SIGN_BODY: &str = r#"{"alg":"ES256","value":"WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo"}"#;
/// Whatever the name, the server is on this machine.
const CURL: &str = "silent\nshow-error\nfail\nnoproxy = \"*\"\nconnect-to = \"::127.0.0.1:\"\n";
const UNKNOWN: &str = "compare crates/strongroom-cli/src/bench/scene.rs with xtask/src/cross_check/question.rs";

#[cfg(test)]
impl Questions {
    pub(super) fn for_tests() -> Self {
        let nothing = || Question { path: String::new(), body: None };
        let (host, port, authorization) = ("h".to_owned(), "1".to_owned(), "Bearer t".to_owned());
        Self { host, port, authorization, get_key: nothing(), sign_es256: nothing() }
    }
}

#[cfg(test)]
mod tests {
    use super::{option, path_of};

    #[test]
    fn options_are_quoted() {
        assert_eq!(option("data", r#"a"b\c"#), "data = \"a\\\"b\\\\c\"\n");
    }

    #[test]
    fn the_path_of_a_key_is_taken_out_of_its_identifier() {
        assert_eq!(path_of("https://bench.x.localhost:8443/keys/k/1"), Some("/keys/k/1".to_owned()));
        assert_eq!(path_of("nothing"), None);
    }
}
