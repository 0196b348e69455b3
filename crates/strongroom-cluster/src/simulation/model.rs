//! Keys and rights in small: the same records, the same guard and the same preconditions as the core has, without the
//! cryptography.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use strongroom_store::{Commit, Entry, Kv, Outcome, Precondition, StoreError, Write};
use strongroom_testkit::event_of;

/// The guard's store key.
pub(super) const GUARD: &str = "hsm/guard";
/// Prefix of the rights.
pub(super) const ROLES: &str = "hsm/role/";
/// Prefix of the keys.
pub(super) const KEYS: &str = "hsm/key/";
/// Prefix of the material, which is read on demand.
pub(super) const MATERIALS: &str = "hsm/material/";
/// Prefix of the events on their way to the log, which no answer depends on.
pub(super) const OUTBOX: &str = "audit/outbox/";

/// Rewritten by every change of rights; compared by every write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Guard {
    pub(super) rights: u64,
}

/// What somebody may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Role {
    /// Drawn anew for each assignment.
    pub(super) assignment: u64,
    pub(super) administrator: bool,
    /// The revision of the guard under which it was written.
    pub(super) guard: u64,
}

/// A key's name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) state: KeyState,
    /// The revision of the guard under which it was written.
    pub(super) guard: u64,
}

/// What a client can see of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct KeyState {
    /// Which creation of the name.
    pub(super) life: u64,
    pub(super) version: u32,
    pub(super) enabled: bool,
    pub(super) deleted: bool,
}

/// A change of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    /// As the core does it: a name in use gets a new version.
    CreateVersion,
    Rotate,
    Enable,
    Disable,
    Delete,
    Recover,
    Purge,
}

/// How something ended that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The version that was made, changed or used: its life and number.
    Done(u64, u32),
    /// The same, and it was not told which.
    Some,
    /// The key is gone.
    Purged,
    NotFound,
    Exists,
    IsDeleted,
    IsDisabled,
}

impl Answer {
    /// Whether a client that was told this may have been told `other`, which says all.
    pub(super) fn tells(self, other: Self) -> bool {
        self == other || (self == Self::Some && matches!(other, Self::Done(..) | Self::Purged))
    }
}

/// Why there is no answer to record.
#[derive(Debug)]
pub(super) enum Failure {
    Forbidden,
    /// Nothing was written.
    Refused,
    /// It may have happened.
    Unknown,
    /// What was read cannot be.
    Wrong(String),
}

/// What a change makes of a key's state, and what its client is told. Also what the histories are checked against.
pub(super) fn change(state: Option<KeyState>, action: Action, life: u64) -> Result<(Option<KeyState>, Answer), Answer> {
    let done = |state: KeyState| Ok((Some(state), Answer::Done(state.life, state.version)));
    match (action, state) {
        (Action::Create | Action::CreateVersion, None) => {
            done(KeyState { life, version: 1, enabled: true, deleted: false })
        }
        (Action::Create | Action::CreateVersion, Some(state)) if state.deleted => Err(Answer::IsDeleted),
        (Action::CreateVersion, Some(state)) => done(KeyState { version: state.version + 1, enabled: true, ..state }),
        (Action::Create, Some(_)) => Err(Answer::Exists),
        (_, None) => Err(Answer::NotFound),
        (Action::Recover, Some(state)) if state.deleted => done(KeyState { deleted: false, ..state }),
        (Action::Purge, Some(state)) if state.deleted => Ok((None, Answer::Purged)),
        (Action::Recover | Action::Purge, Some(_)) => Err(Answer::NotFound),
        (_, Some(state)) if state.deleted => Err(Answer::NotFound),
        (Action::Rotate, Some(state)) => done(KeyState { version: state.version + 1, ..state }),
        (Action::Enable, Some(state)) => done(KeyState { enabled: true, ..state }),
        (Action::Disable, Some(state)) => done(KeyState { enabled: false, ..state }),
        (Action::Delete, Some(state)) => done(KeyState { deleted: true, ..state }),
    }
}

/// What the use of a key in this state is answered.
pub(super) fn used(state: Option<KeyState>) -> Answer {
    match state {
        None => Answer::NotFound,
        Some(state) if state.deleted => Answer::NotFound,
        Some(state) if !state.enabled => Answer::IsDisabled,
        Some(state) => Answer::Done(state.life, state.version),
    }
}

/// Leave to do something, as the rights were.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permit {
    pub(super) guard: u64,
    pub(super) rights: u64,
    pub(super) assignment: u64,
    pub(super) administrator: bool,
}

/// Reads guard and role, both of one state of the rights.
pub(super) async fn authorize(store: &dyn Kv, principal: usize) -> Result<Permit, Failure> {
    loop {
        let guard = read(store, GUARD).await?.ok_or(Failure::Forbidden)?;
        let role = read(store, &format!("{ROLES}{principal}")).await?;
        let again = read(store, GUARD).await?;
        if again.is_some_and(|again| again.modified == guard.modified) {
            let Role { assignment, administrator, guard: _ } = decode(&role.ok_or(Failure::Forbidden)?);
            let rights = decode::<Guard>(&guard).rights;
            return Ok(Permit { guard: guard.modified.0, rights, assignment, administrator });
        }
    }
}

/// The key's record, and its state.
pub(super) async fn key(store: &dyn Kv, name: usize) -> Result<(Option<Entry>, Option<KeyState>), Failure> {
    let found = read(store, &format!("{KEYS}{name}")).await?;
    let state = found.as_ref().map(|entry| decode::<KeyRecord>(entry).state);
    Ok((found, state))
}

