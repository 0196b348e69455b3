//! Federated credentials: outside identities that may act as a program (workload identity).

use strongroom_types::PrincipalId;
use uuid::Uuid;

use crate::barrier::Transaction;
use crate::identity::directory::repeat_on_conflict;
use crate::identity::principal::below;
use crate::identity::record::{FederatedCredential, Principal, PrincipalKind};
use crate::identity::{Directory, IdentityError, Result};
use crate::request::Request;

/// A federated credential to be made or changed, its parts checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederatedSpecification {
    name: String,
    issuer: String,
    subject: String,
    audience: String,
    description: Option<String>,
}

/// What became of a federated credential that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFederated {
    /// As it is now.
    pub credential: FederatedCredential,
    /// Whether there was none of that name.
    pub is_new: bool,
}

impl FederatedSpecification {
    /// What a good name looks like.
    pub const NAME_EXPECTED: &'static str =
        "3 to 120 characters a-z, A-Z, 0-9, - and _, beginning with a letter or a digit";

    /// Whether a text is as [`Self::NAME_EXPECTED`] says.
    pub fn is_name(text: &str) -> bool {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let first = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        (3..=120).contains(&text.len()) && first && text.bytes().all(letters)
    }

    /// Checks the parts. There is exactly one audience, as in Azure.
    ///
    /// # Errors
    /// [`IdentityError::BadParameter`].
    pub fn new(name: &str, issuer: &str, subject: &str, audiences: &[String]) -> Result<Self> {
        let bad = |parameter, problem| Err(IdentityError::BadParameter { parameter, problem });
        if !Self::is_name(name) {
            return bad("name", Self::NAME_EXPECTED);
        }
        if !issuer.starts_with("https://") || !is_text(issuer) {
            return bad("issuer", "an https URL of at most 600 characters is expected");
        }
        if !is_text(subject) {
            return bad("subject", "1 to 600 characters are expected, none of them a control character");
        }
        match audiences {
            [audience] if is_text(audience) => Ok(Self {
                name: name.to_owned(),
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
                audience: audience.clone(),
                description: None,
            }),
            _ => bad("audiences", "exactly one audience of 1 to 600 characters is expected"),
        }
    }

