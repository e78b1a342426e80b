//! The rules for topics that a history of a few lines shows: each holds without its fault, and is
//! broken with it.

use verteilt_history::{
    Body, Rule, TopicPartition as Partition, TopicPublish, TopicRead, TopicRecord, TopicStart,
    check_topics,
};

fn partition(number: u32) -> Partition {
    Partition {
        topic: "log".to_owned(),
        number,
    }
}

fn value(number: u64) -> Body {
    Body {
        hash: number,
        length: 100,
    }
}

fn publish(operation: u64, change: impl FnOnce(&mut TopicPublish)) -> TopicRecord {
    let mut publish = TopicPublish {
        operation,
        topic: "log".to_owned(),
        client: Some(1),
        values: vec![value(operation)],
        ..TopicPublish::default()
    };
    change(&mut publish);
    TopicRecord::Publish(publish)
}

fn sends(operation: u64) -> TopicRecord {
    publish(operation, |_| {})
}

fn published(operation: u64, partition: u32, first_offset: u64) -> TopicRecord {
    TopicRecord::Published {
        operation,
        partition,
        first_offset,
        duplicate: false,
    }
}

/// `operation` is what was published there.
fn read(
    reader: u64,
    operation: u64,
    offset: u64,
    change: impl FnOnce(&mut TopicRead),
) -> TopicRecord {
    let mut read = TopicRead {
        reader,
        partition: partition(0),
        offset,
        skipped: 0,
        time_ms: 0,
        value: value(operation),
    };
    change(&mut read);
    TopicRecord::Read(read)
}

fn gets(reader: u64, operation: u64, offset: u64) -> TopicRecord {
    read(reader, operation, offset, |_| {})
}

fn subscribes(reader: u64, group: Option<&str>, start: TopicStart) -> [TopicRecord; 2] {
    let subscribes = TopicRecord::Subscribes {
        reader,
        topic: "log".to_owned(),
        group: group.map(str::to_owned),
        start,
    };
    [subscribes, TopicRecord::Subscribed { reader }]
}

fn commits(operation: u64, offset: u64) -> [TopicRecord; 2] {
    let commit = TopicRecord::Commit {
        operation,
        group: "g".to_owned(),
        partition: partition(0),
        offset,
    };
    [commit, TopicRecord::Committed { operation }]
}

fn keeps(age_ms: u64, bytes: u64) -> TopicRecord {
    TopicRecord::Keeps {
        topic: "log".to_owned(),
        age_ms,
        bytes,
    }
}

fn ends(first_offset: u64, next_offset: u64) -> TopicRecord {
    TopicRecord::Ends {
        partition: partition(0),
        first_offset,
        next_offset,
        read: false,
    }
}

/// Records 1 to `count` at offsets 0 to `count` - 1, each answered before the next.
fn log_of(count: u64) -> Vec<TopicRecord> {
    (1..=count)
        .flat_map(|number| [sends(number), published(number, 0, number - 1)])
        .collect()
}

#[track_caller]
fn holds(history: &[TopicRecord]) {
    let violations = check_topics(history);
    assert!(violations.is_empty(), "{violations:?}");
}

#[track_caller]
fn breaks(rule: Rule, history: &[TopicRecord]) {
    let violations = check_topics(history);
    let rules: Vec<Rule> = violations.iter().map(|found| found.rule).collect();
    assert_eq!(rules, [rule], "{violations:?}");
}

#[test]
fn s6_a_key_has_one_partition() {
    let keyed = |operation| publish(operation, |it| it.key = Some("k".to_owned()));
    let history = |then| vec![keyed(1), published(1, 2, 0), keyed(2), then];
    holds(&history(published(2, 2, 1)));
    breaks(Rule::S6, &history(published(2, 1, 0)));
}

