//! The side that has the store.

use std::io::{self, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::wire;
use crate::session::{Mailbox, lock};
use crate::{Inner, Store, StoreError};

/// How long a caller may take to say who it is.
const GREETING_MAX: Duration = Duration::from_secs(5);

/// Connections at once; a node has one.
const CONNECTIONS_MAX: usize = 1_024;

/// How long the listener rests after it could not accept: the process is out of files, say.
const PAUSE: Duration = Duration::from_millis(100);

/// A store that is served to the other processes of the machine, to those of the same user. It is served no more
/// when this is dropped; the nodes that use it are told nothing, and wait for it to come back.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    path: PathBuf,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// None once it is served no more.
    store: Mutex<Option<Arc<Inner>>>,
    stopped: AtomicBool,
    guests: Mutex<Vec<Guest>>,
    /// A guest has left.
    left: Condvar,
    next: AtomicU64,
}

/// Somebody who is served.
#[derive(Debug)]
struct Guest {
    number: u64,
    /// Which session it is, once it has said so.
    session: u64,
    stream: UnixStream,
}

fn unusable(path: &Path) -> impl Fn(io::Error) -> StoreError + '_ {
    move |error| StoreError::Unusable(format!("{}: {error}", path.display()))
}

impl Server {
    /// Serves a store at a socket in the file system, which only this user may use. A socket that nobody
    /// listens at any more is replaced.
    ///
    /// # Errors
    /// Somebody else listens there, or the place cannot be used.
    pub fn bind(store: &Store, path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        if UnixStream::connect(&path).is_ok() {
            return Err(StoreError::InUse);
        }
        // Made beside its place, so that nobody finds it before it is closed to others.
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new).map_err(unusable(&path))?;
        let only_own = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&new, only_own).map_err(unusable(&path))?;
        std::fs::rename(&new, &path).map_err(unusable(&path))?;
        let shared = Arc::new(Shared {
            store: Mutex::new(Some(Arc::clone(&store.inner))),
            stopped: AtomicBool::new(false),
            guests: Mutex::default(),
            left: Condvar::new(),
            next: AtomicU64::new(0),
        });
        let work = Arc::clone(&shared);
        let listening = thread("store-door", move || work.listen(&listener))?;
        Ok(Self {
            shared,
            path,
            listening: Some(listening),
        })
    }

    /// Where it is served.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that listens.
        let woken = UnixStream::connect(&self.path).is_ok();
        let _ = std::fs::remove_file(&self.path);
        if let Some(listening) = self.listening.take().filter(|_| woken) {
            let _ = listening.join();
        }
        let mut guests = lock(&self.shared.guests);
        for guest in guests.iter() {
            let _ = guest.stream.shutdown(Shutdown::Both);
        }
        // Each has the store until what it began is over.
        while !guests.is_empty() {
            let woken = self.shared.left.wait(guests);
            guests = woken.unwrap_or_else(PoisonError::into_inner);
        }
        *lock(&self.shared.store) = None;
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|error| StoreError::Unusable(error.to_string()))
}

impl Shared {
    #[expect(clippy::disallowed_methods, reason = "no node runs on this thread")]
    fn listen(self: &Arc<Self>, listener: &UnixListener) {
        while !self.stopped.load(Ordering::SeqCst) {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::sleep(PAUSE);
                continue;
            };
            // Who cannot be served is closed, and comes again.
            let shared = Arc::clone(self);
            let _ = thread("store-guest", move || shared.welcome(&stream));
        }
    }

    /// Serves one connection until it ends.
    fn welcome(&self, stream: &UnixStream) {
        let Ok(kept) = stream.try_clone() else {
            return;
        };
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        {
            let mut guests = lock(&self.guests);
            if guests.len() >= CONNECTIONS_MAX || self.stopped.load(Ordering::SeqCst) {
                return;
            }
            guests.push(Guest {
                number,
                session: 0,
                stream: kept,
            });
        }
        // However it ended: the other side notices, and what it sent and was not answered is unknown to it.
        let _ = self.serve(number, stream);
        let _ = stream.shutdown(Shutdown::Both);
        lock(&self.guests).retain(|guest| guest.number != number);
        self.left.notify_all();
    }

    /// Ends earlier connections of a session, and waits until nothing that came by them can be begun any more:
    /// what its node took for lost must not happen after what it asks now.
    fn succeed(&self, number: u64, session: u64) {
        let mut guests = lock(&self.guests);
        if session == 0 {
            return;
        }
        let is_earlier = |guest: &Guest| guest.session == session && guest.number < number;
        for guest in guests.iter().filter(|guest| is_earlier(guest)) {
            let _ = guest.stream.shutdown(Shutdown::Both);
        }
        while guests.iter().any(is_earlier) {
            let woken = self.left.wait(guests);
            guests = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(own) = guests.iter_mut().find(|guest| guest.number == number) {
            own.session = session;
        }
    }

    fn serve(&self, number: u64, stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(GREETING_MAX))?;
        stream.set_write_timeout(Some(GREETING_MAX))?;
        let mut reading = BufReader::with_capacity(64 << 10, stream.try_clone()?);
        let (session, node) = wire::read_node(&mut reading)?;
        self.succeed(number, session);
        let Some(store) = lock(&self.store).clone() else {
            return Ok(());
        };
        let mut writing = stream.try_clone()?;
        writing.write_all(&wire::greeting_of_store(store.id))?;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        let mailbox = Arc::<Mailbox>::default();
        let answers = Arc::clone(&mailbox);
        let answering = thread("store-answers", move || answer(&answers, &mut writing));
        let answering = answering.map_err(|error| io::Error::other(error.to_string()))?;
        let mut frame = Vec::new();
        let outcome = loop {
            match wire::read_frame(&mut reading, &mut frame) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
            let Some((number, op)) = wire::read_op(&frame) else {
                break Err(io::ErrorKind::InvalidData.into());
            };
            // A node that does not take its answers waits here.
            if !mailbox.enter(store.in_flight_max) {
                break Ok(());
            }
            store.push(op, &node, &mailbox, number);
        };
        mailbox.close();
        let _ = stream.shutdown(Shutdown::Both);
        let _ = answering.join();
        outcome
    }
}

/// Sends completions as they come, until there will be no more or they cannot be sent.
fn answer(mailbox: &Mailbox, to: &mut UnixStream) {
    let mut out = Vec::new();
    while let Some(completions) = mailbox.wait() {
        out.clear();
        for (tag, completion) in &completions {
            wire::write_completion(&mut out, *tag, completion);
        }
        if to.write_all(&out).is_err() {
            mailbox.close();
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}
