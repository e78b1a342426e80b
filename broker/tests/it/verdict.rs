//! What a broker makes of a folder that may be damaged.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::furnish::WORKER;
use crate::house::{House, block_on};
use crate::inventory::inventory;

/// How it went well. Everything else is an error with words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It does not start, and says why.
    Refused,
    /// It stops when it comes upon the damage, and says why.
    Stopped,
    /// Everything is there.
    Unharmed,
}

/// What a folder holds.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    all: String,
    /// After all that could run was worked off, a checkpoint was written, and the broker was started
    /// again: a checkpoint reads and writes parts of the store that nobody else asks for.
    left: String,
}

impl Contents {
    pub(crate) fn of(house: &mut House) -> Self {
        let all = inventory(house, &WORKER);
        house.peer().checkpoint();
        house.restart();
        let left = inventory(house, &WORKER);
        Self { all, left }
    }

    fn difference(&self, other: &Self) -> String {
        difference(&self.all, &other.all) + &difference(&self.left, &other.left)
    }
}

/// Starts a broker that is idle on its folder, twice: a supervisor starts it again and again, and
/// damage that was found once may not be forgotten, although whoever opens the store writes to it.
pub(crate) fn judge(
    house: &mut House,
    expected: &Contents,
    damaged: &Path,
) -> Result<Verdict, String> {
    let first = start(house, expected, damaged)?;
    house.leave();
    let mut second = || start(house, expected, damaged);
    match first {
        Verdict::Unharmed => Ok(first),
        Verdict::Refused => second().map(|_| first),
        // Some jobs were worked off the first time, so what is there is not as expected.
        Verdict::Stopped => match second() {
            Ok(Verdict::Refused | Verdict::Stopped) => Ok(first),
            other => Err(format!("it stopped, then forgot the damage: {other:?}")),
        },
    }
}

fn start(house: &mut House, expected: &Contents, damaged: &Path) -> Result<Verdict, String> {
    if let Err(refusal) = house.try_to_go_on() {
        return is_clear(&refusal.to_string(), damaged).map(|()| Verdict::Refused);
    }
    match catch(|| Contents::of(house)) {
        Ok(contents) => match expected.difference(&contents) {
            same if same.is_empty() => Ok(Verdict::Unharmed),
            other => Err(format!("other things are there:\n{other}")),
        },
        // A peer has missed something: either the broker is gone and says why, or it is at fault.
        Err(missed) => match catch(|| block_on(house.broker().failed())) {
            Ok(failure) => is_clear(&failure.to_string(), damaged).map(|()| Verdict::Stopped),
            Err(_) => Err(missed),
        },
    }
}

/// A message names the file, or the store that it belongs to, and what to do next.
fn is_clear(text: &str, damaged: &Path) -> Result<(), String> {
    let name = damaged.file_name().unwrap().to_str().unwrap();
    let is_named = text.contains(name) || damaged.starts_with("store") && text.contains("store");
    if is_named && text.to_lowercase().contains("restore the") {
        Ok(())
    } else {
        Err(format!("an unclear message: {text}"))
    }
}

fn difference(expected: &str, found: &str) -> String {
    let only = |here: &str, there: &str, mark| -> String {
        let lines = here.lines();
        let lines = lines.filter(|line| !there.lines().any(|other| other == *line));
        lines.map(|line| format!("{mark}{line}\n")).collect()
    };
    only(expected, found, '-') + &only(found, expected, '+')
}

/// Whatever panics is put into words.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("a panic: {}", text.unwrap_or("without words"))
    })
}
