//! Answers that need bodies. Those of one connection leave in order, so one whose bodies have to
//! be read holds up the ones behind it; what they need is asked for meanwhile.

use std::collections::{BTreeSet, VecDeque};

use rustc_hash::FxHashMap;
use verteilt_core::{ConnectionId, Effect, JobId};

use super::bodies::{Bodies, Found, Loaded, Source};

/// An answer and the bodies it needs.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) effect: Effect,
    pub(super) ids: Vec<JobId>,
    /// One each; `None` while it is being read, or for good if the job has gone meanwhile.
    pub(super) bodies: Vec<Option<Found>>,
    /// One each: what has to be read for it.
    waits: Vec<Option<Source>>,
    missing: usize,
}

/// All answers that wait for bodies.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    lines: FxHashMap<ConnectionId, VecDeque<Parcel>>,
    /// What is being read, and for whom: each once, for all of its parcels look again together.
    asked: FxHashMap<Source, BTreeSet<ConnectionId>>,
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
            Effect::Request { stored, .. } => stored.iter().copied().collect(),
            _ => Vec::new(),
        };
        let mut parcel = Parcel {
            effect,
            bodies: vec![None; ids.len()],
            waits: vec![None; ids.len()],
            missing: 0,
            ids,
        };
        self.look_up(to, &mut parcel, bodies);
        if let (Effect::Deliver { .. }, Some(last)) = (&parcel.effect, parcel.ids.last()) {
            bodies
                .ahead(*last, |source| self.asked.contains_key(source))
                .into_iter()
                .for_each(|source| self.want(source));
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
            BTreeSet::new()
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
                for (at, wait) in parcel.waits.iter_mut().enumerate() {
                    if *wait == Some(source) {
                        // Not in it: the job has gone since, and its body with it.
                        parcel.bodies[at] = loaded.find(parcel.ids[at]);
                        parcel.missing -= 1;
                        *wait = None;
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
        let (mut near, mut asked_last) = (0, None);
        for (at, id) in parcel.ids.iter().enumerate() {
            let body = &mut parcel.bodies[at];
            if body.is_some() {
                continue;
            }
            parcel.waits[at] = None;
            match bodies.find_near(*id, &mut near) {
                Ok(found) => *body = Some(found),
                Err(None) => {}
                Err(Some(source)) => {
                    parcel.missing += 1;
                    parcel.waits[at] = Some(source);
                    if asked_last.replace(source) == Some(source) {
                        continue;
                    }
                    let waiting = self.asked.entry(source).or_insert_with(|| {
                        self.wanted.push(source);
                        BTreeSet::new()
                    });
                    waiting.insert(to);
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use verteilt_core::Delivery;

    use super::*;
    use crate::store::{BlockMeta, Body};

    const ME: ConnectionId = ConnectionId(1);

    fn block(number: u64, first_id: u64, last_id: u64) -> BlockMeta {
        BlockMeta {
            number,
            first_id,
            last_id,
            entries: 10,
            live: 10,
            bytes: 100_000,
            parts: 1,
        }
    }

    fn bodies(blocks: &[BlockMeta]) -> Bodies {
        Bodies::new(blocks.into(), 1 << 20)
    }

    fn deliver(ids: &[u64]) -> Effect {
        let delivery = |id: &u64| Delivery {
            id: JobId(*id),
            attempt: 1,
            lease_ms: 1,
            length: 1,
            parts: Vec::new(),
        };
        Effect::Deliver {
            subscription: 1,
            correlation: 0,
            token: 1,
            jobs: ids.iter().map(delivery).collect(),
        }
    }

    fn loaded(ids: &[u64]) -> Loaded {
        let body = |id: &u64| Body {
            id: *id,
            header_length: 0,
            bytes: Bytes::from(id.to_string()),
        };
        Loaded::Block(ids.iter().map(body).collect())
    }

    const fn source(number: u64) -> Source {
        Source::Block { number, parts: 1 }
    }

    fn ids(complete: &[(ConnectionId, Parcel)]) -> Vec<Vec<u64>> {
        let of_parcel = |(_, parcel): &(ConnectionId, Parcel)| {
            let pairs = parcel.ids.iter().zip(&parcel.bodies);
            let there = pairs.filter(|(_, body)| body.is_some());
            there.map(|(id, _)| id.0).collect()
        };
        complete.iter().map(of_parcel).collect()
    }

    #[test]
    fn answers_of_a_connection_keep_their_order() {
        let bodies = bodies(&[block(1, 1, 9), block(2, 10, 19)]);
        let mut parcels = Parcels::default();
        assert!(parcels.pack(ME, deliver(&[1, 10]), &bodies).is_none());
        assert!(parcels.pack(ME, deliver(&[11]), &bodies).is_none());
        // Needs nothing, and waits for its turn all the same; others do not wait for it.
        assert!(parcels.pack(ME, deliver(&[]), &bodies).is_none());
        assert!(
            parcels
                .pack(ConnectionId(2), deliver(&[]), &bodies)
                .is_some()
        );
        assert_eq!(parcels.wanted, [source(1), source(2)], "each is read once");
        let complete = parcels.loaded(source(2), &loaded(&[10, 11]));
        assert!(complete.is_empty());
        let complete = parcels.loaded(source(1), &loaded(&[1]));
        assert_eq!(ids(&complete), [vec![1, 10], vec![11], vec![]]);
        assert!(parcels.pack(ME, deliver(&[]), &bodies).is_some());
    }

    #[test]
    fn a_job_that_went_while_its_block_was_rewritten_holds_nobody_up() {
        let mut parcels = Parcels::default();
        assert!(
            parcels
                .pack(ME, deliver(&[1, 2]), &bodies(&[block(1, 1, 9)]))
                .is_none()
        );
        parcels.wanted.clear();
        // Job 1 is done meanwhile, and a checkpoint moved its neighbours.
        let moved = bodies(&[block(2, 1, 9)]);
        assert!(parcels.look_again(source(1), &moved).is_empty());
        assert_eq!(parcels.wanted, [source(2)]);
        let complete = parcels.loaded(source(2), &loaded(&[2, 3]));
        assert_eq!(ids(&complete), [vec![2]]);
    }

    /// Each of them looks for all that it waits for, whichever piece was moved.
    #[test]
    fn who_looks_again_and_again_waits_once() {
        let mut parcels = Parcels::default();
        let clients = [1, 2, 3].map(ConnectionId);
        let at = |first: u64| bodies(&[block(first, 1, 9), block(first + 1, 10, 19)]);
        for to in clients {
            assert!(parcels.pack(to, deliver(&[1, 10]), &at(0)).is_none());
        }
        for moves in 0..20 {
            let (old, new) = (moves * 2, moves * 2 + 2);
            for number in [old, old + 1] {
                let complete = parcels.look_again(source(number), &at(new));
                assert!(complete.is_empty());
            }
            let waiting = parcels.asked.values().map(BTreeSet::len);
            assert!(waiting.sum::<usize>() <= 2 * clients.len(), "move {moves}");
        }
        let complete = parcels.loaded(source(40), &loaded(&[1]));
        assert!(complete.is_empty());
        let complete = parcels.loaded(source(41), &loaded(&[10]));
        assert_eq!(ids(&complete), vec![vec![1, 10]; clients.len()]);
    }

    /// Blocks that follow are asked for before they are needed, and half of them at a time.
    #[test]
    fn what_follows_is_asked_for_in_large_steps() {
        let blocks: Vec<BlockMeta> = (0..100)
            .map(|n| block(n, 10 * n + 1, 10 * n + 10))
            .collect();
        let mut bodies = bodies(&blocks);
        let mut parcels = Parcels::default();
        let mut steps = Vec::new();
        for number in 0..100 {
            let id = 10 * number + 1;
            parcels.pack(ME, deliver(&[id]), &bodies);
            let wanted = std::mem::take(&mut parcels.wanted);
            steps.extend(Some(wanted.len()).filter(|step| *step > 0));
            for source in wanted {
                let Source::Block { number, .. } = source else {
                    panic!("{source:?}");
                };
                let body = Body {
                    id: 10 * number + 1,
                    header_length: 0,
                    bytes: Bytes::from_static(b"1"),
                };
                let what = || Loaded::Block(vec![body.clone()]);
                parcels.loaded(source, &what());
                bodies.add_loaded(source, what());
            }
        }
        assert_eq!(steps.iter().sum::<usize>(), 100, "each once: {steps:?}");
        assert!(steps.len() <= 8, "{steps:?}");
    }

    #[test]
    fn what_moved_out_of_reach_is_gone() {
        let mut parcels = Parcels::default();
        assert!(
            parcels
                .pack(ME, deliver(&[1]), &bodies(&[block(1, 1, 9)]))
                .is_none()
        );
        let complete = parcels.look_again(source(1), &bodies(&[]));
        assert_eq!(ids(&complete), [Vec::<u64>::new()]);
    }

    #[test]
    fn a_connection_that_ended_gets_nothing() {
        let bodies = bodies(&[block(1, 1, 9)]);
        let mut parcels = Parcels::default();
        assert!(parcels.pack(ME, deliver(&[1]), &bodies).is_none());
        assert!(
            parcels
                .pack(ConnectionId(2), deliver(&[2]), &bodies)
                .is_none()
        );
        parcels.forget(ME);
        let complete = parcels.loaded(source(1), &loaded(&[1, 2]));
        assert_eq!(complete[0].0, ConnectionId(2));
        assert_eq!(complete.len(), 1);
    }
}
