//! A shard: all of its state, and the one door in. Commands are decided on the state as it is, the
//! events that follow are applied at once, and effects are handed out with the LSN that has to be
//! durable before they may leave.

use crate::command::{Caller, Command};
use crate::decide;
use crate::effect::{Addressed, Effect, TopicEffect};
use crate::event::{Event, TopicEvent};
use crate::id::{
    ConnectionId, JobId, Lsn, Millis, PartitionId, QueueId, SessionId, SubscriptionKey, TopicId,
};
use crate::id::{token_is_volatile, volatile_base};
use crate::job::Job;
use crate::ledger::{JobSlots, Ledger};
use crate::limits::Limits;
use crate::live::LiveJobs;
use crate::request::DiskOutput;
use crate::topic::LiveTopics;

/// The state of one shard. A namespace lives in one shard whole.
#[derive(Debug)]
pub struct Shard {
    pub(crate) limits: Limits,
    pub(crate) lsn: Lsn,
    pub(crate) now_ms: Millis,
    pub(crate) ledger: Ledger,
    pub(crate) volatile: Ledger,
    /// Counts the leases of `memory` jobs, which have no LSN to take a token from.
    pub(crate) volatile_token: u64,
    pub(crate) jobs: LiveJobs,
    pub(crate) topics: LiveTopics,
    pub(crate) next_subscription: u64,
    pub(crate) draining: bool,
    /// As the owner of the disk said last; not known after a start.
    pub(crate) disk_full: bool,
    pub(crate) producers_swept_ms: Millis,
    /// After a start: until when sessions may come back to the leases they held.
    pub(crate) resume_until_ms: Option<Millis>,
}

/// What came of a step: events in the order in which they were applied, and what to tell.
#[derive(Debug, Default)]
pub struct Output {
    /// Durable ones have the LSNs that follow the shard's before the step, one each.
    pub events: Vec<Event>,
    /// In order of their LSN.
    pub effects: Vec<Addressed>,
}

