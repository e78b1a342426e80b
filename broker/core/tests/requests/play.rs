//! A story: commands, `----`, and what came of them. Names with c and w stand for connections, `r1`
//! for a request as its caller knows it, `t1` for a lease, by the number of its token.
//!
//! | command | |
//! |---|---|
//! | `inbox c1 as=7 waiting=1,2` | |
//! | `serve w1 mail as=1 version=2 credit=2 bytes=100 health=draining`, `unserve w1 1` | |
//! | `send c1 1 mail version=2 deadline=5s bytes=9 parent=3 more` | |
//! | `reply w1 t1 status=404 bytes=9 more` | |
//! | `forward w1 t1 next version=2 bytes=9 more rest` | |
//! | `part c1 r1 bytes=9`, `part w1 t1 bytes=9 last`, `part w1 t1 broken` | |
//! | `credit c1 r1 100`, `cancel c1 1` | |
//! | `gone c1`, `goodbye c1`, `hold w1`, `unhold w1`, `drain`, `advance 5s`, `deadline` | |
//! | `services`, `trace 1`, `rest` | |
//! | `send c1 1 mail disk like=2 detach`, `result c1 1 wait=5s` | |
//! | `full`, `restart` | the disk is full from now on; everybody is gone, and only the journal is left |
//!
//! A line that begins with `journal` is what has to be on the disk before what stands behind it is
//! told.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use verteilt_core::{
    ConnectionId, Content, Durable, Forward, GatewayId, Health, Part, Refusal, Reply,
    RequestCommand, RequestId, Serve, ServerInfo, Side,
};

use crate::broker::Broker;
use crate::told::{TOKEN_BASE, journaled, told};
use crate::world::{content, name, request};

pub(crate) fn play(script: &str) -> String {
    let mut player = Player {
        broker: Broker::new(1_000_000),
        now_us: 1_000_000,
        connections: Vec::new(),
        correlation: 0,
    };
    let blocks: Vec<String> = script
        .trim_end()
        .split("\n\n")
        .map(|block| {
            let (asked, _) = block.split_once("\n----").unwrap_or((block, ""));
            let lines = asked.lines();
            let commands: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
            if commands.is_empty() {
                return asked.to_owned();
            }
            let mut came = String::new();
            for command in commands {
                player.obey(command, &mut came);
            }
            format!("{asked}\n----{came}")
        })
        .collect();
    blocks.join("\n\n") + "\n"
}

struct Player {
    broker: Broker,
    now_us: u64,
    connections: Vec<String>,
    correlation: u64,
}

/// `key=value` and single words behind a command.
struct Options<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    fn number(&self, key: &str, default: u64) -> u64 {
        self.0
            .get(key)
            .map_or(default, |text| text.parse().expect(key))
    }

    fn text(&self, key: &str) -> &'a str {
        self.0.get(key).copied().unwrap_or("")
    }

    fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    fn content(&self) -> Content {
        content(self.number("bytes", 0) as usize, self.has("more"))
    }
}

fn millis(text: &str) -> u64 {
    match text.strip_suffix("ms") {
        Some(ms) => ms.parse().expect("a number"),
        None => text.trim_end_matches('s').parse::<u64>().expect("a time") * 1_000,
    }
}

fn side(text: &str) -> Side {
    let number = text[1..].parse::<u64>().expect("a number");
    match text.as_bytes()[0] {
        b'r' => Side::Caller(RequestId(number.into())),
        _ => Side::Worker(TOKEN_BASE + number),
    }
}

fn token(text: &str) -> u64 {
    match side(text) {
        Side::Worker(token) => token,
        Side::Caller(_) => panic!("{text} is no lease"),
    }
}

impl Player {
    fn connection(&mut self, name: &str) -> ConnectionId {
        let known = self.connections.iter().position(|known| known == name);
        let at = known.unwrap_or_else(|| {
            self.connections.push(name.to_owned());
            self.connections.len() - 1
        });
        ConnectionId(at as u64)
    }

