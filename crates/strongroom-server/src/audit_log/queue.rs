//! What is on its way to the thread that writes the log.
//!
//! Events come one by one and are written together. So the thread is woken by the first of them, and by one that somebody
//! waits for; what comes in between it finds when a moment has passed.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::audit_log::format::EventLine;

/// What the thread is told.
pub(super) enum Message {
    Event { event: EventLine, outbox_key: Option<String> },
    Recorded { outbox_key: String },
    Flush(oneshot::Sender<()>),
    Close,
}

impl Message {
    fn is_urgent(&self) -> bool {
        matches!(self, Self::Flush(_) | Self::Close)
    }
}

/// The end of those who submit; dropped, it closes the log.
pub(super) struct Sender(Arc<Queue>);

/// The end of the thread; dropped, it lets go of what was not taken.
pub(super) struct Receiver(Arc<Queue>);

/// The thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended;

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// How many of them somebody waits for.
    urgent: usize,
    /// Whether the thread waits for a first message.
    idle: bool,
    ended: bool,
}

/// An empty queue. Who submits events bounds them.
pub(super) fn channel() -> (Sender, Receiver) {
    let queue = Arc::<Queue>::default();
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        waiting: MutexGuard<'a, Waiting>,
        limit: Duration,
        condition: impl FnMut(&mut Waiting) -> bool,
    ) -> MutexGuard<'a, Waiting> {
        self.ready.wait_timeout_while(waiting, limit, condition).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Sender {
    /// Puts a message behind the others.
    pub(super) fn send(&self, message: Message) -> Result<(), Ended> {
        let mut waiting = self.0.lock();
        if waiting.ended {
            return Err(Ended);
        }
        let is_urgent = message.is_urgent();
        waiting.urgent += usize::from(is_urgent);
        waiting.messages.push_back(message);
        let wakes = is_urgent || waiting.messages.len() == BATCH_MESSAGES || std::mem::take(&mut waiting.idle);
        drop(waiting);
        if wakes {
            self.0.ready.notify_one();
        }
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.send(Message::Close);
    }
}

impl Receiver {
    /// Waits for a first message, and then a moment for others unless somebody waits or a batch is full.
    fn take(&self, patience: Duration, moment: Duration) -> Vec<Message> {
        let mut waiting = self.0.lock();
        waiting.idle = true;
        waiting = self.0.wait_while(waiting, patience, |waiting| waiting.messages.is_empty());
        waiting.idle = false;
        if !waiting.messages.is_empty() {
            let more = |waiting: &mut Waiting| waiting.urgent == 0 && waiting.messages.len() < BATCH_MESSAGES;
            waiting = self.0.wait_while(waiting, moment, more);
        }
        let count = waiting.messages.len().min(BATCH_MESSAGES);
        let taken: Vec<_> = waiting.messages.drain(..count).collect();
        waiting.urgent -= taken.iter().filter(|message| message.is_urgent()).count();
        taken
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.ended = true;
        waiting.messages.clear();
    }
}

/// What is written and made durable together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<EventLine>,
    pub(super) outbox_keys: Vec<String>,
    pub(super) waiters: Vec<oneshot::Sender<()>>,
    pub(super) close: bool,
}

impl Batch {
    /// Takes what comes within a moment of a first message. Empty when a checkpoint is due and nothing has come.
    pub(super) fn collect(messages: &Receiver, due: Option<Instant>, moment: Duration) -> Self {
        let patience = due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
        let mut batch = Self::default();
        for message in messages.take(patience, moment) {
            match message {
                Message::Event { event, outbox_key } => {
                    batch.events.push(event);
                    batch.outbox_keys.extend(outbox_key);
                }
                Message::Recorded { outbox_key } => batch.outbox_keys.push(outbox_key),
                Message::Flush(waiter) => batch.waiters.push(waiter),
                Message::Close => batch.close = true,
            }
        }
        batch
    }
}

/// Most messages that are taken together.
const BATCH_MESSAGES: usize = 512;

#[cfg(test)]
mod tests {
    use strongroom_core::audit::{Event, Result as EventResult};
    use strongroom_core::request::Request;
    use strongroom_types::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn event(number: u128) -> Message {
        let now = Timestamp::from_seconds(0);
        let request = Request::internal(Uuid::from_u128(number), now, "Test", String::new());
        let result = EventResult::success(200);
        let event = EventLine::of(&Event::of(&request, &result, now, None)).unwrap();
        Message::Event { event, outbox_key: None }
    }

    #[test]
    fn events_gather_until_somebody_waits_for_them_or_there_are_enough() {
        let (sender, receiver) = channel();
        let long = Duration::from_secs(3600);
        for number in 0..3 {
            sender.send(event(number)).unwrap();
        }
        let (waiter, _) = oneshot::channel();
        sender.send(Message::Flush(waiter)).unwrap();
        sender.send(event(3)).unwrap();
        let batch = Batch::collect(&receiver, None, long);
        assert_eq!((batch.events.len(), batch.waiters.len()), (4, 1));
        for number in 0..BATCH_MESSAGES as u128 + 2 {
            sender.send(event(number)).unwrap();
        }
        assert_eq!(Batch::collect(&receiver, None, long).events.len(), BATCH_MESSAGES);
        assert_eq!(Batch::collect(&receiver, None, Duration::ZERO).events.len(), 2);
        let past = Instant::now();
        assert_eq!(Batch::collect(&receiver, Some(past), long).events.len(), 0, "a checkpoint is due");
    }

    #[test]
    fn the_moment_counts_from_the_first_event_and_not_from_the_latest() {
        let (sender, receiver) = channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let busy = std::thread::spawn(move || {
            let pause = Duration::from_millis(1);
            // Fewer than a batch, which ends a moment as well. Whoever waits is woken on and on, much sooner than a moment ends.
            let mut numbers = 0..BATCH_MESSAGES as u128 - 1;
            while stopped.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                if let Some(number) = numbers.next() {
                    sender.send(event(number)).unwrap();
                }
                sender.0.ready.notify_one();
            }
        });
        assert!(!Batch::collect(&receiver, None, Duration::from_millis(250)).events.is_empty());
        drop(stop);
        busy.join().unwrap();
    }

    #[test]
    fn a_thread_that_sleeps_is_woken_by_the_first_event_and_by_the_end() {
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || {
            let mut events = 0;
            loop {
                let batch = Batch::collect(&receiver, None, Duration::from_millis(1));
                events += batch.events.len();
                if batch.close {
                    return events;
                }
            }
        });
        for number in 0..2000 {
            sender.send(event(number)).unwrap();
        }
        drop(sender);
        assert_eq!(thread.join().unwrap(), 2000);
    }

    #[test]
    fn who_waits_for_a_thread_that_has_ended_is_told() {
        let (sender, receiver) = channel();
        let (waiter, mut answer) = oneshot::channel();
        sender.send(Message::Flush(waiter)).unwrap();
        drop(receiver);
        assert!(answer.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        assert_eq!(sender.send(Message::Close), Err(Ended));
    }
}
