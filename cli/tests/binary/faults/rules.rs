//! What must hold whatever fails, read off the record of the system calls.

use super::run::{Seen, Verdict};
use super::strace::{Call, Fault, Files, Outcome, Trace};

/// From a failure that is final to the end of the process, in seconds.
const END_MAX: f64 = 5.0;

pub(super) fn hold(seen: &Seen, fault: &Fault) {
    ends_in_time(seen);
    syncs_no_more(&seen.trace);
    if fault.files != Files::Store {
        each_answer_was_durable(seen);
    }
    // Only for want of room does it wait.
    assert!(
        seen.verdict != Verdict::Waits || fault.error == "ENOSPC",
        "it hangs"
    );
}

fn is_segment_in_use(call: &Call) -> bool {
    let name = call.path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(".journal") && name.as_bytes()[0].is_ascii_digit())
}

/// Nobody can say what is on the disk after this failed.
fn is_final(call: &Call) -> bool {
    let is_watermark = call.path.ends_with("journal/watermark");
    match call.name.as_str() {
        "fdatasync" => is_segment_in_use(call) || is_watermark || call.path.ends_with("store/db"),
        "pwrite64" => is_segment_in_use(call) || is_watermark,
        _ => false,
    }
}

fn ends_in_time(seen: &Seen) {
    let Some(failed) = seen.trace.injected().find(|call| is_final(call)) else {
        return;
    };
    let verdict = seen.verdict;
    let ended = matches!(verdict, Verdict::Refused | Verdict::Ended);
    assert!(ended, "{verdict:?} after {failed:?}");
    let took = seen.trace.ended - failed.ended;
    assert!(took < END_MAX, "it took {took} s to end after {failed:?}");
}

/// A batch that failed is the last one.
fn syncs_no_more(trace: &Trace) {
    let is_batch = |call: &&Call| is_segment_in_use(call) && is_final(call);
    let Some(failed) = trace.injected().find(is_batch) else {
        return;
    };
    let is_sync = |call: &&Call| call.name == "fdatasync" && is_segment_in_use(call);
    let mut later = trace.calls.iter().filter(is_sync);
    let later = later.find(|call| call.began > failed.ended);
    assert!(later.is_none(), "{later:?} after {failed:?}");
}

/// Between question and answer the journal was synced.
fn each_answer_was_durable(seen: &Seen) {
    let is_sync = |call: &&Call| {
        call.name == "fdatasync" && is_segment_in_use(call) && call.outcome == Outcome::Done
    };
    let syncs: Vec<&Call> = seen.trace.calls.iter().filter(is_sync).collect();
    for (asked, answered) in seen.book().times() {
        let durable = syncs
            .iter()
            .any(|sync| sync.began > *asked && sync.ended < *answered);
        assert!(
            durable,
            "asked at {asked}, answered at {answered}, and not synced between"
        );
    }
}

/// Every folder and every file that the start made was synced into its folder before anything was
/// acknowledged.
pub(super) fn names_last(seen: &Seen) {
    let (_, first_answer) = seen.book().times()[0];
    let calls = &seen.trace.calls;
    let made = calls.iter().filter(|call| {
        let is_early = call.outcome == Outcome::Done && call.ended < first_answer;
        is_early && call.makes_a_name && matters(call)
    });
    for call in made.clone() {
        let folder = call.path.parent().unwrap();
        let is_synced = calls.iter().any(|sync| {
            let is_sync = sync.name == "fsync" && sync.path == folder;
            is_sync && sync.began > call.ended && sync.ended < first_answer
        });
        assert!(is_synced, "{} is not synced: {call:?}", folder.display());
    }
    // Three folders, and the files in them.
    assert!(made.count() > 8);
}

/// Not so the name that a file has until it is whole, nor segments that are not in use yet.
fn matters(call: &Call) -> bool {
    let name = call.path.file_name().unwrap().to_string_lossy();
    let is_later_segment = name.ends_with(".journal") && !name.ends_with("1.journal");
    let is_unfinished = name.starts_with("unfinished-") || name.ends_with(".new");
    !is_later_segment && (call.name == "rename" || !is_unfinished)
}
