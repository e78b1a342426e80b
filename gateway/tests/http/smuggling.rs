//! Requests that two programs could understand in two ways. Each is refused, or exactly one request
//! reaches the service and it is the one that everybody would read.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use verteilt_client::{Request, Response, ServeOptions};

use crate::site::Site;

/// Refused before any service hears of it; the connection ends.
const REFUSED: &[&str] = &[
    // Two lengths.
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length: 5, 6\r\n\r\nhello!",
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length: +5\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length: -1\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length: 0x5\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length: 5a\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length:\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length: 5 5\r\n\r\nhello",
    // Codings that are not chunked at the end.
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: identity\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    // HTTP/1.0 has no chunks.
    "POST /s HTTP/1.0\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    // Names and lines.
    "POST /s HTTP/1.1\r\nHost: g\r\nContent-Length : 5\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nContent Length: 5\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\n Content-Length: 5\r\n\r\nhello",
    "POST /s HTTP/1.1\r\nHost: g\r\nX-A: b\r\n folded\r\n\r\n",
    "POST /s HTTP/1.1\r\nHost: g\r\nX-A: b\r\n\tfolded\r\n\r\n",
    "GET /s HTTP/1.1\r\nHost: g\r\nX-A: b\rX-B: c\r\n\r\n",
    "GET /s HTTP/1.1\r\nHost: g\r\nX-A: b\0c\r\n\r\n",
    "GET /s HTTP/1.1\r\nHost: g\r\nX\0A: b\r\n\r\n",
    "GET /s HTTP/1.1\r\nHost: g\r\n: b\r\n\r\n",
    "GET /s HTTP/1.1\r\nHost: g\r\nno-colon\r\n\r\n",
    "GET /s\r\n HTTP/1.1\r\nHost: g\r\n\r\n",
    "GET /s HTTP/1.1\rHost: g\r\n\r\n",
    "GET  /s HTTP/1.1\r\nHost: g\r\n\r\n",
    "GET /s  HTTP/1.1\r\nHost: g\r\n\r\n",
    "GET /s HTTP/1.9\r\nHost: g\r\n\r\n",
    "GET /s HTTP/2.0\r\nHost: g\r\n\r\n",
    "GET /s http/1.1\r\nHost: g\r\n\r\n",
    "G@T /s HTTP/1.1\r\nHost: g\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    // The host and the target.
    "GET /s HTTP/1.1\r\nHost: g\r\nHost: h\r\n\r\n",
    "GET /s HTTP/1.1\r\n\r\n",
    "GET /s HTTP/1.1\r\nHost: g h\r\n\r\n",
    "GET /s HTTP/1.1\r\nHost: g/../h\r\n\r\n",
    "GET /s/../t HTTP/1.1\r\nHost: g\r\n\r\n",
    "GET /s/%2e%2e/t HTTP/1.1\r\nHost: g\r\n\r\n",
    "GET /s/%00 HTTP/1.1\r\nHost: g\r\n\r\n",
    "GET s HTTP/1.1\r\nHost: g\r\n\r\n",
    "CONNECT g:80 HTTP/1.1\r\nHost: g:80\r\n\r\n",
    "TRACE /s HTTP/1.1\r\nHost: g\r\n\r\n",
    // Chunks.
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5 \nhello\r\n0\r\n\r\n",
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n",
    "POST /s HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
];

/// What one reading is left of: method, body.
const READ_IN_ONE_WAY: &[(&str, &str, &str)] = &[
    // RFC 9112, 6.3: chunked counts, and the length does not go further.
    (
        "POST /s HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /",
        "hello",
    ),
    (
        "POST /s HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST /",
        "hello",
    ),
    (
        "POST /s HTTP/1.1\r\nHost: g\r\nConnection: close\r\nTransfer-Encoding: CHUNKED\r\n\r\n5;ext=1\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
        "POST /",
        "hello",
    ),
    (
        "GET http://g/s HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n",
        "GET /",
        "",
    ),
    (
        "GET /s HTTP/1.1\nHost: g\nConnection: close\n\n",
        "GET /",
        "",
    ),
    (
        "\r\n\r\nGET /s HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n",
        "GET /",
        "",
    ),
];

type Seen = Arc<Mutex<Vec<(String, String, String)>>>;

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_not_passed_on() {
    let site = Site::open().await;
    let seen: Seen = Arc::default();
    let sees = Arc::clone(&seen);
    let look = move |mut request: Request| {
        let sees = Arc::clone(&sees);
        async move {
            let body = request.take_body().bytes().await;
            if let Ok(body) = body {
                let lengths = request
                    .headers()
                    .iter()
                    .filter(|header| header.name == "content-length");
                let lengths: Vec<_> = lengths.map(|header| header.value.clone()).collect();
                let body = String::from_utf8_lossy(&body).into_owned();
                let entry = (request.endpoint().to_owned(), body, format!("{lengths:?}"));
                sees.lock().unwrap().push(entry);
            }
            Ok::<_, Infallible>(Response::new("seen"))
        }
    };
    let _s = site
        .client
        .serve("s", ServeOptions::concurrency(8), look)
        .await
        .unwrap();
    for raw in REFUSED {
        let mut talk = site.door.talk().await;
        talk.try_say(raw.as_bytes()).await;
        talk.close_writing().await;
        let answer = String::from_utf8_lossy(&talk.rest().await).into_owned();
        let is_refused = answer.is_empty()
            || answer.starts_with("HTTP/1.1 4")
            || answer.starts_with("HTTP/1.1 501");
        assert!(is_refused, "{raw:?} got {answer:?}");
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert!(seen.is_empty(), "{raw:?} reached the service as {seen:?}");
    }
    for (raw, endpoint, body) in READ_IN_ONE_WAY {
        let mut talk = site.door.talk().await;
        talk.say(raw).await;
        let answer = String::from_utf8_lossy(&talk.rest().await).into_owned();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        if answer.starts_with("HTTP/1.1 200") {
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{raw:?}");
            assert_eq!(seen.len(), 1, "{raw:?}");
            assert_eq!((&*seen[0].0, &*seen[0].1), (*endpoint, *body), "{raw:?}");
            assert_ne!(
                seen[0].2, "[b\"3\"]",
                "a length that does not count went further"
            );
        } else {
            assert!(answer.starts_with("HTTP/1.1 4"), "{raw:?} got {answer:?}");
            assert!(seen.is_empty(), "{raw:?} reached the service as {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_second_request_on_a_connection_is_its_own() {
    let site = Site::open().await;
    let echo = |mut request: Request| async move {
        let endpoint = request.endpoint().to_owned();
        let body = request.take_body().bytes().await?;
        let text = format!("{endpoint} {}", String::from_utf8_lossy(&body));
        Ok::<_, verteilt_client::ClientError>(Response::new(text))
    };
    let _s = site
        .client
        .serve("s", ServeOptions::concurrency(8), echo)
        .await
        .unwrap();
    let mut talk = site.door.talk().await;
    // Pipelined: answered in order, each with its own body.
    talk.say("POST /s/1 HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\n\r\none")
        .await;
    talk.say(
        "POST /s/2 HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n",
    )
    .await;
    talk.say("GET /s/3 HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        .await;
    let answers = String::from_utf8(talk.rest().await).unwrap();
    let at = |text: &str| {
        answers
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {answers}"))
    };
    assert!(at("POST /1 one") < at("POST /2 two") && at("POST /2 two") < at("GET /3 "));
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3);
}
