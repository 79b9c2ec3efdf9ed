use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Computations at once, in the order in which they were asked for.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    moved: Condvar,
}

struct Waiting {
    free: usize,
    next: u64,
    tickets: VecDeque<u64>,
}

/// A place at work.
pub(super) struct Place<'a>(&'a Queue);

impl Queue {
    pub(super) fn new(free: usize) -> Self {
        Self { waiting: Mutex::new(Waiting { free, next: 0, tickets: VecDeque::new() }), moved: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ticket(&self) -> u64 {
        let mut waiting = self.lock();
        let ticket = waiting.next;
        waiting.next += 1;
        waiting.tickets.push_back(ticket);
        ticket
    }

    /// Computations that come before `ticket`.
    pub(super) fn ahead(&self, ticket: u64) -> usize {
        self.lock().tickets.iter().position(|&other| other == ticket).unwrap_or(0)
    }

    pub(super) fn leave(&self, ticket: u64) {
        self.lock().tickets.retain(|&other| other != ticket);
        self.moved.notify_all();
    }

    /// Waits for a place; `None` if the work was stopped.
    pub(super) fn enter(&self, ticket: u64, stopped: &AtomicBool) -> Option<Place<'_>> {
        let mut waiting = self.lock();
        loop {
            if stopped.load(Ordering::Relaxed) {
                return None;
            }
            if waiting.free > 0 && waiting.tickets.front() == Some(&ticket) {
                waiting.free -= 1;
                waiting.tickets.pop_front();
                self.moved.notify_all();
                return Some(Place(self));
            }
            waiting = self.moved.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().free += 1;
        self.0.moved.notify_all();
    }
}
