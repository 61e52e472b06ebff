//! The data loader: worker threads that prepare images ahead of their use and deliver them in order, regardless of the
//! number of workers.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// An iterator over the results of numbered jobs, in the order of their numbers. Dropping it stops the workers.
///
/// Yields an error in place of a result whose job panicked; the others are unaffected.
pub struct Loader<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
    waited: Duration,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Signalled whenever the state changes: a result is ready, there is room for another, or the loader stops.
    changed: Condvar,
    /// How many results may be pending or in progress, which bounds memory.
    ahead: usize,
    /// The total number of jobs.
    jobs: usize,
}

struct State<T> {
    next_job: usize,
    next_result: usize,
    /// Finished results that have not been taken yet, by job; `Err` if the job panicked.
    done: BTreeMap<usize, thread::Result<T>>,
    stopped: bool,
}

impl<T: Send + 'static> Loader<T> {
    /// Starts `workers` threads on the jobs `0..jobs`, each of which calls `work` with its number. At most `ahead`
    /// results (but at least one per worker) are pending or in progress at any time.
    ///
    /// # Errors
    /// Returns an error if the system cannot start that many threads.
    pub fn start(
        jobs: usize,
        workers: usize,
        ahead: usize,
        work: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Result<Self> {
        let workers = workers.clamp(1, jobs.max(1));
        let state = State { next_job: 0, next_result: 0, done: BTreeMap::new(), stopped: false };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), ahead: ahead.max(workers), jobs };
        let mut loader = Loader { shared: Arc::new(shared), workers: Vec::new(), waited: Duration::ZERO };
        let work = Arc::new(work);
        for _ in 0..workers {
            let (shared, work) = (loader.shared.clone(), work.clone());
            let worker = thread::Builder::new().spawn(move || shared.serve(work.as_ref()));
            let worker = worker.with_context(|| format!("cannot start {workers} worker threads. Use fewer workers"))?;
            loader.workers.push(worker);
        }
        Ok(loader)
    }
}

impl<T> Loader<T> {
    /// How long `next` has waited for results so far, in total.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it holds the lock, so a poisoned mutex cannot occur.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, work: &impl Fn(usize) -> T) {
        loop {
            let mut state = self.lock();
            while !state.stopped && state.next_job < self.jobs && state.next_job >= state.next_result + self.ahead {
                state = self.wait(state);
            }
            if state.stopped || state.next_job == self.jobs {
                return;
            }
            let job = state.next_job;
            state.next_job += 1;
            drop(state);
            // A panic is delivered as a result; otherwise `next` would wait for it forever.
            let result = catch_unwind(AssertUnwindSafe(|| work(job)));
            self.lock().done.insert(job, result);
            self.changed.notify_all();
        }
    }
}

impl<T> Iterator for Loader<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        let wanted = state.next_result;
        if wanted == self.shared.jobs {
            return None;
        }
        let result = loop {
            if let Some(result) = state.done.remove(&wanted) {
                break result;
            }
            state = self.shared.wait(state);
        };
        state.next_result += 1;
        drop(state);
        self.shared.changed.notify_all();
        self.waited += begun.elapsed();
        Some(result.map_err(|_| anyhow!("a worker thread panicked on image {} of its list; this is a bug", wanted + 1)))
    }
}

impl<T> Drop for Loader<T> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}
