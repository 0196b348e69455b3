//! `strongroom who-can`: who can do something with a key or a resource, and by which right; and what somebody can do.
//!
//! It reads roles, assignments, access policies, groups and identities through the planes, as the principal of
//! `client.env`, and draws the conclusions itself: a client can. It counts who may give itself a right as one who has it
//! (protocols.md §8). Who runs the machine is not counted: see the threat model.
//!
//! Read first: `picture::Picture::holders`.

mod answer;
mod picture;
mod reading;
mod rights;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use strongroom_types::{DataAction, KeyPermission};

use crate::connection::Connection;
use picture::{Authority, Picture, Question};
use reading::{Reading, Subject};
use rights::{Assignment, Kind, Rights, Scope};

/// `who-can`.
#[derive(Debug, Args)]
pub struct WhoCan {
    /// What is to be done: the name of an action, such as sign or Microsoft.KeyVault/managedHSMs/delete; everything if it is
    /// left out.
    #[arg(value_name = "ACTION")]
    action: Option<String>,
    /// The managed HSM.
    #[arg(long, value_name = "NAME")]
    hsm: Option<String>,
    /// The vault.
    #[arg(long, value_name = "NAME", conflicts_with = "hsm")]
    vault: Option<String>,
    /// A key in it [default: all keys, and each with an assignment of its own].
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// A resource id, for actions of the management plane [default: the subscription].
    #[arg(long, value_name = "ID", conflicts_with_all = ["hsm", "vault", "key"])]
    scope: Option<String>,
    /// Show what this one can do, by name, client id or object id.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Suppose that this role were assigned.
    #[arg(long, num_args = 3, value_names = ["ROLE", "PRINCIPAL", "SCOPE"])]
    if_added: Vec<String>,
    /// Suppose that this assignment, by the GUID that names it, were gone.
    #[arg(long, value_name = "ASSIGNMENT")]
    if_removed: Vec<String>,
    /// The data folder of the running server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks, and prints the answer.
///
/// # Errors
/// If no server runs on the folder, if something may not be read, or if a name means nothing.
pub async fn run(arguments: WhoCan, default_data_dir: Option<PathBuf>) -> Result<()> {
    let folder = arguments.data_dir.clone().or(default_data_dir);
    let connection = Connection::open(&folder.context("no data folder is set: use --data-dir DIR")?)?;
    let subject = arguments.subject(&connection)?;
    let Reading { picture, scope } = reading::read(&connection, &subject).await?;
    let supposed = arguments.supposed(&picture)?;
    let only = arguments.principal.as_deref().map(|name| principal_called(&picture, name)).transpose()?;
    let pictures: Vec<_> = std::iter::once(&picture).chain(&supposed).collect();
    let scopes = scopes(&scope, &pictures);
    let questions = match &arguments.action {
        Some(action) => asked(&subject, action, &scopes)?,
        None => everything(&subject, &scopes)?,
    };
    let answers = questions.into_iter().map(|question| answer::Answer::of(&picture, supposed.as_ref(), question));
    let mut answers: Vec<_> = answers.collect();
    if arguments.action.is_some() {
        answers = answer::keep_what_differs(answers);
    }
    answer::print(&picture, &answers, only.as_deref(), arguments.json)
}

impl WhoCan {
    fn subject(&self, connection: &Connection) -> Result<Subject> {
        Ok(match (&self.hsm, &self.vault) {
            (Some(hsm), _) => Subject::Hsm(hsm.clone(), self.key.clone()),
            (None, Some(vault)) => Subject::Vault(vault.clone(), self.key.clone()),
            (None, None) if self.key.is_some() => bail!("--key needs --hsm or --vault"),
            (None, None) => Subject::Resource(match &self.scope {
                Some(scope) => scope.clone(),
                None => format!("/subscriptions/{}", connection.environment.get("STRONGROOM_SUBSCRIPTION_ID")?),
            }),
        })
    }

