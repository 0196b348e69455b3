//! Reading keys: one, its versions, all, the deleted ones; lists in pages of one moment.

use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_store::{Revision, StoreError};
use strongroom_types::{DataAction, KeyName, ParseError, Scope};

use crate::barrier::{PageOf, Stored};
use crate::container::{KeyContainer, Part, Permit};
use crate::keys::record::{DeletedKey, Key, KeyReference, NameRecord};
use crate::limits::Limits;
use crate::request::Request;
use crate::{Error, Result};

/// Which page of a list.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Where to go on; `None` for the first page.
    pub token: Option<PageToken>,
    /// Most entries.
    pub limit: usize,
}

/// Where a list goes on: a position and the revision the list began at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken {
    #[serde(rename = "a")]
    after: String,
    #[serde(rename = "r")]
    revision: u64,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct KeyPage<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the list goes on, if it does.
    pub next: Option<PageToken>,
}

impl std::fmt::Display for PageToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| std::fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for PageToken {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = ParseError::new("$skiptoken", "the token of a nextLink");
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| error.clone())?;
        serde_json::from_slice(&json).map_err(|_| error)
    }
}

impl PageRequest {
    /// A page of as many entries as the limit allows, or fewer.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for another number.
    pub fn new(token: Option<PageToken>, limit: Option<usize>, limits: &Limits) -> Result<Self> {
        let most = limits.page_entries;
        let limit = limit.unwrap_or(most);
        if !(1..=most).contains(&limit) {
            return Err(Error::bad_parameter("maxresults", format!("must be 1 to {most}")));
        }
        Ok(Self { token, limit })
    }
}

/// Which names a list shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Live,
    Deleted,
}

