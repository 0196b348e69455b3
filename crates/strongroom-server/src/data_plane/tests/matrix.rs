//! The authorization matrix: every row of the operation table × every built-in role × {no token, the role on another HSM
//! only, the role on this HSM}, through the edge. `docs/authorization-matrix.md` is what was observed.
//!
//! A new row is taken up by itself. If its body is refused before the caller is judged, give it one in [`body`].

use std::fmt::Write;

use serde_json::{Value, json};
use strongroom_api::operations::{OPERATIONS, Operation, OperationId, OperationScope};
use strongroom_api::version::ApiVersion;
use strongroom_core::rbac::{BuiltInRole, Permission, RoleDefinitionId, RoleSpecification};
use strongroom_testkit::draw_uuid;
use strongroom_types::{DataAction, Scope};

use crate::data_plane::tests::world::{Answer, HSM, OTHER, World};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/authorization-matrix.md");
const GUID: &str = "11111111-1111-4111-8111-111111111111";
const KEY: &str = "matrix";
const CONTAINER: &str = "memory:matrix";

/// What an answer says about the caller's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// 401: nobody.
    Unknown,
    /// 403 `AccessDenied`.
    Refused,
    /// Anything that only an authorized caller is told.
    Allowed,
}

/// Somebody who asks.
struct Asker {
    /// How the page calls it.
    name: String,
    token: String,
}

/// Path and query of a request for a row.
pub(super) fn target(row: &Operation) -> String {
    let path = row.paths[0].as_str();
    let path = path.replace("{key-name}", KEY).replace("/{key-version?}", "").replace("/{key-name?}", "");
    let path = path.replace("{setting-name}", "AllowKeyManagementOperationsThroughARM");
    // What is left is an id that the service draws.
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { GUID } else { segment });
    let (version, _) = ApiVersion::SPELLINGS.last().unwrap();
    format!("{}?api-version={version}", segments.collect::<Vec<_>>().join("/"))
}

/// A body that is good enough to come to the decision.
pub(super) fn body(row: &Operation) -> Value {
    match row.id {
        OperationId::PutRoleDefinition => json!({"properties": {"roleName": "matrix", "permissions": []}}),
        OperationId::CreateRoleAssignment => json!({"properties": {
            "principalId": GUID,
            "roleDefinitionId": BuiltInRole::ALL.last().unwrap().id.to_string(),
        }}),
        OperationId::ImportKey => json!({"key": {"kty": "oct-HSM", "k": "AAECAwQFBgcICQoLDA0ODw"}}),
        OperationId::UpdateSetting => json!({"value": "true"}),
        OperationId::DownloadSecurityDomain | OperationId::RotateSecurityDomain => {
            serde_json::from_slice(DOWNLOAD).unwrap()
        }
        OperationId::FullBackup | OperationId::PreFullBackup => json!({"storageResourceUri": CONTAINER}),
        OperationId::FullRestore | OperationId::PreFullRestore => {
            json!({"sasTokenParameters": {"storageResourceUri": CONTAINER}, "folderToRestore": "mhsm-matrix"})
        }
        OperationId::SelectiveKeyRestore => {
            json!({"sasTokenParameters": {"storageResourceUri": CONTAINER}, "folder": "mhsm-matrix"})
        }
        // Operations on keys take what they know of this.
        _ => json!({"kty": "EC-HSM", "alg": "ES256", "value": "AA", "digest": "AA", "count": 1, "target": "a.b.c"}),
    }
}

async fn ask(world: &World, row: &Operation, token: &str) -> Verdict {
    let answer = world.send(token, row.method.as_str(), &target(row), &body(row)).await;
    assert!(answer.status.as_u16() < 500, "{:?}: {answer:?}", row.id);
    verdict(&answer)
}

fn verdict(answer: &Answer) -> Verdict {
    match (answer.status.as_u16(), answer.code().as_str()) {
        (401, _) => Verdict::Unknown,
        (403, "AccessDenied") => Verdict::Refused,
        _ => Verdict::Allowed,
    }
}

/// One asker for each built-in role, with the role at `/` of an HSM.
async fn role_holders(world: &World, hsm: &str) -> Vec<Asker> {
    let mut askers = Vec::new();
    for role in BuiltInRole::ALL {
        let name = role.role_name.trim_start_matches("Managed HSM ").to_owned();
        let (principal, token) = world.program(&format!("{name} of {hsm}")).await;
        world.assign(hsm, principal, role.id, "/").await;
        askers.push(Asker { name, token });
    }
    askers
}

/// One asker for each scope, with every data action there and nowhere else.
async fn scope_holders(world: &World) -> Vec<Asker> {
    let role = RoleDefinitionId(draw_uuid().unwrap());
    let all = Permission { data_actions: DataAction::ALL.to_vec(), not_data_actions: Vec::new() };
    let wanted = RoleSpecification::new("everything".to_owned(), String::new(), vec![all]).unwrap();
    let hsm = world.test.core.hsm(&HSM.parse().unwrap()).await.unwrap();
    hsm.put_role_definition(&world.administration(), &Scope::Root, role, &wanted).await.unwrap();
    let mut askers = Vec::new();
    for (name, scope) in
        [("at `/`", "/".to_owned()), ("at `/keys`", "/keys".to_owned()), ("at the key", format!("/keys/{KEY}"))]
    {
        let (principal, token) = world.program(name).await;
        world.assign(HSM, principal, role, &scope).await;
        askers.push(Asker { name: name.to_owned(), token });
    }
    askers
}

