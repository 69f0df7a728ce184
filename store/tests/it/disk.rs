//! File layers that fail on purpose: as a full or broken disk does, or as a machine that loses power.
//!
//! A crash loses what was not synced, or keeps any part of it: each write whole, in part or not at all, whatever came
//! before or after it, and whatever became of other files. Names that were not synced are lost from the last one on.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use trefoil_store::{Files, LogFile};

/// Numbers that look random and are the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// How a disk fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The first operation that fails, and all after it; they are counted from 1.
    pub(crate) at: u64,
    pub(crate) kind: io::ErrorKind,
}

impl Fault {
    pub(crate) const NONE: Self = Self {
        at: u64::MAX,
        kind: io::ErrorKind::Other,
    };
}

type FileId = usize;

#[derive(Clone, Debug, Default)]
struct FileState {
    /// What survives a crash.
    synced: Vec<u8>,
    /// What can be read.
    seen: Vec<u8>,
    /// Writes since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum Rename {
    Link(String, FileId),
    Move(String, String),
    Remove(String),
}

fn apply(names: &mut BTreeMap<String, FileId>, change: &Rename) {
    match change {
        Rename::Link(name, file) => drop(names.insert(name.clone(), *file)),
        Rename::Move(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Rename::Remove(name) => drop(names.remove(name)),
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<FileState>,
    names: BTreeMap<String, FileId>,
    synced_names: BTreeMap<String, FileId>,
    unsynced_names: Vec<Rename>,
    operations: u64,
}

/// A directory in memory.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    fault: Fault,
}

impl Disk {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            state: Arc::default(),
            fault,
        }
    }

    /// The same disk, of which the machine still knows what was not synced, as after a crash of the process.
    pub(crate) fn reopened(&self, fault: Fault) -> Self {
        let mut state = self.state.lock().unwrap().clone();
        state.operations = 0;
        Self {
            state: Arc::new(Mutex::new(state)),
            fault,
        }
    }

    /// What is left after the machine has lost power: one of the many things that may be.
    pub(crate) fn after_crash(&self, dice: &mut Dice, fault: Fault) -> Self {
        let mut state = self.state.lock().unwrap().clone();
        let mut names = state.synced_names.clone();
        let kept = dice.below(state.unsynced_names.len() + 1);
        for change in &state.unsynced_names[..kept] {
            apply(&mut names, change);
        }
        for file in &mut state.files {
            let writes = std::mem::take(&mut file.unsynced);
            for (at, bytes) in writes {
                tear(&mut file.synced, at, &bytes, dice);
            }
            file.seen = file.synced.clone();
        }
        let state = State {
            files: state.files,
            synced_names: names.clone(),
            names,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            fault,
        }
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state.lock().unwrap().operations
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state.lock().unwrap().names.keys().cloned().collect()
    }

    /// The bytes of a file, to be changed as no crash does.
    pub(crate) fn alter(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.lock().unwrap();
        let file = state.names[name];
        let file = &mut state.files[file];
        change(&mut file.seen);
        file.synced = file.seen.clone();
        file.unsynced.clear();
    }

    pub(crate) fn bytes_of(&self, name: &str) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        state.files[state.names[name]].seen.clone()
    }

    fn count(&self, state: &mut State) -> io::Result<()> {
        state.operations += 1;
        if state.operations >= self.fault.at {
            Err(self.fault.kind.into())
        } else {
            Ok(())
        }
    }

    fn rename_now(&self, change: Rename) -> io::Result<()> {
        let state = &mut *self.state.lock().unwrap();
        self.count(state)?;
        apply(&mut state.names, &change);
        state.unsynced_names.push(change);
        Ok(())
    }

    fn handle(&self, file: FileId) -> Arc<dyn LogFile> {
        Arc::new(Handle {
            disk: self.clone(),
            file,
        })
    }
}

fn put(into: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if into.len() < at + bytes.len() {
        into.resize(at + bytes.len(), 0);
    }
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Keeps some of a write: all, nothing, a beginning, or some of its pieces.
fn tear(into: &mut Vec<u8>, at: usize, bytes: &[u8], dice: &mut Dice) {
    const PIECE: usize = 64;
    match dice.below(4) {
        0 => {}
        1 => put(into, at, bytes),
        2 => put(into, at, &bytes[..dice.below(bytes.len() + 1)]),
        _ => {
            for (n, piece) in bytes.chunks(PIECE).enumerate() {
                if dice.below(2) == 0 {
                    put(into, at + n * PIECE, piece);
                }
            }
        }
    }
}

impl Files for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = {
            let state = &mut *self.state.lock().unwrap();
            self.count(state)?;
            state.files.push(FileState::default());
            let change = Rename::Link(name.to_owned(), state.files.len() - 1);
            apply(&mut state.names, &change);
            state.unsynced_names.push(change);
            state.files.len() - 1
        };
        Ok(self.handle(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let found = self.state.lock().unwrap().names.get(name).copied();
        Ok(self.handle(found.ok_or(io::ErrorKind::NotFound)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename_now(Rename::Move(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.rename_now(Rename::Remove(name.to_owned()))
    }

    fn sync(&self) -> io::Result<()> {
        let state = &mut *self.state.lock().unwrap();
        self.count(state)?;
        state.synced_names = state.names.clone();
        state.unsynced_names.clear();
        Ok(())
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    file: FileId,
}

impl LogFile for Handle {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state.lock().unwrap().files[self.file].seen.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state.lock().unwrap();
        let at = offset as usize;
        let found = state.files[self.file].seen.get(at..at + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let state = &mut *self.disk.state.lock().unwrap();
        let outcome = self.disk.count(state);
        let file = &mut state.files[self.file];
        // A write that fails may have been done in part.
        let done = if outcome.is_ok() {
            bytes
        } else {
            &bytes[..bytes.len() / 2]
        };
        put(&mut file.seen, offset as usize, done);
        file.unsynced.push((offset as usize, done.to_vec()));
        outcome
    }

    fn sync(&self) -> io::Result<()> {
        let state = &mut *self.disk.state.lock().unwrap();
        let outcome = self.disk.count(state);
        let file = &mut state.files[self.file];
        // After a sync that failed, the system takes for written what was not: a later one does not write it.
        let writes = std::mem::take(&mut file.unsynced);
        if outcome.is_ok() {
            for (at, bytes) in writes {
                put(&mut file.synced, at, &bytes);
            }
        }
        outcome
    }
}
