//! Lost connections: of callers, of workers, of everybody.

use std::time::Duration;

use verteilt_client::{ErrorCode, Request, Response, ServeOptions};

use crate::house::{House, Line, code, echo, hang, until, within};

#[tokio::test]
async fn a_worker_that_is_gone_takes_its_request_along() {
    let house = House::start().await;
    let line = Line::to(&house).await;
    let (worker, caller) = (line.client().await, house.client().await);
    let (_serving, seen) = hang(&worker, "slow", 1).await;
    let asked = tokio::spawn(caller.request("slow").send());
    seen.begins().await;
    line.tear();
    let error = within(asked).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::WorkerLost));
    assert!(error.to_string().contains("instance slow"), "{error}");
    assert!(error.is_retryable());
    seen.ends().await;
    assert_eq!(
        code(within(caller.request("slow").send()).await),
        ErrorCode::NoWorker
    );
}

#[tokio::test]
async fn a_worker_that_comes_back_serves_again() {
    let house = House::start().await;
    let line = Line::to(&house).await;
    let (worker, caller) = (line.client().await, house.client().await);
    let serving = echo(&worker, "echo", 1).await;
    for round in 0..3 {
        line.cut();
        until(async || {
            let response = caller.request("echo").body("x").send().await;
            response.is_ok_and(|response| response.status == 200)
        })
        .await;
        let stats = caller.service("echo").await.unwrap().unwrap();
        let instance = &stats.instances[0].instance;
        assert_eq!(instance, serving.instance(), "round {round}");
    }
}

#[tokio::test]
async fn a_caller_that_comes_back_in_time_gets_its_replies() {
    let house = House::start().await;
    let line = Line::to(&house).await;
    let (worker, caller) = (house.client().await, line.client().await);
    let begun = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let go = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (noted, gone) = (begun.clone(), go.clone());
    let _serving = worker
        .serve(
            "slow",
            ServeOptions::concurrency(20),
            move |mut request: Request| {
                let (noted, gone) = (noted.clone(), gone.clone());
                async move {
                    noted.add_permits(1);
                    gone.acquire().await.unwrap().forget();
                    Ok::<_, String>(Response::new(request.take_body()))
                }
            },
        )
        .await
        .unwrap();
    let asked = (0..20).map(|n| tokio::spawn(caller.request("slow").body(n.to_string()).send()));
    let asked: Vec<_> = asked.collect();
    within(begun.acquire_many(20)).await.unwrap().forget();
    let mut events = caller.events();
    // Half are answered while nobody is there, and half afterwards.
    line.cut();
    go.add_permits(10);
    within(async {
        while !matches!(
            events.recv().await,
            Ok(verteilt_client::ConnectionEvent::Connected { .. })
        ) {}
    })
    .await;
    go.add_permits(10);
    for (n, asked) in asked.into_iter().enumerate() {
        let response = match within(asked).await.unwrap() {
            Ok(response) => response,
            // It was on the line when that was cut.
            Err(error) if error.code() == Some(ErrorCode::RequestLost) => continue,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(response.body.bytes().await.unwrap(), n.to_string());
    }
}

#[tokio::test]
async fn a_caller_that_does_not_come_back_is_given_up_after_the_grace() {
    let house = House::with_grace(Duration::from_millis(200)).await;
    let line = Line::to(&house).await;
    let (worker, caller) = (house.client().await, line.client().await);
    let (_serving, seen) = hang(&worker, "slow", 1).await;
    let asked = tokio::spawn(caller.request("slow").send());
    seen.begins().await;
    line.tear();
    seen.ends().await;
    asked.abort();
    let stats = worker.service("slow").await.unwrap().unwrap();
    assert_eq!(
        (stats.instances[0].cancelled, stats.instances[0].in_flight),
        (1, 0)
    );
}

#[tokio::test]
async fn a_reply_that_streams_ends_with_the_connection() {
    let house = House::start().await;
    let line = Line::to(&house).await;
    let (worker, caller) = (house.client().await, line.client().await);
    let _serving = worker
        .serve(
            "endless",
            ServeOptions::default(),
            |_request: Request| async move {
                let chunks = futures_util::stream::repeat_with(|| Ok::<_, String>(vec![1; 1_000]));
                let body = verteilt_client::Body::from_stream(chunks);
                Ok::<_, String>(Response::new(body))
            },
        )
        .await
        .unwrap();
    let mut response = within(caller.request("endless").send()).await.unwrap();
    assert!(within(response.body.chunk()).await.unwrap().is_ok());
    line.cut();
    let error = within(async {
        loop {
            if let Some(Err(error)) = response.body.chunk().await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(error.code(), Some(ErrorCode::RequestLost));
    until(async || {
        let stats = worker.service("endless").await.unwrap().unwrap();
        stats.instances[0].in_flight == 0
    })
    .await;
}

#[tokio::test]
async fn a_restart_of_the_broker_loses_what_is_open_and_nothing_else() {
    let mut house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let (_serving, seen) = hang(&worker, "slow", 1).await;
    let _echo = echo(&worker, "echo", 1).await;
    let asked = tokio::spawn(caller.request("slow").send());
    seen.begins().await;
    house.stop().await;
    seen.ends().await;
    house.go_on().await;
    assert_eq!(code(within(asked).await.unwrap()), ErrorCode::RequestLost);
    until(async || caller.request("echo").send().await.is_ok()).await;
    assert!(worker.service("slow").await.unwrap().is_some());
}
