//! Everything that decides who can do something, and the answer drawn from it.
//!
//! Besides who holds a right there is who can get it: who may assign roles, write roles, restore a backup or change access
//! policies there, and who can act as somebody that holds it. All of these are holders; each says by which way.

use std::collections::{BTreeMap, BTreeSet};

use super::rights::{Assignment, Kind, Rights, Scope};

/// A principal of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Principal {
    /// Its object id, in lower case.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) enabled: bool,
}

/// An access policy of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) principal: String,
    /// Permissions on keys, in lower case.
    pub(super) keys: Vec<String>,
    /// The client id of the only program through which it holds.
    pub(super) application: Option<String>,
}

/// Who decides about the keys that are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authority {
    /// The local roles of a managed HSM.
    Local(Rights),
    /// Azure RBAC.
    Azure,
    /// The access policies of a vault.
    Policies(Vec<Policy>),
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The action, as roles name it.
    pub(super) action: String,
    pub(super) kind: Kind,
    /// The permission of access policies that means the same.
    pub(super) permission: Option<String>,
    /// Where: within the HSM, or a resource id.
    pub(super) scope: Scope,
}

/// Everything that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) principals: BTreeMap<String, Principal>,
    /// Members by group.
    pub(super) members: BTreeMap<String, Vec<String>>,
    /// The managed identities, and their resource ids.
    pub(super) identities: BTreeMap<String, Scope>,
    /// The administrator of the directory.
    pub(super) administrator: String,
    pub(super) azure: Rights,
    pub(super) authority: Authority,
    /// Whether object ids here are those of the built-in directory, and not of an outside issuer's tenant.
    pub(super) own_tenant: bool,
    /// The vault or resource that is asked about.
    pub(super) resource: Scope,
}

/// One way in which a principal can do it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// It holds the right.
    Holds(Grant),
    /// It may give itself the right.
    Gives(Power, Grant),
    /// It can act as another holder.
    ActsAs(String, Disguise),
}

/// What makes a right obtainable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Power {
    AssignsRoles,
    WritesRoles,
    Restores,
    ChangesPolicies,
}

/// How one comes to act as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disguise {
    /// The administrator of the directory gives credentials to everybody.
    Credentials,
    /// The administrator of the directory puts itself into a group.
    Membership,
    /// A right over a managed identity: an outside identity is let act as it.
    Federation,
}

/// By what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grant {
    /// The name of the assignment; empty for access policies, and for an assignment that is only supposed.
    pub(super) assignment: String,
    /// The name of the role, or `access policy`.
    pub(super) role: String,
    pub(super) scope: String,
    /// The group through which it holds.
    pub(super) group: Option<String>,
}

/// Who can, and by which ways.
pub(super) type Holders = BTreeMap<String, BTreeSet<Way>>;

impl Picture {
    /// Everybody who can do it.
    pub(super) fn holders(&self, question: &Question) -> Holders {
        let mut holders = Holders::new();
        for (principal, grant) in self.holding(question) {
            self.admit(&mut holders, &principal, &grant, Way::Holds);
        }
        for (power, principal, grant) in self.giving(question) {
            self.admit(&mut holders, &principal, &grant, |grant| Way::Gives(power, grant));
        }
        if self.own_tenant {
            self.add_disguises(&mut holders);
        }
        holders
    }

    /// A holder, and if it is a group every member besides.
    fn admit(&self, holders: &mut Holders, principal: &str, grant: &Grant, way: impl Fn(Grant) -> Way) {
        holders.entry(principal.to_owned()).or_default().insert(way(grant.clone()));
        if !self.own_tenant {
            return;
        }
        for member in self.members.get(principal).into_iter().flatten() {
            let through = Grant { group: Some(principal.to_owned()), ..grant.clone() };
            holders.entry(member.clone()).or_default().insert(way(through));
        }
    }

    /// Who holds the right itself.
    fn holding(&self, question: &Question) -> Vec<(String, Grant)> {
        let Question { action, kind, permission, scope } = question;
        match (&self.authority, kind) {
            (Authority::Local(rights), Kind::Data) => granting(rights, Kind::Data, action, scope),
            (Authority::Policies(policies), Kind::Data) => {
                let Some(wanted) = permission else { return Vec::new() };
                let allows = |policy: &&Policy| policy.keys.iter().any(|key| key == wanted || key == "all");
                policies.iter().filter(allows).map(|policy| self.policy_grant(policy)).collect()
            }
            (_, kind) => granting(&self.azure, *kind, action, scope),
        }
    }

    fn policy_grant(&self, policy: &Policy) -> (String, Grant) {
        let role = match &policy.application {
            None => "access policy".to_owned(),
            Some(application) => format!("access policy, through application {application}"),
        };
        let scope = self.resource.as_str().to_owned();
        (policy.principal.clone(), Grant { assignment: String::new(), role, scope, group: None })
    }

