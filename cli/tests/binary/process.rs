//! Processes under test: started on free ports, waited for with deadlines, gone when dropped.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Far longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// `verteilt ARGS`, with nothing of our own environment that it would read.
pub(crate) fn verteilt<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verteilt"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("VERTEILT_")) {
        command.env_remove(name);
    }
    command
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// Runs to the end.
pub(crate) fn run(command: &mut Command) -> Output {
    finish(spawn(command))
}

/// Starts with both outputs piped.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs to the end with this on standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = spawn(command.stdin(Stdio::piped()));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that does not read everything is what some tests are about.
    let feeding = thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = finish(child);
    feeding.join().unwrap();
    output
}

/// Waits for the end and for everything that was printed.
pub(crate) fn finish(mut child: Child) -> Output {
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let end = Instant::now() + DEADLINE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            let told = stderr.join().unwrap();
            panic!(
                "not done in time; it said: {}",
                String::from_utf8_lossy(&told)
            );
        }
        thread::sleep(Duration::from_millis(5));
    };
    Output {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn collect(source: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut source) = source {
            source.read_to_end(&mut all).unwrap();
        }
        all
    })
}

/// Asserts success and gives standard output.
#[track_caller]
pub(crate) fn succeeded(output: &Output) -> Vec<u8> {
    assert!(
        output.status.success(),
        "{:?}: {}\n{}",
        output.status,
        stderr(output),
        stdout(output)
    );
    output.stdout.clone()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&succeeded(output)).unwrap()
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Looks again and again until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < end, "never happened: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The lines of a child's standard output, as they come.
pub(crate) fn lines(child: &mut Child) -> mpsc::Receiver<Vec<u8>> {
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::sync_channel(100_000);
    thread::spawn(move || {
        for line in stdout.split(b'\n') {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

/// A broker process; killed when dropped.
pub(crate) struct Broker {
    child: Child,
    /// As `verteilt://ADDRESS`.
    pub(crate) url: String,
    /// As `http://ADDRESS/metrics`.
    pub(crate) metrics: String,
    data: PathBuf,
    settings: Settings,
    _folder: TempDir,
}

/// Variables of the environment, such as `VERTEILT_CHECKPOINT__BYTES`.
pub(crate) type Settings = &'static [(&'static str, &'static str)];

impl Broker {
    /// On a free port, with a data folder of its own.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// On a free port, with its data in the folder `data` of this one, where some may be already.
    pub(crate) fn start_in(folder: TempDir, settings: Settings) -> Self {
        Self::in_folder(folder.path().join("data"), folder, settings)
    }

    /// On a data folder that is there, on a free port.
    pub(crate) fn on(data: &Path) -> Self {
        Self::start_at(data, &[])
    }

    /// As [`Self::on`], set up so.
    pub(crate) fn start_at(data: &Path, settings: Settings) -> Self {
        Self::in_folder(data.to_owned(), tempfile::tempdir().unwrap(), settings)
    }

    fn in_folder(data: PathBuf, folder: TempDir, settings: Settings) -> Self {
        let (child, url, metrics) = serve(&data, "127.0.0.1:0", settings);
        Self {
            child,
            url,
            metrics,
            data,
            settings,
            _folder: folder,
        }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same address and data as before.
    pub(crate) fn restart(&mut self) {
        let address = self.url.strip_prefix("verteilt://").unwrap();
        let (child, url, metrics) = serve(&self.data, address, self.settings);
        assert_eq!(url, self.url);
        (self.child, self.metrics) = (child, metrics);
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// `verteilt ARGS` with this broker in the environment.
    pub(crate) fn verteilt<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = verteilt(args);
        command.env("VERTEILT_URL", &self.url);
        command
    }

    /// Makes each text a job.
    pub(crate) fn push(&self, queue: &str, bodies: &[&str]) {
        let input = bodies
            .iter()
            .flat_map(|body| [body.as_bytes(), b"\n"].concat());
        let input: Vec<u8> = input.collect();
        succeeded(&run_with_input(
            &mut self.verteilt(["push", queue, "--lines"]),
            &input,
        ));
    }

    /// One number of `queue stats --json`.
    pub(crate) fn count(&self, queue: &str, key: &str) -> u64 {
        self.stats(queue)[key].as_u64().unwrap()
    }

    pub(crate) fn stats(&self, queue: &str) -> Value {
        json(&run(&mut self.verteilt(["queue", "stats", queue, "--json"])))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Gone already in some tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(data: &Path, listen: &str, settings: Settings) -> (Child, String, String) {
    let mut command = verteilt([
        "serve",
        "--listen",
        listen,
        "--metrics",
        "127.0.0.1:0",
        "--data",
    ]);
    command
        .arg(data)
        .env("VERTEILT_LOG", "error")
        .envs(settings.iter().copied())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = lines(&mut child);
    let next = |prefix: &str| {
        let line = lines
            .recv_timeout(DEADLINE)
            .expect("the broker says where it listens");
        let line = String::from_utf8(line).unwrap();
        line.strip_prefix(prefix)
            .unwrap_or_else(|| panic!("{line:?}"))
            .to_owned()
    };
    let url = next("listening on ");
    let metrics = next("metrics on ");
    (child, url, metrics)
}

/// One HTTP request; status line, headers and body as they came.
pub(crate) fn http(method: &str, url: &str, headers: &[&str], body: &[u8]) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let headers: String = headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect();
    let length = body.len();
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses at once may not read it.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .parse()
        .unwrap();
    (status, answer)
}
