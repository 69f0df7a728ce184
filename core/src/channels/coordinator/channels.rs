//! The channels of a coordinator, and what is being done for each.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::answers::What;
use super::interface::{ChannelView, Waits};
use super::ledger::{Ledger, Owed};
use super::meta::Meta;
use crate::id::StreamId;
use crate::time::Instant;

/// Bytes that are kept of what was said when something went wrong.
const SAID_BYTES_MAX: usize = 256;

/// What is being done for a channel: one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    /// It waits for its turn to write to the catalog, or to read from it.
    CatalogTurn,
    Catalog,
    /// It waits for its turn to call a node, or calls it.
    CallTurn(u32),
    Call(Call),
    /// An attempt failed.
    BackOff,
    /// A former owner may still write.
    Grace,
    /// Trying again cannot help.
    Stopped,
}

/// A call under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) stream: StreamId,
    pub(super) node: u32,
    pub(super) what: What,
    /// The term that is asked for.
    pub(super) term: i64,
    /// A message came.
    pub(super) answered: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) name: Arc<str>,
    pub(super) ledger: Ledger,
    pub(super) doing: Doing,
    /// Names the operation or call under way: what is heard of an earlier one is not meant.
    pub(super) attempt: u32,
    /// What the catalog was found to have, of which it is not known who wrote it: before it is believed, the
    /// catalog's fence is looked at.
    pub(super) found: Option<Box<(Meta, u64)>>,
    /// In a row.
    pub(super) failures: u32,
    /// The term of the last attempt whose outcome is not known.
    pub(super) unknown_term: i64,
    /// Since when its node calls a term out of date that it may be opening.
    pub(super) doubted_since: Option<Instant>,
    /// Until when the removals that were asked for are waited for: each from when it was first asked for, by the
    /// start of the node that is asked. Those of nodes that are waited for without end are not in it.
    removals: Vec<(i64, Instant)>,
    /// When the next attempt is due.
    pub(super) due: Option<Instant>,
    /// It is told to clients.
    pub(super) shown: bool,
    /// At which term it is, or was last.
    pub(super) shown_term: i64,
    pub(super) since: Instant,
    /// It moves for the sake of balance.
    pub(super) moves: bool,
    pub(super) moved_at: Option<Instant>,
    /// What it costs its node.
    pub(super) load: u32,
    said: String,
}

impl Slot {
    fn new(now: Instant, name: Arc<str>, ledger: Ledger) -> Self {
        Self {
            name,
            // Whether a leader before has asked already is not known.
            unknown_term: ledger.meta().term,
            ledger,
            doing: Doing::Nothing,
            attempt: 0,
            found: None,
            failures: 0,
            doubted_since: None,
            removals: Vec::new(),
            due: None,
            shown: false,
            shown_term: 0,
            since: now,
            moves: false,
            moved_at: None,
            load: 1,
            said: String::new(),
        }
    }

    /// Keeps what was said, cut.
    pub(super) fn say(&mut self, text: &str) {
        let mut end = text.len().min(SAID_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.said.clear();
        self.said.push_str(&text[..end]);
    }

    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// What went wrong before is of no interest any more.
    pub(super) fn start_afresh(&mut self) {
        self.failures = 0;
        self.doubted_since = None;
        self.removals.clear();
        self.said.clear();
    }

    /// Until when a removal is waited for, if it was asked for.
    pub(super) fn removal_from(&self, server_id: i64) -> Option<Instant> {
        let mut removals = self.removals.iter();
        let known = removals.find(|(id, _)| *id == server_id);
        known.map(|(_, by)| *by)
    }

    /// A removal is waited for until then.
    pub(super) fn remove_by(&mut self, server_id: i64, by: Instant) {
        self.removal_over(server_id);
        self.removals.push((server_id, by));
    }

    /// A removal is waited for no more.
    pub(super) fn removal_over(&mut self, server_id: i64) {
        self.removals.retain(|(id, _)| *id != server_id);
    }

    /// No removal is waited for.
    pub(super) fn removals_over(&mut self) {
        self.removals.clear();
    }

    /// When its timer is due: for the next attempt, or because what the removal that is owed may take is over. A
    /// former owner that may still write is waited for whatever it may take.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.removals.is_empty() || self.doing == Doing::Grace {
            return self.due;
        }
        let by = match self.ledger.owed() {
            Owed::Remove(history) => self.removal_from(history.node.server_id),
            Owed::Assign { .. } | Owed::Nothing | Owed::Read | Owed::Write => None,
        };
        crate::time::earliest(self.due, by)
    }

    fn waits(&self) -> Waits {
        match self.doing {
            _ if self.shown => Waits::Nothing,
            Doing::Nothing => Waits::ForNode,
            Doing::CatalogTurn | Doing::Catalog => Waits::ForCatalog,
            Doing::BackOff => Waits::ForNextAttempt,
            Doing::Grace => Waits::ForGrace,
            Doing::Stopped => Waits::Stopped,
            Doing::CallTurn(_) | Doing::Call(_) => match self.ledger.owed() {
                Owed::Remove(_) => Waits::ForRemoval,
                Owed::Assign { .. } | Owed::Nothing | Owed::Read | Owed::Write => Waits::ForOpening,
            },
        }
    }

    pub(super) fn view(&self) -> ChannelView<'_> {
        let meta = self.ledger.meta();
        ChannelView {
            name: &self.name,
            term: meta.term,
            state: self.ledger.state(),
            node: self.ledger.target(),
            histories: meta.histories.len(),
            is_created: self.ledger.is_created(),
            waits: self.waits(),
            reason: &self.said,
            load: self.load,
            failures: self.failures,
            since: self.since,
        }
    }
}

/// All channels. None is taken out as long as a leadership lasts.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    slots: Vec<Slot>,
    by_name: BTreeMap<Arc<str>, u32>,
    /// How many are told to clients, and how many move for the sake of balance.
    pub(super) shown: u32,
    pub(super) moving: u32,
}

impl Channels {
    pub(super) fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) fn at(&self, at: u32) -> &Slot {
        &self.slots[at as usize]
    }

    pub(super) fn at_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.slots[at as usize]
    }

    pub(super) fn get(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize)
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// In the order of their names.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (u32, &Slot)> {
        let all = self.by_name.values();
        all.map(|at| (*at, &self.slots[*at as usize]))
    }

    /// Adds a channel that is not there.
    pub(super) fn add(&mut self, now: Instant, name: &str, ledger: Ledger) -> u32 {
        let at = self.len();
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), at);
        self.slots.push(Slot::new(now, name, ledger));
        at
    }

    /// A channel moves for the sake of balance, or does no more.
    pub(super) fn set_moves(&mut self, at: u32, moves: bool) {
        let was = core::mem::replace(&mut self.at_mut(at).moves, moves);
        self.moving = self.moving + u32::from(moves) - u32::from(was);
    }

    /// Takes up whether a channel is told to clients. `true` if that changed.
    pub(super) fn take_up(&mut self, now: Instant, at: u32) -> bool {
        let slot = self.at_mut(at);
        let shown = slot.ledger.is_assigned();
        let was = core::mem::replace(&mut slot.shown, shown);
        if shown != was {
            slot.since = now;
        }
        if shown {
            slot.shown_term = slot.ledger.meta().term;
        }
        self.shown = self.shown + u32::from(shown) - u32::from(was);
        shown != was
    }
}
