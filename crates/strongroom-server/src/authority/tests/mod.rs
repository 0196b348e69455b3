//! The token endpoint as clients use it: form in, token or an error of Entra ID's shape out.

mod certificates;
mod federation;
mod imds;
mod issuer;
mod world;

use serde_json::Value;
use world::World;

const SCOPE: &str = "https%3A%2F%2Fmanagedhsm.localhost%3A8443%2F.default";

#[tokio::test]
async fn a_client_secret_is_answered_with_a_token_for_the_resource() {
    let world = World::new().await;
    let (status, body) = world.token("adfs", &world.client_credentials(world.secret(), SCOPE)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["token_type"], "Bearer");
    let claims = World::claims(&body["access_token"]);
    assert_eq!(claims["aud"], "https://managedhsm.localhost:8443");
    assert_eq!(claims["oid"], world.foundation.administrator.object_id.to_string());
    assert_eq!(claims["tid"], world.foundation.tenant.to_string());
    assert_eq!(claims["idtyp"], "app");
}

#[tokio::test]
async fn every_path_of_the_tenant_leads_to_the_same_endpoint() {
    let world = World::new().await;
    let tenant = world.foundation.tenant.to_string();
    for path in [tenant.as_str(), &tenant.to_ascii_uppercase(), "localhost", "organizations", "adfs"] {
        let (status, body) = world.token(path, &world.client_credentials(world.secret(), SCOPE)).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_number_that_clients_know() {
    let world = World::new().await;
    let good = world.client_credentials(world.secret(), SCOPE);
    let other_client = good.replace(&world.client_id(), "00000000-0000-0000-0000-0000000000ff");
    let unknown_resource = world.client_credentials(world.secret(), "https%3A%2F%2Felsewhere.example%2F.default");
    let no_credential = format!("grant_type=client_credentials&client_id={}&scope={SCOPE}", world.client_id());
    for (tenant, form, status, error, code) in [
        ("adfs", world.client_credentials("not-the-secret", SCOPE), 401, "invalid_client", 7_000_215),
        ("adfs", other_client, 400, "unauthorized_client", 700_016),
        ("adfs", unknown_resource, 400, "invalid_resource", 500_011),
        ("adfs", no_credential, 401, "invalid_client", 7_000_216),
        ("adfs", good.replace("client_credentials", "password"), 400, "unsupported_grant_type", 70_003),
        ("adfs", format!("{good}&scope=again"), 400, "invalid_request", 90_010),
        ("00000000-0000-0000-0000-0000000000ff", good.clone(), 400, "invalid_request", 90_002),
    ] {
        let (found, body) = world.token(tenant, &form).await;
        assert_eq!((found, &body["error"]), (status, &Value::from(error)), "{form}: {body}");
        assert_eq!(body["error_codes"], Value::from(vec![code]), "{body}");
        let description = body["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{code}: ")), "{description}");
        assert!(!description.contains(world.secret()), "a secret is never repeated");
    }
}

#[tokio::test]
async fn a_revoked_secret_and_a_removed_program_get_nothing() {
    let world = World::new().await;
    let program = world.directory.create_service_principal(&world::own(), "program").await.unwrap();
    let secret = world.directory.add_client_secret(&world::own(), program.object_id, None).await.unwrap();
    let form = World::client_credentials_of(&program.client_id.to_string(), secret.secret.expose(), SCOPE);
    assert_eq!(world.token("adfs", &form).await.0, 200);
    world.directory.revoke_client_secret(&world::own(), program.object_id, secret.id).await.unwrap();
    assert_eq!(world.token("adfs", &form).await.1["error_codes"][0], 7_000_215);
    world.directory.remove(&world::own(), program.object_id).await.unwrap();
    assert_eq!(world.token("adfs", &form).await.1["error_codes"][0], 700_016);
}

#[tokio::test]
async fn an_expired_secret_says_so_only_to_who_knows_it() {
    let world = World::new().await;
    let program = world.directory.create_service_principal(&world::own(), "program").await.unwrap();
    let until = Some(strongroom_testkit::START.plus_seconds(60));
    let secret = world.directory.add_client_secret(&world::own(), program.object_id, until).await.unwrap();
    let form = |secret: &str| World::client_credentials_of(&program.client_id.to_string(), secret, SCOPE);
    assert_eq!(world.token("adfs", &form(secret.secret.expose())).await.0, 200);
    world.test.clock.advance_seconds(61);
    assert_eq!(world.token("adfs", &form(secret.secret.expose())).await.1["error_codes"][0], 7_000_222);
    assert_eq!(world.token("adfs", &form("guess")).await.1["error_codes"][0], 7_000_215);
}

#[tokio::test]
async fn discovery_names_the_endpoints_of_the_host_it_was_asked_on() {
    let world = World::new().await;
    let (status, body) = world.get("/adfs/.well-known/openid-configuration").await;
    assert_eq!(status, 200);
    for member in ["issuer", "token_endpoint", "jwks_uri"] {
        let url = body[member].as_str().unwrap_or_default();
        assert!(url.starts_with("https://login.localhost:8443/"), "{member}: {url}");
    }
    let (status, keys) = world.get("/adfs/discovery/v2.0/keys").await;
    assert_eq!(status, 200);
    assert!(keys["keys"].as_array().is_some_and(|keys| !keys.is_empty()), "{keys}");
    assert!(!keys.to_string().contains("\"d\""), "only the public half is published");
}
