//! What a command prints on standard output: lines for people, JSON for programs.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::failure::Failure;

/// One line, flushed: a reader at the other end of a pipe sees it now.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

/// These bytes as they are, flushed.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

/// For JSON: bytes as text where they are UTF-8, else as Base64.
pub(crate) fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    let text = std::str::from_utf8(bytes).ok();
    (text, text.is_none().then(|| BASE64.encode(bytes)))
}

/// One JSON value on one line.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::work(format!("cannot write the answer as JSON: {error}")))?;
    line(&text)
}

/// Rows under a heading, columns as wide as their widest cell: the first on the left, the others
/// (numbers) on the right.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
) -> Result<(), Failure> {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(&aligned(heading, widths))?;
    rows.iter()
        .try_for_each(|row| line(&aligned(row.each_ref().map(String::as_str), widths)))
}

fn aligned<const N: usize>(cells: [&str; N], widths: [usize; N]) -> String {
    let mut text = String::new();
    for (at, (cell, width)) in cells.into_iter().zip(widths).enumerate() {
        let cell = if at == 0 {
            format!("{cell:<width$}")
        } else {
            format!("  {cell:>width$}")
        };
        text.push_str(&cell);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        assert_eq!(aligned(["a", "12"], [3, 4]), "a      12");
        assert_eq!(aligned(["abc", "1234"], [3, 4]), "abc  1234");
    }
}
