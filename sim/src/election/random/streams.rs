//! Streams between voters: ordered, reliable while they last, silent behind a cut.

use trefoil_core::header::HeaderWriter;
use trefoil_core::id::StreamId;
use trefoil_core::identity::Identity;
use trefoil_core::status::Cause;

use crate::moment::Moment;

/// One end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) voter: usize,
    /// Which start of the voter holds it.
    pub(super) boot: u32,
    pub(super) stream: StreamId,
    /// Whether it hears any more.
    pub(super) open: bool,
}

/// A stream. End 0 opened it.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) ends: [End; 2],
    /// When the last thing sent to each end arrives: nothing overtakes.
    pub(super) arrives: [Moment; 2],
    /// What waits behind a cut on the way to each end.
    pub(super) held: [Vec<Parcel>; 2],
    /// The end that opened it was told who answers, which is before anything else.
    pub(super) greeted: bool,
    /// Whoever opened it says nothing of itself.
    pub(super) is_anonymous: bool,
}

/// What travels.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    /// The call itself.
    Call,
    /// What the other side says of itself.
    Header(u64),
    Frame(Vec<u8>),
    HalfClosed,
    Ended(Cause),
}

/// What an answer begins with: the metadata of a node of ours.
pub(super) fn greeting() -> Vec<u8> {
    let identity = Identity {
        node: "v:1",
        boot: 1,
        incarnation: 1,
        cluster: "sim",
        placement: 0,
        store: 0,
        electorate: 0,
        features: 0,
    };
    let mut bytes = [0; 512];
    let mut writer = HeaderWriter::new(&mut bytes);
    match identity.write(&mut writer) {
        Ok(()) => writer.finish().0.to_vec(),
        // Nobody is greeted then, and no vote is counted.
        Err(_) => Vec::new(),
    }
}
