//! Where work that may block is done: on threads of its own, or by whoever stands in for them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::busy_poll::Awake;

/// How long a thread looks for its next task before it sleeps.
const AWAKE_MAX: Duration = Duration::from_micros(100);

/// One piece of work that may block.
pub type Chore = Box<dyn FnOnce() + Send>;

/// Ends when a chore is done. Dropped before, the chore may be left undone or half done, just as a
/// kill would leave it.
pub type ChoreDone = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Does the blocking work of a broker in place of its threads: a simulation, which decides how long
/// each piece takes.
pub trait Workshop: Send + Sync + fmt::Debug {
    /// Does a chore of the worker called `who`. Each worker has one chore at a time.
    fn work(&self, who: &'static str, chore: Chore) -> ChoreDone;
}

/// Who does a broker's blocking work.
#[derive(Clone, Debug, Default)]
pub enum Workers {
    /// A thread for each kind of work.
    #[default]
    Threads,
    /// Somebody else; nothing blocks on a thread of its own then.
    Workshop(Arc<dyn Workshop>),
}

/// A worker as the loop sees it: tasks go in here, answers come out of a channel.
#[derive(Debug)]
pub(super) struct Worker<T> {
    feed: Feed<T>,
    thread: Option<JoinHandle<()>>,
    _task: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
enum Feed<T> {
    Thread(SyncSender<T>),
    Task(mpsc::Sender<T>),
    Ended,
}

/// What a worker is called and how its thread begins.
#[derive(Clone)]
pub(super) struct Post {
    name: &'static str,
    /// At most so many tasks wait; the loop never gives more, so giving one never blocks.
    waiting: usize,
    /// Called first on its thread.
    begin: fn(),
    /// While this is on, it looks for the next task for a while before it sleeps.
    pub(super) awake: Awake,
}

impl Post {
    pub(super) fn new(name: &'static str, waiting: usize, begin: fn()) -> Self {
        let awake = Awake::default();
        Self {
            name,
            waiting,
            begin,
            awake,
        }
    }
}

impl<T: Send + 'static> Worker<T> {
    /// Does tasks one after the other until one has no answer, or the worker is dropped.
    pub(super) fn spawn<A: Send + 'static>(
        workers: &Workers,
        post: Post,
        answers: mpsc::Sender<A>,
        work: impl FnMut(T) -> Option<A> + Send + 'static,
    ) -> std::io::Result<Self> {
        match workers {
            Workers::Threads => Self::thread(post, answers, work),
            Workers::Workshop(workshop) => {
                Ok(Self::task(Arc::clone(workshop), &post, answers, work))
            }
        }
    }

    fn thread<A: Send + 'static>(
        post: Post,
        answers: mpsc::Sender<A>,
        mut work: impl FnMut(T) -> Option<A> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (feed, tasks): (_, Receiver<T>) = sync_channel(post.waiting);
        let thread = std::thread::Builder::new()
            .name(format!("verteilt-{}", post.name))
            .spawn(move || {
                (post.begin)();
                while let Some(task) = next(&tasks, &post.awake) {
                    let Some(answer) = work(task) else { return };
                    if answers.blocking_send(answer).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            feed: Feed::Thread(feed),
            thread: Some(thread),
            _task: None,
        })
    }

    fn task<A: Send + 'static>(
        workshop: Arc<dyn Workshop>,
        post: &Post,
        answers: mpsc::Sender<A>,
        work: impl FnMut(T) -> Option<A> + Send + 'static,
    ) -> Self {
        let name = post.name;
        let (feed, mut tasks) = mpsc::channel(post.waiting);
        let work = Arc::new(Mutex::new(work));
        let task = tokio::spawn(async move {
            while let Some(task) = tasks.recv().await {
                let (done, answer) = tokio::sync::oneshot::channel();
                let work = Arc::clone(&work);
                // Nobody listens any more if the worker was dropped meanwhile.
                let chore = Box::new(move || drop(done.send((*work.lock())(task))));
                workshop.work(name, chore).await;
                let Ok(Some(answer)) = answer.await else {
                    return;
                };
                if answers.send(answer).await.is_err() {
                    return;
                }
            }
        });
        Self {
            feed: Feed::Task(feed),
            thread: None,
            _task: Some(AbortOnDropHandle::new(task)),
        }
    }

    /// False when the worker is gone.
    pub(super) fn give(&self, task: T) -> bool {
        match &self.feed {
            Feed::Thread(feed) => feed.try_send(task).is_ok(),
            Feed::Task(feed) => feed.try_send(task).is_ok(),
            Feed::Ended => false,
        }
    }
}

/// The next task; none when there will be no more.
fn next<T>(tasks: &Receiver<T>, awake: &Awake) -> Option<T> {
    let begun = Instant::now();
    while awake.is_on() && begun.elapsed() < AWAKE_MAX {
        if let Ok(task) = tasks.try_recv() {
            return Some(task);
        }
        std::thread::yield_now();
    }
    tasks.recv().ok()
}

impl<T> Worker<T> {
    /// Ends it; a thread has finished its task then.
    pub(super) fn end(&mut self) {
        self.feed = Feed::Ended;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been seen as a missing answer already.
            let _ = thread.join();
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.end();
    }
}
