//! What came of a step, in words.

use std::collections::BTreeMap;

use verteilt_core::{
    ConnectionId, Effect, Event, GroupStats, JobId, Millis, PartitionId, PeekedJob, Published,
    Pushed, QueueStats, SessionId, TopicEffect, TopicEvent, TopicId, TopicStats,
};

/// How the script calls things.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) connections: BTreeMap<ConnectionId, String>,
    pub(crate) sessions: BTreeMap<SessionId, String>,
    pub(crate) queues: Vec<String>,
    pub(crate) topics: Vec<String>,
}

const VOLATILE: u64 = 1 << 63;

/// Job ids and tokens; those of `memory` jobs count from the start of the broker.
pub(crate) fn number(number: u64) -> String {
    if number & VOLATILE == 0 {
        number.to_string()
    } else {
        format!("m{}", number & ((1 << 40) - 1))
    }
}

pub(crate) fn time(ms: Millis) -> String {
    match ms {
        0 => "0".to_owned(),
        ms if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

pub(crate) fn ids(ids: &[JobId]) -> String {
    let runs = ids.chunk_by(|a, b| a.0 + 1 == b.0);
    let runs = runs.map(|run| match run {
        [one] => number(one.0),
        [first, .., last] => format!("{}..{}", number(first.0), number(last.0)),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(" ")
}

fn timed(jobs: &[(JobId, Millis)]) -> String {
    let jobs = jobs
        .iter()
        .map(|(id, at_ms)| format!(" {} until={}", number(id.0), time(*at_ms)));
    jobs.collect()
}

impl Names {
    pub(crate) fn event(&self, event: &Event) -> String {
        let session = |id: &SessionId| &self.sessions[id];
        match event {
            Event::Started { epoch } => format!("started epoch={epoch}"),
            Event::QueueCreated { name, .. } => format!("queue-created {name}"),
            Event::Pushed(pushed) => self.pushed(pushed),
            Event::PartStored {
                session: of,
                upload,
                id,
                payload,
            } => format!(
                "part-stored {} upload={upload} id={} bytes={}",
                session(of),
                id.0,
                payload.len()
            ),
            Event::UploadDropped {
                session: of,
                upload,
            } => {
                format!("upload-dropped {} upload={upload}", session(of))
            }
            Event::Leased {
                session: to,
                token,
                ids: jobs,
                ..
            } => {
                format!(
                    "leased {} to={} token={}",
                    ids(jobs),
                    session(to),
                    number(*token)
                )
            }
            Event::Acked { ids: jobs } => format!("acked {}", ids(jobs)),
            Event::Failed { jobs } => format!("failed{}", timed(jobs)),
            Event::Died { ids: jobs } => format!("died {}", ids(jobs)),
            Event::Requeued { ids: jobs, excused } => {
                format!(
                    "requeued {}{}",
                    ids(jobs),
                    if *excused { " excused" } else { "" }
                )
            }
            Event::Touched { jobs } => format!("touched{}", timed(jobs)),
            Event::QueuePaused { queue, paused } => {
                let word = if *paused { "paused" } else { "resumed" };
                format!("{word} {}", self.queues[queue.0 as usize])
            }
            Event::Purged { ids: jobs } => format!("purged {}", ids(jobs)),
            Event::ProducersForgotten { producers } => {
                format!("producers-forgotten {}", producers.len())
            }
            Event::Topic(event) => self.topic_event(event),
            Event::Request(event) => format!("{event:?}"),
        }
    }

    fn topic(&self, topic: TopicId) -> &str {
        &self.topics[topic.0 as usize]
    }

    fn partition(&self, id: PartitionId) -> String {
        format!("{}/{}", self.topic(id.topic), id.number)
    }

    fn topic_event(&self, event: &TopicEvent) -> String {
        match event {
            TopicEvent::Created {
                name,
                partitions,
                retention,
                ..
            } => format!(
                "topic-created {name} partitions={partitions} age={} bytes={}",
                time(retention.age_ms),
                retention.bytes
            ),
            TopicEvent::Changed { topic, retention } => format!(
                "topic-changed {} age={} bytes={}",
                self.topic(*topic),
                time(retention.age_ms),
                retention.bytes
            ),
            TopicEvent::Deleted { topic } => format!("topic-deleted {}", self.topic(*topic)),
            TopicEvent::Published(Published {
                partition,
                first_offset,
                time_ms,
                lengths,
                ..
            }) => {
                let last = first_offset + lengths.count() as u64 - 1;
                let partition = self.partition(*partition);
                format!(
                    "published {partition} {first_offset}..{last} at={}",
                    time(*time_ms)
                )
            }
            TopicEvent::Dropped { partition, start } => {
                format!("dropped {} start={start}", self.partition(*partition))
            }
            TopicEvent::Committed {
                topic,
                group,
                positions,
            } => {
                let positions = positions
                    .iter()
                    .map(|(at, offset)| format!(" {at}:{offset}"));
                let positions: String = positions.collect();
                format!("committed {} {group}{positions}", self.topic(*topic))
            }
            TopicEvent::PublishersForgotten { producers } => {
                format!("publishers-forgotten {}", producers.len())
            }
        }
    }

    fn topic_effect(&self, effect: &TopicEffect) -> String {
        match effect {
            TopicEffect::Published {
                partition,
                first_offset,
                count,
                duplicate,
                ..
            } => {
                let again = if *duplicate { " duplicate" } else { "" };
                format!("published {partition}:{first_offset} count={count}{again}")
            }
            TopicEffect::Assigned {
                subscription,
                topic,
                generation,
                partitions,
                ..
            } => {
                let all = partitions.iter().map(|at| {
                    let from = match at.from_ms {
                        0 => String::new(),
                        from => format!("@{}", time(from)),
                    };
                    format!(" {}:{}{from}", at.partition, at.offset)
                });
                let (topic, all) = (self.topic(*topic), all.collect::<String>());
                format!("assigned as={subscription} {topic} generation={generation}{all}")
            }
            TopicEffect::Credit {
                subscription,
                records,
                bytes,
            } => format!("credit as={subscription} records={records} bytes={bytes}"),
            TopicEffect::Freed {
                subscription,
                partition,
                offset,
            } => format!("freed as={subscription} {partition}:{offset}"),
            TopicEffect::Ended {
                subscription,
                deleted,
            } => format!(
                "ended as={subscription}{}",
                if *deleted { " deleted" } else { "" }
            ),
            TopicEffect::Topics { topics, more, .. } => {
                let topics = topics
                    .iter()
                    .map(|stats| format!("\n  {}", topic_stats(stats)));
                format!("topics{}{}", topics.collect::<String>(), more_word(*more))
            }
            TopicEffect::Groups { groups, more, .. } => {
                let groups = groups
                    .iter()
                    .map(|stats| format!("\n  {}", group_stats(stats)));
                format!("groups{}{}", groups.collect::<String>(), more_word(*more))
            }
        }
    }

    fn pushed(&self, pushed: &Pushed) -> String {
        let all: Vec<JobId> = (0..pushed.count() as u64)
            .map(|at| JobId(pushed.first_id.0 + at))
            .collect();
        let mut line = format!(
            "pushed {} {} due={}",
            self.queues[pushed.queue.0 as usize],
            ids(&all),
            time(pushed.due_ms)
        );
        if pushed.priority != 0 {
            line += &format!(" priority={}", pushed.priority);
        }
        if !pushed.parts.is_empty() {
            line += &format!(
                " parts={} parts-bytes={}",
                ids(&pushed.parts),
                pushed.parts_bytes
            );
        }
        line
    }

    pub(crate) fn effect(&self, effect: &Effect) -> String {
        match effect {
            Effect::Connected { leases_held } => format!("connected leases={leases_held}"),
            Effect::Replaced => "replaced".to_owned(),
            Effect::Pushed {
                first_id,
                count,
                duplicate,
                ..
            } => {
                let again = if *duplicate { " duplicate" } else { "" };
                format!("pushed {} count={count}{again}", number(first_id.0))
            }
            Effect::Deliver {
                subscription,
                correlation,
                token,
                jobs,
            } => {
                let to = match correlation {
                    0 => format!("as={subscription}"),
                    _ => format!("pull={correlation}"),
                };
                if jobs.is_empty() {
                    return format!("deliver {to} nothing");
                }
                let jobs = jobs.iter().map(|job| {
                    let parts = match &job.parts[..] {
                        [] => String::new(),
                        parts => format!(" parts={}", ids(parts)),
                    };
                    format!(" {}/attempt={}{parts}", number(job.id.0), job.attempt)
                });
                format!(
                    "deliver {to} token={}{}",
                    number(*token),
                    jobs.collect::<String>()
                )
            }
            Effect::Done { .. } => "done".to_owned(),
            Effect::Settled { refused, .. } if refused.is_empty() => "settled".to_owned(),
            Effect::Settled { refused, .. } => {
                let refused: Vec<_> = refused.iter().map(|(id, _)| *id).collect();
                format!("settled but {}", ids(&refused))
            }
            Effect::Refused { refusal, .. } => format!("refused {refusal:?}"),
            Effect::LeaseLost { leases } => {
                let lost: Vec<JobId> = leases.iter().map(|lease| lease.0).collect();
                format!("lease-lost {}", ids(&lost))
            }
            Effect::Stats { queues, more, .. } => {
                let queues = queues
                    .iter()
                    .map(|stats| format!("\n  {}", stats_of(stats)));
                format!("stats{}{}", queues.collect::<String>(), more_word(*more))
            }
            Effect::Peeked { jobs, .. } => {
                let jobs = jobs.iter().map(|job| format!("\n  {}", peeked(job)));
                format!("peeked{}", jobs.collect::<String>())
            }
            Effect::Purged { jobs, more, .. } => format!("purged {jobs}{}", more_word(*more)),
            Effect::Topic(effect) => self.topic_effect(effect),
            Effect::Request { effect, .. } => format!("{effect:?}"),
        }
    }
}

fn more_word(more: bool) -> &'static str {
    if more { " more" } else { "" }
}

fn stats_of(stats: &QueueStats) -> String {
    let numbers = [
        ("scheduled", stats.scheduled),
        ("ready", stats.ready),
        ("leased", stats.leased),
        ("failed", stats.failed),
        ("dead", stats.dead),
        ("done", stats.done),
        ("pushed", stats.pushed),
        ("subscriptions", stats.subscriptions),
        ("paused", u64::from(stats.paused)),
    ];
    let told = numbers.iter().filter(|(_, number)| *number > 0);
    let told = told.map(|(name, number)| format!(" {name}={number}"));
    stats.queue.clone() + &told.collect::<String>()
}

fn topic_stats(stats: &TopicStats) -> String {
    let offsets = stats.offsets.iter();
    let offsets = offsets.map(|at| format!(" {}..{}/{}", at.start, at.next, at.bytes));
    format!(
        "{} partitions={} records={} published={} subscriptions={} groups={}{}",
        stats.topic,
        stats.partitions,
        stats.records,
        stats.published,
        stats.subscriptions,
        stats.groups,
        offsets.collect::<String>()
    )
}

fn group_stats(stats: &GroupStats) -> String {
    let positions = stats.positions.iter();
    let positions = positions.map(|(at, next, lag)| format!(" {at}:{next}-{lag}"));
    let positions: String = positions.collect();
    format!(
        "{} members={} lag={}{positions}",
        stats.group, stats.members, stats.lag
    )
}

fn peeked(job: &PeekedJob) -> String {
    format!(
        "{} {:?} priority={} attempts={}/{} due={} bytes={}",
        number(job.id.0),
        job.state,
        job.priority,
        job.attempts,
        job.attempts_max,
        time(job.due_ms),
        job.length
    )
}
