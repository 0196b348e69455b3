//! Tokens and the keys that prove them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_core::identity::token::{ClaimNames, Claims, KeySet, ParsedToken, TOKEN_BYTES_MAX, TokenError};
use strongroom_types::{TenantId, Timestamp};
use uuid::Uuid;

use crate::START;

/// No bytes become a token that counts: nobody here has the key that the set publishes.
pub(super) fn token(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    check(text);
    // Damaged letters of base64 seldom spell JSON, so the two halves are also given in the clear.
    if let Some((header, claims)) = text.split_once('\n') {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        check(&format!("{header}.{claims}.c2lnbmF0dXJl"));
    }
}

fn check(text: &str) {
    let Ok(parsed) = ParsedToken::parse(text) else { return };
    assert!(text.len() <= TOKEN_BYTES_MAX, "longer than any token may be");
    caller(parsed.unproved_claims());
    let keys = KeySet::parse(PUBLISHED).ok();
    let kid = parsed.header().kid.clone().unwrap_or_default();
    let known = keys.as_ref().and_then(|keys| keys.get(&kid).or_else(|| keys.get("rsa")));
    if let Some(key) = known {
        let refused = key.verify(parsed, START).err();
        assert!(refused.is_some(), "a token was accepted that nobody signed");
        assert_ne!(refused, Some(TokenError::UnknownIssuer), "the key knows no issuers");
    }
}

fn caller(claims: &Claims) {
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let in_time = claims.check_time(START).is_ok();
    if in_time {
        let ends = claims.expires().unwrap_or(Timestamp::from_seconds(0));
        assert!(ends.plus_seconds(60) > START, "an expired token counts");
    }
    let _ = claims.check_audience(|audience| audience == "https://managedhsm.localhost");
    if let Ok(caller) = ClaimNames::default().caller(claims, tenant, START) {
        assert_eq!(caller.tenant, tenant, "a token chose its tenant");
        assert!(caller.groups.len() <= 500, "more groups than are looked at");
        let shown = [caller.name, caller.application];
        let bounded = |text: &String| text.chars().count() <= 256 && !text.chars().any(char::is_control);
        assert!(shown.iter().flatten().all(bounded), "a name that is not fit for a log");
    }
}

/// A set of keys is read or refused, and holds a bounded number.
pub(super) fn key_set(input: &[u8]) {
    let Ok(keys) = KeySet::parse(input) else { return };
    for kid in ["rsa", "ec", ""] {
        let _ = keys.get(kid);
    }
    let _ = keys.is_empty();
}

/// Public keys whose private halves were thrown away.
const PUBLISHED: &[u8] = include_bytes!("../../../../fuzz/corpus/key-set/two-keys.json");
