//! Workers as processes of their own, which a test can kill, stop and let go on. The program is this
//! test binary, started again for one test that otherwise does not run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;
use verteilt_client::{Client, ClientError, Request, Response, ServeOptions};

use crate::process::{signal, until};

/// Requests at one time.
pub(crate) const CONCURRENCY: u32 = 64;
/// Of a reply: who made it.
pub(crate) const WORKER_FIELD: &str = "x-worker";

/// Environment of the process. None begins with VERTEILT_, which the product would read.
const URL: &str = "WORKER_URL";
const SERVICE: &str = "WORKER_SERVICE";
const NAME: &str = "WORKER_NAME";

/// Killed when dropped.
pub(crate) struct Worker {
    child: Child,
    pub(crate) name: String,
    said: Arc<Mutex<Vec<String>>>,
    reading: Option<JoinHandle<()>>,
}

impl Worker {
    /// Comes back when it serves.
    pub(crate) fn start(url: &str, service: &str, name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker::process", "--ignored", "--nocapture"])
            .env(URL, url)
            .env(SERVICE, service)
            .env(NAME, name)
            // Held open as long as this is: it ends by itself if the test is killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let said = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&said);
        let reading = thread::spawn(move || {
            for line in stdout.lines() {
                hears.lock().unwrap().push(line.unwrap());
            }
        });
        let worker = Self {
            child,
            name: name.to_owned(),
            said,
            reading: Some(reading),
        };
        worker.says("serves");
        worker
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn says(&self, line: &str) {
        until(&format!("{} says {line:?}", self.name), || {
            self.said.lock().unwrap().iter().any(|said| said == line)
        });
    }

    /// Stopped: its connection stays open, and nothing comes over it.
    pub(crate) fn stop(&self) {
        signal(&self.child, Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        signal(&self.child, Signal::CONT);
    }

    /// Lets one request be answered that holds: its own body asks for that.
    pub(crate) fn let_one_go(&mut self) {
        let gate = self.child.stdin.as_mut().unwrap();
        gate.write_all(b"\n").unwrap();
    }

    /// SIGKILL. Afterwards everything that it said is known.
    pub(crate) fn kill(&mut self) {
        // A stopped process dies, too. It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
    }

    /// The requests that it began, as it said them: `NUMBER attempt ATTEMPT`.
    pub(crate) fn begun(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        let begun = said.iter().filter_map(|line| line.strip_prefix("begins "));
        begun.map(ToOwned::to_owned).collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a request with this body is answered with.
pub(crate) fn answer_to(body: &str) -> String {
    format!("answer to {body}")
}

/// Serves until it is killed. A body `request NUMBER` is answered after a while that the number
/// decides, `hold NUMBER` after a line on standard input, whatever has become of the lease.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that other tests start"]
async fn process() {
    let variable = |name| std::env::var(name).unwrap();
    let (opener, gate) = mpsc::sync_channel(16);
    thread::spawn(move || end_with_standard_input(&opener));
    let gate = Arc::new(Mutex::new(gate));
    let name = variable(NAME);
    let options = ServeOptions::concurrency(CONCURRENCY).instance(&name);
    let handler = move |mut request: Request| {
        let (gate, name) = (Arc::clone(&gate), name.clone());
        async move {
            let body = request.take_body().bytes().await?;
            let text = String::from_utf8(body.to_vec()).unwrap();
            let (what, number) = text.trim_end().split_once(' ').unwrap();
            // What is said is said before anything can be killed.
            tell(&format!("begins {number} attempt {}", request.attempt()));
            if what == "hold" {
                // Not an await, at which a handler ends whose lease is lost.
                tokio::task::block_in_place(|| gate.lock().unwrap().recv().unwrap());
                tell(&format!("answers {number}"));
            } else {
                let number: u64 = number.parse().unwrap();
                tokio::time::sleep(Duration::from_micros(number * 7_919 % 3_000)).await;
            }
            let response = Response::new(answer_to(&text)).header(WORKER_FIELD, name);
            Ok::<_, ClientError>(response)
        }
    };
    let client = Client::connect(&variable(URL)).await.unwrap();
    let service = variable(SERVICE);
    let serving = client.serve(&service, options, handler).await.unwrap();
    tell("\nserves");
    panic!("{}", serving.ended().await);
}

/// Each line opens the gate once. Whoever started this is gone with its end.
fn end_with_standard_input(opener: &mpsc::SyncSender<()>) {
    for _ in std::io::stdin().lock().lines() {
        opener.send(()).unwrap();
    }
    std::process::exit(0);
}

/// In one write: a line is whole or not there.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}
