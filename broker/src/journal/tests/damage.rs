//! Bytes that changed on the disk: always refused, with the file and the number.

use std::fs;

use super::bench::{Bench, InFiles, append_many, batch, read_all};
use crate::journal::{Batch, Journal, JournalError, header::HEADER_BYTES};

const PAYLOAD: usize = 460;
const WHOLE: usize = HEADER_BYTES + PAYLOAD;
const FIRST: usize = 4096;
const STRIDE: usize = 1024;

fn assert_damaged(bench: &InFiles, number: u64, at: u64, number_lsn: u64) {
    match bench.try_open().map(drop).unwrap_err() {
        JournalError::Damaged {
            file, lsn, offset, ..
        } => {
            assert_eq!((file, offset, lsn), (bench.segment(number), at, number_lsn));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_flip_anywhere_in_an_earlier_batch() {
    let bench = InFiles::new();
    bench.work_and_kill(|journal| {
        append_many(journal, 0, 3, PAYLOAD);
    });
    for (lsn, start) in [(1, FIRST), (2, FIRST + STRIDE)] {
        for at in 0..WHOLE {
            bench.change(1, |bytes| bytes[start + at] ^= 1 << (at % 8));
            assert_damaged(&bench, 1, start as u64, lsn);
            bench.change(1, |bytes| bytes[start + at] ^= 1 << (at % 8));
        }
        let pristine = fs::read(bench.segment(1)).unwrap();
        for sector in 0..2 {
            bench.change(1, |bytes| bytes[start + sector * 512..][..512].fill(0));
            assert_damaged(&bench, 1, start as u64, lsn);
            fs::write(bench.segment(1), &pristine).unwrap();
        }
    }
    assert_eq!(bench.open().1.last_lsn, Some(3));
}

#[test]
fn a_flip_in_the_last_batch_once_it_is_sealed() {
    let bench = InFiles::new();
    bench.work_and_kill(|journal| {
        append_many(journal, 0, 2, PAYLOAD);
        journal.seal().unwrap();
    });
    let start = FIRST + STRIDE;
    for at in 0..WHOLE {
        bench.change(1, |bytes| bytes[start + at] ^= 1);
        assert_damaged(&bench, 1, start as u64, 2);
        bench.change(1, |bytes| bytes[start + at] ^= 1);
    }
}

#[test]
fn a_flip_in_the_seal_itself_loses_nothing() {
    let bench = InFiles::new();
    bench.work_and_kill(|journal| {
        append_many(journal, 0, 2, PAYLOAD);
        journal.seal().unwrap();
    });
    bench.change(1, |bytes| bytes[FIRST + 2 * STRIDE + 9] ^= 1);
    let (_, recovered) = bench.open();
    assert_eq!(recovered.last_lsn, Some(2));
    assert!(recovered.cut_bytes > 0);
}

#[test]
fn a_flip_in_the_last_unsealed_batch_is_cut() {
    let bench = InFiles::new();
    bench.work_and_kill(|journal| {
        append_many(journal, 0, 2, PAYLOAD);
    });
    bench.change(1, |bytes| bytes[FIRST + STRIDE + 100] ^= 1);
    let (_, recovered) = bench.open();
    assert_eq!(
        (recovered.last_lsn, recovered.cut_bytes),
        (Some(1), WHOLE as u64)
    );
}

#[test]
fn damage_at_the_end_of_a_full_segment_shows_in_the_next() {
    let bench = InFiles::new();
    bench.work_and_kill(|journal| {
        append_many(journal, 0, 15, 8_000);
    });
    let seventh = FIRST + 6 * 8_192;
    let pristine = fs::read(bench.segment(1)).unwrap();
    for at in [0, 5, 30, 71, 72, 5_000, 8_071] {
        bench.change(1, |bytes| bytes[seventh + at] ^= 1);
        assert_damaged(&bench, 1, seventh as u64, 7);
        fs::write(bench.segment(1), &pristine).unwrap();
    }
    bench.change(1, |bytes| bytes[seventh..].fill(0));
    assert_damaged(&bench, 1, seventh as u64, 7);
    bench.change(1, |bytes| bytes[FIRST..].fill(0));
    assert_damaged(&bench, 1, FIRST as u64, 7);
    fs::write(bench.segment(1), &pristine).unwrap();

    let second = fs::read(bench.segment(2)).unwrap();
    bench.change(2, |bytes| bytes[FIRST..].fill(0));
    assert_damaged(&bench, 2, FIRST as u64, 8);
    fs::write(bench.segment(2), &second).unwrap();

    fs::remove_file(bench.segment(2)).unwrap();
    match bench.try_open().map(drop).unwrap_err() {
        JournalError::Damaged { file, lsn: 8, .. } => assert_eq!(file, bench.segment(2)),
        other => panic!("{other}"),
    }
    fs::write(bench.segment(2), &second).unwrap();
    assert_eq!(bench.open().1.last_lsn, Some(15));
}

#[test]
fn a_watermark_without_its_segments_is_cut_short() {
    let bench = InFiles::new();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 10, 8_000);
    drop(journal);
    let last = fs::read(bench.segment(2)).unwrap();
    for name in bench.names() {
        let is_old = name == "0000000000000001.journal";
        if name.ends_with(".journal") && !is_old {
            fs::remove_file(bench.path().join(name)).unwrap();
        }
    }
    match bench.try_open().map(drop).unwrap_err() {
        JournalError::CutShort {
            file,
            recovered: 7,
            watermark: 10,
        } => assert_eq!(file, bench.segment(2), "the file that is missing"),
        other => panic!("{other}"),
    }
    fs::write(bench.segment(2), last).unwrap();
    assert_eq!(bench.open().1.last_lsn, Some(10));
    for name in bench
        .names()
        .iter()
        .filter(|name| name.ends_with(".journal"))
    {
        fs::remove_file(bench.path().join(name)).unwrap();
    }
    match bench.try_open().map(drop).unwrap_err() {
        JournalError::CutShort {
            file,
            recovered: 0,
            watermark: 10,
        } => {
            assert_eq!(file, bench.segment(2));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_flip_in_any_small_file_or_segment_header_is_refused_or_harmless() {
    let bench = InFiles::new();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 3, PAYLOAD);
    drop(journal);
    for (name, bytes) in [("journal.meta", 20), ("0000000000000001.journal", 36)] {
        let path = bench.path().join(name);
        let pristine = fs::read(&path).unwrap();
        for at in 0..bytes {
            let mut bad = pristine.clone();
            bad[at] ^= 0x10;
            fs::write(&path, bad).unwrap();
            let error = bench.try_open().map(drop).unwrap_err();
            match error {
                JournalError::Damaged { file, .. } => assert_eq!(file, path, "byte {at}"),
                other => panic!("byte {at}: {other}"),
            }
        }
        fs::write(&path, &pristine[..10]).unwrap();
        assert!(matches!(
            bench.try_open().map(drop),
            Err(JournalError::Damaged { .. })
        ));
        fs::remove_file(&path).unwrap();
        assert!(bench.try_open().is_err());
        fs::write(&path, pristine).unwrap();
    }
    let pristine = fs::read(bench.watermark()).unwrap();
    for at in [0, 20, 43, 4096, 4120, 4139] {
        let mut bad = pristine.clone();
        bad[at] ^= 0x10;
        fs::write(bench.watermark(), bad).unwrap();
        assert_eq!(bench.open().1.last_lsn, Some(3), "the other slot is whole");
    }
    let mut bad = pristine.clone();
    bad[20] ^= 1;
    bad[4120] ^= 1;
    fs::write(bench.watermark(), bad).unwrap();
    match bench.try_open().map(drop).unwrap_err() {
        JournalError::Damaged { file, .. } => assert_eq!(file, bench.watermark()),
        other => panic!("{other}"),
    }
    fs::remove_file(bench.watermark()).unwrap();
    assert!(matches!(
        bench.try_open().map(drop),
        Err(JournalError::Damaged { .. })
    ));
}

#[test]
fn a_payload_that_holds_batches_is_no_batch() {
    let bench = InFiles::new();
    // The payload is the journal's own file, aligned so that its batches lie on sectors.
    bench.work_and_kill(|journal| {
        append_many(journal, 0, 4, 440);
        let own = fs::read(bench.segment(1)).unwrap();
        let mut payload = vec![0; 512 - HEADER_BYTES];
        payload.extend_from_slice(&own[4096..4096 + 16 * 512]);
        journal
            .append(&Batch {
                payload: payload.into(),
                ..batch(0, 5, 1, 0)
            })
            .unwrap();
    });
    // Torn, with whole copies of earlier batches behind its header: still only torn.
    bench.change(1, |bytes| bytes[4096 + 4 * 512 + 80] ^= 1);
    let (journal, recovered) = bench.open();
    assert_eq!(recovered.last_lsn, Some(4));
    assert_eq!(read_all(&*journal.log(), 0, 0).len(), 4);
}

#[test]
fn a_changed_payload_is_noticed_while_running() {
    let bench = InFiles::new();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 2, PAYLOAD);
    bench.change(1, |bytes| bytes[FIRST + STRIDE + 200] ^= 1);
    let log = journal.log();
    assert!(log.next(0, 0).is_ok());
    assert!(matches!(
        log.next(0, 1),
        Err(JournalError::Damaged { lsn: 2, .. })
    ));
}

#[test]
fn unknown_versions_are_named() {
    let bench = InFiles::new();
    drop(bench.open());
    let path = bench.path().join("journal.meta");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4] = 9;
    let checksum = crc32c::crc32c(&bytes[..16]);
    bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = bench.try_open().map(drop).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("journal.meta has format version 9"),
        "{error}"
    );
}
