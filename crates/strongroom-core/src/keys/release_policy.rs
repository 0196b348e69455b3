//! Release policies: which environments a key may be released to (data-plane.md "Secure key release").
//!
//! ```text
//! policy    = {"version": "1.0.0", "anyOf": [authority, …]}
//! authority = {"authority": "https://…", "allOf" | "anyOf": [condition, …]}
//! condition = {"claim": "a.b", "equals": text | number | true | false} | {"allOf" | "anyOf": [condition, …]}
//! ```
//! The grammar reserves operators besides `equals`; a policy with one of them is refused, because a condition that nobody
//! evaluates would be worse than none. What is kept is what was understood: answers show the canonical text.

mod grammar;
mod terms;

use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::identity::token::Claims;
use crate::{Error, Result};

pub use terms::{Release, ReleaseTerms};

/// `release_policy`: the rules, what the client called them, and whether they may still be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasePolicy {
    content_type: String,
    immutable: bool,
    rules: Rules,
}

impl ReleasePolicy {
    /// A policy from the text a client sent. An absent content type is that of JSON.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if the text does not follow the grammar or goes beyond a limit; it is not repeated.
    pub fn new(content_type: Option<String>, immutable: bool, text: &[u8]) -> Result<Self> {
        let content_type = content_type.unwrap_or_else(|| CONTENT_TYPE.to_owned());
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if content_type.len() > CONTENT_TYPE_BYTES_MAX || !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Error::bad_parameter(PARAMETER, "contentType must be application/json"));
        }
        let rules = Rules::parse(text).map_err(|problem| Error::bad_parameter(PARAMETER, problem))?;
        Ok(Self { content_type, immutable, rules })
    }

    /// `contentType`.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Whether it can never be changed again.
    pub fn is_immutable(&self) -> bool {
        self.immutable
    }

    /// The canonical text: compact, members in alphabetical order.
    pub fn canonical(&self) -> String {
        self.rules.to_string()
    }

    /// Whether some rule trusts this issuer of statements.
    pub fn trusts(&self, issuer: &str) -> bool {
        self.rules.0.iter().any(|rule| rule.authority.is(issuer))
    }

    /// Whether what an issuer says about an environment is enough.
    pub fn allows(&self, issuer: &str, claims: &Claims) -> bool {
        self.rules.0.iter().any(|rule| rule.authority.is(issuer) && rule.conditions.hold(claims))
    }
}

/// The rules, any of which is enough; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rules(Vec<Rule>);

/// An authority and what it must say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    authority: Authority,
    conditions: Conditions,
}

/// The `https` URL of an attestation authority, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority(String);

impl Authority {
    /// An `https` URL without user, query or fragment. What connects to it looks closer.
    fn parse(text: String) -> Option<Self> {
        let rest = text.strip_prefix("https://")?;
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@' | '\\' | '"' | '<' | '>');
        let has_host = !rest.is_empty() && !rest.starts_with(['/', ':']);
        (text.len() <= AUTHORITY_BYTES_MAX && has_host && rest.chars().all(plain)).then_some(Self(text))
    }

    /// Policies name their authority with and without a slash at the end; the tokens of one authority have one spelling.
    fn is(&self, issuer: &str) -> bool {
        let bare = |url: &str| url.strip_suffix('/').unwrap_or(url).to_owned();
        bare(&self.0) == bare(issuer)
    }
}

/// Conditions, all or any of which must hold; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Conditions {
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Claim { name: String, equals: Operand },
    Group(Conditions),
}

/// What a claim is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Truth(bool),
    Number(Number),
    Text(String),
}

impl Conditions {
    // As deep as the grammar's limit, which was checked when it was parsed.
    fn hold(&self, claims: &Claims) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(claims)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(claims)),
        }
    }
}

impl Condition {
    /// A claim that is missing fulfils nothing.
    fn holds(&self, claims: &Claims) -> bool {
        match self {
            Self::Claim { name, equals } => claims.nested(name).is_some_and(|claim| equals.is(claim)),
            Self::Group(conditions) => conditions.hold(claims),
        }
    }
}

impl Operand {
    fn is(&self, claim: &serde_json::Value) -> bool {
        use serde_json::Value;
        match (self, claim) {
            (Self::Truth(wanted), Value::Bool(found)) => wanted == found,
            (Self::Number(wanted), Value::Number(found)) => same_number(wanted, found),
            (Self::Text(wanted), Value::String(found)) => wanted == found,
            // Policies in use write truth as text where authorities send it as JSON knows it, and the reverse.
            (Self::Text(wanted), Value::Bool(found)) => wanted == truth(*found),
            (Self::Truth(wanted), Value::String(found)) => truth(*wanted) == found,
            _ => false,
        }
    }
}

fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Whole numbers are compared exactly, and with fractions by value.
fn same_number(one: &Number, other: &Number) -> bool {
    one == other || ((one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64())
}

/// What a policy is called if the client does not say.
pub const CONTENT_TYPE: &str = "application/json; charset=utf-8";
const CONTENT_TYPE_BYTES_MAX: usize = 128;
/// Bytes of the text of a policy.
pub const POLICY_BYTES_MAX: usize = 16 * 1024;
/// Levels of conditions below an authority.
pub const POLICY_DEPTH_MAX: usize = 8;
/// Conditions and groups of a policy in all.
pub const POLICY_CONDITIONS_MAX: usize = 256;
/// Authorities of a policy.
pub const POLICY_AUTHORITIES_MAX: usize = 32;
/// Bytes of an authority's URL.
pub const AUTHORITY_BYTES_MAX: usize = 512;
/// Bytes of the name of a claim, and of a text it is compared with.
pub const CLAIM_BYTES_MAX: usize = 1024;

const PARAMETER: &str = "release_policy";

#[cfg(test)]
mod tests;
