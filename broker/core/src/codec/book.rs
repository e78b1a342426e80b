//! Requests of durability `disk` in the ledger of a checkpoint. Without any it ends before them.

use bytes::{BufMut, BytesMut};

use super::CodecError;
use super::request::{reason, reason_number, text};
use super::wire::{Fields, put_text, put_varint};
use crate::id::{JobId, RequestId};
use crate::request::{Answer, Book, Entry, Outcome, Progress, Stored, Work};

const OPEN: u8 = 0;
const REPLIED: u8 = 1;
const FAILED: u8 = 2;

pub(super) fn put(out: &mut BytesMut, book: &Book) {
    put_varint(out, book.entries.len() as u64);
    for (request, entry) in &book.entries {
        out.put_u128_le(request.0);
        put_text(out, &entry.namespace);
        out.put_u128_le(entry.fingerprint);
        put_varint(out, entry.accepted_ms);
        match &entry.progress {
            Progress::Open(work) => {
                out.put_u8(OPEN);
                put_work(out, work);
            }
            Progress::Done(outcome) => put_outcome(out, outcome),
        }
    }
}

fn put_work(out: &mut BytesMut, work: &Work) {
    put_text(out, &work.service);
    put_text(out, &work.version);
    put_text(out, &work.endpoint);
    put_varint(out, work.deadline_ms);
    put_stored(out, work.body);
    put_varint(out, u64::from(work.attempts));
    put_varint(out, u64::from(work.forwards));
}

fn put_outcome(out: &mut BytesMut, outcome: &Outcome) {
    match &outcome.answer {
        Answer::Replied { status, body } => {
            out.put_u8(REPLIED);
            put_varint(out, u64::from(*status));
            put_stored(out, *body);
        }
        Answer::Failed { refusal, holder } => {
            out.put_u8(FAILED);
            out.put_u8(reason_number(*refusal));
            put_text(out, holder);
        }
    }
    put_varint(out, outcome.until_ms);
}

fn put_stored(out: &mut BytesMut, stored: Stored) {
    put_varint(out, stored.id.0);
    put_varint(out, u64::from(stored.header_length));
    put_varint(out, u64::from(stored.length));
}

pub(super) fn read(fields: &mut Fields) -> Result<Book, CodecError> {
    let mut book = Book::default();
    for _ in 0..fields.count()? {
        let request = RequestId(fields.u128()?);
        let entry = Entry {
            namespace: text(fields)?,
            fingerprint: fields.u128()?,
            accepted_ms: fields.varint()?,
            progress: progress(fields)?,
        };
        book.put_back(request, entry);
    }
    Ok(book)
}

fn progress(fields: &mut Fields) -> Result<Progress, CodecError> {
    let answer = match fields.u8()? {
        OPEN => return Ok(Progress::Open(Box::new(work(fields)?))),
        REPLIED => Answer::Replied {
            status: fields.narrow()?,
            body: stored(fields)?,
        },
        FAILED => Answer::Failed {
            refusal: reason(fields.u8()?)?,
            holder: text(fields)?,
        },
        _ => return Err(CodecError::Impossible),
    };
    let until_ms = fields.varint()?;
    Ok(Progress::Done(Outcome { until_ms, answer }))
}

fn work(fields: &mut Fields) -> Result<Work, CodecError> {
    Ok(Work {
        service: text(fields)?,
        version: text(fields)?,
        endpoint: text(fields)?,
        deadline_ms: fields.varint()?,
        body: stored(fields)?,
        attempts: fields.narrow()?,
        forwards: fields.narrow()?,
    })
}

fn stored(fields: &mut Fields) -> Result<Stored, CodecError> {
    Ok(Stored {
        id: JobId(fields.varint()?),
        header_length: fields.narrow()?,
        length: fields.narrow()?,
    })
}
