//! `docs/protocol.md` says what the code says. `VERTEILT_BLESS=1` writes the fingerprint anew: do so
//! after the text has been brought up to date, never instead.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};
use verteilt_protocol::{ErrorCode, FrameType, Sender, limits};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn document_path() -> PathBuf {
    root().join("../docs/protocol.md")
}

fn document() -> String {
    fs::read_to_string(document_path()).unwrap()
}

/// FNV-1a: nobody attacks it, and it needs no dependency.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn fingerprint() -> String {
    let mut text = fs::read_to_string(root().join("proto/verteilt.proto")).unwrap();
    for kind in FrameType::ALL {
        let (sender, message) = (kind.sender(), kind.message_name());
        writeln!(text, "{} {kind} {sender:?} {message:?}", kind.number()).unwrap();
    }
    for code in ErrorCode::ALL {
        writeln!(text, "{} {code} {}", code.number(), code.is_retryable()).unwrap();
    }
    format!("{:016x}", fnv(text.as_bytes()))
}

#[test]
fn the_document_is_of_this_schema() {
    let document = document();
    let before = "Schema fingerprint: `";
    let at = document.find(before).unwrap() + before.len();
    let expected = fingerprint();
    if std::env::var_os("VERTEILT_BLESS").is_some() {
        let text = [&document[..at], &expected, &document[at + 16..]].concat();
        fs::write(document_path(), text).unwrap();
        return;
    }
    assert_eq!(
        &document[at..at + 16],
        expected,
        "the schema, the frame types or the error codes have changed: bring docs/protocol.md up to \
         date, then write the fingerprint with VERTEILT_BLESS=1"
    );
}

#[test]
fn every_frame_type_stands_in_its_table() {
    let document = document();
    for kind in FrameType::ALL {
        let from = match kind.sender() {
            Sender::Client => "client",
            Sender::Server => "broker",
            Sender::Both => "both",
        };
        let message = kind
            .message_name()
            .map_or(String::new(), |name| format!(" `{name}`"));
        let row = format!("\n| 0x{:02X} | {kind} | {from} |{message} |", kind.number());
        assert!(document.contains(&row), "not in docs/protocol.md: {row}");
    }
}

#[test]
fn every_error_code_stands_in_its_table() {
    let document = document();
    for code in ErrorCode::ALL {
        let again = if code.is_retryable() { "yes" } else { "no" };
        let closed = "The connection is closed.";
        let closes = if code.hint().contains(closed) || *code == ErrorCode::StoreFailed {
            " yes"
        } else {
            ""
        };
        let hint = code.hint().replace(closed, "");
        let row = format!(
            "\n| {} | {code} | {again} |{closes} | {} |",
            code.number(),
            hint.trim_end()
        );
        assert!(document.contains(&row), "not in docs/protocol.md: {row}");
    }
}

/// Messages, fields and enum values, each under the heading that names its message.
#[test]
fn every_field_stands_under_its_message() {
    let document = document();
    let sections: Vec<&str> = document.split("\n#### ").collect();
    let pool = protox::Compiler::new([root().join("proto")])
        .unwrap()
        .open_file("verteilt.proto")
        .unwrap()
        .descriptor_pool();
    for message in pool.all_messages() {
        let section = section_of(&sections, &message);
        let rows = message
            .fields()
            .map(|field| row_of(&field))
            .collect::<Vec<_>>();
        for row in &rows {
            assert!(
                section.contains(row),
                "{}: not in docs/protocol.md: {row}",
                message.name()
            );
        }
    }
    let flowing = document.split_whitespace().collect::<Vec<_>>().join(" ");
    for value in pool
        .all_enums()
        .flat_map(|list| list.values().collect::<Vec<_>>())
    {
        let text = format!("`{}` = {}", value.name(), value.number());
        assert!(flowing.contains(&text), "not in docs/protocol.md: {text}");
    }
}

fn section_of<'d>(sections: &[&'d str], message: &MessageDescriptor) -> &'d str {
    let name = format!("`{}`", message.name());
    let heads = |section: &&&str| section.lines().next().unwrap().ends_with(&name);
    sections
        .iter()
        .find(heads)
        .unwrap_or_else(|| panic!("no heading for {name}"))
}

fn row_of(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) => message.name().to_owned(),
        Kind::Enum(list) => list.name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    let is_alone = field
        .containing_oneof()
        .is_none_or(|oneof| oneof.is_synthetic());
    let label = match field.cardinality() {
        Cardinality::Repeated => "repeated ",
        Cardinality::Optional | Cardinality::Required if is_alone && is_marked(field) => {
            "optional "
        }
        Cardinality::Optional | Cardinality::Required => "",
    };
    format!(
        "\n| {} | `{}` | {label}{kind} |",
        field.number(),
        field.name()
    )
}