impl Shard {
    /// A shard with nothing in it.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let window = limits.producer_window;
        Self::restore(
            limits,
            0,
            0,
            Ledger::new(JobId(1), window),
            std::iter::empty(),
        )
    }

    /// The state of a checkpoint: everything up to `lsn`. Replay what follows, then [`Self::start`].
    pub fn restore(
        limits: Limits,
        lsn: Lsn,
        now_ms: Millis,
        ledger: Ledger,
        jobs: impl Iterator<Item = (JobId, Job)>,
    ) -> Self {
        let volatile = Ledger::new(JobId(volatile_base(0)), limits.producer_window);
        let mut shard = Self {
            limits,
            lsn,
            now_ms,
            ledger,
            volatile,
            volatile_token: volatile_base(0),
            jobs: LiveJobs::default(),
            topics: LiveTopics::default(),
            next_subscription: 1,
            draining: false,
            disk_full: false,
            producers_swept_ms: now_ms,
            resume_until_ms: None,
        };
        shard.jobs.promote(now_ms);
        for at in 0..shard.ledger.queues.len() {
            shard.jobs.index.queue(QueueId(at as u32)).paused = shard.ledger.queues[at].paused;
        }
        for (id, job) in jobs {
            shard.jobs.insert(id, job);
        }
        let topics: Vec<TopicId> = shard.ledger.topics.topics.keys().copied().collect();
        for topic in topics {
            shard.look_at_topic(topic);
        }
        shard
    }

    /// Applies an event that was decided before: recovery, and nothing else.
    ///
    /// # Panics
    /// If the event does not follow on the state: the journal and the checkpoint do not belong
    /// together, and going on would invent or lose jobs.
    pub fn replay(&mut self, event: &Event, now_ms: Millis) {
        self.evolve(event, now_ms);
    }

    /// The broker begins to serve: counts the start, and gives sessions time to come back to the
    /// leases they held.
    pub fn start(&mut self, now_ms: Millis, output: &mut Output) {
        let now_ms = self.advance(now_ms);
        let epoch = self.ledger.epoch + 1;
        self.volatile = Ledger::new(JobId(volatile_base(epoch)), self.limits.producer_window);
        self.volatile_token = volatile_base(epoch);
        self.apply(Event::Started { epoch }, now_ms, output);
        let mut events = decide::push::drop_uploads(self, None);
        events.extend(decide::lease::grant_grace(self, now_ms));
        for event in events {
            self.apply(event, now_ms, output);
        }
        if !self.jobs.index.sessions.is_empty() {
            self.resume_until_ms = Some(now_ms + self.limits.resume_grace_ms);
        }
    }

    /// Decides one command and applies what follows. Deliveries that it makes possible come with
    /// the next [`Self::tick`], so that a whole batch of commands is served in one go.
    pub fn handle(
        &mut self,
        caller: Caller,
        command: Command,
        now_ms: Millis,
        output: &mut Output,
    ) {
        let now_ms = self.advance(now_ms);
        // A member that has come back may commit at once what it had read.
        if command.is_commit() {
            self.settle_groups(now_ms, output);
        }
        let mut decision = decide::Decision::default();
        decide::command(self, caller, command, now_ms, &mut decision);
        self.carry_out(decision, now_ms, output);
    }

    /// Does what time asks for (leases that end, pulls that stop waiting), then brings jobs and
    /// takers together.
    pub fn tick(&mut self, now_ms: Millis, output: &mut Output) {
        let now_ms = self.advance(now_ms);
        let mut decision = decide::Decision::default();
        decide::lease::expire(self, now_ms, &mut decision);
        decide::subscribe::end_pulls(self, now_ms, &mut decision);
        decide::push::forget_producers(self, now_ms, &mut decision);
        decide::retention::retain(self, now_ms, &mut decision);
        self.carry_out(decision, now_ms, output);
        self.settle_groups(now_ms, output);
        while let Some(queue) = self.jobs.index.hot.pop_first() {
            // A round that filled its bound is followed by another.
            loop {
                let mut decision = decide::Decision::default();
                decide::dispatch::round(self, queue, &mut decision);
                if decision.is_empty() {
                    break;
                }
                self.carry_out(decision, now_ms, output);
            }
            self.jobs.index.hot.remove(&queue);
        }
    }

    fn settle_groups(&mut self, now_ms: Millis, output: &mut Output) {
        while let Some(group) = self.topics.unsettled.pop_first() {
            let mut decision = decide::Decision::default();
            decide::group::settle(self, &group, &mut decision);
            self.carry_out(decision, now_ms, output);
        }
    }

    /// Applies what was decided about requests of durability `disk`. What is told of it follows in
    /// the output, behind everything decided so far.
    pub fn take_requests(&mut self, decided: DiskOutput, now_ms: Millis, output: &mut Output) {
        let now_ms = self.advance(now_ms);
        for event in decided.events {
            self.apply(Event::Request(event), now_ms, output);
        }
        for (to, effect, stored) in decided.effects {
            let effect = Box::new(effect);
            self.tell(to, Effect::Request { effect, stored }, output);
        }
    }

    /// Whether the disk is too full for more, as its owner said last.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.disk_full
    }

    /// When [`Self::tick`] has something to do; never later than this. Silent producers are forgotten
    /// at any tick and wake nobody.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        let lease = self.jobs.leases().next().map(|(until_ms, _)| until_ms);
        let pull = self.jobs.index.pulls.first().map(|(until_ms, _)| *until_ms);
        // More than one tick takes: the rest is due at once.
        let large = self.topics.too_large.first().map(|_| self.now_ms);
        [
            lease,
            pull,
            large,
            self.topics.next_expiry(),
            self.resume_until_ms,
            self.jobs.index.next_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The LSN of the last durable event.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Number of this start, from 1; 0 before [`Self::start`].
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.ledger.epoch
    }

    /// The clock: the highest time that the shard has been told.
    #[must_use]
    pub fn now_ms(&self) -> Millis {
        self.now_ms
    }

    /// The durable state beside the jobs.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A job that is there.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.table.get(id)
    }

    /// Every job, in the order of ids.
    pub fn jobs(&self) -> impl Iterator<Item = (JobId, &Job)> {
        self.jobs.table.iter()
    }

    /// Number of jobs, done ones not counted.
    #[must_use]
    pub fn jobs_len(&self) -> usize {
        self.jobs.table.len()
    }

    /// Numbers of every queue: name with namespace, then its stats.
    #[must_use]
    pub fn all_stats(&self) -> Vec<(String, crate::QueueStats)> {
        decide::admin::all_stats(self)
    }

    /// Numbers of every topic: namespace, then its stats without those of each partition.
    #[must_use]
    pub fn all_topics(&self) -> Vec<(String, crate::TopicStats)> {
        decide::all_topics(self)
    }

    /// Jobs that workers hold now.
    #[must_use]
    pub fn leased_len(&self) -> usize {
        self.jobs.index.leases.live
    }

    fn advance(&mut self, now_ms: Millis) -> Millis {
        self.now_ms = self.now_ms.max(now_ms);
        self.jobs.promote(self.now_ms);
        self.now_ms
    }

    fn carry_out(&mut self, decision: decide::Decision, now_ms: Millis, output: &mut Output) {
        for step in decision.steps {
            match step {
                decide::Step::Event(event) => self.apply(event, now_ms, output),
                decide::Step::Change(change) => change.make(self),
                decide::Step::Tell(to, effect) => self.tell(to, effect, output),
            }
        }
    }

    fn apply(&mut self, event: Event, now_ms: Millis, output: &mut Output) {
        self.evolve(&event, now_ms);
        output.events.push(event);
    }

    fn evolve(&mut self, event: &Event, now_ms: Millis) {
        self.now_ms = self.now_ms.max(now_ms);
        self.jobs.promote(self.now_ms);
        let now_ms = self.now_ms;
        if event.is_durable() {
            self.lsn += 1;
            self.ledger.apply(&mut self.jobs, event, now_ms);
        } else {
            self.volatile_token += 1;
            self.volatile.apply(&mut self.jobs, event, now_ms);
        }
        match event {
            Event::QueueCreated { queue, .. } => {
                self.jobs.index.queue(*queue);
            }
            Event::QueuePaused { queue, paused } => {
                self.jobs.index.queue(*queue).paused = *paused;
                self.jobs.index.hot.insert(*queue);
            }
            Event::Leased {
                subscription, ids, ..
            } => {
                if let Some(job) = ids.first().and_then(|id| self.jobs.table.get(*id)) {
                    let queue = job.queue;
                    self.jobs.index.queue(queue).served = *subscription;
                }
            }
            Event::Topic(TopicEvent::Published(published)) => {
                self.topics
                    .look_at(&self.ledger.topics, published.partition);
            }
            Event::Topic(TopicEvent::Changed { topic, .. }) => self.look_at_topic(*topic),
            _ => {}
        }
    }

    fn look_at_topic(&mut self, topic: TopicId) {
        let of_topic = self.ledger.topics.topics.get(&topic);
        let partitions = of_topic.map_or(0, |topic| topic.partitions.len() as u32);
        for number in 0..partitions {
            let partition = PartitionId { topic, number };
            self.topics.forget_expiry(partition);
            self.topics.look_at(&self.ledger.topics, partition);
        }
    }

    fn tell(&self, to: ConnectionId, effect: Effect, output: &mut Output) {
        let volatile = match &effect {
            Effect::Pushed { first_id, .. } => first_id.is_volatile(),
            Effect::Deliver { token, jobs, .. } => token_is_volatile(*token) || jobs.is_empty(),
            Effect::Replaced | Effect::Topic(TopicEffect::Freed { .. }) => true,
            _ => false,
        };
        output.effects.push(Addressed {
            after: if volatile { 0 } else { self.lsn },
            to,
            effect,
        });
    }

    /// The connection of a session that is there.
    pub(crate) fn connection_of(&self, session: SessionId) -> Option<ConnectionId> {
        self.jobs.index.sessions.get(&session)?.connection
    }

    pub(crate) fn fresh_subscription(&mut self) -> SubscriptionKey {
        let key = SubscriptionKey(self.next_subscription);
        self.next_subscription += 1;
        key
    }
}

#[cfg(test)]
pub(crate) mod tests;
