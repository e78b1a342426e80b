//! Answers that need bodies. Those of one connection leave in order, so one whose bodies have to
//! be read holds up the ones behind it; what they need is asked for meanwhile.

use std::collections::{HashMap, VecDeque};

use verteilt_core::{ConnectionId, Effect, JobId};

use super::bodies::{Bodies, Found, Loaded, Source};

/// An answer and the bodies it needs.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) effect: Effect,
    pub(super) ids: Vec<JobId>,
    /// One each; `None` while it is being read, or for good if the job has gone meanwhile.
    pub(super) bodies: Vec<Option<Found>>,
    missing: usize,
}

/// All answers that wait for bodies.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    lines: HashMap<ConnectionId, VecDeque<Parcel>>,
    /// What is being read, and for whom.
    asked: HashMap<Source, Vec<ConnectionId>>,
    /// What shall be read next.
    pub(super) wanted: Vec<Source>,
}

impl Parcels {
    /// Packs an answer. If its bodies are at hand and nothing is in front of it, it is handed back.
    pub(super) fn pack(
        &mut self,
        to: ConnectionId,
        effect: Effect,
        bodies: &Bodies,
    ) -> Option<Parcel> {
        let ids: Vec<JobId> = match &effect {
            Effect::Deliver { jobs, .. } => jobs.iter().map(|job| job.id).collect(),
            Effect::Peeked { jobs, .. } => jobs.iter().map(|job| job.id).collect(),
            _ => Vec::new(),
        };
        let mut parcel = Parcel {
            effect,
            bodies: vec![None; ids.len()],
            missing: 0,
            ids,
        };
        self.look_up(to, &mut parcel, bodies);
        if let (Effect::Deliver { .. }, Some(last)) = (&parcel.effect, parcel.ids.last()) {
            bodies.ahead(*last).into_iter().for_each(|source| self.want(source));
        }
        let line = self.lines.get_mut(&to);
        match line {
            None if parcel.missing == 0 => return Some(parcel),
            None => {
                self.lines.insert(to, VecDeque::from([parcel]));
            }
            Some(line) => line.push_back(parcel),
        }
        None
    }

    /// Somebody who looks again by himself needs this.
    pub(super) fn want(&mut self, source: Source) {
        self.asked.entry(source).or_insert_with(|| {
            self.wanted.push(source);
            Vec::new()
        });
    }

    /// Something was read: the parcels that are complete now, in order.
    pub(super) fn loaded(
        &mut self,
        source: Source,
        loaded: &Loaded,
    ) -> Vec<(ConnectionId, Parcel)> {
        let mut complete = Vec::new();
        for to in self.asked.remove(&source).unwrap_or_default() {
            let Some(line) = self.lines.get_mut(&to) else {
                continue;
            };
            for parcel in line.iter_mut() {
                for (id, body) in parcel.ids.iter().zip(&mut parcel.bodies) {
                    if body.is_none()
                        && let Some(found) = loaded.find(*id)
                    {
                        *body = Some(found);
                        parcel.missing = parcel.missing.saturating_sub(1);
                    }
                }
            }
            self.drain(to, &mut complete);
        }
        complete
    }

    /// A source is no longer where it was: those who waited for it look again.
    pub(super) fn look_again(
        &mut self,
        source: Source,
        bodies: &Bodies,
    ) -> Vec<(ConnectionId, Parcel)> {
        let mut complete = Vec::new();
        for to in self.asked.remove(&source).unwrap_or_default() {
            let Some(mut line) = self.lines.remove(&to) else {
                continue;
            };
            for parcel in &mut line {
                self.look_up(to, parcel, bodies);
            }
            self.lines.insert(to, line);
            self.drain(to, &mut complete);
        }
        complete
    }

    /// The connection is gone.
    pub(super) fn forget(&mut self, to: ConnectionId) {
        self.lines.remove(&to);
    }

    fn look_up(&mut self, to: ConnectionId, parcel: &mut Parcel, bodies: &Bodies) {
        parcel.missing = 0;
        for (id, body) in parcel.ids.iter().zip(&mut parcel.bodies) {
            if body.is_some() {
                continue;
            }
            match bodies.find(*id) {
                Ok(found) => *body = Some(found),
                Err(None) => {}
                Err(Some(source)) => {
                    parcel.missing += 1;
                    let waiting = self.asked.entry(source).or_insert_with(|| {
                        self.wanted.push(source);
                        Vec::new()
                    });
                    if waiting.last() != Some(&to) {
                        waiting.push(to);
                    }
                }
            }
        }
    }

    fn drain(&mut self, to: ConnectionId, complete: &mut Vec<(ConnectionId, Parcel)>) {
        let Some(line) = self.lines.get_mut(&to) else {
            return;
        };
        while line.front().is_some_and(|parcel| parcel.missing == 0) {
            complete.extend(line.pop_front().map(|parcel| (to, parcel)));
        }
        if line.is_empty() {
            self.lines.remove(&to);
        }
    }
}
