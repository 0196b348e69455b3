//! The report as a page for people: one HTML file without scripts, fit for printing.

use askama::Template;

use crate::DrillError;
use crate::report::{Outcome, Report};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    passed: bool,
    recovery_point: String,
    recovery_time: String,
}

/// The page of a report.
///
/// # Errors
/// [`DrillError::Page`].
pub fn page(report: &Report) -> Result<String, DrillError> {
    let page = Page {
        report,
        passed: report.outcome == Outcome::Passed,
        recovery_point: duration(report.recovery_point.age_seconds),
        recovery_time: format!("{} s", report.recovery_time.total_seconds),
    };
    Ok(page.render()?)
}

/// The two largest units, such as `3 h 12 min`.
pub fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}
