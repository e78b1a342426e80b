//! What the sections of a long history leave behind for those that come after them.

use std::collections::BTreeMap;

use crate::Durability;
use crate::facts::Facts;
use crate::ids::Ids;

/// What is kept of the sections that were checked, so that the next one is not taken for the whole
/// history: which jobs there were, all of which came to their end, and how far the lease tokens
/// had grown. Memory in proportion to the gaps between the ids, which is little.
///
/// The default is the past of a first section: nothing.
#[derive(Clone, Debug, Default)]
pub struct Past {
    jobs: Ids,
    /// The highest one given; those of `memory` jobs are numbered apart.
    tokens: BTreeMap<Durability, u64>,
}

impl Past {
    /// Whether this is a first section.
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether an earlier section had this job.
    pub(crate) fn had_job(&self, id: u64) -> bool {
        self.jobs.contains(id)
    }

    /// Whether all leases from now on have a larger token than this.
    pub(crate) fn token_most(&self, durability: Durability) -> Option<u64> {
        self.tokens.get(&durability).copied()
    }

    /// The section is over.
    pub(crate) fn add(&mut self, facts: &Facts<'_>) {
        for job in &facts.jobs {
            if job.origin.is_some() || !job.leases.is_empty() {
                self.jobs.insert(job.id);
            }
            let Some(durability) = facts.kind_of(job) else {
                continue;
            };
            if let Some(token) = job.leases.iter().map(|lease| lease.seen.token).max() {
                let most = self.tokens.entry(durability).or_default();
                *most = token.max(*most);
            }
        }
    }
}