/// Marked `optional` in the schema; a message field may be unset without that.
fn is_marked(field: &FieldDescriptor) -> bool {
    field.supports_presence() && field.kind().as_message().is_none()
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// The begin of a row of the table of limits, and what stands in that row.
fn bounds() -> Vec<(&'static str, String)> {
    let hours = |ms: u64| format!("{} h", ms / 3_600_000);
    let days = |ms: u64| format!("{} days", ms / 86_400_000);
    let seconds = |ms: u64| format!("{} s", ms / 1_000);
    let kib = |bytes: usize| format!("{} KiB", bytes >> 10);
    let default = |text: String| format!("default {text}");
    let lease = limits::LEASE_MS_DEFAULT;
    let attempts = limits::ATTEMPTS_DEFAULT.to_string();
    vec![
        ("frame, as its", mib(limits::FRAME_BYTES_MAX as u64)),
        ("job: header block and body", mib(limits::BODY_BYTES_MAX)),
        ("header block of a job", kib(limits::HEADER_BYTES_MAX)),
        (
            "jobs or ids in one frame",
            thousands(limits::BATCH_JOBS_MAX as u64),
        ),
        ("record: key", kib(limits::RECORD_BYTES_MAX)),
        (
            "partitions of a topic",
            thousands(u64::from(limits::PARTITIONS_MAX)),
        ),
        ("name", format!("{} bytes", limits::NAME_BYTES_MAX)),
        (
            "subscriptions and",
            thousands(limits::SUBSCRIPTIONS_MAX as u64),
        ),
        ("bytes in unfinished", mib(limits::UPLOAD_BYTES_MAX)),
        ("HELLO after", seconds(limits::HANDSHAKE_DEADLINE_MS)),
        ("lease", hours(limits::LEASE_MS_MAX)),
        ("lease", default(seconds(lease))),
        ("runs of a job", thousands(u64::from(limits::ATTEMPTS_MAX))),
        ("runs of a job", default(attempts)),
        ("delay of a push", days(limits::DELAY_MS_MAX)),
        ("wait of a RESERVE", hours(limits::RESERVE_WAIT_MS_MAX)),
        ("producer window", thousands(limits::PRODUCER_WINDOW)),
        ("producer window", hours(limits::PRODUCER_IDLE_MS)),
        ("wait for sessions", seconds(limits::RESUME_GRACE_MS)),
        ("wait for the client", seconds(limits::INBOX_GRACE_MS)),
        (
            "deadline of a request",
            hours(limits::REQUEST_DEADLINE_MS_MAX),
        ),
        (
            "deadline of a request",
            default(seconds(limits::REQUEST_DEADLINE_MS_DEFAULT)),
        ),
        ("first frame or part", kib(limits::PART_BYTES)),
        ("open requests", thousands(limits::REQUESTS_OPEN_MAX as u64)),
        (
            "requests in line",
            thousands(limits::REQUESTS_WAITING_MAX as u64),
        ),
        (
            "bytes of requests in line",
            mib(limits::REQUEST_BYTES_WAITING_MAX),
        ),
        ("services, and", thousands(limits::SERVICES_MAX as u64)),
        ("forwards of", limits::FORWARDS_MAX.to_string()),
    ]
}

#[test]
fn the_numbers_of_the_document_are_those_of_the_code() {
    let document = document();
    for (what, value) in bounds() {
        let start = format!("| {what}");
        let row = document
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap();
        assert!(
            row.contains(&value),
            "{what}: {value} is not in docs/protocol.md"
        );
    }
    for cut in [
        limits::PEEK_JOBS_MAX,
        limits::PURGE_JOBS_MAX,
        limits::CREDIT_JOBS_MAX,
        limits::CREDIT_RECORDS_MAX,
        limits::CREDIT_REQUESTS_MAX,
    ] {
        let text = format!("above {}", thousands(u64::from(cut)));
        assert!(document.contains(&text), "not in docs/protocol.md: {text}");
    }
    let credit = [limits::CREDIT_BYTES_DEFAULT, limits::CREDIT_BYTES_MAX].map(mib);
    assert!(document.contains(&format!("0: {}; above {}", credit[0], credit[1])));
    assert!(document.contains(&format!("port {}", limits::BROKER_PORT)));
    assert!(document.contains(&thousands(u64::from(limits::HEARTBEAT_MS))));
}

fn thousands(number: u64) -> String {
    if number < 1_000 {
        return number.to_string();
    }
    format!("{},{:03}", thousands(number / 1_000), number % 1_000)
}
