//! Nodes, clients and misfortune for one seed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use strongroom_store::{Commit, Kv, Write};
use strongroom_testkit::{SharedHsm, Wrapped, event_of, read_on_demand};

use super::clock::Clock;
use super::executor::Executor;
use super::gaps::GapCheck;
use super::history::{Counts, History, Kind, Outcome};
use super::ledger::Ledger;
use super::link::{Faults, Link};
use super::model::{self, MATERIALS, OUTBOX};
use super::random::Random;
use super::requests::{Acknowledging, Client, PRINCIPALS, Subject};
use crate::layout::Layout;
use crate::node::{Identity, Node};
use crate::rules::{Rule, Rules};
use crate::timing::Timing;

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutation {
    /// A rule of the node is broken.
    Rule(Rule),
    /// Writes do not compare the guard.
    NoGuard,
    /// The node tells its core that what that keeps is unchanged, whatever became of it.
    StaleLook,
}

/// What came of a seed.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) violations: Vec<String>,
    pub(super) counts: Counts,
    pub(super) commits: usize,
}

/// What all tasks of a world share.
pub(super) struct World {
    pub(super) executor: Executor,
    pub(super) ledger: Arc<Wrapped<Ledger>>,
    pub(super) history: Arc<History>,
    pub(super) sites: Vec<Site>,
    /// Whether the real core serves the requests.
    pub(super) core_served: bool,
    guarded: bool,
    stale: bool,
    /// What a node's core is made from.
    founded: OnceLock<SharedHsm>,
    /// One kind of trouble at a time, for a fault that only this one shows often.
    dying_links_only: bool,
    full: Arc<AtomicBool>,
    rules: Rules,
}

/// A machine that a node runs on.
pub(super) struct Site {
    clock: Arc<Clock>,
    link: Arc<Link>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    node: Option<Arc<Node>>,
    subject: Option<Subject>,
    starts: u32,
}

impl Site {
    pub(super) fn node(&self) -> Option<Arc<Node>> {
        self.running().node.clone()
    }

    /// The node, and what serves on it.
    pub(super) fn serving(&self) -> Option<(Arc<Node>, Subject)> {
        let running = self.running();
        Some((running.node.clone()?, running.subject.clone()?))
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap()
    }
}

/// Lives through a seed with the model.
pub(super) fn run(seed: u64, mutation: Option<Mutation>) -> Report {
    live_through(seed, &World::new(seed, mutation, false))
}

/// Lives through a seed with the core.
pub(super) fn run_core(seed: u64, mutation: Option<Mutation>) -> Report {
    live_through(seed, &World::new(seed, mutation, true))
}

fn live_through(seed: u64, world: &Arc<World>) -> Report {
    world.begin(seed);
    world.executor.run(TROUBLE_ENDS);
    world.heal();
    world.executor.run(TROUBLE_ENDS + RECOVERY_MAX);
    world.every_node_serves_again();
    world.look_at_everything();
    world.executor.run(TROUBLE_ENDS + RECOVERY_MAX + LAST_LOOK);
    let mut violations = world.history.check(|number| world.ledger.has_seen(&event_of(number)));
    violations.extend(world.ledger.violations());
    world.executor.end();
    Report { violations, counts: world.history.counts(), commits: world.ledger.commits(0).len() }
}

impl World {
    fn new(seed: u64, mutation: Option<Mutation>, core_served: bool) -> Arc<Self> {
        let mut random = Random::new(seed, 0);
        let executor = Executor::new(Random::new(seed, 1));
        let ledger = Ledger::new(random.of(&[10, 40, 200, 10_000]));
        let full = Arc::new(AtomicBool::new(false));
        let nodes = random.of(&[2, 3, 3, 4]);
        let sites = (0..nodes).map(|number| {
            let offset = random.millis(1_000, 1_000_000);
            let drift = i32::try_from(random.below(40_001)).unwrap() - 20_000;
            let engine = Arc::clone(&ledger) as Arc<dyn Kv>;
            let chance = Random::new(seed, 100 + number);
            let link = Link::new(engine, executor.clone(), chance, Arc::clone(&full));
            Site { clock: Clock::new(executor.clone(), offset, drift), link, running: Mutex::default() }
        });
        let sites = sites.collect();
        let broken = match mutation {
            Some(Mutation::Rule(rule)) => Some(rule),
            Some(Mutation::NoGuard | Mutation::StaleLook) | None => None,
        };
        let guarded = mutation != Some(Mutation::NoGuard);
        let stale = mutation == Some(Mutation::StaleLook);
        let dying_links_only = broken == Some(Rule::RenewalCountsFromSending);
        let (history, rules) = (Arc::new(History::default()), Rules { broken });
        let founded = OnceLock::new();
        Arc::new(Self {
            executor,
            ledger,
            history,
            sites,
            core_served,
            guarded,
            stale,
            founded,
            dying_links_only,
            full,
            rules,
        })
    }

