//! What came of a command, as a line of a story.

use std::fmt::Write;

use verteilt_core::{Content, Event, RequestEffect, RequestEvent, RequestResult, Side};

pub(crate) const TOKEN_BASE: u64 = 1 << 63;

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

pub(crate) fn told(effect: &RequestEffect) -> String {
    match effect {
        RequestEffect::Done { .. } => "done".to_owned(),
        RequestEffect::Refused { refusal, .. } => format!("refused {refusal:?}"),
        RequestEffect::Deliver {
            token,
            request,
            deadline_ms,
            forwards,
            attempt,
            content,
            ..
        } => {
            let attempt = match attempt {
                0 => String::new(),
                attempt => format!("attempt {attempt}, "),
            };
            format!(
                "t{} is request {}, {attempt}{deadline_ms} ms left, forwards={forwards}, {}",
                token - TOKEN_BASE,
                request.0,
                size(content)
            )
        }
        RequestEffect::Reply {
            request,
            status,
            content,
            replayed,
        } => {
            let again = if *replayed { " again" } else { "" };
            format!("r{} replied{again} {status}, {}", request.0, size(content))
        }
        RequestEffect::Accepted { request, known, .. } => {
            let known = if *known { " before" } else { "" };
            format!("{} was accepted{known}", request.0)
        }
        RequestEffect::Result {
            request, result, ..
        } => format!("{} is {}", request.0, came(result)),
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

fn came(result: &RequestResult) -> String {
    match result {
        RequestResult::Pending { deadline_ms } => format!("pending, {deadline_ms} ms left"),
        RequestResult::Replied {
            status,
            content,
            kept_ms,
        } => format!("replied {status}, {}, kept {kept_ms} ms", size(content)),
        RequestResult::Failed {
            refusal,
            holder,
            kept_ms,
        } => {
            let by = holder.as_ref().map(|(name, _)| format!(", held by {name}"));
            format!(
                "failed {refusal:?}{}, kept {kept_ms} ms",
                by.unwrap_or_default()
            )
        }
    }
}

/// What goes to the journal.
pub(crate) fn journaled(event: &Event) -> String {
    let Event::Request(event) = event else {
        return format!("{event:?}");
    };
    match event {
        RequestEvent::Accepted(it) => {
            let bytes = it.payload.len();
            format!(
                "accepted {} for {}, {bytes} bytes",
                it.request.0, it.service
            )
        }
        RequestEvent::Started { request } => format!("started {}", request.0),
        RequestEvent::Forwarded(it) => {
            let bytes = it.payload.len();
            format!(
                "forwarded {} to {}, {bytes} bytes",
                it.request.0, it.service
            )
        }
        RequestEvent::Replied {
            request, payload, ..
        } => format!("replied {}, {} bytes", request.0, payload.len()),
        RequestEvent::Failed {
            request, refusal, ..
        } => format!("failed {} {refusal:?}", request.0),
        RequestEvent::Forgotten { requests } => {
            let ids: Vec<_> = requests
                .iter()
                .map(|request| request.0.to_string())
                .collect();
            format!("forgotten {}", ids.join(" "))
        }
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
