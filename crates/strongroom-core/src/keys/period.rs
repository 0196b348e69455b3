//! Lengths of time as rotation policies write them.

use std::fmt;
use std::str::FromStr;

use jiff::fmt::temporal::{SpanParser, SpanPrinter};
use jiff::tz::TimeZone;
use jiff::{Span, SpanFieldwise};
use serde::{Deserialize, Serialize};
use strongroom_types::{ParseError, Timestamp};

/// An ISO 8601 duration such as `P90D`, `P3M` or `PT48H`: whole units, more than nothing, at most 100 years.
///
/// Years and months are those of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(SpanFieldwise);

impl Period {
    /// The time that lies this much later; `None` beyond the year 9999.
    pub fn after(self, time: Timestamp) -> Option<Timestamp> {
        shift(time, self.0.0)
    }

    /// The time that lies this much earlier; `None` outside the years 0 to 9999.
    pub fn before(self, time: Timestamp) -> Option<Timestamp> {
        shift(time, -self.0.0)
    }

    /// Its length in seconds if a year had 365 days and a month 30: what minimums are compared with.
    pub fn nominal_seconds(self) -> i64 {
        let span = self.0.0;
        let days = i64::from(span.get_years()) * 365
            + i64::from(span.get_months()) * 30
            + i64::from(span.get_weeks()) * 7
            + i64::from(span.get_days());
        days * DAY + i64::from(span.get_hours()) * 3600 + span.get_minutes() * 60 + span.get_seconds()
    }
}

impl FromStr for Period {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = ParseError::new(
            "duration",
            "an ISO 8601 duration of whole units such as P90D, P3M or PT48H, at most 100 years",
        );
        let span = SpanParser::new().parse_span(text).map_err(|_| error.clone())?;
        let period = Self(span.fieldwise());
        let whole = !text.contains(['.', ',']);
        let allowed = (1..=PERIOD_YEARS_MAX * 365 * DAY).contains(&period.nominal_seconds());
        if whole && allowed { Ok(period) } else { Err(error) }
    }
}

impl TryFrom<String> for Period {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&SpanPrinter::new().span_to_string(&self.0.0))
    }
}

fn shift(time: Timestamp, by: Span) -> Option<Timestamp> {
    let time = jiff::Timestamp::from_millisecond(time.millis()).ok()?.to_zoned_datetime(TimeZone::UTC);
    Some(Timestamp::from_millis(time.checked_add(by).ok()?.timestamp().as_millisecond()))
}

const DAY: i64 = 86_400;
/// Longest period, in years of 365 days.
const PERIOD_YEARS_MAX: i64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_units_of_iso_8601_are_kept_as_written() {
        for text in ["P28D", "P2M", "P1Y", "P1Y10D", "P4W", "PT48H", "P1DT2H3M4S", "P100Y"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "P",
            "PT",
            "90",
            "28 days",
            "-P28D",
            "P-28D",
            "P0D",
            "PT0S",
            "PT0.5S",
            "P1.5D",
            "PT0.5H",
            "P101Y",
            "P99999999999999999999D",
            "P1Y P1M",
            "p",
            "D28",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let at = |text: &str| Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let period: Period = "P1M".parse().unwrap();
        assert_eq!(period.after(at("2027-01-31T12:00:00Z")), Some(at("2027-02-28T12:00:00Z")));
        assert_eq!(period.before(at("2027-03-31T12:00:00Z")), Some(at("2027-02-28T12:00:00Z")));
        assert_eq!(period.after(at("9999-12-30T00:00:00Z")), None);
        assert_eq!(period.before(Timestamp::from_seconds(i64::MAX)), None);
    }
}
