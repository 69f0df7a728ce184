//! The last assignment: kept as it came, and looked through when something is asked of it. So it takes the
//! bytes of one frame, however many channels there are.

use alloc::vec::Vec;

use trefoil_proto::Decode;
use trefoil_proto::streaming::{
    AssignmentDiscoverResponseResponse as Response, AssignmentDiscoverResponseView,
    StreamingNodeAssignment,
};
use trefoil_proto::wire::Repeated;

use crate::channels::open::is_channel_name;

/// Bytes of the longest address that is dialled.
const ADDRESS_BYTES_MAX: usize = 256;

/// Where a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) channel: &'a str,
    pub(super) term: i64,
    pub(super) server_id: i64,
    pub(super) address: &'a str,
}

/// The last assignment and its version.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) version: (i64, i64),
    frame: Vec<u8>,
}

impl Assignment {
    /// None yet: any is newer.
    pub(super) const fn new() -> Self {
        Self {
            version: (-1, -1),
            frame: Vec::new(),
        }
    }

    /// Takes in a frame that was looked through.
    pub(super) fn replace(&mut self, version: (i64, i64), frame: &[u8]) {
        self.version = version;
        self.frame.clear();
        self.frame.extend_from_slice(frame);
    }

    pub(super) fn nodes(&self) -> Repeated<'_, StreamingNodeAssignment<'_>> {
        match AssignmentDiscoverResponseView::parse(&self.frame).map(|view| view.response) {
            Ok(Some(Response::FullAssignment(full))) => full.assignments,
            Ok(Some(Response::Close(_)) | None) | Err(_) => Repeated::default(),
        }
    }

    /// Every channel that has a place. The rest is passed over.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.nodes().iter().flatten().flat_map(|assigned| {
            let node = assigned.node.unwrap_or_default();
            let is_named = (1..=ADDRESS_BYTES_MAX).contains(&node.address.len());
            let channels = assigned.channels.iter().flatten();
            channels
                .filter(move |channel| {
                    is_named && is_channel_name(channel.name) && channel.term > 0
                })
                .map(move |channel| Place {
                    channel: channel.name,
                    term: channel.term,
                    server_id: node.server_id,
                    address: node.address,
                })
        })
    }

    /// Where one channel is; at the highest term, if it is in two places.
    pub(super) fn place(&self, channel: &str) -> Option<Place<'_>> {
        let places = self.places().filter(|place| place.channel == channel);
        places.max_by_key(|place| place.term)
    }
}
