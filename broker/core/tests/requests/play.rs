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

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use verteilt_core::{
    ConnectionId, Content, Forward, GatewayId, Health, Part, Reply, RequestCommand, RequestEffect,
    RequestId, Requests, Serve, ServerInfo, Side,
};

use crate::world::{content, limits, name, request};

const TOKEN_BASE: u64 = 1 << 63;

pub(crate) fn play(script: &str) -> String {
    let mut player = Player {
        requests: Requests::new(limits(), 0),
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
    requests: Requests,
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
            !word.contains('=') && !["more", "rest", "last", "broken"].contains(word)
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
                self.requests.tick(self.now_us);
            }
            "deadline" => {
                let at_us = self.requests.next_deadline();
                let left = at_us.map(|at_us| (at_us - now_us).div_ceil(1_000));
                let _ = write!(came, "\ndeadline {left:?} ms");
            }
            "rest" => {
                let _ = write!(came, "\nat rest {}", self.requests.is_at_rest());
            }
            "drain" => self.requests.drain(now_us),
            "gone" | "goodbye" => {
                let connection = self.connection(plain[0]);
                let polite = command == "goodbye";
                self.requests.disconnect(connection, polite, now_us);
                let gone = &mut self.connections[connection.0 as usize];
                *gone = format!("{gone}, gone");
            }
            "hold" | "unhold" => {
                let connection = self.connection(plain[0]);
                self.requests.hold(connection, command == "hold", now_us);
            }
            "services" | "trace" => self.ask("look", command_of(command, &plain, &options)),
            _ => self.ask(plain[0], command_of(command, &plain, &options)),
        }
        for (to, effect) in self.requests.take_output() {
            let to = &self.connections[to.0 as usize];
            let _ = write!(came, "\n{to} <- {}", told(&effect));
        }
    }

    fn ask(&mut self, by: &str, command: RequestCommand) {
        let connection = self.connection(by);
        self.correlation += 1;
        let (correlation, now_us) = (self.correlation, self.now_us);
        self.requests
            .handle(connection, correlation, command, now_us);
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

fn part_of(side: Side) -> String {
    match side {
        Side::Caller(request) => format!("r{}", request.0),
        Side::Worker(token) => format!("t{}", token - TOKEN_BASE),
    }
}

fn size(content: &Content) -> String {
    let more = if content.more { " more" } else { "" };
    format!("{} bytes{more}", content.payload.len())
}

fn told(effect: &RequestEffect) -> String {
    match effect {
        RequestEffect::Done { .. } => "done".to_owned(),
        RequestEffect::Refused { refusal, .. } => format!("refused {refusal:?}"),
        RequestEffect::Deliver {
            token,
            request,
            deadline_ms,
            forwards,
            content,
            ..
        } => format!(
            "t{} is request {}, {deadline_ms} ms left, forwards={forwards}, {}",
            token - TOKEN_BASE,
            request.0,
            size(content)
        ),
        RequestEffect::Reply {
            request,
            status,
            content,
        } => format!("r{} replied {status}, {}", request.0, size(content)),
        RequestEffect::Part(side, part) => {
            let last = if part.more { "" } else { " last" };
            format!(
                "{} part of {} bytes{last}",
                part_of(*side),
                part.payload.len()
            )
        }
        RequestEffect::Credit(side, bytes) => format!("{} may send {bytes}", part_of(*side)),
        RequestEffect::Ended {
            side,
            refusal,
            holder,
        } => {
            let holder = holder.as_ref();
            let by = holder.map(|(name, info)| format!(", held by {name} {}", info.instance));
            format!(
                "{} ended {refusal:?}{}",
                part_of(*side),
                by.unwrap_or_default()
            )
        }
        other => listed(other),
    }
}

fn listed(effect: &RequestEffect) -> String {
    match effect {
        RequestEffect::Services { services, more, .. } => {
            let mut text = String::from("services");
            for service in services {
                let (name, waiting) = (&service.service, service.waiting);
                let (refused, expired) = (service.refused, service.expired);
                let _ = write!(
                    text,
                    "\n  {name} waiting={waiting} refused={refused} expired={expired}"
                );
                for instance in &service.instances {
                    let info = &instance.info;
                    let _ = write!(
                        text,
                        "\n    {} {:?} in-flight={} {:?}",
                        info.instance, instance.health, instance.in_flight, instance.counts
                    );
                }
            }
            if *more {
                text.push_str("\n  and more");
            }
            text
        }
        RequestEffect::Trace { requests, .. } => {
            let mut text = String::from("trace");
            for traced in requests {
                let _ = write!(text, "\n  request {}", traced.request.0);
                for step in &traced.steps {
                    let at_ms = (step.at_us - 1_000_000) / 1_000;
                    let (service, instance) = (&step.service, &step.instance);
                    let _ = write!(
                        text,
                        "\n    {at_ms} ms {:?} {service} {instance}",
                        step.kind
                    );
                }
            }
            text
        }
        other => panic!("no list: {other:?}"),
    }
}
