//! What has to hold whatever happens. The checker knows only what was asked and what came out; it
//! keeps its own account of who may hold what and looks for the difference.

use std::collections::{BTreeMap, BTreeSet};

use verteilt_core::{
    Caller, Command, ConnectionId, Delivery, Effect, Event, Job, JobId, JobState, Ledger, Limits,
    Lsn, Millis, Output, QueueId, Refusal, SessionId, Settle,
};

use crate::world::Slots;

/// What a session waits on: a subscription by its number, or a pull by its correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Standing(u64),
    Pull(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Taker {
    pub(crate) queue: QueueId,
    credit_jobs: u32,
    credit_bytes: u64,
    pub(crate) until_ms: Millis,
    held: BTreeMap<JobId, u32>,
}

impl Taker {
    pub(crate) fn has_room(&self, length: u32) -> bool {
        let bytes = self
            .held
            .values()
            .map(|length| u64::from(*length))
            .sum::<u64>();
        (self.held.len() as u64) < u64::from(self.credit_jobs)
            && (self.held.is_empty()
                || self.credit_bytes == 0
                || bytes + u64::from(length) <= self.credit_bytes)
    }

    fn is_over(&self) -> bool {
        let bytes = self
            .held
            .values()
            .map(|length| u64::from(*length))
            .sum::<u64>();
        self.held.len() as u64 > u64::from(self.credit_jobs)
            || (self.held.len() > 1 && self.credit_bytes > 0 && bytes > self.credit_bytes)
    }
}

#[derive(Debug)]
pub(crate) struct Checker {
    limits: Limits,
    lsn: Lsn,
    last_volatile_token: u64,
    pub(crate) jobs: Slots,
    durable: Ledger,
    volatile: Option<Ledger>,
    pub(crate) connections: BTreeMap<SessionId, ConnectionId>,
    pub(crate) held: BTreeSet<SessionId>,
    pub(crate) takers: BTreeMap<(SessionId, Name), Taker>,
    /// Token and holder of each live lease.
    pub(crate) leases: BTreeMap<JobId, (u64, SessionId)>,
    pub(crate) ended: Vec<(JobId, u64)>,
    taken: BTreeMap<(u128, u64), (JobId, Millis)>,
    pub(crate) counts: BTreeMap<QueueId, (u64, u64)>,
    pub(crate) paused: BTreeSet<QueueId>,
    pub(crate) draining: bool,
}

impl Checker {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            lsn: 0,
            last_volatile_token: 0,
            jobs: Slots::default(),
            durable: Ledger::new(JobId(1), limits.producer_window),
            volatile: None,
            connections: BTreeMap::new(),
            held: BTreeSet::new(),
            takers: BTreeMap::new(),
            leases: BTreeMap::new(),
            ended: Vec::new(),
            taken: BTreeMap::new(),
            counts: BTreeMap::new(),
            paused: BTreeSet::new(),
            draining: false,
        }
    }

    /// The broker lost what was in memory.
    pub(crate) fn crashed(&mut self) {
        self.jobs.0.retain(|id, _| !id.is_volatile());
        self.leases.retain(|id, _| !id.is_volatile());
        self.taken.retain(|_, (id, _)| !id.is_volatile());
        self.volatile = None;
        self.connections.clear();
        self.held.clear();
        self.takers.clear();
        self.draining = false;
        self.counts = BTreeMap::new();
    }

    /// One command and what came of it.
    pub(crate) fn command(
        &mut self,
        caller: Caller,
        command: &Command,
        output: &Output,
        now_ms: Millis,
    ) {
        let expected = self.expected_of(caller, command);
        self.events(output, now_ms);
        self.effects(output, now_ms);
        let answers: Vec<&Effect> = output
            .effects
            .iter()
            .filter(|told| told.to == caller.connection)
            .map(|told| &told.effect)
            .collect();
        if let Some(refused) = expected {
            assert_settled(&answers, &refused);
        }
        let live = self.connections.get(&caller.session) == Some(&caller.connection);
        let session = caller.session;
        match command {
            Command::Connect { .. } => {
                self.takers.retain(|(of, _), _| *of != session);
                self.connections.insert(session, caller.connection);
                self.held.remove(&session);
                let count = self
                    .leases
                    .values()
                    .filter(|lease| lease.1 == session)
                    .count();
                let leases_held = count as u32;
                assert_eq!(answers, [&Effect::Connected { leases_held }]);
            }
            Command::Disconnect if live => {
                self.takers.retain(|(of, _), _| *of != session);
                self.connections.remove(&session);
                self.held.remove(&session);
                assert!(self.draining || self.leases.values().all(|lease| lease.1 != session));
            }
            Command::Hold(held) if live => {
                if *held {
                    self.held.insert(session);
                } else {
                    self.held.remove(&session);
                }
            }
            Command::Drain => self.draining = true,
            Command::Push(push) => self.pushed(push.producer, &answers, now_ms),
            Command::Subscribe { .. } | Command::Reserve { .. } | Command::Unsubscribe { .. } => {
                self.asked(caller, live, command, &answers, now_ms);
            }
            Command::Cancel { correlation } if live => {
                let was_there = self.takers.remove(&(session, Name::Pull(*correlation)));
                assert_eq!(answers.len(), usize::from(was_there.is_some()));
            }
            Command::Disconnect | Command::Hold(_) | Command::Cancel { .. } => {
                assert!(answers.is_empty() && output.events.is_empty());
            }
            _ => assert_eq!(answers.len(), 1, "one answer"),
        }
    }

    /// Events and effects of a tick or of a start.
    pub(crate) fn time(&mut self, output: &Output, now_ms: Millis) {
        self.events(output, now_ms);
        self.effects(output, now_ms);
    }

    fn expected_of(&self, caller: Caller, command: &Command) -> Option<Vec<(JobId, u64)>> {
        let Command::Settle(Settle { leases, .. }) = command else {
            return None;
        };
        let is_lost =
            |lease: &&(JobId, u64)| self.leases.get(&lease.0) != Some(&(lease.1, caller.session));
        Some(leases.iter().filter(is_lost).copied().collect())
    }

    fn pushed(
        &mut self,
        producer: Option<(verteilt_core::ProducerId, u64)>,
        answers: &[&Effect],
        now_ms: Millis,
    ) {
        assert_eq!(answers.len(), 1, "one answer");
        let Effect::Pushed {
            first_id,
            duplicate,
            ..
        } = answers[0]
        else {
            assert!(matches!(answers[0], Effect::Refused { .. }));
            return;
        };
        let Some((producer, sequence)) = producer else {
            assert!(!duplicate);
            return;
        };
        let idle_ms = self.limits.producer_idle_ms;
        let key = (producer.0, sequence);
        match self.taken.get(&key) {
            // Asking again does not make a producer live longer.
            Some((id, _)) if *duplicate => assert_eq!(id, first_id),
            Some((_, at_ms)) => assert!(at_ms + idle_ms <= now_ms, "taken twice"),
            None => assert!(!duplicate, "a number that was never seen"),
        }
        if !duplicate {
            self.taken.insert(key, (*first_id, now_ms));
        }
    }

    fn asked(
        &mut self,
        caller: Caller,
        live: bool,
        command: &Command,
        answers: &[&Effect],
        now_ms: Millis,
    ) {
        let refused = matches!(answers, [Effect::Refused { .. }]);
        let (name, queue, credit, until_ms) = match command {
            Command::Subscribe {
                subscription,
                queue,
                credit_jobs,
                credit_bytes,
            } => {
                assert_eq!(answers.len(), 1, "one answer");
                let credit = (*credit_jobs, *credit_bytes);
                (Name::Standing(*subscription), queue, credit, Millis::MAX)
            }
            Command::Reserve {
                queue,
                jobs_max,
                wait_ms,
            } => {
                assert!(answers.is_empty() || refused);
                let name = Name::Pull(caller.correlation);
                (name, queue, (*jobs_max, 0), now_ms.saturating_add(*wait_ms))
            }
            Command::Unsubscribe { subscription } => {
                let name = (caller.session, Name::Standing(*subscription));
                let gone = live && self.takers.remove(&name).is_some();
                assert_eq!(refused, !gone);
                return;
            }
            _ => unreachable!("asked of takers only"),
        };
        assert!(live || refused, "who is not there takes nothing");
        if refused {
            return;
        }
        let queue = self
            .durable
            .find(&queue.namespace, &queue.name)
            .expect("it came into being");
        let held = self.held_from_before(caller.session, name, queue);
        let taker = self
            .takers
            .entry((caller.session, name))
            .or_insert_with(|| Taker {
                queue,
                credit_jobs: 0,
                credit_bytes: 0,
                until_ms,
                held,
            });
        assert_eq!(taker.queue, queue);
        (taker.credit_jobs, taker.credit_bytes) = credit;
    }

    /// Jobs of the queue that the session holds, but none of its present takers: they count against
    /// a new standing one.
    fn held_from_before(
        &self,
        session: SessionId,
        name: Name,
        queue: QueueId,
    ) -> BTreeMap<JobId, u32> {
        if matches!(name, Name::Pull(_)) {
            return BTreeMap::new();
        }
        let taken = |id: &JobId| {
            self.takers
                .values()
                .any(|taker| taker.held.contains_key(id))
        };
        let held = self.held_by(session).into_iter().map(|(id, _)| id);
        let here = held.filter(|id| self.jobs.0[id].queue == queue && !taken(id));
        here.map(|id| (id, self.jobs.0[&id].length)).collect()
    }

    fn events(&mut self, output: &Output, now_ms: Millis) {
        let mut lines: BTreeMap<QueueId, (Vec<JobId>, BTreeSet<JobId>)> = BTreeMap::new();
        for event in &output.events {
            self.lsn += u64::from(event.is_durable());
            if let Event::Leased {
                ids,
                token,
                session,
                ..
            } = event
            {
                self.leased(*token, *session, ids, now_ms);
                let queue = self.jobs.0[&ids[0]].queue;
                let (_, out) = lines
                    .entry(queue)
                    .or_insert_with(|| (self.line(queue, now_ms), BTreeSet::new()));
                out.extend(ids);
            } else {
                self.ended_by(event);
            }
            self.apply(event, now_ms);
        }
        for (queue, (line, out)) in lines {
            let first: BTreeSet<JobId> = line[..out.len()].iter().copied().collect();
            assert_eq!(out, first, "{queue:?} leaves in the order of {line:?}");
        }
    }

    fn leased(&mut self, token: u64, session: SessionId, ids: &[JobId], now_ms: Millis) {
        if ids[0].is_volatile() {
            assert!(token > self.last_volatile_token, "tokens grow");
            self.last_volatile_token = token;
        } else {
            assert_eq!(token, self.lsn, "the token is the LSN");
        }
        assert!(ids.len() <= self.limits.delivery_jobs_max);
        let bytes: u64 = ids.iter().map(|id| u64::from(self.jobs.0[id].length)).sum();
        assert!(ids.len() == 1 || bytes <= self.limits.delivery_bytes_max);
        for id in ids {
            assert_eq!(id.is_volatile(), ids[0].is_volatile());
            let job = &self.jobs.0[id];
            assert_eq!(job.state(now_ms), JobState::Ready, "{id:?} before its time");
            let before = self.leases.insert(*id, (token, session));
            assert_eq!(before, None, "{id:?} has two leases");
        }
    }

    fn ended_by(&mut self, event: &Event) {
        if matches!(event, Event::Touched { .. }) {
            return;
        }
        for id in event.named_jobs() {
            if let Some((token, _)) = self.leases.remove(&id) {
                self.ended.push((id, token));
            }
            for taker in self.takers.values_mut() {
                taker.held.remove(&id);
            }
        }
    }

    fn apply(&mut self, event: &Event, now_ms: Millis) {
        let count = |jobs: &Slots, id: &JobId| jobs.0[id].queue;
        match event {
            Event::QueuePaused { queue, paused } => {
                self.paused.remove(queue);
                self.paused.extend(paused.then_some(*queue));
            }
            Event::Pushed(pushed) => {
                self.counts.entry(pushed.queue).or_default().0 += pushed.count() as u64;
            }
            Event::Acked { ids } => ids.iter().for_each(|id| {
                self.counts.entry(count(&self.jobs, id)).or_default().1 += 1;
            }),
            _ => {}
        }
        if event.is_durable() {
            self.durable.apply(&mut self.jobs, event, now_ms);
        } else {
            let window = self.limits.producer_window;
            let ledger = self.volatile.get_or_insert_with(|| match event {
                Event::Pushed(pushed) => Ledger::new(pushed.first_id, window),
                other => panic!("{other:?} before any push"),
            });
            ledger.apply(&mut self.jobs, event, now_ms);
        }
    }

    /// The jobs that may run, in the order in which they have to leave.
    pub(crate) fn line(&self, queue: QueueId, now_ms: Millis) -> Vec<JobId> {
        let mut jobs: Vec<(JobId, &Job)> = self
            .jobs
            .0
            .iter()
            .filter(|(_, job)| job.queue == queue && job.state(now_ms) == JobState::Ready)
            .map(|(id, job)| (*id, job))
            .collect();
        jobs.sort_by_key(|(id, job)| (std::cmp::Reverse(job.priority), job.due_ms, *id));
        jobs.into_iter().map(|(id, _)| id).collect()
    }

    fn effects(&mut self, output: &Output, now_ms: Millis) {
        let mut after = 0;
        let mut undelivered: BTreeMap<u64, &Vec<JobId>> = BTreeMap::new();
        for event in &output.events {
            if let Event::Leased { token, ids, .. } = event {
                undelivered.insert(*token, ids);
            }
        }
        for told in &output.effects {
            assert!(
                told.after == 0 || told.after >= after,
                "in the order of LSNs"
            );
            assert!(told.after <= self.lsn);
            after = after.max(told.after);
            match &told.effect {
                Effect::Deliver {
                    subscription,
                    correlation,
                    token,
                    jobs,
                } => {
                    let name = match correlation {
                        0 => Name::Standing(*subscription),
                        _ => Name::Pull(*correlation),
                    };
                    if !jobs.is_empty() {
                        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
                        assert_eq!(undelivered.remove(token), Some(&ids));
                        let volatile = ids[0].is_volatile();
                        assert_eq!(
                            told.after,
                            if volatile { 0 } else { told.after.max(*token) }
                        );
                    }
                    self.delivered(told.to, name, *token, jobs, now_ms);
                }
                Effect::LeaseLost { leases } => {
                    for lease in leases {
                        assert!(self.ended.contains(lease), "lost, but still held");
                        assert!(lease.0.is_volatile() || told.after > 0);
                    }
                    let ended = ended_at(output, self.lsn, leases);
                    assert!(told.after >= ended, "told before it is on disk");
                }
                _ => {}
            }
        }
        assert!(undelivered.is_empty(), "leased, but delivered to nobody");
    }

    fn delivered(
        &mut self,
        to: ConnectionId,
        name: Name,
        token: u64,
        jobs: &[Delivery],
        now_ms: Millis,
    ) {
        let found = self
            .connections
            .iter()
            .find(|(_, connection)| **connection == to);
        let session = *found.expect("delivered to a live connection").0;
        assert!(!self.draining || jobs.is_empty());
        let key = (session, name);
        let taker = self
            .takers
            .get_mut(&key)
            .expect("delivered to who asked, and pulls once");
        if jobs.is_empty() {
            assert!(taker.until_ms <= now_ms, "a pull gave up too early");
        }
        assert!(jobs.is_empty() || !self.held.contains(&session));
        for delivery in jobs {
            assert_eq!(self.leases.get(&delivery.id), Some(&(token, session)));
            let job = &self.jobs.0[&delivery.id];
            assert_eq!(
                (delivery.attempt, delivery.length),
                (job.attempts, job.length)
            );
            assert_eq!(taker.queue, job.queue);
            taker.held.insert(delivery.id, job.length);
        }
        assert!(!taker.is_over(), "more than its credit: {taker:?}");
        if matches!(name, Name::Pull(_)) {
            self.takers.remove(&key);
        }
    }

    pub(crate) fn held_by(&self, session: SessionId) -> Vec<(JobId, u64)> {
        let of_session = self.leases.iter().filter(|(_, lease)| lease.1 == session);
        of_session.map(|(id, lease)| (*id, lease.0)).collect()
    }
}

fn assert_settled(answers: &[&Effect], refused: &[(JobId, u64)]) {
    match answers {
        [Effect::Done { .. }] => assert!(refused.is_empty(), "{refused:?} were not held"),
        [Effect::Settled { refused: told, .. }] => assert_eq!(told, refused),
        [Effect::Refused { refusal, .. }] => assert_eq!(*refusal, Refusal::BadArgument),
        other => panic!("one answer, not {other:?}"),
    }
}

/// The LSN of the event that ended the last of these leases.
fn ended_at(output: &Output, last: Lsn, leases: &[(JobId, u64)]) -> Lsn {
    let durable: Vec<&Event> = output.events.iter().filter(|e| e.is_durable()).collect();
    let first = last - durable.len() as u64 + 1;
    let ends = |event: &Event| {
        matches!(event, Event::Died { .. } | Event::Requeued { .. })
            && event
                .named_jobs()
                .iter()
                .any(|id| leases.iter().any(|lease| lease.0 == *id))
    };
    let last = durable.iter().rposition(|event| ends(event));
    last.map_or(0, |at| first + at as u64)
}
