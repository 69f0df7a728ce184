//! Whose turn it is: what the driver is told next, and which streams are looked at and flushed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use trefoil_core::id::{LinkId, StreamId};
use trefoil_core::transport::{Arrival, LinkEvent};

use crate::inbox::Inbox;
use crate::table::{Side, Slot, Stream, Table};

/// Arrivals taken from one stream before the next has its turn.
const BURST: u32 = 32;

/// Looks in one poll that may find nothing. A runtime that meters its tasks, as tokio does, makes
/// everything pending and wakes it at once when the share of a task is used up: who does not return
/// then looks for ever.
const IDLE_LOOKS: u32 = 64;

/// What a transport is to do next.
#[derive(Debug)]
pub enum Next<O, N> {
    /// To tell the driver this.
    Tell(Arrival<Bytes>),
    /// To look at a slot, and to say if nothing is there: see [`Rounds::nothing`].
    Look(u32),
    /// To take news of a connection.
    News(N),
    /// To offer a call to the driver.
    Offer(O),
    /// Nothing. The task will be woken.
    Rest,
}

/// The driver's side of an [`Inbox`], and the streams.
#[derive(Debug)]
pub struct Rounds<S, O, N> {
    /// The streams.
    pub table: Table<S, O, N>,
    inbox: Arc<Inbox<O, N>>,
    /// Slots to look at in this round, and in the next.
    round: VecDeque<u32>,
    next_round: VecDeque<u32>,
    /// The slot that has its turn, and arrivals it may still deliver in it.
    turn: Option<u32>,
    burst: u32,
    /// Looks of this poll that found nothing.
    idle: u32,
    offers: VecDeque<O>,
    news: VecDeque<N>,
    /// What is to be told of links, and of streams that waited for them.
    arrived: VecDeque<(LinkId, Arrival<Bytes>)>,
    /// Slots to be flushed.
    dirty: Vec<u32>,
    /// Takes frames of streams that are over.
    void: Vec<u8>,
    /// Whether the last poll found nothing: then the driver may be asleep.
    asleep: bool,
}

impl<S: Stream, O: Send + 'static, N: Send + 'static> Rounds<S, O, N> {
    /// The driver's side of this inbox.
    #[must_use]
    pub fn new(inbox: Arc<Inbox<O, N>>) -> Self {
        Self {
            table: Table::new(Arc::clone(&inbox)),
            inbox,
            round: VecDeque::new(),
            next_round: VecDeque::new(),
            turn: None,
            burst: 0,
            idle: 0,
            offers: VecDeque::new(),
            news: VecDeque::new(),
            arrived: VecDeque::new(),
            dirty: Vec::new(),
            void: Vec::new(),
            asleep: false,
        }
    }

    /// A poll begins.
    pub const fn awake(&mut self) {
        self.asleep = false;
        self.idle = 0;
    }

    /// What is to be done next in this poll.
    pub fn next(&mut self, cx: &Context<'_>) -> Next<O, N> {
        loop {
            if let Some((_, arrival)) = self.arrived.pop_front() {
                return Next::Tell(arrival);
            }
            if self.idle == IDLE_LOOKS {
                cx.waker().wake_by_ref();
                return Next::Rest;
            }
            if let Some(number) = self.turn {
                if self.burst > 0 {
                    self.burst -= 1;
                    return Next::Look(number);
                }
                // There may be more; others come first.
                self.look_later(number);
                self.nothing();
            }
            if let Some(number) = self.round.pop_front() {
                self.begin_turn(number);
                continue;
            }
            if let Some(news) = self.news.pop_front() {
                return Next::News(news);
            }
            if let Some(offer) = self.offers.pop_front() {
                return Next::Offer(offer);
            }
            if !self.collect(cx.waker()) {
                self.asleep = true;
                return Next::Rest;
            }
        }
    }

    /// Nothing was found in the slot that has its turn, and its stream has kept the waker: the turn is
    /// over.
    pub const fn nothing(&mut self) {
        self.turn = None;
        self.idle += 1;
    }

