//! The access log: a line a request, written by a thread of its own, so that a slow reader of the log
//! delays nobody.

use std::fmt::Write as _;
use std::io::Write;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines that wait for their reader; further ones are dropped and counted.
const LINES_MAX: usize = 8_192;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// For people: `GET /cart/items 200 1.2ms 512B ...`.
    Text,
    /// One JSON object.
    Json,
}

/// Where lines go. Clones write to the same place; without any it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct AccessLog(Option<(AccessFormat, SyncSender<String>)>);

/// The thread that writes; ends when the last [`AccessLog`] of it is gone.
#[derive(Debug)]
pub struct AccessWriter(JoinHandle<()>);

/// One request, when it is over.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    /// Without the query: it may hold secrets.
    pub(crate) path: &'a str,
    pub(crate) remote: IpAddr,
    pub(crate) route: &'a str,
    pub(crate) service: &'a str,
    /// 499: the client left before the answer.
    pub(crate) status: u16,
    /// Of a refusal.
    pub(crate) code: Option<&'static str>,
    /// Whether all of the response was passed on.
    pub(crate) complete: bool,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// Until the answer began.
    pub(crate) head: Duration,
    /// Until it ended.
    pub(crate) total: Duration,
    pub(crate) request_id: &'a str,
    pub(crate) trace_id: &'a str,
    pub(crate) user_agent: &'a str,
}

impl AccessLog {
    /// Writes to `out` from now on.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn to(
        out: impl Write + Send + 'static,
        format: AccessFormat,
    ) -> std::io::Result<(Self, AccessWriter)> {
        let (sender, lines) = sync_channel(LINES_MAX);
        let thread = std::thread::Builder::new().name("access-log".into());
        let thread = thread.spawn(move || write_all(out, &lines))?;
        Ok((Self(Some((format, sender))), AccessWriter(thread)))
    }

    pub(crate) fn is_off(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let Some((format, lines)) = &self.0 else {
            return;
        };
        let line = match format {
            AccessFormat::Text => text(entry),
            AccessFormat::Json => json(entry),
        };
        if lines.try_send(line).is_err() {
            metrics::counter!("verteilt_gateway_access_log_dropped_total").increment(1);
        }
    }
}

impl AccessWriter {
    /// Waits until everything is written.
    pub fn join(self) {
        // A panic of it has been printed.
        let _ = self.0.join();
    }
}

fn write_all(mut out: impl Write, lines: &Receiver<String>) {
    let mut block = String::new();
    while let Ok(line) = lines.recv() {
        block.clear();
        block.push_str(&line);
        for line in lines.try_iter().take(LINES_MAX) {
            block.push_str(&line);
        }
        // Nobody may be reading it any more; requests go on all the same.
        let _ = out.write_all(block.as_bytes()).and_then(|()| out.flush());
    }
}

fn text(entry: &Entry<'_>) -> String {
    let Entry {
        method,
        path,
        status,
        remote,
        service,
        request_id,
        ..
    } = entry;
    let ms = entry.total.as_secs_f64() * 1e3;
    let mut line = format!(
        "{method} {path} {status} {ms:.1}ms {}B from {remote} to {service} {request_id}",
        entry.response_bytes
    );
    if let Some(code) = entry.code {
        line.push(' ');
        line.push_str(code);
    }
    if !entry.complete {
        line.push_str(" cut off");
    }
    line.push('\n');
    line
}

fn json(entry: &Entry<'_>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut line = format!(
        "{{\"time_ms\":{}",
        now.unwrap_or(Duration::ZERO).as_millis()
    );
    let texts = [
        ("method", entry.method),
        ("host", entry.host),
        ("path", entry.path),
        ("route", entry.route),
        ("service", entry.service),
        ("request_id", entry.request_id),
        ("trace_id", entry.trace_id),
        ("user_agent", entry.user_agent),
    ];
    for (name, value) in texts {
        let value = serde_json::Value::from(value);
        // Writing into a String cannot fail.
        let _ = write!(line, ",\"{name}\":{value}");
    }
    let _ = write!(
        line,
        ",\"remote\":\"{}\",\"status\":{},\"complete\":{},\"request_bytes\":{},\
         \"response_bytes\":{},\"head_us\":{},\"total_us\":{}",
        entry.remote,
        entry.status,
        entry.complete,
        entry.request_bytes,
        entry.response_bytes,
        entry.head.as_micros(),
        entry.total.as_micros(),
    );
    if let Some(code) = entry.code {
        let _ = write!(line, ",\"code\":\"{code}\"");
    }
    line.push_str("}\n");
    line
}
