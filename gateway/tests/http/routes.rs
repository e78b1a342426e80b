//! Routes from a file, and how they change.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use verteilt_client::{Request, Response, ServeOptions, Serving};
use verteilt_gateway::{Routes, Table};

use crate::site::Site;

/// A service that names itself and what it was given.
async fn named(site: &Site, service: &'static str, version: &'static str) -> Serving {
    let name = move |request: Request| async move {
        let header = |name: &str| {
            let value = request.header(name).cloned().unwrap_or_default();
            String::from_utf8(value.to_vec()).unwrap()
        };
        let (path, id) = (header(":path"), header(":param.id"));
        let text = format!("{service} {version} {} {path} {id}", request.endpoint());
        Ok::<_, Infallible>(Response::new(text))
    };
    let options = ServeOptions::concurrency(8).version(version);
    site.client.serve(service, options, name).await.unwrap()
}

const ROUTES: &str = r#"
[[routes]]
path = "/api/items/{id}"
methods = ["GET", "PUT"]
service = "stock"
strip_prefix = "/api"
body_bytes_max = 4
content_types = ["application/json"]

[[routes]]
path = "/api/items/{id}"
host = "*.example.org"
service = "other"
"#;

#[tokio::test]
async fn a_row_says_where_and_within_which_limits() {
    let site = Site::routed(ROUTES).await;
    let _stock = named(&site, "stock", "").await;
    let _other = named(&site, "other", "").await;
    assert_eq!(
        site.door.get("/api/items/7").await.body,
        "stock  GET /items/{id} /items/7 7"
    );
    let there = "GET /api/items/7 HTTP/1.1\r\nHost: a.example.org:80\r\nConnection: close\r\n\r\n";
    let mut talk = site.door.talk().await;
    talk.say(there).await;
    assert!(
        String::from_utf8(talk.rest().await)
            .unwrap()
            .contains("other  GET")
    );

    let refused = site.door.post("/api/items/7", "", b"x").await;
    refused.is_problem(405, "METHOD_NOT_ALLOWED");
    assert!(refused.head.contains("allow: get, put\r\n"), "{refused:?}");
    let put = |kind: &str, body: &str| {
        format!(
            "PUT /api/items/7 HTTP/1.1\r\n{kind}Content-Length: {}\r\n",
            body.len()
        )
    };
    let json = "Content-Type: application/json\r\n";
    site.door
        .send(&put(json, "12345"), b"12345")
        .await
        .is_problem(413, "BODY_TOO_LARGE");
    site.door
        .send(&put("", "1234"), b"1234")
        .await
        .is_problem(415, "CONTENT_TYPE_REFUSED");
    assert_eq!(
        site.door.send(&put(json, "1234"), b"1234").await.status,
        200
    );
    site.door
        .get("/stock")
        .await
        .is_problem(404, "ROUTE_UNKNOWN");
}

#[tokio::test]
async fn weights_share_requests_among_versions() {
    let site = Site::routed(
        "[[routes]]\npath = \"/\"\nservice = \"cart\"\nversions = { \"1\" = 90, \"2\" = 10 }\n",
    )
    .await;
    let _one = named(&site, "cart", "1").await;
    let _two = named(&site, "cart", "2").await;
    let mut counts = BTreeMap::new();
    for n in 0..200 {
        let given = format!("X-Request-Id: canary-{n}\r\n");
        let first = site.door.post("/", &given, b"").await.body;
        *counts.entry(first.clone()).or_insert(0) += 1;
        if n < 20 {
            assert_eq!(
                site.door.post("/", &given, b"").await.body,
                first,
                "the same id, the same version"
            );
        }
    }
    let two = counts["cart 2 POST / / "];
    assert!((5..=45).contains(&two), "{counts:?}");
}

#[tokio::test]
async fn too_many_at_a_time_are_told_to_come_again() {
    let site =
        Site::routed("[[routes]]\npath = \"/slow\"\nservice = \"slow\"\nconcurrency_max = 1\n")
            .await;
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&began), Arc::clone(&go));
    let slow = move |_: Request| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            Ok::<_, Infallible>(Response::new("done"))
        }
    };
    let _slow = site
        .client
        .serve("slow", ServeOptions::concurrency(8), slow)
        .await
        .unwrap();
    let door = site.door.clone();
    let first = tokio::spawn(async move { door.get("/slow").await });
    began.notified().await;
    let second = site.door.get("/slow").await;
    second.is_problem(429, "CONCURRENCY_LIMIT");
    assert!(second.head.contains("retry-after: 1\r\n"), "{second:?}");
    go.notify_one();
    assert_eq!(first.await.unwrap().status, 200);
    go.notify_one();
    assert_eq!(site.door.get("/slow").await.status, 200);
}

#[tokio::test]
async fn a_changed_file_is_in_force_for_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    let row = |service: &str| {
        format!("[[routes]]\nname = \"a\"\npath = \"/a\"\nservice = \"{service}\"\n")
    };
    let routes = Routes::new(Table::parse(&row("one")).unwrap());
    let site = Site::with_routes(routes.clone()).await;
    let now = Arc::new(Notify::new());
    std::fs::write(&path, row("one")).unwrap();
    let watching = {
        let (path, now) = (path.clone(), Arc::clone(&now));
        tokio::spawn(async move {
            verteilt_gateway::routes::watch(path, row("one"), routes, &now).await;
        })
    };
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&began), Arc::clone(&go));
    let one = move |_: Request| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            Ok::<_, Infallible>(Response::new("one"))
        }
    };
    let _one = site
        .client
        .serve("one", ServeOptions::concurrency(8), one)
        .await
        .unwrap();
    let _two = named(&site, "two", "").await;
    let door = site.door.clone();
    let begun_before = tokio::spawn(async move { door.get("/a").await });
    began.notified().await;

    std::fs::write(&path, "this is no route file").unwrap();
    now.notify_one();
    std::fs::write(&path, row("two")).unwrap();
    now.notify_one();
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        go.notify_one();
        if site.door.get("/a").await.body.starts_with("two") {
            break;
        }
        assert!(Instant::now() < end, "the new routes are not in force");
    }
    assert_eq!(begun_before.await.unwrap().body, "one");
    watching.abort();
}
