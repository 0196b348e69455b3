//! The check of a whole backup, before anything is touched: order, counts, and that every key is the one its record names.

use strongroom_crypto::Entropy;
use strongroom_types::KeyName;

use crate::backup::format::BackupProblem;
use crate::backup::manifest::{Counts, Manifest};
use crate::backup::read::Item;

/// What has been seen of a backup.
pub(super) struct Check<'a> {
    entropy: &'a dyn Entropy,
    stage: Stage,
    last_name: Option<KeyName>,
    versions_left: usize,
    counts: Counts,
}

/// What kind of item came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Nothing,
    Hsm,
    RoleDefinitions,
    RoleAssignments,
    Keys,
}

impl<'a> Check<'a> {
    pub(super) fn new(entropy: &'a dyn Entropy) -> Self {
        Self { entropy, stage: Stage::Nothing, last_name: None, versions_left: 0, counts: Counts::default() }
    }

    /// Looks at the next item.
    pub(super) fn see(&mut self, item: &Item) -> Result<(), BackupProblem> {
        match item {
            Item::Hsm(_) if self.stage == Stage::Nothing => self.stage = Stage::Hsm,
            Item::Hsm(_) => return Err(out_of_order()),
            Item::RoleDefinition(_) => {
                self.enter(Stage::RoleDefinitions)?;
                self.counts.role_definitions += 1;
            }
            Item::RoleAssignment(_) => {
                self.enter(Stage::RoleAssignments)?;
                self.counts.role_assignments += 1;
            }
            Item::Key(key) => {
                self.enter(Stage::Keys)?;
                self.see_key(key.name(), key.versions().len())?;
                let count = if key.is_deleted() { &mut self.counts.deleted_keys } else { &mut self.counts.keys };
                *count += 1;
            }
            Item::Version(version) => {
                self.versions_left = self.versions_left.checked_sub(1).ok_or_else(out_of_order)?;
                if !version.is_consistent(self.entropy) {
                    let name = self.last_name.as_ref().map(ToString::to_string).unwrap_or_default();
                    return Err(BackupProblem::altered(format!("a version of key {name} is not the key it says")));
                }
                self.counts.versions += 1;
            }
        }
        Ok(())
    }

    /// What was seen must be all that the manifest promises.
    pub(super) fn finish(&self, manifest: &Manifest) -> Result<Counts, BackupProblem> {
        if self.stage == Stage::Nothing || self.versions_left > 0 {
            return Err(BackupProblem::altered("it ends too early"));
        }
        if self.counts != manifest.counts {
            return Err(BackupProblem::altered("it does not hold as much as its manifest says"));
        }
        Ok(self.counts)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    fn enter(&mut self, stage: Stage) -> Result<(), BackupProblem> {
        if self.stage == Stage::Nothing || stage < self.stage || self.versions_left > 0 {
            return Err(out_of_order());
        }
        self.stage = stage;
        Ok(())
    }

    /// Names rise, so none comes twice.
    fn see_key(&mut self, name: &KeyName, versions: usize) -> Result<(), BackupProblem> {
        let rises = self.last_name.as_ref().is_none_or(|last| last.folded() < name.folded());
        if !rises || versions == 0 {
            return Err(out_of_order());
        }
        self.last_name = Some(name.clone());
        self.versions_left = versions;
        Ok(())
    }
}

fn out_of_order() -> BackupProblem {
    BackupProblem::altered("its content is out of order")
}
