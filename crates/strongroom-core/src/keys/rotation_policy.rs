//! Rotation policies: when a key gets a new version by itself, and when new versions expire.

use serde::{Deserialize, Serialize};
use strongroom_types::{DataAction, KeyName, Scope, Timestamp};

use crate::container::{KeyContainer, Part};
use crate::keys::period::Period;
use crate::keys::record::{Rotation, VersionRecord};
use crate::keys::rotate::{schedule_rotation, unschedule_rotation};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// A key's rotation policy. It belongs to the key, not to a version: new versions keep it, a purge ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationPolicy {
    /// What it says.
    pub rules: RotationRules,
    /// When the key got its first one.
    pub created: Timestamp,
    /// When it was last set.
    pub updated: Timestamp,
}

/// What a rotation policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RotationRules {
    rotate: Option<RotationTrigger>,
    expiry_time: Option<Period>,
}

/// An entry of `lifetimeActions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifetimeAction {
    /// What happens.
    pub action: LifetimeActionType,
    /// When it happens.
    pub trigger: RotationTrigger,
}

/// `action.type` of a lifetime action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifetimeActionType {
    /// The key gets a new version.
    Rotate,
    /// Somebody is told.
    Notify,
}

/// `trigger` of a lifetime action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RotationTrigger {
    /// So long after the latest version was made.
    TimeAfterCreate(Period),
    /// So long before the latest version expires, if it does.
    TimeBeforeExpiry(Period),
}

impl RotationRules {
    /// The rules a managed HSM takes (limits.md, "Soft delete, rotation").
    ///
    /// # Errors
    /// [`Error::BadParameter`] for a notification, a second action, or a time that is too short.
    pub fn for_managed_hsm(actions: &[LifetimeAction], expiry_time: Option<Period>) -> Result<Self> {
        let refuse = |parameter, problem: &str| Err(Error::bad_parameter(parameter, problem));
        if actions.iter().any(|action| action.action == LifetimeActionType::Notify) {
            return refuse("lifetimeActions", "a managed HSM has no notifications; only the action Rotate is possible");
        }
        if expiry_time.is_some_and(|expiry| expiry.nominal_seconds() < SHORTEST_SECONDS) {
            return refuse("expiryTime", "must be at least 28 days");
        }
        let rotate = match actions {
            [] => None,
            [one] => Some(one.trigger),
            _ => return refuse("lifetimeActions", "has more than one action Rotate"),
        };
        match (rotate, expiry_time) {
            (Some(RotationTrigger::TimeAfterCreate(after)), _) if after.nominal_seconds() < SHORTEST_SECONDS => {
                refuse("timeAfterCreate", "must be at least 28 days")
            }
            (Some(RotationTrigger::TimeBeforeExpiry(_)), None) => {
                refuse("timeBeforeExpiry", "needs an expiryTime, or new versions would never expire")
            }
            (Some(RotationTrigger::TimeBeforeExpiry(before)), Some(expiry))
                if before.nominal_seconds() > expiry.nominal_seconds() - SHORTEST_SECONDS =>
            {
                refuse("timeBeforeExpiry", "must leave at least 28 days of the expiryTime")
            }
            _ => Ok(Self { rotate, expiry_time }),
        }
    }

    /// Whether nothing is said: setting such rules takes the policy away.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// When keys rotate by themselves, if they do.
    pub fn rotate(&self) -> Option<RotationTrigger> {
        self.rotate
    }

    /// How long new versions are valid, if they end.
    pub fn expiry_time(&self) -> Option<Period> {
        self.expiry_time
    }

    /// When a key with this latest version is due, if it ever is.
    pub(super) fn due(&self, latest: &VersionRecord) -> Option<Timestamp> {
        let due = match self.rotate? {
            RotationTrigger::TimeAfterCreate(period) => period.after(latest.created)?,
            RotationTrigger::TimeBeforeExpiry(period) => period.before(latest.expires?)?,
        };
        // The index of due keys is ordered by numbers without a sign.
        Some(due.max(Timestamp::from_millis(0)))
    }
}

