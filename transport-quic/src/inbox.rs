//! What tasks have for the driver: one queue, one lock, one wake for a batch.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use bytes::Bytes;
use quinn::SendStream;
use trefoil_core::codes;
use trefoil_core::id::MethodId;
use trefoil_core::status::Code;
use trefoil_core::stream::Class;
use trefoil_core::time::Duration;
use trefoil_core::transport::Caller;

use crate::frame;
use crate::linger::Linger;
use crate::source::Source;
use crate::stop::lock;
use crate::wire::{Counted, Wire};

/// An accepted stream whose request has been read.
pub(crate) struct Incoming {
    pub(crate) send: SendStream,
    pub(crate) source: Source,
    pub(crate) counted: Counted,
}

/// A call that a peer opened.
pub(crate) struct Offer {
    pub(crate) method: MethodId,
    pub(crate) class: Class,
    pub(crate) header: Bytes,
    pub(crate) timeout: Option<Duration>,
    pub(crate) caller: Caller<Bytes>,
    pub(crate) incoming: Incoming,
}

impl Offer {
    /// Ends the call with a status alone. What cannot be sent at once is to be sent by a task.
    pub(crate) fn refuse(self, code: Code, message: &str, details: &[u8]) -> Option<Linger> {
        let Incoming {
            send,
            mut source,
            counted,
        } = self.incoming;
        source.stop(frame::reason::NO_ERROR);
        let status = frame::Status::frame(code, message, details);
        Linger::status(send, status, self.class, counted)
    }
}

/// What became of a connection.
pub(crate) enum News {
    Up(Arc<Wire>),
    Lost,
    /// In words.
    Untrusted(Bytes),
}

/// Number of an attempt to reach a peer, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attempt(pub(crate) u64);

#[derive(Default)]
struct Waiting {
    /// Slots of streams on which something happened.
    ready: VecDeque<u32>,
    offers: VecDeque<Offer>,
    news: VecDeque<(Attempt, News)>,
    driver: Option<Waker>,
    closed: bool,
}

/// Shared by the transport, its servers and its tasks. Nothing of quinn is called under its lock:
/// quinn wakes streams under locks of its own.
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    offers_max: usize,
}

impl Inbox {
    pub(crate) fn new(offers_max: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting::default()),
            offers_max,
        }
    }

    /// Adds something and wakes the driver, unless it has been woken already since it last slept.
    fn push(&self, add: impl FnOnce(&mut Waiting)) {
        let driver = {
            let mut waiting = lock(&self.waiting);
            add(&mut waiting);
            waiting.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Offers a call to the driver; or gives it back and says why.
    pub(crate) fn offer(&self, offer: Offer) -> Result<(), (Box<Offer>, Code, &'static str)> {
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

    pub(crate) fn news(&self, attempt: Attempt, news: News) {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            drop(waiting);
            // Only now, since it may hold a connection.
            drop(news);
            return;
        }
        waiting.news.push_back((attempt, news));
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
        offers: &mut VecDeque<Offer>,
        news: &mut VecDeque<(Attempt, News)>,
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
    pub(crate) fn close(&self) -> (VecDeque<Offer>, VecDeque<(Attempt, News)>) {
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
pub(crate) struct Signal {
    slot: u32,
    /// Whether the slot stands in a queue already.
    queued: AtomicBool,
    inbox: Arc<Inbox>,
}

impl Signal {
    pub(crate) fn new(slot: u32, inbox: Arc<Inbox>) -> Arc<Self> {
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

impl Wake for Signal {
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
