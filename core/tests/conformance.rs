//! The transports in memory, put to what every transport must do.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/custom_transport/transport.rs"]
pub mod transport;

use std::time::Duration;

use trefoil_conformance::{Ask, At, Bell, Subject, Turn};
use trefoil_core::limits::Limits;
use trefoil_core::memory::{Carried, Memory, Switch};

use transport::Channels;

struct InMemory {
    switch: Switch,
    sides: Vec<Memory>,
}

impl Subject for InMemory {
    type Caller = Memory;
    type Callee = Memory;

    /// Nothing is lost between nodes of one process, and nothing bounds what waits there.
    const LACKS: &'static [Ask] = &[Ask::Loss, Ask::Bounds, Ask::FrameLimit];

    fn new(caller: &Limits, callee: &Limits) -> Self {
        let streams_max = caller.streams_max.max(callee.streams_max);
        let (switch, sides) = Switch::new(&["caller", "callee"], streams_max, 8);
        Self { switch, sides }
    }

    fn address(&self) -> String {
        "callee".to_owned()
    }

    fn nowhere(&self) -> String {
        "nowhere".to_owned()
    }

    fn caller(&mut self) -> &mut Memory {
        &mut self.sides[0]
    }

    fn callee(&mut self) -> &mut Memory {
        &mut self.sides[1]
    }

    /// A switch wakes nobody: who carries, polls.
    fn turn(&mut self, bell: &Bell, _: Duration) -> Turn {
        if !self.switch.carry(&mut self.sides) {
            return Turn::Still;
        }
        bell.ring(At::Caller);
        bell.ring(At::Callee);
        Turn::Moving
    }
}

/// The transport of an example: channels, which may be on different threads.
struct OverChannels {
    caller: Carried<Channels>,
    callee: Carried<Channels>,
}

impl Subject for OverChannels {
    type Caller = Carried<Channels>;
    type Callee = Carried<Channels>;

    /// A node that goes away is missed when something is sent to it, and channels bound nothing.
    const LACKS: &'static [Ask] = &[Ask::Loss, Ask::Bounds, Ask::FrameLimit];

    fn new(caller: &Limits, callee: &Limits) -> Self {
        let mut nodes = Channels::between(&["caller", "callee"]).into_iter();
        let mut side = |limits: &Limits| Carried::new(nodes.next().unwrap(), limits.streams_max);
        Self {
            caller: side(caller),
            callee: side(callee),
        }
    }

    fn address(&self) -> String {
        "callee".to_owned()
    }

    fn nowhere(&self) -> String {
        "nowhere".to_owned()
    }

    fn caller(&mut self) -> &mut Carried<Channels> {
        &mut self.caller
    }

    fn callee(&mut self) -> &mut Carried<Channels> {
        &mut self.callee
    }

    /// What is sent is there at once.
    fn turn(&mut self, bell: &Bell, _: Duration) -> Turn {
        bell.wait(Duration::ZERO);
        Turn::Still
    }
}

/// Both lack the same.
macro_rules! suite {
    ($subject:ty) => {
        trefoil_conformance::suite!($subject, skips: [
        "size::a_request_that_is_too_large_ends_its_stream",
        "size::an_answer_that_is_too_large_ends_its_stream",
        "size::the_largest_message_passes",
        "flow::a_callee_without_credit_stops_its_caller",
        "flow::a_caller_without_credit_stops_its_callee",
        "flow::a_callee_that_sleeps_stops_its_caller",
        "flow::a_caller_that_sleeps_stops_its_callee",
        "flow::credit_lets_as_much_through",
        "flow::a_message_above_the_budget_passes_alone",
        "flow::a_caller_that_does_not_read_is_not_read",
        "flow::a_stuffed_stream_can_be_abandoned",
        "flow::a_stuffed_stream_can_be_abandoned_to_a_sleeper",
        "flow::a_stuffed_stream_is_abandoned_at_once",
        "flow::streams_that_are_not_read_hold_up_no_other",
        "links::a_cut_ends_the_streams_of_both_sides",
        "links::a_cut_takes_nothing_back",
        "links::a_stream_on_a_lost_link_is_lost",
        "links::a_lost_link_is_dialled_again",
        "links::a_callee_that_leaves_is_lost",
        "links::a_caller_that_leaves_is_lost",
    ]);
    };
}

mod switch {
    use super::*;

    suite!(InMemory);
}

mod channels {
    use super::*;

    suite!(OverChannels);

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use trefoil_core::header::Header;
    use trefoil_core::id::{LinkId, MethodId, StreamId};
    use trefoil_core::status::Cause;
    use trefoil_core::stream::Class;
    use trefoil_core::transport::{Arrival, LinkEvent, Transport};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn next(side: &mut Carried<Channels>) -> Option<Arrival<Vec<u8>>> {
        match side.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(arrival) => Some(arrival),
            Poll::Pending => None,
        }
    }

    /// One side opens a stream, the other accepts it.
    fn call(from: &mut Carried<Channels>, to: &mut Carried<Channels>, at: &str, stream: StreamId) {
        from.dial(LinkId(0), at, Class::Control);
        let event = LinkEvent::Up;
        assert!(matches!(next(from), Some(Arrival::Link { event: of, .. }) if of == event));
        from.open(stream, LinkId(0), MethodId(0), Header::EMPTY, None);
        from.flush();
        let Some(Arrival::Accepted { call, .. }) = next(to) else {
            panic!("no call")
        };
        to.bind(call, stream, Header::EMPTY);
        to.flush();
        assert!(matches!(next(from), Some(Arrival::Header { .. })));
    }

    #[test]
    fn a_node_that_went_away_is_missed_when_something_is_sent() {
        let [mut here, mut there] = {
            let world = OverChannels::new(&Limits::default(), &Limits::default());
            [world.caller, world.callee]
        };
        let [opened, accepted] = [0, 1].map(|slot| StreamId::new(slot, 0));
        call(&mut here, &mut there, "callee", opened);
        call(&mut there, &mut here, "caller", accepted);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        assert!(here.poll(&mut Context::from_waker(&waker)).is_pending());
        drop(there);
        assert!(next(&mut here).is_none());
        assert!(here.poll(&mut Context::from_waker(&waker)).is_pending());
        here.frame(opened, 1).unwrap();
        here.flush();
        assert!(wakes.0.load(Ordering::SeqCst) > 0, "there is news");
        let event = LinkEvent::Refused;
        assert!(matches!(next(&mut here), Some(Arrival::Link { event: of, .. }) if of == event));
        for (of, why) in [(opened, Cause::Refused), (accepted, Cause::Lost)] {
            let Some(Arrival::Ended { stream, cause, .. }) = next(&mut here) else {
                panic!("no end")
            };
            assert_eq!((stream, cause), (of, why));
        }
        assert!(next(&mut here).is_none());
        assert!(here.frame(opened, 1).is_err());
    }
}
