use proptest::prelude::*;
use strongroom_types::{TenantId, Timestamp};

use super::*;
use crate::pools::rbac::builtin::{OWNER, READER};
use crate::pools::{Changes, Permission, PrincipalType};
use crate::request::CallerKind;

fn principal(number: u128) -> PrincipalId {
    PrincipalId::from_uuid(Uuid::from_u128(number))
}

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

fn caller(number: u128, groups: &[u128]) -> Caller {
    Caller {
        tenant: tenant(1),
        principal: principal(number),
        groups: groups.iter().map(|group| principal(*group)).collect(),
        application: None,
        kind: CallerKind::Application,
        issuer: String::new(),
        name: None,
    }
}

fn changes() -> Changes {
    let now = Timestamp::from_seconds(0);
    Changes { created: now, created_by: principal(0), updated: now, updated_by: principal(0) }
}

fn assignment(name: u128, holder: u128, role: Uuid, scope: &ResourceScope) -> RoleAssignment {
    RoleAssignment {
        name: Uuid::from_u128(name),
        tenant: tenant(1),
        principal: principal(holder),
        principal_type: PrincipalType::Unknown,
        role,
        scope: scope.clone(),
        description: None,
        changes: changes(),
    }
}

fn scopes() -> Vec<ResourceScope> {
    let subscription = ResourceScope::subscription(Uuid::from_u128(9));
    let group = |name: &str| ResourceScope::group(Uuid::from_u128(9), &name.parse().unwrap());
    let hsm = |group: ResourceScope, name: &str| group.resource("Microsoft.KeyVault", "managedHSMs", name);
    vec![subscription, group("a"), group("b"), hsm(group("a"), "one"), hsm(group("a"), "two"), hsm(group("b"), "one")]
}

fn custom(actions: &str, not_actions: &str) -> CustomRole {
    let list = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
    CustomRole {
        id: Uuid::from_u128(77),
        name: "Custom".to_owned(),
        description: String::new(),
        permissions: vec![Permission {
            actions: list(actions),
            not_actions: list(not_actions),
            ..Permission::default()
        }],
        assignable_scopes: vec![scopes()[0].clone()],
        changes: changes(),
    }
}

#[test]
fn a_role_holds_at_its_scope_and_below_only() {
    let scopes = scopes();
    let [subscription, a, b, one, ..] = scopes.as_slice() else { panic!("six scopes") };
    let rights = Rights::new(1, vec![assignment(1, 5, READER, a)], Vec::new());
    let may = |scope| rights.allows(&caller(5, &[]), Action::HsmRead, scope);
    assert!(may(a) && may(one) && !may(b) && !may(subscription));
    assert!(rights.reaches(&caller(5, &[]), Action::HsmRead, subscription));
    assert!(!rights.reaches(&caller(5, &[]), Action::HsmRead, b));
    assert!(!rights.reaches(&caller(5, &[]), Action::HsmWrite, subscription));
}

#[test]
fn a_member_holds_the_roles_of_its_groups() {
    let scope = &scopes()[0];
    let rights = Rights::new(1, vec![assignment(1, 100, OWNER, scope)], Vec::new());
    assert!(rights.allows(&caller(5, &[100]), Action::HsmWrite, scope));
    assert!(!rights.allows(&caller(5, &[101]), Action::HsmWrite, scope));
}

#[test]
fn the_same_object_id_in_another_tenant_is_a_stranger() {
    let scope = &scopes()[0];
    let rights = Rights::new(1, vec![assignment(1, 5, OWNER, scope)], Vec::new());
    let stranger = Caller { tenant: tenant(2), ..caller(5, &[]) };
    assert!(!rights.allows(&stranger, Action::HsmRead, scope));
}

#[test]
fn an_assignment_of_a_role_that_is_gone_means_nothing() {
    let scope = &scopes()[0];
    let rights = Rights::new(1, vec![assignment(1, 5, Uuid::from_u128(77), scope)], Vec::new());
    assert!(!rights.allows(&caller(5, &[]), Action::HsmRead, scope));
}

