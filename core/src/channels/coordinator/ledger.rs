//! One channel's progress: the part that must never be wrong.
//!
//! It is told what happened and says what is owed next. It does nothing itself, knows no time, and the same
//! inputs always give the same state, so that every order of them can be tried.
//!
//! # Rules
//! - A term is written before the first call that names it ([`Owed::Write`] comes before [`Owed::Remove`] and
//!   [`Owed::Assign`]), against the revision that was read: of two coordinators that mint the same term one has
//!   its write refused, and acts on nothing.
//! - What is remembered changes when the write is durable, not before. After a write whose outcome is not known
//!   nothing is done until the catalog has been read again.
//! - Every earlier owner is removed before the new one is given the channel; each incarnation once.
//! - A term is given to one node only, and as often as it takes. A new one is taken when the target is another,
//!   or when the node said that it can never have this one.

use alloc::vec::Vec;

use super::meta::{History, Incarnation, Meta, State, remember};

/// What is to be done next for a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    /// Nothing, until there is news.
    Nothing,
    /// The catalog is to be read: what it holds is not known.
    Read,
    /// What is proposed is to be written.
    Write,
    /// A former owner is to be told to let the channel go.
    Remove(History),
    /// The owner is to be told to open the channel.
    Assign {
        /// Who.
        to: Incarnation,
        /// At which term.
        term: i64,
    },
}

/// A bug that is planted, so that a checker can be seen to find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LedgerPlant {
    /// Calls are made before the term is written: two coordinators mint the same one.
    ActBeforeWritten,
    /// The new owner is called before the earlier ones have let go.
    AssignFirst,
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// As the catalog has it.
    meta: Meta,
    /// The catalog's revision of it; 0 if it is not there yet.
    revision: u64,
    /// What is to be written, or is being written.
    proposed: Option<Meta>,
    /// The outcome of a write is not known.
    in_doubt: bool,
    /// Whose removal is not known to be complete, at the present term.
    pending: Vec<History>,
    /// The term that its owner has opened; 0 for none.
    opened: i64,
    /// Where it is to go once what is being written is settled.
    wanted: Option<Incarnation>,
    /// Its node is not believed to have it.
    lost: bool,
    plant: Option<LedgerPlant>,
}

impl Ledger {
    /// A channel that is to be created.
    #[must_use]
    pub const fn create() -> Self {
        Self {
            meta: Meta::new(),
            revision: 0,
            proposed: Some(Meta::new()),
            in_doubt: false,
            pending: Vec::new(),
            opened: 0,
            wanted: None,
            lost: false,
            plant: None,
        }
    }

    /// A channel as the catalog has it.
    #[must_use]
    pub fn of(meta: Meta, revision: u64) -> Self {
        let mut ledger = Self {
            proposed: None,
            ..Self::create()
        };
        ledger.adopt(meta, revision);
        ledger
    }

    /// Plants a bug.
    #[doc(hidden)]
    pub fn plant(&mut self, plant: LedgerPlant) {
        self.plant = Some(plant);
    }

    /// As the catalog has it, as far as is known.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// What is to be written, and against which revision.
    #[must_use]
    pub const fn to_write(&self) -> Option<(&Meta, u64)> {
        match &self.proposed {
            Some(meta) => Some((meta, self.revision)),
            None => None,
        }
    }

    /// Whether the catalog has it at all.
    #[must_use]
    pub const fn is_created(&self) -> bool {
        self.revision > 0
    }

    /// Whether its node has opened it and is believed to have it: only then it is told to clients.
    #[must_use]
    pub fn is_assigned(&self) -> bool {
        self.meta.state == State::Assigned && !self.lost
    }

    /// Where it is, or is on its way to; none if it has to be given a place.
    #[must_use]
    pub fn target(&self) -> Option<&Incarnation> {
        let proposed = self.proposed.as_ref();
        let proposed = proposed.filter(|meta| meta.state == State::Assigning);
        let kept = self.meta.node.as_ref().filter(|_| !self.lost);
        self.wanted
            .as_ref()
            .or(proposed.and_then(|meta| meta.node.as_ref()))
            .or(kept)
    }

    /// How far it is on its way to its [`target`](Self::target), or that it has none: `Assigned` only if its node
    /// has opened it, is believed to have it, and is to keep it.
    #[must_use]
    pub fn state(&self) -> State {
        match (self.meta.state, self.target()) {
            (State::Assigned, None) => State::Unavailable,
            (State::Assigned, to) if self.lost || to != self.meta.node.as_ref() => State::Assigning,
            (state, _) => state,
        }
    }

    /// Who has it, or may have it still: the node it was given last, and those whose removal is not known to be
    /// complete.
    pub fn holders(&self) -> impl Iterator<Item = &Incarnation> {
        let owner = self.meta.node.as_ref();
        let former = self.pending.iter().map(|history| &history.node);
        former.filter(move |node| Some(*node) != owner).chain(owner)
    }

    /// Whether a write is under way, or its outcome is not known.
    #[must_use]
    pub const fn is_unsettled(&self) -> bool {
        self.proposed.is_some() || self.in_doubt
    }

    /// What is to be done next.
    #[must_use]
    pub fn owed(&self) -> Owed {
        if self.in_doubt {
            return Owed::Read;
        }
        if self.proposed.is_some() {
            return Owed::Write;
        }
        let assigning = self.meta.state == State::Assigning && !self.lost;
        let Some(to) = self.meta.node.as_ref().filter(|_| assigning) else {
            return Owed::Nothing;
        };
        match self.pending.first() {
            Some(history) if self.plant != Some(LedgerPlant::AssignFirst) => {
                Owed::Remove(history.clone())
            }
            _ => Owed::Assign {
                to: to.clone(),
                term: self.meta.term,
            },
        }
    }

