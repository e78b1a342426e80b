//! Requests of durability `disk` while the disk is full.

use std::time::Duration;

use verteilt_client::{
    Accepted, Client, ClientError, Durability, ErrorCode, RequestId, RequestResult,
};

use super::image::Image;
use super::{IMAGE_BYTES, SETTINGS, User, metric, until_full};
use crate::gateway::Gateway;
use crate::process::{Broker, DEADLINE, http};
use crate::worker::{Worker, answer_to};

const ROUTES: &str = "[[routes]]\npath = \"/work\"\nservice = \"work\"\ndurability = \"disk\"\n";

async fn ask(client: &Client, id: u128, body: &str) -> Result<Accepted, ClientError> {
    let sending = client.request("work").id(RequestId(id));
    let sending = sending.durability(Durability::Disk).deadline(DEADLINE);
    sending.body(body.to_owned()).detach().await
}

async fn reply(client: &Client, id: u128) -> Vec<u8> {
    let asked = client.result(RequestId(id), DEADLINE).await.unwrap();
    let RequestResult::Replied { response, .. } = asked else {
        panic!("{asked:?}");
    };
    response.body.bytes().await.unwrap().to_vec()
}

#[test]
fn a_full_disk_stops_new_requests_and_no_reply() {
    let Some(disk) = Image::mount(IMAGE_BYTES) else {
        return;
    };
    let mut broker = Broker::start_at(&disk.path().join("data"), SETTINGS);
    let folder = tempfile::tempdir().unwrap();
    let routes = folder.path().join("routes.toml");
    std::fs::write(&routes, ROUTES).unwrap();
    let gateway = Gateway::start(&broker, &["--routes", routes.to_str().unwrap()]);
    let url = format!("{}/work", gateway.url);
    let mut worker = Worker::start(&broker.url, "work", "worker");
    let mut user = User::connect(&broker.url);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(&broker.url)).unwrap();
    runtime.block_on(ask(&client, 1, "hold 1")).unwrap();
    worker.says("begins 1 attempt 1");

    user.fill(&disk);
    until_full(&broker, true);
    let refused = runtime.block_on(ask(&client, 2, "request 2")).unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::DiskFull), "{refused}");
    assert!(refused.is_retryable());
    let (status, problem) = http("POST", &url, &[], b"request 3");
    assert_eq!(status, 503, "{problem}");
    for word in [
        "\"code\":\"DISK_FULL\"",
        "\"retryable\":true",
        "retry-after: ",
    ] {
        assert!(problem.contains(word), "{word}: {problem}");
    }
    // Whoever has one answers it, and that is stored.
    worker.let_one_go();
    let kept = answer_to("hold 1").into_bytes();
    assert_eq!(runtime.block_on(reply(&client, 1)), kept);
    until_full(&broker, true);
    assert!(metric(&broker, "verteilt_disk_full_refusals_total") >= 2.0);
    let unknown = client.result(RequestId(2), Duration::ZERO);
    let unknown = runtime.block_on(unknown).unwrap_err();
    assert_eq!(unknown.code(), Some(ErrorCode::RequestUnknown));

    // With room it goes on by itself, under the same id, too.
    user.drain(0);
    until_full(&broker, false);
    assert!(
        !runtime
            .block_on(ask(&client, 2, "request 2"))
            .unwrap()
            .known
    );
    assert_eq!(
        runtime.block_on(reply(&client, 2)),
        answer_to("request 2").into_bytes()
    );
    assert_eq!(http("POST", &url, &[], b"request 3").0, 200);
    broker.kill();
    broker.restart();
    assert_eq!(runtime.block_on(reply(&client, 1)), kept);
}