    /// Who may give the right to itself.
    fn giving(&self, question: &Question) -> Vec<(Power, String, Grant)> {
        let with = |power, found: Vec<(String, Grant)>| {
            found.into_iter().map(move |(principal, grant)| (power, principal, grant)).collect::<Vec<_>>()
        };
        let scope = &question.scope;
        match (&self.authority, question.kind) {
            (Authority::Local(rights), Kind::Data) => {
                let root = Scope::new("/");
                let may = |action: &str, scope: &Scope| granting(rights, Kind::Data, action, scope);
                [
                    with(Power::AssignsRoles, may(LOCAL_ASSIGN, scope)),
                    with(Power::WritesRoles, may(LOCAL_DEFINE, &root)),
                    with(Power::Restores, may(LOCAL_RESTORE, &root)),
                ]
                .concat()
            }
            (Authority::Policies(_), Kind::Data) => {
                let vault = &self.resource;
                let may = |action: &str| granting(&self.azure, Kind::Management, action, vault);
                // The last two can give themselves the right to change the vault.
                [
                    with(Power::ChangesPolicies, may(VAULT_WRITE)),
                    with(Power::ChangesPolicies, may(VAULT_POLICIES_WRITE)),
                    with(Power::AssignsRoles, self.assigning(Kind::Management, vault)),
                    with(Power::WritesRoles, may(AZURE_DEFINE)),
                ]
                .concat()
            }
            (_, kind) => {
                let mut found = with(Power::AssignsRoles, self.assigning(kind, scope));
                found.extend(with(Power::WritesRoles, granting(&self.azure, Kind::Management, AZURE_DEFINE, scope)));
                // Under Azure RBAC too: who may change the vault can turn back to policies, but needs roles for it.
                found
            }
        }
    }

    /// Who may assign Azure roles that allow actions of a kind.
    fn assigning(&self, kind: Kind, scope: &Scope) -> Vec<(String, Grant)> {
        let all = self.azure.allowing(Kind::Management, AZURE_ASSIGN, scope);
        // That one may assign the roles over keys of vaults alone.
        let all = all.filter(|(_, role)| kind == Kind::Data || role.id != VAULT_DATA_ACCESS_ADMINISTRATOR);
        all.map(|(assignment, role)| (assignment.principal.clone(), grant(assignment, &role.name))).collect()
    }

    /// Who can act as a holder is one, and so is who can act as that one.
    fn add_disguises(&self, holders: &mut Holders) {
        let mut looked_at = BTreeSet::new();
        while let Some(next) = holders.keys().find(|id| !looked_at.contains(*id)).cloned() {
            for (actor, disguise) in self.actors(&next) {
                if actor != next {
                    holders.entry(actor).or_default().insert(Way::ActsAs(next.clone(), disguise));
                }
            }
            looked_at.insert(next);
        }
    }

    /// Who can act as a principal.
    fn actors(&self, id: &str) -> Vec<(String, Disguise)> {
        let administrator = |disguise| (self.administrator.clone(), disguise);
        if let Some(identity) = self.identities.get(id) {
            let federating = granting(&self.azure, Kind::Management, FEDERATE, identity);
            // Who can get that right has it.
            let assigning = self.assigning(Kind::Management, identity);
            let defining = granting(&self.azure, Kind::Management, AZURE_DEFINE, identity);
            let all = federating.into_iter().chain(assigning).chain(defining).map(|(principal, _)| principal);
            return all
                .flat_map(|principal| self.with_members(principal))
                .map(|one| (one, Disguise::Federation))
                .collect();
        }
        match self.principals.get(id) {
            Some(principal) if principal.kind == GROUP => vec![administrator(Disguise::Membership)],
            Some(_) => vec![administrator(Disguise::Credentials)],
            None => Vec::new(),
        }
    }

    fn with_members(&self, principal: String) -> Vec<String> {
        let members = self.members.get(&principal).cloned().unwrap_or_default();
        std::iter::once(principal).chain(members).collect()
    }
}

fn granting(rights: &Rights, kind: Kind, action: &str, scope: &Scope) -> Vec<(String, Grant)> {
    let all = rights.allowing(kind, action, scope);
    all.map(|(assignment, role)| (assignment.principal.clone(), grant(assignment, &role.name))).collect()
}

fn grant(assignment: &Assignment, role: &str) -> Grant {
    Grant {
        assignment: assignment.name.clone(),
        role: role.to_owned(),
        scope: assignment.scope.as_str().to_owned(),
        group: None,
    }
}

impl Power {
    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::AssignsRoles => "may assign roles",
            Self::WritesRoles => "may change what roles allow",
            Self::Restores => "may restore a backup, with its assignments",
            Self::ChangesPolicies => "may change access policies",
        }
    }
}

impl Disguise {
    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Credentials => "administers the directory and can make credentials of",
            Self::Membership => "administers the directory and can join",
            Self::Federation => "may let an outside identity act as",
        }
    }
}

/// The kind of a group.
pub(super) const GROUP: &str = "group";
const LOCAL_ASSIGN: &str = "Microsoft.KeyVault/managedHsm/roleAssignments/write/action";
const LOCAL_DEFINE: &str = "Microsoft.KeyVault/managedHsm/roleDefinitions/write/action";
const LOCAL_RESTORE: &str = "Microsoft.KeyVault/managedHsm/restore/start/action";
const AZURE_ASSIGN: &str = "Microsoft.Authorization/roleAssignments/write";
const AZURE_DEFINE: &str = "Microsoft.Authorization/roleDefinitions/write";
const VAULT_WRITE: &str = "Microsoft.KeyVault/vaults/write";
const VAULT_POLICIES_WRITE: &str = "Microsoft.KeyVault/vaults/accessPolicies/write";
const FEDERATE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write";
/// Key Vault Data Access Administrator.
const VAULT_DATA_ACCESS_ADMINISTRATOR: &str = "8b54135c-b56d-4d72-a534-26097cfdc8d8";

#[cfg(test)]
mod tests;
