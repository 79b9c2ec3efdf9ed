use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::Pixels;

/// Decoded images up to a number of bytes. What is in stays in: every image is used once an epoch,
/// so that replacing one by another would gain nothing.
#[derive(Debug)]
pub(crate) struct PixelCache {
    slots: Vec<OnceLock<Arc<Pixels>>>,
    used: AtomicUsize,
    limit: usize,
}

impl PixelCache {
    pub(crate) fn new(len: usize, limit: usize) -> Self {
        let slots = if limit == 0 { 0 } else { len };
        Self { slots: (0..slots).map(|_| OnceLock::new()).collect(), used: AtomicUsize::new(0), limit }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Arc<Pixels>> {
        self.slots.get(index)?.get().cloned()
    }

    pub(crate) fn put(&self, index: usize, image: &Arc<Pixels>) {
        let Some(slot) = self.slots.get(index) else {
            return;
        };
        let bytes = image.data.len();
        let grown = |used: usize| used.checked_add(bytes).filter(|&all| all <= self.limit);
        let order = Ordering::Relaxed;
        if self.used.fetch_update(order, order, grown).is_err() {
            return;
        }
        if slot.set(Arc::clone(image)).is_err() {
            self.used.fetch_sub(bytes, order);
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}
