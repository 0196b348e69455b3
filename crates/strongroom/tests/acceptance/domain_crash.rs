//! kill -9 in the middle of a recovery, and of the sealing of records under a new epoch.

use std::thread;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::crash::Dice;
use crate::deployment::Deployment;
use crate::environment;
use crate::hsm::Hsm;
use crate::rest::Rest;
use crate::wrapping_keys::WrappingKeys;

/// Each kill comes at another moment of an upload. Afterwards the HSM is recovered wholly or not at all: never half.
#[test]
fn an_upload_that_kill_nine_cuts_off_has_recovered_the_hsm_or_has_not() {
    let mut deployment = Deployment::start();
    let keys = WrappingKeys::make(3);
    let domain = Hsm::created(&deployment.rest(), "source").activate(&keys);
    let (mut dice, mut recovered, mut waiting) = (Dice::random(), 0, None);
    for kill in 1..=environment::kills() {
        let rest = deployment.rest();
        let name = waiting.take().unwrap_or_else(|| format!("target-{kill}"));
        let hsm = if kill > 1 && name != format!("target-{kill}") {
            Hsm::existing(&rest, &name)
        } else {
            Hsm::created(&rest, &name)
        };
        let upload = keys.open(&domain, &hsm.get("/securitydomain/upload").expect(200));
        let (variables, token, target) = (deployment.variables(), rest.token(&rest.hsm_resource()), name.clone());
        let sender = thread::spawn(move || {
            let rest = Rest::new(variables);
            let body = json!({"value": upload});
            let hsm = Hsm::with_token(&rest, &target, token);
            hsm.try_send(&Method::POST, "/securitydomain/upload", Some(&body)).is_ok_and(|answer| answer.status == 202)
        });
        thread::sleep(Duration::from_millis(dice.below(UPLOAD_MILLISECONDS_MAX)));
        deployment.kill();
        let acknowledged = sender.join().expect("the sender does not panic");
        deployment.run();
        let rest = deployment.rest();
        let hsm = Hsm::existing(&rest, &name);
        let state = hsm.get("/securitydomain").expect(200);
        match state["state"].as_str() {
            Some("Active") => {
                recovered += 1;
                assert_eq!(hsm.get("/securitydomain/upload/pending").expect(200)["status"], "Success");
                hsm.grant_key_roles();
                hsm.post("/keys/k/create", &json!({"kty": "EC-HSM"})).expect(200);
            }
            Some("Recovering" | "NotActivated") => {
                assert!(!acknowledged, "an acknowledged upload is lost");
                assert_eq!(
                    hsm.get("/securitydomain/upload/pending").expect(200)["status"],
                    "Failed",
                    "no transfer key"
                );
                assert!(state.get("domain_id").is_none() && state.get("custodians").is_none(), "{state}");
                hsm.get("/keys").expect_error(403, "Forbidden");
                waiting = Some(name);
            }
            _ => panic!("{state}"),
        }
    }
    println!("{recovered} of {} uploads had recovered their HSM", environment::kills());
    deployment.stop();
}

/// The server is killed again and again while it seals; the job goes on after each start and ends.
#[test]
fn a_rotation_that_kill_nine_cuts_off_goes_on_and_no_key_is_lost() {
    let mut deployment =
        Deployment::start_with(|_| "[security_domain]\ndownload_again = \"administrator\"\n".to_owned());
    let keys = WrappingKeys::make(3);
    let mut name = "rotating-0".to_owned();
    furnish(&deployment.rest(), &name, &keys);
    let (mut dice, mut cut_off) = (Dice::random(), 0);
    for kill in 1..=environment::kills() {
        let rest = deployment.rest();
        let before = Hsm::existing(&rest, &name).get("/securitydomain").expect(200);
        let sealed = before["epoch"] == before["oldest_epoch"];
        if sealed && before["epoch"].as_u64() >= Some(EPOCHS_MAX) {
            assert_all_keys_work(&Hsm::existing(&rest, &name));
            name = format!("rotating-{kill}");
            furnish(&rest, &name, &keys);
        }
        let hsm = Hsm::existing(&rest, &name);
        if sealed {
            let body = json!({"certificates": keys.jwks(), "required": 2});
            let answer = hsm.post("/securitydomain/rotate", &body);
            answer.expect(202);
            let status = rest.send(&Method::GET, answer.header("azure-asyncoperation"), None, None).expect(200);
            assert_eq!(status["status"], "Success", "{status}");
        }
        thread::sleep(Duration::from_millis(dice.below(RESEAL_MILLISECONDS_MAX)));
        deployment.kill();
        deployment.run();
        let rest = deployment.rest();
        let hsm = Hsm::existing(&rest, &name);
        let after = hsm.get("/securitydomain").expect(200);
        cut_off += usize::from(after["epoch"] != after["oldest_epoch"]);
        let path = format!("/keys/k{}/sign", dice.below(RESEALED_KEYS));
        let answer = hsm.post(&path, &json!({"alg": "ES256", "value": "A".repeat(43)}));
        assert_eq!(answer.status, 200, "kill {kill}: {answer:?}");
    }
    println!("{cut_off} of {} kills came while records were being sealed", environment::kills());
    assert!(cut_off > 0, "no kill came in the middle");
    let rest = deployment.rest();
    let hsm = Hsm::existing(&rest, &name);
    let give_up = environment::now() + Duration::from_secs(60);
    loop {
        let state = hsm.get("/securitydomain").expect(200);
        if state["epoch"] == state["oldest_epoch"] {
            assert_eq!(state["rotation"]["status"], "Success", "{state}");
            break;
        }
        assert!(environment::now() < give_up, "{state}");
        thread::sleep(Duration::from_millis(100));
    }
    assert_all_keys_work(&hsm);
    deployment.stop();
}

/// An active HSM with keys.
fn furnish(rest: &Rest, name: &str, custodians: &WrappingKeys) {
    let hsm = Hsm::created(rest, name);
    hsm.activate(custodians);
    hsm.grant_key_roles();
    for number in 0..RESEALED_KEYS {
        hsm.post(&format!("/keys/k{number}/create"), &json!({"kty": "EC-HSM"})).expect(200);
    }
}

fn assert_all_keys_work(hsm: &Hsm<'_>) {
    for number in 0..RESEALED_KEYS {
        let sign = json!({"alg": "ES256", "value": "A".repeat(43)});
        hsm.post(&format!("/keys/k{number}/sign"), &sign).expect(200);
    }
}

/// About as long as an upload takes.
const UPLOAD_MILLISECONDS_MAX: u64 = 120;
/// Longer than a start of the server and its first steps take.
const RESEAL_MILLISECONDS_MAX: u64 = 1500;
/// Keys that are sealed again; three records each.
const RESEALED_KEYS: u64 = 150;
/// Below the number of roots that a domain can have: then another HSM takes over.
const EPOCHS_MAX: u64 = 60;
