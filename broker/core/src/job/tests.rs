//! The moves of one job, one line a case.

use super::*;
use crate::shard::tests::limits;

fn job() -> Job {
    Job {
        queue: QueueId(0),
        priority: 0,
        due_ms: 100,
        length: 5,
        lease_ms: 30_000,
        attempts: 0,
        excused: 0,
        attempts_max: 2,
        place: Place::Queued,
    }
}

fn lease() -> Arc<Lease> {
    Arc::new(Lease {
        token: 7,
        until_ms: 500,
        session: SessionId(1),
        subscription: SubscriptionKey(0),
    })
}

#[test]
fn a_queued_job_is_scheduled_then_ready_and_failed_after_a_run() {
    let mut job = job();
    assert_eq!(job.state(99), JobState::Scheduled);
    assert_eq!(job.state(100), JobState::Ready);
    job.take(lease());
    assert_eq!(job.state(100), JobState::Leased);
    job.fail(300);
    assert_eq!(job.state(299), JobState::Failed);
    assert_eq!(job.state(300), JobState::Ready);
}

#[test]
fn a_run_given_back_unharmed_does_not_count() {
    let mut job = job();
    for _ in 0..5 {
        job.take(lease());
        job.give_back(true);
    }
    assert_eq!(job.attempts, 5);
    assert!(!job.is_exhausted());
    job.take(lease());
    job.give_back(false);
    assert!(!job.is_exhausted());
    job.take(lease());
    assert!(job.is_exhausted());
}

#[test]
#[should_panic(expected = "only a queued job can be leased")]
fn a_leased_job_cannot_be_leased() {
    let mut job = job();
    job.take(lease());
    job.take(lease());
}

#[test]
fn backoff_doubles_up_to_its_cap_within_its_spread() {
    let limits = limits();
    let mut job = job();
    let mut expected = limits.backoff_ms_first;
    for attempt in 1..40u16 {
        job.attempts = attempt;
        let wait = job.backoff_ms(JobId(9), &limits);
        assert!(
            wait >= expected - expected / 10 && wait <= expected + expected / 10,
            "{wait}"
        );
        expected = (expected * 2).min(limits.backoff_ms_max);
    }
}

#[test]
fn a_job_stays_small_in_memory() {
    assert!(
        size_of::<Option<Job>>() <= 48,
        "{}",
        size_of::<Option<Job>>()
    );
}
