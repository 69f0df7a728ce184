//! What a world runs, as its owner sees it.

use std::time::Duration;

use trefoil_core::engine::Engine;
use trefoil_core::machine::Machine;
use trefoil_core::time::Instant;

use crate::moment::Moment;
use crate::net::Process;

/// What a node is born with.
#[derive(Clone, Debug)]
pub struct Birth<'a> {
    /// Which node, and which of its lives.
    pub process: Process,
    /// Its host string.
    pub name: &'a str,
    /// Counts its starts; kept in its own durable state.
    pub incarnation: u64,
    /// Drawn anew at every start.
    pub boot: u64,
    /// What its clock shows.
    pub now: Instant,
}

/// What a world runs.
pub trait Subject {
    /// The machine of each node.
    type Machine: Machine;
    /// A command that owns what it holds.
    type Command;
    /// What the world's owner wants to do at a moment.
    type Act;

    /// The engine of a node that starts.
    fn engine(&mut self, at: Moment, birth: &Birth<'_>) -> Engine<Self::Machine>;

    /// A command as the machine takes it.
    fn lend(command: &Self::Command) -> <Self::Machine as Machine>::Command<'_>;

    /// An event in words, for those who read the trace.
    fn text(_: &<Self::Machine as Machine>::Event<'_>) -> String {
        String::new()
    }

    /// A machine told something. Commands that are to follow go into `follow`, each with its delay.
    fn event(
        &mut self,
        at: Moment,
        process: Process,
        event: <Self::Machine as Machine>::Event<'_>,
        follow: &mut Vec<(Duration, Self::Command)>,
    );

    /// A machine refused a command.
    fn refused(
        &mut self,
        at: Moment,
        process: Process,
        command: Self::Command,
        why: <Self::Machine as Machine>::Refused,
    );

    /// A node took one input: a place to look at it.
    fn looked(&mut self, at: Moment, process: Process, engine: &mut Engine<Self::Machine>);

    /// A process is gone, with everything that was in its memory: a last look.
    fn died(&mut self, at: Moment, process: Process, engine: &Engine<Self::Machine>);
}