#[test]
fn s6_a_record_goes_to_the_partition_that_was_asked_for() {
    let history = |is| vec![publish(1, |it| it.to = Some(3)), published(1, is, 0)];
    holds(&history(3));
    breaks(Rule::S6, &history(2));
}

#[test]
fn s6_what_was_acknowledged_first_stands_first() {
    let other = publish(2, |it| it.client = Some(2));
    let history = |first, second| {
        vec![
            sends(1),
            published(1, 0, first),
            other,
            published(2, 0, second),
        ]
    };
    holds(&history.clone()(0, 1));
    breaks(Rule::S6, &history(1, 0));
}

#[test]
fn s6_a_client_keeps_its_order() {
    let history = |first, second| {
        vec![
            sends(1),
            sends(2),
            published(1, 0, first),
            published(2, 0, second),
        ]
    };
    holds(&history(0, 1));
    breaks(Rule::S6, &history(1, 0));
    // By different ways nothing is said.
    let mut other_way = history(1, 0);
    other_way[1] = publish(2, |it| it.to = Some(0));
    holds(&other_way);
}

#[test]
fn s6_times_do_not_fall_and_do_not_change() {
    let at = |reader, operation: u64, time_ms| {
        read(reader, operation, operation - 1, |it| it.time_ms = time_ms)
    };
    let history = |second, again| {
        let mut history = log_of(2);
        history.extend([at(1, 1, 10), at(1, 2, second), at(2, 1, again)]);
        history
    };
    holds(&history(10, 10));
    breaks(Rule::S6, &history(9, 10));
    breaks(Rule::S6, &history(10, 11));
}

#[test]
fn s6_the_earliest_is_the_oldest_that_is_kept() {
    let history = |from: u64| {
        let mut history = log_of(3);
        history.extend(subscribes(1, None, TopicStart::Earliest));
        history.extend((from..3).map(|offset| gets(1, offset + 1, offset)));
        history.push(ends(0, 3));
        history
    };
    holds(&history(0));
    breaks(Rule::S6, &history(1));

    // What was kept in the end may be gone when somebody begins behind it.
    let mut late = log_of(3);
    late.push(gets(7, 1, 0));
    let asked = subscribes(1, None, TopicStart::Earliest);
    late.extend([asked[0].clone(), ends(0, 3), asked[1].clone()]);
    late.push(gets(1, 2, 1));
    holds(&late);
}

#[test]
fn s6_the_latest_is_what_comes_next() {
    let history = |from: u64| {
        let mut history = log_of(2);
        history.extend(subscribes(1, None, TopicStart::Latest));
        history.extend([sends(3), published(3, 0, 2), sends(4), published(4, 0, 3)]);
        history.extend((from..4).map(|offset| gets(1, offset + 1, offset)));
        history
    };
    holds(&history(2));
    breaks(Rule::S6, &history(1));
    breaks(Rule::S6, &history(3));
}

#[test]
fn s6_an_offset_is_where_it_was_asked_for() {
    let history = |asked, from: u64| {
        let mut history = log_of(2);
        history.extend(subscribes(1, None, TopicStart::Offset(asked)));
        history.extend([sends(3), published(3, 0, 2)]);
        history.extend((from..3).map(|offset| gets(1, offset + 1, offset)));
        history
    };
    holds(&history(1, 1));
    // Beyond the end, with what comes next.
    holds(&history(9, 2));
    breaks(Rule::S6, &history(1, 2));
    breaks(Rule::S6, &history(2, 1));
}

#[test]
fn s6_a_time_is_where_it_begins() {
    let at = |reader, operation: u64| {
        read(reader, operation, operation - 1, |it| {
            it.time_ms = 10 * operation
        })
    };
    let history = |from: u64, first| {
        let mut history = log_of(4);
        history.extend((1..5).map(|operation| at(1, operation)));
        history.extend(subscribes(2, None, TopicStart::Time(25)));
        history.extend((from..5).map(|operation| at(2, operation)));
        history.push(ends(first, 4));
        history
    };
    holds(&history(3, 0));
    breaks(Rule::S6, &history(2, 0));
    breaks(Rule::S6, &history(4, 0));
    // Retention was faster.
    holds(&history(4, 3));
}