impl KeyContainer<'_> {
    /// A key's rotation policy; `None` if it has none.
    pub async fn rotation_policy(&self, request: &Request, name: &KeyName) -> Result<Option<RotationPolicy>> {
        let scope = Scope::Key(name.clone());
        let permit = self.authorize_part(request, DataAction::KeysRead, Part::RotationPolicy, &scope).await?;
        let found = self.live_name(&permit, name).await?;
        Ok(found.value.rotation.as_ref().map(|rotation| rotation.policy.clone()))
    }

    /// Sets a key's rotation policy, or takes it away if the rules are empty. What is due by the new rules happens with
    /// the next round of the server's jobs.
    pub async fn set_rotation_policy(
        &self,
        request: &Request,
        name: &KeyName,
        rules: RotationRules,
    ) -> Result<Option<RotationPolicy>> {
        retry_on_conflict!(self.try_set_rotation_policy(request, name, rules))
    }

    async fn try_set_rotation_policy(
        &self,
        request: &Request,
        name: &KeyName,
        rules: RotationRules,
    ) -> Result<Option<RotationPolicy>> {
        let scope = Scope::Key(name.clone());
        let permit = self.authorize_part(request, DataAction::KeysWrite, Part::RotationPolicy, &scope).await?;
        let found = self.live_name(&permit, name).await?;
        let (_, latest) = self.version_record(&permit, &found.value, None).await?;
        let mut changed = found.value.clone();
        let mut transaction = permit.transaction().detail(format!("key {name}"));
        if rules.is_empty() {
            unschedule_rotation(&mut transaction, &permit, &mut changed)?;
            changed.rotation = None;
        } else {
            let (created, due) = match &found.value.rotation {
                Some(Rotation { policy, due }) => (policy.created, *due),
                None => (request.received, None),
            };
            let policy = RotationPolicy { rules, created, updated: request.received };
            changed.rotation = Some(Rotation { policy, due });
            schedule_rotation(&mut transaction, &permit, &mut changed, &latest.value)?;
        }
        transaction.replace(permit.sealer(), &found, &changed)?;
        transaction.commit(request).await?;
        Ok(changed.rotation.map(|rotation| rotation.policy))
    }
}

/// 28 days: the shortest time between two versions (limits.md, "Soft delete, rotation").
const SHORTEST_SECONDS: i64 = 28 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> Period {
        text.parse().unwrap()
    }

    fn rules(trigger: Option<RotationTrigger>, expiry: Option<&str>) -> Result<RotationRules> {
        let action = trigger.map(|trigger| LifetimeAction { action: LifetimeActionType::Rotate, trigger });
        RotationRules::for_managed_hsm(action.as_slice(), expiry.map(period))
    }

    fn after(text: &str) -> Option<RotationTrigger> {
        Some(RotationTrigger::TimeAfterCreate(period(text)))
    }

    fn before(text: &str) -> Option<RotationTrigger> {
        Some(RotationTrigger::TimeBeforeExpiry(period(text)))
    }

    #[test]
    fn times_of_at_least_28_days_are_taken() {
        for (trigger, expiry) in [
            (after("P28D"), None),
            (after("P1M"), Some("P28D")),
            (after("PT672H"), Some("P2Y")),
            (before("P2D"), Some("P30D")),
            (before("P1M"), Some("P58D")),
            (None, Some("P28D")),
        ] {
            rules(trigger, expiry).unwrap();
        }
        assert!(rules(None, None).unwrap().is_empty());
    }

    #[test]
    fn shorter_ones_and_what_an_hsm_does_not_do_are_refused() {
        for (trigger, expiry, wrong) in [
            (after("P27D"), None, "timeAfterCreate"),
            (after("P28D"), Some("P27D"), "expiryTime"),
            (None, Some("PT671H"), "expiryTime"),
            (before("P2D"), None, "timeBeforeExpiry"),
            (before("P3D"), Some("P30D"), "timeBeforeExpiry"),
            (before("P31D"), Some("P30D"), "timeBeforeExpiry"),
        ] {
            let refused = rules(trigger, expiry);
            assert!(
                matches!(refused, Err(Error::BadParameter { parameter, .. }) if parameter == wrong),
                "{trigger:?} {expiry:?}: {refused:?}"
            );
        }
        let trigger = RotationTrigger::TimeAfterCreate(period("P28D"));
        let one = |action| LifetimeAction { action, trigger };
        for actions in [
            vec![one(LifetimeActionType::Rotate), one(LifetimeActionType::Rotate)],
            vec![one(LifetimeActionType::Rotate), one(LifetimeActionType::Notify)],
            vec![one(LifetimeActionType::Notify)],
        ] {
            let refused = RotationRules::for_managed_hsm(&actions, Some(period("P2Y")));
            assert!(matches!(refused, Err(Error::BadParameter { parameter: "lifetimeActions", .. })));
        }
    }
}
