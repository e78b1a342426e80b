//! How a command ends: the exit codes, and a failure that tells what to do next.

use std::io;

/// How a command ended, as scripts see it. `verteilt --help` lists these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done,
    /// The command ran, the work did not succeed: a job died, the broker broke off.
    WorkFailed,
    /// The arguments or the configuration are wrong. clap uses the same number.
    Usage,
    /// No broker answered.
    Unreachable,
    /// The broker answered and refused.
    Refused,
    /// Broken off by this signal before the end, or by a closed output (SIGPIPE).
    Signal(i32),
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::WorkFailed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            // The shells' convention.
            Self::Signal(number) => u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX),
        }
    }
}

/// What the text under `--help` says about exits.
pub(crate) const EXITS_HELP: &str = "\
Exit codes:
  0  done
  1  the work failed: a job died, the broker broke off, output could not be written
  2  wrong arguments or configuration
  3  no broker could be reached
  4  the broker refused
  128+N  broken off by signal N before the end (130: Ctrl-C, 141: the reader of the output left)

Environment:
  VERTEILT_URL   the broker, as in --url
  VERTEILT_LOG   what goes to the log on standard error, such as `debug` (RUST_LOG works too)
  NO_COLOR       no colours";

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What happened; empty where there is nobody left to read it.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) advice: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            advice: None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn work(message: impl Into<String>) -> Self {
        Self::new(Exit::WorkFailed, message)
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The reader of our output has left (`| head`): end at once and say nothing, as a program
    /// killed by SIGPIPE would.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::new(Exit::Signal(rustix::process::Signal::PIPE.as_raw()), "")
        } else {
            Self::work(format!("cannot write to standard output: {error}"))
        }
    }

    /// Tells a person on standard error.
    pub(crate) fn tell(&self) {
        if self.message.is_empty() {
            return;
        }
        note(format_args!("{}", self.message));
        if let Some(advice) = &self.advice {
            note(format_args!("{advice}"));
        }
    }
}

/// One line to a person on standard error. Nobody may be listening there any more; that must not
/// stop the work, so a failed write is let go.
pub(crate) fn note(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _nobody_listens = writeln!(io::stderr().lock(), "verteilt: {text}");
}
