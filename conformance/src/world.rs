//! Two sides and what drives them: as the core's driver does, each is polled until it has no more,
//! then flushed, then left alone until it asks for more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use trefoil_core::header::Header;
use trefoil_core::id::{CallId, LinkId, MethodId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::status::Status;
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, Transport};

use crate::BIDI;
use crate::bell::Bell;
use crate::ledger::Ledger;
use crate::subject::{At, Subject, Turn};

/// The link that most cases use.
pub(crate) const LINK: LinkId = LinkId(3);
/// How long a case waits for what must come: only one that fails waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// How long nothing may come before it counts as silence.
const QUIET: Duration = Duration::from_millis(100);
/// Arrivals a side takes before the other has its turn.
const TURN_INPUTS: u32 = 256;

/// What arrived, with bytes of its own.
pub(crate) type Event = Arrival<Vec<u8>>;

/// What is kept of one side beside its transport.
struct Side {
    ledger: Ledger,
    waker: Waker,
    events: VecDeque<Event>,
    /// It is to be polled.
    due: bool,
    /// It is not polled, whatever comes; what it has written goes out.
    asleep: bool,
    gone: bool,
    /// Credit of new streams is held.
    holding: bool,
    /// Credit that was held, of the streams on which it is.
    held: BTreeMap<StreamId, u32>,
}

impl Side {
    fn new(at: At, bell: &Arc<Bell>) -> Self {
        Self {
            ledger: Ledger::new(at),
            waker: bell.waker(at),
            events: VecDeque::new(),
            due: true,
            asleep: false,
            gone: false,
            holding: false,
            held: BTreeMap::new(),
        }
    }

    fn begin(&mut self, link: Option<LinkId>) -> StreamId {
        let stream = self.ledger.begin(link);
        if self.holding {
            self.held.insert(stream, 0);
        }
        stream
    }

    /// Nothing more is to be heard of a stream.
    fn forget(&mut self, stream: StreamId) {
        self.ledger.over(stream);
        self.held.remove(&stream);
        self.events.retain(|event| stream_of(event) != Some(stream));
    }
}

/// Does `$what` with the transport of one side, which is to be polled afterwards.
macro_rules! with {
    ($world:expr, $at:expr, $transport:ident => $what:expr) => {{
        let at = $at;
        $world.sides[at as usize].due = true;
        match at {
            At::Caller => {
                let $transport = $world.subject.caller();
                $what
            }
            At::Callee => {
                let $transport = $world.subject.callee();
                $what
            }
        }
    }};
}

/// A subject under test.
pub(crate) struct World<S> {
    subject: S,
    bell: Arc<Bell>,
    sides: [Side; 2],
}

impl<S: Subject> World<S> {
    /// A world with default limits.
    pub(crate) fn new() -> Self {
        Self::with(&Limits::default(), &Limits::default())
    }

    pub(crate) fn with(caller: &Limits, callee: &Limits) -> Self {
        let bell = Arc::new(Bell::default());
        let sides = [At::Caller, At::Callee].map(|at| Side::new(at, &bell));
        Self {
            subject: S::new(caller, callee),
            bell,
            sides,
        }
    }

    pub(crate) const fn subject(&mut self) -> &mut S {
        &mut self.subject
    }

    fn side(&mut self, at: At) -> &mut Side {
        &mut self.sides[at as usize]
    }

    pub(crate) const fn ledger(&self, at: At) -> &Ledger {
        &self.sides[at as usize].ledger
    }

    // What a case does.

    pub(crate) fn dial_on(&mut self, link: LinkId, address: &str, class: Class) {
        self.side(At::Caller).ledger.dialled(link);
        with!(self, At::Caller, transport => transport.dial(link, address, class));
    }

    pub(crate) fn hang_up(&mut self, link: LinkId) {
        let side = self.side(At::Caller);
        for stream in side.ledger.hung_up(link) {
            side.forget(stream);
        }
        let is_news =
            |event: &Event| matches!(event, Arrival::Link { link: of, .. } if *of == link);
        side.events.retain(|event| !is_news(event));
        with!(self, At::Caller, transport => transport.hang_up(link));
    }

    pub(crate) fn open(&mut self) -> StreamId {
        self.open_with(LINK, BIDI, &[], None)
    }

