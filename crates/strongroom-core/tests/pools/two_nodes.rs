//! Two nodes on one store: one deployment, with one directory, one set of ARM resources, and work that is done once.

use std::sync::Arc;

use strongroom_core::deployment::check_not_rolled_back;
use strongroom_core::identity::record::{Principal, PrincipalState};
use strongroom_core::identity::token::{OwnTokenError, ParsedToken, TokenError, VerifiedToken};
use strongroom_core::identity::{
    AccessTokenOrder, IdentityError, IssuerForm, PUBLISHED_AHEAD_SECONDS, SIGNING_KEY_DAYS,
};
use strongroom_core::pools::{Action, HsmSpecification, OWNER, READER};
use strongroom_core::ports::Clock;
use strongroom_core::request::{Caller, Request};
use strongroom_testkit::{core_in_memory, draw_uuid};
use strongroom_types::PrincipalId;

use crate::deployment::Deployment;

async fn two() -> (Deployment, Deployment) {
    let one = Deployment::new().await;
    let other = Deployment::over(one.test.another_node().await.unwrap()).await;
    (one, other)
}

impl Deployment {
    fn internal(&self) -> Request {
        Request::internal(draw_uuid().unwrap(), self.test.clock.now(), "Test", String::new())
    }

    async fn known(&self, principal: PrincipalId) -> Principal {
        self.directory.principal(principal).await.unwrap().unwrap().value
    }

    async fn token(&self, principal: &Principal) -> String {
        let client_id = principal.client_id().unwrap();
        let order = AccessTokenOrder { principal, client_id, audience: "https://a.example", form: IssuerForm::V2 };
        let issued = self.directory.issue_access_token(order, self.test.clock.now()).await.unwrap();
        issued.text.expose().clone()
    }

    async fn caller_of(&self, token: &str) -> Result<Arc<Caller>, OwnTokenError> {
        let parsed = ParsedToken::parse(token).unwrap();
        let claims = self.directory.verify_own(parsed, self.test.clock.now()).await?;
        self.directory.own_caller(&VerifiedToken::new(claims, String::new())).await
    }

    async fn assert_nothing_looks_rolled_back(&self) {
        check_not_rolled_back(self.test.store.as_ref(), &self.test.witness).await.unwrap();
    }
}

#[tokio::test]
async fn nodes_that_start_at_once_found_one_deployment() {
    let test = core_in_memory().await.unwrap();
    let (second, third) = (test.another_node().await.unwrap(), test.another_node().await.unwrap());
    let (one, two, three) = tokio::join!(Deployment::over(test), Deployment::over(second), Deployment::over(third));
    for other in [&two, &three] {
        assert_eq!((one.foundation, &one.subscription), (other.foundation, &other.subscription));
        other.hsm("of-any-node").await;
        one.show("of-any-node").await.unwrap();
        one.delete("of-any-node").await;
        other.purge("of-any-node").await.unwrap();
        one.run().await;
    }
    for node in [&one, &two, &three] {
        node.assert_nothing_looks_rolled_back().await;
    }
}

#[tokio::test]
async fn a_token_of_one_node_counts_on_the_other_until_its_bearer_is_disabled_there_or_here() {
    let (one, other) = two().await;
    let made = one.directory.create_service_principal(&one.internal(), "app").await.unwrap();
    let token = other.token(&other.known(made.object_id).await).await;
    assert_eq!(one.caller_of(&token).await.unwrap().principal, made.object_id);

    let group = one.directory.create_group(&one.internal(), "group").await.unwrap();
    other.directory.add_member(&other.internal(), group, made.object_id).await.unwrap();
    assert_eq!(one.caller_of(&token).await.unwrap().groups, [group]);
    one.directory.remove_member(&one.internal(), group, made.object_id).await.unwrap();
    assert!(other.caller_of(&token).await.unwrap().groups.is_empty());

    for (writer, reader) in [(&one, &other), (&other, &one)] {
        let set = async |state| writer.directory.set_state(&writer.internal(), made.object_id, state).await.unwrap();
        set(PrincipalState::Disabled).await;
        let refused = reader.caller_of(&token).await.unwrap_err();
        assert!(matches!(refused, OwnTokenError::Token(TokenError::BearerGone)), "{refused:?}");
        set(PrincipalState::Enabled).await;
        reader.caller_of(&token).await.unwrap();
    }
}

