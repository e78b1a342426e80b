//! `verteilt trace`: the way of a request, as a waterfall.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use verteilt_client::{ErrorCode, RequestId, TraceKind, TraceStep, TracedRequest};

use crate::connect::BrokerAddress;
use crate::failure::{Exit, Failure};
use crate::output;

/// Columns of the bars.
const BAR: usize = 40;

/// Show the way of a recent request across services, with the requests that were made for it
///
/// The broker remembers the latest 4,096 requests.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The request's id: 32 hexadecimal digits
    request: RequestId,
    #[command(flatten)]
    broker: BrokerAddress,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    request_id: String,
    parent_request_id: Option<String>,
    gateway_id: String,
    /// Since 1970.
    time_us: u64,
    steps: Vec<JsonStep<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonStep<'a> {
    step: &'static str,
    at_us: u64,
    service: &'a str,
    version: &'a str,
    instance: &'a str,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Trace {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let connection = self.broker.connect().await?;
        let answer = connection.client.trace(self.request).await;
        let requests = answer.map_err(|error| connection.explain(&error))?;
        if self.json {
            output::json(&requests.iter().map(json).collect::<Vec<_>>())?;
        } else {
            output::line(waterfall(&requests).trim_end())?;
        }
        connection.close().await;
        Ok(Exit::Done)
    }
}

fn json(traced: &TracedRequest) -> Json<'_> {
    let steps = traced.steps.iter().map(|step| JsonStep {
        step: word(step.kind),
        at_us: step.at.as_micros() as u64,
        service: &step.service,
        version: &step.version,
        instance: &step.instance,
        endpoint: &step.endpoint,
        status: match step.kind {
            TraceKind::Replied(status) => Some(status),
            _ => None,
        },
        error: match step.kind {
            TraceKind::Returned(number) => Some(error(number)),
            TraceKind::Ended(number) if number != 0 => Some(error(number)),
            _ => None,
        },
    });
    Json {
        request_id: traced.request.to_string(),
        parent_request_id: traced.parent.map(|parent| parent.to_string()),
        gateway_id: traced.gateway.to_string(),
        time_us: traced.time_us,
        steps: steps.collect(),
    }
}

const fn word(kind: TraceKind) -> &'static str {
    match kind {
        TraceKind::Accepted => "accepted",
        TraceKind::Waiting => "waiting",
        TraceKind::Started => "started",
        TraceKind::Forwarded => "forwarded",
        TraceKind::Returned(_) => "returned",
        TraceKind::Replied(_) => "replied",
        TraceKind::Ended(_) => "ended",
        _ => "unknown",
    }
}

fn error(number: u32) -> String {
    let code = ErrorCode::from_number(number);
    code.map_or_else(|| number.to_string(), |code| code.name().to_owned())
}

/// A line a step: when it began, how long it lasted, and a bar on the time of the whole.
fn waterfall(requests: &[TracedRequest]) -> String {
    let mut text = String::new();
    let Some(first) = requests.first() else {
        return text;
    };
    let begun = |traced: &TracedRequest| {
        Duration::from_micros(traced.time_us.saturating_sub(first.time_us))
    };
    let end_of = |traced: &TracedRequest| {
        begun(traced) + traced.steps.last().map_or(Duration::ZERO, |step| step.at)
    };
    let whole = requests.iter().map(end_of).max().unwrap_or_default();
    for traced in requests {
        let made_for = traced.parent.filter(|_| traced.request != first.request);
        let made_for = made_for.map(|parent| format!(", made for {parent}"));
        let _ = writeln!(
            text,
            "request {}{}",
            traced.request,
            made_for.unwrap_or_default()
        );
        let ends = traced.steps.iter().skip(1).map(|step| step.at);
        let last = traced.steps.last().map(|step| step.at);
        for (step, end) in traced.steps.iter().zip(ends.chain(last)) {
            let (from, to) = (begun(traced) + step.at, begun(traced) + end);
            let _ = writeln!(
                text,
                "{:>12} {:>12}  {:<BAR$}  {}",
                milliseconds(from),
                if to > from {
                    format!("+{}", milliseconds(to - from))
                } else {
                    String::new()
                },
                bar(from, to, whole),
                what(step)
            );
        }
    }
    text
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

fn bar(from: Duration, to: Duration, whole: Duration) -> String {
    let column = |time: Duration| {
        let share = time.as_secs_f64() / whole.as_secs_f64().max(1e-9);
        ((share * BAR as f64) as usize).min(BAR - 1)
    };
    let (first, last) = (column(from), column(to));
    if to == from {
        return format!("{}|", " ".repeat(first));
    }
    format!("{}{}", " ".repeat(first), "=".repeat((last - first).max(1)))
}

fn what(step: &TraceStep) -> String {
    let mut text = match step.kind {
        TraceKind::Replied(status) => format!("replied {status}"),
        TraceKind::Returned(number) => format!("returned {}", error(number)),
        TraceKind::Ended(number) if number != 0 => format!("ended {}", error(number)),
        kind => word(kind).to_owned(),
    };
    if matches!(step.kind, TraceKind::Ended(0)) {
        return text;
    }
    let _ = write!(text, " {}", step.service);
    for (name, value) in [
        ("version", &step.version),
        ("instance", &step.instance),
        ("endpoint", &step.endpoint),
    ] {
        if !value.is_empty() {
            let _ = write!(text, ", {name} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_where_their_time_is() {
        let ms = Duration::from_millis;
        assert_eq!(bar(ms(0), ms(20), ms(40)), "=".repeat(20));
        assert_eq!(bar(ms(20), ms(40), ms(40)).trim_start(), "=".repeat(19));
        assert_eq!(bar(ms(40), ms(40), ms(40)), format!("{}|", " ".repeat(39)));
        assert_eq!(bar(ms(0), ms(0), ms(0)), "|");
    }
}
