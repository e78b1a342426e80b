//! What every journal must do, run on the file journal and on the one in memory.

use super::bench::{Bench, InFiles, InMemory, append_many, batch, cause, read_all};
use crate::journal::{BATCH_BYTES_MAX, Journal, JournalError, Place, Recovered};

fn a_new_one_is_empty<B: Bench>() {
    let bench = B::new();
    let (journal, recovered) = bench.open();
    assert_eq!(
        recovered,
        Recovered {
            scanned_bytes: recovered.scanned_bytes,
            ..Recovered::default()
        }
    );
    let log = journal.log();
    assert_eq!(log.durable_lsn(0), 0);
    assert_eq!(log.first_lsn(0), None);
    assert_eq!(log.used_bytes(), 0);
    assert!(log.next(0, 0).unwrap().is_none());
}

fn what_was_appended_is_read<B: Bench>() {
    let bench = B::new();
    let (mut journal, _) = bench.open();
    let log = journal.log();
    let first = batch(0, 1, 3, 100);
    let second = batch(0, 4, 1, 0);
    let third = batch(0, 5, 2, 5_000);
    let places: Vec<Place> = [&first, &second, &third]
        .map(|batch| journal.append(batch).unwrap())
        .to_vec();
    assert_eq!(log.durable_lsn(0), 6);
    assert_eq!(log.first_lsn(0), Some(1));
    for (batch, place) in [&first, &second, &third].into_iter().zip(&places) {
        assert_eq!(log.read(*place).unwrap(), batch.payload);
        assert_eq!(place.length as usize, batch.payload.len());
    }
    let part = places[2].part(1_000, 20).unwrap();
    assert_eq!(log.read(part).unwrap(), third.payload.slice(1_000..1_020));
    assert_eq!(places[2].part(4_990, 20), None);
    // Whatever number inside a batch is asked for, the batch that holds it comes.
    assert_eq!(log.next(0, 0).unwrap().unwrap(), (first.clone(), places[0]));
    assert_eq!(log.next(0, 2).unwrap().unwrap(), (first, places[0]));
    assert_eq!(log.next(0, 3).unwrap().unwrap(), (second, places[1]));
    assert_eq!(log.next(0, 5).unwrap().unwrap(), (third, places[2]));
    assert!(log.next(0, 6).unwrap().is_none());
}

fn it_goes_on_after_an_open<B: Bench>() {
    let bench = B::new();
    let mut written = Vec::new();
    for round in 0..5 {
        let (mut journal, recovered) = bench.open();
        let lsn = round * 10;
        assert_eq!(recovered.last_lsn, (round > 0).then_some(lsn));
        assert_eq!(recovered.first_lsn, (round > 0).then_some(1));
        assert_eq!(
            recovered.last_time_ms,
            if round > 0 { 1_000 + lsn } else { 0 }
        );
        assert_eq!(recovered.cut_bytes, 0);
        let places = append_many(&mut journal, lsn, 10, 3_000);
        written.extend(
            (lsn + 1..=lsn + 10)
                .map(|lsn| batch(0, lsn, 1, 3_000))
                .zip(places),
        );
        assert_eq!(read_all(&*journal.log(), 0, 0), written);
    }
}

fn seals_are_not_seen<B: Bench>() {
    let bench = B::new();
    let (mut journal, _) = bench.open();
    journal.seal().unwrap();
    assert_eq!(journal.log().used_bytes(), 0, "there was nothing to seal");
    append_many(&mut journal, 0, 1, 10);
    journal.seal().unwrap();
    let used = journal.log().used_bytes();
    journal.seal().unwrap();
    assert_eq!(journal.log().used_bytes(), used, "one seal is enough");
    append_many(&mut journal, 1, 1, 10);
    assert_eq!(read_all(&*journal.log(), 0, 0).len(), 2);
    journal.seal().unwrap();
    drop(journal);
    let (mut journal, recovered) = bench.open();
    assert_eq!(recovered.last_lsn, Some(2));
    let used = journal.log().used_bytes();
    journal.seal().unwrap();
    assert_eq!(
        journal.log().used_bytes(),
        used,
        "an open knows that the end is sealed"
    );
    append_many(&mut journal, 2, 1, 10);
    assert_eq!(read_all(&*journal.log(), 0, 0).len(), 3);
}

