//! Backups to a blob store that is slow, fails, refuses midway, cuts connections and runs out of space: each ends well after
//! another try, or Failed with the reason. Never is there a part of a backup that looks like one.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::faulty_blobs::{Act, FaultyBlobs, Plan};
use crate::hsm::Hsm;

const HSM: &str = "faulty-blobs-hsm";
/// Of good shape; the store looks at no signature.
const SAS: &str = "sv=2025-05-05&se=2099-01-01T00:00:00Z&sr=c&sp=racwdl&sig=c2VjcmV0c2ln";

#[test]
fn a_backup_ends_well_after_another_try_or_failed_with_the_reason() {
    let mut deployment = Deployment::start_with(|_| "[backup]\nearliest_end_seconds = 0\n".to_owned());
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    hsm.post("/keys/k/create", &json!({"kty": "EC-HSM"})).expect(200);
    let good: [(&str, Plan); 4] = [
        ("slow", |_| Act::Late(Duration::from_millis(500))),
        ("500, then good", |write| if write < 2 { Act::Refuse(500, "InternalError") } else { Act::Keep }),
        ("503 at every other write", |write| if write % 2 == 0 { Act::Refuse(503, "ServerBusy") } else { Act::Keep }),
        ("cut at the second write", |write| if write == 1 { Act::Cut } else { Act::Keep }),
    ];
    for (what, plan) in good {
        let store = FaultyBlobs::start(plan);
        let ended = back_up(&hsm, &store);
        assert_eq!(ended["status"], "Succeeded", "{what}: {ended}");
        let folder = folder(&ended, &store);
        assert!(store.names().contains(&format!("{folder}/manifest")), "{what}: {:?}", store.names());
        restore(&hsm, &store, &folder, "Succeeded");
    }
    let bad: [(&str, Plan, &str); 3] = [
        (
            "403 midway",
            |write| if write == 0 { Act::Keep } else { Act::Refuse(403, "AuthorizationPermissionMismatch") },
            "403 AuthorizationPermissionMismatch",
        ),
        ("no space left", |write| if write == 0 { Act::Keep } else { Act::Refuse(507, "InsufficientStorage") }, "507"),
        ("cut for good", |write| if write == 0 { Act::Keep } else { Act::Cut }, "the connection was cut"),
    ];
    for (what, plan, reason) in bad {
        let store = FaultyBlobs::start(plan);
        let ended = back_up(&hsm, &store);
        assert_eq!(ended["status"], "Failed", "{what}: {ended}");
        let message = ended["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(reason), "{what}: {ended}");
        assert!(!ended.to_string().contains("c2VjcmV0"), "{what}: {ended}");
        let names = store.names();
        let part = names.first().unwrap_or_else(|| panic!("{what}: the first write was kept"));
        assert!(!names.iter().any(|name| name.ends_with("/manifest")), "{what}: {names:?}");
        let folder = part.split('/').next().expect("a blob lies in a folder").to_owned();
        let refused = restore(&hsm, &store, &folder, "Failed");
        assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("no manifest")), "{refused}");
    }
    hsm.post("/keys/k/sign", &json!({"alg": "ES256", "value": "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}))
        .expect(200);
    deployment.stop();
    assert!(!deployment.log().contains("c2VjcmV0"), "the SAS is in no log");
}

fn back_up(hsm: &Hsm<'_>, store: &FaultyBlobs) -> Value {
    let body = json!({"storageResourceUri": store.container(), "token": SAS});
    end_of(hsm, "backup", &hsm.post("/backup", &body).expect(202))
}

fn folder(ended: &Value, store: &FaultyBlobs) -> String {
    let uri = ended["azureStorageBlobContainerUri"].as_str().expect("a backup has an address");
    uri.strip_prefix(&format!("{}/", store.container())).expect("it lies in the container").to_owned()
}

/// Restores one key, which needs no fresh backup, and must end so.
fn restore(hsm: &Hsm<'_>, store: &FaultyBlobs, folder: &str, expected: &str) -> Value {
    let place = json!({"storageResourceUri": store.container(), "token": SAS});
    let body = json!({"sasTokenParameters": place, "folder": folder});
    let ended = end_of(hsm, "restore", &hsm.send(&Method::PUT, "/keys/k/restore", Some(&body)).expect(202));
    assert_eq!(ended["status"], expected, "{ended}");
    ended
}

fn end_of(hsm: &Hsm<'_>, kind: &str, started: &Value) -> Value {
    hsm.job_ended(kind, started["jobId"].as_str().expect("a job has an id"))
}
