//! Histories as files, as they are recorded, and what the checker makes of odd ones.

use std::sync::Arc;
use std::thread;

use verteilt_history::{
    Body, Delivered, Durability, Event, History, Operation, Options, Producer, Push, Pushed,
    QueueEnd, ReadError, Recorder, Rule, Verdict, check,
};

fn push(bodies: &[&str]) -> Push {
    Push {
        queue: "mail".into(),
        bodies: bodies
            .iter()
            .map(|body| Body::of(body.as_bytes()))
            .collect(),
        ..Push::default()
    }
}

/// Numbers as large as they get: ids and tokens of `memory` jobs are above 2^63.
const LARGE: (u64, u64) = (u64::MAX, u64::MAX - 1);

fn operations() -> Vec<Operation> {
    let producer = Some(Producer {
        id: "00ff".into(),
        sequence: u64::MAX,
    });
    let full = Push {
        priority: i32::MIN,
        delay_ms: 1,
        attempts: 2,
        lease_ms: 3,
        durability: Durability::Memory,
        producer,
        ..push(&["a", "b"])
    };
    let (job, token) = LARGE;
    vec![
        Operation::Push(full),
        Operation::Push(push(&["c"])),
        Operation::Ack { job, token },
        Operation::Nack {
            job,
            token,
            delay_ms: None,
        },
        Operation::Nack {
            job,
            token,
            delay_ms: Some(0),
        },
        Operation::Release { job, token },
        Operation::Touch {
            job,
            token,
            lease_ms: 9,
        },
    ]
}

fn seen_by_clients() -> Vec<Event> {
    let (job, token) = LARGE;
    let pushed = Some(Pushed {
        first_id: job,
        durability: Durability::Memory,
        duplicate: true,
    });
    let delivered = Delivered {
        taker: Some(1),
        queue: "mail".into(),
        job,
        token,
        ..Delivered::default()
    };
    vec![
        Event::Ok {
            operation: 1,
            pushed,
        },
        Event::Ok {
            operation: 2,
            pushed: None,
        },
        Event::Fail {
            operation: 3,
            code: 301,
        },
        Event::Info { operation: 4 },
        Event::Delivered(delivered.clone()),
        Event::Delivered(Delivered {
            taker: None,
            ..delivered
        }),
        Event::LeaseLost {
            client: u32::MAX,
            job,
            token,
        },
        Event::Connected {
            client: 1,
            held: Some(vec![LARGE]),
        },
        Event::Connected {
            client: 1,
            held: None,
        },
        Event::Disconnected { client: 1 },
    ]
}

fn done_to_the_broker() -> Vec<Event> {
    let end = QueueEnd {
        queue: "mail".into(),
        dead: vec![1, u64::MAX],
        ..QueueEnd::default()
    };
    vec![
        Event::BrokerStarted { epoch: 1 },
        Event::BrokerKilled,
        Event::BrokerStopped,
        Event::PowerCut,
        Event::CheckpointDone,
        Event::ClockSet { by_ms: -1 },
        Event::Idle { idle: true },
        Event::FaultsStopped,
        Event::Drained { queues: vec![end] },
    ]
}

/// A record of every kind.
fn of_everything() -> History {
    let mut history = History::default();
    for (operation, what) in (1..).zip(operations()) {
        history.push(
            u64::MAX,
            Event::Invoke {
                client: 1,
                operation,
                what,
            },
        );
    }
    let events = seen_by_clients().into_iter().chain(done_to_the_broker());
    events.for_each(|event| history.push(u64::MAX, event));
    history
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let history = of_everything();
    let mut file = Vec::new();
    history.write(&mut file).unwrap();
    assert_eq!(History::read(file.as_slice()).unwrap(), history);
    let lines = String::from_utf8(file).unwrap().lines().count();
    assert_eq!(lines, history.records.len(), "one record a line");
}

#[test]
fn what_is_at_its_default_may_be_left_out() {
    let text = r#"{"at_ms":1,"event":"invoke","client":1,"operation":1,"operation_kind":"push","queue":"mail","bodies":[{"hash":12638187200555641996,"length":1}]}
{"at_ms":2,"event":"ok","operation":1,"pushed":{"first_id":1}}
"#;
    let history = History::read(text.as_bytes()).unwrap();
    let mut same = History::default();
    let what = Operation::Push(push(&["a"]));
    same.push(
        1,
        Event::Invoke {
            client: 1,
            operation: 1,
            what,
        },
    );
    let pushed = Some(Pushed {
        first_id: 1,
        ..Pushed::default()
    });
    same.push(
        2,
        Event::Ok {
            operation: 1,
            pushed,
        },
    );
    assert_eq!(history, same);
}

