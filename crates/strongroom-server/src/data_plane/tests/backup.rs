//! Full backup and restore on the wire (data-plane.md §2, §3).

use serde_json::{Value, json};
use strongroom_core::backup::Worker;
use strongroom_core::rbac::{ADMINISTRATOR, CRYPTO_USER};
use uuid::Uuid;

use crate::data_plane::tests::world::{Answer, HSM, World};

/// As the Azure CLI sends it.
const VERSION: &str = "api-version=7.5-preview.1";
const CONTAINER: &str = "memory:backups";

async fn scene() -> (World, String) {
    let world = World::new().await;
    let (principal, token) = world.program("operator").await;
    for role in [ADMINISTRATOR, CRYPTO_USER] {
        world.assign(HSM, principal, role, "/").await;
    }
    (world, token)
}

/// Works the job off, and lets the time pass after which its end is told.
async fn run(world: &World) {
    let worker =
        Worker { id: strongroom_types::NodeId::from_uuid(Uuid::from_u128(1)), takeover_seconds: 0, credentials: None };
    for job in world.test.core.running_jobs().await.unwrap() {
        world.test.core.run_job(&worker, &job).await.unwrap();
    }
    world.test.clock.advance_seconds(5);
}

/// The path of a status URL, which must be one of this host.
fn status_path(answer: &Answer) -> String {
    let url = answer.header("azure-asyncoperation").unwrap();
    let base = format!("https://{HSM}.managedhsm.localhost:8443");
    url.strip_prefix(&base).unwrap().to_owned()
}

async fn start(world: &World, token: &str) -> Answer {
    let body = json!({"storageResourceUri": CONTAINER, "token": "sv=1&sig=SECRET"});
    let answer = world.send(token, "POST", &format!("/backup?{VERSION}"), &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer
}

async fn get(world: &World, token: &str, path: &str) -> Answer {
    let answer = world.send(token, "GET", path, &Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn back_up(world: &World, token: &str) -> String {
    let started = start(world, token).await;
    run(world).await;
    let ended = get(world, token, &status_path(&started)).await.json();
    let uri = ended["azureStorageBlobContainerUri"].as_str().unwrap();
    uri.strip_prefix(&format!("{CONTAINER}/")).unwrap().to_owned()
}

fn restore(folder: &str) -> Value {
    json!({"sasTokenParameters": {"storageResourceUri": CONTAINER}, "folderToRestore": folder})
}

#[tokio::test]
async fn a_backup_answers_202_with_its_state_and_its_status_url_until_it_has_ended() {
    let (world, token) = scene().await;
    let started = start(&world, &token).await;
    assert_eq!(started.header("retry-after"), Some("1"));
    let path = status_path(&started);
    let job = started.json()["jobId"].as_str().unwrap().to_owned();
    assert_eq!(path, format!("/backup/{job}/pending?{VERSION}"));
    let begun = started.json()["startTime"].as_i64().unwrap();
    let state = |status: &str| {
        json!({
            "status": status, "statusDetails": null, "error": null, "startTime": begun, "endTime": null, "jobId": job,
            "azureStorageBlobContainerUri": null,
        })
    };
    assert_eq!(started.json(), state("InProgress"));
    // Some clients make the URL themselves, and leave the version out.
    for path in [path.clone(), format!("/backup/{job}/pending"), format!("/backup/{job}/pending?api-version=7.2")] {
        let polled = get(&world, &token, &path).await;
        assert_eq!((polled.json(), polled.header("retry-after")), (state("InProgress"), Some("1")));
    }
    run(&world).await;
    let ended = get(&world, &token, &path).await;
    assert_eq!(ended.header("retry-after"), None);
    let ended = ended.json();
    let folder = ended["azureStorageBlobContainerUri"].as_str().unwrap();
    assert!(folder.starts_with("memory:backups/mhsm-right-20270115"), "{folder}");
    assert_eq!((&ended["status"], &ended["endTime"]), (&json!("Succeeded"), &json!(begun + 5)));
    let of_restore = world.send(&token, "GET", &format!("/restore/{job}/pending"), &Value::Null).await;
    assert_eq!((of_restore.status.as_u16(), of_restore.code().as_str()), (404, "JobNotFound"));
    assert!(!format!("{:?}", world.test.audit.take()).contains("SECRET"));
}

#[tokio::test]
async fn a_restore_refuses_everything_else_without_asking_to_be_asked_again() {
    let (world, token) = scene().await;
    let key = world.send(&token, "POST", &format!("/keys/k/create?{VERSION}"), &json!({"kty": "EC-HSM"})).await;
    assert_eq!(key.status, 200, "{key:?}");
    let refused = world.send(&token, "PUT", &format!("/restore?{VERSION}"), &restore("mhsm-x")).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "BadRequest"));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("az keyvault backup start") && message.contains("30 minutes"), "{message}");
    let folder = back_up(&world, &token).await;

    let started = world.send(&token, "PUT", &format!("/restore?{VERSION}"), &restore(&folder)).await;
    assert_eq!(started.status, 202, "{started:?}");
    assert!(started.json().get("azureStorageBlobContainerUri").is_none());
    for (method, path) in [("GET", "/keys/k"), ("GET", "/keys"), ("POST", "/keys/n/create"), ("POST", "/backup")] {
        let body =
            if method == "GET" { Value::Null } else { json!({"kty": "EC-HSM", "storageResourceUri": CONTAINER}) };
        let refused = world.send(&token, method, &format!("{path}?{VERSION}"), &body).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "Conflict"), "{refused:?}");
        assert_eq!(refused.json()["error"]["innererror"]["code"], "RestoreInProgress");
        assert_eq!(refused.header("retry-after"), None);
    }
    let path = status_path(&started);
    assert!(path.starts_with("/restore/"), "{path}");
    assert_eq!(get(&world, &token, &path).await.json()["status"], "InProgress");
    run(&world).await;
    assert_eq!(get(&world, &token, &path).await.json()["status"], "Succeeded");
    assert_eq!(get(&world, &token, &format!("/keys/k?{VERSION}")).await.json()["key"], key.json()["key"]);
}

