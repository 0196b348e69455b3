//! The figures as they are shown: one line for each row, for people or as JSON.

use serde::Serialize;
use strongroom_bench::cores::Cores;
use strongroom_bench::figures::{Spread, one_after_the_other};
use strongroom_bench::load::{Outcome, Protocol};

use super::Course;
use super::operations::{Measured, Sample};
use super::rows::Ceiling;
use super::units::{milliseconds, number, or_dash};

/// How the figures were taken.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) seconds: u64,
    pub(super) repetitions: u32,
    /// `null` if nothing was bound to a core.
    pub(super) server_core: Option<usize>,
    pub(super) generator_core: Option<usize>,
}

/// Everything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    settings: Settings,
    rows: Vec<Line>,
    /// Durable appends a second by 16 writers at once, to see what the disk gains from company.
    appends_by_16_writers: Option<f64>,
}

/// A row's figures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    row: &'static str,
    http: &'static str,
    at_once: usize,
    /// Requests that succeeded, in all repetitions.
    operations: u64,
    per_second: Option<Spread>,
    latency_microseconds: Latency,
    /// Processor time of the server for one operation.
    server_microseconds: Option<Spread>,
    ceiling: &'static str,
    raw_per_second: Option<Spread>,
    bare_per_second: Option<Spread>,
    /// Processor time of one operation.
    raw_microseconds: Option<Spread>,
    bare_microseconds: Option<Spread>,
    appends_per_second: Option<Spread>,
    /// The same clients without the other one.
    alone_per_second: Option<Spread>,
    alone_p99_microseconds: Option<f64>,
    /// How many times as long 99 of 100 took with the other one.
    p99_ratio: Option<Spread>,
    /// To the ceiling, each repetition to its own.
    ratio: Option<Spread>,
    /// The processor time that the ceiling needs for one operation, of that which the server needs: what `ratio` would be if
    /// nothing else ran on the machine and nobody ever waited.
    processor_ratio: Option<Spread>,
    target: Option<f64>,
    /// Whether the median of the ratio is at the target.
    target_reached: Option<bool>,
    published_per_second: Option<f64>,
    ratio_to_published: Option<f64>,
    /// In how many repetitions the load generator was the limit.
    limited_by_generator: usize,
    /// Why the row counts for nothing: the first request that failed.
    void: Option<String>,
}

/// Medians over the repetitions.
#[derive(Debug, Serialize)]
struct Latency {
    p50: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
}

impl Settings {
    pub(super) fn of(course: &Course, cores: Option<Cores>) -> Self {
        Self {
            seconds: course.seconds,
            repetitions: course.repeat,
            server_core: cores.map(|cores| cores.server),
            generator_core: cores.map(|cores| cores.generator),
        }
    }

    /// One line for people.
    pub(super) fn text(&self) -> String {
        let Self { seconds, repetitions, server_core, generator_core } = self;
        let cores = match server_core.zip(*generator_core) {
            Some((server, generator)) => format!("Server on core {server}, load on core {generator}."),
            None => "Nothing was bound to a core: server and load disturbed each other.".to_owned(),
        };
        format!("Medians of {repetitions} repetitions of {seconds} s, full audit log. {cores}\n")
    }
}

impl Report {
    pub(super) fn of(settings: Settings, measured: &[Measured], appends_by_16_writers: Option<f64>) -> Self {
        Self { settings, rows: measured.iter().map(Line::of).collect(), appends_by_16_writers }
    }

    /// The rows that count for nothing.
    pub(super) fn void(&self) -> Vec<&'static str> {
        self.rows.iter().filter(|line| line.void.is_some()).map(|line| line.row).collect()
    }

    /// For people: 120 columns.
    pub(super) fn table(&self) -> String {
        let mut text = HEAD.to_owned();
        for line in &self.rows {
            text.push_str(&line.text());
        }
        text.push('\n');
        text.push_str(&self.notes());
        text
    }

    fn notes(&self) -> String {
        let mut notes = self.settings.text();
        if let Some(sixteen) = self.appends_by_16_writers {
            notes.push_str(&format!("The disk made {sixteen:.0} appends a second durable for 16 writers at once.\n"));
        }
        self.rows.iter().filter_map(Line::beside).for_each(|note| notes.push_str(&note));
        if self.rows.iter().any(|line| line.limited_by_generator > 0) {
            notes.push_str("* The load generator was the limit: the server can do more.\n");
        }
        notes.push_str(LEGEND);
        notes
    }
}

