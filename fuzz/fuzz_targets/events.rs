//! Bytes as the journal or a checkpoint may hand them over: events, body tables, records. Whatever
//! they are, reading ends with a value or an error.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use verteilt_core::{BodyRun, EventReader, record};

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    for event in EventReader::new(bytes.clone(), 1, 0) {
        if event.is_err() {
            break;
        }
    }
    for run in BodyRun::scan(&bytes).unwrap_or_default() {
        for id in [
            run.first_id.0,
            run.first_id.0.wrapping_add(u64::from(run.count)),
        ] {
            let _ = run.find(&bytes, verteilt_core::JobId(id));
        }
    }
    for job in record::jobs(bytes.clone()) {
        if job.is_err() {
            break;
        }
    }
    let _ = record::ledger(bytes, 1_024);
});
