//! The text of a policy, both ways: strictly parsed, canonically written.

use std::fmt;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{
    Authority, CLAIM_BYTES_MAX, Condition, Conditions, Operand, POLICY_AUTHORITIES_MAX, POLICY_BYTES_MAX,
    POLICY_CONDITIONS_MAX, POLICY_DEPTH_MAX, Rule, Rules,
};

impl Rules {
    /// Parses the text of a policy.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(format!("the policy is longer than {POLICY_BYTES_MAX} bytes"));
        }
        Self::from_text(text)
    }

    /// The same without a limit on the text: a canonical one may be a little longer than what was sent.
    fn from_text(text: &[u8]) -> Result<Self, String> {
        // Repeated and unknown members are refused by serde: no two readers may understand a policy differently.
        let wire: WirePolicy = serde_json::from_slice(text).map_err(|error| {
            let what = if error.is_data() { "does not follow the policy grammar" } else { "is not JSON" };
            format!("the policy {what} (line {}, column {})", error.line(), error.column())
        })?;
        wire.rules()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePolicy {
    version: Option<String>,
    #[serde(rename = "anyOf", alias = "anyof")]
    any_of: Option<Vec<WireAuthority>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireAuthority {
    authority: String,
    #[serde(rename = "allOf", alias = "allof")]
    all_of: Option<Vec<WireCondition>>,
    #[serde(rename = "anyOf", alias = "anyof")]
    any_of: Option<Vec<WireCondition>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCondition {
    claim: Option<String>,
    #[serde(default, deserialize_with = "operand")]
    equals: Option<Operand>,
    #[serde(rename = "allOf", alias = "allof")]
    all_of: Option<Vec<WireCondition>>,
    #[serde(rename = "anyOf", alias = "anyof")]
    any_of: Option<Vec<WireCondition>>,
    #[serde(rename = "notEquals")]
    not_equals: Option<IgnoredAny>,
    less: Option<IgnoredAny>,
    #[serde(rename = "lessOrEquals")]
    less_or_equals: Option<IgnoredAny>,
    greater: Option<IgnoredAny>,
    #[serde(rename = "greaterOrEquals")]
    greater_or_equals: Option<IgnoredAny>,
    exists: Option<IgnoredAny>,
}

fn operand<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Operand>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(value) => Ok(Some(Operand::Truth(value))),
        Value::Number(value) => Ok(Some(Operand::Number(value))),
        Value::String(value) => Ok(Some(Operand::Text(value))),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(D::Error::custom("no scalar")),
    }
}

impl WirePolicy {
    fn rules(self) -> Result<Rules, String> {
        match self.version.as_deref() {
            Some("1.0" | "1.0.0") => {}
            Some(_) => return Err("the policy's version must be 1.0.0".to_owned()),
            None => return Err("the policy has no version; it must be 1.0.0".to_owned()),
        }
        let authorities = self.any_of.ok_or("the policy has no anyOf with its authorities")?;
        if authorities.is_empty() || authorities.len() > POLICY_AUTHORITIES_MAX {
            return Err(format!("the policy's anyOf must hold 1 to {POLICY_AUTHORITIES_MAX} authorities"));
        }
        let mut budget = POLICY_CONDITIONS_MAX;
        let rules = authorities.into_iter().map(|authority| authority.rule(&mut budget));
        rules.collect::<Result<_, _>>().map(Rules)
    }
}

impl WireAuthority {
    fn rule(self, budget: &mut usize) -> Result<Rule, String> {
        let authority = Authority::parse(self.authority).ok_or("an authority of the policy is no https URL")?;
        let conditions = conditions(self.all_of, self.any_of, POLICY_DEPTH_MAX, budget)?;
        Ok(Rule { authority, conditions: conditions.ok_or("an authority of the policy has no allOf or anyOf")? })
    }
}

/// The group of conditions, if there is one. Both at once would be two policies in one.
fn conditions(
    all_of: Option<Vec<WireCondition>>,
    any_of: Option<Vec<WireCondition>>,
    depth: usize,
    budget: &mut usize,
) -> Result<Option<Conditions>, String> {
    let (wire, group): (_, fn(Vec<Condition>) -> Conditions) = match (all_of, any_of) {
        (None, None) => return Ok(None),
        (Some(wire), None) => (wire, Conditions::All),
        (None, Some(wire)) => (wire, Conditions::Any),
        (Some(_), Some(_)) => return Err("the policy has allOf and anyOf in one place".to_owned()),
    };
    if wire.is_empty() {
        // An empty allOf would hold for everybody.
        return Err("an allOf or anyOf of the policy is empty".to_owned());
    }
    let below = depth.checked_sub(1).ok_or(format!("the policy is nested deeper than {POLICY_DEPTH_MAX} levels"))?;
    let parsed = wire.into_iter().map(|condition| condition.condition(below, budget));
    parsed.collect::<Result<_, _>>().map(group).map(Some)
}

impl WireCondition {
    fn condition(self, depth: usize, budget: &mut usize) -> Result<Condition, String> {
        let Self { claim, equals, all_of, any_of, .. } = &self;
        *budget =
            budget.checked_sub(1).ok_or(format!("the policy has more than {POLICY_CONDITIONS_MAX} conditions"))?;
        if let Some(operator) = self.reserved() {
            return Err(format!("the policy uses {operator}, which is reserved; only equals is supported"));
        }
        match (claim.is_some() || equals.is_some(), all_of.is_some() || any_of.is_some()) {
            (true, false) => self.claim_condition(),
            (false, true) => {
                let group = conditions(self.all_of, self.any_of, depth, budget)?;
                group.map(Condition::Group).ok_or_else(|| "a condition of the policy is empty".to_owned())
            }
            (false, false) => Err("a condition of the policy is empty".to_owned()),
            (true, true) => Err("a condition of the policy is a claim and a group at once".to_owned()),
        }
    }

    fn claim_condition(self) -> Result<Condition, String> {
        let (Some(name), Some(equals)) = (self.claim, self.equals) else {
            return Err("a condition of the policy needs claim and equals".to_owned());
        };
        let too_long = matches!(&equals, Operand::Text(text) if text.len() > CLAIM_BYTES_MAX);
        if name.is_empty() || name.len() > CLAIM_BYTES_MAX || too_long {
            return Err(format!("a claim of the policy is empty or longer than {CLAIM_BYTES_MAX} bytes"));
        }
        Ok(Condition::Claim { name, equals })
    }

    /// An operator that the grammar names and nothing evaluates yet.
    fn reserved(&self) -> Option<&'static str> {
        let reserved = [
            ("notEquals", &self.not_equals),
            ("less", &self.less),
            ("lessOrEquals", &self.less_or_equals),
            ("greater", &self.greater),
            ("greaterOrEquals", &self.greater_or_equals),
            ("exists", &self.exists),
        ];
        reserved.into_iter().find(|(_, value)| value.is_some()).map(|(name, _)| name)
    }
}

/// The canonical text; it is also what records hold.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"anyOf\":{},\"version\":\"1.0.0\"}}", List(&self.0))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{},\"authority\":{}}}", self.conditions, text(&self.authority.0))
    }
}

/// A member of the object it stands in.
impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(conditions) => write!(f, "\"allOf\":{}", List(conditions)),
            Self::Any(conditions) => write!(f, "\"anyOf\":{}", List(conditions)),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { name, equals } => write!(f, "{{\"claim\":{},\"equals\":{equals}}}", text(name)),
            Self::Group(conditions) => write!(f, "{{{conditions}}}"),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{}", text(value)),
        }
    }
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (position, item) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            write!(f, "{item}")?;
        }
        f.write_str("]")
    }
}

/// A JSON string.
fn text(value: &str) -> Value {
    Value::from(value)
}

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_text(text.as_bytes()).map_err(D::Error::custom)
    }
}
