//! The rules for requests of durability `disk` that a history of a few lines shows: each holds without
//! its fault, and is broken with it.

use verteilt_history::{Body, DurableRecord, RequestOutcome, RequestRecord, Rule, check_requests};

const LAG_MS: u64 = 50;
const WORKER_LOST: u32 = 313;
const DEADLINE_EXCEEDED: u32 = 314;

fn body(number: u64) -> Body {
    Body {
        hash: number,
        length: 100,
    }
}

fn at(at_ms: u64) -> RequestRecord {
    RequestRecord::Time { at_ms }
}

fn sent(call: u64, request: u64) -> RequestRecord {
    sent_as(call, request, request)
}

fn sent_as(call: u64, request: u64, number: u64) -> RequestRecord {
    RequestRecord::Durable(DurableRecord::Sent {
        call,
        request,
        service: "cart".to_owned(),
        deadline_ms: 1_000,
        body: body(number),
    })
}

fn accepted(call: u64, known: bool) -> RequestRecord {
    RequestRecord::Durable(DurableRecord::Accepted { call, known })
}

fn refused(call: u64, mismatch: bool) -> RequestRecord {
    RequestRecord::Durable(DurableRecord::Refused { call, mismatch })
}

fn unsure(call: u64) -> RequestRecord {
    RequestRecord::Durable(DurableRecord::Unsure { call })
}

fn asked(ask: u64, request: u64) -> RequestRecord {
    RequestRecord::Durable(DurableRecord::Asked { ask, request })
}

fn told(ask: u64, outcome: RequestOutcome) -> RequestRecord {
    RequestRecord::Durable(DurableRecord::Told { ask, outcome })
}

fn untold(ask: u64) -> RequestRecord {
    RequestRecord::Durable(DurableRecord::Untold { ask })
}

fn replied(number: u64) -> RequestOutcome {
    RequestOutcome::Replied {
        status: 200,
        body: body(number),
    }
}

fn failed(code: u32) -> RequestOutcome {
    RequestOutcome::Failed {
        code,
        service: String::new(),
    }
}

fn run(request: u64, token: u64, way: (&str, u32), attempt: u32) -> RequestRecord {
    RequestRecord::Started {
        request,
        token,
        service: way.0.to_owned(),
        forwards: way.1,
        attempt,
    }
}

fn got(request: u64, token: u64, number: u64) -> RequestRecord {
    RequestRecord::Got {
        request,
        token,
        body: body(number),
    }
}

fn forward(request: u64, token: u64, service: &str) -> RequestRecord {
    RequestRecord::Forward {
        request,
        token,
        service: service.to_owned(),
        body: None,
    }
}

fn reply(request: u64, token: u64, number: u64) -> RequestRecord {
    RequestRecord::Reply {
        request,
        token,
        status: 200,
        body: body(number),
    }
}

/// 1 is lost by a worker and by a restart, sent again, and answered by the third who has it; 2 is
/// passed on; 3 ends at its deadline; nobody knows whether 4 was taken, and it was not.
fn sound() -> Vec<RequestRecord> {
    vec![
        at(100),
        sent(1, 1),
        accepted(1, false),
        sent(2, 2),
        sent(3, 3),
        sent(4, 4),
        run(1, 10, ("cart", 0), 1),
        got(1, 10, 1),
        accepted(2, false),
        accepted(3, false),
        RequestRecord::WorkerLost,
        run(1, 11, ("cart", 0), 2),
        run(2, 12, ("cart", 0), 1),
        forward(2, 12, "stock"),
        run(2, 13, ("stock", 1), 1),
        got(2, 13, 2),
        reply(2, 13, 52),
        asked(1, 1),
        told(1, RequestOutcome::Pending),
        unsure(4),
        RequestRecord::Restarted,
        sent(5, 1),
        accepted(5, true),
        sent_as(6, 1, 9),
        refused(6, true),
        run(1, 21, ("cart", 0), 3),
        reply(1, 21, 51),
        // Too late: its lease is over.
        reply(1, 11, 59),
        asked(2, 1),
        told(2, replied(51)),
        asked(3, 2),
        told(3, replied(52)),
        asked(4, 4),
        told(4, RequestOutcome::Unknown),
        at(1_100),
        asked(5, 3),
        told(5, failed(DEADLINE_EXCEEDED)),
        asked(6, 1),
        told(6, replied(51)),
        asked(7, 2),
        untold(7),
        RequestRecord::Drained,
    ]
}

fn rules(history: &[RequestRecord]) -> Vec<Rule> {
    let broken = check_requests(history, LAG_MS);
    broken.iter().map(|found| found.rule).collect()
}

