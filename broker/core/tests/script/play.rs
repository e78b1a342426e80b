//! Plays the commands of a script.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use verteilt_core::{
    Caller, Command, ConnectionId, Effect, Event, JobId, JobOptions, JobState, Lengths, Millis,
    Output, ProducerId, Push, QueueName, SessionId, Settle, SettleKind, TopicEvent,
};

use crate::topics;
use crate::trace::{Names, time};
use crate::world::{World, limits};

/// Correlations of requests that the script does not number.
const UNNUMBERED: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Player {
    world: World,
    names: Names,
    /// Connections of each session, the present one last.
    connections: BTreeMap<String, Vec<ConnectionId>>,
    /// The token under which each job was delivered last.
    tokens: BTreeMap<JobId, u64>,
    lsn: u64,
    trace: String,
}

/// The words of a command: those in order, and those with a name.
pub(crate) struct Words<'a> {
    pub(crate) plain: Vec<&'a str>,
    pub(crate) named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        let (named, plain) = line
            .split(' ')
            .partition::<Vec<_>, _>(|word| word.contains('='));
        let named = named
            .into_iter()
            .filter_map(|word| word.split_once('='))
            .collect();
        Self { plain, named }
    }

    pub(crate) fn at<T: FromStr>(&self, at: usize) -> T {
        let word = self
            .plain
            .get(at)
            .unwrap_or_else(|| panic!("a word is missing: {:?}", self.plain));
        word.parse().unwrap_or_else(|_| panic!("what is {word}?"))
    }

    pub(crate) fn name<T: FromStr>(&self, name: &str) -> Option<T> {
        let value = self.named.get(name)?;
        Some(
            value
                .parse()
                .unwrap_or_else(|_| panic!("what is {name}={value}?")),
        )
    }

    pub(crate) fn ms(&self, name: &str) -> Option<Millis> {
        self.named.get(name).map(|value| ms(value))
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }
}

pub(crate) fn ms(text: &str) -> Millis {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let unit = units
        .iter()
        .find_map(|(unit, by)| Some((text.strip_suffix(unit)?, by)));
    let (count, by) = unit.unwrap_or((text, &1));
    count
        .parse::<Millis>()
        .unwrap_or_else(|_| panic!("what time is {text}?"))
        * by
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName {
        namespace: Arc::from("default"),
        name: name.to_owned(),
    }
}

impl Player {
    pub(crate) fn new() -> Self {
        let (world, output) = World::new(limits(), 0);
        let mut player = Self {
            world,
            names: Names::default(),
            connections: BTreeMap::new(),
            tokens: BTreeMap::new(),
            lsn: 0,
            trace: String::new(),
        };
        player.tell(&output);
        player.trace.clear();
        player
    }

    /// A block of commands; what came of them, each line behind a line break.
    pub(crate) fn round(&mut self, lines: &[&str]) -> String {
        for line in lines {
            let words = Words::new(line);
            match words.at::<String>(0).as_str() {
                "advance" => {
                    self.world.now_ms += ms(&words.at::<String>(1));
                    self.tick();
                }
                "checkpoint" => self.world.checkpoint(),
                "crash" => {
                    self.connections.clear();
                    let output = self.world.crash();
                    self.tell(&output);
                }
                "deadline" => {
                    let at = self
                        .world
                        .shard
                        .next_deadline()
                        .map_or("none".to_owned(), time);
                    self.line(&format!("deadline {at}"));
                }
                name => self.command(name, &words),
            }
        }
        self.tick();
        std::mem::take(&mut self.trace)
    }

    fn tick(&mut self) {
        let output = self.world.tick();
        self.tell(&output);
    }

