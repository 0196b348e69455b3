//! wrk and h2load: how they are asked, and what they say.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::question::{Question, Questions};
use crate::deployment::{Deployment, Load, Outcome, bound, write_private};
use crate::failure::Failure;
use crate::program;

/// A load generator that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Wrk,
    H2load,
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::H2load => "h2load",
        }
    }

    /// The version of HTTP that it speaks here.
    pub(super) fn http(self) -> &'static str {
        match self {
            Self::Wrk => "1.1",
            Self::H2load => "2",
        }
    }

    /// Requests at a time: over HTTP/1.1 each on its own connection, over HTTP/2 as many on one as `bench` puts there.
    pub(super) fn at_once(self) -> u16 {
        match self {
            Self::Wrk => 32,
            Self::H2load => H2_CONNECTIONS * H2_STREAMS,
        }
    }

    /// Runs it with a load.
    pub(super) fn ask(
        self,
        deployment: &Deployment,
        questions: &Questions,
        load: Load<'_>,
    ) -> Result<Outcome, Failure> {
        let mut command = bound(deployment.cores.map(|cores| cores.client), self.name());
        let question = questions.of(load.operation)?;
        let task = Task { folder: deployment.folder(), questions, question, load };
        let read = match self {
            Self::Wrk => {
                task.tell_wrk(&mut command)?;
                of_wrk
            }
            Self::H2load => {
                task.tell_h2load(&mut command)?;
                of_h2load
            }
        };
        read(&program::output(&mut command, REMEDY)?)
            .ok_or_else(|| Failure::new(format!("{} prints something unknown", self.name()), REMEDY))
    }
}

/// What a tool is to ask.
struct Task<'a> {
    /// Where files for it go.
    folder: &'a Path,
    questions: &'a Questions,
    question: &'a Question,
    load: Load<'a>,
}

impl Task<'_> {
    fn tell_wrk(&self, command: &mut Command) -> Result<(), Failure> {
        let Self { folder, questions, question, load } = self;
        let script = folder.join("wrk.lua");
        write_private(&script, &lua(questions, question))?;
        command.args(["--threads", "1", "--connections", &load.at_once.to_string()]);
        command.args(["--duration", &format!("{}s", load.seconds), "--timeout", "30s", "--script"]).arg(script);
        // By address, so that no resolver needs to know the name; the request has it.
        command.arg(format!("https://127.0.0.1:{}{}", questions.port, question.path));
        Ok(())
    }

    fn tell_h2load(&self, command: &mut Command) -> Result<(), Failure> {
        let Self { folder, questions, question, load } = self;
        command.args(["--threads", "1", "--clients", &H2_CONNECTIONS.to_string()]);
        command.args(["--max-concurrent-streams", &H2_STREAMS.to_string()]);
        command.args(["--duration", &load.seconds.to_string()]);
        command.arg(format!("--connect-to=127.0.0.1:{}", questions.port));
        // h2load takes headers as arguments only, which every user of the machine can read. The token is one for a deployment
        // that listens on loopback, holds nothing and ends with this run.
        command.arg(format!("--header=authorization: {}", questions.authorization));
        if let Some(body) = question.body {
            let file = folder.join("h2load.json");
            write_private(&file, body)?;
            command.arg("--header=content-type: application/json").arg("--data").arg(file);
        }
        command.arg(format!("https://{}{}", questions.host, question.path));
        Ok(())
    }
}

/// The request, which wrk makes once, and what it prints at the end.
fn lua(Questions { host, authorization, .. }: &Questions, question: &Question) -> String {
    let body = question.body.map(|body| {
        let content_type = r#"wrk.headers["Content-Type"] = "application/json""#;
        format!("wrk.method = \"POST\"\nwrk.body = [==[{body}]==]\n{content_type}\n")
    });
    format!(
        "wrk.headers[\"Host\"] = \"{host}\"\nwrk.headers[\"Authorization\"] = \"{authorization}\"\n{}{LUA_DONE}",
        body.unwrap_or_default()
    )
}

