//! New versions of keys on request, and by themselves when their policy says so.
//!
//! Keys that are due are found by an index: one small sealed record for each key that rotates by itself, whose store key
//! begins with the time it is due. A round of the job reads the head of that index and stops at the first entry that
//! lies ahead, so it costs what is due and not what is stored. An entry changes in the same commit as what it depends on
//! (policy, latest version, deletion), and the name record remembers where its entry is. So there is exactly one version
//! for each due date: whoever rotates moves the entry, everybody else conflicts and looks again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strongroom_crypto::KeyMaterial;
use strongroom_types::{DataAction, KeyName, KeyVersion, Scope, Timestamp};

use crate::barrier::{Record, Stored, Transaction};
use crate::container::{KeyContainer, Permit};
use crate::keys::delete::JobRequest;
use crate::keys::record::{Key, NameRecord, Origin, VersionRecord};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// An entry of the index: a key that is due for rotation at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DueRotation {
    pub(super) name: KeyName,
    pub(super) due: Timestamp,
}

impl Record for DueRotation {
    const FORMAT: u16 = 1;
}

/// What a round of automatic rotation did.
#[derive(Debug, Default)]
pub struct RotationRound {
    /// Keys that got a new version.
    pub rotated: Vec<KeyName>,
    /// Keys that could not get one: disabled, or at the limit of versions. They are tried again after a day, or once
    /// they are changed.
    pub postponed: Vec<KeyName>,
    /// Keys that could not be rotated for another reason. They are tried again in the next round.
    pub failed: Vec<(KeyName, Error)>,
}

/// What became of a key that seemed to be due.
enum Rotated {
    Yes,
    Postponed,
    /// Somebody else was faster.
    NotDue,
}

impl KeyContainer<'_> {
    /// Gives a key a new version of the kind of its latest one, with the same `key_ops` and tags, valid as long as its
    /// rotation policy says.
    ///
    /// # Errors
    /// [`Error::RotationPolicyMissing`]; [`Error::KeyDisabled`] if the latest version is; [`Error::LimitReached`] at
    /// the limit of versions; [`Error::Throttled`] if too many keys are being generated.
    pub async fn rotate_key(&self, request: &Request, name: &KeyName) -> Result<Key> {
        // Everything that can refuse comes before the work of making a key.
        let (_, _, latest) = self.to_rotate(request, name).await?;
        let material = self.generate(latest.value.specification).await?;
        retry_on_conflict!(self.try_rotate(request, name, &material))
    }

    /// Rotates the keys that are due. One that was due several times meanwhile gets one new version.
    pub async fn rotate_due_keys(&self, request: &JobRequest<'_>, now: Timestamp) -> Result<RotationRound> {
        let mut round = RotationRound::default();
        let mut behind = None;
        for _ in 0..PAGES_PER_ROUND {
            let permit = self.permit_for_job().await?;
            let (barrier, prefix) = (permit.barrier(), permit.generation().due_rotations());
            // What failed in this round stays where it is: the next page begins behind it.
            let head = barrier.page::<DueRotation>(permit.sealer(), &prefix, behind.as_deref(), PAGE, None).await?;
            let due: Vec<_> = head.records.into_iter().filter(|entry| entry.value.due <= now).collect();
            let Some(last) = due.last() else { break };
            behind = Some(last.key.clone());
            for entry in due {
                let request = request("KeyRotateIfDue");
                let rotated = retry_on_conflict!(self.try_rotate_due(&request, &entry, now));
                let name = entry.value.name;
                match rotated {
                    Ok(Rotated::Yes) => round.rotated.push(name),
                    Ok(Rotated::Postponed) => round.postponed.push(name),
                    Ok(Rotated::NotDue) => {}
                    Err(error @ (Error::Throttled | Error::Store(_) | Error::HsmNotFound)) => return Err(error),
                    Err(error) => round.failed.push((name, error)),
                }
            }
        }
        Ok(round)
    }

    async fn try_rotate_due(&self, request: &Request, entry: &Stored<DueRotation>, now: Timestamp) -> Result<Rotated> {
        let permit = self.permit_for_job().await?;
        let due = Some(entry.value.due);
        let found = self.name_record(&permit, &entry.value.name).await?;
        let Some(found) = found.filter(|found| found.value.rotation.as_ref().and_then(|it| it.due) == due) else {
            // Whoever changed the key has moved the entry.
            return Ok(Rotated::NotDue);
        };
        let (_, latest) = self.version_record(&permit, &found.value, None).await?;
        let latest = &latest.value;
        if !latest.enabled || found.value.versions.len() >= self.limits().versions_per_key {
            self.postpone(request, &permit, &found, now).await?;
            return Ok(Rotated::Postponed);
        }
        let material = self.generate(latest.specification).await?;
        self.add_rotated(request, &permit, &found, latest, &material).await?;
        Ok(Rotated::Yes)
    }

    /// A key that cannot be rotated must not stand in the way of those behind it.
    async fn postpone(
        &self,
        request: &Request,
        permit: &Permit<'_>,
        found: &Stored<NameRecord>,
        now: Timestamp,
    ) -> Result<()> {
        let name = &found.value.name;
        let mut changed = found.value.clone();
        let detail = format!("key {name} was not rotated: it is disabled or has too many versions");
        let mut transaction = permit.transaction().detail(detail);
        move_rotation(&mut transaction, permit, &mut changed, Some(now.plus_days(POSTPONED_DAYS)))?;
        transaction.replace(permit.sealer(), found, &changed)?;
        transaction.commit(request).await?;
        Ok(())
    }

    async fn try_rotate(&self, request: &Request, name: &KeyName, material: &KeyMaterial) -> Result<Key> {
        let (permit, found, latest) = self.to_rotate(request, name).await?;
        self.add_rotated(request, &permit, &found, &latest.value, material).await
    }

    /// Leave to rotate a key now, the key, and its latest version.
    async fn to_rotate(
        &self,
        request: &Request,
        name: &KeyName,
    ) -> Result<(Permit<'_>, Arc<Stored<NameRecord>>, Arc<Stored<VersionRecord>>)> {
        let permit = self.authorize(request, DataAction::KeysRotate, &Scope::Key(name.clone())).await?;
        let found = self.live_name(&permit, name).await?;
        let (_, latest) = self.version_record(&permit, &found.value, None).await?;
        if found.value.rotation.is_none() {
            return Err(Error::RotationPolicyMissing { name: name.clone() });
        }
        if !latest.value.enabled {
            return Err(Error::KeyDisabled { name: name.clone() });
        }
        if found.value.versions.len() >= self.limits().versions_per_key {
            return Err(Error::LimitReached { what: "versions of a key", limit: self.limits().versions_per_key });
        }
        Ok((permit, found, latest))
    }

    async fn add_rotated(
        &self,
        request: &Request,
        permit: &Permit<'_>,
        found: &Stored<NameRecord>,
        latest: &VersionRecord,
        material: &KeyMaterial,
    ) -> Result<Key> {
        if material.specification() != latest.specification {
            // Somebody has just made a version of another kind.
            return Err(Error::Conflict);
        }
        let (name, id) = (&found.value.name, found.value.id);
        let version = KeyVersion::from_random(permit.barrier().entropy().sixteen()?);
        let created = request.received;
        let expiry_time = found.value.rotation.as_ref().and_then(|rotation| rotation.policy.rules.expiry_time());
        let out_of_calendar = || Error::Internal("the time of expiry lies beyond the calendar");
        let expires = expiry_time.map(|period| period.after(created).ok_or_else(out_of_calendar)).transpose()?;
        let record = VersionRecord {
            public_key: material.public_key().clone(),
            enabled: true,
            not_before: None,
            expires,
            created,
            updated: created,
            releases: 0,
            origin: Origin::Generated,
            ..latest.clone()
        };
        let mut transaction = permit.transaction().detail(format!("key {name} version {version}"));
        let generation = permit.generation();
        transaction.create(permit.sealer(), generation.version(id, version), &record)?;
        let secret = material.to_sealable()?;
        transaction.create_secret(permit.sealer(), generation.material(id, version), secret.expose());
        let mut pointer = found.value.clone();
        pointer.versions.push(version);
        schedule_rotation(&mut transaction, permit, &mut pointer, &record)?;
        transaction.replace(permit.sealer(), found, &pointer)?;
        transaction.commit(request).await?;
        Ok(record.show(self.record(), name, version))
    }
}