    fn command(&mut self, name: &str, words: &Words<'_>) {
        let (who, command) = match name {
            "push" => (words.name("by").unwrap_or("p".to_owned()), self.push(words)),
            "pause" | "resume" => {
                let (queue, paused) = (queue(&words.at::<String>(1)), name == "pause");
                ("p".to_owned(), Command::Pause { queue, paused })
            }
            "purge" => {
                let (queue, jobs_max) = (queue(&words.at::<String>(1)), words.at(2));
                ("p".to_owned(), Command::Purge { queue, jobs_max })
            }
            "stats" => {
                let (namespace, queue) = (Arc::from("default"), words.plain.get(1).copied());
                let queue = queue.map(str::to_owned);
                let after = words.name("after").unwrap_or_default();
                (
                    "p".to_owned(),
                    Command::Stats {
                        namespace,
                        queue,
                        after,
                    },
                )
            }
            "peek" => ("p".to_owned(), peek(words)),
            "drain" => ("p".to_owned(), Command::Drain),
            "disk" => {
                let is_full = words.at::<String>(1) == "full";
                ("p".to_owned(), Command::DiskFull(is_full))
            }
            "topic" | "retain" | "delete" | "publish" | "topics" | "groups" => {
                let who = words.name("by").unwrap_or("p".to_owned());
                (who, Command::Topic(topics::of_publisher(name, words)))
            }
            _ => (words.at(1), self.of_worker(name, words)),
        };
        let correlation = words.name("id").unwrap_or(UNNUMBERED);
        self.ask(&who, correlation, command);
    }

    fn of_worker(&self, name: &str, words: &Words<'_>) -> Command {
        let settle = |kind| {
            Command::Settle(Settle {
                kind,
                leases: self.leases(&words.plain[2..]),
            })
        };
        match name {
            "connect" => Command::Connect {
                held: (words.plain.get(2) == Some(&"holding"))
                    .then(|| self.leases(&words.plain[3..])),
            },
            "read" | "consumed" | "commit" => Command::Topic(topics::of_reader(name, words)),
            "disconnect" => Command::Disconnect,
            "hold" => Command::Hold(true),
            "unhold" => Command::Hold(false),
            "part" => Command::PushPart {
                upload: words.at(2),
                index: words.at(3),
                payload: Bytes::from(vec![b'x'; words.at(4)]),
            },
            "subscribe" => Command::Subscribe {
                subscription: words.name("as").unwrap_or(1),
                queue: queue(&words.at::<String>(2)),
                credit_jobs: words.name("credit").unwrap_or(1),
                credit_bytes: words.name("bytes").unwrap_or(0),
            },
            "unsubscribe" => Command::Unsubscribe {
                subscription: words.name("as").unwrap_or(1),
            },
            "pull" => Command::Reserve {
                queue: queue(&words.at::<String>(2)),
                jobs_max: words.at(3),
                wait_ms: words.ms("wait").unwrap_or(0),
            },
            "cancel" => Command::Cancel {
                correlation: words.at(2),
            },
            "ack" => settle(SettleKind::Ack),
            "release" => settle(SettleKind::Release),
            "nack" => settle(SettleKind::Nack {
                delay_ms: words.ms("delay"),
            }),
            "touch" => {
                let lease_ms = words.ms("lease").unwrap_or(0) as u32;
                settle(SettleKind::Touch { lease_ms })
            }
            other => panic!("what is {other}?"),
        }
    }

    fn push(&self, words: &Words<'_>) -> Command {
        let (count, bytes) = (words.at::<u32>(2), words.name("bytes").unwrap_or(3u32));
        let headers = words.name::<u32>("headers");
        let (upload, upload_parts) = words
            .named
            .get("upload")
            .and_then(|value| value.split_once(':'))
            .map_or((0, 0), |(upload, parts)| {
                (number(upload), number(parts) as u32)
            });
        let producer = words
            .named
            .get("producer")
            .and_then(|value| value.split_once(':'));
        let producer = producer.map(|(name, sequence)| {
            let id = u128::from(name.as_bytes()[0]);
            (ProducerId(id), number(sequence))
        });
        Command::Push(Push {
            queue: queue(&words.at::<String>(1)),
            producer,
            options: JobOptions {
                priority: words.name("priority").unwrap_or(0),
                delay_ms: words.ms("delay").unwrap_or(0),
                attempts_max: words.name("attempts").unwrap_or(0),
                lease_ms: words.ms("lease").unwrap_or(0) as u32,
                volatile: words.has("memory"),
            },
            lengths: Lengths {
                ends: (1..=count).map(|at| at * bytes).collect(),
                headers: headers.map_or(Vec::new(), |length| vec![length; count as usize]),
            },
            upload,
            upload_parts,
            payload: Bytes::from(vec![b'x'; (count * bytes) as usize]),
        })
    }

