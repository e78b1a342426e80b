//! The thread beside the journal: it makes the next segments before they are needed, takes trimmed
//! ones away, and moves the watermark. It keeps all of that off the path of an append.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    JournalError, JournalOptions,
    disk::is_full,
    names,
    ready::{Shared, State},
    segment::{Segment, SegmentMaker},
    watermark::{Position, Watermark},
};

/// How long to leave a full disk alone before the next try.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Preparer {
    shared: Arc<Shared>,
    maker: SegmentMaker,
    options: JournalOptions,
    watermark: Watermark,
    watermark_due: Instant,
    /// Set while the disk is full.
    try_again_at: Option<Instant>,
}

/// The next thing to do.
enum Task {
    Retire(Arc<Segment>),
    Recycle {
        spare: PathBuf,
        number: u64,
    },
    Create {
        number: u64,
    },
    /// Deletes a spare.
    LetGo(PathBuf),
    MoveWatermark(Position),
    End(Position),
}

impl Preparer {
    pub(super) fn new(
        shared: Arc<Shared>,
        maker: SegmentMaker,
        options: JournalOptions,
        watermark: Watermark,
    ) -> Self {
        let watermark_due = Instant::now() + options.watermark_interval;
        Self {
            shared,
            maker,
            options,
            watermark,
            watermark_due,
            try_again_at: None,
        }
    }

    /// Works until the journal closes or fails.
    pub(super) fn run(mut self) {
        while self.shared.check().is_ok() {
            let task = self.wait_for_task();
            let is_end = matches!(task, Some(Task::End(_)));
            if let Err(error) = task.map_or(Ok(()), |task| self.perform(task)) {
                self.shared.fail(error);
            }
            if is_end {
                return;
            }
        }
    }

    fn wait_for_task(&mut self) -> Option<Task> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        loop {
            if shared.check().is_err() {
                return None;
            }
            let now = Instant::now();
            if let Some(task) = self.next_task(&mut state, now) {
                return Some(task);
            }
            let wake = self
                .try_again_at
                .map_or(self.watermark_due, |at| at.min(self.watermark_due));
            shared.work.wait_until(&mut state, wake);
        }
    }

    fn next_task(&mut self, state: &mut State, now: Instant) -> Option<Task> {
        // Trimmed segments first: they may be what the next use needs.
        if let Some(segment) = state.retired.pop_front() {
            self.try_again_at = None;
            return Some(Task::Retire(segment));
        }
        if state.closing {
            return Some(Task::End(state.position));
        }
        if now >= self.watermark_due {
            self.watermark_due = now + self.options.watermark_interval;
            return Some(Task::MoveWatermark(state.position));
        }
        let is_paused = self.try_again_at.is_some_and(|at| now < at);
        if state.ready.len() >= self.options.spare_segments {
            let spare = state.lets_spares_go.then(|| state.spares.pop());
            return spare.flatten().map(Task::LetGo);
        }
        if is_paused {
            return None;
        }
        let number = state.next_number;
        Some(match state.spares.pop() {
            Some(spare) => Task::Recycle { spare, number },
            None => Task::Create { number },
        })
    }

    fn perform(&mut self, task: Task) -> Result<(), JournalError> {
        match task {
            Task::Retire(segment) => self.retire(&segment),
            Task::Recycle { spare, number } => {
                let segment = self.maker.recycle(&spare, number)?;
                self.hand_over(segment);
                Ok(())
            }
            Task::LetGo(spare) => self.remove(&spare),
            Task::Create { number } => match self.maker.create(number) {
                Ok(segment) => {
                    self.try_again_at = None;
                    self.hand_over(segment);
                    Ok(())
                }
                Err(error) if is_full(&error) => {
                    tracing::warn!(%error, "no room for the next journal segment, will try again");
                    self.try_again_at = Some(Instant::now() + FULL_DISK_PAUSE);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Task::MoveWatermark(position) | Task::End(position) => self.watermark.advance(position),
        }
    }

    fn hand_over(&self, segment: Segment) {
        let mut state = self.shared.state.lock();
        state.next_number = segment.number + 1;
        state.ready.push_back(Arc::new(segment));
        self.shared.segment_ready.notify_all();
    }

    /// Takes one trimmed file away. Each one's end is durable before the next one's, so that a
    /// crash never leaves a hole among the numbers.
    fn retire(&self, segment: &Arc<Segment>) -> Result<(), JournalError> {
        let disk = &self.maker.disk;
        let has_room = {
            let state = self.shared.state.lock();
            // What is needed next is made of it rather than anew.
            let is_needed = state.ready.len() < self.options.spare_segments;
            let is_kept = state.spares.len() < self.options.recycled_segments_max;
            is_kept && (is_needed || !state.lets_spares_go)
        };
        let path = segment.file.path().to_owned();
        // Nobody can find the segment any more, so a count of one stays one.
        let is_pinned = Arc::strong_count(segment) > 1;
        if has_room && !is_pinned && segment.bytes == self.maker.segment_bytes {
            let spare = names::spare(&self.maker.folder, segment.number);
            disk.rename(&path, &spare)?;
            disk.sync_folder(&self.maker.folder)?;
            self.shared.state.lock().spares.push(spare);
        } else {
            // A reader keeps the open file; the space is free once it is done.
            self.remove(&path)?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), JournalError> {
        self.maker.disk.remove(path)?;
        self.maker.disk.sync_folder(&self.maker.folder)
    }
}
