//! What a request asks for: the row of the operation table, the api-version, and what the path names.
//!
//! All of it follows from the method, the path and the query, and from nothing else: so it is remembered under these.

use std::sync::Arc;

use http::Method;
use quick_cache::sync::Cache;
use strongroom_api::operations::{self, Match, Operation, VersionRule};
use strongroom_api::path::{Captures, RequestPath};
use strongroom_api::version::ApiVersion;
use strongroom_core::keys::KeyReference;

use super::{ApiError, Product, wire};
use crate::http::exchange::Inbound;

/// What a request asks for.
pub(crate) struct Asked {
    pub(super) row: &'static Operation,
    pub(super) version: ApiVersion,
    pub(super) captures: Captures,
    /// The key that the path names; `None` if it names none, or none that there can be.
    pub(super) key: Option<KeyReference>,
}

/// What was asked for before.
pub(super) struct AskedBefore(Cache<Arc<str>, (Method, Arc<Asked>)>);

impl Default for AskedBefore {
    fn default() -> Self {
        Self(Cache::new(TARGETS_MAX))
    }
}

impl AskedBefore {
    /// What a request asks for.
    pub(super) fn find(&self, inbound: &Inbound) -> Result<Arc<Asked>, ApiError> {
        let product = Product::of(inbound);
        let target = inbound.uri();
        if let Some((method, asked)) = self.0.get(target)
            && method == inbound.method
        {
            return if product.has(asked.row.containers) { Ok(asked) } else { Err(ApiError::RouteNotFound) };
        }
        let asked = Arc::new(read(inbound, product)?);
        if target.len() <= TARGET_BYTES_MAX {
            self.0.insert(Arc::clone(target), (inbound.method.clone(), Arc::clone(&asked)));
        }
        Ok(asked)
    }
}

fn read(inbound: &Inbound, product: Product) -> Result<Asked, ApiError> {
    let named = inbound.query_parameter("api-version");
    let named: Option<ApiVersion> =
        named.map(|text| text.parse()).transpose().map_err(|_| ApiError::ApiVersionUnknown)?;
    let path = RequestPath::parse(inbound.path());
    let found = path.map_or(Match::NotFound, |path| operations::find(inbound.method.as_str(), &path));
    let version = match (named, &found) {
        (Some(version), _) => version,
        (None, Match::Operation(row, _)) if row.version == VersionRule::Optional => row.since,
        (None, _) => return Err(ApiError::ApiVersionMissing),
    };
    match found {
        Match::Operation(row, _) if !product.has(row.containers) => Err(ApiError::RouteNotFound),
        Match::Operation(row, captures) if row.since <= version => {
            let key = wire::key_of(&captures).ok();
            Ok(Asked { row, version, captures, key })
        }
        Match::Operation(row, _) => Err(ApiError::ApiVersionTooOld { since: row.since }),
        Match::MethodNotAllowed => Err(ApiError::MethodNotAllowed),
        Match::NotFound => Err(ApiError::RouteNotFound),
    }
}

/// Targets that are remembered, and the longest of them: a few megabytes.
const TARGETS_MAX: usize = 4096;
const TARGET_BYTES_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::tests::asking;
    use crate::http::exchange::{Plane, Target};

    fn hsm() -> Plane {
        Plane::ManagedHsm("a".to_owned())
    }

    #[test]
    fn what_was_asked_before_is_found_again_and_nothing_else_in_its_place() {
        const VERSION: &str = "api-version=7.6";
        let before = AskedBefore::default();
        // Twice: what is remembered of one must not be the answer to another.
        for _ in 0..2 {
            let found = |method, path: &str, query: &str| before.find(&asking(method, hsm(), Target::new(path, query)));
            let get = found(Method::GET, "/keys/k", VERSION).ok().unwrap();
            let update = found(Method::PATCH, "/keys/k", VERSION).ok().unwrap();
            assert_eq!((get.row.audit_name, update.row.audit_name), ("KeyGet", "KeyUpdate"));
            assert_eq!(get.key.as_ref().unwrap().name.as_str(), "k");
            assert!(get.key.as_ref().unwrap().version.is_none());
            let version = "0123456789abcdef0123456789abcdef";
            let of_version = found(Method::GET, &format!("/keys/k/{version}"), VERSION).ok().unwrap();
            assert_eq!(of_version.key.as_ref().unwrap().version.unwrap().to_string(), version);
            let no_version = found(Method::GET, "/keys/k/latest", VERSION).ok().unwrap();
            assert!(no_version.key.is_none() && no_version.captures.get("key-version") == Some("latest"));
            assert!(matches!(found(Method::GET, "/keys/k", ""), Err(ApiError::ApiVersionMissing)));
            assert!(matches!(found(Method::GET, "/keys/k", "api-version=1"), Err(ApiError::ApiVersionUnknown)));
            assert!(matches!(
                found(Method::PUT, "/keys/k/sign", VERSION),
                Err(ApiError::MethodNotAllowed | ApiError::RouteNotFound)
            ));
        }
    }

    #[test]
    fn an_operation_of_managed_hsms_is_none_of_vaults_although_it_was_asked_for_there() {
        let before = AskedBefore::default();
        let vault = || Plane::Vault("a".to_owned());
        for plane in [hsm(), vault(), hsm(), vault()] {
            let is_vault = plane == vault();
            let found = before.find(&asking(Method::POST, plane, Target::new("/rng", "api-version=7.6")));
            assert_eq!(matches!(found, Err(ApiError::RouteNotFound)), is_vault);
        }
    }
}
