//! Requests that end without a reply, and handlers that end without a result.

use std::time::Duration;

use verteilt_client::{Body, ErrorCode, Health, Request, Response, ServeOptions};

use crate::house::{House, code, echo, hang, until, within};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_caller_that_goes_cancels_its_worker() {
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let (_serving, seen) = hang(&worker, "slow", 2).await;
    let asked = tokio::spawn(caller.request("slow").send());
    seen.begins().await;
    asked.abort();
    seen.ends().await;
    // And a client that says goodbye gives up all it had asked.
    let asked = tokio::spawn(caller.request("slow").deadline(SHORT * 20).send());
    seen.begins().await;
    let closed = caller.close().await;
    assert!(closed.is_ok(), "{closed:?}");
    assert_eq!(code(asked.await.unwrap()), ErrorCode::DeadlineExceeded);
    seen.ends().await;
}

#[tokio::test]
async fn a_response_that_is_dropped_before_its_end_cancels_its_worker() {
    let house = House::start().await;
    let client = house.client().await;
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let sender = std::sync::Mutex::new(Some(sender));
    let _serving = client
        .serve(
            "endless",
            ServeOptions::default(),
            move |request: Request| {
                let dropped = sender.lock().unwrap().take();
                async move {
                    assert!(!request.cancelled().is_cancelled());
                    let chunks = futures_util::stream::unfold(dropped, |dropped| async move {
                        tokio::task::yield_now().await;
                        Some((Ok::<_, String>(vec![1; 1_000]), dropped))
                    });
                    Ok::<_, String>(Response::new(Body::from_stream(chunks)))
                }
            },
        )
        .await
        .unwrap();
    let mut response = within(client.request("endless").send()).await.unwrap();
    assert_eq!(
        within(response.body.chunk()).await.unwrap().unwrap().len(),
        1_000
    );
    drop(response);
    // The stream goes with what it held.
    assert!(within(receiver).await.is_err());
}

#[tokio::test]
async fn a_deadline_falls_where_the_request_is() {
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let (_serving, seen) = hang(&worker, "slow", 1).await;
    let held = tokio::spawn(caller.request("slow").deadline(SHORT * 5).send());
    seen.begins().await;
    let waits = within(caller.request("slow").deadline(SHORT).send()).await;
    let error = waits.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::DeadlineExceeded));
    assert!(error.to_string().contains("waited for a worker"), "{error}");
    let error = within(held).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::DeadlineExceeded));
    assert!(
        error.to_string().contains("held by slow, instance slow"),
        "{error}"
    );
    seen.ends().await;
    // The one that waited never began.
    let stats = worker.service("slow").await.unwrap().unwrap();
    assert_eq!((stats.expired, stats.instances[0].expired), (1, 1));
    assert_eq!(seen.begun.available_permits(), 0);
}

#[tokio::test]
async fn errors_and_panics_of_a_handler_are_answered() {
    let house = House::start().await;
    let client = house.client().await;
    let _serving = client
        .serve(
            "bad",
            ServeOptions::default(),
            |request: Request| async move {
                assert!(request.endpoint() != "panic", "as asked");
                Err::<Response, _>("the secret reason")
            },
        )
        .await
        .unwrap();
    for (endpoint, how) in [("fail", "handler failed"), ("panic", "handler panicked")] {
        let response = within(client.request("bad").endpoint(endpoint).send())
            .await
            .unwrap();
        assert_eq!(response.status, 500);
        assert_eq!(response.header_value("verteilt-error").unwrap(), how);
        assert!(response.body.is_empty(), "the reason stays with the worker");
    }
}

#[tokio::test]
async fn a_drain_lets_handlers_finish() {
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let begun = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (gone, noted) = (go.clone(), begun.clone());
    let serving = worker
        .serve("slow", ServeOptions::default(), move |_request: Request| {
            let (gone, noted) = (gone.clone(), noted.clone());
            async move {
                noted.add_permits(1);
                gone.notified().await;
                Ok::<_, String>(Response::new("done"))
            }
        })
        .await
        .unwrap();
    let asked = tokio::spawn(caller.request("slow").send());
    begun.acquire().await.unwrap().forget();
    let drained = tokio::spawn(serving.drain(Duration::from_secs(60)));
    until(async || {
        let refused = caller.request("slow").send().await;
        refused.is_err_and(|error| error.code() == Some(ErrorCode::NoWorker))
    })
    .await;
    go.notify_one();
    let response = within(asked).await.unwrap().unwrap();
    assert_eq!(response.body.bytes().await.unwrap(), "done");
    assert_eq!(within(drained).await.unwrap(), 0);
    // Or gives them up.
    let (serving, seen) = hang(&worker, "slow", 1).await;
    let asked = tokio::spawn(caller.request("slow").send());
    seen.begins().await;
    assert_eq!(within(serving.drain(SHORT)).await, 1);
    assert_eq!(within(asked).await.unwrap().unwrap().status, 503);
}

#[tokio::test]
async fn a_worker_that_is_not_well_gets_nothing() {
    let house = House::start().await;
    let client = house.client().await;
    let serving = echo(&client, "echo", 1).await;
    serving.set_health(Health::Unhealthy).unwrap();
    until(async || client.request("echo").send().await.is_err()).await;
    assert_eq!(
        code(client.request("echo").send().await),
        ErrorCode::NoWorker
    );
    let stats = client.service("echo").await.unwrap().unwrap();
    assert_eq!(stats.instances[0].health, Health::Unhealthy);
    serving.set_health(Health::Healthy).unwrap();
    until(async || client.request("echo").send().await.is_ok()).await;
}

#[tokio::test]
async fn closing_a_client_lets_its_handlers_answer() {
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let begun = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let noted = begun.clone();
    let _serving = worker
        .serve("slow", ServeOptions::default(), move |_request: Request| {
            let noted = noted.clone();
            async move {
                noted.add_permits(1);
                tokio::time::sleep(SHORT).await;
                Ok::<_, String>(Response::new("last words"))
            }
        })
        .await
        .unwrap();
    let asked = tokio::spawn(caller.request("slow").send());
    begun.acquire().await.unwrap().forget();
    within(worker.close()).await.unwrap();
    let response = within(asked).await.unwrap().unwrap();
    assert_eq!(response.body.bytes().await.unwrap(), "last words");
}

#[tokio::test]
async fn bad_names_and_headers_are_refused_before_they_are_sent() {
    let house = House::start().await;
    let client = house.client().await;
    assert_eq!(code(client.request("No").send().await), ErrorCode::BadName);
    let long = "v".repeat(201);
    assert_eq!(
        code(client.request("s").version(long).send().await),
        ErrorCode::BadArgument
    );
    let large = client
        .request("s")
        .header("x", vec![0; 70_000])
        .send()
        .await;
    assert_eq!(code(large), ErrorCode::HeadersTooLarge);
}
