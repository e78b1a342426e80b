//! One job: run the command, print, then ack; or nack; or hand back.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::process::ExitStatus;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use verteilt_client::{ClientError, Job};

use super::child::{self, Run};
use super::echo::{Echo, Output, print_to_standard_error};
use super::template::Template;
use crate::connect::Connection;
use crate::failure::{Failure, note};

/// What every job is worked on with.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) connection: Connection,
    pub(super) queue: String,
    pub(super) template: Template,
    pub(super) echo: Echo,
    /// Cancelled when running commands have had their time.
    pub(super) overdue: CancellationToken,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Failed,
    HandedBack,
    /// Its lease ended before it was done; it runs again elsewhere.
    Lost,
    /// Done, failed or handed back, but perhaps too late: a broker that was killed may have taken
    /// the word and not answered it.
    Unsure,
}

impl Bench {
    /// Works on one job. Fails only where the next job would fail the same way.
    pub(super) async fn work_on(&self, job: Job) -> Result<End, Failure> {
        let _kept_alive = job.keep_alive();
        let arguments = match self.template.arguments(job.body()) {
            Ok(arguments) => arguments,
            Err(error) => return self.failed(job, &error).await,
        };
        let mut command = Command::new(self.template.program());
        command
            .args(arguments)
            .env("VERTEILT_QUEUE", &self.queue)
            .env("VERTEILT_JOB_ID", job.id().to_string())
            .env("VERTEILT_JOB_ATTEMPT", job.attempt().to_string());
        let lost = job.lost();
        let broken_off = async {
            tokio::select! {
                () = lost.cancelled() => {}
                () = self.overdue.cancelled() => {}
            }
        };
        let run = child::run(command, job.body().clone(), broken_off).await;
        if lost.is_cancelled() {
            return Ok(lost_note(job.id()));
        }
        match run {
            Ok(Run::Exited(status, output)) if status.success() => self.done(job, output).await,
            Ok(Run::Exited(status, output)) => {
                let _nobody_listens = print_to_standard_error(output);
                self.failed(job, &self.exit_text(status)).await
            }
            Ok(Run::BrokenOff) => self.hand_back(job).await,
            Err(error) if is_the_commands_fault(&error) => {
                self.hand_back(job).await?;
                Err(Failure::usage(format!(
                    "cannot run {}: {error}",
                    self.template.name()
                )))
            }
            Err(error) => self.failed(job, &self.spawn_text(&error)).await,
        }
    }

    /// Printed first: what was acknowledged never runs again, so its output must be out.
    async fn done(&self, job: Job, output: Output) -> Result<End, Failure> {
        if let Err(error) = self.echo.print(output).await {
            self.hand_back(job).await?;
            return Err(Failure::output(&error));
        }
        self.settle(job.id(), job.ack(), End::Done).await
    }

    async fn failed(&self, job: Job, reason: &(impl Display + ?Sized)) -> Result<End, Failure> {
        note(format_args!(
            "job {} (run {}): {reason}",
            job.id(),
            job.attempt()
        ));
        self.settle(job.id(), job.nack(None), End::Failed).await
    }

    async fn hand_back(&self, job: Job) -> Result<End, Failure> {
        self.settle(job.id(), job.release(), End::HandedBack).await
    }

    async fn settle(
        &self,
        id: u64,
        answer: impl Future<Output = Result<(), ClientError>>,
        end: End,
    ) -> Result<End, Failure> {
        match answer.await {
            Ok(()) => Ok(end),
            Err(ClientError::LeaseLost { .. }) => {
                note(format_args!(
                    "job {id}: its lease had ended when the broker was told; either it was told \
                     just before it went away, or the job runs again"
                ));
                Ok(End::Unsure)
            }
            Err(error) => Err(self.connection.explain(&error)),
        }
    }

    fn exit_text(&self, status: ExitStatus) -> String {
        format!("{} failed ({status})", self.template.name())
    }

    fn spawn_text(&self, error: &io::Error) -> String {
        let advice = match error.kind() {
            io::ErrorKind::ArgumentListTooLong => {
                "; its body is too long for an argument, leave {} out and read standard input"
            }
            _ => "",
        };
        format!("cannot run {}: {error}{advice}", self.template.name())
    }
}

fn is_the_commands_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
    )
}

fn lost_note(id: u64) -> End {
    note(format_args!(
        "job {id}: its lease is lost, it runs again elsewhere"
    ));
    End::Lost
}
