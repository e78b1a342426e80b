//! A small exact broker: what `docs/semantics.md` says, and nothing else.

use std::collections::{BTreeMap, VecDeque};

use verteilt_history::{Body, Delivered, Durability, Operation, Push, Pushed, QueueEnd};

use crate::options;

const VOLATILE: u64 = 1 << 63;

#[derive(Clone, Debug)]
struct Job {
    queue: String,
    body: Body,
    priority: i32,
    due_ms: i64,
    lease_ms: u64,
    attempts: u32,
    excused: u32,
    attempts_max: u32,
    place: Place,
}

#[derive(Clone, Debug, PartialEq)]
enum Place {
    Queued,
    Leased {
        client: u32,
        taker: u64,
        token: u64,
        until_ms: i64,
    },
    Dead,
}

/// One who takes jobs: a subscription of a client.
#[derive(Clone, Debug)]
pub(crate) struct Taker {
    pub(crate) client: u32,
    pub(crate) number: u64,
    pub(crate) queue: String,
    pub(crate) credit: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    epoch: u64,
    jobs: BTreeMap<u64, Job>,
    ids: [u64; 2],
    tokens: [u64; 2],
    producers: BTreeMap<(String, u64), Pushed>,
    sessions: BTreeMap<u32, bool>,
    takers: VecDeque<Taker>,
    grace_until_ms: Option<i64>,
}

impl Model {
    /// Everything in memory is lost.
    pub(crate) fn stop(&mut self) {
        self.jobs.retain(|id, _| id & VOLATILE == 0);
        self.producers
            .retain(|_, taken| taken.first_id & VOLATILE == 0);
        self.sessions.clear();
        self.takers.clear();
    }

    pub(crate) fn start(&mut self, now_ms: i64) -> u64 {
        self.epoch += 1;
        self.ids[1] = VOLATILE | (self.epoch << 40);
        self.tokens[1] = VOLATILE | (self.epoch << 40);
        let grace_ms = now_ms + options().resume_grace_ms as i64;
        self.grace_until_ms = Some(grace_ms);
        for job in self.jobs.values_mut() {
            if let Place::Leased { until_ms, .. } = &mut job.place {
                *until_ms = grace_ms.max(*until_ms);
            }
        }
        self.epoch
    }

    /// Leases that the client does not name end, and their runs do not count.
    pub(crate) fn connect(&mut self, client: u32, takers: &[Taker], held: &[(u64, u64)]) {
        for (id, job) in &mut self.jobs {
            let left = |place: &Place| matches!(place, Place::Leased { client: c, token, .. } if *c == client && !held.contains(&(*id, *token)));
            if left(&job.place) {
                job.excused += 1;
                job.place = Place::Queued;
            }
        }
        self.takers.retain(|taker| taker.client != client);
        self.takers.extend(takers.iter().cloned());
        self.sessions.insert(client, true);
    }

    pub(crate) fn disconnect(&mut self, client: u32) {
        self.takers.retain(|taker| taker.client != client);
        self.sessions.remove(&client);
        let held = self.held_by(client);
        held.into_iter().for_each(|id| self.end(id));
    }

    pub(crate) fn push(&mut self, now_ms: i64, push: &Push) -> Pushed {
        let number = push.producer.as_ref().map(|p| (p.id.clone(), p.sequence));
        if let Some(taken) = number
            .as_ref()
            .and_then(|number| self.producers.get(number))
        {
            return Pushed {
                duplicate: true,
                ..*taken
            };
        }
        let kind = usize::from(push.durability == Durability::Memory);
        let first_id = self.ids[kind] + 1;
        self.ids[kind] += push.bodies.len() as u64;
        for (id, body) in (first_id..).zip(&push.bodies) {
            let job = Job {
                queue: push.queue.clone(),
                body: *body,
                priority: push.priority,
                due_ms: now_ms + push.delay_ms as i64,
                lease_ms: or(push.lease_ms, options().lease_ms_default),
                attempts: 0,
                excused: 0,
                attempts_max: or(push.attempts.into(), options().attempts_default.into()) as u32,
                place: Place::Queued,
            };
            self.jobs.insert(id, job);
        }
        let pushed = Pushed {
            first_id,
            durability: push.durability,
            duplicate: false,
        };
        if let Some(number) = number {
            self.producers.insert(number, pushed);
        }
        pushed
    }

    /// Whether the client holds the lease, which is then settled.
    pub(crate) fn settle(
        &mut self,
        now_ms: i64,
        client: u32,
        what: &Operation,
        jitter: u64,
    ) -> bool {
        let (id, token) = match what {
            Operation::Push(_) => return false,
            Operation::Ack { job, token }
            | Operation::Release { job, token }
            | Operation::Nack { job, token, .. }
            | Operation::Touch { job, token, .. } => (*job, *token),
        };
        let holds = |place: &Place| matches!(place, Place::Leased { client: c, token: t, .. } if (*c, *t) == (client, token));
        let Some(job) = self.jobs.get_mut(&id).filter(|job| holds(&job.place)) else {
            return false;
        };
        match what {
            Operation::Push(_) => {}
            Operation::Ack { .. } => {
                self.jobs.remove(&id);
            }
            Operation::Release { .. } => {
                job.excused += 1;
                job.place = Place::Queued;
            }
            Operation::Nack { delay_ms, .. } => {
                let failures = job.attempts - job.excused;
                let backoff_ms = options().backoff_ms_first << (failures - 1).min(20);
                let backoff_ms = backoff_ms.min(options().backoff_ms_max) * (90 + jitter) / 100;
                job.due_ms = now_ms + delay_ms.unwrap_or(backoff_ms) as i64;
                self.end(id);
            }
            Operation::Touch { lease_ms, .. } => {
                let lease_ms = or(*lease_ms, job.lease_ms);
                if let Place::Leased { until_ms, .. } = &mut job.place {
                    *until_ms = now_ms + lease_ms as i64;
                }
            }
        }
        true
    }

