//! A node's session: operations in, completions out, on whatever runtime.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use trefoil_core::id::Tag;
use trefoil_core::machine::Full;
use trefoil_core::storage::{Completion, Op, Storage};

use crate::Inner;
use crate::error::StoreError;

/// Locks, whatever became of others who held the lock: the values are whole between calls.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a session's completions wait to be taken.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    arrived: Mutex<Arrived>,
    changed: Condvar,
    in_flight: AtomicUsize,
}

#[derive(Debug, Default)]
struct Arrived {
    completions: VecDeque<(Tag, Completion<Vec<u8>>)>,
    waker: Option<Waker>,
    /// Nothing is begun any more.
    closed: bool,
}

impl Mailbox {
    /// Delivers completions and wakes the session once.
    pub(crate) fn deliver(
        &self,
        completions: impl IntoIterator<Item = (Tag, Completion<Vec<u8>>)>,
    ) {
        self.place(completions);
        self.wake();
    }

    /// Delivers completions to a session that is still to be woken.
    fn place(&self, completions: impl IntoIterator<Item = (Tag, Completion<Vec<u8>>)>) {
        lock(&self.arrived).completions.extend(completions);
    }

    fn wake(&self) {
        let waker = lock(&self.arrived).waker.take();
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn pop(&self, arrived: &mut Arrived) -> Option<(Tag, Completion<Vec<u8>>)> {
        let completion = arrived.completions.pop_front()?;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        Some(completion)
    }

    /// Counts an operation that begins, unless `max` are in flight.
    pub(crate) fn try_enter(&self, max: usize) -> bool {
        let below = |count: usize| (count < max).then_some(count + 1);
        let order = Ordering::SeqCst;
        self.in_flight.fetch_update(order, order, below).is_ok()
    }

    /// The same, but waits for room; `false` once it is closed.
    pub(crate) fn enter(&self, max: usize) -> bool {
        let mut arrived = lock(&self.arrived);
        while !arrived.closed && !self.try_enter(max) {
            arrived = self.wait_on(arrived);
        }
        !arrived.closed
    }

    /// Nothing is begun any more.
    pub(crate) fn close(&self) {
        lock(&self.arrived).closed = true;
        self.changed.notify_all();
    }

    /// Waits for completions and takes them all; `None` when it is closed and there will be no more.
    pub(crate) fn wait(&self) -> Option<VecDeque<(Tag, Completion<Vec<u8>>)>> {
        let mut arrived = lock(&self.arrived);
        while arrived.completions.is_empty() {
            if arrived.closed && self.in_flight.load(Ordering::SeqCst) == 0 {
                return None;
            }
            arrived = self.wait_on(arrived);
        }
        let completions = std::mem::take(&mut arrived.completions);
        let order = Ordering::SeqCst;
        self.in_flight.fetch_sub(completions.len(), order);
        self.changed.notify_all();
        Some(completions)
    }

    /// Waits for the completion of one operation; those that come before it are lost.
    pub(crate) fn wait_for(&self, wanted: Tag) -> Completion<Vec<u8>> {
        let mut arrived = lock(&self.arrived);
        loop {
            while let Some((tag, completion)) = self.pop(&mut arrived) {
                if tag == wanted {
                    return completion;
                }
            }
            arrived = self.wait_on(arrived);
        }
    }

    fn wait_on<'a>(&self, arrived: MutexGuard<'a, Arrived>) -> MutexGuard<'a, Arrived> {
        let woken = self.changed.wait(arrived);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    /// The next completion, or `Pending` with the task's waker kept.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        let mut arrived = lock(&self.arrived);
        if let Some(completion) = self.pop(&mut arrived) {
            return Poll::Ready(completion);
        }
        match &mut arrived.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// Completions of one session, in order.
type Delivery = Vec<(Tag, Completion<Vec<u8>>)>;

/// Completions on their way to their sessions, each of which is woken once.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Vec<(Arc<Mailbox>, Delivery)>);

impl Deliveries {
    pub(crate) fn add(
        &mut self,
        mailbox: &Arc<Mailbox>,
        tag: Tag,
        completion: Completion<Vec<u8>>,
    ) {
        // Neighbours tend to be of one session.
        let mut lists = self.0.iter_mut().rev();
        match lists.find(|(to, _)| Arc::ptr_eq(to, mailbox)) {
            Some((_, list)) => list.push((tag, completion)),
            None => self.0.push((Arc::clone(mailbox), vec![(tag, completion)])),
        }
    }

    /// Delivers them all; nobody is woken.
    pub(crate) fn place(&mut self) {
        for (mailbox, list) in &mut self.0 {
            mailbox.place(list.drain(..));
        }
    }

    /// Wakes the sessions they are for.
    pub(crate) fn wake(self) {
        for (mailbox, _) in self.0 {
            mailbox.wake();
        }
    }

    pub(crate) fn hand_over(mut self) {
        self.place();
        self.wake();
    }
}

/// The operations of one node. Those on one log are carried out in the order they are submitted, and so are those
/// on the catalog and the node's own state: a read sees what was written before it. Outcomes come in any order:
/// what is on different logs, or on a log and in the catalog, does not wait for each other.
#[derive(Debug)]
pub struct Session {
    store: Arc<Inner>,
    mailbox: Arc<Mailbox>,
    node: Arc<str>,
}

impl Session {
    pub(crate) fn new(store: Arc<Inner>, node: &str) -> Self {
        Self {
            store,
            mailbox: Arc::default(),
            node: node.into(),
        }
    }

    /// Carries out one operation and waits for it; for tools and tests. Outcomes of operations that were
    /// submitted before and come meanwhile are lost.
    pub fn run(&mut self, op: Op<'_>) -> Completion<Vec<u8>> {
        if self.submit(op, Self::OWN).is_err() {
            return Completion::Unknown;
        }
        self.mailbox.wait_for(Self::OWN)
    }

    /// The tag of what a session does for itself.
    pub(crate) const OWN: Tag = Tag(u64::MAX);
}

impl Storage for Session {
    type Buf = Vec<u8>;

    fn id(&self) -> u64 {
        self.store.id
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        if !self.mailbox.try_enter(self.store.in_flight_max) {
            return Err(Full);
        }
        self.store.push(op, &self.node, &self.mailbox, tag);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        self.mailbox.poll(cx)
    }
}

/// Name of the value that counts a node's starts.
const INCARNATION: &[u8] = b"incarnation";

/// Counts a start of the session's node.
pub(crate) fn begin_incarnation(session: &mut Session) -> Result<u64, StoreError> {
    let stopped =
        |session: &Session| StoreError::Stopped(session.store.failure.get().unwrap_or_default());
    let Completion::Value { value, .. } = session.run(Op::Recall { key: INCARNATION }) else {
        return Err(stopped(session));
    };
    let last = match value[..] {
        [] => 0,
        _ => u64::from_le_bytes(
            value
                .as_slice()
                .try_into()
                .map_err(|_| StoreError::Damaged("an incarnation is not a number".into()))?,
        ),
    };
    let present = last + 1;
    let kept = session.run(Op::Keep {
        key: INCARNATION,
        value: &present.to_le_bytes(),
    });
    if matches!(kept, Completion::Durable { .. }) {
        Ok(present)
    } else {
        Err(stopped(session))
    }
}
