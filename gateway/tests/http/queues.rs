//! Looking at queues, and at the gateway itself.

use crate::site::Site;

#[tokio::test]
async fn queues_are_counted_by_state() {
    let site = Site::open().await;
    let none = site.door.get("/v1/queues").await;
    assert_eq!(
        (none.status, none.json()["queues"].as_array().unwrap().len()),
        (200, 0)
    );
    site.client.push("mail", "a").await.unwrap();
    site.client.push("mail", "b").await.unwrap();
    let one = site.door.get("/v1/queues/mail").await.json();
    assert_eq!(
        (&one["queue"], &one["ready"], &one["pushed"]),
        (&"mail".into(), &2.into(), &2.into())
    );
    assert_eq!(site.door.get("/v1/queues").await.json()["queues"][0], one);
}

#[tokio::test]
async fn it_says_what_it_is_and_what_is_not_there() {
    let site = Site::open().await;
    let about = site.door.get("/").await;
    assert_eq!(
        (about.status, &about.json()["name"]),
        (200, &"verteilt-gateway".into())
    );
    assert_eq!(site.door.get("/health").await.json()["status"], "ok");
    assert_eq!(site.door.get("/ready").await.json()["status"], "ready");
    site.door.get("/v1/x").await.is_problem(404, "PATH_UNKNOWN");
    site.door
        .post("/v1/queues", "", b"")
        .await
        .is_problem(405, "METHOD_NOT_ALLOWED");
}
