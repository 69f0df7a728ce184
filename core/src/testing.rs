//! A world for one machine under test: records what it does, invents streams, lends buffers.

extern crate std;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::header::Header;
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::machine::{Full, Io};
use crate::status::{Code, Status};
use crate::storage::Op;
use crate::stream::Class;
use crate::time::Instant;

/// A stream the machine opened.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) stream: StreamId,
    pub(crate) to: NodeId,
    pub(crate) method: MethodId,
    pub(crate) class: Class,
    pub(crate) header: Vec<u8>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) tag: Tag,
}

/// A status that owns its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedStatus {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// Everything a machine did, in lists a test takes from.
#[derive(Default)]
pub(crate) struct FakeIo {
    pub(crate) opened: Vec<Opened>,
    pub(crate) adopted: Vec<(StreamId, Tag)>,
    pub(crate) frames: Vec<(StreamId, Vec<u8>)>,
    pub(crate) half_closed: Vec<StreamId>,
    pub(crate) ended: Vec<(StreamId, OwnedStatus)>,
    /// Tag and `Debug` text of each operation, in order.
    pub(crate) submitted: Vec<(Tag, String)>,
    /// Makes `open`, `frame` or `submit` refuse.
    pub(crate) full: bool,
    /// Numbers that were given back.
    pub(crate) forgotten: Vec<NodeId>,
    names: Vec<String>,
    next_stream: u32,
}

impl FakeIo {
    /// A stream as a peer would have opened it.
    pub(crate) fn accept(&mut self) -> StreamId {
        self.next_stream += 1;
        StreamId::new(self.next_stream, 1)
    }

    /// The one stream opened since the last call.
    pub(crate) fn take_opened(&mut self) -> Vec<Opened> {
        core::mem::take(&mut self.opened)
    }

    /// Frames written to `stream`, taken away.
    pub(crate) fn take_frames(&mut self, stream: StreamId) -> Vec<Vec<u8>> {
        let (mine, rest) = core::mem::take(&mut self.frames)
            .into_iter()
            .partition(|(s, _)| *s == stream);
        self.frames = rest;
        let mine: Vec<(StreamId, Vec<u8>)> = mine;
        mine.into_iter().map(|(_, frame)| frame).collect()
    }

    /// How `stream` was ended, taken away.
    pub(crate) fn take_end(&mut self, stream: StreamId) -> Option<OwnedStatus> {
        let at = self.ended.iter().position(|(s, _)| *s == stream)?;
        Some(self.ended.remove(at).1)
    }
}

impl Io for FakeIo {
    fn open(
        &mut self,
        to: NodeId,
        method: MethodId,
        class: Class,
        header: Header<'_>,
        deadline: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        if self.full {
            return Err(Full);
        }
        let stream = self.accept();
        self.opened.push(Opened {
            stream,
            to,
            method,
            class,
            header: header.0.to_vec(),
            deadline,
            tag,
        });
        Ok(stream)
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        self.adopted.push((stream, tag));
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        if self.full {
            return Err(Full);
        }
        self.frames.push((stream, vec![0; len]));
        Ok(self
            .frames
            .last_mut()
            .map(|(_, frame)| frame.as_mut_slice())
            .unwrap_or_default())
    }

    fn hold(&mut self, _: StreamId, _: u32) {}
    fn release(&mut self, _: StreamId, _: u32) {}

    fn half_close(&mut self, stream: StreamId) {
        self.half_closed.push(stream);
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        let status = OwnedStatus {
            code: status.code,
            message: status.message.to_owned(),
        };
        self.ended.push((stream, status));
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        if self.full {
            return Err(Full);
        }
        self.submitted.push((tag, std::format!("{op:?}")));
        Ok(())
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        let at = self
            .names
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| {
                self.names.push(name.to_owned());
                self.names.len() - 1
            });
        Ok(NodeId(at as u32))
    }

    fn knows(&self, name: &str) -> bool {
        let at = self.names.iter().position(|known| known == name);
        at.is_some_and(|at| !self.forgotten.contains(&NodeId(at as u32)))
    }

    fn name(&self, node: NodeId) -> &str {
        &self.names[node.0 as usize]
    }

    fn forget(&mut self, node: NodeId) {
        self.forgotten.push(node);
    }
}