    /// Gives a slot in which something may have happened its turn: what happens there from now on
    /// queues it again.
    fn begin_turn(&mut self, number: u32) {
        if let Some(slot) = self.table.slot(number) {
            slot.signal.taken();
            self.turn = Some(number);
            self.burst = BURST;
        }
    }

    /// Begins a round with all that there is. Returns whether there is anything.
    fn collect(&mut self, driver: &Waker) -> bool {
        self.round.append(&mut self.next_round);
        self.inbox
            .collect(&mut self.round, &mut self.offers, &mut self.news, driver);
        !(self.round.is_empty() && self.offers.is_empty() && self.news.is_empty())
    }

    /// Queues an arrival, wherever the driver is.
    pub fn tell(&mut self, link: LinkId, arrival: Arrival<Bytes>) {
        self.arrived.push_back((link, arrival));
        self.stir();
    }

    /// Queues news of a link.
    pub fn tell_link(&mut self, link: LinkId, event: LinkEvent, why: Option<Bytes>) {
        self.tell(link, Arrival::Link { link, event, why });
    }

    /// Queues a slot to be looked at, wherever the driver is.
    pub fn look_later(&mut self, number: u32) {
        if self
            .table
            .slot(number)
            .is_some_and(|slot| slot.signal.queue())
        {
            self.next_round.push_back(number);
            self.stir();
        }
    }

    /// There is something to do; a driver that sleeps does not know.
    fn stir(&mut self) {
        if std::mem::take(&mut self.asleep) {
            self.inbox.nudge();
        }
    }

    /// Forgets the end of a stream that has not been told: it was ended from here before.
    pub fn forget_end(&mut self, stream: StreamId) {
        self.arrived
            .retain(|(_, arrival)| !is_end_of(arrival, stream));
    }

    /// Room for a frame of a stream that is over, of which the driver has not heard yet: to be told that
    /// there is no room would be to be told that the frame is too large. Linear in what is queued,
    /// which is nothing but while links come and go.
    pub fn void(&mut self, stream: StreamId, len: usize) -> Option<&mut [u8]> {
        let mut arrived = self.arrived.iter();
        if !arrived.any(|(_, arrival)| is_end_of(arrival, stream)) {
            return None;
        }
        self.void.clear();
        self.void.resize(len, 0);
        Some(&mut self.void)
    }

    /// The slot of a stream that is not over, marked to be flushed.
    pub fn touch(&mut self, id: StreamId) -> Option<&mut Slot<S, O, N>> {
        let slot = self.table.live(id)?;
        if !std::mem::replace(&mut slot.dirty, true) {
            self.dirty.push(id.slot());
        }
        Some(slot)
    }

    /// The slots that are marked. The list comes back by [`flushed`](Self::flushed); nothing is marked
    /// meanwhile.
    pub fn marked(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.dirty)
    }

    /// Gives the list of marks back, so that it keeps its memory.
    pub fn flushed(&mut self, mut marked: Vec<u32>) {
        marked.clear();
        self.dirty = marked;
    }

    /// Abandons the streams of a link, and tells nothing more of it or of them.
    pub fn hang_up(&mut self, link: LinkId) {
        self.arrived.retain(|(of, _)| *of != link);
        for slot in self.table.iter_mut() {
            let of_link = |stream: &mut Box<S>| stream.side() == Side::Opened(link);
            if let Some(stream) = slot.stream.take_if(of_link) {
                stream.abandon();
            }
        }
    }

    /// Nobody polls any more. Returns the calls that nobody has been told of.
    pub fn close(&mut self) -> VecDeque<O> {
        let (mut offers, news) = self.inbox.close();
        // They may hold connections.
        drop(news);
        offers.append(&mut self.offers);
        offers
    }
}

fn is_end_of(arrival: &Arrival<Bytes>, stream: StreamId) -> bool {
    matches!(arrival, Arrival::Ended { stream: of, .. } if *of == stream)
}
