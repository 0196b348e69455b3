//! Where records lie in the store. Names are folded before they come here; nothing else builds store keys. `hsm/` holds
//! the keys of managed HSMs and of vaults alike: an instance is one or the other.
//!
//! ```text
//! deployment                                          in the clear: id, root check, wrapped deployment key
//! d/…                                                 sealed under the deployment key: directory, ARM resources
//! d/vault/<name>                                      a vault
//! hsm/<instance>/guard                                sealed under the deployment key: state, generation, rights version
//! hsm/<instance>/domain                               sealed under the deployment key: wrapped HSM roots
//! d/job/<instance>                                    the backup or restore that is under way
//! d/job-owner/<node>                                  when a node that works on those was last heard of
//! hsm/<instance>/backups                              sealed under the deployment key: what was backed up and restored
//! hsm/<instance>/job/<id>                             sealed under the deployment key: a backup or restore
//! hsm/<instance>/job-credential/<id>                  sealed under the deployment key: what opens its blob container
//! hsm/<instance>/access                               sealed under the deployment key: who decides about a vault's keys
//! hsm/<instance>/<generation>/name/<name>             a key's name, pointing to a key id
//! hsm/<instance>/<generation>/key/<id>/<version>      attributes and public key of a version
//! hsm/<instance>/<generation>/material/<id>/<version> its private part
//! hsm/<instance>/<generation>/leftover/<id>           versions that nothing points to, which a job removes
//! hsm/<instance>/<generation>/rotation/<due>/<id>     a key that rotates by itself, in the order of when it is due
//! hsm/<instance>/<generation>/role-assignment/<guid>  local RBAC: who has which role where
//! hsm/<instance>/<generation>/role-definition/<guid>  local RBAC: custom roles
//! audit/outbox/<node>/<time>/<event id>               events on their way to the log of a node, by when they arrived
//! audit/outbox/<node>/<event id>                      the same as earlier releases wrote them
//! audit/outbox/<event id>                             the same as still earlier ones did: of whichever node starts first
//! drain/<node>                                        in the clear: an operator empties that node (`strongroom-cluster`)
//! node/<id>                                           in the clear: the registration of a node (`strongroom-cluster`)
//! copying                                             in the clear: a deployment is being copied into this store
//! ```

use std::fmt;

use strongroom_types::{InstanceId, KeyId, KeyName, KeyVersion, NodeId, Timestamp};
use uuid::Uuid;

use crate::backup::JobId;
use crate::pools::MANAGEMENT_GUARD;

/// The deployment record.
pub const DEPLOYMENT: &str = "deployment";
/// Prefix of everything sealed under the deployment key that belongs to no HSM.
pub const DEPLOYMENT_AREA: &str = "d/";
/// Prefix of the registrations of nodes, which `strongroom-cluster` keeps. They belong to the store and not to the deployment.
pub const NODES: &str = "node/";
/// Prefix of what says that an operator empties a node; it belongs to the store as well.
pub const DRAINS: &str = "drain/";
/// There while a deployment is copied into this store: until it is whole, it has no deployment record.
pub const COPYING: &str = "copying";
/// Prefix of events on their way to a log.
pub const OUTBOX: &str = "audit/outbox/";

/// Prefix of events on their way to the log of a node.
pub fn outbox_of(node: NodeId) -> String {
    format!("{OUTBOX}{node}/")
}

/// An event on its way to the log of a node, by when its request had arrived: events come and go in about this order, and
/// those that lie beside each other share the pages that are written for them.
pub fn outbox(node: NodeId, time: &str, event: Uuid) -> String {
    written(format_args!("{OUTBOX}{node}/{time}/{event}"))
}

/// Whose log an event is on its way to; none for one that a release before there were several nodes has written.
pub fn outbox_owner(key: &str) -> Option<NodeId> {
    key.strip_prefix(OUTBOX)?.split_once('/')?.0.parse().ok()
}

/// The record of a managed HSM, as both planes know it, under its folded name.
pub fn managed_hsm(folded_name: &str) -> String {
    [MANAGED_HSMS, folded_name].concat()
}

/// Prefix of the records of managed HSMs.
pub const MANAGED_HSMS: &str = "d/managed-hsm/";

/// The record of a vault, as both planes know it, under its folded name.
pub fn vault(folded_name: &str) -> String {
    [VAULTS, folded_name].concat()
}

/// Prefix of the records of vaults.
pub const VAULTS: &str = "d/vault/";

/// Who decides about the keys of a vault.
pub fn access(instance: InstanceId) -> String {
    format!("hsm/{instance}/access")
}

/// The guard of an HSM or a vault.
pub fn guard(instance: InstanceId) -> String {
    written(format_args!("hsm/{instance}/guard"))
}

/// Whether a store key is that of a guard: of an HSM, a vault, or the management plane.
pub fn is_guard(key: &str) -> bool {
    let of_instance = || key.strip_prefix("hsm/")?.strip_suffix("/guard").map(|instance| !instance.contains('/'));
    key == MANAGEMENT_GUARD || of_instance() == Some(true)
}

/// Whether a store key is that of key material, which a node of a cluster reads when it is needed.
pub fn is_material(key: &str) -> bool {
    key.starts_with("hsm/") && key.split('/').nth(3) == Some("material")
}

