//! `verteilt`: the message broker and everything to work with it, in one binary.
//!
//! This file is the table of contents. Each command is a file in [`cmd`]; the broker, the gateway
//! and the client are crates of their own, and this one only wires them together.

mod arguments;
mod broker_process;
mod cmd;
mod config;
mod connect;
mod drain;
mod failure;
mod logging;
mod metrics_server;
mod output;
mod progress;
mod signals;
mod units;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};
use config::LogFormat;
use failure::{Exit, Failure};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let end = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let end = runtime.block_on(run(arguments.command));
            // A thread may still sit in a read of standard input; nothing it does matters now.
            runtime.shutdown_background();
            end
        }
        Err(error) => Err(Failure::work(format!("cannot start the runtime: {error}"))),
    };
    let exit = end.unwrap_or_else(|failure| {
        failure.tell();
        failure.exit
    });
    ExitCode::from(exit.code())
}

async fn run(command: Command) -> Result<Exit, Failure> {
    if !matches!(
        command,
        Command::Serve(_) | Command::Gateway(_) | Command::Up(_)
    ) {
        logging::start(LogFormat::Text, logging::QUIET)?;
    }
    match command {
        Command::Up(up) => up.run().await,
        Command::Serve(serve) => serve.run().await,
        Command::Gateway(gateway) => gateway.run().await,
        Command::Push(push) => push.run().await,
        Command::Work(work) => work.run().await,
        Command::Queue(queue) => queue.run().await,
        Command::Topic(topic) => topic.run().await,
        Command::Service(service) => service.run().await,
        Command::Trace(trace) => trace.run().await,
        Command::Result(result) => result.run().await,
        Command::Checkpoint(checkpoint) => checkpoint.run().await,
        Command::Backup(backup) => backup.run().await,
        Command::Restore(restore) => restore.run().await,
        Command::Verify(verify) => verify.run().await,
        Command::Torture(torture) => torture.run().await,
        Command::Bench(bench) => bench.run().await,
        Command::Completions(completions) => completions.run(),
    }
}
