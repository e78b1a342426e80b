//! `verteilt result`.

use std::time::Duration;

use verteilt_client::{Client, Durability, Request, RequestId, Response, ServeOptions, Serving};

use crate::process::{Broker, DEADLINE, finish, json, run, spawn, stderr, stdout};

/// Answers with what no terminal can show.
async fn serve(client: &Client) -> Serving {
    let answer = |_: Request| async {
        let response = Response::with_status(201, &b"a\xff\n"[..]);
        Ok::<_, String>(response.header("x-kept", "yes\n"))
    };
    let options = ServeOptions::default();
    client.serve("work", options, answer).await.unwrap()
}

async fn ask(client: &Client, id: u128, service: &str, deadline: Duration) {
    let sending = client.request(service).id(RequestId(id));
    let sending = sending.durability(Durability::Disk).deadline(deadline);
    sending.detach().await.unwrap();
}

#[test]
fn a_result_is_shown_and_waited_for() {
    let broker = Broker::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(&broker.url)).unwrap();
    let result = |id: u128, more: &[&str]| {
        let id = RequestId(id).to_string();
        broker.verteilt([&["result", &id], more].concat())
    };
    let unknown = run(&mut result(1, &[]));
    assert_eq!(unknown.status.code(), Some(4), "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("REQUEST_UNKNOWN"));

    runtime.block_on(ask(&client, 1, "work", DEADLINE));
    let pending = run(&mut result(1, &["--json"]));
    assert_eq!(pending.status.code(), Some(1));
    assert!(stdout(&pending).contains("\"state\":\"pending\",\"left_ms\":"));
    assert!(stderr(&pending).contains("--wait"), "{}", stderr(&pending));
    let waiting = spawn(&mut result(1, &["--wait", "10m"]));
    let _serving = runtime.block_on(serve(&client));
    let shown = finish(waiting);
    assert!(shown.status.success(), "{}", stderr(&shown));
    assert_eq!(shown.stdout, b"status 201\nx-kept: yes\\n\n\na\xff\n");
    let shown = json(&run(&mut result(1, &["--json"])));
    assert_eq!(
        (&shown["state"], &shown["status"]),
        (&"replied".into(), &201.into())
    );
    assert_eq!(shown["headers"][0]["name"], "x-kept");
    assert_eq!(shown["headers"][0]["value"], "yes\n");
    assert_eq!(shown["body_base64"], "Yf8K");
    assert!(shown["kept_ms"].as_u64().unwrap() > 3_600_000);

    runtime.block_on(ask(&client, 2, "nobody", Duration::from_millis(50)));
    let failed = run(&mut result(2, &["--json", "--wait", "2m"]));
    assert_eq!(failed.status.code(), Some(1));
    let told = stdout(&failed);
    assert!(
        told.contains("\"state\":\"failed\",\"code\":\"DEADLINE_EXCEEDED\""),
        "{told}"
    );
    let told = stderr(&failed);
    assert!(
        told.contains("waited for a worker") && told.contains("verteilt trace"),
        "{told}"
    );
}
