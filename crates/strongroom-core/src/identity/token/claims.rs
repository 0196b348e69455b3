//! Claims of a token (RFC 7519 §4), read one by one.

use serde::Deserialize;
use serde_json::{Map, Value};
use strongroom_types::Timestamp;

use crate::identity::token::{SKEW_SECONDS, TokenError};

/// What a token says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// A claim that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A claim by a path: dots walk into nested claims.
    pub fn nested(&self, path: &str) -> Option<&Value> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let claim = self.0.get(first)?;
        rest.into_iter().flat_map(|rest| rest.split('.')).try_fold(claim, |claim, name| claim.get(name))
    }

    /// A claim that is a list of texts, or one text; other members of the list are left out.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        match self.0.get(name) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// A NumericDate (RFC 7519 §2); fractions of a second are cut off.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        let value = self.0.get(name)?;
        let seconds = match value.as_i64() {
            Some(seconds) => seconds,
            None => whole_seconds(value.as_f64()?)?,
        };
        // Far beyond any calendar, arithmetic on it would only saturate.
        (0..=SECONDS_MAX).contains(&seconds).then(|| Timestamp::from_seconds(seconds))
    }

    /// When the token ends.
    ///
    /// # Errors
    /// [`TokenError::MissingClaim`]: a token without an end is none.
    pub fn expires(&self) -> Result<Timestamp, TokenError> {
        self.time("exp").ok_or(TokenError::MissingClaim("exp"))
    }

    /// Whether the token counts now; clocks may differ by [`SKEW_SECONDS`].
    ///
    /// # Errors
    /// [`TokenError::Expired`], [`TokenError::NotYetValid`], [`TokenError::MissingClaim`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), TokenError> {
        if self.expires()?.plus_seconds(SKEW_SECONDS) <= now {
            return Err(TokenError::Expired);
        }
        let begins = match self.0.get("nbf") {
            None => return Ok(()),
            Some(_) => self.time("nbf").ok_or(TokenError::MissingClaim("nbf"))?,
        };
        if begins > now.plus_seconds(SKEW_SECONDS) { Err(TokenError::NotYetValid) } else { Ok(()) }
    }

    /// Whether the token is for one of the audiences that are accepted.
    ///
    /// # Errors
    /// [`TokenError::WrongAudience`].
    pub fn check_audience(&self, accepts: impl Fn(&str) -> bool) -> Result<(), TokenError> {
        if self.texts("aud").into_iter().any(accepts) { Ok(()) } else { Err(TokenError::WrongAudience) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before, and fractions are to be cut off")]
fn whole_seconds(value: f64) -> Option<i64> {
    (0.0..=SECONDS_MAX as f64).contains(&value).then_some(value as i64)
}

/// The end of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;
