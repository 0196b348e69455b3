//! The figures of two servers side by side, for people or as JSON.

use serde::Serialize;
use strongroom_bench::figures::Spread;
use strongroom_bench::load::Outcome;

use super::super::report::{CAUSE_CHARACTERS, Settings, fault, reached};
use super::super::units::{milliseconds, number, or_dash};
use super::{Measured, Sample};

/// Everything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    settings: Settings,
    /// Name and version.
    peer: String,
    /// Requests at a time.
    connections: u16,
    rows: Vec<Line>,
}

/// A row's figures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    row: &'static str,
    ours: Side,
    theirs: Side,
    /// Our rate to theirs, each repetition for itself.
    ratio: Option<Spread>,
    /// Their processor time for one operation to ours: what `ratio` would be if nobody ever waited.
    processor_ratio: Option<Spread>,
    target: Option<f64>,
    /// Whether the median of the ratio is at the target.
    target_reached: Option<bool>,
    /// Why the row counts for nothing: the first request that failed.
    void: Option<String>,
}

/// One server's figures: medians over the repetitions, of rates with the lowest and the highest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Side {
    /// Requests that succeeded, in all repetitions.
    operations: u64,
    per_second: Option<Spread>,
    p50_microseconds: Option<f64>,
    p99_microseconds: Option<f64>,
    /// Processor time of the server for one operation.
    server_microseconds: Option<Spread>,
    /// In how many repetitions the load generator was the limit.
    limited_by_generator: usize,
}

impl Report {
    pub(super) fn of(settings: Settings, peer: String, connections: u16, measured: &[Measured]) -> Self {
        Self { settings, peer, connections, rows: measured.iter().map(Line::of).collect() }
    }

    /// The rows that count for nothing.
    pub(super) fn void(&self) -> Vec<&'static str> {
        self.rows.iter().filter(|line| line.void.is_some()).map(|line| line.row).collect()
    }

    /// For people: 120 columns.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{:<17} {:<35}  {}\n{HEAD}", "", "strongroom", self.peer);
        self.rows.iter().for_each(|line| text.push_str(&line.text()));
        text.push('\n');
        text.push_str(&self.settings.text());
        text.push_str(&format!(
            "{} requests at a time over HTTP/1.1, asked of one server, then of the other.\n",
            self.connections
        ));
        if self.rows.iter().any(|line| line.ours.limited_by_generator + line.theirs.limited_by_generator > 0) {
            text.push_str(LIMITED);
        }
        text.push_str(LEGEND);
        text
    }
}

impl Line {
    fn of(Measured { row, samples }: &Measured) -> Self {
        let void = samples.iter().find_map(void);
        let counts = void.is_none();
        let spread = |of: fn(&Sample) -> Option<f64>| spread(samples.iter().filter_map(of)).filter(|_| counts);
        let ratio = spread(|one| Some(one.ours.per_second() / one.theirs.per_second()));
        let processor_ratio = |one: &Sample| Some(one.theirs.server_microseconds()? / one.ours.server_microseconds()?);
        Self {
            row: row.name,
            ours: Side::of(samples.iter().map(|one| &one.ours), counts),
            theirs: Side::of(samples.iter().map(|one| &one.theirs), counts),
            ratio,
            processor_ratio: spread(processor_ratio),
            target: row.target,
            target_reached: row.target.zip(ratio).map(|(target, ratio)| ratio.median >= target),
            void,
        }
    }

    fn text(&self) -> String {
        if let Some(void) = &self.void {
            let cause: String = void.chars().take(CAUSE_CHARACTERS).collect();
            return format!("{:<17} void: {cause}\n", self.row);
        }
        let line = format!(
            "{:<17} {}  {}  {:>7} {:>7} {:>4} {}",
            self.row,
            self.ours.text(),
            self.theirs.text(),
            or_dash(self.processor_ratio, times),
            or_dash(self.ratio, times),
            or_dash(self.target, |it| format!("{it:.0}x")),
            reached(self.target_reached),
        );
        format!("{}\n", line.trim_end())
    }
}

impl Side {
    /// Without figures if the row counts for nothing.
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone, counts: bool) -> Self {
        let spread = |of: &dyn Fn(&Outcome) -> Option<f64>| spread(outcomes.clone().filter_map(of)).filter(|_| counts);
        let latency = |thousandths| {
            let spread = spread(&|one| one.latencies.of_thousand(thousandths).map(f64::from));
            spread.map(|it| it.median)
        };
        Self {
            operations: outcomes.clone().map(Outcome::operations).sum(),
            per_second: spread(&|one| Some(one.per_second())),
            p50_microseconds: latency(500),
            p99_microseconds: latency(990),
            server_microseconds: spread(&Outcome::server_microseconds),
            limited_by_generator: outcomes.clone().filter(|one| one.is_of_the_generator()).count(),
        }
    }

    fn text(&self) -> String {
        let mark = if self.limited_by_generator > 0 { "*" } else { "" };
        format!(
            "{:>8} {:>8} {:>8} {:>8}",
            or_dash(self.per_second, |it| format!("{}{mark}", number(it.median))),
            or_dash(self.p50_microseconds, milliseconds),
            or_dash(self.p99_microseconds, milliseconds),
            or_dash(self.server_microseconds, |it| number(it.median)),
        )
    }
}

