//! A worker process that is stopped until its lease is over, and then goes on.

use std::time::Duration;

use verteilt_client::{Client, Durability, RequestId, RequestResult};

use super::in_time;
use crate::process::{Broker, DEADLINE, Settings};
use crate::worker::{WORKER_FIELD, Worker, answer_to};

/// A lease of a request ends with the connection, and that when nothing came for two of these.
const IMPATIENT: Settings = &[("VERTEILT_CONNECTIONS__HEARTBEAT", "2s")];

async fn ask(client: &Client, id: u128, body: &str) {
    let sending = client.request("work").id(RequestId(id));
    let sending = sending.durability(Durability::Disk).deadline(DEADLINE);
    sending.body(body.to_owned()).detach().await.unwrap();
}

/// Waits for a reply: who made it, and its body.
async fn reply(client: &Client, id: u128) -> (String, String) {
    let asked = client.result(RequestId(id), DEADLINE).await.unwrap();
    let RequestResult::Replied { response, .. } = asked else {
        panic!("{asked:?}");
    };
    let worker = response.header_value(WORKER_FIELD).unwrap().to_vec();
    let body = response.body.bytes().await.unwrap().to_vec();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(worker), text(body))
}

#[test]
fn a_worker_that_was_stopped_too_long_answers_nothing_any_more() {
    let mut broker = Broker::start_in(tempfile::tempdir().unwrap(), IMPATIENT);
    let url = broker.url.clone();
    in_time(async {
        let client = Client::connect(&url).await.unwrap();
        let mut first = Worker::start(&url, "work", "first");
        ask(&client, 1, "hold 1").await;
        first.says("begins 1 attempt 1");
        first.stop();
        // It has its line before it goes on: its reply is on its way before it knows anything.
        first.let_one_go();
        let mut second = Worker::start(&url, "work", "second");
        second.says("begins 1 attempt 2");

        first.go_on();
        first.says("answers 1");
        // The second still has it: nothing that the first said was taken.
        let asked = client.result(RequestId(1), Duration::ZERO).await.unwrap();
        assert!(matches!(asked, RequestResult::Pending { .. }), "{asked:?}");
        second.let_one_go();
        let stored = ("second".to_owned(), answer_to("hold 1"));
        assert_eq!(reply(&client, 1).await, stored);

        // The first is back for whatever is new, and what is stored stays.
        second.kill();
        ask(&client, 2, "request 2").await;
        assert_eq!(reply(&client, 2).await.0, "first");
        assert_eq!(reply(&client, 1).await, stored);
        assert_eq!(first.begun(), ["1 attempt 1", "2 attempt 1"]);
        broker.kill();
        broker.restart();
        assert_eq!(reply(&client, 1).await, stored);
    });
}
