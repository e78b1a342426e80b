//! Operations from their beginning to their end.

use std::collections::HashMap;

use super::{At, World, any_within};
use crate::{Event, History, Operation, Options, Pushed, Record};

/// Of the error codes that a refusal may carry, those of requests that may have been done all the
/// same: SEQUENCE_TOO_OLD and STORE_FAILED.
const CODES_UNKNOWN: [u32; 2] = [205, 500];

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Call<'h> {
    pub(crate) client: u32,
    pub(crate) what: &'h Operation,
    pub(crate) invoked: At,
    /// None: still open when the history ends.
    pub(crate) ended: Option<At>,
    pub(crate) end: End,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok(Option<Pushed>),
    Refused(u32),
    /// Also: it has not ended.
    Unknown,
}

/// Pairs beginnings and ends. Errors: line numbers and what is wrong there.
pub(super) fn gather<'h>(
    history: &'h History,
    options: &Options,
    world: &World<'_>,
) -> Result<Vec<Call<'h>>, Vec<(usize, String)>> {
    let mut calls: Vec<Call<'h>> = Vec::new();
    let mut by_number: HashMap<u64, usize> = HashMap::new();
    let mut wrong = Vec::new();
    let mut before_ms = 0;
    for (index, record) in history.records.iter().enumerate() {
        let at = At {
            line: index + 1,
            at_ms: record.at_ms,
        };
        if at.at_ms < before_ms {
            wrong.push((at.line, "its time is before that of the line before".into()));
        }
        before_ms = at.at_ms;
        if let Some(why) = take(record, at, &mut calls, &mut by_number) {
            wrong.push((at.line, why));
        }
    }
    for call in &mut calls {
        doubt(call, options, world);
    }
    if wrong.is_empty() {
        Ok(calls)
    } else {
        Err(wrong)
    }
}

/// Returns what is wrong with the record.
fn take<'h>(
    record: &'h Record,
    at: At,
    calls: &mut Vec<Call<'h>>,
    by_number: &mut HashMap<u64, usize>,
) -> Option<String> {
    let (operation, end) = match &record.event {
        Event::Invoke {
            client,
            operation,
            what,
        } => {
            let taken = by_number.insert(*operation, calls.len()).is_some();
            calls.push(Call {
                client: *client,
                what,
                invoked: at,
                ended: None,
                end: End::Unknown,
            });
            let empty = matches!(what, Operation::Push(push) if push.bodies.is_empty());
            return if taken {
                Some(format!("operation {operation} begins a second time"))
            } else {
                empty.then(|| "a push without a job".into())
            };
        }
        Event::Ok { operation, pushed } => (*operation, End::Ok(*pushed)),
        Event::Fail { operation, code } => (*operation, End::Refused(*code)),
        Event::Info { operation } => (*operation, End::Unknown),
        _ => return None,
    };
    let Some(call) = by_number.get(&operation).map(|index| &mut calls[*index]) else {
        return Some(format!("operation {operation} ends and never began"));
    };
    if call.ended.replace(at).is_some() {
        return Some(format!("operation {operation} ends a second time"));
    }
    call.end = end;
    let is_push = matches!(call.what, Operation::Push(_));
    match end {
        End::Ok(None) if is_push => Some("a push is acknowledged without its ids".into()),
        End::Ok(Some(_)) if !is_push => Some("only a push is answered with ids".into()),
        _ => None,
    }
}

/// A refused settling that was sent again after the connection broke may have been done the first
/// time; and some errors say themselves that they do not know.
fn doubt(call: &mut Call<'_>, options: &Options, world: &World<'_>) {
    let (End::Refused(code), Some(ended)) = (call.end, call.ended) else {
        return;
    };
    let is_push = matches!(call.what, Operation::Push(_));
    let from_ms = call.invoked.at_ms.saturating_sub(options.lag_ms);
    let to_ms = ended.at_ms.saturating_add(options.lag_ms);
    let broke = world
        .session(call.client)
        .is_some_and(|session| any_within(&session.ends, from_ms, to_ms));
    let broke = broke || any_within(&world.stops, from_ms, to_ms);
    if CODES_UNKNOWN.contains(&code) || (!is_push && broke) {
        call.end = End::Unknown;
    }
}
