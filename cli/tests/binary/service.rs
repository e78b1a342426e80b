//! `verteilt service` and `verteilt trace`.

use std::time::Duration;

use verteilt_client::{Client, ErrorCode, Request, RequestId, Response, ServeOptions};

use crate::process::{Broker, http, json, run, stderr, stdout, until};

/// A service of two workers that was asked once, with the id 7.
async fn asked(url: &str) -> (Client, Vec<verteilt_client::Serving>) {
    let client = Client::connect(url).await.unwrap();
    let answer = |mut request: Request| async move {
        let response = Response::with_status(201, request.take_body());
        Ok::<_, String>(response)
    };
    let mut servings = Vec::new();
    for instance in ["one", "two"] {
        let options = ServeOptions::default().version("3").instance(instance);
        servings.push(client.serve("images", options, answer).await.unwrap());
    }
    let sending = client.request("images").id(RequestId(7)).endpoint("resize");
    assert_eq!(sending.body("x").send().await.unwrap().status, 201);
    (client, servings)
}

#[test]
fn services_and_ways_are_shown() {
    let broker = Broker::start();
    let nothing = stdout(&run(&mut broker.verteilt(["service", "ls"])));
    assert!(nothing.contains("nobody serves anything"), "{nothing}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _kept = runtime.block_on(asked(&broker.url));

    let all = json(&run(&mut broker.verteilt(["service", "ls", "--json"])));
    assert_eq!(all[0]["service"], "images");
    let shown = json(&run(
        &mut broker.verteilt(["service", "show", "images", "--json"])
    ));
    let instances = shown["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 2);
    assert_eq!(instances[0]["version"], "3");
    let replies = instances
        .iter()
        .map(|one| one["replies"]["2xx"].as_u64().unwrap());
    assert_eq!(replies.sum::<u64>(), 1);
    let table = stdout(&run(&mut broker.verteilt(["service", "show", "images"])));
    assert!(
        table.contains("one") && table.contains("healthy"),
        "{table}"
    );
    assert_eq!(
        stdout(&run(&mut broker.verteilt(["service", "ls"])))
            .lines()
            .count(),
        2
    );
    let missing = run(&mut broker.verteilt(["service", "show", "nothing"]));
    assert_eq!(missing.status.code(), Some(4), "{}", stderr(&missing));

    let id = RequestId(7).to_string();
    let way = json(&run(&mut broker.verteilt(["trace", &id, "--json"])));
    let steps = way[0]["steps"].as_array().unwrap();
    let steps: Vec<_> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["accepted", "started", "replied", "ended"]);
    assert_eq!(way[0]["steps"][2]["status"], 201);
    let drawn = stdout(&run(&mut broker.verteilt(["trace", &id])));
    assert!(drawn.contains("replied 201 images, version 3"), "{drawn}");
    let unknown = run(&mut broker.verteilt(["trace", &"0".repeat(32)]));
    assert_eq!(unknown.status.code(), Some(4), "{}", stderr(&unknown));
}

#[test]
fn metrics_tell_of_each_service() {
    let broker = Broker::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (client, _servings) = runtime.block_on(asked(&broker.url));
    let late = runtime.block_on(async {
        let never = |_: Request| std::future::pending::<Result<Response, String>>();
        let sleepy = client.serve("sleepy", ServeOptions::default(), never).await;
        let sleepy = sleepy.unwrap();
        let sending = client.request("sleepy").deadline(Duration::from_millis(50));
        let late = sending.send().await.unwrap_err();
        drop(sleepy);
        late
    });
    assert_eq!(late.code(), Some(ErrorCode::DeadlineExceeded));
    let expected = [
        r#"verteilt_service_requests_total{namespace="default",service="images",end="2xx"} 1"#,
        r#"verteilt_service_requests_total{namespace="default",service="sleepy",end="expired"} 1"#,
        r#"verteilt_service_in_flight{namespace="default",service="images"} 0"#,
        r#"verteilt_service_wait_seconds_count{namespace="default",service="sleepy"} 1"#,
        r#"verteilt_service_run_seconds_count{namespace="default",service="images"} 1"#,
        r#"verteilt_service_run_seconds_bucket{namespace="default",service="images",le="+Inf"} 1"#,
    ];
    let mut shown = String::new();
    until("the metrics tell of both services", || {
        shown = http("GET", &broker.metrics, &[], b"").1;
        expected.iter().all(|line| shown.contains(line))
    });
}
