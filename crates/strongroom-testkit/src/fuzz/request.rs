//! Paths and bodies of requests.

use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use strongroom_api::keys as api;
use strongroom_api::operations::{self, Match, OPERATIONS};
use strongroom_api::path::RequestPath;
use strongroom_core::Limits;
use strongroom_core::keys::Tags;
use strongroom_types::{
    Algorithm, CurveName, HsmName, KeyName, KeyOperation, KeyType, KeyVersion, RsaSize, Scope, SymmetricSize,
};

/// A path means the same however often its slashes are repeated and however it is escaped, and hides none.
pub(super) fn path(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    names(text);
    let Ok(path) = RequestPath::parse(text) else { return };
    let segments = path.segments();
    assert!(segments.len() <= RequestPath::SEGMENTS_MAX, "more segments than any path may have");
    let whole = |segment: &String| !segment.is_empty() && !segment.contains(['/', '\0']);
    assert!(segments.iter().all(whole), "an empty segment, or one with a slash in it: {segments:?}");
    let escaped: String =
        segments.iter().map(|segment| format!("//{}", utf8_percent_encode(segment, NON_ALPHANUMERIC))).collect();
    let again = RequestPath::parse(&escaped);
    assert_eq!(again.as_ref(), Ok(&path), "escaped as {escaped}");
    for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"] {
        let Match::Operation(row, captures) = operations::find(method, &path) else { continue };
        assert!(OPERATIONS.iter().any(|known| known.id == row.id), "a row that is not in the table");
        if let Some(name) = captures.get("key-name") {
            assert!(segments.iter().any(|segment| segment == name), "a key name that is no segment: {name}");
        }
    }
}

/// What parses as a name has the form of a name, and parses from what it is shown as.
fn names(text: &str) {
    if let Ok(name) = KeyName::from_str(text) {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        assert!((1..=127).contains(&text.len()) && text.bytes().all(fits), "a key may not be called {text:?}");
        assert_eq!(name.to_string(), text, "a key's name is shown as it was written");
        assert_eq!(KeyName::from_str(name.folded()).as_ref(), Ok(&name), "names are compared without case");
    }
    if let Ok(name) = HsmName::from_str(text) {
        assert!(text.len() <= 24 && text.is_ascii() && !text.contains(['.', '/']), "no HSM is called {text:?}");
        assert_eq!(HsmName::from_str(name.folded()).as_ref(), Ok(&name), "names are compared without case");
    }
    if let Ok(scope) = Scope::from_str(text) {
        assert_eq!(Scope::from_str(&scope.to_string()).as_ref(), Ok(&scope), "a scope is shown as it parses");
        assert!(Scope::Root.covers(&scope), "the root covers {scope}");
    }
    if let Ok(version) = KeyVersion::from_str(text) {
        assert_eq!(KeyVersion::from_str(&version.to_string()), Ok(version), "a version is shown as it parses");
    }
}

/// Bodies are parsed or refused; what is taken from them is within its limits.
pub(super) fn body(input: &[u8]) {
    let _ = parsed::<api::KeyVerifyParameters>(input);
    let _ = parsed::<api::GetRandomBytesRequest>(input);
    let _ = parsed::<api::KeyUpdateParameters>(input);
    if let Some(parameters) = parsed::<api::KeyOperationsParameters>(input) {
        let algorithm = parameters.alg.as_deref().and_then(|alg| Algorithm::from_str(alg).ok());
        if let Some(algorithm) = algorithm {
            assert_eq!(Some(algorithm.as_str()), parameters.alg.as_deref(), "an algorithm has one spelling");
        }
    }
    let Some(parameters) = parsed::<api::KeyCreateParameters>(input) else { return };
    let _ = parameters.kty.as_deref().map(KeyType::from_wire);
    let _ = parameters.crv.as_deref().map(CurveName::from_str);
    if let Some(size) = parameters.key_size {
        let known =
            RsaSize::try_from(size).map(RsaSize::bits).or(SymmetricSize::try_from(size).map(SymmetricSize::bits));
        assert!(known.is_err() || known == Ok(size), "a size becomes another one: {size}");
    }
    for operation in parameters.key_ops.iter().flatten() {
        let known = KeyOperation::from_str(operation);
        assert!(known.is_err() || known.map(KeyOperation::as_str) == Ok(operation.as_str()), "{operation}");
    }
    let Some(tags) = parameters.tags else { return };
    let count = tags.len();
    assert!(Tags::new(tags, &Limits::default()).is_err() || count <= 15, "{count} tags");
}

fn parsed<T: DeserializeOwned>(input: &[u8]) -> Option<T> {
    serde_json::from_slice(input).ok()
}
