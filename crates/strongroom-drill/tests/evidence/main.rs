//! Drills and their reports.
//!
//! `cfg(test)` says to the lints that what is below is test code.

#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod report;
