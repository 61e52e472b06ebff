//! Worker threads that prepare images ahead of their use and hand them over in order, whatever the number of workers.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// Results of one job a number, in the order of the numbers. Dropping it stops the workers.
pub struct Loader<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
    waited: Duration,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Signalled whenever the state changes: a result is there, a place is free, or all is over.
    changed: Condvar,
    /// How many results may wait or be under way; memory is bounded by it.
    ahead: usize,
    jobs: usize,
}

struct State<T> {
    next_job: usize,
    next_result: usize,
    done: BTreeMap<usize, thread::Result<T>>,
    stopped: bool,
}

impl<T: Send + 'static> Loader<T> {
    /// Starts `workers` threads on the jobs `0..jobs`; at most `ahead` results wait or are under way.
    ///
    /// # Errors
    /// Where the system grants no more threads.
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
            loader
                .workers
                .push(worker.with_context(|| format!("cannot start {workers} threads; try fewer: --workers"))?);
        }
        Ok(loader)
    }
}

impl<T> Loader<T> {
    /// For how long the results' taker has had to wait so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it holds the lock.
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
            // A panic travels to the results' taker, who would wait for ever otherwise.
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
        Some(result.map_err(|_| anyhow!("a worker thread failed on image {} of its list; this is a bug", wanted + 1)))
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