impl KeyContainer<'_> {
    /// One version of a key, the latest if none is named.
    pub async fn key(&self, request: &Request, reference: &KeyReference) -> Result<Key> {
        let scope = Scope::Key(reference.name.clone());
        let permit = self.authorize(request, DataAction::KeysRead, &scope).await?;
        self.read_key(&permit, reference).await
    }

    pub(super) async fn read_key(&self, permit: &Permit<'_>, reference: &KeyReference) -> Result<Key> {
        let name = self.live_name(permit, &reference.name).await?;
        let (version, record) = self.version_record(permit, &name.value, reference.version).await?;
        Ok(record.value.show(self.record(), &name.value.name, version))
    }

    /// The latest version of each key, by name.
    pub async fn keys(&self, request: &Request, page: PageRequest) -> Result<KeyPage<Key>> {
        let permit = self.authorize_part(request, DataAction::KeysRead, Part::List, &Scope::Keys).await?;
        self.read_keys(&permit, page).await
    }

    pub(super) async fn read_keys(&self, permit: &Permit<'_>, page: PageRequest) -> Result<KeyPage<Key>> {
        let (names, next) = self.names(permit, page, Names::Live).await?;
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            entries.extend(unless_purged(self.latest(permit, &name.value).await)?);
        }
        Ok(KeyPage { entries, next })
    }

    /// All versions of a key, oldest first.
    pub async fn key_versions(&self, request: &Request, name: &KeyName, page: PageRequest) -> Result<KeyPage<Key>> {
        let scope = Scope::Key(name.clone());
        let permit = self.authorize_part(request, DataAction::KeysRead, Part::List, &scope).await?;
        self.read_versions(&permit, name, page).await
    }

    pub(super) async fn read_versions(
        &self,
        permit: &Permit<'_>,
        name: &KeyName,
        page: PageRequest,
    ) -> Result<KeyPage<Key>> {
        let found = self.live_name(permit, name).await?;
        // The list of versions only grows at its end, so a position is a number of versions already shown.
        let from = match page.token {
            None => 0,
            Some(token) => {
                token.after.parse().map_err(|_| Error::bad_parameter("$skiptoken", "is not one of this list"))?
            }
        };
        let versions = found.value.versions.iter().copied();
        let mut entries = Vec::new();
        for version in versions.skip(from).take(page.limit) {
            let (version, record) = self.version_record(permit, &found.value, Some(version)).await?;
            entries.push(record.value.show(self.record(), &found.value.name, version));
        }
        let shown = from.saturating_add(entries.len());
        let next = (shown < found.value.versions.len())
            .then(|| PageToken { after: shown.to_string(), revision: found.revision.0 });
        Ok(KeyPage { entries, next })
    }

    /// A soft-deleted key.
    pub async fn deleted_key(&self, request: &Request, name: &KeyName) -> Result<DeletedKey> {
        let permit = self.authorize(request, DataAction::DeletedKeysRead, &Scope::Key(name.clone())).await?;
        let found = self.name_record(&permit, name).await?.filter(|stored| stored.value.deletion.is_some());
        let found = found.ok_or_else(|| Error::KeyNotFound { name: name.clone(), version: None })?;
        self.show_deleted(&permit, &found.value).await
    }

    /// All soft-deleted keys, by name.
    pub async fn deleted_keys(&self, request: &Request, page: PageRequest) -> Result<KeyPage<DeletedKey>> {
        let permit = self.authorize_part(request, DataAction::DeletedKeysRead, Part::List, &Scope::Keys).await?;
        let (names, next) = self.names(&permit, page, Names::Deleted).await?;
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            entries.extend(unless_purged(self.show_deleted(&permit, &name.value).await)?);
        }
        Ok(KeyPage { entries, next })
    }

    pub(super) async fn show_deleted(&self, permit: &Permit<'_>, name: &NameRecord) -> Result<DeletedKey> {
        let deletion = name.deletion.ok_or(Error::Internal("a live key is shown as deleted"))?;
        let key = self.latest(permit, name).await?;
        Ok(DeletedKey { key, deleted: deletion.at, scheduled_purge: deletion.scheduled_purge })
    }

    async fn latest(&self, permit: &Permit<'_>, name: &NameRecord) -> Result<Key> {
        let (version, record) = self.version_record(permit, name, None).await?;
        Ok(record.value.show(self.record(), &name.name, version))
    }

    /// A page of names, live or deleted: all pages of a list are of the moment the first was read.
    async fn names(
        &self,
        permit: &Permit<'_>,
        page: PageRequest,
        wanted: Names,
    ) -> Result<(Vec<Arc<Stored<NameRecord>>>, Option<PageToken>)> {
        let prefix = permit.generation().names();
        let (mut after, mut revision) = match page.token {
            None => (None, None),
            Some(token) => (Some(format!("{prefix}{}", token.after)), Some(Revision(token.revision))),
        };
        let mut names = Vec::new();
        loop {
            let found = self.page_of_names(permit, &prefix, after.as_deref(), revision).await?;
            revision = Some(found.revision);
            let more_in_store = found.next.clone();
            let mut records = found.records.into_iter().filter(|stored| match wanted {
                Names::Live => stored.value.deletion.is_none(),
                Names::Deleted => stored.value.deletion.is_some(),
            });
            names.extend(records.by_ref().take(page.limit - names.len()));
            let more = records.next().is_some();
            if names.len() == page.limit && (more || more_in_store.is_some()) {
                let next = names.last().map(|last: &Arc<Stored<NameRecord>>| PageToken {
                    after: last.value.name.folded().to_owned(),
                    revision: found.revision.0,
                });
                return Ok((names, next));
            }
            match more_in_store {
                Some(last) => after = Some(last),
                None => return Ok((names, None)),
            }
        }
    }

    /// Reads at the list's revision; once that is no longer kept, the list goes on as things are now.
    async fn page_of_names(
        &self,
        permit: &Permit<'_>,
        prefix: &str,
        after: Option<&str>,
        revision: Option<Revision>,
    ) -> Result<PageOf<Arc<Stored<NameRecord>>>> {
        let (barrier, sealer) = (permit.barrier(), permit.sealer());
        match barrier.page_kept(sealer, prefix, after, SCAN, revision).await {
            Err(Error::Store(StoreError::Compacted(_))) => barrier.page_kept(sealer, prefix, after, SCAN, None).await,
            other => other,
        }
    }
}

/// A list leaves out what was purged since the moment it shows.
fn unless_purged<T>(shown: Result<T>) -> Result<Option<T>> {
    match shown {
        Err(Error::KeyNotFound { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Names read at a time: a page of the default size, and one more to know whether it is the last.
const SCAN: usize = 26;
