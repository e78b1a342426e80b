//! Instructions of the hot paths, counted by callgrind and held against `benches/budgets.toml`: unlike
//! times they are the same on a busy machine. `make bench-budget` runs it.
//!
//! Without arguments every path of `paths.rs` runs under valgrind, in a process of its own, and what it
//! takes is compared. `run NAME` is what happens in there. With `BLESS=1` the file is written anew.

#[path = "../fixtures/desk.rs"]
mod desk;
#[path = "../fixtures/event.rs"]
mod event;
#[path = "../fixtures/frame.rs"]
mod frame;

mod budgets;
mod callgrind;
mod client;
mod paths;

use std::process::ExitCode;

use anyhow::{Context, Result};

use budgets::Budgets;

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [run, name] = words.as_slice()
        && run == "run"
    {
        let path = paths::PATHS.iter().find(|path| path.name == name);
        (path.context("no path of this name")?.run)();
        return Ok(ExitCode::SUCCESS);
    }
    let measured = callgrind::count_all()?;
    if std::env::var_os("BLESS").is_some_and(|bless| bless != "0") {
        Budgets::write(&measured)?;
    }
    let budgets = Budgets::read()?;
    println!("{}", budgets.table(&measured));
    Ok(match budgets.exceeded(&measured) {
        0 => ExitCode::SUCCESS,
        paths => {
            println!("{paths} paths are over their budget by more than the margin.");
            println!(
                "If that is what the change is worth, `make bench-budget BLESS=1` and say why."
            );
            ExitCode::FAILURE
        }
    })
}