impl Line {
    fn of(measured: &Measured) -> Self {
        let Measured { row, protocol, at_once, samples } = measured;
        let spread =
            |of: &dyn Fn(&Sample) -> Option<f64>| Spread::of(&samples.iter().filter_map(of).collect::<Vec<_>>());
        let latency = |thousandths| {
            spread(&|one| one.outcome.latencies.of_thousand(thousandths).map(f64::from)).map(|it| it.median)
        };
        let void = samples.iter().find_map(void);
        let counts = void.is_none();
        let ratio = spread(&|one| ratio(row.ceiling, one)).filter(|_| counts);
        let per_second = spread(&|one| Some(one.outcome.per_second())).filter(|_| counts);
        Self {
            row: row.name,
            http: http(*protocol),
            at_once: *at_once,
            operations: samples.iter().map(|one| one.outcome.operations()).sum(),
            per_second,
            latency_microseconds: Latency { p50: latency(500), p99: latency(990), p999: latency(999) },
            server_microseconds: spread(&|one| one.outcome.server_microseconds()).filter(|_| counts),
            ceiling: row.ceiling.name(),
            raw_per_second: spread(&|one| Some(one.raw?.per_second)),
            bare_per_second: spread(&|one| Some(one.bare?.per_second)),
            raw_microseconds: spread(&|one| one.raw?.microseconds),
            bare_microseconds: spread(&|one| one.bare?.microseconds),
            appends_per_second: spread(&|one| one.append),
            alone_per_second: spread(&|one| Some(one.alone.as_ref()?.per_second())),
            alone_p99_microseconds: spread(&|one| p99(one.alone.as_ref()?)).map(|it| it.median),
            p99_ratio: spread(&|one| Some(p99(&one.outcome)? / p99(one.alone.as_ref()?)?)).filter(|_| counts),
            ratio,
            processor_ratio: spread(&|one| processor_ratio(row.ceiling, one)).filter(|_| counts),
            target: row.target,
            target_reached: row.target.zip(ratio).map(|(target, ratio)| ratio.median >= target),
            published_per_second: row.published,
            ratio_to_published: row.published.zip(per_second).map(|(published, ours)| ours.median / published),
            limited_by_generator: samples.iter().filter(|one| is_of_the_generator(one)).count(),
            void,
        }
    }

    /// What another client did to the slowest requests.
    fn beside(&self) -> Option<String> {
        let (alone, ratio) = (milliseconds(self.alone_p99_microseconds?), self.p99_ratio?.median);
        let (row, http) = (self.row, self.http);
        Some(format!("{row} over {http}: p99 is {ratio:.1} times that of the same clients alone, {alone} ms.\n"))
    }

    fn text(&self) -> String {
        let Some(rate) = self.per_second else {
            let cause: String = self.void.as_deref().unwrap_or_default().chars().take(CAUSE_CHARACTERS).collect();
            return format!("{:<19} {:>4} {:>4} void: {cause}\n", self.row, self.http, self.at_once);
        };
        let mark = if self.limited_by_generator > 0 { "*" } else { "" };
        let Latency { p50, p99, p999 } = &self.latency_microseconds;
        let line = format!(
            "{:<19} {:>4} {:>4} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:<6} {:>6} {:>4} {:<6} {:>7}",
            self.row,
            self.http,
            self.at_once,
            format!("{}{mark}", number(rate.median)),
            number(rate.min),
            number(rate.max),
            or_dash(*p50, milliseconds),
            or_dash(*p99, milliseconds),
            or_dash(*p999, milliseconds),
            or_dash(self.server_microseconds, |it| number(it.median)),
            self.ceiling,
            or_dash(self.ratio, |it| format!("{:.2}", it.median)),
            or_dash(self.target, |it| format!("{it:.2}")),
            reached(self.target_reached),
            or_dash(self.ratio_to_published, |it| format!("{}x", number(it))),
        );
        format!("{}\n", line.trim_end())
    }
}

/// Whether a target was reached, for people.
pub(super) fn reached(target_reached: Option<bool>) -> &'static str {
    match target_reached {
        Some(true) => "ok",
        Some(false) => "missed",
        None => "",
    }
}

/// Why a repetition counts for nothing.
fn void(sample: &Sample) -> Option<String> {
    outcomes(sample).find_map(fault)
}

