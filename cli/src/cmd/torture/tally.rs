//! What the rounds were like.

use serde::Serialize;

use super::flow::Counts;

/// The counts of each round, at its kill.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rounds: Vec<Counts>,
}

/// One count over all rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Spread {
    pub(super) least: u64,
    pub(super) median: u64,
    pub(super) most: u64,
    pub(super) total: u64,
}

/// All counts over all rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Rounds {
    /// Pushes that were acknowledged in a round before its kill; a batch is one.
    pub(super) pushes_acknowledged: Spread,
    /// Jobs whose ack was answered in a round before its kill.
    pub(super) acks_answered: Spread,
    /// Pushes that the kill left without an answer.
    pub(super) pushes_unanswered: Spread,
    /// Leases of jobs that were in somebody's hands at the kill.
    pub(super) leases_held: Spread,
}

impl Tally {
    pub(super) fn add(&mut self, round: Counts) {
        self.rounds.push(round);
    }

    pub(super) fn rounds(&self) -> Rounds {
        let spread = |of: fn(&Counts) -> u64| Spread::of(self.rounds.iter().map(of).collect());
        Rounds {
            pushes_acknowledged: spread(|round| round.pushes),
            acks_answered: spread(|round| round.acks),
            pushes_unanswered: spread(|round| round.pushes_open),
            leases_held: spread(|round| round.leases_held),
        }
    }
}

impl Spread {
    fn of(mut counts: Vec<u64>) -> Self {
        counts.sort_unstable();
        Self {
            least: counts.first().copied().unwrap_or_default(),
            median: counts.get(counts.len() / 2).copied().unwrap_or_default(),
            most: counts.last().copied().unwrap_or_default(),
            total: counts.iter().sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_round_is_seen() {
        let mut tally = Tally::default();
        assert_eq!(tally.rounds().acks_answered, Spread::default());
        for pushes in [7, 3, 5] {
            tally.add(Counts {
                pushes,
                ..Counts::default()
            });
        }
        let spread = tally.rounds().pushes_acknowledged;
        let (least, median, most, total) = (3, 5, 7, 15);
        assert_eq!(
            spread,
            Spread {
                least,
                median,
                most,
                total
            }
        );
    }
}