    /// Gives it to a node, at a new term. `false` if it is there, or on its way there, or has no term left.
    pub fn assign(&mut self, to: &Incarnation) -> bool {
        if self.target() == Some(to) {
            return false;
        }
        if self.is_unsettled() {
            self.wanted = Some(to.clone());
            return true;
        }
        self.propose_term(to.clone())
    }

    /// Its node is not believed to have it any more. `false` if it was not before.
    pub fn lose(&mut self) -> bool {
        let had = self.meta.node.is_some() && !self.lost;
        self.lost |= had;
        had
    }

    /// A client found it not to be where it was said to be, at `term`. `false` if that is not news: then
    /// nothing changed.
    pub fn report(&mut self, term: i64) -> bool {
        let is_news = self.is_assigned() && self.meta.term == term && !self.is_unsettled();
        is_news && self.lose()
    }

    /// It is lost, and there is nowhere to give it to. `false` if there is nothing to be written.
    pub fn give_up(&mut self) -> bool {
        let is_news = self.lost && self.meta.state == State::Assigned && !self.is_unsettled();
        if is_news {
            self.propose(Meta {
                state: State::Unavailable,
                ..self.meta.clone()
            });
        }
        is_news
    }

    /// What was proposed is durable, as `revision`.
    pub fn written(&mut self, revision: u64) {
        let Some(meta) = self.proposed.take() else {
            return;
        };
        self.revision = revision;
        self.in_doubt = false;
        self.take(meta);
        self.settle();
    }

    /// The write was refused, or its outcome is not known.
    pub fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// Whether what the catalog was found to have is what this ledger knew, or what it last proposed. Of anything
    /// else it is not known who wrote it.
    #[must_use]
    pub fn knows(&self, meta: &Meta, revision: u64) -> bool {
        revision == self.revision || self.proposed.as_ref() == Some(meta)
    }

    /// The catalog was read again; `None` if it has no such channel. Where the channel was to go is not forgotten
    /// with a write that was not done.
    pub fn read(&mut self, found: Option<(Meta, u64)>) {
        self.in_doubt = false;
        let proposed = self.proposed.take();
        let was_to_go = proposed
            .as_ref()
            .filter(|meta| meta.state == State::Assigning);
        let was_to_go = was_to_go.and_then(|meta| meta.node.clone());
        let wanted = self.wanted.clone().or(was_to_go);
        match found {
            Some((meta, revision)) if proposed.as_ref() == Some(&meta) => {
                self.proposed = proposed;
                self.written(revision);
            }
            Some((meta, revision)) => {
                self.wanted = wanted;
                self.adopt(meta, revision);
            }
            None => {
                self.wanted = wanted;
                self.revision = 0;
                self.proposed = Some(self.meta.clone());
            }
        }
        self.settle();
    }

    /// A former owner has let the channel go, or cannot have it any more, up to a term.
    pub fn removed(&mut self, node: &Incarnation, term: i64) {
        self.pending
            .retain(|history| history.node != *node || history.term > term);
    }

    /// The removal that is owed next is put behind the others.
    pub fn put_off(&mut self) {
        if !self.pending.is_empty() {
            self.pending.rotate_left(1);
        }
    }

    /// The owner has opened the channel at `term`.
    pub fn opened(&mut self, term: i64) {
        if self.meta.state == State::Assigning && self.meta.term == term && !self.lost {
            self.opened = term;
            self.settle();
        }
    }

    /// The owner said that it can never have the channel at `term`. `false` if it was not asked to.
    pub fn never(&mut self, term: i64) -> bool {
        let asked = self.meta.state == State::Assigning && self.meta.term == term;
        let to = self.meta.node.clone().filter(|_| asked && !self.lost);
        match to {
            Some(to) if !self.is_unsettled() => self.propose_term(to),
            _ => false,
        }
    }

    /// Proposes the next term. `false` if there is none: nobody counts so far, but anything may be read.
    fn propose_term(&mut self, to: Incarnation) -> bool {
        let term = self.meta.term.saturating_add(1);
        if term == i64::MAX {
            return false;
        }
        let mut histories = self.pending.clone();
        if let Some(node) = self.meta.node.clone() {
            let owner = History {
                term: self.meta.term,
                node,
            };
            remember(&mut histories, owner);
        }
        self.propose(Meta {
            term,
            state: State::Assigning,
            node: Some(to),
            histories,
        });
        true
    }

    fn propose(&mut self, meta: Meta) {
        if self.plant == Some(LedgerPlant::ActBeforeWritten) && meta.state == State::Assigning {
            self.take(meta);
        } else {
            self.proposed = Some(meta);
        }
    }

    /// What was proposed holds from now on.
    fn take(&mut self, meta: Meta) {
        self.pending = match meta.state {
            State::Assigning => meta.histories.clone(),
            State::Uninitialized | State::Assigned | State::Unavailable => Vec::new(),
        };
        self.lost = meta.state == State::Unavailable;
        self.meta = meta;
    }

    /// What somebody has written holds from now on. A node that was not believed at its term still is not.
    fn adopt(&mut self, meta: Meta, revision: u64) {
        let lost = self.lost && self.meta.term == meta.term;
        self.revision = revision;
        self.take(meta);
        self.lost |= lost;
    }

    /// Goes on with what had to wait for the catalog.
    fn settle(&mut self) {
        if self.is_unsettled() {
            return;
        }
        if let Some(to) = self.wanted.take() {
            if self.assign(&to) {
                return;
            }
        }
        let is_open = self.opened == self.meta.term && !self.lost;
        if is_open && self.meta.state == State::Assigning {
            self.propose(Meta {
                state: State::Assigned,
                histories: Vec::new(),
                ..self.meta.clone()
            });
        }
    }
}
