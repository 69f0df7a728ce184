//! A channel is opened when nobody else has it any more. Where the log fences, that is a courtesy that faults may
//! cost; where leases are relied on, it is all there is.
//!
//! It is judged where nothing goes wrong, and where a node that is gone from the membership stops itself in time.
//! Planted against it: `assign-first`, and `gone-is-removed`: the removal of a node that is gone from the membership
//! counts as done though it lives (Milvus #53368).

use super::{Court, Invariant};
use crate::net::Process;

/// Who has which channel, as the workers see it.
#[derive(Debug)]
pub struct Handover {
    /// By channel.
    open: Vec<Vec<(Process, u64)>>,
    judged: bool,
}

impl Handover {
    /// Of so many channels.
    #[must_use]
    pub fn new(channels: usize, judged: bool) -> Self {
        Self {
            open: vec![Vec::new(); channels],
            judged,
        }
    }

    /// A node serves a channel.
    pub fn opened(&mut self, channel: usize, term: u64, by: Process, court: &mut Court<'_>) {
        let open = &mut self.open[channel];
        if let Some((other, earlier)) = open.first().filter(|_| self.judged) {
            let text =
                format!("c{channel}: {by:?} opens term {term} while {other:?} has it at {earlier}");
            court.broken(Invariant::Handover, text);
        }
        open.push((by, term));
    }

    /// A node does not have a channel any more.
    pub fn closed(&mut self, channel: usize, term: u64, by: Process) {
        self.open[channel].retain(|known| *known != (by, term));
    }

    /// A process is gone.
    pub fn died(&mut self, process: Process) {
        for open in &mut self.open {
            open.retain(|(known, _)| *known != process);
        }
    }
}
