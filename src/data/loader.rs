//! Worker threads that prepare images ahead of their use and hand them over in order, whatever the number of workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
    done: BTreeMap<usize, T>,
    stopped: bool,
}

impl<T: Send + 'static> Loader<T> {
    /// Starts `workers` threads on the jobs `0..jobs`; at most `ahead` results wait or are under way.
    pub fn start(jobs: usize, workers: usize, ahead: usize, work: impl Fn(usize) -> T + Send + Sync + 'static) -> Self {
        let state = State { next_job: 0, next_result: 0, done: BTreeMap::new(), stopped: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            ahead: ahead.max(workers).max(1),
            jobs,
        });
        let work = Arc::new(work);
        let workers = (0..workers.max(1))
            .map(|_| {
                let (shared, work) = (shared.clone(), work.clone());
                thread::spawn(move || shared.serve(work.as_ref()))
            })
            .collect();
        Loader { shared, workers, waited: Duration::ZERO }
    }

    /// For how long the results' taker has had to wait so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Whoever panicked held the lock only between whole changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, work: &impl Fn(usize) -> T) {
        let _stop_if_work_panics = StopOnPanic(self);
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
            let result = work(job);
            self.lock().done.insert(job, result);
            self.changed.notify_all();
        }
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}

/// Ends the loader, instead of leaving its taker waiting for ever, when a worker's job panics.
struct StopOnPanic<'a, T>(&'a Shared<T>);

impl<T> Drop for StopOnPanic<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

impl<T> Iterator for Loader<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        loop {
            let wanted = state.next_result;
            if let Some(result) = state.done.remove(&wanted) {
                state.next_result += 1;
                drop(state);
                self.shared.changed.notify_all();
                self.waited += begun.elapsed();
                return Some(result);
            }
            if state.stopped || wanted == self.shared.jobs {
                return None;
            }
            state = self.shared.wait(state);
        }
    }
}

impl<T> Drop for Loader<T> {
    fn drop(&mut self) {
        self.shared.stop();
        for worker in self.workers.drain(..) {
            // A panic has been printed already; here it only means that the worker is gone.
            let _ = worker.join();
        }
    }
}
