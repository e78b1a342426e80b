//! The last batch, torn in every way: it is cut, and everything before it stays.

use std::fs;

use super::bench::{Bench, InFiles, append_many, batch, cause, read_all};
use crate::journal::{Journal, JournalError, header::HEADER_BYTES};

const PAYLOAD: usize = 460;
const WHOLE: usize = HEADER_BYTES + PAYLOAD;
/// Two batches of two sectors each stand before the last one.
const LAST: usize = 4096 + 4 * 512;

/// A folder with two batches and a third one; `tear` gets the bytes of the third and what follows.
fn torn(bench: &InFiles, pristine: &[u8], watermark: &[u8], tear: impl FnOnce(&mut [u8])) {
    let mut bytes = pristine.to_vec();
    tear(&mut bytes[LAST..]);
    fs::write(bench.segment(1), bytes).unwrap();
    fs::write(bench.watermark(), watermark).unwrap();
}

fn with_three() -> (InFiles, Vec<u8>, Vec<u8>) {
    let bench = InFiles::new();
    drop(bench.open());
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 2, PAYLOAD);
    drop(journal);
    drop(bench.open());
    let watermark = fs::read(bench.watermark()).unwrap();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 2, 1, PAYLOAD);
    drop(journal);
    let pristine = fs::read(bench.segment(1)).unwrap();
    (bench, pristine, watermark)
}

#[test]
fn cut_at_every_byte() {
    let (bench, pristine, watermark) = with_three();
    let fillings: [fn(&mut [u8]); 2] = [|lost| lost.fill(0), |lost| lost.fill(0xA5)];
    for (filling, fill) in fillings.iter().enumerate() {
        for kept in 0..WHOLE {
            torn(&bench, &pristine, &watermark, |bytes| {
                fill(&mut bytes[kept..2048])
            });
            let (journal, recovered) = bench.open();
            assert_eq!(
                recovered.last_lsn,
                Some(2),
                "{kept} bytes kept, filling {filling}"
            );
            let is_torn = kept > 0 || filling > 0;
            assert_eq!(
                recovered.cut_bytes > 0,
                is_torn,
                "{kept} bytes kept, filling {filling}"
            );
            drop(journal);
            let bytes = fs::read(bench.segment(1)).unwrap();
            assert!(
                bytes[LAST..LAST + 2048].iter().all(|&byte| byte == 0),
                "the cut is zeroed"
            );
        }
    }
}

#[test]
fn cut_when_the_front_is_lost() {
    let (bench, pristine, watermark) = with_three();
    for lost in (1..WHOLE).step_by(7) {
        torn(&bench, &pristine, &watermark, |bytes| bytes[..lost].fill(0));
        let (_, recovered) = bench.open();
        assert_eq!(recovered.last_lsn, Some(2), "{lost} bytes lost");
    }
}

#[test]
fn it_goes_on_behind_the_cut() {
    let (bench, pristine, watermark) = with_three();
    for kept in [0, 10, HEADER_BYTES, 300, WHOLE - 1] {
        torn(&bench, &pristine, &watermark, |bytes| {
            bytes[kept..WHOLE].fill(0)
        });
        let (mut journal, _) = bench.open();
        journal.append(&batch(0, 3, 2, 33)).unwrap();
        drop(journal);
        let (journal, recovered) = bench.open();
        assert_eq!((recovered.last_lsn, recovered.cut_bytes), (Some(4), 0));
        assert_eq!(read_all(&*journal.log(), 0, 2)[0].0, batch(0, 3, 2, 33));
    }
}

#[test]
fn a_whole_last_batch_is_kept_though_nobody_heard_of_it() {
    let (bench, pristine, watermark) = with_three();
    torn(&bench, &pristine, &watermark, |_| ());
    let (_, recovered) = bench.open();
    assert_eq!((recovered.last_lsn, recovered.cut_bytes), (Some(3), 0));
}

#[test]
fn not_cut_when_the_watermark_knows_it() {
    let (bench, pristine, _) = with_three();
    let watermark = fs::read(bench.watermark()).unwrap();
    for at in 0..WHOLE {
        torn(&bench, &pristine, &watermark, |bytes| bytes[at] ^= 4);
        match bench.try_open().map(drop).unwrap_err() {
            JournalError::Damaged {
                file,
                lsn: 3,
                offset,
                ..
            } => {
                assert_eq!((file, offset), (bench.segment(1), LAST as u64));
            }
            other => panic!("byte {at}: {other}"),
        }
    }
    torn(&bench, &pristine, &watermark, |bytes| {
        bytes[..WHOLE].fill(0)
    });
    match bench.try_open().map(drop).unwrap_err() {
        JournalError::CutShort {
            file,
            recovered: 2,
            watermark: 3,
        } => {
            assert_eq!(file, bench.segment(1));
        }
        other => panic!("{other}"),
    }
    // A refusal changes nothing: put back, it opens.
    torn(&bench, &pristine, &watermark, |_| ());
    assert_eq!(bench.open().1.last_lsn, Some(3));
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let (bench, pristine, watermark) = with_three();
    for length in [
        0,
        20,
        4096,
        LAST,
        LAST + 5,
        LAST + WHOLE,
        40_000,
        pristine.len() - 1,
    ] {
        fs::write(bench.segment(1), &pristine[..length]).unwrap();
        fs::write(bench.watermark(), &watermark).unwrap();
        let error = bench.try_open().map(drop).unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged { .. }),
            "{length}: {error}"
        );
    }
}

#[test]
fn torn_at_the_start_of_the_next_segment() {
    let bench = InFiles::new();
    bench.work_and_kill(|journal| {
        append_many(journal, 0, 8, 8_000);
    });
    let pristine = fs::read(bench.segment(2)).unwrap();
    for kept in [0, 1, 71, 72, 512, 4096, 8_000] {
        let mut bytes = pristine.clone();
        bytes[4096 + kept..4096 + 72 + 8_000].fill(0);
        fs::write(bench.segment(2), bytes).unwrap();
        let watermark = fs::read(bench.watermark()).unwrap();
        let (mut journal, recovered) = bench.open();
        assert_eq!(recovered.last_lsn, Some(7), "{kept} bytes kept");
        append_many(&mut journal, 7, 1, 100);
        drop(journal);
        let (journal, recovered) = bench.open();
        assert_eq!(recovered.last_lsn, Some(8));
        assert_eq!(read_all(&*journal.log(), 0, 0).len(), 8);
        drop(journal);
        // Back to how it was: the hundred bytes stand behind the seventh batch.
        bench.change(1, |bytes| {
            let end = 4096 + 7 * 8_192;
            bytes[end..].fill(0);
        });
        fs::write(bench.watermark(), watermark).unwrap();
    }
}

#[test]
fn a_failure_keeps_its_cause() {
    let bench = InFiles::new();
    let (mut journal, _) = bench.open();
    let first = journal.append(&batch(0, 0, 1, 1)).unwrap_err();
    let second = journal.append(&batch(0, 1, 1, 1)).unwrap_err();
    assert_eq!(cause(&first).to_string(), cause(&second).to_string());
}
