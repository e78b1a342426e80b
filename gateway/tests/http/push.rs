//! Pushing: bodies, options, and what is refused.

use std::time::Duration;

use verteilt_client::JobState;

use crate::site::Site;

#[tokio::test]
async fn a_body_becomes_a_job_byte_for_byte() {
    let site = Site::open().await;
    let body = [0, 255, b'\n', b'{'];
    let answer = site.door.post("/v1/queues/mail.out/jobs", "", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["durability"], "disk");
    let job = &site
        .client
        .peek("mail.out", JobState::Ready, 1)
        .await
        .unwrap()[0];
    assert_eq!(answer.json()["id"], job.id);
    assert_eq!(&job.body[..], body);
}

#[tokio::test]
async fn options_come_in_the_query_or_in_headers() {
    let site = Site::open().await;
    let path = "/v1/queues/q/jobs?priority=-7&durability=memory";
    let headers = "Verteilt-Attempts: 3\r\nVerteilt-Priority: 9\r\n";
    let answer = site.door.post(path, headers, b"x").await;
    assert_eq!(
        (answer.status, &answer.json()["durability"]),
        (202, &"memory".into())
    );
    let job = &site.client.peek("q", JobState::Ready, 1).await.unwrap()[0];
    assert_eq!((job.priority, job.attempts_max), (-7, 3));

    let answer = site
        .door
        .post("/v1/queues/later/jobs?delay_ms=3600000", "", b"x")
        .await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        site.client.queue_stats(Some("later")).await.unwrap()[0].scheduled,
        1
    );
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let site = Site::open().await;
    for query in [
        "priority=high",
        "prio=1",
        "durability=paper",
        "delay_ms=-1",
        "attempts=0",
    ] {
        let answer = site
            .door
            .post(&format!("/v1/queues/q/jobs?{query}"), "", b"x")
            .await;
        answer.is_problem(400, "BAD_ARGUMENT");
    }
    let answer = site
        .door
        .post("/v1/queues/q/jobs", "Verteilt-Delay-Ms: soon\r\n", b"x")
        .await;
    answer.is_problem(400, "BAD_ARGUMENT");
    site.door
        .post("/v1/queues/Not%20A%20Name/jobs", "", b"x")
        .await
        .is_problem(400, "BAD_NAME");
    site.door
        .get("/v1/queues/q")
        .await
        .is_problem(404, "QUEUE_UNKNOWN");
}

#[tokio::test]
async fn a_page_in_a_browser_is_kept_out() {
    let site = Site::open().await;
    let answer = site
        .door
        .post("/v1/queues/q/jobs", "Origin: http://evil.example\r\n", b"x")
        .await;
    answer.is_problem(403, "PAGE_REFUSED");
}

#[tokio::test]
async fn without_a_broker_the_outcome_is_said_to_be_unknown() {
    let site = Site::open_with(|config| config.broker_deadline = Duration::from_millis(300)).await;
    assert_eq!(site.door.get("/ready").await.status, 200);
    site.broker.stop(Duration::ZERO).await.unwrap();
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while site.door.get("/ready").await.status != 503 {
        assert!(tokio::time::Instant::now() < end, "still said to be ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = site.door.post("/v1/queues/q/jobs", "", b"x").await;
    answer.is_problem(504, "BROKER_TIMEOUT");
}
