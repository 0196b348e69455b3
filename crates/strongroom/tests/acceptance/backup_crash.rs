//! kill -9 during backups and restores: each goes on after the next start, and what is shown meanwhile is the old state or
//! the new one, never half of both.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::crash::Dice;
use crate::deployment::Deployment;
use crate::environment;
use crate::hsm::Hsm;

const HSM: &str = "backup-crash-hsm";

#[test]
fn backups_and_restores_go_on_after_kill_nine() {
    let mut deployment = Deployment::start_with(|_| "[backup]\nearliest_end_seconds = 0\n".to_owned());
    let container = format!("file://{}/backups/crash", deployment.data().display());
    let rest = deployment.rest();
    Hsm::activated(&rest, HSM);
    let world = World { container };
    let hsm = Hsm::existing(&rest, HSM);
    let states = ["a", "b"].map(|letter| world.furnish(&hsm, letter));
    let (mut dice, mut current, mut interrupted) = (Dice::random(), 1, 0);
    // As many of each.
    let kills = 2 * environment::kills();
    for kill in 1..=kills {
        let rest = deployment.rest();
        let hsm = Hsm::existing(&rest, HSM);
        let target = if kill % 2 == 0 { current } else { 1 - current };
        let (job, path) = match kill % 2 {
            0 => (world.start_backup(&hsm), "backup"),
            _ => {
                world.finish(&hsm, "backup", &world.start_backup(&hsm));
                (world.start_restore(&hsm, &states[target].folder), "restore")
            }
        };
        thread::sleep(Duration::from_millis(dice.below(LOAD_MILLISECONDS_MAX)));
        deployment.kill();
        deployment.run();
        let rest = deployment.rest();
        let hsm = Hsm::existing(&rest, HSM);
        if let Some(names) = world.shown(&hsm) {
            let known = states.iter().any(|state| state.names == names);
            assert!(known, "kill {kill}: half of a restore is shown: {names:?}");
        }
        interrupted += u32::from(status(&hsm, path, &job)["status"] == "InProgress");
        world.finish(&hsm, path, &job);
        assert_eq!(world.shown(&hsm), Some(states[target].names.clone()), "kill {kill}");
        sign(&hsm, states[target].names.first().expect("it has keys"));
        current = target;
    }
    println!("{interrupted} of {kills} jobs were cut off");
    assert!(interrupted > 0, "every job had ended before it was killed");
    deployment.stop();
}

/// What an HSM was at a moment.
struct State {
    names: BTreeSet<String>,
    folder: String,
}

struct World {
    container: String,
}

impl World {
    /// Makes keys of a letter, and backs up what there is then.
    fn furnish(&self, hsm: &Hsm<'_>, letter: &str) -> State {
        for number in 0..KEYS {
            hsm.post(&format!("/keys/{letter}-{number}/create"), &json!({"kty": "EC-HSM"})).expect(200);
        }
        let ended = self.finish(hsm, "backup", &self.start_backup(hsm));
        let uri = ended["azureStorageBlobContainerUri"].as_str().expect("a backup has an address");
        let folder = uri.rsplit('/').next().expect("it has a folder").to_owned();
        State { names: self.shown(hsm).expect("nothing is being restored"), folder }
    }

    fn start_backup(&self, hsm: &Hsm<'_>) -> String {
        id(&hsm.post("/backup", &json!({"storageResourceUri": self.container})).expect(202))
    }

    fn start_restore(&self, hsm: &Hsm<'_>, folder: &str) -> String {
        let body = json!({"sasTokenParameters": {"storageResourceUri": self.container}, "folderToRestore": folder});
        id(&hsm.send(&Method::PUT, "/restore", Some(&body)).expect(202))
    }

    /// Waits for the end of a job, which must be a good one.
    fn finish(&self, hsm: &Hsm<'_>, path: &str, job: &str) -> Value {
        let ended = hsm.job_ended(path, job);
        assert_eq!(ended["status"], "Succeeded", "{ended}");
        ended
    }

    /// The names of all keys; `None` while a restore is under way.
    fn shown(&self, hsm: &Hsm<'_>) -> Option<BTreeSet<String>> {
        let first = hsm.get("/keys");
        if first.status == 409 {
            assert_eq!(first.json()["error"]["innererror"]["code"], "RestoreInProgress");
            return None;
        }
        // Once it answers, the restore has ended, or none was under way.
        let keys = hsm.list("/keys");
        let names = keys.iter().filter_map(|key| key["kid"].as_str()?.rsplit('/').next().map(str::to_owned));
        Some(names.collect())
    }
}

fn status(hsm: &Hsm<'_>, path: &str, job: &str) -> Value {
    hsm.get(&format!("/{path}/{job}/pending")).expect(200)
}

fn id(started: &Value) -> String {
    started["jobId"].as_str().expect("a job has an id").to_owned()
}

fn sign(hsm: &Hsm<'_>, name: &str) {
    let body = json!({"alg": "ES256", "value": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    hsm.post(&format!("/keys/{name}/sign"), &body).expect(200);
}

/// Keys of each letter: enough that a restore takes several commits.
const KEYS: usize = 60;
/// Longest time a job is left alone.
const LOAD_MILLISECONDS_MAX: u64 = 120;
