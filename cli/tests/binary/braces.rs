//! How a body gets to the command.

use crate::process::{Broker, run, run_with_input, stderr, succeeded};

#[test]
fn braces_stand_inside_longer_arguments_and_more_than_once() {
    let broker = Broker::start();
    broker.push("q", &["a b"]);
    let work = [
        "work", "q", "--drain", "--", "printf", "[%s]", "file={}!", "{}{}", "{", "--",
    ];
    assert_eq!(
        succeeded(&run(&mut broker.verteilt(work))),
        b"[file=a b!][a ba b][{][--]"
    );
}

#[test]
fn nothing_is_quoted_or_run() {
    let broker = Broker::start();
    let body = "$(touch x) `id` \"q\" 'q' \\ {} ; & | *";
    broker.push("q", &[body]);
    let done = run(&mut broker.verteilt(["work", "q", "--drain", "--", "printf", "%s", "{}"]));
    assert_eq!(succeeded(&done), body.as_bytes());
}

#[test]
fn a_command_knows_its_job() {
    let broker = Broker::start();
    broker.push("q", &["x"]);
    let script = "echo $VERTEILT_QUEUE $VERTEILT_JOB_ATTEMPT; test -n \"$VERTEILT_JOB_ID\"";
    let done = run(&mut broker.verteilt(["work", "q", "--drain", "--", "sh", "-c", script]));
    assert_eq!(succeeded(&done), b"q 1\n");
}

#[test]
fn a_nul_cannot_be_in_an_argument_but_on_standard_input() {
    let broker = Broker::start();
    let mut push = broker.verteilt(["push", "q", "--attempts", "1"]);
    succeeded(&run_with_input(&mut push, b"a\0b"));
    let work = run(&mut broker.verteilt(["work", "q", "--drain", "--", "echo", "{}"]));
    assert_eq!(work.status.code(), Some(1));
    assert!(stderr(&work).contains("NUL"), "{}", stderr(&work));
    assert!(work.stdout.is_empty());
    assert_eq!(broker.count("q", "dead"), 1);

    succeeded(&run_with_input(
        &mut broker.verteilt(["push", "p"]),
        b"a\0b",
    ));
    let work = run(&mut broker.verteilt(["work", "p", "--drain", "--", "cat"]));
    assert_eq!(succeeded(&work), b"a\0b");
}

#[test]
fn a_body_too_long_for_an_argument_says_so() {
    let broker = Broker::start();
    let mut push = broker.verteilt(["push", "q", "--attempts", "1"]);
    succeeded(&run_with_input(&mut push, &vec![b'x'; 1_000_000]));
    let work = run(&mut broker.verteilt(["work", "q", "--drain", "--", "true", "{}"]));
    assert_eq!(work.status.code(), Some(1));
    assert!(stderr(&work).contains("too long"), "{}", stderr(&work));
}

#[test]
fn a_command_that_is_not_there_costs_no_job_a_run() {
    let broker = Broker::start();
    broker.push("q", &["x"]);
    let work = run(&mut broker.verteilt(["work", "q", "--drain", "--", "/nowhere/command"]));
    assert_eq!(work.status.code(), Some(2));
    assert!(
        stderr(&work).contains("/nowhere/command"),
        "{}",
        stderr(&work)
    );
    assert_eq!(broker.count("q", "ready"), 1);
}
