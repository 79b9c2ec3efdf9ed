use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::DataError;

/// Makes items by number on worker threads and hands them out in order.
///
/// At most `ahead` items beyond those handed out are started, which bounds the memory; the order
/// of the items does not depend on the number of threads.
#[derive(Debug)]
pub(crate) struct Prefetch<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    end: usize,
    ahead: usize,
}

#[derive(Debug)]
struct State<T> {
    /// The next item to start.
    next: usize,
    /// The next item to hand out.
    wanted: usize,
    /// `Err` carries the payload of a worker's panic to the thread that iterates.
    ready: BTreeMap<usize, thread::Result<T>>,
    stopped: bool,
}

impl<T: Send + 'static> Prefetch<T> {
    pub(crate) fn start(
        numbers: Range<usize>,
        workers: usize,
        ahead: usize,
        make: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Result<Self, DataError> {
        let state = State { next: numbers.start, wanted: numbers.start, ready: BTreeMap::new(), stopped: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), end: numbers.end, ahead });
        let mut prefetch = Self { shared, workers: Vec::new() };
        let make = Arc::new(make);
        for _ in 0..workers.clamp(1, numbers.len().max(1)) {
            let (shared, make) = (Arc::clone(&prefetch.shared), Arc::clone(&make));
            let worker = thread::Builder::new()
                .name("cleave-data".to_owned())
                .spawn(move || shared.work(&*make))
                .map_err(|source| DataError::Thread { source })?;
            prefetch.workers.push(worker);
        }
        Ok(prefetch)
    }
}

impl<T> Prefetch<T> {
    /// The next item; a panic of a worker goes on in the calling thread.
    pub(crate) fn next(&mut self) -> Option<T> {
        let mut state = self.shared.lock();
        if state.wanted >= self.shared.end || state.stopped {
            return None;
        }
        let wanted = state.wanted;
        let item = loop {
            match state.ready.remove(&wanted) {
                Some(item) => break item,
                None => state = self.shared.wait(state),
            }
        };
        state.wanted += 1;
        drop(state);
        self.shared.changed.notify_all();
        match item {
            Ok(item) => Some(item),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Starts no further items; [`Prefetch::next`] gives `None` from now on.
    pub(crate) fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.stop();
        for worker in self.workers.drain(..) {
            // A panic has been handed to the iterating thread already.
            let _ = worker.join();
        }
    }
}

impl<T> Shared<T> {
    fn work(&self, make: &dyn Fn(usize) -> T) {
        while let Some(number) = self.claim() {
            let item = catch_unwind(AssertUnwindSafe(|| make(number)));
            self.lock().ready.insert(number, item);
            self.changed.notify_all();
        }
    }

    /// The number of the next item to make, once there is room for it.
    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.next >= self.end {
                return None;
            }
            if state.next < state.wanted + self.ahead {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.wait(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}
