//! What stands where: S1, S2, S6 and S7 of the records themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{Names, Place};
use super::{Partition, Publish};
use crate::findings::Findings;
use crate::{Body, Producer, Rule};

#[derive(Debug)]
struct Open {
    line: usize,
    topic: u32,
    publish: Publish,
}

/// How somebody sends: its key, the partition that it asks for.
type Route = (u32, Option<String>, Option<u32>);

/// A value that somebody has tried to publish.
#[derive(Debug)]
struct Sent {
    /// Of the first try.
    line: usize,
    at_ms: Option<u64>,
    bytes: u64,
    route: Option<Route>,
}

/// What stands at an offset.
#[derive(Debug)]
struct Stands {
    topic: u32,
    value: Body,
    /// Who said so first.
    line: usize,
    time_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) at_ms: Option<u64>,
    open: BTreeMap<u64, Open>,
    sent: BTreeMap<(u32, Body), Sent>,
    known: BTreeMap<Place, Stands>,
    places: BTreeMap<(u32, Body), Place>,
    acknowledged: BTreeMap<Place, usize>,
    taken: BTreeMap<Producer, (Place, usize)>,
    numbers: BTreeMap<Producer, u32>,
    /// Where the records of a key are.
    keys: BTreeMap<(u32, String), (u32, usize)>,
    read: BTreeSet<Place>,
    deleted: BTreeMap<u32, usize>,
}

impl Log {
    pub(super) fn publish(&mut self, line: usize, topic: u32, publish: &Publish) {
        let Publish {
            client, key, to, ..
        } = publish;
        let route = client.map(|client| (client, key.clone(), *to));
        let key_bytes = key.as_ref().map_or(0, String::len) as u64;
        for value in &publish.values {
            let sent = || Sent {
                line,
                at_ms: self.at_ms,
                bytes: value.length + key_bytes,
                route: route.clone(),
            };
            self.sent.entry((topic, *value)).or_insert_with(sent);
        }
        if let Some(producer) = &publish.producer {
            *self.numbers.entry(producer.clone()).or_default() += 1;
        }
        let publish = publish.clone();
        let open = Open {
            line,
            topic,
            publish,
        };
        self.open.insert(open.publish.operation, open);
    }

    pub(super) fn failed(&mut self, operation: u64) {
        self.open.remove(&operation);
    }

    pub(super) fn deleted(&mut self, line: usize, topic: u32) {
        self.deleted.entry(topic).or_insert(line);
    }

    pub(super) fn published(
        &mut self,
        line: usize,
        operation: u64,
        (number, first_offset): (u32, u64),
        duplicate: bool,
        names: &mut Names,
        findings: &mut Findings,
    ) {
        let Some(open) = self.open.remove(&operation) else {
            return;
        };
        let topic = open.publish.topic.clone();
        let id = names.partition(&Partition { topic, number });
        if let Some(gone) = self.deleted.get(&open.topic)
            && *gone < open.line
        {
            let expected = "a refusal, because the topic was deleted";
            let lines = [*gone, open.line, line];
            findings.broken(Rule::S2, expected, "it was acknowledged", &lines);
        }
        self.once(line, &open, (id, first_offset), duplicate, names, findings);
        self.way(line, &open, id, names, findings);
        for (at, value) in open.publish.values.iter().enumerate() {
            let place = (id, first_offset + at as u64);
            self.acknowledged.entry(place).or_insert(line);
            self.stands(line, place, *value, 0, names, findings);
        }
    }

    /// S7: sent again, it is where it was.
    fn once(
        &mut self,
        line: usize,
        open: &Open,
        place: Place,
        duplicate: bool,
        names: &Names,
        findings: &mut Findings,
    ) {
        let Some(producer) = &open.publish.producer else {
            return;
        };
        let is_alone = self.numbers.get(producer).is_none_or(|tries| *tries < 2);
        if duplicate && is_alone {
            let expected = format!("a new publish, because {producer:?} was used once");
            findings.broken(Rule::S7, expected, "a duplicate", &[open.line, line]);
        }
        let known = self.taken.entry(producer.clone()).or_insert((place, line));
        let (was, told) = *known;
        if was != place {
            let (was_in, is_in) = (names.name(was.0), names.name(place.0));
            let expected = format!("{was_in}, offset {}, as the first time", was.1);
            let found = format!("{is_in}, offset {}", place.1);
            findings.broken(Rule::S7, expected, found, &[told, line]);
        }
    }

    /// S6: where it was told to go, and where its key is.
    fn way(&mut self, line: usize, open: &Open, id: u32, names: &Names, findings: &mut Findings) {
        let number = names.number_of(id);
        if let Some(to) = open.publish.to {
            if to != number {
                let found = format!("partition {number}");
                let lines = [open.line, line];
                findings.broken(Rule::S6, format!("partition {to}"), found, &lines);
            }
        } else if let Some(key) = &open.publish.key {
            let key = (open.topic, key.clone());
            let (known, told) = *self.keys.entry(key).or_insert((id, line));
            if known != id {
                let expected = format!("{}, as all of its key", names.name(known));
                findings.broken(Rule::S6, expected, names.name(id), &[told, line]);
            }
        }
    }

    pub(super) fn got(
        &mut self,
        line: usize,
        place: Place,
        value: Body,
        time_ms: u64,
        names: &Names,
        findings: &mut Findings,
    ) {
        if !self.sent.contains_key(&(names.topic_of(place.0), value)) {
            let found = format!("{value:?} at offset {} of {}", place.1, names.name(place.0));
            findings.broken(Rule::S2, "what somebody has published", found, &[line]);
        }
        self.stands(line, place, value, time_ms, names, findings);
        self.read.insert(place);
    }