#[tokio::test]
async fn signing_keys_are_rotated_once_and_known_to_both() {
    let (one, other) = two().await;
    let administrator = one.known(one.foundation.administrator.object_id).await;
    one.test.clock.advance_days(SIGNING_KEY_DAYS.into());
    let (first, second) = (one.internal(), other.internal());
    let (first, second) = tokio::join!(
        one.directory.rotate_signing_key_if_due(&first),
        other.directory.rotate_signing_key_if_due(&second)
    );
    let made: Vec<_> = [first.unwrap(), second.unwrap()].into_iter().flatten().collect();
    let published = other.directory.public_signing_keys(one.test.clock.now()).await.unwrap();
    assert_eq!(published.len(), 2, "one new key beside the old one");
    assert!(!made.is_empty() && made.iter().all(|kid| *kid == published[1].kid));
    one.test.clock.advance_seconds(PUBLISHED_AHEAD_SECONDS);
    let token = one.token(&administrator).await;
    assert_eq!(ParsedToken::parse(&token).unwrap().header().kid, Some(published[1].kid.clone()));
    other.caller_of(&token).await.unwrap();
}

#[tokio::test]
async fn a_sign_in_on_one_node_goes_on_on_the_other_and_ends_on_both() {
    let (one, other) = two().await;
    one.directory.create_user(&one.internal(), "ada@strongroom.test", "Ada").await.unwrap();
    let user = one.directory.by_user_principal_name("ada@strongroom.test").await.unwrap().unwrap().value.object_id;
    let client = draw_uuid().unwrap();
    let signed_in = one.directory.sign_in(&one.internal(), user, client).await.unwrap();
    let token = signed_in.refresh_token.expose().clone();
    let continued = other.directory.continue_sign_in(&other.internal(), client, &token).await.unwrap();
    let token = continued.refresh_token.unwrap().expose().clone();
    other.directory.revoke_sign_ins(&other.internal(), user).await.unwrap();
    let refused = one.directory.continue_sign_in(&one.internal(), client, &token).await;
    assert!(matches!(refused, Err(IdentityError::RefreshTokenInvalid)));
}

#[tokio::test]
async fn each_node_has_its_own_bootstrap_secret_that_counts_on_both_and_can_be_revoked_on_both() {
    let (one, other) = two().await;
    let ids = one.foundation.administrator;
    let (node_one, node_other) = (one.test.node.to_string(), other.test.node.to_string());
    let first = one.directory.issue_bootstrap_secret(&one.internal(), &node_one).await.unwrap();
    let second = other.directory.issue_bootstrap_secret(&other.internal(), &node_other).await.unwrap();
    assert_ne!(first.secret.expose(), second.secret.expose());
    let listed = other.directory.client_secrets(ids.object_id).await.unwrap();
    let nodes: Vec<_> = listed.iter().map(|secret| secret.node.clone().unwrap()).collect();
    assert_eq!(nodes, [node_one, node_other]);
    let counts = async |node: &Deployment, secret: &str| {
        node.directory.authenticate_with_secret(ids.client_id, secret, node.test.clock.now()).await.is_ok()
    };
    for node in [&one, &other] {
        assert!(counts(node, first.secret.expose()).await && counts(node, second.secret.expose()).await);
    }
    other.directory.revoke_client_secret(&other.internal(), ids.object_id, first.id).await.unwrap();
    for node in [&one, &other] {
        assert!(!counts(node, first.secret.expose()).await && counts(node, second.secret.expose()).await);
    }
}

#[tokio::test]
async fn an_azure_role_that_is_taken_away_on_one_node_is_refused_on_the_other() {
    let (one, other) = two().await;
    let (owner, somebody, root) = (one.administrator(), one.somebody(), one.root());
    for (giver, taker) in [(&one, &other), (&other, &one)] {
        assert!(taker.permit(&somebody, Action::HsmRead, &root).await.is_err());
        let assignment = giver.assign(&owner, somebody.principal, READER, &root).await.unwrap();
        taker.permit(&somebody, Action::HsmRead, &root).await.unwrap();
        let permit = taker.permit(&owner, Action::RoleAssignmentDelete, &root).await.unwrap();
        taker.pools.remove_role_assignment(&taker.request(&owner), &permit, assignment.name).await.unwrap();
        assert!(giver.permit(&somebody, Action::HsmRead, &root).await.is_err());
    }
}

