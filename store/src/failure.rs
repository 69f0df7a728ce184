//! Why a store has stopped: said once, for the log and the tables alike.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::session::lock;

/// Empty while the store works.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    why: Mutex<Option<String>>,
    is_set: AtomicBool,
}

impl Failure {
    /// Says why; later reasons follow from the first, and are not kept.
    pub(crate) fn set(&self, why: String) {
        lock(&self.why).get_or_insert(why);
        self.is_set.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self) -> Option<String> {
        lock(&self.why).clone()
    }
}
