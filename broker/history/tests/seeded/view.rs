//! A correct history, looked at from the side of whoever wants to plant a fault in it.

use std::collections::BTreeMap;

use verteilt_history::{Delivered, Durability, Event, History, Operation, Push, Pushed, Record};

/// Leaves room between tokens for those that a fault brings.
const ROOM: u64 = 1_000;
const VOLATILE: u64 = 1 << 63;

/// An operation; the numbers are indexes of records.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) client: u32,
    pub(crate) what: Operation,
    pub(crate) invoke: usize,
    pub(crate) end: Option<usize>,
}

/// A job of an acknowledged push.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) push: Push,
    pub(crate) pushed: Pushed,
    pub(crate) invoke: usize,
    pub(crate) answer: usize,
    /// In the order of their tokens; indexes of records.
    pub(crate) deliveries: Vec<usize>,
    pub(crate) settles: Vec<Call>,
}

#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) history: History,
    pub(crate) jobs: Vec<Job>,
    /// Times at which a connection began or ended or the broker stopped.
    breaks_ms: Vec<u64>,
    /// Longest time between an event and its record.
    pub(crate) lag_ms: u64,
}

impl View {
    pub(crate) fn of(history: &History, lag_ms: u64) -> Self {
        let mut history = history.clone();
        for record in &mut history.records {
            spread(&mut record.event);
        }
        let mut calls: BTreeMap<u64, Call> = BTreeMap::new();
        let mut breaks_ms = Vec::new();
        for (index, record) in history.records.iter().enumerate() {
            match &record.event {
                Event::Invoke {
                    client,
                    operation,
                    what,
                } => {
                    let (client, what, invoke) = (*client, what.clone(), index);
                    calls.insert(
                        *operation,
                        Call {
                            client,
                            what,
                            invoke,
                            end: None,
                        },
                    );
                }
                Event::Ok { operation, .. }
                | Event::Fail { operation, .. }
                | Event::Info { operation } => {
                    calls.get_mut(operation).expect("it began").end = Some(index);
                }
                Event::Connected { .. }
                | Event::Disconnected { .. }
                | Event::BrokerKilled
                | Event::BrokerStopped
                | Event::PowerCut => breaks_ms.push(record.at_ms),
                _ => {}
            }
        }
        let jobs = jobs(&history, calls);
        Self {
            history,
            jobs,
            breaks_ms,
            lag_ms,
        }
    }

    pub(crate) fn record(&self, index: usize) -> &Record {
        &self.history.records[index]
    }

    pub(crate) fn at_ms(&self, index: usize) -> u64 {
        self.record(index).at_ms
    }

    pub(crate) fn delivered(&self, index: usize) -> &Delivered {
        match &self.record(index).event {
            Event::Delivered(delivered) => delivered,
            other => panic!("{other:?} is no delivery"),
        }
    }

    /// Whether nobody came or went, and the broker ran, between two times, and well before and after.
    pub(crate) fn is_calm(&self, from_ms: u64, to_ms: u64) -> bool {
        let margin_ms = 2 * self.lag_ms;
        let span = from_ms.saturating_sub(margin_ms)..=to_ms + margin_ms;
        !self.breaks_ms.iter().any(|at_ms| span.contains(at_ms))
    }

    pub(crate) fn stops(&self) -> impl Iterator<Item = usize> {
        self.find(|event| {
            matches!(
                event,
                Event::BrokerKilled | Event::BrokerStopped | Event::PowerCut
            )
        })
    }

    pub(crate) fn find(&self, is: impl Fn(&Event) -> bool) -> impl Iterator<Item = usize> {
        let records = self.history.records.iter().enumerate();
        records
            .filter(move |(_, record)| is(&record.event))
            .map(|(index, _)| index)
    }

    pub(crate) fn drained(&self) -> usize {
        self.find(|event| matches!(event, Event::Drained { .. }))
            .last()
            .expect("it drains")
    }

    pub(crate) fn is_ok(&self, call: &Call) -> bool {
        call.end
            .is_some_and(|end| matches!(self.record(end).event, Event::Ok { .. }))
    }

    pub(crate) fn edit(&self) -> Edit {
        let lines = self
            .history
            .records
            .iter()
            .cloned()
            .map(|record| (false, record));
        Edit {
            lines: lines.collect(),
            more: Vec::new(),
        }
    }
}

impl Job {
    pub(crate) fn is_durable(&self) -> bool {
        self.pushed.durability == Durability::Disk
    }

    /// All records that show that the job was ever there, its push apart.
    pub(crate) fn traces(&self) -> Vec<usize> {
        let settles = self
            .settles
            .iter()
            .flat_map(|call| call.end.into_iter().chain([call.invoke]));
        self.deliveries.iter().copied().chain(settles).collect()
    }

    /// Acks that were not refused.
    pub(crate) fn acks(&self, view: &View) -> Vec<Call> {
        let acks = self
            .settles
            .iter()
            .filter(|c| matches!(c.what, Operation::Ack { .. }));
        let refused = |call: &&Call| {
            call.end
                .is_some_and(|end| matches!(view.record(end).event, Event::Fail { .. }))
        };
        acks.filter(|call| !refused(call)).cloned().collect()
    }

