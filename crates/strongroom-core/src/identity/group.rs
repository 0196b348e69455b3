//! Groups and membership.

use strongroom_types::PrincipalId;

use crate::identity::directory::repeat_on_conflict;
use crate::identity::principal::below;
use crate::identity::record::{Group, PrincipalKind};
use crate::identity::{Directory, IdentityError, Result};
use crate::request::Request;

impl Directory {
    /// Makes an empty group.
    ///
    /// # Errors
    /// [`IdentityError::BadParameter`] for a name that is empty or too long.
    pub async fn create_group(&self, request: &Request, display_name: &str) -> Result<PrincipalId> {
        self.create_nicknamed_group(request, display_name, None).await
    }

    /// As [`Directory::create_group`], with a `mailNickname`.
    ///
    /// # Errors
    /// [`IdentityError::BadParameter`] for a name that is empty or too long.
    pub async fn create_nicknamed_group(
        &self,
        request: &Request,
        display_name: &str,
        mail_nickname: Option<&str>,
    ) -> Result<PrincipalId> {
        let printable =
            |text: &str| (1..=NICKNAME_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if !mail_nickname.is_none_or(printable) {
            return Err(IdentityError::BadParameter {
                parameter: "mailNickname",
                problem: "1 to 64 printable ASCII characters without blanks",
            });
        }
        let group = Group { members: Vec::new(), mail_nickname: mail_nickname.map(str::to_owned) };
        let group = self.new_principal(display_name, PrincipalKind::Group(group))?;
        let mut transaction = self.barrier().transaction();
        self.stage_principal(&mut transaction, &group)?;
        transaction.detail(format!("group {}", group.object_id)).commit(request).await?;
        Ok(group.object_id)
    }

    /// Makes a principal a member of a group; that it is one already is no error. Groups have no groups as members.
    ///
    /// # Errors
    /// [`IdentityError::LimitReached`], [`IdentityError::PrincipalNotFound`].
    pub async fn add_member(&self, request: &Request, group: PrincipalId, member: PrincipalId) -> Result<()> {
        repeat_on_conflict(|| self.change_membership(request, group, member, Membership::Member)).await
    }

    /// Ends a membership, at once and for tokens issued before too; that there is none is no error.
    ///
    /// # Errors
    /// [`IdentityError::PrincipalNotFound`].
    pub async fn remove_member(&self, request: &Request, group: PrincipalId, member: PrincipalId) -> Result<()> {
        repeat_on_conflict(|| self.change_membership(request, group, member, Membership::None)).await
    }

    async fn change_membership(
        &self,
        request: &Request,
        group: PrincipalId,
        member: PrincipalId,
        membership: Membership,
    ) -> Result<()> {
        let (stored_group, stored_member) = (self.existing(group).await?, self.existing(member).await?);
        let (mut changed_group, mut changed_member) = (stored_group.value.clone(), stored_member.value.clone());
        let PrincipalKind::Group(record) = &mut changed_group.kind else {
            return Err(IdentityError::PrincipalNotFound);
        };
        if changed_member.group().is_some() {
            return Err(IdentityError::BadParameter { parameter: "members", problem: "a group cannot be a member" });
        }
        record.members.retain(|known| *known != member);
        changed_member.groups.retain(|known| *known != group);
        if membership == Membership::Member {
            below(record.members.len(), MEMBERS_MAX, "members of a group")?;
            below(changed_member.groups.len(), GROUPS_MAX, "groups of a principal")?;
            record.members.push(member);
            changed_member.groups.push(group);
        }
        let mut transaction = self.barrier().transaction();
        let sealer = self.barrier().deployment();
        transaction.replace(sealer, &stored_group, &changed_group)?;
        transaction.replace(sealer, &stored_member, &changed_member)?;
        transaction.detail(format!("group {group} member {member}")).commit(request).await?;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Membership {
    Member,
    None,
}

/// As Graph limits `mailNickname`.
const NICKNAME_MAX: usize = 64;
const MEMBERS_MAX: usize = 1000;
/// So many groups Entra puts into a token before it answers with a reference instead.
const GROUPS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use crate::identity::test_support::{directory, request};

    use super::*;

    #[tokio::test]
    async fn membership_is_written_on_both_sides_and_taken_back_on_both() {
        let (directory, foundation) = directory().await;
        let member = foundation.administrator.object_id;
        let group = directory.create_group(&request(), "operators").await.unwrap();
        for _ in 0..2 {
            directory.add_member(&request(), group, member).await.unwrap();
        }
        assert_eq!(directory.existing(member).await.unwrap().value.groups, [group]);
        assert_eq!(directory.existing(group).await.unwrap().value.group().unwrap().members, [member]);
        directory.remove_member(&request(), group, member).await.unwrap();
        assert!(directory.existing(member).await.unwrap().value.groups.is_empty());
        assert!(directory.existing(group).await.unwrap().value.group().unwrap().members.is_empty());
    }

    #[tokio::test]
    async fn a_group_with_members_cannot_be_removed() {
        let (directory, _) = directory().await;
        let group = directory.create_group(&request(), "operators").await.unwrap();
        let app = directory.create_service_principal(&request(), "app").await.unwrap().object_id;
        directory.add_member(&request(), group, app).await.unwrap();
        assert!(matches!(directory.remove(&request(), group).await, Err(IdentityError::GroupNotEmpty)));
        directory.remove(&request(), app).await.unwrap();
        directory.remove(&request(), group).await.unwrap();
        assert!(directory.principal(group).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn groups_have_no_groups_as_members_and_programs_no_members() {
        let (directory, foundation) = directory().await;
        let one = directory.create_group(&request(), "one").await.unwrap();
        let two = directory.create_group(&request(), "two").await.unwrap();
        assert!(matches!(directory.add_member(&request(), one, two).await, Err(IdentityError::BadParameter { .. })));
        let program = foundation.machine.object_id;
        assert!(matches!(
            directory.add_member(&request(), program, foundation.administrator.object_id).await,
            Err(IdentityError::PrincipalNotFound)
        ));
    }
}