    fn begin(self: &Arc<Self>, seed: u64) {
        let world = Arc::clone(self);
        self.executor.spawn(None, async move {
            world.found().await;
            for site in 0..world.sites.len() {
                // The last one may join late.
                let late = if site == 2 { 10 } else { 0 };
                world.start(site, Duration::from_secs(late));
            }
        });
        for number in 0..CLIENTS {
            let client = Client::new(Arc::clone(self), Random::new(seed, 200 + number));
            self.executor.spawn(None, client.run(TROUBLE_ENDS));
        }
        let (world, random) = (Arc::clone(self), Random::new(seed, 2));
        self.executor.spawn(None, async move { world.trouble(random).await });
        for site in 0..self.sites.len() {
            self.executor.spawn(None, GapCheck::new(Arc::clone(self), site).run());
        }
    }

    async fn found(&self) {
        if self.core_served {
            let store = Arc::clone(&self.ledger) as Arc<dyn Kv>;
            assert!(self.founded.set(SharedHsm::found(store, PRINCIPALS).await.unwrap()).is_ok());
        } else {
            self.ledger.commit(model::founding(PRINCIPALS, &ADMINISTRATORS)).await.unwrap();
        }
        for principal in 0..PRINCIPALS {
            let role = Some(u64::try_from(principal).unwrap());
            let founded = self.history.begin(principal, Kind::Role { of: principal, role });
            self.history.end(founded, Outcome::RoleChanged { ended: None, assignment: None });
        }
    }

    /// Starts a node after some time, and again until it opens.
    fn start(self: &Arc<Self>, site: usize, after: Duration) {
        let world = Arc::clone(self);
        self.executor.spawn(Some(site), async move {
            world.executor.sleep(after).await;
            while let Err(_unreachable) = world.live(site).await {
                world.executor.sleep(Duration::from_millis(500)).await;
            }
        });
    }

    async fn live(&self, number: usize) -> Result<(), String> {
        let site = &self.sites[number];
        let start = {
            let mut running = site.running();
            running.starts += 1;
            running.starts
        };
        let (id, start, name) = (number.to_string(), start.to_string(), format!("node {number}"));
        let identity = Identity { id, start, name, release: "0".to_owned(), records: 1 };
        let engine: Arc<dyn Kv> = Arc::<Link>::clone(&site.link);
        let clock = Arc::<Clock>::clone(&site.clock);
        let node = Node::open_with(engine, clock, identity, self.layout(), Timing::default(), self.rules);
        let node = node.await.map_err(|error| error.to_string())?;
        self.executor.spawn(Some(number), sweep(self.executor.clone(), Arc::clone(&node)));
        let run = Arc::clone(&node);
        self.executor.spawn(Some(number), async move { run.run().await });
        let subject = match self.subject(&node).await {
            Ok(subject) => subject,
            Err(error) => {
                node.stop();
                node.stopped().await;
                return Err(error);
            }
        };
        let mut running = site.running();
        (running.node, running.subject) = (Some(node), Some(subject));
        Ok(())
    }

    async fn subject(&self, node: &Arc<Node>) -> Result<Subject, String> {
        let Some(founded) = self.founded.get() else { return Ok(Subject::Model { guarded: self.guarded }) };
        let (node, history) = (Arc::clone(node), Arc::clone(&self.history));
        let store = Wrapped(Acknowledging { node, history, stale: self.stale });
        let core = founded.beside(Arc::new(store)).await.map_err(|error| error.to_string())?;
        Ok(Subject::Core(Arc::new(core)))
    }

    fn layout(&self) -> Layout {
        let on_demand = if self.core_served { read_on_demand } else { |key: &str| key.starts_with(MATERIALS) };
        Layout { on_demand, incidental: |key| key.starts_with(OUTBOX) }
    }

    fn crash(&self, site: usize) {
        self.executor.crash(site);
        self.sites[site].running().node = None;
    }