/// A member reads and commits; another one comes and begins at `from`.
fn second_member(from: u64) -> Vec<TopicRecord> {
    let mut history = log_of(4);
    history.extend(subscribes(1, Some("g"), TopicStart::Earliest));
    history.extend((0..3).map(|offset| gets(1, offset + 1, offset)));
    history.extend(commits(10, 1));
    history.extend(subscribes(2, Some("g"), TopicStart::Earliest));
    history.extend((from..4).map(|offset| gets(2, offset + 1, offset)));
    history
}

#[test]
fn s1_a_member_begins_where_its_group_has_committed() {
    holds(&second_member(2));
    breaks(Rule::S1, &second_member(0));
}

#[test]
fn s6_a_member_begins_nowhere_else() {
    breaks(Rule::S6, &second_member(3));
}

#[test]
fn s6_a_member_gets_a_partition_back_behind_what_others_committed() {
    let history = |from: u64| {
        let mut history = log_of(5);
        for reader in [1, 2] {
            history.extend(subscribes(reader, Some("g"), TopicStart::Earliest));
        }
        history.push(gets(1, 1, 0));
        history.extend((0..3).map(|offset| gets(2, offset + 1, offset)));
        history.extend(commits(10, 2));
        history.extend((from..5).map(|offset| gets(1, offset + 1, offset)));
        history
    };
    holds(&history(3));
    holds(&history(1));
    breaks(Rule::S6, &history(2));
}

#[test]
fn s1_a_position_stays_in_the_end() {
    let history = |offset| {
        let mut history = second_member(2);
        let group = "g".to_owned();
        let partition = partition(0);
        history.push(TopicRecord::GroupEnds {
            group,
            partition,
            offset,
        });
        history
    };
    holds(&history(2));
    breaks(Rule::S1, &history(0));
    breaks(Rule::S2, &history(4));
}

#[test]
fn s1_nothing_goes_that_was_to_be_kept() {
    let history = |kept: TopicRecord, first: u64| {
        let mut history = vec![kept];
        history.extend(log_of(10));
        history.push(ends(first, 10));
        history
    };
    holds(&history(keeps(0, 0), 0));
    breaks(Rule::S1, &history(keeps(0, 0), 1));
    // Ten records of a hundred bytes and what stands around them.
    holds(&history(keeps(0, 900), 1));
    breaks(Rule::S1, &history(keeps(0, 10_000), 1));
}

#[test]
fn s1_nothing_goes_before_its_age() {
    let history = |at_ms, clock: Option<TopicRecord>| {
        let mut history = vec![keeps(1_000, 0), TopicRecord::Time { at_ms: 5_000 }];
        history.extend(log_of(1));
        history.push(TopicRecord::Time { at_ms });
        history.extend(clock);
        history.push(ends(1, 1));
        history
    };
    holds(&history(6_000, None));
    breaks(Rule::S1, &history(5_900, None));
    holds(&history(5_900, Some(TopicRecord::ClockSet)));
}

#[test]
fn s1_what_a_reader_is_told_to_have_missed_was_allowed_to_go() {
    let history = |bytes| {
        let mut history = vec![keeps(0, bytes)];
        history.extend(log_of(4));
        history.push(read(1, 3, 2, |it| it.skipped = 2));
        history
    };
    holds(&history(200));
    breaks(Rule::S1, &history(2_000));
}

#[test]
fn s2_what_was_deleted_takes_nothing() {
    let gone = TopicRecord::Deleted {
        topic: "log".to_owned(),
    };
    holds(&[sends(1), gone.clone(), published(1, 0, 0)]);
    breaks(Rule::S2, &[gone, sends(1), published(1, 0, 0)]);
}
