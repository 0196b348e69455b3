//! Clients, and how a node serves them: a ticket after the last byte, the work under it, a last look before the answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_store::{Commit, Kv, Look, Outcome as Committed, Revision, StoreError};
use strongroom_testkit::{Ended, KeyChange, SharedHsm, Wrap, Wrapped, look};

use super::executor::Executor;
use super::history::{History, Kind, Outcome};
use super::model::{self, Action, Answer, Failure, Role};
use super::random::Random;
use super::world::World;
use crate::admission::Ticket;
use crate::node::Node;

/// Sends requests to whichever node.
pub(super) struct Client {
    world: Arc<World>,
    random: Random,
}

/// What serves the requests behind the ticket.
#[derive(Clone)]
pub(super) enum Subject {
    /// The model, which may leave out the guard.
    Model { guarded: bool },
    /// The core.
    Core(Arc<SharedHsm>),
}

impl Client {
    pub(super) fn new(world: Arc<World>, random: Random) -> Self {
        Self { world, random }
    }

    pub(super) async fn run(mut self, until: Duration) {
        while self.world.executor.now() < until {
            let think = self.random.millis(20, 700);
            self.world.executor.sleep(think).await;
            let site = self.random.below(self.world.sites.len());
            let (principal, kind) = self.choose();
            self.send(site, principal, kind);
        }
    }

    /// Uses every key by every principal.
    pub(super) async fn look_at_everything(mut self, site: usize) {
        for key in 0..KEYS {
            for principal in 0..PRINCIPALS {
                self.send(site, principal, Kind::Use { key });
            }
        }
    }

    fn choose(&mut self) -> (usize, Kind) {
        let (principal, key) = (self.random.below(PRINCIPALS), self.random.below(KEYS));
        let kind = match self.random.below(20) {
            0..=9 => Kind::Use { key },
            10..=17 => {
                let action = self.random.of(if self.world.core_served { &CORE_ACTIONS } else { &MODEL_ACTIONS });
                Kind::Change { key, action }
            }
            _ => {
                let role = (!self.random.percent(40)).then(|| self.random.next() | DRAWN_BIT);
                Kind::Role { of: self.random.below(PRINCIPALS - 1) + 1, role }
            }
        };
        (principal, kind)
    }

    fn send(&mut self, site: usize, principal: usize, kind: Kind) {
        let Some((node, subject)) = self.world.sites[site].serving() else { return };
        // The core is asked for changes by its administrator only, who keeps the right.
        let principal = match kind {
            Kind::Change { .. } | Kind::Role { .. } if self.world.core_served => 0,
            _ => principal,
        };
        let way = self.random.millis(0, 2);
        let slow = match self.random.below(20) {
            0 => self.random.millis(100, 4_000),
            1..=4 => self.random.millis(0, 20),
            _ => Duration::ZERO,
        };
        let served = Served {
            executor: self.world.executor.clone(),
            history: Arc::clone(&self.world.history),
            node,
            subject,
            slow,
        };
        let executor = self.world.executor.clone();
        self.world.executor.spawn(Some(site), async move {
            executor.sleep(way).await;
            served.request(principal, kind).await;
        });
    }
}

/// A node at work for one request.
struct Served {
    executor: Executor,
    history: Arc<History>,
    node: Arc<Node>,
    subject: Subject,
    /// How long the work takes after it was judged: the cryptography.
    slow: Duration,
}

impl Served {
    async fn request(self, principal: usize, kind: Kind) {
        let acknowledged = self.history.acknowledged();
        let Ok(ticket) = self.node.begin() else { return };
        let number = self.history.begin(principal, kind);
        if ticket.snapshot() < acknowledged {
            let text = format!("judged by {}, though {acknowledged} was acknowledged", ticket.snapshot());
            self.history.violation(text);
        }
        let outcome = ticket.scope(self.perform(principal, kind, number)).await;
        match outcome {
            Ok(outcome) => self.answer(&ticket, number, kind, outcome),
            Err(Failure::Forbidden) => self.answer(&ticket, number, kind, Outcome::Forbidden),
            Err(Failure::Refused) => self.history.end(number, Outcome::Nothing),
            Err(Failure::Unknown) => {}
            Err(Failure::Wrong(text)) => self.history.violation(text),
        }
    }

    fn answer(&self, ticket: &Ticket, number: u64, kind: Kind, outcome: Outcome) {
        let only_looked = matches!(kind, Kind::Use { .. }) || matches!(outcome, Outcome::Forbidden);
        if ticket.check().is_err() {
            if only_looked {
                self.history.end(number, Outcome::Nothing);
            }
            return;
        }
        let acknowledged = self.history.acknowledged();
        if only_looked && ticket.snapshot() < acknowledged {
            let text = format!("answered by {}, though {acknowledged} was acknowledged", ticket.snapshot());
            self.history.violation(text);
        }
        self.history.end(number, outcome);
    }

    async fn perform(&self, principal: usize, kind: Kind, number: u64) -> Result<Outcome, Failure> {
        match &self.subject {
            Subject::Model { guarded } => self.ask_model(*guarded, principal, kind, number).await,
            Subject::Core(hsm) => self.ask_core(hsm, principal, kind, number).await,
        }
    }