fn times(ratio: Spread) -> String {
    format!("{:.2}x", ratio.median)
}

fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    Spread::of(&values.collect::<Vec<_>>())
}

/// Why a repetition counts for nothing, and who it was.
fn void(sample: &Sample) -> Option<String> {
    let ours = fault(&sample.ours).map(|fault| format!("ours: {fault}"));
    ours.or_else(|| fault(&sample.theirs).map(|fault| format!("theirs: {fault}")))
}

const HEAD: &str = "\
operation            ops/s   p50 ms   p99 ms   CPU us     ops/s   p50 ms   p99 ms   CPU us   by CPU   ratio goal
";
const LIMITED: &str = "* The load generator was the limit: that server can do more.\n";
const LEGEND: &str = "\
CPU: the server's processor time for one operation. ratio: how many times as many operations a second, the median of
repetitions that each compare their own; by CPU, the same by processor time, which hardly changes while other work runs.
";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strongroom_bench::figures::Latencies;

    use super::super::{ROWS, Row};
    use super::*;

    /// A second in which so many were answered.
    fn outcome(operations: usize) -> Outcome {
        Outcome {
            elapsed: Duration::from_secs(1),
            latencies: Latencies::new(vec![1000; operations]),
            refusals: Latencies::default(),
            failed: 0,
            failure: None,
            server_time: Some(Duration::from_millis(900)),
            generator_time: Duration::from_millis(300),
        }
    }

    fn sample(ours: usize, theirs: usize) -> Sample {
        Sample { ours: outcome(ours), theirs: outcome(theirs) }
    }

    fn report(samples: impl Fn() -> Vec<Sample>) -> Report {
        static ALL: [Row; ROWS.len()] = ROWS;
        let measured: Vec<_> = ALL.iter().map(|row| Measured { row, samples: samples() }).collect();
        let settings = Settings { seconds: 1, repetitions: 3, server_core: Some(0), generator_core: Some(1) };
        Report::of(settings, "OpenBao v2.7.2".to_owned(), 32, &measured)
    }

    #[test]
    fn each_repetition_is_a_ratio_of_its_own_and_the_median_is_judged() {
        let report = report(|| vec![sample(4000, 1000), sample(3000, 500), sample(9000, 1000)]);
        let [sign_rs256, verify_rs256, sign_es256, ..] = report.rows.as_slice() else { panic!("{report:?}") };
        assert_eq!(sign_rs256.ratio, Some(Spread { min: 4.0, median: 6.0, max: 9.0 }));
        assert_eq!(sign_rs256.processor_ratio.map(|it| it.median.round()), Some(6.0));
        assert_eq!((sign_rs256.target_reached, sign_es256.target_reached), (Some(true), Some(true)));
        assert_eq!((verify_rs256.target, verify_rs256.target_reached), (None, None));
        assert_eq!(report.rows.last().and_then(|row| row.target_reached), Some(false));
        let table = report.table();
        assert!(table.contains("6.00x   3x ok\n") && table.contains("6.00x  12x missed\n"), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
        assert!(report.void().is_empty() && !table.contains("limit"), "{table}");
    }

    #[test]
    fn one_failed_request_of_either_server_voids_the_row() {
        let mut failed = outcome(10);
        (failed.failed, failed.failure) = (1, Some("500 no".to_owned()));
        for (ours, theirs, cause) in [(1, 0, "theirs: nothing was answered"), (0, 1, "ours: nothing was answered")] {
            let report = report(|| vec![sample(2, 2), sample(ours, theirs)]);
            assert_eq!(report.void().len(), ROWS.len());
            let line = &report.rows[0];
            assert!(
                line.ratio.is_none() && line.ours.per_second.is_none() && line.target_reached.is_none(),
                "{line:?}"
            );
            assert!(report.table().contains(&format!("sign-rs256        void: {cause}\n")), "{}", report.table());
        }
        assert_eq!(void(&Sample { ours: outcome(1), theirs: failed }).as_deref(), Some("theirs: 1 failed: 500 no"));
    }

    #[test]
    fn a_server_that_could_do_more_is_marked() {
        let report = report(|| {
            let mut limited = sample(150_000, 1000);
            limited.ours.server_time = Some(Duration::from_millis(500));
            limited.ours.generator_time = Duration::from_millis(990);
            vec![limited]
        });
        let table = report.table();
        assert!(table.contains(" 150,000* ") && table.contains(LIMITED), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["rows"][0]["ours"]["limitedByGenerator"], &json["peer"]),
            (&1.into(), &"OpenBao v2.7.2".into())
        );
    }
}
