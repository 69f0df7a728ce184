//! The side that uses a store of another process.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use trefoil_core::id::Tag;
use trefoil_core::machine::Full;
use trefoil_core::storage::{Completion, Op, Storage};

use super::wire;
use crate::session::{Mailbox, Session, lock};
use crate::{StoreError, StoreOptions};

/// The first pause before a connection is made again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// How long operations wait for a store that is not there before they are answered by `Unknown`.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a store may take to say which it is.
const GREETING_MAX: Duration = Duration::from_secs(5);

/// Bytes of operations that wait to be sent.
const UNSENT_BYTES_MAX: usize = 64 << 20;

/// A store that another process of this machine has.
#[derive(Clone, Debug)]
pub struct RemoteStore {
    path: PathBuf,
    id: u64,
    in_flight_max: usize,
}

fn connect(path: &Path, session: u64, node: &str) -> io::Result<(UnixStream, u64)> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(GREETING_MAX))?;
    stream.write_all(&wire::greeting_of_node(session, node))?;
    let id = wire::read_store(&mut stream)?;
    stream.set_read_timeout(None)?;
    Ok((stream, id))
}

impl RemoteStore {
    /// The store that is served at a socket. Only `in_flight_max` of the options means anything here.
    ///
    /// # Errors
    /// Nobody serves one there.
    pub fn connect(path: impl Into<PathBuf>, options: &StoreOptions) -> Result<Self, StoreError> {
        let path = path.into();
        let (_, id) = connect(&path, 0, "").map_err(|error| {
            StoreError::Unusable(format!(
                "nobody serves a store at {}: {error}",
                path.display()
            ))
        })?;
        Ok(Self {
            path,
            id,
            in_flight_max: options.in_flight_max,
        })
    }

