//! The full restore: the whole backup is checked, a new generation is written, and one commit of the guard switches to it.

use std::collections::BTreeSet;

use strongroom_types::{KeyVersion, Scope};

use crate::audit::DETAIL_MAX;
use crate::backup::check::Check;
use crate::backup::job::{JobRecord, Outcome, Progress};
use crate::backup::manifest::{Counts, Manifest};
use crate::backup::read::{Item, OpenBackup};
use crate::backup::run::Claim;
use crate::barrier::{Stored, Transaction};
use crate::container::Permit;
use crate::guard::{Guard, HsmState};
use crate::keys::{CopiedKey, CopiedVersion, RestoreTerms};
use crate::layout::Generation;
use crate::rbac::{ADMINISTRATOR, CustomRole, RoleAssignment, digest};
use crate::settings::Settings;
use crate::{Error, Result};

/// What a restore puts into the guard, and into the audit log.
#[derive(Default)]
struct Restored {
    settings: Settings,
    assignments: Vec<RoleAssignment>,
    custom_roles: Vec<CustomRole>,
}

impl Claim<'_> {
    /// Restores the whole HSM, and ends the job.
    pub(super) async fn restore(&mut self) -> Result<()> {
        let permit = self.hsm.permit_while_restoring().await?;
        if permit.guard().value.state != HsmState::Restoring {
            return Err(Error::Internal("a restore runs on a managed HSM that is not being restored"));
        }
        let backup = self.open_source(&permit).await?;
        self.check_rights(&permit, backup.manifest())?;
        let counts = self.check_all(&backup, |_| Ok(())).await?;
        let number = self.job.value.generation.ok_or(Error::Internal("a restore has no generation"))?;
        let generation = Generation { number, ..permit.generation() };
        let restored = self.stage(&backup, &permit, generation).await?;
        self.switch(&backup, &permit, generation, &restored, counts).await
    }

    /// Looks whether a full restore could be done.
    pub(super) async fn check_restore(&mut self) -> Result<()> {
        let permit = self.hsm.permit_for_job().await?;
        let backup = self.open_source(&permit).await?;
        self.check_rights(&permit, backup.manifest())?;
        let Counts { keys, deleted_keys, .. } = self.check_all(&backup, |_| Ok(())).await?;
        self.end(format!("{keys} keys and {deleted_keys} deleted keys can be restored"), |_| {}).await
    }

    pub(super) async fn open_source(&self, permit: &Permit<'_>) -> Result<OpenBackup> {
        let container = self.open_container().await?;
        self.core.open_backup(&permit.guard().value, self.instance(), container, &self.job.value.folder).await
    }

    /// A restore brings rights back, so who may start one could give itself any right that there ever was.
    fn check_rights(&self, permit: &Permit<'_>, manifest: &Manifest) -> Result<()> {
        let needs = |reason| Err(Error::RestoreNeedsAdministrator { reason });
        if self.job.value.by_administrator {
            return Ok(());
        }
        if manifest.source.instance != self.instance() {
            return needs("the backup is one of another managed HSM");
        }
        if manifest.rights_version < permit.guard().value.rights_version {
            return needs(
                "role assignments or definitions have changed, or were sealed again after a rotation, since the backup was \
                 made",
            );
        }
        Ok(())
    }

    /// Reads the whole backup and checks it, item by item; `see` gets each one that was found good.
    pub(super) async fn check_all(
        &mut self,
        backup: &OpenBackup,
        mut see: impl FnMut(Item) -> Result<()>,
    ) -> Result<Counts> {
        let entropy = std::sync::Arc::clone(self.core.barrier().entropy());
        let mut check = Check::new(entropy.as_ref());
        let mut items = backup.items();
        while let Some(item) = items.next().await? {
            check.see(&item)?;
            see(item)?;
            if items.parts() > self.job.value.progress.parts {
                let Counts { keys, deleted_keys, .. } = check.counts();
                self.renew(Progress { keys: keys + deleted_keys, parts: items.parts() }).await?;
            }
            // Parsing keys takes time that others want.
            tokio::task::yield_now().await;
        }
        Ok(check.finish(backup.manifest())?)
    }

    /// When and how keys come back.
    pub(super) fn terms(&self, manifest: &Manifest) -> RestoreTerms {
        let now = self.core.barrier().clock().now();
        RestoreTerms { now, made: manifest.made, retention_days: self.hsm.record().retention_days }
    }

    /// Writes a generation that nothing points to.
    async fn stage(&mut self, backup: &OpenBackup, permit: &Permit<'_>, generation: Generation) -> Result<Restored> {
        let terms = self.terms(backup.manifest());
        let (mut restored, mut keys) = (Restored::default(), Keys::default());
        let (mut items, mut parts) = (backup.items(), 0);
        let mut step = Step::new(permit, &self.job);
        while let Some(item) = items.next().await? {
            step.make_room(permit, &self.job, size(&item)?).await?;
            let transaction = &mut step.transaction;
            match item {
                Item::Hsm(hsm) => restored.settings = hsm.settings,
                Item::RoleDefinition(role) => {
                    transaction.stage(permit.sealer(), generation.role_definition(role.id.0), &role)?;
                    restored.custom_roles.push(role);
                }
                Item::RoleAssignment(assignment) => {
                    transaction.stage(permit.sealer(), generation.role_assignment(assignment.name), &assignment)?;
                    restored.assignments.push(assignment);
                }
                Item::Key(key) => keys.begin(key),
                Item::Version(version) => keys.stage(transaction, permit, generation, &version, terms)?,
            }
            if items.parts() > parts {
                parts = items.parts();
                step.flush(permit, &self.job).await?;
                self.renew(self.job.value.progress).await?;
                step = Step::new(permit, &self.job);
            }
        }
        for assignment in self.missing_administrators(&restored.assignments, terms)? {
            step.make_room(permit, &self.job, ASSIGNMENT_BYTES).await?;
            let key = generation.role_assignment(assignment.name);
            step.transaction.stage(permit.sealer(), key, &assignment)?;
            restored.assignments.push(assignment);
        }
        step.flush(permit, &self.job).await?;
        Ok(restored)
    }

    /// Assignments by which the target's initial administrators stay administrators.
    fn missing_administrators(&self, restored: &[RoleAssignment], terms: RestoreTerms) -> Result<Vec<RoleAssignment>> {
        let mut missing = Vec::new();
        for principal in &self.hsm.record().initial_administrators {
            let holds = |assignment: &RoleAssignment| {
                (assignment.role, &assignment.scope, assignment.principal) == (ADMINISTRATOR, &Scope::Root, *principal)
            };
            if !restored.iter().chain(&missing).any(holds) {
                missing.push(RoleAssignment {
                    name: uuid::Builder::from_random_bytes(self.core.barrier().entropy().sixteen()?).into_uuid(),
                    scope: Scope::Root,
                    role: ADMINISTRATOR,
                    principal: *principal,
                    created: terms.now,
                    created_by: self.job.value.started_by,
                });
            }
        }
        Ok(missing)
    }

    /// The one commit from which on everything is as it was in the backup. What it replaces is removed by a job.
    async fn switch(
        &mut self,
        backup: &OpenBackup,
        permit: &Permit<'_>,
        generation: Generation,
        restored: &Restored,
        counts: Counts,
    ) -> Result<()> {
        let (core, guard, manifest) = (self.core, permit.guard(), backup.manifest());
        let switched = Guard {
            state: HsmState::Active,
            generation: generation.number,
            rights_version: guard.value.rights_version.max(manifest.rights_version).saturating_add(1),
            rights_digest: digest(&restored.assignments, &restored.custom_roles)?,
            settings: restored.settings,
            ..guard.value.clone()
        };
        let changes = self.record_rights(permit, restored).await?;
        let detail = format!(
            "job {} of {}: {} keys and {} deleted keys from folder {} of {}, made from {} ({}); rights: {changes}",
            self.job.value.id,
            self.job.value.started_by,
            counts.keys,
            counts.deleted_keys,
            self.job.value.folder,
            self.job.value.container,
            manifest.source.name,
            manifest.source.instance,
        );
        let mut history = core.history(self.instance()).await?;
        history.value.abandoned.push(guard.value.generation);
        let mut transaction = core.barrier().transaction().detail(detail);
        transaction.replace(core.barrier().deployment(), guard, &switched)?;
        core.stage_end(&mut transaction, self.instance(), &self.job, history, Outcome::Succeeded).await?;
        transaction.commit(&self.request(self.job.value.kind.audit_name())?).await?;
        Ok(())
    }

    /// What the restore changes of the rights. More than fit one event are recorded before it, with as many as it takes.
    async fn record_rights(&self, permit: &Permit<'_>, restored: &Restored) -> Result<String> {
        let mut details = joined(rights_changes(permit, restored));
        let last = details.pop();
        for some in details {
            let detail = format!("job {}, if it succeeds: {some}", self.job.value.id);
            let mut transaction = permit.transaction().detail(detail);
            transaction.expect(&self.job);
            transaction.commit(&self.request("RestoreRightsChange")?).await?;
        }
        Ok(last.unwrap_or_else(|| "unchanged".to_owned()))
    }
}