#[tokio::test]
async fn a_failed_restore_answers_its_status_with_200_and_the_reason() {
    let (world, token) = scene().await;
    back_up(&world, &token).await;
    let started = world.send(&token, "PUT", &format!("/restore?{VERSION}"), &restore("mhsm-none")).await;
    run(&world).await;
    let ended = get(&world, &token, &status_path(&started)).await.json();
    assert_eq!(ended["status"], "Failed");
    let message = "there is no backup in folder mhsm-none: it has no manifest";
    assert_eq!(ended["error"], json!({"code": "BackupNotFound", "message": message, "innererror": null}));
}

#[tokio::test]
async fn one_key_and_the_checks_have_calls_of_their_own() {
    let (world, token) = scene().await;
    world.send(&token, "POST", &format!("/keys/k/create?{VERSION}"), &json!({"kty": "EC-HSM"})).await;
    let folder = back_up(&world, &token).await;
    let of_key = json!({"sasTokenParameters": {"storageResourceUri": CONTAINER}, "folder": folder});
    let plain = json!({"storageResourceUri": CONTAINER});
    for (method, path, body) in [
        ("PUT", format!("/keys/k/restore?{VERSION}"), &of_key),
        ("POST", "/prebackup?api-version=7.6".to_owned(), &plain),
        ("PUT", "/prerestore?api-version=7.6".to_owned(), &restore(&folder)),
    ] {
        let started = world.send(&token, method, &path, body).await;
        assert_eq!(started.status, 202, "{path} {started:?}");
        run(&world).await;
        let ended = get(&world, &token, &status_path(&started)).await.json();
        assert_eq!(ended["status"], "Succeeded", "{path} {ended}");
    }
    let refused = world.send(&token, "POST", "/prebackup?api-version=7.5", &plain).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "BadParameter"));
}

#[tokio::test]
async fn what_cannot_be_is_refused_at_once_and_names_the_parameter() {
    let (world, token) = scene().await;
    for (body, parameter) in [
        (json!({}), "storageResourceUri"),
        (json!({"storageResourceUri": "memory:a?sig=SECRET"}), "storageResourceUri"),
        (json!({"storageResourceUri": CONTAINER, "token": ""}), "token"),
        (json!({"storageResourceUri": CONTAINER, "token": "x", "useManagedIdentity": true}), "token"),
    ] {
        let refused = world.send(&token, "POST", &format!("/backup?{VERSION}"), &body).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "BadParameter"), "{body}");
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(parameter) && !message.contains("SECRET"), "{message}");
    }
    let elsewhere = json!({"storageResourceUri": "https://elsewhere/c", "token": "sig=SECRET"});
    let identity = json!({"storageResourceUri": "https://elsewhere/c", "useManagedIdentity": true});
    for body in [elsewhere, identity] {
        let refused = world.send(&token, "POST", &format!("/backup?{VERSION}"), &body).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "BadRequest"), "{refused:?}");
        assert!(!format!("{refused:?}").contains("SECRET"));
    }
    for folder in ["", "..", "a b"] {
        let refused = world.send(&token, "PUT", &format!("/restore?{VERSION}"), &restore(folder)).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "BadParameter"));
    }
}
