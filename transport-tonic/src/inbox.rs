//! What tasks have for the driver: one queue, one lock, one wake for a batch.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use bytes::Bytes;
use http::HeaderMap;
use hyper::client::conn::http2::SendRequest;
use tonic::Streaming;
use trefoil_core::codes;
use trefoil_core::id::{LinkId, MethodId};
use trefoil_core::time::Duration;
use trefoil_core::transport::Caller;

use crate::body::RequestBody;
use crate::pipe::Pipe;
use crate::stop::lock;

/// A call that a peer opened.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) method: MethodId,
    pub(crate) header: Bytes,
    pub(crate) timeout: Option<Duration>,
    pub(crate) caller: Caller<Bytes>,
    pub(crate) inbound: Streaming<Bytes>,
    pub(crate) pipe: Arc<Pipe>,
}

/// What became of a connection.
pub(crate) enum News {
    Up(SendRequest<RequestBody>),
    Refused,
    Lost,
    /// Somebody is there, and one side does not trust the other: for this reason.
    Untrusted(Bytes),
}

/// News of one attempt to hold a link up.
pub(crate) struct LinkNews {
    pub(crate) link: LinkId,
    pub(crate) attempt: u64,
    pub(crate) news: News,
}

#[derive(Default)]
struct Waiting {
    /// Slots of streams on which something happened.
    ready: VecDeque<u32>,
    offers: VecDeque<Offer>,
    links: VecDeque<LinkNews>,
    driver: Option<Waker>,
    closed: bool,
}

/// Shared by the transport, its service and its tasks.
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

    /// Offers a call to the driver; or says why not.
    pub(crate) fn offer(&self, offer: Offer) -> Result<(), tonic::Status> {
        let driver = {
            let mut waiting = lock(&self.waiting);
            if waiting.closed {
                return Err(tonic::Status::unavailable(codes::STOPPING));
            }
            if waiting.offers.len() >= self.offers_max {
                return Err(tonic::Status::resource_exhausted(codes::BUSY));
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

    pub(crate) fn link(&self, news: LinkNews) {
        self.push(|waiting| waiting.links.push_back(news));
    }

    /// Adds everything to the queues of the driver; keeps `driver` to be woken if they are empty then.
    pub(crate) fn collect(
        &self,
        ready: &mut VecDeque<u32>,
        offers: &mut VecDeque<Offer>,
        links: &mut VecDeque<LinkNews>,
        driver: &Waker,
    ) {
        let mut waiting = lock(&self.waiting);
        ready.append(&mut waiting.ready);
        offers.append(&mut waiting.offers);
        links.append(&mut waiting.links);
        if ready.is_empty() && offers.is_empty() && links.is_empty() {
            match &mut waiting.driver {
                Some(known) => known.clone_from(driver),
                unknown => *unknown = Some(driver.clone()),
            }
        }
    }

    /// Nobody collects any more.
    pub(crate) fn close(&self) {
        let offers = {
            let mut waiting = lock(&self.waiting);
            waiting.closed = true;
            waiting.links.clear();
            std::mem::take(&mut waiting.offers)
        };
        for offer in offers {
            offer
                .pipe
                .refuse(tonic::Status::unavailable(codes::STOPPING));
        }
    }
}

/// Answers to open a stream carry these.
pub(crate) type Answer = Result<HeaderMap, tonic::Status>;

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