/// The wrapped roots of an HSM.
pub fn domain(instance: InstanceId) -> String {
    format!("hsm/{instance}/domain")
}

/// The backup or restore of an instance that is under way.
pub fn running_job(instance: InstanceId) -> String {
    format!("{RUNNING_JOBS}{instance}")
}

/// When a node that works on backups and restores was last heard of.
pub fn job_owner(node: NodeId) -> String {
    format!("{JOB_OWNERS}{node}")
}

/// Prefix of when each of those nodes was last heard of.
pub const JOB_OWNERS: &str = "d/job-owner/";

/// Prefix of the backups and restores that are under way.
pub const RUNNING_JOBS: &str = "d/job/";

/// What was backed up and restored of an HSM.
pub fn backups(instance: InstanceId) -> String {
    format!("hsm/{instance}/backups")
}

/// A backup or restore of an HSM.
pub fn job(instance: InstanceId, id: JobId) -> String {
    format!("hsm/{instance}/job/{id}")
}

/// What opens the blob container of a backup or restore, until it ends.
pub fn job_credential(instance: InstanceId, id: JobId) -> String {
    format!("hsm/{instance}/job-credential/{id}")
}

/// Everything of an HSM or a vault.
pub fn instance(instance: InstanceId) -> String {
    format!("hsm/{instance}/")
}

/// The key of a record that nearly every request reads, in memory that need not grow.
pub(crate) fn written(key: fmt::Arguments<'_>) -> String {
    let mut text = String::with_capacity(KEY_BYTES);
    // Writing to a text does not fail.
    let _ = fmt::Write::write_fmt(&mut text, key);
    text
}

/// Room for most keys.
const KEY_BYTES: usize = 128;

/// One generation of an HSM's data; a restore makes a new one and switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation {
    /// The HSM.
    pub instance: InstanceId,
    /// Counted from 1.
    pub number: u32,
}

impl Generation {
    /// Everything of the generation.
    pub fn prefix(self) -> String {
        format!("hsm/{}/{}/", self.instance, self.number)
    }

    /// Prefix of all key names.
    pub fn names(self) -> String {
        format!("hsm/{}/{}/name/", self.instance, self.number)
    }

    /// A key's name record.
    pub fn name(self, name: &KeyName) -> String {
        written(format_args!("hsm/{}/{}/name/{}", self.instance, self.number, name.folded()))
    }

    /// Prefix of a key's version records.
    pub fn versions(self, id: KeyId) -> String {
        format!("hsm/{}/{}/key/{id}/", self.instance, self.number)
    }

    /// A version record.
    pub fn version(self, id: KeyId, version: KeyVersion) -> String {
        written(format_args!("hsm/{}/{}/key/{id}/{version}", self.instance, self.number))
    }

    /// Prefix of a key's material.
    pub fn materials(self, id: KeyId) -> String {
        format!("hsm/{}/{}/material/{id}/", self.instance, self.number)
    }

    /// A version's material.
    pub fn material(self, id: KeyId, version: KeyVersion) -> String {
        format!("{}{version}", self.materials(id))
    }

    /// Prefix of purged keys whose versions remain to be removed.
    pub fn leftovers(self) -> String {
        format!("hsm/{}/{}/leftover/", self.instance, self.number)
    }

    /// A purged key whose versions remain to be removed.
    pub fn leftover(self, id: KeyId) -> String {
        format!("{}{id}", self.leftovers())
    }

    /// Prefix of the keys that rotate by themselves.
    pub fn due_rotations(self) -> String {
        format!("hsm/{}/{}/rotation/", self.instance, self.number)
    }

    /// A key that rotates by itself; in the order of the time it is due, which is not before 1970.
    pub fn due_rotation(self, due: Timestamp, id: KeyId) -> String {
        format!("{}{:016x}/{id}", self.due_rotations(), due.millis())
    }

    /// Prefix of all role assignments.
    pub fn role_assignments(self) -> String {
        format!("hsm/{}/{}/role-assignment/", self.instance, self.number)
    }

    /// A role assignment.
    pub fn role_assignment(self, name: Uuid) -> String {
        format!("{}{name}", self.role_assignments())
    }

    /// Prefix of all custom role definitions.
    pub fn role_definitions(self) -> String {
        format!("hsm/{}/{}/role-definition/", self.instance, self.number)
    }

    /// A custom role definition.
    pub fn role_definition(self, id: Uuid) -> String {
        format!("{}{id}", self.role_definitions())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_lie_in_the_order_of_their_requests_and_name_their_node_in_every_form() {
        let (node, early, late) = (NodeId::from_random([7; 16]), Uuid::from_u128(9), Uuid::from_u128(1));
        let first = outbox(node, "2026-11-27T10:00:00.000Z", early);
        let second = outbox(node, "2026-11-27T10:00:00.001Z", late);
        assert!(first < second && first.starts_with(&outbox_of(node)));
        let before = format!("{}{early}", outbox_of(node));
        assert_eq!([first, before].map(|key| outbox_owner(&key)), [Some(node); 2]);
        assert_eq!(outbox_owner(&format!("{OUTBOX}{early}")), None);
    }
}