    /// Which store this is.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// A session of the node `node`, on a connection of its own.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn session(&self, node: &str) -> Result<RemoteSession, StoreError> {
        let number = getrandom::u64().map_err(|error| StoreError::Unusable(error.to_string()))?;
        let line = Arc::new(Line {
            store: self.clone(),
            number: number.max(1),
            node: node.to_owned(),
            mailbox: Arc::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let work = Arc::clone(&line);
        std::thread::Builder::new()
            .name("store-line".into())
            .spawn(move || work.run())
            .map_err(|error| StoreError::Unusable(error.to_string()))?;
        Ok(RemoteSession { line })
    }
}

/// What is on its way to a store and back.
#[derive(Debug, Default)]
struct State {
    /// Requests that were not sent yet, their numbers and tags.
    out: Vec<u8>,
    unsent: VecDeque<(Tag, Tag)>,
    /// Tags of those that were sent, by their numbers: answers come in any order, and a machine may use a tag twice.
    sent: HashMap<Tag, Tag>,
    /// Number of the next request.
    next: u64,
    /// The present connection is broken.
    broken: bool,
    /// The session was dropped.
    ended: bool,
    /// Why this store is never spoken with again.
    gone: Option<String>,
}

#[derive(Debug)]
struct Line {
    store: RemoteStore,
    /// Which session this is, however often it is connected.
    number: u64,
    node: String,
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Line {
    fn run(self: &Arc<Self>) {
        let mut pause = PAUSES.0;
        let mut waited = Duration::ZERO;
        while !lock(&self.state).ended {
            match connect(&self.store.path, self.number, &self.node) {
                Ok((stream, id)) if id == self.store.id => {
                    (pause, waited) = (PAUSES.0, Duration::ZERO);
                    self.speak(&stream);
                }
                Ok(_) => return self.give_up("another store is served at its socket"),
                Err(_) => {
                    waited += pause;
                    if waited >= PATIENCE {
                        self.answer_unsent();
                    }
                    self.rest(pause);
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Sends and hears until the connection is broken or the session ends.
    fn speak(self: &Arc<Self>, stream: &UnixStream) {
        lock(&self.state).broken = false;
        let hearing = stream.try_clone().and_then(|reading| {
            let line = Arc::clone(self);
            std::thread::Builder::new()
                .name("store-hears".into())
                .spawn(move || line.hear(reading))
        });
        if let Ok(hearing) = hearing {
            let mut batch = Vec::new();
            while self.take(&mut batch) {
                if (&*stream).write_all(&batch).is_err() {
                    break;
                }
            }
            let _ = stream.shutdown(Shutdown::Both);
            let _ = hearing.join();
        }
        let lost = std::mem::take(&mut lock(&self.state).sent);
        self.mailbox
            .deliver(lost.into_values().map(|tag| (tag, Completion::Unknown)));
        self.rest(PAUSES.0);
    }

    /// Waits for requests and takes them all; `false` if there is nobody to send them to, or none will come.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        let mut state = lock(&self.state);
        loop {
            if state.broken || state.ended {
                return false;
            }
            if !state.out.is_empty() {
                std::mem::swap(&mut state.out, batch);
                let state = &mut *state;
                // From here on nobody knows what became of them but who answers.
                state.sent.extend(state.unsent.drain(..));
                return true;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Delivers answers until the connection is broken.
    fn hear(&self, stream: UnixStream) {
        let mut reading = BufReader::with_capacity(64 << 10, stream);
        let mut frame = Vec::new();
        while let Ok(true) = wire::read_frame(&mut reading, &mut frame) {
            let Some((number, completion)) = wire::read_completion(&frame) else {
                break;
            };
            let asked = lock(&self.state).sent.remove(&number);
            // An answer nobody waits for: the two do not speak of the same things.
            let Some(tag) = asked else {
                break;
            };
            self.mailbox.deliver([(tag, completion)]);
        }
        lock(&self.state).broken = true;
        self.changed.notify_all();
        let _ = reading.into_inner().shutdown(Shutdown::Both);
    }

    fn answer_unsent(&self) {
        let unsent = {
            let mut state = lock(&self.state);
            state.out.clear();
            std::mem::take(&mut state.unsent)
        };
        self.mailbox.deliver(
            unsent
                .into_iter()
                .map(|(_, tag)| (tag, Completion::Unknown)),
        );
    }

    fn give_up(&self, why: &str) {
        lock(&self.state).gone = Some(why.to_owned());
        self.answer_unsent();
    }

    fn rest(&self, pause: Duration) {
        let state = lock(&self.state);
        if !state.ended {
            // Woken early, it tries early.
            drop(self.changed.wait_timeout_while(state, pause, |s| !s.ended));
        }
    }
}

/// The operations of one node on a store of another process, carried out in the order a [`Session`] has.
#[derive(Debug)]
pub struct RemoteSession {
    line: Arc<Line>,
}

impl RemoteSession {
    /// What becomes of the session, for whoever looks after it while a node has it.
    #[must_use]
    pub fn fate(&self) -> Fate {
        Fate {
            line: Arc::clone(&self.line),
        }
    }

    /// Why the store is gone for good, if it is: another one is served in its place.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.fate().failure()
    }

    /// Carries out one operation and waits for it, as [`Session::run`] does.
    pub fn run(&mut self, op: Op<'_>) -> Completion<Vec<u8>> {
        if self.submit(op, Session::OWN).is_err() {
            return Completion::Unknown;
        }
        self.line.mailbox.wait_for(Session::OWN)
    }
}

/// What becomes of a session.
#[derive(Clone, Debug)]
pub struct Fate {
    line: Arc<Line>,
}

impl Fate {
    /// Why the store is gone for good, if it is.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        lock(&self.line.state).gone.clone()
    }
}

impl Drop for RemoteSession {
    fn drop(&mut self) {
        lock(&self.line.state).ended = true;
        self.line.changed.notify_all();
    }
}

impl Storage for RemoteSession {
    type Buf = Vec<u8>;

    fn id(&self) -> u64 {
        self.line.store.id
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        let mut state = lock(&self.line.state);
        if state.out.len() >= UNSENT_BYTES_MAX
            || !self.line.mailbox.try_enter(self.line.store.in_flight_max)
        {
            return Err(Full);
        }
        let number = Tag(state.next);
        let sendable = state.gone.is_none() && wire::write_op(&mut state.out, number, op);
        if sendable {
            state.next += 1;
            state.unsent.push_back((number, tag));
        }
        drop(state);
        if sendable {
            self.line.changed.notify_all();
        } else {
            self.line.mailbox.deliver([(tag, Completion::Unknown)]);
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        self.line.mailbox.poll(cx)
    }
}

/// A node's own state in a store of its own process, and everything else in one that it shares with other
/// processes: a vote must not depend on whether another process is there.
#[derive(Debug)]
pub struct SplitSession {
    own: Session,
    shared: RemoteSession,
}

impl SplitSession {
    /// Joins two sessions of one node.
    #[must_use]
    pub const fn new(own: Session, shared: RemoteSession) -> Self {
        Self { own, shared }
    }
}

impl Storage for SplitSession {
    type Buf = Vec<u8>;

    fn id(&self) -> u64 {
        self.shared.id()
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        match op {
            Op::Keep { .. } | Op::Recall { .. } => self.own.submit(op, tag),
            Op::Load { .. }
            | Op::Scan { .. }
            | Op::Cas { .. }
            | Op::Fence { .. }
            | Op::Tail { .. }
            | Op::Append { .. }
            | Op::Read { .. }
            | Op::Trim { .. }
            | Op::Seal { .. } => self.shared.submit(op, tag),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        match self.own.poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => self.shared.poll(cx),
        }
    }
}