    /// Does harm, now here, now there.
    async fn trouble(self: Arc<Self>, mut random: Random) {
        let calm = random.of(&[1_000, 3_000, 8_000]);
        loop {
            let pause = random.millis(100, calm);
            self.executor.sleep(pause).await;
            if self.executor.now() > TROUBLE_ENDS {
                return;
            }
            let site = random.below(self.sites.len());
            if self.dying_links_only {
                self.die_slowly(site, random.millis(3_500, 6_000));
                self.executor.sleep(DEAD + Duration::from_secs(6)).await;
                continue;
            }
            let lasting = random.millis(50, 9_000);
            // Long enough for a node to be expelled and forgotten meanwhile.
            let long = random.millis(50, 14_000);
            let lost = |requests_lost, answers_lost| Faults { requests_lost, answers_lost, ..Faults::default() };
            match random.below(14) {
                0 => self.cut(site, lost(true, true), lasting),
                1 => self.cut(site, lost(true, false), lasting),
                2 => self.cut(site, lost(false, true), lasting),
                3 => self.cut(site, Faults { watch_stalled: true, ..Faults::default() }, long),
                4 => self.cut(site, Faults { slow: Some(SLOW_MILLIS), ..Faults::default() }, lasting),
                5 | 6 => {
                    let faults = Faults { watch_stalled: true, slow: Some(SLOW_MILLIS), ..Faults::default() };
                    self.cut(site, faults, long);
                }
                7 => self.executor.pause(site, lasting),
                8 => {
                    // A guest that its host does not run: its clock stands still, but not longer than the margin.
                    let time = random.millis(10, 490);
                    if self.sites[site].clock.stand_still(time) {
                        self.executor.pause(site, time);
                    }
                }
                9 => {
                    self.crash(site);
                    self.start(site, lasting);
                }
                10 => self.restart(site, lasting),
                11 | 12 => self.die_slowly(site, random.millis(3_500, 6_000)),
                _ => self.fill(lasting),
            }
        }
    }

    /// Stops a node as an operator does, and starts it again.
    fn restart(self: &Arc<Self>, site: usize, after: Duration) {
        let Some(node) = self.sites[site].running().node.take() else { return };
        node.stop();
        let world = Arc::clone(self);
        self.executor.spawn(Some(site), async move {
            // One process at a time has a data folder.
            node.stopped().await;
            world.start(site, after);
        });
    }

    fn cut(self: &Arc<Self>, site: usize, faults: Faults, time: Duration) {
        self.sites[site].link.set(faults);
        let world = Arc::clone(self);
        self.executor.spawn(None, async move {
            world.executor.sleep(time).await;
            world.sites[site].link.set(Faults::default());
        });
    }

    /// A link that gets worse until nothing passes it.
    fn die_slowly(self: &Arc<Self>, site: usize, slow_for: Duration) {
        let world = Arc::clone(self);
        self.executor.spawn(None, async move {
            let link = &world.sites[site].link;
            link.set(Faults { watch_stalled: true, slow: Some(SLOW_MILLIS), ..Faults::default() });
            world.executor.sleep(slow_for).await;
            link.set(Faults { requests_lost: true, answers_lost: true, ..Faults::default() });
            world.executor.sleep(DEAD).await;
            link.set(Faults::default());
        });
    }

    fn fill(self: &Arc<Self>, time: Duration) {
        self.full.store(true, Ordering::SeqCst);
        let world = Arc::clone(self);
        self.executor.spawn(None, async move {
            world.executor.sleep(time).await;
            world.full.store(false, Ordering::SeqCst);
        });
    }

    fn heal(&self) {
        self.full.store(false, Ordering::SeqCst);
        self.sites.iter().for_each(|site| site.link.set(Faults::default()));
    }

    fn every_node_serves_again(&self) {
        for (number, site) in self.sites.iter().enumerate() {
            if site.node().is_none_or(|node| node.begin().is_err()) {
                self.history.violation(format!("node {number} does not serve {RECOVERY_MAX:?} after the last trouble"));
            }
        }
    }

    /// Reads every key on every node: what was acknowledged must be there.
    fn look_at_everything(self: &Arc<Self>) {
        for site in 0..self.sites.len() {
            self.executor.spawn(None, Client::new(Arc::clone(self), Random::new(0, 0)).look_at_everything(site));
        }
    }
}

/// A job of the server itself: it removes what has reached the audit log.
async fn sweep(executor: Executor, node: Arc<Node>) {
    loop {
        executor.sleep(Duration::from_millis(700)).await;
        let Ok(page) = node.range(OUTBOX, None, 20, None).await else { continue };
        let writes: Vec<Write> = page.entries.into_iter().map(|entry| Write::Delete(entry.key)).collect();
        if !writes.is_empty() {
            // It is done again as long as something is there.
            let _ = node.commit(Commit { preconditions: Vec::new(), writes }).await;
        }
    }
}

/// Who may do everything at the beginning.
const ADMINISTRATORS: [usize; 2] = [0, 1];
const CLIENTS: u64 = 5;
const TROUBLE_ENDS: Duration = Duration::from_secs(30);
/// The longest trouble, and what a node needs to come back.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// Just below what a call may take.
const SLOW_MILLIS: u64 = 1_740;
/// Longer than a node that is expelled may still serve.
const DEAD: Duration = Duration::from_secs(8);
const LAST_LOOK: Duration = Duration::from_secs(2);
