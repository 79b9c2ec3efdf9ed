use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Error, Result};

/// Bytes that may be taken for clients, over all sessions. Clones share them.
///
/// Nothing is allocated through it: whoever is about to allocate takes a [`Lease`] first. It does not count
/// the networks themselves, nor what the process takes besides.
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    limit: usize,
    used: Mutex<usize>,
}

impl Memory {
    /// Room for `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { limit, used: Mutex::new(0) }))
    }

    /// Bytes allowed.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes taken.
    pub fn used(&self) -> usize {
        *self.0.lock()
    }

    /// Takes `bytes` until the lease is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`].
    pub fn lease(&self, what: &'static str, bytes: usize) -> Result<Lease> {
        let mut used = self.0.lock();
        let (limit, free) = (self.0.limit, self.0.limit - *used);
        if bytes > free {
            return Err(Error::Memory { what, needed: bytes, free, limit });
        }
        *used += bytes;
        Ok(Lease { shared: Arc::clone(&self.0), bytes })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} of {})", self.used(), self.limit())
    }
}

impl Shared {
    /// A number is whole whoever panicked.
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes taken from a [`Memory`].
pub struct Lease {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Lease {
    /// Gives back what is above `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let kept = self.bytes.min(bytes);
        *self.shared.lock() -= self.bytes - kept;
        self.bytes = kept;
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.bytes)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_never_pass_the_limit_and_come_back() {
        let memory = Memory::new(10);
        let mut first = memory.lease("first", 6).unwrap();
        let error = memory.lease("second", 5).unwrap_err();
        assert!(matches!(error, Error::Memory { what: "second", needed: 5, free: 4, limit: 10 }), "{error}");
        assert!(error.is_passing());
        first.shrink(7);
        assert_eq!(memory.used(), 6);
        first.shrink(5);
        let second = memory.clone().lease("second", 5).unwrap();
        assert!(memory.lease("third", usize::MAX).is_err());
        drop((first, second));
        assert_eq!(memory.used(), 0);
    }
}