    /// Somebody says what stands at an offset.
    fn stands(
        &mut self,
        line: usize,
        place: Place,
        value: Body,
        time_ms: u64,
        names: &Names,
        findings: &mut Findings,
    ) {
        let topic = names.topic_of(place.0);
        let known = self.known.entry(place).or_insert(Stands {
            topic,
            value,
            line,
            time_ms,
        });
        let offset = place.1;
        if known.value != value {
            let was = known.value;
            let expected = format!("{was:?} at offset {offset} of {}", names.name(place.0));
            findings.broken(
                Rule::S6,
                expected,
                format!("{value:?}"),
                &[known.line, line],
            );
            return;
        }
        if known.time_ms == 0 {
            known.time_ms = time_ms;
        } else if time_ms > 0 && known.time_ms != time_ms {
            let expected = format!("the time {} of offset {offset}", known.time_ms);
            findings.broken(
                Rule::S6,
                expected,
                format!("{time_ms}"),
                &[known.line, line],
            );
        }
        let first = *self.places.entry((topic, value)).or_insert(place);
        if first != place {
            let lines = [self.known[&first].line, line];
            let expected = format!("{value:?} once, at {} of {}", first.1, names.name(first.0));
            let found = format!("it is at {offset} of {}, too", names.name(place.0));
            findings.broken(Rule::S7, expected, found, &lines);
        }
    }

    /// Acknowledged records from `place` on that are cut off, or that nobody has read, and the lines
    /// of their acknowledgements.
    pub(super) fn lost(&self, place: Place, next: u64, read: bool) -> Vec<(u64, usize)> {
        let all = self.acknowledged.range(place..=(place.0, u64::MAX));
        let lost =
            all.filter(|(place, _)| place.1 >= next || (read && !self.read.contains(*place)));
        lost.map(|(place, line)| (place.1, *line)).collect()
    }

    /// S6: whoever was acknowledged before another began stands before it; so does what one client
    /// sent first on the same way; times do not fall.
    pub(super) fn order(&self, names: &Names, findings: &mut Findings) {
        let mut partition = None;
        // Behind the record at hand: who was acknowledged first, and what each client sent first.
        let (mut first_ack, mut routes) = (usize::MAX, BTreeMap::new());
        let mut later_ms = u64::MAX;
        for ((id, offset), stands) in self.known.iter().rev() {
            if partition.replace(*id) != Some(*id) {
                (first_ack, later_ms) = (usize::MAX, u64::MAX);
                routes.clear();
            }
            let Some(sent) = self.sent_of(stands) else {
                continue;
            };
            let here = || format!("offset {offset} of {}", names.name(*id));
            if first_ack < sent.line {
                let expected = format!("{} behind what was there before it was sent", here());
                findings.broken(Rule::S6, expected, "before it", &[first_ack, sent.line]);
            }
            if let Some(ack) = self.acknowledged.get(&(*id, *offset)) {
                first_ack = first_ack.min(*ack);
            }
            if let Some(route) = &sent.route {
                let first = routes.entry(route).or_insert(sent.line);
                if *first < sent.line {
                    let expected = format!("{} behind what its client sent first", here());
                    findings.broken(Rule::S6, expected, "before it", &[*first, sent.line]);
                }
                *first = (*first).min(sent.line);
            }
            if stands.time_ms > 0 {
                if stands.time_ms > later_ms {
                    let expected = format!("{} not later than those behind it", here());
                    findings.broken(Rule::S6, expected, "times that fall", &[stands.line]);
                }
                later_ms = later_ms.min(stands.time_ms);
            }
        }
    }

    /// Acknowledged records of a partition: offsets, when they were sent, and acknowledged.
    pub(super) fn acknowledged(&self, id: u32) -> impl Iterator<Item = (u64, usize, usize)> {
        let all = self.acknowledged.range((id, 0)..=(id, u64::MAX));
        all.filter_map(|(place, ack)| {
            let sent = self.sent_of(self.known.get(place)?)?;
            Some((place.1, sent.line, *ack))
        })
    }

    /// The time of a record by the broker's clock, if anybody has read it.
    pub(super) fn times(&self, id: u32) -> impl Iterator<Item = (u64, u64)> {
        let all = self.known.range((id, 0)..=(id, u64::MAX));
        let timed = all.filter(|(_, stands)| stands.time_ms > 0);
        timed.map(|(place, stands)| (place.1, stands.time_ms))
    }

    fn sent_of(&self, stands: &Stands) -> Option<&Sent> {
        self.sent.get(&(stands.topic, stands.value))
    }

    /// Most bytes that the records of a partition from `from` on can have had before this line, with
    /// so many for what stands around each; a value of which nobody knows where it is counts, too.
    pub(super) fn held_max(&self, (id, from): Place, topic: u32, line: usize, around: u64) -> u64 {
        let here = self.known.range((id, from)..=(id, u64::MAX));
        let here = here.filter_map(|(_, stands)| self.sent_of(stands));
        let homeless = self.sent.range((topic, Body::default())..);
        let homeless = homeless.take_while(|((of, _), _)| *of == topic);
        let homeless = homeless.filter(|(key, _)| !self.places.contains_key(*key));
        let all = here.chain(homeless.map(|(_, sent)| sent));
        let before = all.filter(|sent| sent.line < line);
        before.map(|sent| sent.bytes + around).sum()
    }

    /// When somebody began to publish what stands here, if that is known.
    pub(super) fn sent_ms(&self, place: Place) -> Option<u64> {
        self.sent_of(self.known.get(&place)?)?.at_ms
    }
}
