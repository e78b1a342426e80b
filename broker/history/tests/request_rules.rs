//! The rules for requests that a history of a few lines shows: each holds without its fault, and is
//! broken with it.

use verteilt_history::{Body, RequestRecord, Rule, check_requests};

const LAG_MS: u64 = 50;

fn body(number: u64) -> Body {
    Body {
        hash: number,
        length: 100,
    }
}

fn at(at_ms: u64) -> RequestRecord {
    RequestRecord::Time { at_ms }
}

fn sent(request: u64) -> RequestRecord {
    RequestRecord::Sent {
        request,
        service: "cart".to_owned(),
        deadline_ms: 1_000,
        body: body(request),
    }
}

fn started(request: u64, token: u64, service: &str, forwards: u32) -> RequestRecord {
    RequestRecord::Started {
        request,
        token,
        service: service.to_owned(),
        forwards,
        attempt: 0,
    }
}

fn got(request: u64, token: u64, number: u64) -> RequestRecord {
    RequestRecord::Got {
        request,
        token,
        body: body(number),
    }
}

fn forward(request: u64, token: u64, service: &str, number: Option<u64>) -> RequestRecord {
    RequestRecord::Forward {
        request,
        token,
        service: service.to_owned(),
        body: number.map(body),
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

fn began(request: u64) -> RequestRecord {
    RequestRecord::Began {
        request,
        status: 200,
    }
}

fn answered(request: u64, number: u64) -> RequestRecord {
    RequestRecord::Answered {
        request,
        body: body(number),
    }
}

fn ended(request: u64, late: bool) -> RequestRecord {
    RequestRecord::Ended { request, late }
}

/// A request that is answered, one that is passed on twice, and one that comes too late.
fn sound() -> Vec<RequestRecord> {
    vec![
        at(100),
        sent(1),
        sent(2),
        sent(3),
        started(1, 10, "cart", 0),
        started(2, 11, "cart", 0),
        got(2, 11, 2),
        got(1, 10, 1),
        forward(2, 11, "stock", None),
        reply(1, 10, 51),
        at(200),
        started(2, 12, "stock", 1),
        began(1),
        answered(1, 51),
        got(2, 12, 2),
        forward(2, 12, "price", Some(72)),
        started(2, 13, "price", 2),
        got(2, 13, 72),
        reply(2, 13, 52),
        began(2),
        answered(2, 52),
        at(1_100),
        ended(3, true),
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
fn nobody_gets_what_nobody_sent() {
    assert_eq!(with(&sent(1), &[]), [Rule::S2, Rule::S2, Rule::S2]);
}

#[test]
fn a_body_arrives_as_it_was_sent_and_as_it_was_passed_on() {
    assert_eq!(with(&got(1, 10, 1), &[got(1, 10, 9)]), [Rule::S2]);
    assert_eq!(with(&got(2, 12, 2), &[got(2, 12, 72)]), [Rule::S2]);
    assert_eq!(with(&got(2, 13, 72), &[got(2, 13, 2)]), [Rule::S2]);
}

#[test]
fn an_answer_is_the_one_to_this_request() {
    assert_eq!(with(&answered(1, 51), &[answered(1, 52)]), [Rule::S9]);
    let other_status = RequestRecord::Began {
        request: 1,
        status: 404,
    };
    assert_eq!(with(&began(1), &[other_status]), [Rule::S9]);
    // Half of it is nobody's answer.
    let half = RequestRecord::BrokenOff { request: 1 };
    assert_eq!(with(&answered(1, 51), &[half]), []);
}

#[test]
fn a_request_is_answered_once() {
    let twice = [answered(1, 51), began(1), answered(1, 51)];
    assert_eq!(with(&answered(1, 51), &twice), [Rule::S9, Rule::S9]);
    let both = [began(1), ended(1, false)];
    assert_eq!(with(&began(1), &both), [Rule::S9, Rule::S9]);
    let given_up = RequestRecord::GivenUp { request: 1 };
    assert_eq!(with(&began(1), &[given_up]), [Rule::S9]);
}

#[test]
fn whoever_passed_a_request_on_does_not_answer_it() {
    let answers = [reply(2, 12, 52), forward(2, 12, "price", Some(72))];
    let found = with(&forward(2, 12, "price", Some(72)), &answers);
    assert_eq!(found, [Rule::S9]);
    // Unless nobody took it.
    let refused = RequestRecord::ForwardRefused {
        request: 1,
        token: 10,
    };
    let tries = [forward(1, 10, "stock", None), refused, reply(1, 10, 51)];
    assert_eq!(with(&reply(1, 10, 51), &tries), []);
}

#[test]
fn a_request_is_given_out_once() {
    let twice = [started(1, 10, "cart", 0), started(1, 14, "cart", 0)];
    assert_eq!(with(&started(1, 10, "cart", 0), &twice), [Rule::S9]);
    let unasked = [reply(1, 10, 51), started(1, 14, "stock", 1)];
    assert_eq!(with(&reply(1, 10, 51), &unasked), [Rule::S9]);
    let elsewhere = started(2, 12, "price", 1);
    assert_eq!(with(&started(2, 12, "stock", 1), &[elsewhere]), [Rule::S9]);
}

#[test]
fn tokens_of_a_request_rise() {
    let mut history = sound();
    for record in &mut history {
        match record {
            RequestRecord::Started { token, .. }
            | RequestRecord::Got { token, .. }
            | RequestRecord::Forward { token, .. }
                if *token == 12 =>
            {
                *token = 9;
            }
            _ => {}
        }
    }
    assert_eq!(rules(&history), [Rule::S3]);
}

#[test]
fn a_deadline_holds_for_worker_and_caller() {
    let late = [at(1_151), started(1, 10, "cart", 0)];
    let found = with(&started(1, 10, "cart", 0), &late);
    assert_eq!(found.first(), Some(&Rule::S9));
    assert_eq!(with(&ended(3, true), &[at(3_150), ended(3, true)]), []);
    assert_eq!(
        with(&ended(3, true), &[at(3_151), ended(3, true)]),
        [Rule::S9]
    );
    assert_eq!(with(&at(1_100), &[at(1_049)]), [Rule::S9]);
    assert_eq!(with(&at(1_100), &[at(1_050)]), []);
    let told = [at(600), ended(3, false)];
    assert_eq!(with(&ended(3, true), &told), []);
}

#[test]
fn nobody_waits_for_ever() {
    assert_eq!(with(&ended(3, true), &[]), [Rule::S10]);
    assert_eq!(with(&answered(1, 51), &[]), [Rule::S10]);
    let given_up = RequestRecord::GivenUp { request: 3 };
    assert_eq!(with(&ended(3, true), &[given_up]), []);
}
