//! The ten promises.

use std::fmt;

/// A promise of `docs/semantics.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Nothing acknowledged is lost.
    S1,
    /// Nothing appears that nobody sent, bytes identical.
    S2,
    /// One live lease a job at most; stale tokens are refused.
    S3,
    /// A completed job never runs again.
    S4,
    /// A job runs again only for a named reason, and its attempt says so.
    S5,
    /// Order of first deliveries.
    S6,
    /// Accepted once.
    S7,
    /// Nothing runs before its time, nor late on an idle broker.
    S8,
    /// One response a request, its own.
    S9,
    /// When faults stop, everything drains.
    S10,
}

impl Rule {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::S1,
        Self::S2,
        Self::S3,
        Self::S4,
        Self::S5,
        Self::S6,
        Self::S7,
        Self::S8,
        Self::S9,
        Self::S10,
    ];

    /// The promise in a few words.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Self::S1 => "nothing acknowledged is lost",
            Self::S2 => "nothing is invented or changed",
            Self::S3 => "one live lease a job",
            Self::S4 => "done is done",
            Self::S5 => "a job runs again for a reason, and its attempt says so",
            Self::S6 => "order of first deliveries",
            Self::S7 => "accepted once",
            Self::S8 => "not before its time",
            Self::S9 => "one response a request",
            Self::S10 => "it drains",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&format!("S{}", self.index() + 1))
    }
}