fn of_wrk(printed: &str) -> Option<Outcome> {
    let line = printed.lines().find(|line| line.starts_with('{'))?;
    let summary: Value = serde_json::from_str(line).ok()?;
    let member = |name| summary.get(name).and_then(Value::as_u64);
    let (requests, failed, microseconds) = (member("requests")?, member("failed")?, member("microseconds")?);
    let operations = requests.saturating_sub(member("refused")?);
    let per_second = operations as f64 * 1e6 / microseconds.max(1) as f64;
    Some(Outcome { operations, per_second, failed })
}

fn of_h2load(printed: &str) -> Option<Outcome> {
    let line = |head: &str| printed.lines().find_map(|line| line.strip_prefix(head));
    // `finished in 3.01s, 8123.33 req/s, 1.20MB/s`
    let rate = line("finished in ")?.split(", ").find_map(|part| part.strip_suffix(" req/s"))?;
    let requests = line("requests: ")?;
    let codes = line("status codes: ")?;
    let of_requests = |name| counted(requests, name);
    let of_codes = |name| counted(codes, name);
    let failed = of_requests("failed")? + of_requests("errored")? + of_requests("timeout")?;
    let others = of_codes("3xx")? + of_codes("4xx")? + of_codes("5xx")?;
    Some(Outcome { operations: of_codes("2xx")?, per_second: rate.parse().ok()?, failed: failed + others })
}

/// The number before a word, in `24370 2xx, 0 3xx`.
fn counted(line: &str, word: &str) -> Option<u64> {
    line.split(", ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok())
}

const H2_CONNECTIONS: u16 = 8;
/// As many as `bench` puts on one connection.
const H2_STREAMS: u16 = 16;
const REMEDY: &str = "run it by hand against `strongroom serve`, and compare with xtask/src/cross_check/tools.rs";

/// wrk counts an answer above 399 among requests and errors alike.
const LUA_DONE: &str = r#"done = function(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format('{"requests": %d, "refused": %d, "failed": %d, "microseconds": %d}',
    summary.requests, errors.status, broken + errors.status, summary.duration))
end
"#;

#[cfg(test)]
mod tests {
    use super::super::question::{Question, Questions};
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let printed = "Running 3s test @ https://127.0.0.1:1/\nRequests/sec:   8371.33\n\
            {\"requests\": 25114, \"refused\": 14, \"failed\": 16, \"microseconds\": 2000000}\n";
        assert_eq!(of_wrk(printed), Some(Outcome { operations: 25_100, per_second: 12_550.0, failed: 16 }));
        assert_eq!(of_wrk("Running 3s test"), None);
    }

    #[test]
    fn what_h2load_prints_is_read() {
        let printed = "starting benchmark...\n\nfinished in 3.01s, 8123.33 req/s, 1.20MB/s\n\
            requests: 24370 total, 24498 started, 24370 done, 24369 succeeded, 1 failed, 2 errored, 3 timeout\n\
            status codes: 24360 2xx, 4 3xx, 5 4xx, 6 5xx\ntraffic: 3.60MB (3774873) total\n";
        assert_eq!(of_h2load(printed), Some(Outcome { operations: 24_360, per_second: 8123.33, failed: 21 }));
        assert_eq!(of_h2load("finished in 3.01s, 8123.33 req/s, 1.20MB/s"), None);
    }

    #[test]
    fn the_script_has_a_body_only_for_what_is_posted() {
        let questions = Questions::for_tests();
        let script = |body| lua(&questions, &Question { path: "/".to_owned(), body });
        assert!(script(Some("{}")).contains("wrk.body = [==[{}]==]"));
        assert!(!script(None).contains("POST"));
        assert!(script(None).contains("wrk.headers[\"Authorization\"] = \"Bearer t\""));
    }
}
