//! What the checker has to be told: how exact the history is, and how the broker was set up.

/// Tolerances of the history and settings of the broker. The defaults are those of a broker
/// without configuration and of clients in one process with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How far clocks may differ: rounding, and clients on other machines.
    pub tolerance_ms: u64,
    /// How long after the broker sent or did something a client may record it, at most: the way,
    /// a busy machine, jobs that wait in a buffer of the client.
    pub lag_ms: u64,
    /// Once faults have stopped, everything has to be done after this.
    pub drain_ms: u64,
    /// How late a job may run on an idle broker.
    pub idle_late_ms: u64,
    /// How long leases wait for their sessions after a start.
    pub resume_grace_ms: u64,
    /// Lease of jobs that name none.
    pub lease_ms_default: u64,
    /// Runs of jobs that name no number.
    pub attempts_default: u32,
    /// Wait after the first failed run; doubled after each further one.
    pub backoff_ms_first: u64,
    /// Longest wait after a failed run.
    pub backoff_ms_max: u64,
    /// By how much a wait after a failed run may be shorter or longer.
    pub backoff_jitter_percent: u64,
    /// Whether clients may get jobs that they do not record, although their connection holds: a
    /// client library that gives back by itself what was not started. Numbers of runs are then
    /// only checked for growing.
    pub unseen_deliveries: bool,
    /// Violations that are described of each rule; beyond it they are only counted.
    pub described_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tolerance_ms: 5,
            lag_ms: 1_000,
            drain_ms: 60_000,
            idle_late_ms: 1_000,
            resume_grace_ms: 10_000,
            lease_ms_default: 30_000,
            attempts_default: 20,
            backoff_ms_first: 1_000,
            backoff_ms_max: 600_000,
            backoff_jitter_percent: 10,
            unseen_deliveries: false,
            described_max: 100,
        }
    }
}