fn shards_are_apart<B: Bench>() {
    let bench = B::new();
    let (mut journal, _) = bench.open();
    let log = journal.log();
    for round in 0..30 {
        journal.append(&batch(7, 100 + round, 1, 900)).unwrap();
        journal.append(&batch(2, 1 + 2 * round, 2, 1_100)).unwrap();
    }
    journal.seal().unwrap();
    for _ in 0..2 {
        assert_eq!(log.durable_lsn(7), 129);
        assert_eq!(log.durable_lsn(2), 60);
        assert_eq!(log.first_lsn(7), Some(100));
        assert_eq!(log.first_lsn(2), Some(1));
        assert_eq!(log.first_lsn(1), None);
        let sevens = read_all(&*log, 7, 0);
        assert_eq!(sevens.len(), 30);
        assert!(sevens.iter().all(|(batch, _)| batch.shard == 7));
        assert_eq!(read_all(&*log, 2, 30).len(), 15);
    }
    drop(journal);
    let (journal, recovered) = bench.open();
    assert_eq!(
        (recovered.first_lsn, recovered.last_lsn),
        (Some(1), Some(60))
    );
    assert_eq!(journal.log().durable_lsn(7), 129);
    assert_eq!(read_all(&*journal.log(), 7, 0).len(), 30);
}

fn trimming_lets_go_of_whole_segments<B: Bench>() {
    let bench = B::new();
    let (mut journal, _) = bench.open();
    let log = journal.log();
    // Seven batches of 8 KiB and a header to a segment.
    let places = append_many(&mut journal, 0, 30, 8_000);
    let numbers: Vec<u64> = places.iter().map(|place| place.segment).collect();
    assert_eq!(&numbers[5..9], &[1, 1, 2, 2]);
    log.trim(0, 6).unwrap();
    assert_eq!(log.first_lsn(0), Some(1), "the seventh is still needed");
    let used = log.used_bytes();
    log.trim(0, 7).unwrap();
    assert_eq!(log.first_lsn(0), Some(8));
    assert_eq!(log.used_bytes(), used - 65_536);
    log.trim(0, 3).unwrap();
    assert_eq!(log.first_lsn(0), Some(8), "a trim is never taken back");
    assert!(matches!(
        log.read(places[0]),
        Err(JournalError::Trimmed { segment: 1 })
    ));
    assert!(matches!(
        log.next(0, 3),
        Err(JournalError::Trimmed { segment: 2 })
    ));
    assert_eq!(log.next(0, 0).unwrap().unwrap().0.first_lsn, 8);
    assert_eq!(log.next(0, 7).unwrap().unwrap().0.first_lsn, 8);
    log.trim(0, u64::MAX).unwrap();
    assert_eq!(log.first_lsn(0), Some(29), "the newest segment stays");
    drop(journal);
    let (mut journal, recovered) = bench.open();
    assert_eq!(
        (recovered.first_lsn, recovered.last_lsn),
        (Some(29), Some(30))
    );
    append_many(&mut journal, 30, 30, 8_000);
    assert_eq!(read_all(&*journal.log(), 0, 28).len(), 32);
}

fn a_segment_waits_for_every_shard<B: Bench>() {
    let bench = B::new();
    let (mut journal, _) = bench.open();
    let log = journal.log();
    journal.append(&batch(1, 1, 1, 100)).unwrap();
    append_many(&mut journal, 0, 20, 8_000);
    log.trim(0, 20).unwrap();
    assert_eq!(log.first_lsn(0), Some(1));
    log.trim(1, 1).unwrap();
    assert!(log.first_lsn(0).unwrap() > 1);
    assert_eq!(log.first_lsn(1), None);
    assert_eq!(
        log.durable_lsn(1),
        1,
        "what was durable is known while it is open"
    );
    assert!(matches!(
        journal.append(&batch(1, 5, 1, 1)).map_err(|error| cause(&error).to_string()),
        Err(text) if text.contains("2 comes next")
    ));
}

fn refused<B: Bench>(bad: &crate::journal::Batch, is_it: fn(&JournalError) -> bool) {
    let bench = B::new();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 2, 10);
    let error = journal.append(bad).unwrap_err();
    assert!(matches!(error, JournalError::Failed { .. }), "{error}");
    assert!(is_it(cause(&error)), "{error}");
    // Final: what would have been fine before is refused now, by everything.
    assert!(journal.append(&batch(0, 3, 1, 10)).is_err());
    assert!(journal.seal().is_err());
    let log = journal.log();
    assert!(log.next(0, 0).is_err());
    assert!(log.trim(0, 1).is_err());
    drop(journal);
    let (mut journal, recovered) = bench.open();
    assert_eq!(recovered.last_lsn, Some(2));
    append_many(&mut journal, 2, 1, 10);
}

