//! What clients and server said to each other, kept so that it can be held against the reference afterwards.
//!
//! One line of JSON each, in a file for each test. Only the data planes and the management plane are kept; what is said
//! to the authority holds secrets and has no reference. `cargo xtask acceptance` names the folder and reads it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::environment;

/// Where the exchanges of one test go.
#[derive(Debug, Clone)]
pub(crate) struct Exchanges {
    test: String,
    folder: Option<PathBuf>,
}

/// One request with its answer.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    /// With query.
    pub(crate) url: &'a str,
    pub(crate) user_agent: &'a str,
    pub(crate) request: &'a [u8],
    pub(crate) status: u16,
    pub(crate) content_type: &'a str,
    pub(crate) answer: &'a [u8],
}

impl Exchanges {
    /// Those of the test that runs on this thread.
    pub(crate) fn of_this_test() -> Self {
        let test = std::thread::current().name().unwrap_or("unnamed").to_owned();
        Self { test, folder: environment::exchanges() }
    }

    /// Those of nobody.
    pub(crate) fn unkept() -> Self {
        Self { test: String::new(), folder: None }
    }

    /// Keeps one, if somebody asked for it.
    pub(crate) fn keep(&self, exchange: &Exchange<'_>) {
        let Some(folder) = self.folder.as_ref().filter(|_| has_reference(exchange.url)) else { return };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let line = json!({
            "test": self.test,
            "method": exchange.method,
            "url": exchange.url,
            "user_agent": exchange.user_agent,
            "request": text(exchange.request),
            "status": exchange.status,
            "content_type": exchange.content_type,
            "answer": text(exchange.answer),
        });
        // Threads of one test write to the same file.
        static FILES: Mutex<()> = Mutex::new(());
        let _lines_stay_whole = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(folder).expect("the folder of the exchanges");
        let path = folder.join(format!("{}.jsonl", self.test.replace("::", ".")));
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the file of the exchanges");
        file.write_all(format!("{line}\n").as_bytes()).expect("the exchange is kept");
    }
}

fn has_reference(url: &str) -> bool {
    let host = url.strip_prefix("https://").and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    host.contains(".managedhsm.") || host.contains(".vault.") || host.starts_with("management.")
}