/// The sound history with one record changed.
fn with(change: &RequestRecord, to: &[RequestRecord]) -> Vec<Rule> {
    let mut history = sound();
    let at = history.iter().position(|record| record == change);
    let at = at.expect("the record is there");
    history.splice(at..=at, to.iter().cloned());
    rules(&history)
}

#[test]
fn a_sound_history_has_nothing_wrong() {
    assert_eq!(rules(&sound()), []);
}

#[test]
fn what_was_accepted_is_there() {
    let gone = told(1, RequestOutcome::Unknown);
    let found = with(&told(1, RequestOutcome::Pending), &[gone]);
    assert_eq!(found, [Rule::S1]);
    // So is what a worker has seen, though its caller heard nothing.
    let unheard = [run(4, 30, ("cart", 0), 1), reply(4, 30, 54), asked(4, 4)];
    assert_eq!(with(&asked(4, 4), &unheard), [Rule::S10, Rule::S1]);
    // And what somebody was told of before.
    let before = [asked(8, 4), told(8, RequestOutcome::Pending), asked(4, 4)];
    assert_eq!(with(&asked(4, 4), &before), [Rule::S10, Rule::S1]);
    // One that was asked for before may have been answered before.
    let both = [asked(4, 4), run(4, 30, ("cart", 0), 1)];
    assert_eq!(with(&asked(4, 4), &both), [Rule::S10]);
}

#[test]
fn what_was_accepted_ends() {
    assert_eq!(
        with(&told(3, replied(52)), &[untold(3)]),
        [Rule::S10],
        "nobody was told"
    );
    let pending = told(5, RequestOutcome::Pending);
    let found = with(&told(5, failed(DEADLINE_EXCEEDED)), &[pending]);
    assert_eq!(found, [Rule::S10]);
}

#[test]
fn every_question_is_answered() {
    assert_eq!(with(&unsure(4), &[]), [Rule::S10]);
    assert_eq!(with(&untold(7), &[]), [Rule::S10]);
}

#[test]
fn a_result_stays_the_same() {
    let other = told(6, replied(59));
    assert_eq!(with(&told(6, replied(51)), &[other]), [Rule::S9]);
    let failure = told(6, failed(DEADLINE_EXCEEDED));
    assert_eq!(with(&told(6, replied(51)), &[failure]), [Rule::S9]);
    let pending = told(6, RequestOutcome::Pending);
    assert_eq!(with(&told(6, replied(51)), &[pending]), [Rule::S9]);
    let gone = told(6, RequestOutcome::Unknown);
    assert_eq!(with(&told(6, replied(51)), &[gone]), [Rule::S1]);
}

#[test]
fn a_result_is_what_a_worker_gave() {
    assert_eq!(with(&reply(2, 13, 52), &[reply(2, 13, 53)]), [Rule::S9]);
    assert_eq!(with(&reply(2, 13, 52), &[]), [Rule::S9]);
}

#[test]
fn only_the_last_worker_answers() {
    // It had been given to another one when this one answered.
    let both = [told(2, replied(59)), asked(6, 1), told(6, replied(59))];
    let mut history = sound();
    history.retain(|record| *record != asked(6, 1) && *record != told(6, replied(51)));
    let at = history.iter().position(|it| *it == told(2, replied(51)));
    history.splice(at.unwrap()..=at.unwrap(), both);
    assert_eq!(rules(&history), [Rule::S3]);
    // One that nobody else had since, but for a broker that was started again.
    let mut history = sound();
    history.retain(|record| {
        let later = [
            run(1, 21, ("cart", 0), 3),
            reply(1, 21, 51),
            reply(1, 11, 59),
        ];
        !later.contains(record)
    });
    let at = history.iter().position(|it| *it == asked(2, 1)).unwrap();
    history.insert(at, reply(1, 11, 51));
    assert_eq!(rules(&history), [Rule::S3]);
    // Whoever passed it on has nothing more to say.
    let found = with(&reply(2, 13, 52), &[reply(2, 12, 52)]);
    assert_eq!(found, [Rule::S9]);
}

#[test]
fn a_request_with_a_result_never_runs_again() {
    let again = [reply(2, 13, 52), run(2, 14, ("stock", 1), 2)];
    assert_eq!(with(&reply(2, 13, 52), &again), [Rule::S4]);
    let late = |ms| {
        let late = [at(1_100 + ms), run(3, 30, ("cart", 0), 1), asked(6, 1)];
        with(&asked(6, 1), &late)
    };
    // On its way already when it ended.
    assert_eq!(late(LAG_MS), []);
    assert_eq!(late(LAG_MS + 1), [Rule::S4, Rule::S9]);
}

