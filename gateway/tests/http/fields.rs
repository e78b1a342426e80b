//! Header fields on their way through, both ways.

use std::convert::Infallible;

use verteilt_client::{Request, Response, ServeOptions, Serving};

use crate::site::Site;

/// Answers with the header block that it got, a line each.
async fn shows(site: &Site) -> Serving {
    let show = |request: Request| async move {
        let lines = request.headers().iter().map(|header| {
            let value = String::from_utf8_lossy(&header.value);
            format!("{}={value}\n", header.name)
        });
        let response = Response::new(lines.collect::<String>())
            .header("set-cookie", "a=1")
            .header("Set-Cookie", "b=2")
            .header("connection", "x-mine, close")
            .header("x-mine", "1")
            .header("keep-alive", "9")
            .header("transfer-encoding", "gzip")
            .header("content-length", "99999")
            .header(":status", "500");
        Ok::<_, Infallible>(response)
    };
    site.client
        .serve("show", ServeOptions::concurrency(4), show)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_service_sees_the_request_as_it_was_sent() {
    let site = Site::open().await;
    let _show = shows(&site).await;
    let head = "PUT /show/a%20b?x=1&y=%2F HTTP/1.1\r\nX-Many: 1\r\nX-Many: 2\r\nCookie: c=d\r\n\
                Connection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nProxy-Authorization: p\r\n\
                Upgrade: websocket\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
                Content-Length: 0\r\n";
    let seen = site.door.send(head, b"").await.body;
    for line in [
        ":method=PUT\n",
        ":path=/a%20b\n",
        ":query=x=1&y=%2F\n",
        ":host=gateway\n",
        ":scheme=http\n",
        ":remote=127.0.0.1:",
        ":prefix=/show\n",
        "x-many=1\nx-many=2\n",
        "cookie=c=d\n",
        "traceparent=00-",
        "x-request-id=",
    ] {
        assert!(seen.contains(line), "{line:?} is not in {seen}");
    }
    for name in [
        "x-hop",
        "te=",
        "proxy-",
        "upgrade",
        "forwarded",
        "connection",
        "host=g\n",
    ] {
        let found = seen.lines().find(|line| line.starts_with(name));
        assert_eq!(found, None, "{seen}");
    }
}

#[tokio::test]
async fn an_answer_has_its_own_fields_and_no_others() {
    let site = Site::open().await;
    let _show = shows(&site).await;
    let answer = site.door.get("/show").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("set-cookie: a=1\r\nset-cookie: b=2"),
        "{answer:?}"
    );
    for name in [
        "x-mine",
        "keep-alive",
        "transfer-encoding",
        "99999",
        ":status",
    ] {
        assert!(!answer.head.contains(name), "{answer:?}");
    }
    let length = format!("content-length: {}", answer.body.len());
    assert!(answer.head.contains(&length), "{answer:?}");
}

#[tokio::test]
async fn ids_and_traces_go_through() {
    let site = Site::open().await;
    let _show = shows(&site).await;
    let given = "X-Request-Id: order-7\r\nTracestate: v=1\r\n\
                 Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let answer = site.door.post("/show", given, b"").await;
    assert!(
        answer.head.contains("x-request-id: order-7\r\n"),
        "{answer:?}"
    );
    assert!(answer.body.contains("x-request-id=order-7\n"), "{answer:?}");
    assert!(
        answer
            .body
            .contains("traceparent=00-0af7651916cd43dd8448eb211c80319c-")
    );
    assert!(!answer.body.contains("b7ad6b7169203331") && answer.body.contains("tracestate=v=1"));

    let answer = site
        .door
        .post("/show", "Tracestate: v=1\r\nTraceparent: 00-x\r\n", b"")
        .await;
    assert!(!answer.body.contains("tracestate"), "{answer:?}");
    let id = answer
        .body
        .lines()
        .find_map(|line| line.strip_prefix("x-request-id="));
    let id = id.unwrap().parse().unwrap();
    let ways = site.client.trace(id).await.unwrap();
    assert_eq!(ways.len(), 1, "the broker knows the request by the same id");
    let problem = site.door.get("/nobody").await;
    assert!(problem.head.contains("x-request-id: "), "{problem:?}");
}

#[tokio::test]
async fn a_trusted_proxy_may_say_for_whom_it_asks() {
    let site = Site::open_with(|config| {
        config.trusted_proxies = vec![
            "127.0.0.0/8".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ];
    })
    .await;
    let _show = shows(&site).await;
    let given = "X-Forwarded-For: 6.6.6.6, 192.0.2.9\r\nX-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\n";
    let seen = site.door.post("/show", given, b"").await.body;
    assert!(
        seen.contains(":remote=192.0.2.9\n") && seen.contains(":scheme=https\n"),
        "{seen}"
    );
    assert!(seen.contains("x-forwarded-for=10.1.1.1\n"), "{seen}");
    assert!(seen.contains("x-forwarded-for=127.0.0.1\n"), "{seen}");
}