#[test]
fn a_vault_access_administrator_grants_vault_roles_only() {
    let scope = &scopes()[0];
    let administrator = Uuid::parse_str("8b54135c-b56d-4d72-a534-26097cfdc8d8").unwrap();
    let crypto_user = Uuid::parse_str("12338af0-0e69-4776-bea7-57ae8d297424").unwrap();
    let rights = Rights::new(1, vec![assignment(1, 5, administrator, scope)], Vec::new());
    let may = |role| rights.may_delegate(&caller(5, &[]), Action::RoleAssignmentWrite, scope, role);
    assert!(may(crypto_user) && !may(OWNER) && !may(administrator));
    assert_eq!(rights.role_administrators(scope).count(), 0);
}

#[test]
fn the_digest_depends_on_every_assignment_and_not_on_their_order() {
    let scope = &scopes()[0];
    let (first, second) = (assignment(1, 5, OWNER, scope), assignment(2, 6, READER, scope));
    let digest = |list: Vec<RoleAssignment>| Rights::new(1, list, Vec::new()).digest().unwrap();
    assert_eq!(digest(vec![first.clone(), second.clone()]), digest(vec![second.clone(), first.clone()]));
    assert_ne!(digest(vec![first.clone()]), digest(vec![first, second]));
    assert_ne!(digest(Vec::new()), Rights::new(1, Vec::new(), vec![custom("*", "")]).digest().unwrap());
}

#[test]
fn the_stored_form_of_an_assignment_stays_readable() {
    let stored = r#"{"name":"00000000-0000-0000-0000-000000000001","tenant":"00000000-0000-0000-0000-000000000001",
        "principal":"00000000-0000-0000-0000-000000000005","principal_type":"Unknown",
        "role":"8e3af657-a8ff-443c-a75c-2fe8c4bcb635","scope":"/subscriptions/00000000-0000-0000-0000-000000000009",
        "description":null,"changes":{"created":0,"created_by":"00000000-0000-0000-0000-000000000000",
        "updated":0,"updated_by":"00000000-0000-0000-0000-000000000000"}}"#;
    let read: RoleAssignment = serde_json::from_str(stored).unwrap();
    assert_eq!(read, assignment(1, 5, OWNER, &scopes()[0]));
}

prop_compose! {
    fn any_assignment()(name in any::<u128>(), holder in 1u128..6, role in 0usize..BUILT_IN_ROLES.len() + 1, scope in 0usize..6)
        -> RoleAssignment
    {
        let role = BUILT_IN_ROLES.get(role).map_or(Uuid::from_u128(77), |role| role.id);
        assignment(name, holder, role, &scopes()[scope])
    }
}

fn allowed(rights: &Rights, caller: &Caller) -> Vec<bool> {
    let scopes = scopes();
    Action::ALL
        .iter()
        .flat_map(|action| scopes.iter().map(|scope| (*action, scope)))
        .flat_map(|(action, scope)| [rights.allows(caller, action, scope), rights.reaches(caller, action, scope)])
        .collect()
}

proptest! {
    #[test]
    fn adding_an_assignment_never_removes_access(
        before in proptest::collection::vec(any_assignment(), 0..8),
        added in any_assignment(),
        groups in proptest::collection::vec(1u128..6, 0..3),
        not_actions in prop_oneof![Just(""), Just("*/write"), Just("*"), Just("Microsoft.KeyVault/*")],
    ) {
        let who = caller(1, &groups);
        let roles = vec![custom("*", not_actions)];
        let after = before.iter().cloned().chain([added]).collect();
        let (before, after) = (Rights::new(1, before, roles.clone()), Rights::new(2, after, roles));
        for (was, is) in allowed(&before, &who).into_iter().zip(allowed(&after, &who)) {
            prop_assert!(!was || is);
        }
    }

    #[test]
    fn what_holds_at_a_scope_holds_below_it(list in proptest::collection::vec(any_assignment(), 0..8)) {
        let rights = Rights::new(1, list, vec![custom("*/read", "")]);
        let (who, scopes) = (caller(1, &[]), scopes());
        for (above, below) in scopes.iter().flat_map(|a| scopes.iter().map(move |b| (a, b))).filter(|(a, b)| a.covers(b)) {
            for action in Action::ALL {
                prop_assert!(!rights.allows(&who, *action, above) || rights.allows(&who, *action, below));
                prop_assert!(!rights.allows(&who, *action, below) || rights.reaches(&who, *action, above));
            }
        }
    }
}
