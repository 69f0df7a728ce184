//! The transport in memory, put to what every transport must do.

use std::time::Duration;

use trefoil_conformance::{Ask, At, Bell, Subject, Turn};
use trefoil_core::limits::Limits;
use trefoil_core::memory::{Memory, Switch};

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

trefoil_conformance::suite!(InMemory, skips: [
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
