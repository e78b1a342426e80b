//! The access log.

use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use verteilt_client::{Request, Response, ServeOptions};
use verteilt_gateway::{AccessFormat, AccessLog};

use crate::site::Site;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    async fn lines(&self, count: usize) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(Instant::now() < end, "{lines:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn every_request_to_a_service_is_one_line() {
    for format in [AccessFormat::Json, AccessFormat::Text] {
        let page = Page::default();
        let (log, _writer) = AccessLog::to(page.clone(), format).unwrap();
        let site = Site::logged(log).await;
        let hello = |_: Request| async { Ok::<_, Infallible>(Response::new("hello")) };
        let _hello = site
            .client
            .serve("hello", ServeOptions::default(), hello)
            .await
            .unwrap();
        let given = "X-Request-Id: seven\r\nUser-Agent: test \"7\"\r\n";
        assert_eq!(
            site.door
                .post("/hello/a?secret=1", given, b"abc")
                .await
                .status,
            200
        );
        site.door.get("/nobody").await;
        site.door.get("/a%20b").await;
        let lines = page.lines(3).await;
        assert!(
            lines.iter().all(|line| !line.contains("secret")),
            "{lines:?}"
        );
        if format == AccessFormat::Text {
            assert!(
                lines[0].starts_with("POST /hello/a 200 ") && lines[0].ends_with(" seven"),
                "{lines:?}"
            );
            assert!(lines[1].ends_with(" NO_WORKER"), "{lines:?}");
            continue;
        }
        let first: Value = serde_json::from_str(&lines[0]).unwrap();
        for (key, value) in [
            ("method", Value::from("POST")),
            ("path", "/hello/a".into()),
            ("service", "hello".into()),
            ("status", 200.into()),
            ("request_bytes", 3.into()),
            ("response_bytes", 5.into()),
            ("complete", true.into()),
            ("request_id", "seven".into()),
            ("user_agent", "test \"7\"".into()),
            ("remote", "127.0.0.1".into()),
        ] {
            assert_eq!(first[key], value, "{key}: {first}");
        }
        let last: Value = serde_json::from_str(&lines[2]).unwrap();
        assert_eq!(
            (&last["status"], &last["code"]),
            (&404.into(), &"ROUTE_UNKNOWN".into())
        );
    }
}