    async fn ask_core(&self, hsm: &SharedHsm, principal: usize, kind: Kind, number: u64) -> Result<Outcome, Failure> {
        let wrong = |error: String| Failure::Wrong(format!("the core says: {error}"));
        let done = |ended| match ended {
            Ended::Done => Ok(Answer::Some),
            Ended::NotFound => Ok(Answer::NotFound),
            Ended::IsDeleted => Ok(Answer::IsDeleted),
            Ended::IsDisabled => Ok(Answer::IsDisabled),
            Ended::Forbidden => Err(Failure::Forbidden),
            Ended::Nothing => Err(Failure::Refused),
            Ended::Unknown => Err(Failure::Unknown),
        };
        match kind {
            Kind::Use { key } => {
                let ended = hsm.sign(number, principal, key).await.map_err(|error| wrong(error.to_string()))?;
                self.executor.sleep(self.slow).await;
                Ok(Outcome::Answered { answer: done(ended)?, assignment: None })
            }
            Kind::Change { key, action } => {
                let change = match action {
                    Action::Create | Action::CreateVersion | Action::Rotate => KeyChange::Create,
                    Action::Enable => KeyChange::Enable,
                    Action::Disable => KeyChange::Disable,
                    Action::Delete => KeyChange::Delete,
                    Action::Recover => KeyChange::Recover,
                    Action::Purge => KeyChange::Purge,
                };
                let ended = hsm.change(number, key, change).await.map_err(|error| wrong(error.to_string()))?;
                Ok(Outcome::Answered { answer: done(ended)?, assignment: None })
            }
            Kind::Role { of, role } => {
                let changed = match role {
                    Some(assignment) => hsm.assign(number, of, assignment).await.map(|ended| (ended, None)),
                    None => hsm.unassign(number, of).await,
                };
                let (ended, gone) = changed.map_err(|error| wrong(error.to_string()))?;
                done(ended)?;
                Ok(Outcome::RoleChanged { ended: gone, assignment: None })
            }
        }
    }

    /// Tries until nobody is faster, each time from the start.
    async fn ask_model(&self, guarded: bool, principal: usize, kind: Kind, number: u64) -> Result<Outcome, Failure> {
        let (node, history) = (Arc::clone(&self.node), Arc::clone(&self.history));
        let store = Wrapped(Acknowledging { node, history, stale: false });
        for _ in 0..ATTEMPTS_MAX {
            let permit = model::authorize(&store, principal).await?;
            let assignment = Some(permit.assignment);
            match kind {
                Kind::Use { key } => {
                    if let Some(answer) = self.use_key(&store, key).await? {
                        return Ok(Outcome::Answered { answer, assignment });
                    }
                }
                Kind::Change { key, action } => {
                    self.executor.sleep(self.slow).await;
                    let action = (action, number);
                    if let Some(answer) = model::change_key(&store, permit, key, action, guarded).await? {
                        return Ok(Outcome::Answered { answer, assignment });
                    }
                }
                Kind::Role { of, role } => {
                    if !permit.administrator {
                        return Err(Failure::Refused);
                    }
                    let role = role.map(|assignment| Role {
                        assignment,
                        administrator: assignment & ADMINISTRATOR_BIT != 0,
                        guard: permit.guard,
                    });
                    if let Some(ended) = model::change_role(&store, permit, of, (role, number), guarded).await? {
                        return Ok(Outcome::RoleChanged { ended, assignment });
                    }
                }
            }
        }
        Err(Failure::Refused)
    }

    async fn use_key(&self, store: &dyn Kv, name: usize) -> Result<Option<Answer>, Failure> {
        let (_, state) = model::key(store, name).await?;
        let answer = model::used(state);
        if let (Answer::Done(..), Some(state)) = (answer, state)
            && model::material(store, name, state).await?.is_none()
        {
            return Ok(None);
        }
        self.executor.sleep(self.slow).await;
        Ok(Some(answer))
    }
}

/// A node that tells the history which commits it has acknowledged.
pub(super) struct Acknowledging {
    pub(super) node: Arc<Node>,
    pub(super) history: Arc<History>,
    /// Calls unchanged whatever is known.
    pub(super) stale: bool,
}

#[async_trait]
impl Wrap for Acknowledging {
    fn behind(&self) -> &dyn Kv {
        self.node.as_ref()
    }

    async fn look(&self, key: &str, known: Option<Revision>) -> Result<Look, StoreError> {
        if self.stale && known.is_some() {
            return Ok(Look::Unchanged);
        }
        look(self.behind(), key, known).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let outcome = self.node.commit(commit).await?;
        if let Committed::Committed(revision) = outcome {
            self.history.acknowledge(revision);
        }
        Ok(outcome)
    }
}

const MODEL_ACTIONS: [Action; 9] = [
    Action::Create,
    Action::Create,
    Action::Rotate,
    Action::Enable,
    Action::Enable,
    Action::Disable,
    Action::Delete,
    Action::Recover,
    Action::Purge,
];
const CORE_ACTIONS: [Action; 8] = [
    Action::CreateVersion,
    Action::CreateVersion,
    Action::Enable,
    Action::Enable,
    Action::Disable,
    Action::Delete,
    Action::Recover,
    Action::Purge,
];
const KEYS: usize = 4;
pub(super) const PRINCIPALS: usize = 5;
/// As the core.
const ATTEMPTS_MAX: u32 = 16;
/// An assignment with this bit is an administrator's.
const ADMINISTRATOR_BIT: u64 = 1 << 8;
/// No assignment is one of those the deployment begins with.
const DRAWN_BIT: u64 = 1 << 9;
