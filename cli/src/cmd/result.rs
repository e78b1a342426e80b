//! `verteilt result`: what came of a request of durability `disk`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use verteilt_client::{ClientError, Header, RequestId, RequestResult};

use crate::connect::{BrokerAddress, Connection};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::units::Span;

/// Print the stored result of a request of durability `disk`: status, headers, body
///
/// Exits with 1 if the request has no result yet, or ended without a reply, and with 4 if it is
/// unknown: never accepted, or its result is no longer kept.
#[derive(Debug, Args)]
pub(crate) struct ShowResult {
    /// The request's id: 32 hexadecimal digits
    request: RequestId,
    /// Wait so long for a result that is not there
    #[arg(long, value_name = "DURATION", default_value = "0")]
    wait: Span,
    #[command(flatten)]
    broker: BrokerAddress,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A body is `body` where it is UTF-8, else `body_base64`; so is the value of a header.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Json<'a> {
    Pending {
        left_ms: u128,
    },
    Replied {
        status: u32,
        headers: Vec<JsonHeader<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        body_base64: Option<String>,
        kept_ms: u128,
    },
    Failed {
        code: Option<&'static str>,
        error: String,
        /// Who held it; empty: it waited for a worker.
        service: &'a str,
        kept_ms: u128,
    },
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl<'a> From<&'a Header> for JsonHeader<'a> {
    fn from(header: &'a Header) -> Self {
        let (value, value_base64) = output::text_or_base64(&header.value);
        Self {
            name: &header.name,
            value,
            value_base64,
        }
    }
}

impl ShowResult {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let connection = self.broker.connect().await?;
        let shown = match self.ask(&connection).await? {
            RequestResult::Replied { response, kept } => {
                let body = response.body.bytes().await;
                let body = body.map_err(|error| connection.explain(&error))?;
                self.reply(response.status, &response.headers, &body, kept)
            }
            RequestResult::Failed {
                error,
                service,
                kept,
            } => self.failed(&error, &service, kept),
            RequestResult::Pending { left } => self.pending(left),
            _ => Err(Failure::work(
                "the result is of a kind that a newer `verteilt` knows",
            )),
        };
        connection.close().await;
        shown.map(|()| Exit::Done)
    }

    /// Again and again: the broker waits for minutes at most.
    async fn ask(&self, connection: &Connection) -> Result<RequestResult, Failure> {
        let begun = Instant::now();
        loop {
            let left = self.wait.0.saturating_sub(begun.elapsed());
            let answer = connection.client.result(self.request, left).await;
            let result = answer.map_err(|error| connection.explain(&error))?;
            let is_pending = matches!(result, RequestResult::Pending { .. });
            if !is_pending || begun.elapsed() >= self.wait.0 {
                return Ok(result);
            }
        }
    }

    fn reply(
        &self,
        status: u32,
        headers: &[Header],
        body: &Bytes,
        kept: Duration,
    ) -> Result<(), Failure> {
        if self.json {
            let (text, body_base64) = output::text_or_base64(body);
            return output::json(&Json::Replied {
                status,
                headers: headers.iter().map(JsonHeader::from).collect(),
                body: text,
                body_base64,
                kept_ms: kept.as_millis(),
            });
        }
        output::line(&format!("status {status}"))?;
        for header in headers {
            // Escaped: a terminal obeys some bytes.
            let value = header.value.escape_ascii();
            output::line(&format!("{}: {value}", header.name))?;
        }
        output::line("")?;
        output::bytes(body)
    }

    fn failed(&self, error: &ClientError, service: &str, kept: Duration) -> Result<(), Failure> {
        if self.json {
            output::json(&Json::Failed {
                code: error.code().map(|code| code.name()),
                error: error.to_string(),
                service,
                kept_ms: kept.as_millis(),
            })?;
        }
        let holder = if service.is_empty() {
            "while it waited for a worker".to_owned()
        } else {
            format!("while {service} had it")
        };
        Err(
            Failure::work(format!("it ended without a reply, {holder}: {error}"))
                .advise(format!("`verteilt trace {}` shows its way", self.request)),
        )
    }

    fn pending(&self, left: Duration) -> Result<(), Failure> {
        if self.json {
            output::json(&Json::Pending {
                left_ms: left.as_millis(),
            })?;
        }
        let seconds = left.as_secs_f64();
        Err(Failure::work(format!(
            "it has no result yet; its deadline falls in {seconds:.1} s"
        ))
        .advise("--wait DURATION waits for it"))
    }
}