/// Why what came of a load counts for nothing. A refusal is a failure here: nobody asked for more than fits.
pub(super) fn fault(outcome: &Outcome) -> Option<String> {
    if outcome.failed > 0 {
        return Some(format!("{} failed: {}", outcome.failed, outcome.failure.as_deref().unwrap_or_default()));
    }
    if outcome.refusals.count() > 0 {
        return Some(format!("{} were refused with 429", outcome.refusals.count()));
    }
    (outcome.operations() == 0).then(|| "nothing was answered".to_owned())
}

/// Beside another client nobody can tell whose processor time it is: there, the same clients alone say it.
fn is_of_the_generator(sample: &Sample) -> bool {
    outcomes(sample).any(Outcome::is_of_the_generator)
}

fn outcomes(sample: &Sample) -> impl Iterator<Item = &Outcome> {
    std::iter::once(&sample.outcome).chain(&sample.alone)
}

fn p99(outcome: &Outcome) -> Option<f64> {
    outcome.latencies.of_thousand(990).map(f64::from)
}

/// What the server did of what the machine can do.
fn ratio(ceiling: Ceiling, sample: &Sample) -> Option<f64> {
    let best = match ceiling {
        Ceiling::Raw(_) => sample.raw?.per_second,
        Ceiling::Bare => sample.bare?.per_second,
        Ceiling::Both(_) => one_after_the_other(sample.bare?.per_second, sample.raw?.per_second),
        Ceiling::Append => sample.append?,
        Ceiling::Alone(_) => sample.alone.as_ref()?.per_second(),
    };
    Some(sample.outcome.per_second() / best)
}

/// The same by processor time. A durable write waits for the disk, which takes none; of two clients nobody can tell whose it is.
fn processor_ratio(ceiling: Ceiling, sample: &Sample) -> Option<f64> {
    let least = match ceiling {
        Ceiling::Raw(_) => sample.raw?.microseconds?,
        Ceiling::Bare => sample.bare?.microseconds?,
        Ceiling::Both(_) => sample.bare?.microseconds? + sample.raw?.microseconds?,
        Ceiling::Append | Ceiling::Alone(_) => return None,
    };
    let ours = sample.outcome.server_microseconds().filter(|ours| *ours > 0.0)?;
    Some(least / ours)
}

fn http(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "1.1",
        Protocol::Http2 => "2",
    }
}

