//! `[root] provider = "quorum"`: after a start nothing on the machine opens an HSM, until a quorum comes with `az`.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::az::Az;
use crate::deployment::{Deployment, files_below};
use crate::hsm::Hsm;
use crate::secrecy::{Patterns, core_dump, inner, open};
use crate::wrapping_keys::WrappingKeys;

const HSM: &str = "SealedMHSM";

#[test]
fn before_a_quorum_opens_it_the_root_of_an_hsm_is_neither_on_the_disk_nor_in_the_process() {
    let mut deployment = Deployment::start_recorded_with(&[], "[root]\nprovider = \"quorum\"\n");
    let keys = WrappingKeys::make(3);
    let file = {
        let rest = deployment.rest();
        let hsm = Hsm::created(&rest, HSM);
        let file = hsm.activate(&keys);
        hsm.grant_key_roles();
        hsm.post("/keys/k/create", &json!({"kty": "EC-HSM"})).expect(200);
        sign(&hsm).expect(200);
        file
    };
    let secrets = open(&keys, &file);
    let patterns = Patterns::of(&secrets.iter().flat_map(|secret| inner(secret)).collect::<Vec<_>>());
    deployment.stop();
    deployment.run();

    let rest = deployment.rest();
    let health = format!("{}/health", rest.variable("STRONGROOM_MANAGEMENT_URL"));
    let health = rest.send(&reqwest::Method::GET, &health, None, None).expect(200);
    assert_eq!(health["rootProvider"], "quorum");
    let hsm = Hsm::existing(&rest, HSM);
    let sealed =
        [sign(&hsm), hsm.get("/keys"), hsm.download(&keys.jwks(), 2), hsm.get("/securitydomain/download/pending")];
    for answer in sealed {
        answer.expect_error(503, "Sealed");
        assert_eq!(answer.header("retry-after"), "1");
    }
    for path in files_below(&deployment.data()) {
        patterns.assert_absent(&path);
    }
    patterns.assert_absent(&deployment.log_path());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = core_dump(folder.path(), deployment.pid());
    if let Some(dump) = &dump {
        patterns.assert_absent(dump);
        fs::remove_file(dump).expect("the dump is removed");
    }

    let az = Az::signed_in(&deployment);
    let shown = || az.ok(&["keyvault", "show", "--hsm-name", HSM])["properties"].clone();
    assert_eq!(shown()["provisioningState"], "SecurityDomainRestore");
    unseal(&az, &keys, &file);
    assert_eq!(shown()["provisioningState"], "Succeeded");
    sign(&hsm).expect(200);
    if dump.is_some() {
        // The search would have found it: now it is there.
        let dump = core_dump(folder.path(), deployment.pid()).expect("a dump could be made before");
        assert!(patterns.position(&fs::read(dump).expect("the dump is readable")).is_some());
    }
    for path in files_below(&deployment.data()) {
        patterns.assert_absent(&path);
    }
    deployment.stop();
}

/// The published commands, with two of the three keys.
fn unseal(az: &Az, keys: &WrappingKeys, file: &str) {
    let path = |name: &str| keys.beside(name).display().to_string();
    fs::write(keys.beside("domain.json"), file).expect("the file is kept");
    let command = |verb| ["keyvault", "security-domain", verb, "--hsm-name", HSM, "--sd-exchange-key"];
    az.ok(&[&command("init-recovery")[..], &[&path("exchange.cer")]].concat());
    let (one, two) = (keys.private_key(0).display().to_string(), keys.private_key(2).display().to_string());
    let rest = [&path("exchange.cer"), "--sd-file", &path("domain.json"), "--sd-wrapping-keys", &one, &two];
    let uploaded: Value = az.ok(&[&command("upload")[..], &rest[..]].concat());
    assert_eq!(uploaded["status"], "Success", "{uploaded}");
}

fn sign(hsm: &Hsm<'_>) -> crate::rest::Answer {
    hsm.post("/keys/k/sign", &json!({"alg": "ES256", "value": URL_SAFE_NO_PAD.encode([3; 32])}))
}