    pub(crate) fn open_with(
        &mut self,
        link: LinkId,
        method: MethodId,
        header: &[u8],
        timeout: Option<Duration>,
    ) -> StreamId {
        let stream = self.side(At::Caller).begin(Some(link));
        with!(self, At::Caller, transport => {
            transport.open(stream, link, method, Header(header), timeout);
        });
        stream
    }

    pub(crate) fn bind(&mut self, call: CallId, header: &[u8]) -> StreamId {
        let side = self.side(At::Callee);
        side.ledger.decided(call);
        let stream = side.begin(None);
        with!(self, At::Callee, transport => transport.bind(call, stream, Header(header)));
        stream
    }

    /// Gives a call that was decided before another stream, which nobody is to hear of.
    pub(crate) fn bind_late(&mut self, call: CallId) {
        let side = self.side(At::Callee);
        let stream = side.begin(None);
        side.forget(stream);
        with!(self, At::Callee, transport => transport.bind(call, stream, Header::EMPTY));
    }

    pub(crate) fn refuse(&mut self, call: CallId, status: Status<'_>) {
        self.side(At::Callee).ledger.decided(call);
        with!(self, At::Callee, transport => transport.refuse(call, status));
    }

    pub(crate) fn try_frame(&mut self, at: At, stream: StreamId, frame: &[u8]) -> bool {
        let taken = with!(self, at, transport => match transport.frame(stream, frame.len()) {
            Ok(room) => {
                assert_eq!(room.len(), frame.len(), "{at:?}: room of another length");
                room.copy_from_slice(frame);
                true
            }
            Err(_) => false,
        });
        if !taken {
            self.side(at).ledger.refused(stream);
        }
        taken
    }

    /// Sends a frame for which there must be room.
    pub(crate) fn frame(&mut self, at: At, stream: StreamId, frame: &[u8]) {
        let taken = self.try_frame(at, stream, frame);
        assert!(
            taken,
            "{at:?}: no room for {} bytes on {stream}",
            frame.len()
        );
    }

    /// Sends a frame as soon as there is room.
    pub(crate) fn send(&mut self, at: At, stream: StreamId, frame: &[u8]) {
        if self.try_frame(at, stream, frame) {
            return;
        }
        self.wait("room", |world| {
            let refused = world.ledger(at).is_refused(stream);
            (!refused).then_some(())
        });
        self.frame(at, stream, frame);
    }

    pub(crate) fn credit(&mut self, at: At, stream: StreamId, bytes: u32) {
        if let Some(held) = self.side(at).held.get_mut(&stream) {
            *held = held.saturating_sub(bytes);
        }
        with!(self, at, transport => transport.credit(stream, bytes));
    }

    pub(crate) fn half_close(&mut self, at: At, stream: StreamId) {
        self.side(at).ledger.half_closed(stream);
        with!(self, at, transport => transport.half_close(stream));
    }

    pub(crate) fn end(&mut self, at: At, stream: StreamId, status: Status<'_>) {
        self.side(at).forget(stream);
        with!(self, at, transport => transport.end(stream, status));
    }

    /// Keeps the credit of one stream back from now on.
    pub(crate) fn hold(&mut self, at: At, stream: StreamId) {
        if self.ledger(at).is_live(stream) {
            self.side(at).held.entry(stream).or_default();
        }
    }

    /// Keeps the credit of every stream back that begins from now on.
    pub(crate) fn hold_all(&mut self, at: At) {
        self.side(at).holding = true;
    }

    /// Credits a stream what was held, and what comes from now on.
    pub(crate) fn release(&mut self, at: At, stream: StreamId) {
        if let Some(bytes) = self.side(at).held.remove(&stream)
            && bytes > 0
        {
            self.credit(at, stream, bytes);
        }
    }

    pub(crate) fn release_all(&mut self, at: At) {
        self.side(at).holding = false;
        let streams: Vec<_> = self.side(at).held.keys().copied().collect();
        for stream in streams {
            self.release(at, stream);
        }
    }

    /// Has a side not polled, or polled again.
    pub(crate) fn sleep(&mut self, at: At, asleep: bool) {
        self.side(at).asleep = asleep;
    }

    /// A side goes away.
    pub(crate) fn leave(&mut self, at: At) {
        self.side(at).gone = true;
        self.subject.leave(at);
    }

    // How the world moves.

    fn poll(&mut self, at: At) -> Option<Event> {
        let cx = &mut Context::from_waker(&self.sides[at as usize].waker);
        match at {
            At::Caller => take(self.subject.caller(), cx),
            At::Callee => take(self.subject.callee(), cx),
        }
    }