/// Whether everything held at a scope is enough for a row (protocols.md §8).
fn suffices(scope: &str, row: &Operation) -> bool {
    match row.scope {
        // The first path of such a row is the one at `/`.
        OperationScope::Root | OperationScope::Path => scope == "at `/`",
        OperationScope::Keys => scope != "at the key",
        OperationScope::Key => true,
    }
}

fn page(roles: &[Asker], scopes: &[Asker], rows: &[(&Operation, Vec<Verdict>, Vec<Verdict>)]) -> String {
    let mut text = String::from(HEAD);
    let heads = |askers: &[Asker]| askers.iter().map(|asker| format!(" {} |", asker.name)).collect::<String>();
    writeln!(text, "| operation | request |{}{}", heads(roles), heads(scopes)).unwrap();
    writeln!(text, "|---|---|{}", "---|".repeat(roles.len() + scopes.len())).unwrap();
    for (row, by_role, by_scope) in rows {
        let cells = by_role.iter().chain(by_scope);
        let cells: String = cells.map(|one| if *one == Verdict::Allowed { " yes |" } else { " – |" }).collect();
        writeln!(text, "| {:?} | `{} {}` |{cells}", row.id, row.method.as_str(), row.paths[0].as_str()).unwrap();
    }
    text
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a variable of the test run asks for the page to be written anew")]
async fn every_operation_is_allowed_to_the_roles_that_hold_its_right_and_to_nobody_else() {
    let world = World::new().await;
    let scopes = scope_holders(&world).await;
    let (here, elsewhere) = (role_holders(&world, HSM).await, role_holders(&world, OTHER).await);
    let mut rows = Vec::new();
    for row in OPERATIONS {
        assert_eq!(ask(&world, row, "").await, Verdict::Unknown, "{:?} without a token", row.id);
        let (mut by_role, mut by_scope) = (Vec::new(), Vec::new());
        for ((role, here), elsewhere) in BuiltInRole::ALL.iter().zip(&here).zip(&elsewhere) {
            let verdict = ask(&world, row, &elsewhere.token).await;
            assert_eq!(verdict, Verdict::Refused, "{:?} to {} of another HSM", row.id, elsewhere.name);
            let holds = role.actions().contains(row.action);
            let expected = if holds { Verdict::Allowed } else { Verdict::Refused };
            let verdict = ask(&world, row, &here.token).await;
            assert_eq!(verdict, expected, "{:?} to {}", row.id, here.name);
            by_role.push(verdict);
        }
        for asker in &scopes {
            let expected = if suffices(&asker.name, row) { Verdict::Allowed } else { Verdict::Refused };
            let verdict = ask(&world, row, &asker.token).await;
            assert_eq!(verdict, expected, "{:?} to everything {}", row.id, asker.name);
            by_scope.push(verdict);
        }
        rows.push((row, by_role, by_scope));
    }
    let observed = page(&here, &scopes, &rows);
    if std::env::var("STRONGROOM_BLESS").is_ok() {
        std::fs::write(PAGE, observed).unwrap();
        return;
    }
    let shown = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(shown, observed, "run this test with STRONGROOM_BLESS=1 to write docs/authorization-matrix.md anew");
}

#[tokio::test]
async fn a_refusal_comes_before_anything_is_looked_up() {
    let world = World::new().await;
    let (_, token) = world.program("nobody").await;
    world.test.audit.take();
    for row in OPERATIONS {
        let answer = world.send(&token, row.method.as_str(), &target(row), &body(row)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "AccessDenied"), "{:?}", row.id);
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.starts_with(&format!("Not authorized to access {} on /", row.action)), "{message}");
        let events = world.test.audit.take();
        assert_eq!(events.len(), 1, "{:?} {events:?}", row.id);
        assert_eq!(
            (events[0].operation_name.as_ref(), events[0].result_signature.as_ref()),
            (row.audit_name, "AccessDenied")
        );
    }
}

const DOWNLOAD: &[u8] = include_bytes!("../../../../../vectors/security-domain/download-request.json");

const HEAD: &str = "# Who may do what

Written by a test that asked a managed HSM: every operation, with each built-in role. It is never edited by hand; run
`STRONGROOM_BLESS=1 cargo test -p strongroom-server every_operation_is_allowed` to write it anew.

* **yes**: allowed to who holds the role at `/`. **–**: 403 `AccessDenied`, before anything is looked up.
* Without a token every request is answered 401, whatever it asks for.
* Who holds the role on another managed HSM only is refused by this one, in every row.
* The last three columns are about scope: everything is held, but only there. Operations on role assignments and
  definitions are asked at `/` here; at a key's path they need the right at that key.

";