    /// The picture as it would be; `None` if nothing is supposed.
    fn supposed(&self, picture: &Picture) -> Result<Option<Picture>> {
        if self.if_added.is_empty() && self.if_removed.is_empty() {
            return Ok(None);
        }
        let mut supposed = picture.clone();
        let rights = match &mut supposed.authority {
            Authority::Local(rights) => rights,
            Authority::Azure => &mut supposed.azure,
            Authority::Policies(_) => bail!("the vault decides by access policies, not by roles"),
        };
        for added in self.if_added.chunks_exact(3) {
            let [role, principal, scope] = added else { continue };
            add(rights, picture, role, principal, scope)?;
        }
        for name in &self.if_removed {
            let before = rights.assignments.len();
            rights.assignments.retain(|known| !known.name.eq_ignore_ascii_case(name));
            if rights.assignments.len() == before {
                bail!("there is no role assignment {name}");
            }
        }
        Ok(Some(supposed))
    }
}

fn add(rights: &mut Rights, picture: &Picture, role: &str, principal: &str, scope: &str) -> Result<()> {
    let role = rights.role_called(role).with_context(|| format!("there is no role {role}"))?.id.clone();
    let principal = principal_called(picture, principal)?;
    rights.assignments.push(Assignment { name: String::new(), principal, role, scope: Scope::new(scope) });
    Ok(())
}

/// The object id of a principal that a person names. An object id is taken as it is: it may be an outside issuer's.
fn principal_called(picture: &Picture, name: &str) -> Result<String> {
    if name.parse::<uuid::Uuid>().is_ok() {
        return Ok(name.to_lowercase());
    }
    let is = |known: &&picture::Principal| {
        let local = known.name.split_once('@').map(|(local, _)| local);
        known.name.eq_ignore_ascii_case(name) || local.is_some_and(|local| local.eq_ignore_ascii_case(name))
    };
    let mut found = picture.principals.values().filter(is);
    match (found.next(), found.count()) {
        (None, _) => bail!("the directory has nobody called {name}"),
        (Some(one), 0) => Ok(one.id.clone()),
        (Some(_), more) => bail!("{} principals are called {name}: use the object id", more + 1),
    }
}

fn question(subject: &Subject, action: &str, scope: &Scope) -> Result<Question> {
    match subject {
        Subject::Hsm(..) => local_question(local_action(action)?, scope),
        Subject::Vault(..) => {
            let permission = vault_permission(action)?;
            Ok(vault_question(permission, scope))
        }
        Subject::Resource(_) => {
            Ok(Question { action: action.to_owned(), kind: Kind::Management, permission: None, scope: scope.clone() })
        }
    }
}

/// The action at the scope, and at every scope below it that an assignment names: a role at one key is not left out.
fn asked(subject: &Subject, action: &str, scopes: &[Scope]) -> Result<Vec<Question>> {
    Ok(once(scopes.iter().map(|scope| question(subject, action, scope)).collect::<Result<_>>()?))
}

/// What an HSM's own affairs ask for is the same question at every scope: each is asked once.
fn once(questions: Vec<Question>) -> Vec<Question> {
    let mut seen = BTreeSet::new();
    questions.into_iter().filter(|one| seen.insert((one.action.clone(), one.scope.clone()))).collect()
}

/// The scope, and then every scope below it that an assignment names.
fn scopes(scope: &Scope, pictures: &[&Picture]) -> Vec<Scope> {
    let assignments = pictures.iter().flat_map(|picture| match &picture.authority {
        Authority::Local(rights) => rights.assignments.as_slice(),
        Authority::Azure => picture.azure.assignments.as_slice(),
        Authority::Policies(_) => &[],
    });
    // Scopes are the same whatever the case of their letters.
    let below = assignments.map(|known| &known.scope).filter(|known| scope.covers(known) && !known.covers(scope));
    let mut below: Vec<_> = below.cloned().collect();
    below.sort();
    below.dedup_by(|one, other| one.covers(other) && other.covers(one));
    std::iter::once(scope.clone()).chain(below).collect()
}

/// Each action that there is, at each scope.
fn everything(subject: &Subject, scopes: &[Scope]) -> Result<Vec<Question>> {
    let at_scope = |scope: &Scope| match subject {
        Subject::Hsm(..) => {
            let actions = DataAction::ALL.iter();
            actions.map(|action| local_question(*action, scope)).collect::<Result<Vec<_>>>()
        }
        Subject::Vault(..) => {
            let all = KeyPermission::ALL.iter().filter(|permission| **permission != KeyPermission::All);
            Ok(all.map(|permission| vault_question(*permission, scope)).collect())
        }
        Subject::Resource(_) => bail!("name an action: those of resources have no end"),
    };
    Ok(once(scopes.iter().map(at_scope).collect::<Result<Vec<_>>>()?.concat()))
}

/// What an HSM's own affairs ask for is asked for at its root.
fn local_question(action: DataAction, scope: &Scope) -> Result<Question> {
    let name = action.as_str();
    let is_of_keys =
        name.starts_with(&format!("{LOCAL_PREFIX}keys/")) || name.starts_with(&format!("{LOCAL_PREFIX}role"));
    let scope = if is_of_keys || action == DataAction::Rng { scope.clone() } else { Scope::new("/") };
    Ok(Question { action: name.to_owned(), kind: Kind::Data, permission: None, scope })
}

fn vault_question(permission: KeyPermission, scope: &Scope) -> Question {
    Question {
        action: permission.data_action().to_owned(),
        kind: Kind::Data,
        permission: Some(permission.as_str().to_owned()),
        scope: scope.clone(),
    }
}

/// `sign`, `keys/sign`, `keys/sign/action` or the whole name.
fn local_action(name: &str) -> Result<DataAction> {
    let short = |action: &DataAction| {
        let whole = action.as_str();
        let without_prefix = whole.strip_prefix(LOCAL_PREFIX).unwrap_or(whole);
        let bare = without_prefix.strip_suffix("/action").unwrap_or(without_prefix);
        let last = bare.strip_prefix("keys/").unwrap_or(bare);
        [whole, without_prefix, bare, last].iter().any(|spelling| spelling.eq_ignore_ascii_case(name))
    };
    let found = DataAction::ALL.iter().find(|action| short(action));
    found.copied().with_context(|| format!("a managed HSM has no action {name}"))
}

/// The name of a permission, `sign`, or of the data action that belongs to it.
fn vault_permission(name: &str) -> Result<KeyPermission> {
    let short = |permission: &KeyPermission| {
        let whole = permission.data_action();
        let without_prefix = whole.strip_prefix(VAULT_PREFIX).unwrap_or(whole);
        let bare = without_prefix.strip_suffix("/action").unwrap_or(without_prefix);
        let spellings = [permission.as_str(), whole, without_prefix, bare];
        spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(name))
    };
    let mut all = KeyPermission::ALL.iter().filter(|permission| **permission != KeyPermission::All);
    all.find(|permission| short(permission)).copied().with_context(|| format!("keys of a vault have no action {name}"))
}

