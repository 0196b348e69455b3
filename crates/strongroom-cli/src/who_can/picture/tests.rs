use serde_json::json;

use super::super::rights::Role;
use super::*;

const SIGN: &str = "Microsoft.KeyVault/managedHsm/keys/sign/action";

fn role(id: &str, actions: &[&str], data_actions: &[&str]) -> Role {
    let permissions = json!([{"actions": actions, "dataActions": data_actions}]);
    Role::read(&json!({"id": id, "properties": {"roleName": id, "permissions": permissions}})).unwrap()
}

fn assigned(role: &str, principal: &str, scope: &str) -> Assignment {
    Assignment {
        name: format!("{role}-{principal}"),
        principal: principal.to_owned(),
        role: role.to_owned(),
        scope: Scope::new(scope),
    }
}

/// An HSM with a group `ops` (ada), a program, a managed identity and the directory's administrator.
fn picture(local: Vec<Assignment>, azure: Vec<Assignment>) -> Picture {
    let principal = |id: &str, kind: &str| {
        (id.to_owned(), Principal { id: id.to_owned(), name: id.to_owned(), kind: kind.to_owned(), enabled: true })
    };
    let roles = vec![
        role("signer", &[], &[SIGN]),
        role("assigner", &[], &[LOCAL_ASSIGN]),
        role("definer", &[], &[LOCAL_DEFINE]),
        role("restorer", &[], &[LOCAL_RESTORE]),
    ];
    let azure_roles = vec![
        role("owner", &["*"], &[]),
        role("federator", &[FEDERATE], &[]),
        role(VAULT_DATA_ACCESS_ADMINISTRATOR, &[AZURE_ASSIGN], &[]),
        role("vault-signer", &[], &["Microsoft.KeyVault/vaults/keys/*"]),
        role("policy-writer", &[VAULT_POLICIES_WRITE], &[]),
        role("role-assigner", &[AZURE_ASSIGN], &[]),
        role("role-writer", &[AZURE_DEFINE], &[]),
    ];
    Picture {
        principals: [
            principal("ada", "user"),
            principal("ops", GROUP),
            principal("app", "service principal"),
            principal("identity", "managed identity"),
            principal("root", "service principal"),
            principal("eve", "user"),
        ]
        .into(),
        members: [("ops".to_owned(), vec!["ada".to_owned()])].into(),
        identities: [("identity".to_owned(), Scope::new("/subscriptions/s/identity"))].into(),
        administrator: "root".to_owned(),
        azure: Rights { roles: azure_roles, assignments: azure },
        authority: Authority::Local(Rights { roles, assignments: local }),
        own_tenant: true,
        resource: Scope::new("/subscriptions/s/hsm"),
    }
}

fn sign(scope: &str) -> Question {
    Question { action: SIGN.to_owned(), kind: Kind::Data, permission: None, scope: Scope::new(scope) }
}

fn names(picture: &Picture, question: &Question) -> Vec<String> {
    picture.holders(question).into_keys().collect()
}

#[test]
fn a_right_reaches_the_members_of_a_group_and_who_makes_their_credentials() {
    let picture = picture(vec![assigned("signer", "ops", "/keys/One")], Vec::new());
    let holders = picture.holders(&sign("/keys/one"));
    assert_eq!(holders.keys().collect::<Vec<_>>(), ["ada", "ops", "root"]);
    let Some(Way::Holds(grant)) = holders["ada"].first() else { panic!("{holders:?}") };
    assert_eq!((grant.assignment.as_str(), grant.group.as_deref()), ("signer-ops", Some("ops")));
    assert!(holders["root"].contains(&Way::ActsAs("ada".to_owned(), Disguise::Credentials)));
    assert!(holders["root"].contains(&Way::ActsAs("ops".to_owned(), Disguise::Membership)));
    assert!(picture.holders(&sign("/keys/other")).is_empty() && picture.holders(&sign("/keys")).is_empty());
}

#[test]
fn who_assigns_or_writes_roles_or_restores_holds_everything_there() {
    let assignments = vec![
        assigned("assigner", "app", "/keys/one"),
        assigned("definer", "ada", "/"),
        assigned("restorer", "eve", "/"),
        // At a narrower scope these two mean nothing.
        assigned("definer", "identity", "/keys"),
        assigned("restorer", "identity", "/keys/one"),
    ];
    let picture = picture(assignments, Vec::new());
    let holders = picture.holders(&sign("/keys/one"));
    for (id, power) in [("app", Power::AssignsRoles), ("ada", Power::WritesRoles), ("eve", Power::Restores)] {
        assert!(matches!(holders[id].first(), Some(Way::Gives(found, _)) if *found == power), "{id} {holders:?}");
    }
    assert!(!holders.contains_key("identity"));
    assert_eq!(names(&picture, &sign("/keys/two")), ["ada", "eve", "root"]);
}

