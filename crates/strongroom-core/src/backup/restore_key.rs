//! The restore of one key out of a full backup. The whole backup is checked all the same; everything else of the HSM
//! stays as it is and goes on working.

use strongroom_types::KeyName;

use crate::backup::format::BackupProblem;
use crate::backup::job::Outcome;
use crate::backup::read::Item;
use crate::backup::run::Claim;
use crate::keys::{CopiedKey, CopiedVersion, RestorableKey};
use crate::retry_on_conflict;
use crate::{Error, Result};

impl Claim<'_> {
    /// Restores the key, and ends the job.
    pub(super) async fn restore_key(&mut self, name: &KeyName) -> Result<()> {
        let permit = self.hsm.permit_for_job().await?;
        let backup = self.open_source(&permit).await?;
        let mut found = Wanted { name, key: None, versions: Vec::new(), is_current: false };
        self.check_all(&backup, |item| {
            found.see(item);
            Ok(())
        })
        .await?;
        let Wanted { key, versions, .. } = found;
        let key = key.ok_or_else(|| BackupProblem::NoSuchKey { name: name.to_string() })?;
        if versions.len() > self.hsm.limits().versions_per_key {
            let limit = self.hsm.limits().versions_per_key;
            return Err(Error::LimitReached { what: "versions of a key", limit });
        }
        let key = RestorableKey::new(key, versions, self.terms(backup.manifest()));
        retry_on_conflict!(self.publish(&key, name))
    }

    /// Under the guard as it is now: roles may have changed while the backup was read.
    async fn publish(&self, key: &RestorableKey, name: &KeyName) -> Result<()> {
        let (core, instance) = (self.core, self.instance());
        let request = self.request(self.job.value.kind.audit_name())?;
        let permit = self.hsm.permit_for_job().await?;
        let id = self.hsm.stage_copied_key(&request, &permit, key).await?;
        let detail = format!("job {} of {}: key {name}", self.job.value.id, self.job.value.started_by);
        let mut transaction = permit.transaction().detail(detail);
        self.hsm.publish_copied_key(&mut transaction, &permit, id, key).await?;
        let history = core.history(instance).await?;
        core.stage_end(&mut transaction, instance, &self.job, history, Outcome::Succeeded).await?;
        transaction.commit(&request).await?;
        Ok(())
    }
}

/// The key that is looked for, and what was found of it.
struct Wanted<'a> {
    name: &'a KeyName,
    key: Option<CopiedKey>,
    versions: Vec<CopiedVersion>,
    is_current: bool,
}

impl Wanted<'_> {
    fn see(&mut self, item: Item) {
        match item {
            Item::Key(key) => {
                self.is_current = key.name() == self.name;
                if self.is_current {
                    self.key = Some(key);
                }
            }
            Item::Version(version) if self.is_current => self.versions.push(version),
            Item::Version(_) | Item::Hsm(_) | Item::RoleDefinition(_) | Item::RoleAssignment(_) => {}
        }
    }
}