#[tokio::test]
async fn a_write_on_a_right_that_another_node_has_taken_away_is_a_conflict() {
    let (one, other) = two().await;
    let (owner, somebody, root) = (one.administrator(), one.somebody(), one.root());
    let assignment = one.assign(&owner, somebody.principal, OWNER, &root).await.unwrap();
    let id = one.hsm_id("late");
    let stale = one.permit(&somebody, Action::HsmWrite, &id.scope()).await.unwrap();
    let permit = other.permit(&owner, Action::RoleAssignmentDelete, &root).await.unwrap();
    other.pools.remove_role_assignment(&other.request(&owner), &permit, assignment.name).await.unwrap();
    let refused = one.pools.create_hsm(&one.request(&somebody), &stale, &id, one.specification()).await;
    assert!(matches!(refused, Err(strongroom_core::pools::Error::Core(strongroom_core::Error::Conflict))));
}

#[tokio::test]
async fn names_of_hsms_and_vaults_come_and_go_on_different_nodes() {
    let (one, other) = two().await;
    for (maker, remover) in [(&one, &other), (&other, &one), (&one, &one), (&other, &other), (&one, &other)] {
        maker.hsm("comes-and-goes").await;
        let name = maker.hsm_id("comes-and-goes").name;
        remover.test.core.hsm(&name).await.unwrap();
        remover.delete("comes-and-goes").await;
        assert!(matches!(maker.test.core.hsm(&name).await, Err(strongroom_core::Error::HsmNotFound)));
        maker.purge("comes-and-goes").await.unwrap();
        remover.run().await;

        maker.create_vault("vault-comes", maker.vault_specification()).await.unwrap();
        remover.delete_vault("vault-comes").await;
        remover.recover_vault("vault-comes").await.unwrap();
        maker.delete_vault("vault-comes").await;
        remover.purge_vault("vault-comes").await.unwrap();
        maker.pools.sweep_purged_vaults().await.unwrap();
    }
    one.assert_nothing_looks_rolled_back().await;
    other.assert_nothing_looks_rolled_back().await;
}

#[tokio::test]
async fn a_network_rule_that_is_changed_on_one_node_is_the_other_ones_too() {
    use strongroom_core::managed_hsm::PublicNetworkAccess;
    let (one, other) = two().await;
    one.hsm("closes").await;
    let id = one.hsm_id("closes");
    for (writer, reader, access) in
        [(&one, &other, PublicNetworkAccess::Disabled), (&other, &one, PublicNetworkAccess::Enabled)]
    {
        let caller = writer.administrator();
        let permit = writer.permit(&caller, Action::HsmWrite, &id.scope()).await.unwrap();
        let stored = writer.pools.hsm_to_patch(&permit, &id).await.unwrap();
        let change = HsmSpecification { public_network_access: Some(access), ..HsmSpecification::default() };
        writer.pools.update_hsm(&writer.request(&caller), &permit, &stored, change).await.unwrap();
        let seen = reader.test.core.hsm(&id.name).await.unwrap().record().public_network_access;
        assert_eq!(seen, access);
    }
}

#[tokio::test]
async fn operations_that_all_nodes_advance_are_done_once() {
    let (one, other) = two().await;
    let caller = one.administrator();
    for name in ["made-a", "made-b", "made-c"] {
        let id = one.hsm_id(name);
        let permit = one.permit(&caller, Action::HsmWrite, &id.scope()).await.unwrap();
        one.pools.create_hsm(&one.request(&caller), &permit, &id, one.specification()).await.unwrap();
    }
    tokio::join!(one.run(), other.run());
    for name in ["made-a", "made-b", "made-c"] {
        other.show(name).await.unwrap();
        one.delete(name).await;
    }
    one.test.clock.advance_days(8);
    let (begun, begun_too) = tokio::join!(one.pools.begin_due_purges(), other.pools.begin_due_purges());
    begun.and(begun_too).unwrap();
    assert_eq!(one.pools.unfinished_operations().await.unwrap().len(), 3);
    tokio::join!(one.run(), other.run());
    assert!(other.pools.unfinished_operations().await.unwrap().is_empty());
    let count = async |operation: &str| {
        let mut all = 0;
        for node in [&one, &other] {
            let events = node.test.core.barrier().outbox().await.unwrap();
            all += events.iter().filter(|(_, event)| event.operation_name == operation).count();
        }
        all
    };
    assert_eq!((count("ManagedHsmProvision").await, count("ManagedHsmScheduledPurge").await), (3, 3));
}