#[test]
fn who_federates_a_managed_identity_acts_as_it_and_so_on() {
    let local = vec![assigned("signer", "identity", "/")];
    let azure = vec![
        assigned("federator", "ops", "/subscriptions/s/identity"),
        assigned("owner", "eve", "/subscriptions/s"),
        // It may assign roles over keys of vaults alone.
        assigned(VAULT_DATA_ACCESS_ADMINISTRATOR, "app", "/subscriptions/s"),
    ];
    let holders = picture(local, azure).holders(&sign("/keys/one"));
    assert_eq!(holders.keys().collect::<Vec<_>>(), ["ada", "eve", "identity", "ops", "root"]);
    let federation = Way::ActsAs("identity".to_owned(), Disguise::Federation);
    assert!(["ada", "eve", "ops"].iter().all(|id| holders[*id].contains(&federation)), "{holders:?}");
}

#[test]
fn the_principals_of_another_tenant_are_not_those_of_the_directory() {
    let picture = Picture { own_tenant: false, ..picture(vec![assigned("signer", "ops", "/")], Vec::new()) };
    assert_eq!(names(&picture, &sign("/keys/one")), ["ops"]);
}

#[test]
fn an_owner_has_no_right_on_keys_of_an_hsm_and_can_get_those_on_keys_of_a_vault() {
    let azure = vec![assigned("owner", "eve", "/subscriptions/s")];
    assert!(picture(Vec::new(), azure.clone()).holders(&sign("/keys/one")).is_empty());
    let vault = Picture { authority: Authority::Azure, ..picture(Vec::new(), azure) };
    let question = Question {
        action: "Microsoft.KeyVault/vaults/keys/sign/action".to_owned(),
        permission: Some("sign".to_owned()),
        ..sign("/subscriptions/s/vault/keys/one")
    };
    let holders = vault.holders(&question);
    assert!(matches!(holders["eve"].first(), Some(Way::Gives(Power::AssignsRoles, _))), "{holders:?}");
}

#[test]
fn a_vault_with_access_policies_asks_them_and_nobody_else() {
    let policy = |principal: &str, keys: &[&str]| Policy {
        principal: principal.to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        application: None,
    };
    let policies = vec![policy("app", &["sign"]), policy("identity", &["all"]), policy("ada", &["verify"])];
    let azure = vec![
        assigned("vault-signer", "eve", "/subscriptions/s"),
        assigned("policy-writer", "ops", "/subscriptions/s/vault"),
    ];
    let picture = Picture {
        authority: Authority::Policies(policies),
        resource: Scope::new("/subscriptions/s/vault"),
        ..picture(Vec::new(), azure)
    };
    let question = Question { permission: Some("sign".to_owned()), ..sign("/subscriptions/s/vault") };
    let holders = picture.holders(&question);
    // ada belongs to ops, which may change the policies.
    assert_eq!(holders.keys().collect::<Vec<_>>(), ["ada", "app", "identity", "ops", "root"]);
    assert!(matches!(holders["ada"].first(), Some(Way::Gives(Power::ChangesPolicies, _))));
}

#[test]
fn who_can_get_the_right_to_change_a_vault_with_policies_holds_everything_in_it() {
    let azure = vec![
        assigned("role-assigner", "ada", "/subscriptions/s"),
        assigned("role-writer", "eve", "/subscriptions/s/vault"),
        // It may assign roles over keys of vaults alone, and those mean nothing here.
        assigned(VAULT_DATA_ACCESS_ADMINISTRATOR, "app", "/subscriptions/s"),
        assigned("role-writer", "identity", "/subscriptions/s/other"),
    ];
    let picture = Picture {
        authority: Authority::Policies(Vec::new()),
        resource: Scope::new("/subscriptions/s/vault"),
        ..picture(Vec::new(), azure)
    };
    let question = Question { permission: Some("sign".to_owned()), ..sign("/subscriptions/s/vault") };
    let holders = picture.holders(&question);
    assert_eq!(holders.keys().collect::<Vec<_>>(), ["ada", "eve", "root"]);
    for (id, power) in [("ada", Power::AssignsRoles), ("eve", Power::WritesRoles)] {
        assert!(matches!(holders[id].first(), Some(Way::Gives(found, _)) if *found == power), "{id} {holders:?}");
    }
}

#[test]
fn who_writes_roles_over_a_managed_identity_acts_as_it() {
    let local = vec![assigned("signer", "identity", "/")];
    let azure = vec![assigned("role-writer", "app", "/subscriptions/s")];
    let holders = picture(local, azure).holders(&sign("/keys/one"));
    assert_eq!(holders.keys().collect::<Vec<_>>(), ["app", "identity", "root"]);
    assert!(holders["app"].contains(&Way::ActsAs("identity".to_owned(), Disguise::Federation)), "{holders:?}");
}