/// The rights that are added and removed, in words.
fn rights_changes(permit: &Permit<'_>, restored: &Restored) -> Vec<String> {
    let assignment = |it: &RoleAssignment| format!("role {} to {} at {}", it.role.0, it.principal, it.scope);
    let role = |it: &CustomRole| {
        let actions: Vec<_> = it.actions().iter().map(|action| action.as_str()).collect();
        format!("role definition {} of {}", it.id.0, actions.join(" "))
    };
    let rights = permit.rights();
    let before: BTreeSet<_> = rights
        .assignments()
        .iter()
        .map(|stored| assignment(&stored.value))
        .chain(rights.custom_roles().map(role))
        .collect();
    let after: BTreeSet<_> =
        restored.assignments.iter().map(assignment).chain(restored.custom_roles.iter().map(role)).collect();
    let added = after.difference(&before).map(|change| format!("added {change}"));
    added.chain(before.difference(&after).map(|change| format!("removed {change}"))).collect()
}

/// Changes together, as many as fit one event: its text would be cut.
fn joined(changes: Vec<String>) -> Vec<String> {
    let mut details: Vec<String> = Vec::new();
    for change in changes {
        match details.last_mut() {
            Some(detail) if detail.len() + change.len() <= CHANGES_BYTES_PER_EVENT => {
                detail.push_str("; ");
                detail.push_str(&change);
            }
            _ => details.push(change),
        }
    }
    details
}