const LOCAL_PREFIX: &str = "Microsoft.KeyVault/managedHsm/";
const VAULT_PREFIX: &str = "Microsoft.KeyVault/vaults/keys/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_a_short_name() {
        for name in ["sign", "keys/sign", "KEYS/sign/action", "Microsoft.KeyVault/managedHsm/keys/sign/action"] {
            assert_eq!(local_action(name).unwrap(), DataAction::KeysSign, "{name}");
        }
        assert_eq!(local_action("securitydomain/download").unwrap(), DataAction::SecurityDomainDownload);
        assert_eq!(local_action("restore/start").unwrap(), DataAction::RestoreStart);
        assert!(local_action("fly").is_err());
        for name in ["wrapkey", "wrap", "Microsoft.KeyVault/vaults/keys/wrap/action"] {
            assert_eq!(vault_permission(name).unwrap(), KeyPermission::WrapKey, "{name}");
        }
        assert!(vault_permission("all").is_err());
    }

    #[test]
    fn a_role_at_one_key_is_asked_about_without_naming_the_key() {
        let assigned = |scope: &str| Assignment {
            name: String::new(),
            principal: "ada".to_owned(),
            role: "signer".to_owned(),
            scope: Scope::new(scope),
        };
        let local = |scopes: &[&str]| {
            let assignments = scopes.iter().map(|scope| assigned(scope)).collect();
            Picture {
                principals: Default::default(),
                members: Default::default(),
                identities: Default::default(),
                administrator: "root".to_owned(),
                azure: Rights::default(),
                authority: Authority::Local(Rights { roles: Vec::new(), assignments }),
                own_tenant: true,
                resource: Scope::new("/subscriptions/s/hsm"),
            }
        };
        let now = local(&["/", "/keys", "/keys/beta", "/KEYS/Beta", "/keys/alpha"]);
        let supposed = local(&["/keys/gamma"]);
        let scopes = scopes(&Scope::new("/keys"), &[&now, &supposed]);
        let subject = Subject::Hsm("hsm".to_owned(), None);
        let at = |action: &str| -> Vec<String> {
            let questions = asked(&subject, action, &scopes).unwrap();
            questions.iter().map(|question| question.scope.as_str().to_lowercase()).collect()
        };
        assert_eq!(at("sign"), ["/keys", "/keys/alpha", "/keys/beta", "/keys/gamma"]);
        assert_eq!(at("restore/start"), ["/"], "it is asked for at the root alone, and once");
        let all = everything(&subject, &scopes).unwrap();
        let how_often = |action: DataAction| all.iter().filter(|question| question.action == action.as_str()).count();
        assert_eq!((how_often(DataAction::KeysSign), how_often(DataAction::RestoreStart)), (4, 1));
    }

    #[test]
    fn every_action_has_a_name_of_its_own() {
        for action in DataAction::ALL {
            assert_eq!(local_action(action.as_str()).unwrap(), *action);
        }
    }
}
