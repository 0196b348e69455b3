//! Release policies, whose rules decide where a key may go.

#![expect(clippy::expect_used, reason = "an empty object is a set of claims, or nothing here works")]

use strongroom_core::identity::token::Claims;
use strongroom_core::keys::ReleasePolicy;

/// A policy that is accepted means what its canonical text means, and trusts nobody it does not name.
pub(super) fn policy(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (rules, claims) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(policy) = ReleasePolicy::new(None, false, rules.as_bytes()) else { return };
    let canonical = policy.canonical();
    let again = ReleasePolicy::new(None, false, canonical.as_bytes());
    assert_eq!(again.as_ref().ok(), Some(&policy), "the canonical text means something else: {canonical}");
    assert!(!policy.allows("https://elsewhere.example", &no_claims()), "a policy trusts whom it does not name");
    let Ok(claims) = serde_json::from_str::<Claims>(claims) else { return };
    let allowed = policy.allows(AUTHORITY, &claims);
    assert!(!allowed || policy.trusts(AUTHORITY), "an authority that is not trusted was believed");
    let after = again.is_ok_and(|again| again.allows(AUTHORITY, &claims));
    assert_eq!(allowed, after, "the canonical text decides otherwise: {canonical}");
    assert!(!policy.allows(AUTHORITY, &no_claims()), "an environment that says nothing was allowed");
}

fn no_claims() -> Claims {
    serde_json::from_str("{}").expect("an empty object is a set of claims")
}

const AUTHORITY: &str = "https://attest.localhost";