    pub(crate) fn first(&self) -> Option<usize> {
        self.deliveries.first().copied()
    }

    pub(crate) fn last(&self) -> Option<usize> {
        self.deliveries.last().copied()
    }
}

/// A history on its way to a broken one. Indexes stay those of the correct one.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    lines: Vec<(bool, Record)>,
    /// Behind which record, and when.
    more: Vec<(usize, Record)>,
}

impl Edit {
    pub(crate) fn remove(&mut self, indexes: impl IntoIterator<Item = usize>) {
        indexes
            .into_iter()
            .for_each(|index| self.lines[index].0 = true);
    }

    pub(crate) fn event(&mut self, index: usize) -> &mut Event {
        &mut self.lines[index].1.event
    }

    pub(crate) fn delivered(&mut self, index: usize) -> &mut Delivered {
        match self.event(index) {
            Event::Delivered(delivered) => delivered,
            other => panic!("{other:?} is no delivery"),
        }
    }

    /// Puts an event right behind a record, at the same time.
    pub(crate) fn insert(&mut self, behind: usize, event: Event) {
        let at_ms = self.lines[behind].1.at_ms;
        self.more.push((behind, Record { at_ms, event }));
    }

    /// A settling that is answered at once, right behind a record.
    pub(crate) fn settle(&mut self, behind: usize, client: u32, what: Operation) {
        let operation = 1_000_000 + self.more.len() as u64;
        self.insert(
            behind,
            Event::Invoke {
                client,
                operation,
                what,
            },
        );
        self.insert(
            behind,
            Event::Ok {
                operation,
                pushed: None,
            },
        );
    }

    /// Puts an event where its time is.
    pub(crate) fn insert_at(&mut self, at_ms: u64, event: Event) {
        let later = self
            .lines
            .partition_point(|(_, record)| record.at_ms <= at_ms);
        self.more
            .push((later.saturating_sub(1), Record { at_ms, event }));
    }

    pub(crate) fn done(self) -> History {
        let mut history = History::default();
        let mut more = self.more.into_iter().collect::<Vec<_>>();
        more.sort_by_key(|(behind, _)| *behind);
        let mut more = more.into_iter().peekable();
        for (index, (is_removed, record)) in self.lines.into_iter().enumerate() {
            if !is_removed {
                history.records.push(record);
            }
            while let Some((_, record)) = more.next_if(|(behind, _)| *behind == index) {
                history.records.push(record);
            }
        }
        history
    }
}

fn jobs(history: &History, calls: BTreeMap<u64, Call>) -> Vec<Job> {
    let mut jobs: BTreeMap<u64, Job> = BTreeMap::new();
    let (pushes, settles): (Vec<Call>, Vec<Call>) = calls
        .into_values()
        .partition(|call| matches!(call.what, Operation::Push(_)));
    for call in pushes {
        let answer = call.end.map(|end| (end, &history.records[end].event));
        let (
            Operation::Push(push),
            Some((
                answer,
                Event::Ok {
                    pushed: Some(pushed),
                    ..
                },
            )),
        ) = (call.what, answer)
        else {
            continue;
        };
        for id in pushed.first_id..pushed.first_id + push.bodies.len() as u64 {
            jobs.entry(id).or_insert_with(|| Job {
                id,
                push: push.clone(),
                pushed: *pushed,
                invoke: call.invoke,
                answer,
                deliveries: Vec::new(),
                settles: Vec::new(),
            });
        }
    }
    for call in settles {
        let (Operation::Ack { job, .. }
        | Operation::Nack { job, .. }
        | Operation::Release { job, .. }
        | Operation::Touch { job, .. }) = call.what
        else {
            continue;
        };
        if let Some(job) = jobs.get_mut(&job) {
            job.settles.push(call);
        }
    }
    for (index, record) in history.records.iter().enumerate() {
        if let Event::Delivered(delivered) = &record.event
            && let Some(job) = jobs.get_mut(&delivered.job)
        {
            job.deliveries.push(index);
        }
    }
    let token = |index: &usize| match &history.records[*index].event {
        Event::Delivered(delivered) => delivered.token,
        _ => 0,
    };
    let mut jobs: Vec<Job> = jobs.into_values().collect();
    jobs.iter_mut()
        .for_each(|job| job.deliveries.sort_by_key(token));
    jobs
}

fn spread(event: &mut Event) {
    let token = match event {
        Event::Delivered(Delivered { token, .. }) | Event::LeaseLost { token, .. } => token,
        Event::Invoke { what, .. } => match what {
            Operation::Ack { token, .. }
            | Operation::Nack { token, .. }
            | Operation::Release { token, .. }
            | Operation::Touch { token, .. } => token,
            Operation::Push(_) => return,
        },
        _ => return,
    };
    *token = ((*token & !VOLATILE) * ROOM) | (*token & VOLATILE);
}
