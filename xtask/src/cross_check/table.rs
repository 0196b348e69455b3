//! The figures, for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::tools::Tool;
use crate::deployment::Outcome;

/// An operation by a tool, and by ours.
pub(super) struct Row {
    pub(super) operation: &'static str,
    pub(super) tool: Tool,
    /// Ours and theirs, one pair for each repetition.
    pub(super) samples: Vec<(Sample, Sample)>,
}

/// What came of one run of one generator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) outcome: Outcome,
    /// Processor time of the server.
    pub(super) server: Duration,
}

impl Row {
    /// Whether a request failed, in either: such a row says nothing.
    pub(super) fn is_void(&self) -> bool {
        self.failed() > 0 || self.samples.iter().any(|(_, theirs)| theirs.outcome.operations == 0)
    }

    fn failed(&self) -> u64 {
        self.samples.iter().map(|(ours, theirs)| ours.outcome.failed + theirs.outcome.failed).sum()
    }
}

pub(super) fn text(rows: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    for row in rows {
        if row.is_void() {
            let _ =
                writeln!(text, "{:<12}{:>4}  void: {} requests failed", row.operation, row.tool.http(), row.failed());
            continue;
        }
        line(&mut text, row, "strongroom", row.samples.iter().map(|(ours, _)| *ours).collect(), "");
        let ratio = |(ours, theirs): &(Sample, Sample)| ours.outcome.per_second / theirs.outcome.per_second;
        let ratio = format!("{:.2}", median(row.samples.iter().map(ratio)));
        line(&mut text, row, row.tool.name(), row.samples.iter().map(|(_, theirs)| *theirs).collect(), &ratio);
    }
    text.push_str(LEGEND);
    text
}

fn line(text: &mut String, row: &Row, name: &str, samples: Vec<Sample>, ratio: &str) {
    let rates = || samples.iter().map(|sample| sample.outcome.per_second);
    let each = |sample: &Sample| sample.server.as_secs_f64() / sample.outcome.operations as f64;
    let lowest = rates().fold(f64::INFINITY, f64::min);
    let highest = rates().fold(0.0, f64::max);
    let microseconds = median(samples.iter().map(each)) * 1e6;
    let busy = median(samples.iter().map(|sample| each(sample) * sample.outcome.per_second)) * 100.0;
    let (operation, http, at) = (row.operation, row.tool.http(), row.tool.at_once());
    let figures = format!(
        "{operation:<12}{http:>4}{at:>5}  {name:<11}{:>8.0}{lowest:>8.0}{highest:>8.0}{microseconds:>8.0}{busy:>7.0}%{ratio:>7}",
        median(rates())
    );
    let _ = writeln!(text, "{}", figures.trim_end());
}

/// The middle one, or the higher of two; of nothing it is 0.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

const HEAD: &str = "operation   http   at  generator      req/s  lowest highest  CPU us  server   ours
";
const LEGEND: &str = "
at: requests at a time. CPU: the server's processor time for one request, with connections and what `strongroom bench`
makes ready, which is a few per cent. server: how busy its core was; far below 100 %, the generator was the limit, or
something else on the machine. ours: the rate that `strongroom bench` finds, to this one's, each pair by itself. wrk and
h2load verify no certificate.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(per_second: f64, failed: u64) -> Sample {
        let outcome = Outcome { operations: 1000, per_second, failed };
        Sample { outcome, server: Duration::from_millis(100) }
    }

    fn row(theirs: Sample) -> Row {
        let samples = vec![(sample(9000.0, 0), theirs), (sample(8000.0, 0), theirs), (sample(1000.0, 0), theirs)];
        Row { operation: "get-key", tool: Tool::Wrk, samples }
    }

    #[test]
    fn the_median_of_each_and_of_their_ratio_is_shown() {
        let text = text(&[row(sample(10_000.0, 0))]);
        let words: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["get-key", "1.1", "32", "strongroom", "8000", "1000", "9000", "100", "80%"]);
        assert_eq!(words[2], ["get-key", "1.1", "32", "wrk", "10000", "10000", "10000", "100", "100%", "0.80"]);
    }

    #[test]
    fn one_failed_request_voids_the_row() {
        let row = row(sample(10_000.0, 1));
        assert!(row.is_void());
        assert!(text(&[row]).contains("void: 3 requests failed"));
    }
}
