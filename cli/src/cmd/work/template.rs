//! The command as it was given, and how the body of a job gets into it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Stands for the body.
const BODY: &[u8] = b"{}";

/// A command whose arguments may name the body of a job.
#[derive(Debug)]
pub(super) struct Template {
    program: OsString,
    arguments: Vec<Vec<u8>>,
    names_body: bool,
}

/// Bodies are bytes, but an argument ends at its first NUL: passing on half of one would be worse
/// than not running the job.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its body holds a NUL byte, which no argument can; leave {{}} out and read standard input")]
pub(super) struct NulInBody;

impl Template {
    /// `None` without a program. The program itself is taken as it is: a job must not choose it.
    pub(super) fn new(command: Vec<OsString>) -> Option<Self> {
        let mut words = command.into_iter();
        let program = words.next()?;
        let arguments: Vec<Vec<u8>> = words.map(OsString::into_vec).collect();
        let names_body = arguments
            .iter()
            .any(|argument| find_body(argument).is_some());
        Some(Self {
            program,
            arguments,
            names_body,
        })
    }

    pub(super) fn program(&self) -> &OsStr {
        &self.program
    }

    /// The arguments for this body.
    pub(super) fn arguments(&self, body: &[u8]) -> Result<Vec<OsString>, NulInBody> {
        if self.names_body && body.contains(&0) {
            return Err(NulInBody);
        }
        Ok(self
            .arguments
            .iter()
            .map(|argument| fill(argument, body))
            .collect())
    }

    /// For messages: the program without its arguments.
    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(self.program.as_bytes()).into_owned()
    }
}

fn find_body(argument: &[u8]) -> Option<usize> {
    argument
        .windows(BODY.len())
        .position(|window| window == BODY)
}

fn fill(argument: &[u8], body: &[u8]) -> OsString {
    let mut filled = Vec::with_capacity(argument.len() + body.len());
    let mut rest = argument;
    while let Some(at) = find_body(rest) {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(body);
        rest = &rest[at + BODY.len()..];
    }
    filled.extend_from_slice(rest);
    OsString::from_vec(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(words: &[&str]) -> Template {
        Template::new(words.iter().map(OsString::from).collect()).unwrap()
    }

    #[test]
    fn the_body_replaces_every_pair_of_braces() {
        let template = template(&["cp", "{}", "to/{}.bak", "{}{}", "{", "x"]);
        let filled = template.arguments(b"a b").unwrap();
        assert_eq!(filled, ["a b", "to/a b.bak", "a ba b", "{", "x"]);
    }

    #[test]
    fn braces_in_the_body_are_not_looked_at_again() {
        assert_eq!(template(&["cat", "{}"]).arguments(b"{}").unwrap(), ["{}"]);
    }

    #[test]
    fn the_program_is_not_the_jobs_to_choose() {
        assert_eq!(template(&["{}"]).program(), "{}");
    }

    #[test]
    fn bytes_of_any_kind_but_nul() {
        let template = template(&["cat", "-{}-"]);
        assert_eq!(
            template.arguments(b"\xff'\n").unwrap()[0].as_bytes(),
            b"-\xff'\n-"
        );
        assert_eq!(template.arguments(b"a\0b"), Err(NulInBody));
    }

    #[test]
    fn a_nul_is_no_matter_on_standard_input() {
        assert_eq!(
            template(&["cat"]).arguments(b"a\0b").unwrap(),
            Vec::<OsString>::new()
        );
    }
}