#[test]
fn attempts_rise_with_tokens() {
    let change = run(1, 21, ("cart", 0), 3);
    assert_eq!(with(&change, &[run(1, 21, ("cart", 0), 2)]), [Rule::S5]);
    assert_eq!(with(&change, &[run(1, 21, ("cart", 0), 5)]), []);
    let change = run(2, 13, ("stock", 1), 1);
    assert_eq!(with(&change, &[run(2, 13, ("stock", 1), 0)]), [Rule::S5]);
    // Seen in another order they are as they are.
    let mut history = sound();
    let first = run(1, 10, ("cart", 0), 1);
    history.retain(|record| *record != first && *record != got(1, 10, 1));
    let at = history
        .iter()
        .position(|it| *it == run(2, 12, ("cart", 0), 1));
    history.insert(at.unwrap(), first);
    assert_eq!(rules(&history), []);
}

#[test]
fn a_token_is_given_once() {
    let twice = [run(1, 21, ("cart", 0), 3), run(1, 21, ("cart", 0), 4)];
    let found = with(&run(1, 21, ("cart", 0), 3), &twice);
    assert_eq!(found, [Rule::S3]);
}

#[test]
fn a_request_goes_where_it_was_sent_or_passed_on() {
    let change = run(2, 13, ("stock", 1), 1);
    assert_eq!(with(&change, &[run(2, 13, ("price", 1), 1)]), [Rule::S9]);
    assert_eq!(with(&forward(2, 12, "stock"), &[]), [Rule::S9]);
    let back = [reply(2, 13, 52), run(2, 14, ("cart", 0), 2)];
    assert_eq!(
        with(&reply(2, 13, 52), &back),
        [Rule::S9, Rule::S4],
        "it was passed on, and that is on the disk"
    );
    let nobody = run(9, 30, ("cart", 0), 1);
    assert_eq!(with(&RequestRecord::WorkerLost, &[nobody]), [Rule::S2]);
}

#[test]
fn a_body_arrives_as_it_was_sent() {
    assert_eq!(with(&got(1, 10, 1), &[got(1, 10, 9)]), [Rule::S2]);
    assert_eq!(with(&got(2, 13, 2), &[got(2, 13, 9)]), [Rule::S2]);
}

#[test]
fn an_id_is_one_request() {
    let anew = accepted(5, false);
    assert_eq!(with(&accepted(5, true), &[anew]), [Rule::S7]);
    // As the first of those that were told, though a worker had it before.
    let late = [run(4, 30, ("cart", 0), 1), reply(4, 30, 54), sent(8, 4)];
    let late = [&late[..], &[accepted(8, false), asked(4, 4)]].concat();
    let mut history = sound();
    let at = history.iter().position(|it| *it == asked(4, 4)).unwrap();
    history.splice(at..=at + 1, late);
    history.insert(at + 5, told(4, replied(54)));
    assert_eq!(rules(&history), [Rule::S7]);
    let both = accepted(6, true);
    assert_eq!(with(&refused(6, true), &[both]), [Rule::S7]);
    let apart = refused(5, true);
    assert_eq!(with(&sent_as(6, 1, 9), &[]), []);
    let mut history = sound();
    history.retain(|record| *record != sent_as(6, 1, 9) && *record != refused(6, true));
    for record in &mut history {
        if *record == accepted(5, true) {
            *record = apart.clone();
        }
    }
    assert_eq!(rules(&history), [Rule::S7]);
}

#[test]
fn a_deadline_is_neither_early_nor_late() {
    assert_eq!(with(&at(1_100), &[at(1_049)]), [Rule::S9]);
    assert_eq!(with(&at(1_100), &[at(1_050)]), []);
    let clock = [RequestRecord::ClockSet, at(600)];
    assert_eq!(with(&at(1_100), &clock), [], "it is not to be relied on");
    let late = |ms| {
        let pending = told(8, RequestOutcome::Pending);
        let late = [at(1_100 + ms), asked(8, 3), pending, asked(5, 3)];
        with(&asked(5, 3), &late)
    };
    assert_eq!(late(LAG_MS), []);
    assert_eq!(late(LAG_MS + 1), [Rule::S9]);
}

#[test]
fn lost_workers_end_a_request_when_all_are_used_up() {
    let change = told(5, failed(DEADLINE_EXCEEDED));
    let lost = told(5, failed(WORKER_LOST));
    assert_eq!(with(&change, std::slice::from_ref(&lost)), [Rule::S1]);
    let unserved = told(5, failed(312));
    assert_eq!(with(&change, &[unserved]), [Rule::S1]);
    // One loss is in the history.
    let mut history = vec![RequestRecord::WorkerLost; 18];
    history.extend(sound());
    for record in &mut history {
        if *record == change {
            *record = lost.clone();
        }
    }
    assert_eq!(rules(&history), [Rule::S1]);
    history.insert(0, RequestRecord::WorkerLost);
    assert_eq!(rules(&history), []);
}