fn bad_batches_are_refused_for_good<B: Bench>() {
    refused::<B>(&batch(0, 4, 1, 1), |it| {
        matches!(
            it,
            JournalError::OutOfOrder {
                shard: 0,
                expected: 3,
                found: 4
            }
        )
    });
    refused::<B>(&batch(0, 2, 1, 1), |it| {
        matches!(it, JournalError::OutOfOrder { .. })
    });
    refused::<B>(&batch(9, 0, 1, 1), |it| {
        matches!(it, JournalError::OutOfOrder { .. })
    });
    refused::<B>(&batch(0, 3, 0, 1), |it| {
        matches!(it, JournalError::EmptyBatch { shard: 0 })
    });
    refused::<B>(&batch(0, 3, 1, 65_536), |it| {
        matches!(
            it,
            JournalError::BatchTooLarge {
                bytes: 65_536,
                bytes_max: 61_368
            }
        )
    });
}

fn the_largest_batch_fills_a_segment<B: Bench>() {
    let bench = B::new();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 3, 61_368);
    append_many(&mut journal, 3, 1, 1);
    assert_eq!(read_all(&*journal.log(), 0, 0).len(), 4);
    drop(journal);
    let (journal, recovered) = bench.open();
    assert_eq!(recovered.last_lsn, Some(4));
    assert_eq!(read_all(&*journal.log(), 0, 0).len(), 4);
}

fn places_outside_are_refused<B: Bench>() {
    let bench = B::new();
    let (mut journal, _) = bench.open();
    let place = append_many(&mut journal, 0, 1, 100)[0];
    let log = journal.log();
    for bad in [
        Place {
            segment: place.segment + 1,
            ..place
        },
        Place {
            offset: place.offset + 60_000,
            ..place
        },
        Place {
            length: 60_000,
            ..place
        },
        Place {
            offset: u32::MAX,
            length: u32::MAX,
            ..place
        },
    ] {
        assert!(
            matches!(log.read(bad), Err(JournalError::NotDurable { .. })),
            "{bad:?}"
        );
    }
}

fn the_log_outlives_the_journal<B: Bench>() {
    let bench = B::new();
    let (mut journal, _) = bench.open();
    let log = journal.log();
    let place = append_many(&mut journal, 0, 1, 100)[0];
    drop(journal);
    assert_eq!(log.read(place).unwrap().len(), 100);
    assert!(matches!(log.trim(0, 1), Err(JournalError::Closed)));
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod in_files { $(#[test] fn $name() { super::$name::<super::InFiles>(); })* }
        mod in_memory { $(#[test] fn $name() { super::$name::<super::InMemory>(); })* }
    };
}

on_both!(
    a_new_one_is_empty,
    what_was_appended_is_read,
    it_goes_on_after_an_open,
    seals_are_not_seen,
    shards_are_apart,
    trimming_lets_go_of_whole_segments,
    a_segment_waits_for_every_shard,
    bad_batches_are_refused_for_good,
    the_largest_batch_fills_a_segment,
    places_outside_are_refused,
    the_log_outlives_the_journal,
);

#[test]
fn a_batch_of_16_mib_passes() {
    let bench = InFiles::new();
    let options = crate::journal::JournalOptions {
        segment_bytes: 20 * 1024 * 1024,
        ..bench.options
    };
    let bench = InFiles { options, ..bench };
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 2, BATCH_BYTES_MAX);
    drop(journal);
    let (mut journal, recovered) = bench.open();
    assert_eq!(recovered.last_lsn, Some(2));
    assert_eq!(
        read_all(&*journal.log(), 0, 0)[1].0,
        batch(0, 2, 1, BATCH_BYTES_MAX)
    );
    let error = journal
        .append(&batch(0, 3, 1, BATCH_BYTES_MAX + 1))
        .unwrap_err();
    assert!(
        matches!(cause(&error), JournalError::BatchTooLarge { .. }),
        "{error}"
    );
}
