//! Channels that operators asked for: they are answered when the catalog has them, so that no change of the leader loses
//! what was answered.

use alloc::collections::BTreeMap;
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
    message: String,
    /// Those that the catalog does not have yet, and whether it was this request that they came from.
    missing: BTreeMap<String, bool>,
}

impl Creation {
    fn answer(self, io: &mut dyn Io) {
        let Self {
            stream,
            created,
            message,
            ..
        } = self;
        let message = &*message;
        if wire::reply(io, stream, &CreateReply { created, message }).is_err() {
            io.end(
                stream,
                Status::new(Code::ResourceExhausted, codes::TOO_LARGE),
            );
        }
    }
}

impl Creations {
    /// A request that is answered when the catalog has each of `missing`, or will not: now, if there is none. `message`
    /// says why one of its channels cannot be.
    pub(super) fn add(
        &mut self,
        stream: StreamId,
        message: String,
        missing: BTreeMap<String, bool>,
        io: &mut dyn Io,
    ) {
        let creation = Creation {
            stream,
            created: 0,
            message,
            missing,
        };
        if creation.missing.is_empty() {
            creation.answer(io);
        } else {
            self.0.push(creation);
        }
    }

    /// A channel is in the catalog, or an error that asking again does not mend has stopped it.
    pub(super) fn settled(&mut self, channel: &str, error: Option<&str>, io: &mut dyn Io) {
        let mut at = 0;
        while let Some(creation) = self.0.get_mut(at) {
            if let Some(is_first) = creation.missing.remove(channel) {
                match error {
                    None => creation.created += u32::from(is_first),
                    Some(why) if creation.message.is_empty() => {
                        creation.message = String::from(why)
                    }
                    Some(_) => {}
                }
                if creation.missing.is_empty() {
                    self.0.swap_remove(at).answer(io);
                    continue;
                }
            }
            at += 1;
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
