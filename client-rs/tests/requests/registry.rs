//! Who serves what, and the ways of requests.

use verteilt_client::{ErrorCode, Header, Request, RequestId, Response, ServeOptions, TraceKind};

use crate::house::{House, echo, within};

#[tokio::test]
async fn services_are_listed_with_those_who_serve_them() {
    let house = House::start().await;
    let (one, two) = (house.client().await, house.client().await);
    let options = ServeOptions {
        concurrency: 5,
        endpoints: vec!["resize".to_owned()],
        host: "mill".to_owned(),
        metadata: vec![Header::new("zone", "a")],
        ..ServeOptions::default()
    };
    let options = options.version("2").instance("first");
    let teapot = |_request: Request| async { Ok::<_, String>(Response::with_status(418, "")) };
    let serving = one.serve("images", options, teapot).await.unwrap();
    let _other = echo(&two, "images", 1).await;
    let _mail = echo(&two, "mail", 1).await;
    for _ in 0..10 {
        within(one.request("images").version("2").send())
            .await
            .unwrap();
    }
    let names = |all: &[verteilt_client::ServiceStats]| {
        all.iter()
            .map(|service| service.service.clone())
            .collect::<Vec<_>>()
    };
    let all = two.services().await.unwrap();
    assert_eq!(names(&all), ["images", "mail"]);
    assert_eq!(all[0].instances.len(), 2);
    let first = all[0].instances.iter().find(|one| one.instance == "first");
    let first = first.unwrap();
    assert_eq!((first.version.as_str(), first.host.as_str()), ("2", "mill"));
    assert_eq!(first.endpoints, ["resize"]);
    assert_eq!(first.metadata, [Header::new("zone", "a")]);
    assert_eq!((first.process, first.concurrency), (std::process::id(), 5));
    assert_eq!(first.replies, [0, 0, 0, 10, 0]);
    assert_eq!(first.run_us.iter().sum::<u64>(), 10);
    assert_eq!(first.wait_us.iter().sum::<u64>(), 10);
    drop(serving);
    crate::house::until(async || {
        one.service("images")
            .await
            .unwrap()
            .unwrap()
            .instances
            .len()
            == 1
    })
    .await;
    // Many come in several answers.
    let mut services = Vec::new();
    for number in 0..150 {
        services.push(echo(&one, &format!("s{number:03}"), 1).await);
    }
    let all = one.services().await.unwrap();
    assert_eq!(all.len(), 152);
    assert!(names(&all).is_sorted());
    assert_eq!(one.service("nobody").await.unwrap(), None);
    // Nothing crosses namespaces.
    let stranger = house.builder().namespace("other").connect().await.unwrap();
    assert!(stranger.services().await.unwrap().is_empty());
    let refused = stranger.request("mail").send().await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NoWorker));
}

#[tokio::test]
async fn the_way_of_a_request_can_be_seen() {
    let house = House::start().await;
    let client = house.client().await;
    let _back = echo(&client, "back", 1).await;
    let _front = client
        .serve(
            "front",
            ServeOptions::default().instance("f"),
            |mut request: Request| async move {
                request
                    .call("back")
                    .body("help")
                    .send()
                    .await?
                    .body
                    .bytes()
                    .await?;
                request.forward("back").send().await
            },
        )
        .await
        .unwrap();
    let id = RequestId(77);
    within(client.request("front").id(id).send()).await.unwrap();
    let ways = client.trace(id).await.unwrap();
    let kinds = |at: usize| {
        ways[at]
            .steps
            .iter()
            .map(|step| step.kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(ways.len(), 2);
    assert_eq!((ways[0].request, ways[1].parent), (id, Some(id)));
    assert_eq!(ways[0].gateway, client.gateway_id());
    let expected = [
        TraceKind::Accepted,
        TraceKind::Started,
        TraceKind::Forwarded,
        TraceKind::Started,
        TraceKind::Replied(200),
        TraceKind::Ended(0),
    ];
    assert_eq!(kinds(0), expected);
    assert_eq!(
        kinds(1),
        [expected[0], expected[1], expected[4], expected[5]]
    );
    assert_eq!(ways[0].steps[1].instance, "f");
    assert!(ways[0].steps.is_sorted_by_key(|step| step.at));
    let unknown = client.trace(RequestId(78)).await.unwrap_err();
    assert_eq!(unknown.code(), Some(ErrorCode::RequestUnknown));
    let stranger = house.builder().namespace("other").connect().await.unwrap();
    assert!(
        stranger.trace(id).await.is_err(),
        "nothing crosses namespaces"
    );
}
