//! One node of a world: its clock, and what lives on it.

use std::collections::VecDeque;
use std::fmt;

use trefoil_core::engine::Engine;
use trefoil_core::time::Instant;

use super::{Input, Subject};
use crate::disk::SimStore;
use crate::moment::{LocalClock, Moment};
use crate::net::{Process, SimTransport};

/// A process, in its memory.
pub(super) struct Life<S: Subject> {
    pub(super) engine: Engine<S::Machine>,
    pub(super) transport: SimTransport,
    pub(super) storage: SimStore,
}

/// A host, and the process on it if there is one.
pub struct Node<S: Subject> {
    pub(super) name: String,
    pub(super) clock: LocalClock,
    pub(super) session: u32,
    pub(super) life: Option<Life<S>>,
    /// The number of the pause it is in.
    pub(super) paused: Option<u64>,
    pub(super) pauses: u64,
    pub(super) inbox: VecDeque<Input<S::Command>>,
    /// What its alarm is set to, and which setting it is.
    pub(super) armed: Option<(Instant, u64)>,
    pub(super) versions: u64,
    pub(super) last_wake: Moment,
    pub(super) wakes: u32,
}

impl<S: Subject> fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl<S: Subject> Node<S> {
    pub(super) const fn new(name: String, clock: LocalClock) -> Self {
        Self {
            name,
            clock,
            session: 0,
            life: None,
            paused: None,
            pauses: 0,
            inbox: VecDeque::new(),
            armed: None,
            versions: 0,
            last_wake: Moment::ZERO,
            wakes: 0,
        }
    }

    pub(super) const fn process(&self, node: usize) -> Process {
        Process {
            node,
            session: self.session,
        }
    }

    pub(super) fn engine(&self) -> Option<&Engine<S::Machine>> {
        self.life.as_ref().map(|life| &life.engine)
    }

    /// Its host string.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a process lives on it.
    #[must_use]
    pub const fn lives(&self) -> bool {
        self.life.is_some()
    }

    /// Whether its process is frozen.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// How often it was started.
    #[must_use]
    pub const fn session(&self) -> u32 {
        self.session
    }
}
