//! What was found to be wrong.

use crate::{Rule, Violation};

#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Violation>);

impl Findings {
    pub(crate) fn broken(
        &mut self,
        rule: Rule,
        expected: impl Into<String>,
        found: impl Into<String>,
        lines: &[usize],
    ) {
        self.0.push(Violation {
            rule,
            expected: expected.into(),
            found: found.into(),
            lines: lines.to_vec(),
        });
    }
}