    /// One arrival of a side, whether or not it has asked to be polled. It is looked at next.
    pub(crate) fn sip(&mut self, at: At) -> bool {
        let Some(event) = self.poll(at) else {
            return false;
        };
        let side = self.side(at);
        side.ledger.note(&event);
        let mut credit = None;
        match &event {
            Arrival::Frame { stream, frame } => match side.held.get_mut(stream) {
                Some(held) => *held += frame.len() as u32,
                None => credit = Some((*stream, frame.len() as u32)),
            },
            Arrival::Ended { stream, .. } => drop(side.held.remove(stream)),
            Arrival::Link { .. }
            | Arrival::Accepted { .. }
            | Arrival::Header { .. }
            | Arrival::HalfClosed { .. }
            | Arrival::Writable { .. } => {}
        }
        side.events.push_back(event);
        if let Some((stream, bytes)) = credit {
            with!(self, at, transport => transport.credit(stream, bytes));
        }
        true
    }

    /// One turn of a side's driver.
    fn drive(&mut self, at: At) {
        let rung = self.bell.take(at);
        let side = self.side(at);
        side.due |= rung;
        if side.gone || !side.due {
            return;
        }
        let asleep = side.asleep;
        let mut budget = if asleep { 0 } else { TURN_INPUTS };
        while budget > 0 && self.sip(at) {
            budget -= 1;
        }
        with!(self, at, transport => transport.flush());
        // After the flush it must ask by itself.
        self.side(at).due = budget == 0;
    }

    fn is_due(&mut self) -> bool {
        [At::Caller, At::Callee].into_iter().any(|at| {
            let rung = self.bell.take(at);
            let side = self.side(at);
            side.due |= rung;
            side.due && !side.asleep && !side.gone
        })
    }

    /// Lets the world between the sides move, for `limit` at most. Returns whether anything can still
    /// happen.
    fn turn(&mut self, limit: Duration) -> Turn {
        let limit = if self.is_due() { Duration::ZERO } else { limit };
        match self.subject.turn(&self.bell, limit) {
            Turn::Still if !self.is_due() => Turn::Still,
            Turn::Still | Turn::Moving => Turn::Moving,
        }
    }

    /// Drives both sides once, and lets the world move.
    pub(crate) fn step(&mut self, limit: Duration) {
        self.drive(At::Caller);
        self.drive(At::Callee);
        self.turn(limit);
    }