    /// `1`, `2..4`, `m0`, and `1@7` with another token than that of the last delivery.
    fn leases(&self, words: &[&str]) -> Vec<(JobId, u64)> {
        let mut leases = Vec::new();
        for word in words {
            let (ids, token) = word
                .split_once('@')
                .map_or((*word, None), |(ids, t)| (ids, Some(t)));
            let (first, last) = ids.split_once("..").unwrap_or((ids, ids));
            for id in self.id(first)..=self.id(last) {
                let last = self.tokens.get(&JobId(id)).copied().unwrap_or(0);
                leases.push((JobId(id), token.map_or(last, |token| self.id(token))));
            }
        }
        leases
    }

    fn id(&self, word: &str) -> u64 {
        match word.strip_prefix('m') {
            Some(at) => (1 << 63) | (self.world.shard.epoch() << 40) | number(at),
            None => number(word),
        }
    }

    fn ask(&mut self, who: &str, correlation: u64, command: Command) {
        let (session, older) = who.strip_suffix(".old").map_or((who, 0), |who| (who, 1));
        let connection =
            self.connection(session, older, matches!(command, Command::Connect { .. }));
        let id = self.session(session);
        let caller = Caller {
            connection,
            session: id,
            correlation,
        };
        let output = self.world.handle(caller, command);
        self.tell(&output);
    }

    fn session(&mut self, name: &str) -> SessionId {
        let known = self.names.sessions.iter().find(|(_, known)| *known == name);
        if let Some((id, _)) = known {
            return *id;
        }
        let id = SessionId(self.names.sessions.len() as u128 + 1);
        self.names.sessions.insert(id, name.to_owned());
        id
    }

    fn connection(&mut self, session: &str, older: usize, fresh: bool) -> ConnectionId {
        let next = ConnectionId(self.names.connections.len() as u64 + 1);
        let of_session = self.connections.entry(session.to_owned()).or_default();
        if fresh || of_session.is_empty() {
            if let Some(before) = of_session.last() {
                self.names
                    .connections
                    .insert(*before, format!("{session}.old"));
            }
            of_session.push(next);
            self.names.connections.insert(next, session.to_owned());
        }
        of_session[of_session.len() - 1 - older]
    }

    fn tell(&mut self, output: &Output) {
        for event in &output.events {
            match event {
                Event::QueueCreated { name, .. } => self.names.queues.push(name.clone()),
                Event::Topic(TopicEvent::Created { name, .. }) => {
                    self.names.topics.push(name.clone());
                }
                _ => {}
            }
            let told = self.names.event(event);
            if event.is_durable() {
                self.lsn += 1;
                self.line(&format!("{} {told}", self.lsn));
            } else {
                self.line(&format!("~ {told}"));
            }
        }
        for told in &output.effects {
            if let Effect::Deliver { token, jobs, .. } = &told.effect {
                self.tokens.extend(jobs.iter().map(|job| (job.id, *token)));
            }
            let to = &self.names.connections[&told.to];
            let effect = self.names.effect(&told.effect);
            self.line(&format!("{to} <- [{}] {effect}", told.after));
        }
    }

    fn line(&mut self, line: &str) {
        write!(self.trace, "\n{line}").expect("a string takes it");
    }
}

pub(crate) fn number(word: &str) -> u64 {
    word.parse()
        .unwrap_or_else(|_| panic!("what number is {word}?"))
}

fn peek(words: &Words<'_>) -> Command {
    let state = match words.at::<String>(2).as_str() {
        "scheduled" => JobState::Scheduled,
        "ready" => JobState::Ready,
        "leased" => JobState::Leased,
        "failed" => JobState::Failed,
        "dead" => JobState::Dead,
        other => panic!("what state is {other}?"),
    };
    let (queue, jobs_max) = (queue(&words.at::<String>(1)), words.at(3));
    Command::Peek {
        queue,
        state,
        jobs_max,
    }
}
