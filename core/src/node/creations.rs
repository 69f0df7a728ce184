//! Channels that operators asked for: they are answered when the catalog has them, so that no change of the leader loses
//! what was answered.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use trefoil_proto::channels::CreateReply;

use crate::codes;
use crate::id::StreamId;
use crate::machine::Io;
use crate::status::{Code, Status};
use crate::wire;

/// Requests that wait.
#[derive(Debug, Default)]
pub(super) struct Creations(Vec<Creation>);

#[derive(Debug)]
struct Creation {
    stream: StreamId,
    created: u32,
    message: &'static str,
    /// Those that the catalog does not have yet.
    missing: BTreeSet<String>,
}

impl Creation {
    fn answer(self, io: &mut dyn Io) {
        let Self {
            stream,
            created,
            message,
            ..
        } = self;
        if wire::reply(io, stream, &CreateReply { created, message }).is_err() {
            io.end(
                stream,
                Status::new(Code::ResourceExhausted, codes::TOO_LARGE),
            );
        }
    }
}

impl Creations {
    /// A request that is answered when the last of `missing` is in the catalog: now, if there is none.
    pub(super) fn add(
        &mut self,
        stream: StreamId,
        created: u32,
        message: &'static str,
        missing: BTreeSet<String>,
        io: &mut dyn Io,
    ) {
        let creation = Creation {
            stream,
            created,
            message,
            missing,
        };
        if creation.missing.is_empty() {
            creation.answer(io);
        } else {
            self.0.push(creation);
        }
    }

    /// A channel is in the catalog.
    pub(super) fn created(&mut self, channel: &str, io: &mut dyn Io) {
        let mut at = 0;
        while let Some(creation) = self.0.get_mut(at) {
            if creation.missing.remove(channel) && creation.missing.is_empty() {
                self.0.swap_remove(at).answer(io);
            } else {
                at += 1;
            }
        }
    }

    /// Whether a request waits.
    pub(super) fn has(&self, stream: StreamId) -> bool {
        self.0.iter().any(|creation| creation.stream == stream)
    }

    /// Whoever asked has gone.
    pub(super) fn ended(&mut self, stream: StreamId) {
        self.0.retain(|creation| creation.stream != stream);
    }

    /// This node coordinates no more: the next that does may know of some, and not of others.
    pub(super) fn give_up(&mut self, io: &mut dyn Io) {
        for creation in self.0.drain(..) {
            let why = Status::new(Code::FailedPrecondition, codes::NOT_COORDINATOR);
            io.end(creation.stream, why);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