/// Adds to a commit that the key is due when its policy and its latest version say. The caller writes the name record.
pub(super) fn schedule_rotation(
    transaction: &mut Transaction<'_>,
    permit: &Permit<'_>,
    name: &mut NameRecord,
    latest: &VersionRecord,
) -> Result<()> {
    let due = name.rotation.as_ref().and_then(|rotation| rotation.policy.rules.due(latest));
    move_rotation(transaction, permit, name, due)
}

/// Adds to a commit that the key is not due any more. The caller writes the name record.
pub(super) fn unschedule_rotation(
    transaction: &mut Transaction<'_>,
    permit: &Permit<'_>,
    name: &mut NameRecord,
) -> Result<()> {
    move_rotation(transaction, permit, name, None)
}

fn move_rotation(
    transaction: &mut Transaction<'_>,
    permit: &Permit<'_>,
    name: &mut NameRecord,
    due: Option<Timestamp>,
) -> Result<()> {
    let id = name.id;
    let Some(rotation) = &mut name.rotation else { return Ok(()) };
    if rotation.due == due {
        return Ok(());
    }
    let generation = permit.generation();
    if let Some(before) = rotation.due {
        transaction.discard(generation.due_rotation(before, id));
    }
    if let Some(due) = due {
        let entry = DueRotation { name: name.name.clone(), due };
        transaction.create(permit.sealer(), generation.due_rotation(due, id), &entry)?;
    }
    rotation.due = due;
    Ok(())
}

/// Entries of the index read at a time.
const PAGE: usize = 25;
/// Pages of one round: after 200 keys the other HSMs get their turn.
const PAGES_PER_ROUND: usize = 8;
/// When a key that cannot be rotated is tried again.
const POSTPONED_DAYS: u32 = 1;