#[test]
fn a_line_that_is_no_record_is_named() {
    let text = "{\"at_ms\":1,\"event\":\"broker_killed\"}\n{\"at_ms\":1,\"event\":\"sneezed\"}\n";
    let error = History::read(text.as_bytes()).unwrap_err();
    assert!(matches!(error, ReadError::Line { line: 2, .. }), "{error}");
}

#[test]
fn a_history_that_contradicts_itself_is_not_judged() {
    let info = |operation| Event::Info { operation };
    let begin = |operation| Event::Invoke {
        client: 1,
        operation,
        what: Operation::Ack { job: 1, token: 1 },
    };
    let cases: [&[(u64, Event)]; 5] = [
        &[(1, info(1))],
        &[(1, begin(1)), (2, begin(1))],
        &[(1, begin(1)), (2, info(1)), (3, info(1))],
        &[(2, begin(1)), (1, info(1))],
        &[
            (1, begin(1)),
            (
                2,
                Event::Ok {
                    operation: 1,
                    pushed: Some(Pushed::default()),
                },
            ),
        ],
    ];
    for case in cases {
        let mut history = History::default();
        case.iter()
            .cloned()
            .for_each(|(at_ms, event)| history.push(at_ms, event));
        let report = check(&history, &Options::default());
        assert_eq!(report.verdict, Verdict::Malformed, "{case:?}");
        assert_eq!(report.contradictions[0].0, case.len(), "{report}");
    }
}

#[test]
fn an_empty_history_holds_and_says_that_nothing_was_checked() {
    let report = check(&History::default(), &Options::default());
    assert!(report.holds());
    assert!(Rule::ALL.iter().all(|rule| report.checks(*rule) == 0));
    assert!(
        report
            .to_string()
            .contains("S9  one response a request: nothing to check")
    );
}

#[test]
fn violations_beyond_the_bound_are_counted() {
    let mut history = History::default();
    for id in 1..=50 {
        let what = Operation::Push(push(&[&format!("job {id}")]));
        history.push(
            id,
            Event::Invoke {
                client: 1,
                operation: id,
                what,
            },
        );
        let pushed = Some(Pushed {
            first_id: id,
            ..Pushed::default()
        });
        history.push(
            id,
            Event::Ok {
                operation: id,
                pushed,
            },
        );
    }
    history.push(100, Event::Drained { queues: Vec::new() });
    let report = check(
        &history,
        &Options {
            described_max: 7,
            ..Options::default()
        },
    );
    assert_eq!((report.broken(Rule::S1), report.violations.len()), (50, 7));
    assert_eq!(report.violations[0].lines, [1, 2]);
    assert_eq!(report.counts.pushes_acknowledged, 50);
}

#[test]
fn a_recorder_keeps_what_many_threads_do_in_the_order_of_time() {
    let recorder = Arc::new(Recorder::default());
    let threads: Vec<_> = (0..4)
        .map(|client| {
            let recorder = Arc::clone(&recorder);
            thread::spawn(move || {
                for job in 0..500 {
                    let operation = recorder.invoke(client, Operation::Ack { job, token: 1 });
                    match job % 3 {
                        0 => recorder.done(operation),
                        1 => recorder.failed(operation, 301),
                        _ => recorder.unknown(operation),
                    }
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let history = recorder.finish();
    assert_eq!(history.records.len(), 4_000);
    assert_ne!(
        check(&history, &Options::default()).verdict,
        Verdict::Malformed
    );
    assert!(recorder.history().records.is_empty());
}

/// A push whose broker is killed before it answers, and which comes out as two jobs.
fn taken_again(durability: Durability) -> History {
    let mut history = History::default();
    let what = Push {
        durability,
        ..push(&["once"])
    };
    let body = what.bodies[0];
    history.push(0, Event::BrokerStarted { epoch: 1 });
    let invoke = Event::Invoke {
        client: 1,
        operation: 1,
        what: Operation::Push(what),
    };
    history.push(1, invoke);
    let delivered = |job, token| {
        Event::Delivered(Delivered {
            client: 2,
            taker: Some(1),
            queue: "mail".into(),
            job,
            token,
            attempt: 1,
            lease_ms: 30_000,
            body,
        })
    };
    history.push(2, delivered(7, 70));
    history.push(3, Event::BrokerKilled);
    history.push(4, Event::BrokerStarted { epoch: 2 });
    history.push(5, delivered(9, 90));
    let pushed = Pushed {
        first_id: 9,
        durability,
        duplicate: false,
    };
    history.push(
        6,
        Event::Ok {
            operation: 1,
            pushed: Some(pushed),
        },
    );
    history
}

#[test]
fn a_memory_push_may_be_taken_again_after_a_kill_and_no_other() {
    let options = Options::default();
    let broken = |durability| check(&taken_again(durability), &options).broken(Rule::S2);
    assert_eq!(broken(Durability::Memory), 0);
    assert_eq!(broken(Durability::Disk), 1);
}