    fn obey(&mut self, line: &str, came: &mut String) {
        let mut words = line.split_whitespace();
        let command = words.next().expect("a command");
        let (plain, options): (Vec<&str>, Vec<&str>) = words.partition(|word| {
            let flags = ["more", "rest", "last", "broken", "disk", "detach"];
            !word.contains('=') && !flags.contains(word)
        });
        let options = options.into_iter();
        let options = Options(
            options
                .map(|word| word.split_once('=').unwrap_or((word, "")))
                .collect(),
        );
        let now_us = self.now_us;
        match command {
            "advance" => {
                self.now_us += millis(plain[0]) * 1_000;
                let now_us = self.now_us;
                self.broker
                    .decide(now_us, |requests, disk| requests.tick(now_us, disk));
            }
            "deadline" => {
                let at_us = self.broker.next_deadline();
                let left = at_us.map(|at_us| at_us.saturating_sub(now_us).div_ceil(1_000));
                let _ = write!(came, "\ndeadline {left:?} ms");
            }
            "rest" => {
                let _ = write!(came, "\nat rest {}", self.broker.requests.is_at_rest());
            }
            "drain" => self
                .broker
                .decide(now_us, |requests, _| requests.drain(now_us)),
            "full" => self.broker.refusal = Some(Refusal::DiskFull),
            "restart" => {
                self.broker.restart(now_us);
                for connection in &mut self.connections {
                    connection.push_str(", gone");
                }
            }
            "gone" | "goodbye" => {
                let connection = self.connection(plain[0]);
                let polite = command == "goodbye";
                self.broker.decide(now_us, |requests, _| {
                    requests.disconnect(connection, polite, now_us);
                });
                let gone = &mut self.connections[connection.0 as usize];
                *gone = format!("{gone}, gone");
            }
            "hold" | "unhold" => {
                let connection = self.connection(plain[0]);
                let is_held = command == "hold";
                self.broker.decide(now_us, |requests, _| {
                    requests.hold(connection, is_held, now_us)
                });
            }
            "services" | "trace" => self.ask("look", command_of(command, &plain, &options)),
            _ => self.ask(plain[0], command_of(command, &plain, &options)),
        }
        for event in self.broker.journaled.drain(..) {
            let _ = write!(came, "\njournal: {}", journaled(&event));
        }
        for (to, effect) in self.broker.told.drain(..) {
            let to = &self.connections[to.0 as usize];
            let _ = write!(came, "\n{to} <- {}", told(&effect));
        }
    }

    fn ask(&mut self, by: &str, command: RequestCommand) {
        let connection = self.connection(by);
        self.correlation += 1;
        let (correlation, now_us) = (self.correlation, self.now_us);
        self.broker.decide(now_us, |requests, disk| {
            requests.handle(connection, correlation, command, now_us, disk);
        });
    }
}

fn command_of(command: &str, plain: &[&str], options: &Options<'_>) -> RequestCommand {
    let request_id = |text: &str| RequestId(text.parse().expect("a request"));
    match command {
        "inbox" => {
            let waiting = options
                .text("waiting")
                .split(',')
                .filter(|id| !id.is_empty());
            RequestCommand::Inbox {
                namespace: Arc::from("default"),
                gateway: GatewayId(options.number("as", 1).into()),
                waiting: waiting.map(request_id).collect(),
            }
        }
        "serve" => RequestCommand::Serve(Box::new(serve_of(plain, options))),
        "unserve" => RequestCommand::Unserve(plain[1].parse().expect("a number")),
        "send" => {
            let parent = options.number("parent", 0).into();
            let mut new = request(plain[1].parse().expect("an id"), plain[2]);
            new.parent = (parent != 0).then_some(RequestId(parent));
            new.version = Arc::from(options.text("version"));
            new.deadline_ms = options.0.get("deadline").map_or(0, |text| millis(text));
            new.content = options.content();
            new.durable = options.has("disk").then(|| Durable {
                fingerprint: options.number("like", 0).into(),
                detach: options.has("detach"),
            });
            RequestCommand::Send(Box::new(new))
        }
        "reply" => RequestCommand::Reply(Reply {
            token: token(plain[1]),
            status: options.number("status", 200) as u32,
            content: options.content(),
        }),
        "forward" => RequestCommand::Forward(Box::new(Forward {
            token: token(plain[1]),
            service: name(plain[2]),
            version: Arc::from(options.text("version")),
            endpoint: Arc::default(),
            rest_from_caller: options.has("rest"),
            content: options.content(),
        })),
        "part" => {
            let part = Part {
                payload: Bytes::from(vec![7; options.number("bytes", 0) as usize]),
                more: !options.has("last") && !options.has("broken"),
                broken: options.has("broken"),
            };
            RequestCommand::Part(side(plain[1]), part)
        }
        "credit" => RequestCommand::Credit(side(plain[1]), plain[2].parse().expect("bytes")),
        "cancel" => RequestCommand::Cancel(request_id(plain[1])),
        "result" => RequestCommand::Result {
            namespace: Arc::from("default"),
            request: request_id(plain[1]),
            wait_ms: options.0.get("wait").map_or(0, |text| millis(text)),
        },
        "services" => RequestCommand::Services {
            namespace: Arc::from("default"),
            service: None,
            after: String::new(),
        },
        "trace" => RequestCommand::Trace {
            namespace: Arc::from("default"),
            request: request_id(plain[0]),
        },
        other => panic!("no such command: {other}"),
    }
}

fn serve_of(plain: &[&str], options: &Options<'_>) -> Serve {
    Serve {
        subscription: options.number("as", 1),
        service: name(plain[1]),
        credit_requests: options.number("credit", 1) as u32,
        credit_bytes: options.number("bytes", 1_000),
        health: match options.text("health") {
            "unhealthy" => Health::Unhealthy,
            "draining" => Health::Draining,
            _ => Health::Healthy,
        },
        info: ServerInfo {
            version: Arc::from(options.text("version")),
            instance: Arc::from(plain[0]),
            ..ServerInfo::default()
        },
    }
}