/// As much of a failure as fits into a row.
pub(super) const CAUSE_CHARACTERS: usize = 80;
const HEAD: &str = "\
operation           http   at    ops/s  lowest highest  p50 ms  p99 ms p99.9ms  CPU us best    of it goal         xAzure
";
const LEGEND: &str = "\
at: requests at a time. CPU: the server's processor time for one operation. best: what the machine could do, then how
much of it the server did: raw, AWS-LC alone on the server's core; bare, an HTTPS server that answers the same bytes;
both, one after the other; append, write and fdatasync by one writer; alone, the same without the other client.
xAzure: to what Azure publishes for one partition.
";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strongroom_bench::figures::{Latencies, Rate};
    use strongroom_bench::load::Outcome;

    use super::super::rows::{ROWS, Row};
    use super::*;

    fn row(name: &str) -> &'static Row {
        static ALL: [Row; ROWS.len()] = ROWS;
        ALL.iter().find(|row| row.name == name).unwrap()
    }

    /// A second in which so many were answered, each after a millisecond.
    fn sample(operations: usize) -> Sample {
        let outcome = Outcome {
            elapsed: Duration::from_secs(1),
            latencies: Latencies::new(vec![1000; operations]),
            refusals: Latencies::default(),
            failed: 0,
            failure: None,
            server_time: Some(Duration::from_millis(900)),
            generator_time: Duration::from_millis(300),
        };
        let rate = |per_second, microseconds| Some(Rate { per_second, microseconds: Some(microseconds) });
        Sample { outcome, bare: rate(20_000.0, 45.0), raw: rate(5000.0, 180.0), append: Some(1000.0), alone: None }
    }

    fn measured(name: &str, samples: Vec<Sample>) -> Measured {
        Measured { row: row(name), protocol: Protocol::Http1, at_once: 32, samples }
    }

    fn line(name: &str, samples: Vec<Sample>) -> Line {
        Line::of(&measured(name, samples))
    }

    #[test]
    fn each_row_is_compared_with_its_own_ceiling() {
        for (name, expected) in [("sign-rs256", 0.6), ("sign-es256", 0.75), ("get-key", 0.15), ("create-ec", 3.0)] {
            let line = line(name, vec![sample(3000)]);
            assert!((line.ratio.unwrap().median - expected).abs() < 1e-9, "{name}");
        }
        // 900 ms of the server for 3000 operations are 300 us each.
        for (name, expected) in [("sign-rs256", Some(0.6)), ("sign-es256", Some(0.75)), ("create-ec", None)] {
            let ratio = line(name, vec![sample(3000)]).processor_ratio.map(|it| (it.median * 100.0).round() / 100.0);
            assert_eq!(ratio, expected, "{name}");
        }
        let line = line("sign-es256", vec![sample(3200), sample(3300), sample(4000)]);
        assert_eq!((line.target_reached, line.operations), (Some(true), 10_500));
        assert!((line.ratio_to_published.unwrap() - 10.0).abs() < 1e-9);
        assert!((line.server_microseconds.unwrap().max - 281.25).abs() < 1e-9);
    }

    #[test]
    fn what_another_client_does_is_a_ratio_of_rates_and_of_the_slowest() {
        let beside = |alone: usize| {
            let mut beside = sample(3000);
            beside.outcome.latencies = Latencies::new(vec![2500; 3000]);
            beside.outcome.server_time = None;
            Sample { alone: Some(sample(alone).outcome), ..beside }
        };
        let line = line("sign-es256-beside", vec![beside(4000)]);
        assert!((line.ratio.unwrap().median - 0.75).abs() < 1e-9 && line.target_reached == Some(false), "{line:?}");
        assert!((line.p99_ratio.unwrap().median - 2.5).abs() < 1e-9 && line.server_microseconds.is_none());
        assert!(line.beside().unwrap().contains("p99 is 2.5 times that of the same clients alone, 1.00 ms"));
        let mut limited = beside(4000);
        let alone = limited.alone.as_mut().unwrap();
        (alone.server_time, alone.generator_time) = (Some(Duration::from_millis(500)), Duration::from_millis(990));
        let limited = Line::of(&measured("sign-es256-beside", vec![beside(4000), limited]));
        assert_eq!((line.limited_by_generator, limited.limited_by_generator), (0, 1));
        let void = Line::of(&measured("sign-es256-beside", vec![beside(0)]));
        assert_eq!(void.void.as_deref(), Some("nothing was answered"));
    }

    #[test]
    fn one_failed_or_refused_request_voids_its_row() {
        let mut failed = sample(3000);
        (failed.outcome.failed, failed.outcome.failure) = (1, Some("500 {}".to_owned()));
        let mut refused = sample(3000);
        refused.outcome.refusals = Latencies::new(vec![7]);
        for (bad, cause) in [(failed, "1 failed: 500 {}"), (refused, "1 were refused with 429"), (sample(0), "nothing")]
        {
            let line = line("sign-rs256", vec![sample(3000), bad, sample(3000)]);
            assert!(line.void.as_deref().unwrap().starts_with(cause), "{line:?}");
            assert!(line.per_second.is_none() && line.ratio.is_none() && line.target_reached.is_none());
            assert!(line.text().contains("void: "), "{}", line.text());
        }
    }

    #[test]
    fn a_table_fits_120_columns_and_says_when_the_generator_was_the_limit() {
        let mut samples = vec![sample(150_000), sample(150_000)];
        samples[1].outcome.server_time = Some(Duration::from_millis(500));
        samples[1].outcome.generator_time = Duration::from_millis(990);
        let limited = Measured { samples, ..measured("get-key", Vec::new()) };
        let rows = [("unwrap-rsa-oaep-256", 3000), ("create-ec-16", 30_000), ("encrypt-a256cbcpad", 150_000)];
        let others = rows.map(|(name, operations)| measured(name, vec![sample(operations)]));
        let measured: Vec<_> = others.into_iter().chain([limited]).collect();
        let settings = Settings { seconds: 1, repetitions: 2, server_core: Some(0), generator_core: Some(1) };
        let report = Report::of(settings, &measured, Some(8000.0));
        let table = report.table();
        assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
        assert!(table.contains("150,000* ") && table.contains("* The load generator was the limit"), "{table}");
        assert!(report.void().is_empty());
        assert_eq!(serde_json::to_value(&report).unwrap()["rows"][3]["limitedByGenerator"], 1);
    }
}
