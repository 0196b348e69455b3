//! A simulated cluster: N nodes over an engine with etcd's semantics, behind links that lose and delay; clocks that drift and
//! stand still; pauses, crashes, late joins, a full disk, a history that is compacted under a watch. One seed is one exact run.
//!
//! Read first: `world` (what happens), `history` (what is checked), `requests` (how a node serves).

mod clock;
mod executor;
mod gaps;
mod history;
mod ledger;
mod link;
mod model;
mod random;
mod requests;
mod world;

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use history::Counts;
use world::{Mutation, Report, run, run_core};

use crate::rules::Rule;

/// Seeds of one run of the test; an environment variable asks for others.
const SEEDS: u64 = 2_000;
/// 21400: a registration whose outcome was unknown, and that was expelled before it was read back, was taken up again.
const KEPT_SEEDS: [u64; 1] = [21_400];
/// Seeds with the real core, which takes longer.
const CORE_SEEDS: u64 = 20;
/// Seeds within which every mutation must be found.
const MUTATION_SEEDS: u64 = 400;

#[test]
fn seeds_that_have_found_a_fault_find_none() {
    for seed in KEPT_SEEDS {
        assert_eq!(run(seed, None).violations, [""; 0], "seed {seed}");
    }
}

#[test]
fn what_was_acknowledged_counts_everywhere() {
    check_seeds("what_was_acknowledged", SEEDS, run);
}

#[test]
fn what_the_core_has_acknowledged_counts_everywhere() {
    check_seeds("what_the_core", CORE_SEEDS, run_core);
}

/// On all processors: one seed is one exact run, whatever runs beside it.
fn check_seeds(test: &str, default: u64, run: impl Fn(u64, Option<Mutation>) -> Report + Sync) {
    let (first, count) = seeds(default);
    let next = AtomicU64::new(first);
    let total = Mutex::new((Counts::default(), 0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                let following = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < first + count);
                while let Some(seed) = following() {
                    let report = run(seed, None);
                    let again = format!(
                        "repeat it with: {SEED_VARIABLE}={seed}:1 cargo test -p strongroom-cluster --lib {test}"
                    );
                    assert!(report.violations.is_empty(), "seed {seed}: {}\n{again}", report.violations.join("\n"));
                    let mut total = total.lock().unwrap();
                    total.0 += report.counts;
                    total.1 += report.commits;
                }
            });
        }
    });
    let (Counts { answered, unknown, forbidden }, commits) = total.into_inner().unwrap();
    println!("{count} seeds: {answered} answers, {forbidden} refusals, {unknown} without an answer, {commits} commits");
    assert!(answered as u64 > count * 30, "the histories are too thin to prove anything");
}

/// `FIRST:COUNT` or `COUNT` of the environment, or the default. A bare count is that of seeds with the model; those with the core
/// take longer, and are fewer by as much as in the default, but never none.
#[expect(clippy::disallowed_methods, reason = "a test is told how long to run by whoever starts it")]
fn seeds(default: u64) -> (u64, u64) {
    let Ok(text) = std::env::var(SEED_VARIABLE) else { return (0, default) };
    match text.split_once(':') {
        Some((first, count)) => (first.parse().unwrap(), count.parse().unwrap()),
        None => (0, (text.parse::<u64>().unwrap() * default / SEEDS).max(1)),
    }
}

const SEED_VARIABLE: &str = "STRONGROOM_SIMULATION_SEEDS";

/// Breaks one thing, and looks for a seed that shows it.
fn found_within(seeds: u64, mutation: Mutation, run: impl Fn(u64, Option<Mutation>) -> Report) -> Option<u64> {
    (0..seeds).find(|seed| !run(*seed, Some(mutation)).violations.is_empty())
}

#[test]
fn an_acknowledgement_that_does_not_wait_is_found_with_the_core() {
    let mutation = Mutation::Rule(Rule::AcknowledgementWaits);
    assert!(found_within(CORE_SEEDS, mutation, run_core).is_some(), "no seed below {CORE_SEEDS} shows it");
}

#[test]
fn a_record_that_the_core_keeps_although_it_has_changed_is_found() {
    let found = found_within(CORE_SEEDS, Mutation::StaleLook, run_core);
    assert!(found.is_some(), "no seed below {CORE_SEEDS} shows it");
}

macro_rules! mutations {
    ($($name:ident: $mutation:expr),* $(,)?) => {
        $(#[test]
        fn $name() {
            let seed = found_within(MUTATION_SEEDS, $mutation, run);
            println!("found by seed {seed:?}");
            assert!(seed.is_some(), "no seed below {MUTATION_SEEDS} shows it");
        })*
    };
}

mutations! {
    an_acknowledgement_that_does_not_wait_is_found: Mutation::Rule(Rule::AcknowledgementWaits),
    a_watch_resumed_without_the_compaction_check_is_found: Mutation::Rule(Rule::CompactedWatchReloads),
    a_commit_without_the_guard_is_found: Mutation::NoGuard,
    a_renewal_that_counts_from_its_answer_is_found: Mutation::Rule(Rule::RenewalCountsFromSending),
    a_report_that_does_not_wait_for_tickets_is_found: Mutation::Rule(Rule::ReportWaitsForTickets),
    an_expelled_node_that_is_not_waited_for_is_found: Mutation::Rule(Rule::ExpelledIsWaitedFor),
    an_expulsion_that_is_forgotten_is_found: Mutation::Rule(Rule::ExpulsionIsRemembered),
    a_node_that_serves_before_it_has_applied_its_registration_is_found: Mutation::Rule(Rule::RegistrationIsApplied),
}
