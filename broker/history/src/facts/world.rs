//! The broker and the sessions over time.

use std::collections::BTreeMap;

use super::{At, BrokerClock};
use crate::{Event, History, Options, QueueEnd};

/// What was done to the broker and its sessions. All lists are in order.
#[derive(Debug)]
pub(crate) struct World<'h> {
    pub(crate) clock: BrokerClock,
    /// Whether the wall clock was ever set.
    pub(crate) clock_was_set: bool,
    /// Ends of the broker's runs.
    pub(crate) stops: Vec<At>,
    /// Its starts, each with the stop before it.
    pub(crate) starts: Vec<(Option<At>, At)>,
    /// All that may swallow a delivery on its way: ends of connections and stops of the broker.
    pub(crate) breaks: Vec<At>,
    sessions: BTreeMap<u32, Session<'h>>,
    /// Phases in which the broker was idle.
    pub(crate) idle: Vec<(At, At)>,
    pub(crate) faults_stopped: Option<At>,
    pub(crate) drained: Option<(At, &'h [QueueEnd])>,
}

/// A client came, or came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connect<'h> {
    pub(crate) at: At,
    /// The leases that it named; the session's others end. None: not told.
    held: Option<&'h [(u64, u64)]>,
}

/// One client's connections.
#[derive(Debug, Default)]
pub(crate) struct Session<'h> {
    connected: bool,
    pub(crate) connects: Vec<Connect<'h>>,
    /// Connections that ended for whatever reason.
    pub(crate) ends: Vec<At>,
    /// Connections that ended while the broker ran, which then ends the session's leases.
    pub(crate) breaks: Vec<At>,
}

impl<'h> World<'h> {
    pub(super) fn gather(history: &'h History, options: &Options) -> Self {
        let mut world = Self {
            clock: BrokerClock::new(),
            clock_was_set: false,
            stops: Vec::new(),
            starts: Vec::new(),
            breaks: Vec::new(),
            sessions: BTreeMap::new(),
            idle: Vec::new(),
            faults_stopped: None,
            drained: None,
        };
        let mut up = true;
        let mut wall = 0;
        let mut idle_since = None;
        for (index, record) in history.records.iter().enumerate() {
            let at = At {
                line: index + 1,
                at_ms: record.at_ms,
            };
            match &record.event {
                Event::Connected { client, held } => {
                    let held = held.as_deref();
                    world.connect(*client, Connect { at, held });
                }
                Event::Disconnected { client } => world.disconnect(*client, at, up),
                Event::BrokerKilled | Event::BrokerStopped | Event::PowerCut => {
                    if up {
                        world.stop(at);
                    }
                    up = false;
                }
                Event::BrokerStarted { .. } => {
                    world.start(at, up, options, wall);
                    up = true;
                }
                Event::ClockSet { by_ms } => {
                    world.clock_was_set = true;
                    wall += i128::from(*by_ms);
                }
                Event::Idle { idle: true } => idle_since = idle_since.or(Some(at)),
                Event::Idle { idle: false } => {
                    world
                        .idle
                        .extend(idle_since.take().map(|since| (since, at)));
                }
                Event::FaultsStopped => world.faults_stopped = Some(at),
                Event::Drained { queues } => world.drained = Some((at, queues)),
                _ => {}
            }
        }
        world
    }

    pub(crate) fn session(&self, client: u32) -> Option<&Session<'h>> {
        self.sessions.get(&client)
    }

    fn connect(&mut self, client: u32, connect: Connect<'h>) {
        let at = connect.at;
        let session = self.sessions.entry(client).or_default();
        // The end of the older connection was not recorded, but the broker may have seen it.
        if session.connected {
            session.ends.push(at);
            session.breaks.push(at);
            self.breaks.push(at);
        }
        session.connected = true;
        session.connects.push(connect);
    }

    fn disconnect(&mut self, client: u32, at: At, up: bool) {
        let session = self.sessions.entry(client).or_default();
        session.connected = false;
        session.ends.push(at);
        if up {
            session.breaks.push(at);
        }
        self.breaks.push(at);
    }

    fn stop(&mut self, at: At) {
        self.stops.push(at);
        self.breaks.push(at);
        for session in self.sessions.values_mut() {
            session.connected = false;
        }
    }

    fn start(&mut self, at: At, up: bool, options: &Options, wall: i128) {
        if up && at.line == 1 {
            return;
        }
        // A start without the end before it: it must have ended by now.
        if up && self.has_begun() {
            self.stop(at);
        }
        let stopped = self.stops.last().copied();
        if stopped.is_some() {
            self.starts.push((stopped, at));
        }
        self.clock.start(stopped, at, options.lag_ms, wall);
    }

    /// Whether anybody was there before this start.
    fn has_begun(&self) -> bool {
        !self.starts.is_empty() || !self.sessions.is_empty() || !self.stops.is_empty()
    }
}

impl Session<'_> {
    /// The first connection behind a place.
    pub(crate) fn next_connect(&self, behind: At) -> Option<At> {
        let index = self.connects.partition_point(|connect| connect.at < behind);
        self.connects.get(index).map(|connect| connect.at)
    }

    /// Whether the client came back between two times without naming a lease.
    pub(crate) fn may_have_left(&self, job: u64, token: u64, from_ms: u64, to_ms: u64) -> bool {
        let first = self
            .connects
            .partition_point(|connect| connect.at.at_ms < from_ms);
        let back = self.connects[first..].iter();
        let names = |held: &[(u64, u64)]| held.contains(&(job, token));
        back.take_while(|connect| connect.at.at_ms <= to_ms)
            .any(|connect| !connect.held.is_some_and(names))
    }
}