    /// Leases that are over: client, job, token.
    pub(crate) fn expire(&mut self, now_ms: i64) -> Vec<(u32, u64, u64)> {
        let mut over = Vec::new();
        for (id, job) in &self.jobs {
            if let Place::Leased {
                client,
                token,
                until_ms,
                ..
            } = job.place
                && until_ms <= now_ms
            {
                over.push((client, *id, token));
            }
        }
        if self.grace_until_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.grace_until_ms = None;
            let gone = self.jobs.values().filter_map(|job| match job.place {
                Place::Leased { client, .. } => Some(client),
                Place::Queued | Place::Dead => None,
            });
            let mut gone: Vec<u32> = gone.filter(|c| !self.sessions.contains_key(c)).collect();
            gone.sort_unstable();
            gone.dedup();
            let orphans: Vec<u64> = gone.into_iter().flat_map(|c| self.held_by(c)).collect();
            orphans.into_iter().for_each(|id| self.end(id));
        }
        over.iter().for_each(|(_, id, _)| self.end(*id));
        over
    }

    /// One round: the line is dealt out to takers in turn, one job each.
    pub(crate) fn round(&mut self, now_ms: i64) -> Vec<Delivered> {
        let ready = self
            .jobs
            .iter()
            .filter(|(_, j)| j.place == Place::Queued && j.due_ms <= now_ms);
        let mut line: Vec<(i32, i64, u64)> =
            ready.map(|(id, j)| (-j.priority, j.due_ms, *id)).collect();
        line.sort_unstable();
        if line.is_empty() || self.takers.is_empty() {
            return Vec::new();
        }
        let mut held = self.held();
        let mut tokens: BTreeMap<(u32, u64, usize), u64> = BTreeMap::new();
        let mut out = Vec::new();
        for (_, _, id) in line {
            let kind = usize::from(id & VOLATILE != 0);
            let queue = self.jobs[&id].queue.clone();
            let room = |t: &Taker| {
                held.get(&(t.client, t.number))
                    .is_none_or(|jobs| *jobs < t.credit)
            };
            let free = self.takers.iter().position(|t| t.queue == queue && room(t));
            let Some(taker) = free.and_then(|index| self.takers.remove(index)) else {
                continue;
            };
            *held.entry((taker.client, taker.number)).or_default() += 1;
            let token = *tokens
                .entry((taker.client, taker.number, kind))
                .or_insert_with(|| {
                    self.tokens[kind] += 1;
                    self.tokens[kind]
                });
            let job = self.jobs.get_mut(&id).expect("it stands in line");
            job.attempts += 1;
            let until_ms = now_ms + job.lease_ms as i64;
            job.place = Place::Leased {
                client: taker.client,
                taker: taker.number,
                token,
                until_ms,
            };
            out.push(Delivered {
                client: taker.client,
                taker: Some(taker.number),
                queue,
                job: id,
                token,
                attempt: job.attempts,
                lease_ms: job.lease_ms,
                body: job.body,
            });
            self.takers.push_back(taker);
        }
        out
    }

    pub(crate) fn ends(&self, now_ms: i64) -> Vec<QueueEnd> {
        let mut ends: BTreeMap<&str, QueueEnd> = BTreeMap::new();
        for (id, job) in &self.jobs {
            let end = ends.entry(&job.queue).or_default();
            end.queue.clone_from(&job.queue);
            match job.place {
                Place::Dead => end.dead.push(*id),
                Place::Leased { .. } => end.leased += 1,
                Place::Queued if job.due_ms <= now_ms => end.ready += 1,
                Place::Queued if job.attempts > 0 => end.failed += 1,
                Place::Queued => end.scheduled += 1,
            }
        }
        ends.into_values().collect()
    }

    /// How many jobs each taker holds.
    fn held(&self) -> BTreeMap<(u32, u64), usize> {
        let mut held = BTreeMap::new();
        for job in self.jobs.values() {
            if let Place::Leased { client, taker, .. } = job.place {
                *held.entry((client, taker)).or_default() += 1;
            }
        }
        held
    }

    fn held_by(&self, of: u32) -> Vec<u64> {
        let holds = |place: &Place| matches!(place, Place::Leased { client, .. } if *client == of);
        let held = self.jobs.iter().filter(|(_, job)| holds(&job.place));
        held.map(|(id, _)| *id).collect()
    }

    fn end(&mut self, id: u64) {
        let job = self.jobs.get_mut(&id).expect("it is leased");
        job.place = if job.attempts - job.excused >= job.attempts_max {
            Place::Dead
        } else {
            Place::Queued
        };
    }
}

fn or(value: u64, default: u64) -> u64 {
    if value == 0 { default } else { value }
}
