//! What tasks have for the driver: one queue, one lock, one wake for a batch.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use trefoil_core::codes;
use trefoil_core::status::Code;

use crate::stop::lock;

#[derive(Debug)]
struct Waiting<O, N> {
    /// Slots of streams on which something happened.
    ready: VecDeque<u32>,
    offers: VecDeque<O>,
    news: VecDeque<N>,
    driver: Option<Waker>,
    closed: bool,
}

/// Shared by a transport, its servers and its tasks: calls that were offered, and news of connections.
/// Nothing foreign is called under its lock, and no waker, since those who wake may hold locks of their
/// own.
#[derive(Debug)]
pub struct Inbox<O, N> {
    waiting: Mutex<Waiting<O, N>>,
    offers_max: usize,
}

impl<O, N> Inbox<O, N> {
    /// Takes up to so many calls that the driver has not seen.
    pub fn new(offers_max: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                ready: VecDeque::new(),
                offers: VecDeque::new(),
                news: VecDeque::new(),
                driver: None,
                closed: false,
            }),
            offers_max,
        }
    }

    /// Adds something and wakes the driver, unless it has been woken already since it last slept.
    fn push(&self, add: impl FnOnce(&mut Waiting<O, N>)) {
        let driver = {
            let mut waiting = lock(&self.waiting);
            add(&mut waiting);
            waiting.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Offers a call to the driver.
    ///
    /// # Errors
    /// The call, and what to answer to it.
    pub fn offer(&self, offer: O) -> Result<(), (Box<O>, Code, &'static str)> {
        let driver = {
            let mut waiting = lock(&self.waiting);
            if waiting.closed {
                return Err((Box::new(offer), Code::Unavailable, codes::STOPPING));
            }
            if waiting.offers.len() >= self.offers_max {
                return Err((Box::new(offer), Code::ResourceExhausted, codes::BUSY));
            }
            waiting.offers.push_back(offer);
            waiting.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(())
    }

    /// Wakes the driver: it has something of its own to look at.
    pub(crate) fn nudge(&self) {
        self.push(|_| {});
    }

    /// Tells the driver.
    pub fn news(&self, news: N) {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            drop(waiting);
            // Only now, since it may hold a connection.
            drop(news);
            return;
        }
        waiting.news.push_back(news);
        let driver = waiting.driver.take();
        drop(waiting);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Adds everything to the queues of the driver; keeps `driver` to be woken if they are empty then.
    pub(crate) fn collect(
        &self,
        ready: &mut VecDeque<u32>,
        offers: &mut VecDeque<O>,
        news: &mut VecDeque<N>,
        driver: &Waker,
    ) {
        let mut waiting = lock(&self.waiting);
        ready.append(&mut waiting.ready);
        offers.append(&mut waiting.offers);
        news.append(&mut waiting.news);
        if ready.is_empty() && offers.is_empty() && news.is_empty() {
            match &mut waiting.driver {
                Some(known) => known.clone_from(driver),
                unknown => *unknown = Some(driver.clone()),
            }
        }
    }

    /// Nobody collects any more. Returns what was to be collected.
    pub fn close(&self) -> (VecDeque<O>, VecDeque<N>) {
        let mut waiting = lock(&self.waiting);
        waiting.closed = true;
        (
            std::mem::take(&mut waiting.offers),
            std::mem::take(&mut waiting.news),
        )
    }
}

/// Wakes the driver for one slot of the stream table. Made once per slot and used by all streams that
/// ever live there: a wake that comes late costs one look.
#[derive(Debug)]
pub(crate) struct Signal<O, N> {
    slot: u32,
    /// Whether the slot stands in a queue already.
    queued: AtomicBool,
    inbox: Arc<Inbox<O, N>>,
}

impl<O, N> Signal<O, N> {
    pub(crate) fn new(slot: u32, inbox: Arc<Inbox<O, N>>) -> Arc<Self> {
        Arc::new(Self {
            slot,
            queued: AtomicBool::new(false),
            inbox,
        })
    }

    /// The driver is about to look: what happens from now on is to be queued again.
    pub(crate) fn taken(&self) {
        self.queued.store(false, Ordering::SeqCst);
    }

    /// Whether the driver should queue the slot itself: nobody else has.
    pub(crate) fn queue(&self) -> bool {
        !self.queued.swap(true, Ordering::SeqCst)
    }
}

impl<O: Send + 'static, N: Send + 'static> Wake for Signal<O, N> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queue() {
            self.inbox
                .push(|waiting| waiting.ready.push_back(self.slot));
        }
    }
}