    /// With a text for people.
    ///
    /// # Errors
    /// [`IdentityError::BadParameter`] for one that is too long.
    pub fn described(self, description: Option<String>) -> Result<Self> {
        if description.as_ref().is_some_and(|text| text.chars().count() > TEXT_MAX) {
            return Err(IdentityError::BadParameter { parameter: "description", problem: "at most 600 characters" });
        }
        Ok(Self { description, ..self })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Directory {
    /// Makes a federated credential of a service principal or a managed identity, or changes the one of that name.
    ///
    /// # Errors
    /// As [`Directory::stage_federated`].
    pub async fn put_federated(
        &self,
        request: &Request,
        object_id: PrincipalId,
        specification: &FederatedSpecification,
    ) -> Result<WrittenFederated> {
        repeat_on_conflict(|| async move {
            let mut transaction = self.barrier().transaction().detail(detail(object_id, &specification.name));
            let written = self.stage_federated(&mut transaction, object_id, specification).await?;
            transaction.commit(request).await?;
            Ok(written)
        })
        .await
    }

    /// Adds the making or changing of a federated credential to a commit.
    ///
    /// # Errors
    /// [`IdentityError::LimitReached`]; [`IdentityError::NameTaken`] if another credential of the same principal has the
    /// same issuer and subject; [`IdentityError::PrincipalNotFound`] if there is no such program.
    pub async fn stage_federated(
        &self,
        transaction: &mut Transaction<'_>,
        object_id: PrincipalId,
        specification: &FederatedSpecification,
    ) -> Result<WrittenFederated> {
        let FederatedSpecification { name, issuer, subject, audience, description } = specification.clone();
        let stored = self.existing(object_id).await?;
        let mut principal = stored.value.clone();
        let credentials = federated_of(&mut principal)?;
        let at = credentials.iter().position(|known| known.is_named(&name));
        let same = |known: &FederatedCredential| known.issuer == issuer && known.subject == subject;
        if credentials.iter().any(|known| same(known) && !known.is_named(&name)) {
            return Err(IdentityError::NameTaken { what: "a federated credential with this issuer and subject" });
        }
        let known = at.and_then(|at| credentials.get(at));
        let (id, name) = match known {
            Some(known) => (known.id, known.name.clone()),
            None => (self.draw_uuid()?, name),
        };
        let credential = FederatedCredential { id, name, issuer, subject, audience, description };
        match at.and_then(|at| credentials.get_mut(at)) {
            Some(known) => *known = credential.clone(),
            None => {
                below(credentials.len(), FEDERATED_MAX, "federated credentials of a principal")?;
                credentials.push(credential.clone());
            }
        }
        transaction.replace(self.barrier().deployment(), &stored, &principal)?;
        Ok(WrittenFederated { credential, is_new: at.is_none() })
    }

    /// Ends a federated credential, named by its name or its id. `false`: there was none.
    ///
    /// # Errors
    /// [`IdentityError::PrincipalNotFound`].
    pub async fn remove_federated(&self, request: &Request, object_id: PrincipalId, key: &str) -> Result<bool> {
        repeat_on_conflict(|| async move {
            let mut transaction = self.barrier().transaction().detail(detail(object_id, key));
            let removed = self.stage_federated_removal(&mut transaction, object_id, key).await?;
            if removed {
                transaction.commit(request).await?;
            }
            Ok(removed)
        })
        .await
    }

    /// Adds the end of a federated credential to a commit. `false`: there was none, and nothing was added.
    ///
    /// # Errors
    /// [`IdentityError::PrincipalNotFound`].
    pub async fn stage_federated_removal(
        &self,
        transaction: &mut Transaction<'_>,
        object_id: PrincipalId,
        key: &str,
    ) -> Result<bool> {
        let stored = self.existing(object_id).await?;
        let mut principal = stored.value.clone();
        let credentials = federated_of(&mut principal)?;
        let before = credentials.len();
        credentials.retain(|known| !known.is_called(key));
        if credentials.len() == before {
            return Ok(false);
        }
        transaction.replace(self.barrier().deployment(), &stored, &principal)?;
        Ok(true)
    }

    /// The program with a client id, enabled or not: a service principal or a managed identity.
    ///
    /// # Errors
    /// [`IdentityError::ClientNotFound`].
    pub async fn program(&self, client_id: Uuid) -> Result<Principal> {
        Ok(self.by_client_id(client_id).await?.ok_or(IdentityError::ClientNotFound)?.value)
    }
}

fn detail(object_id: PrincipalId, key: &str) -> String {
    let key: String = key.chars().filter(|c| !c.is_control()).take(NAME_SHOWN_MAX).collect();
    format!("principal {object_id} federated credential {key}")
}

fn federated_of(principal: &mut Principal) -> Result<&mut Vec<FederatedCredential>> {
    match &mut principal.kind {
        PrincipalKind::ServicePrincipal(program) => Ok(&mut program.federated),
        PrincipalKind::ManagedIdentity(identity) => Ok(&mut identity.federated),
        PrincipalKind::User(_) | PrincipalKind::Group(_) => Err(IdentityError::PrincipalNotFound),
    }
}

fn is_text(text: &str) -> bool {
    (1..=TEXT_MAX).contains(&text.chars().count()) && !text.contains(char::is_control)
}

/// As in Azure.
const FEDERATED_MAX: usize = 20;
/// As in Azure: issuer, subject, audience and description.
const TEXT_MAX: usize = 600;
/// Characters of a name in the audit log.
const NAME_SHOWN_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use crate::identity::test_support::{directory, request};

    use super::*;

    fn specification(name: &str, subject: &str) -> FederatedSpecification {
        FederatedSpecification::new(name, "https://issuer.example", subject, &["api://a".to_owned()]).unwrap()
    }

    #[tokio::test]
    async fn a_credential_is_made_changed_by_its_name_and_ended_by_name_or_id() {
        let (directory, foundation) = directory().await;
        let app = directory.create_service_principal(&request(), "app").await.unwrap().object_id;
        for principal in [app, foundation.machine.object_id] {
            let made = directory.put_federated(&request(), principal, &specification("One", "a")).await.unwrap();
            assert!(made.is_new);
            let changed = directory.put_federated(&request(), principal, &specification("one", "b")).await.unwrap();
            assert!(!changed.is_new);
            assert_eq!((changed.credential.id, changed.credential.name.as_str()), (made.credential.id, "One"));
            let held = directory.existing(principal).await.unwrap().value.federated().to_vec();
            assert_eq!(held.first(), Some(&changed.credential));
            assert!(directory.remove_federated(&request(), principal, "ONE").await.unwrap());
            assert!(!directory.remove_federated(&request(), principal, "one").await.unwrap());
            let again = directory.put_federated(&request(), principal, &specification("two", "b")).await.unwrap();
            assert!(directory.remove_federated(&request(), principal, &again.credential.id.to_string()).await.unwrap());
            assert!(directory.existing(principal).await.unwrap().value.federated().is_empty());
        }
    }

    #[tokio::test]
    async fn a_principal_has_at_most_twenty_and_no_two_for_the_same_outsider() {
        let (directory, _) = directory().await;
        let app = directory.create_service_principal(&request(), "app").await.unwrap().object_id;
        let put = async |name: &str, subject: &str| {
            directory.put_federated(&request(), app, &specification(name, subject)).await
        };
        for number in 0..FEDERATED_MAX {
            put(&format!("fic-{number}"), &number.to_string()).await.unwrap();
        }
        put("fic-0", "0").await.unwrap();
        let beyond = put("beyond", "beyond").await;
        assert!(matches!(beyond, Err(IdentityError::LimitReached { limit: FEDERATED_MAX, .. })));
        assert!(matches!(put("fic-1", "0").await, Err(IdentityError::NameTaken { .. })));
    }

    #[tokio::test]
    async fn people_and_groups_have_none() {
        let (directory, _) = directory().await;
        let group = directory.create_group(&request(), "g").await.unwrap();
        let put = directory.put_federated(&request(), group, &specification("one", "a")).await;
        assert!(matches!(put, Err(IdentityError::PrincipalNotFound)));
    }

    #[test]
    fn names_issuers_subjects_and_audiences_are_checked() {
        let (issuer, one, long) = ("https://i.example", vec!["a".to_owned()], "x".repeat(601));
        let two = vec!["a".to_owned(), "b".to_owned()];
        for (name, issuer, subject, audiences, parameter) in [
            ("ab", issuer, "s", &one, "name"),
            ("-abc", issuer, "s", &one, "name"),
            ("a/bc", issuer, "s", &one, "name"),
            ("abc", "http://i.example", "s", &one, "issuer"),
            ("abc", "https://i\n", "s", &one, "issuer"),
            ("abc", issuer, "", &one, "subject"),
            ("abc", issuer, long.as_str(), &one, "subject"),
            ("abc", issuer, "s", &two, "audiences"),
            ("abc", issuer, "s", &Vec::new(), "audiences"),
        ] {
            match FederatedSpecification::new(name, issuer, subject, audiences) {
                Err(IdentityError::BadParameter { parameter: named, .. }) => assert_eq!(named, parameter),
                other => panic!("{parameter}: {other:?}"),
            }
        }
        let good = FederatedSpecification::new("abc", issuer, "s", &one).unwrap();
        assert!(good.described(Some("x".repeat(601))).is_err());
    }
}