    /// Moves on until `what` gives something, or for `limit` at most.
    pub(crate) fn wait_within<T>(
        &mut self,
        limit: Duration,
        mut what: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + limit;
        loop {
            self.drive(At::Caller);
            self.drive(At::Callee);
            if let Some(what) = what(self) {
                return Some(what);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.turn(left) == Turn::Still {
                return what(self);
            }
        }
    }

    /// Moves on until `what` gives something, which it must.
    pub(crate) fn wait<T>(&mut self, name: &str, what: impl FnMut(&mut Self) -> Option<T>) -> T {
        let Some(what) = self.wait_within(PATIENCE, what) else {
            let [caller, callee] = &self.sides;
            panic!(
                "{name} never came; the caller has heard {:?}, the callee {:?}",
                shown(&caller.events),
                shown(&callee.events)
            );
        };
        what
    }

    /// What arrived at a side first and was not looked at yet.
    pub(crate) fn pop(&mut self, at: At) -> Option<Event> {
        self.side(at).events.pop_front()
    }

    /// What arrived on a stream first and was not looked at yet, other than what `skip` says.
    pub(crate) fn pop_of(
        &mut self,
        at: At,
        stream: StreamId,
        skip: impl Fn(&Event) -> bool,
    ) -> Option<Event> {
        let events = &mut self.side(at).events;
        while let Some(found) = events
            .iter()
            .position(|event| stream_of(event) == Some(stream))
        {
            let event = events.remove(found)?;
            if !skip(&event) {
                return Some(event);
            }
        }
        None
    }

    /// The first event at a side that `is` says it is.
    pub(crate) fn pop_if(&mut self, at: At, is: impl Fn(&Event) -> bool) -> Option<Event> {
        let events = &mut self.side(at).events;
        let found = events.iter().position(is)?;
        events.remove(found)
    }

    /// How many events at a side have not been looked at.
    pub(crate) fn unseen(&self, at: At) -> usize {
        self.sides[at as usize].events.len()
    }

    /// Moves on until nothing has happened for a while.
    pub(crate) fn settle(&mut self) {
        loop {
            let before = self.sides.each_ref().map(|side| side.events.len());
            let moved = self.wait_within(QUIET, |world| {
                let now = world.sides.each_ref().map(|side| side.events.len());
                (now != before).then_some(())
            });
            if moved.is_none() {
                return;
            }
        }
    }

    /// Nothing more comes that a case would want to know of.
    pub(crate) fn silence(&mut self) {
        self.settle();
        for at in [At::Caller, At::Callee] {
            let of_no_matter =
                |event: &Event| matches!(event, Arrival::Header { .. } | Arrival::Writable { .. });
            let events = &mut self.side(at).events;
            events.retain(|event| !of_no_matter(event));
            assert!(
                events.is_empty(),
                "{at:?}: {:?} came, and nothing should",
                shown(events)
            );
        }
    }

    /// The end of a case: nothing more comes, streams of lost links have ended, and the sides hold what
    /// they should.
    pub(crate) fn rest(mut self) {
        self.silence();
        for at in [At::Caller, At::Callee] {
            if self.side(at).gone {
                continue;
            }
            if let Some(stream) = self.ledger(at).stranded() {
                panic!("{at:?}: the link of {stream} is down, and it has not ended");
            }
            let ledger = self.ledger(at);
            let (streams, calls) = (ledger.live(), ledger.undecided());
            let slots = ledger.slots();
            if let Some(sizes) = self.subject.sizes(at) {
                assert_eq!(
                    (sizes.streams, sizes.calls),
                    (streams, calls),
                    "{at:?}: streams and calls that it holds, and that there are"
                );
                assert!(
                    sizes.slots <= slots,
                    "{at:?}: {} slots for {slots}",
                    sizes.slots
                );
            }
        }
    }
}

/// The next arrival of a transport, copied; its bytes go back.
fn take<T: Transport>(transport: &mut T, cx: &mut Context<'_>) -> Option<Event> {
    let Poll::Ready(arrival) = transport.poll(cx) else {
        return None;
    };
    let event = own(&arrival);
    arrival.spend(|spent| transport.recycle(spent));
    Some(event)
}

fn own<B: AsRef<[u8]>>(arrival: &Arrival<B>) -> Event {
    let bytes = |lent: &B| lent.as_ref().to_vec();
    match arrival {
        Arrival::Link { link, event, why } => Arrival::Link {
            link: *link,
            event: *event,
            why: why.as_ref().map(bytes),
        },
        Arrival::Accepted {
            call,
            method,
            header,
            timeout,
            caller,
        } => Arrival::Accepted {
            call: *call,
            method: *method,
            header: bytes(header),
            timeout: *timeout,
            caller: trefoil_core::transport::Caller {
                loopback: caller.loopback,
                names: caller.names.as_ref().map(bytes),
            },
        },
        Arrival::Header { stream, header } => Arrival::Header {
            stream: *stream,
            header: bytes(header),
        },
        Arrival::Frame { stream, frame } => Arrival::Frame {
            stream: *stream,
            frame: bytes(frame),
        },
        Arrival::HalfClosed { stream } => Arrival::HalfClosed { stream: *stream },
        Arrival::Writable { stream } => Arrival::Writable { stream: *stream },
        Arrival::Ended {
            stream,
            code,
            cause,
            message,
            details,
        } => Arrival::Ended {
            stream: *stream,
            code: *code,
            cause: *cause,
            message: bytes(message),
            details: bytes(details),
        },
    }
}

pub(crate) const fn stream_of(event: &Event) -> Option<StreamId> {
    match event {
        Arrival::Link { .. } | Arrival::Accepted { .. } => None,
        Arrival::Header { stream, .. }
        | Arrival::Frame { stream, .. }
        | Arrival::HalfClosed { stream }
        | Arrival::Writable { stream }
        | Arrival::Ended { stream, .. } => Some(*stream),
    }
}

/// A few events, without the bytes of long frames.
fn shown(events: &VecDeque<Event>) -> Vec<String> {
    let show = |event: &Event| {
        let mut text = format!("{event:?}");
        let long = text.char_indices().nth(200);
        if let Some((at, _)) = long {
            text.truncate(at);
        }
        text
    };
    events.iter().take(5).map(show).collect()
}
