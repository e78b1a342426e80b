//! Progress bars. They stand on standard error and show only when that is a terminal, so they
//! never mix into what a program reads.

use std::fmt;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Redraws a second.
const DRAWS_HZ: u8 = 10;

const COUNTING: &str = "{spinner} {msg}{human_pos} {prefix} ({rate}, {elapsed})";
const FILLING: &str = "{msg}[{bar:30}] {human_pos}/{human_len} {prefix} ({rate}, {eta} left)";

/// A bar that fills up to `total`, or counts where the end is not known. `what` is counted in the
/// plural, such as `jobs`.
pub(crate) fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_HZ);
    let bar = ProgressBar::with_draw_target(total, target);
    let template = if total.is_some() { FILLING } else { COUNTING };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("rate", rate));
    }
    bar.set_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    // Nothing can be done about a bar that cannot be drawn.
    let _not_drawn = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
}