/// The key whose versions are coming.
#[derive(Default)]
struct Keys {
    current: Option<CopiedKey>,
    versions: std::vec::IntoIter<KeyVersion>,
}

impl Keys {
    fn begin(&mut self, key: CopiedKey) {
        self.versions = key.versions().to_vec().into_iter();
        self.current = Some(key);
    }

    /// Writes a version; the last one makes the name.
    fn stage(
        &mut self,
        transaction: &mut Transaction<'_>,
        permit: &Permit<'_>,
        generation: Generation,
        content: &CopiedVersion,
        terms: RestoreTerms,
    ) -> Result<()> {
        let changed = || Error::Internal("a backup changed after it was checked");
        let key = self.current.as_ref().ok_or_else(changed)?;
        let version = self.versions.next().ok_or_else(changed)?;
        key.stage_version(transaction, permit, generation, version, content)?;
        if self.versions.len() == 0 {
            let key = self.current.take().ok_or_else(changed)?;
            key.stage(transaction, permit, generation, content, terms)?;
        }
        Ok(())
    }
}

/// One commit of the staging.
struct Step<'a> {
    transaction: Transaction<'a>,
    bytes: usize,
}

impl<'a> Step<'a> {
    /// Everything depends on the guard and on the job being as they were.
    fn new(permit: &Permit<'a>, job: &Stored<JobRecord>) -> Self {
        let mut transaction = permit.transaction();
        transaction.expect(job);
        Self { transaction, bytes: 0 }
    }

    /// Commits what is there if an item of so many bytes does not fit any more.
    async fn make_room(&mut self, permit: &Permit<'a>, job: &Stored<JobRecord>, bytes: usize) -> Result<()> {
        if self.transaction.writes() + ITEM_WRITES_MAX > STEP_WRITES || self.bytes + bytes > STEP_BYTES {
            self.flush(permit, job).await?;
        }
        self.bytes += bytes;
        Ok(())
    }

    async fn flush(&mut self, permit: &Permit<'a>, job: &Stored<JobRecord>) -> Result<()> {
        let full = std::mem::replace(self, Self::new(permit, job));
        if full.transaction.writes() > 0 {
            full.transaction.commit_step().await?;
        }
        Ok(())
    }
}

/// Bytes that an item takes in a commit, at most. The name record is written with the last version.
fn size(item: &Item) -> Result<usize> {
    Ok(match item {
        Item::Hsm(_) => 0,
        Item::RoleDefinition(_) => ROLE_BYTES,
        Item::RoleAssignment(_) => ASSIGNMENT_BYTES,
        Item::Key(key) => NAME_BYTES + VERSION_BYTES * key.versions().len(),
        Item::Version(version) => version.size()?,
    })
}

/// A custom role with all its texts and actions: its text 2048 characters, 16 permissions of 256 actions.
const ROLE_BYTES: usize = 320 * 1024;
/// A role assignment.
const ASSIGNMENT_BYTES: usize = 2 * 1024;
/// A name record without its versions, and its entry among the due rotations.
const NAME_BYTES: usize = 4 * 1024;
/// What a version adds to a name record.
const VERSION_BYTES: usize = 40;
/// Writes of one item: a version and its material, and with the last one the name and its due rotation.
const ITEM_WRITES_MAX: usize = 4;
/// Writes of one commit; with guard and job below the store's limit on operations.
const STEP_WRITES: usize = 60;
/// Bytes of one commit, below the store's limit.
const STEP_BYTES: usize = 448 * 1024;
/// Bytes of changes of rights in one event, beside what else it says.
const CHANGES_BYTES_PER_EVENT: usize = DETAIL_MAX / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_rights_is_named_whole_however_many_there_are() {
        assert_eq!(joined(Vec::new()), Vec::<String>::new());
        let changes: Vec<String> =
            (0..1000).map(|number| format!("added role {number} {}", "x".repeat(3000))).collect();
        let details = joined(changes.clone());
        assert!(
            details.iter().all(|detail| detail.len() < DETAIL_MAX - 4096),
            "there is room for the job and its folder"
        );
        assert!(details.len() < changes.len());
        assert_eq!(details.join("; "), changes.join("; "));
    }
}