/// Reads the material of a version and checks that it is that and no other. `None` if the key changed meanwhile.
pub(super) async fn material(store: &dyn Kv, name: usize, state: KeyState) -> Result<Option<()>, Failure> {
    let Some(found) = read(store, &material_key(name, state)).await? else { return Ok(None) };
    if found.value == material_value(name, state) {
        return Ok(Some(()));
    }
    Err(Failure::Wrong(format!("the material of key {name} is not that of {state:?}")))
}

/// Changes a key, once. `None` if somebody was faster.
pub(super) async fn change_key(
    store: &dyn Kv,
    permit: Permit,
    name: usize,
    (action, life): (Action, u64),
    guarded: bool,
) -> Result<Option<Answer>, Failure> {
    let (found, before) = key(store, name).await?;
    let (after, answer) = match change(before, action, life) {
        Ok(changed) => changed,
        Err(refusal) => return Ok(Some(refusal)),
    };
    let key = format!("{KEYS}{name}");
    let mut commit = Commit { preconditions: vec![condition(&key, found.as_ref())], writes: Vec::new() };
    if guarded {
        commit.preconditions.push(Precondition::Unchanged(GUARD.to_owned(), strongroom_store::Revision(permit.guard)));
    }
    match after {
        Some(state) => {
            let record = KeyRecord { state, guard: permit.guard };
            commit.writes.push(Write::Put(key, encode(&record)));
            if matches!(action, Action::Create | Action::CreateVersion | Action::Rotate) {
                commit.writes.push(Write::Put(material_key(name, state), material_value(name, state)));
            }
        }
        None => {
            commit.writes.push(Write::Delete(key));
            let versions = before.into_iter().flat_map(|state| {
                (1..=state.version).map(move |version| material_key(name, KeyState { version, ..state }))
            });
            commit.writes.extend(versions.take(MATERIALS_REMOVED_MAX).map(Write::Delete));
        }
    }
    commit.writes.push(Write::Put(format!("{OUTBOX}{}", event_of(life)), Vec::new()));
    write(store, commit).await.map(|committed| committed.then_some(answer))
}

/// Gives a role, or takes it away (`role: None`), once. `None` if somebody was faster.
pub(super) async fn change_role(
    store: &dyn Kv,
    permit: Permit,
    principal: usize,
    (role, number): (Option<Role>, u64),
    guarded: bool,
) -> Result<Option<Option<u64>>, Failure> {
    let place = format!("{ROLES}{principal}");
    let found = read(store, &place).await?;
    let before = found.as_ref().map(decode::<Role>);
    if before.as_ref().is_some_and(|role| role.administrator) && administrators(store).await? < 2 {
        return Err(Failure::Refused);
    }
    let mut commit = Commit { preconditions: vec![condition(&place, found.as_ref())], writes: Vec::new() };
    if guarded {
        commit.preconditions.push(Precondition::Unchanged(GUARD.to_owned(), strongroom_store::Revision(permit.guard)));
    }
    commit.writes.push(Write::Put(GUARD.to_owned(), encode(&Guard { rights: permit.rights + 1 })));
    commit.writes.push(match role {
        Some(role) => Write::Put(place, encode(&role)),
        None => Write::Delete(place),
    });
    commit.writes.push(Write::Put(format!("{OUTBOX}{}", event_of(number)), Vec::new()));
    let ended = before.map(|role| role.assignment);
    write(store, commit).await.map(|committed| committed.then_some(ended))
}

/// What the deployment begins with: a guard, and a role for everybody.
pub(super) fn founding(principals: usize, administrators: &[usize]) -> Commit {
    let role = |principal: usize| {
        let assignment = u64::try_from(principal).unwrap();
        let role = Role { assignment, administrator: administrators.contains(&principal), guard: 0 };
        Write::Put(format!("{ROLES}{principal}"), encode(&role))
    };
    let mut writes: Vec<Write> = (0..principals).map(role).collect();
    writes.push(Write::Put(GUARD.to_owned(), encode(&Guard { rights: 1 })));
    Commit { preconditions: Vec::new(), writes }
}

pub(super) fn decode<T: DeserializeOwned>(entry: &Entry) -> T {
    serde_json::from_slice(&entry.value).unwrap()
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).unwrap()
}

fn material_key(name: usize, state: KeyState) -> String {
    format!("{MATERIALS}{name}/{}/{}", state.life, state.version)
}

fn material_value(name: usize, state: KeyState) -> Vec<u8> {
    format!("{name} {} {}", state.life, state.version).into_bytes()
}

fn condition(key: &str, found: Option<&Entry>) -> Precondition {
    match found {
        Some(entry) => Precondition::Unchanged(key.to_owned(), entry.modified),
        None => Precondition::Absent(key.to_owned()),
    }
}

async fn administrators(store: &dyn Kv) -> Result<usize, Failure> {
    let page = store.range(ROLES, None, 100, None).await.map_err(|_| Failure::Refused)?;
    Ok(page.entries.iter().filter(|entry| decode::<Role>(entry).administrator).count())
}

async fn read(store: &dyn Kv, key: &str) -> Result<Option<Entry>, Failure> {
    store.get(key).await.map_err(|_| Failure::Refused)
}

/// Whether the commit happened.
async fn write(store: &dyn Kv, commit: Commit) -> Result<bool, Failure> {
    match store.commit(commit).await {
        Ok(Outcome::Committed(_)) => Ok(true),
        Ok(Outcome::Conflict) => Ok(false),
        Err(StoreError::Full) => Err(Failure::Refused),
        Err(_) => Err(Failure::Unknown),
    }
}

/// Writes of one commit are limited.
const MATERIALS_REMOVED_MAX: usize = 40;
