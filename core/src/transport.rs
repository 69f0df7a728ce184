//! The seam to transports: links that are dialled when told, streams of frames.
//!
//! A transport makes no decisions. It reports what arrived and does what it is told; when to dial,
//! how long to back off, what a deadline means and who may speak is decided above it.

use core::task::{Context, Poll};

use crate::header::Header;
use crate::id::{CallId, LinkId, MethodId, StreamId};
use crate::machine::Full;
use crate::status::{Cause, Code, Status};
use crate::stream::Class;
use crate::time::Duration;

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The connection stands.
    Up,
    /// Nothing listens at the address.
    Refused,
    /// It could not be made, or was lost after it stood.
    Lost,
    /// Somebody is there, and one side does not trust the other: a certificate does not hold, or a
    /// setting forbids the connection.
    Untrusted,
}

/// What a transport knows of a caller by itself, whatever the caller says.
#[derive(Clone, Debug)]
pub struct Caller<B> {
    /// Whether it is certainly on this very machine.
    pub loopback: bool,
    /// The names its certificate was issued for, separated by line ends, after the certificate was
    /// verified; `None` if it showed none.
    pub names: Option<B>,
}

impl<B> Caller<B> {
    /// A caller on this very machine, without a certificate.
    pub const LOCAL: Self = Self {
        loopback: true,
        names: None,
    };
    /// A caller from elsewhere, without a certificate.
    pub const REMOTE: Self = Self {
        loopback: false,
        names: None,
    };
}

/// Something that arrived, owning its bytes.
#[derive(Clone, Debug)]
pub enum Arrival<B> {
    /// News of a link this side dialled. After anything but `Up` its streams have ended: an `Ended`
    /// for each of them comes as well, before or after.
    Link {
        /// The link.
        link: LinkId,
        /// What happened.
        event: LinkEvent,
        /// Why, in words for people that begin with a stable code, where there is more to say.
        why: Option<B>,
    },
    /// A peer opened a call. Answered by [`Transport::bind`] or [`Transport::refuse`]; no event of
    /// the call comes before that.
    Accepted {
        /// The transport's number of it.
        call: CallId,
        /// What is called.
        method: MethodId,
        /// Its metadata, laid out as [`Header`] says.
        header: B,
        /// How long the caller will wait from now on.
        timeout: Option<Duration>,
        /// What is known of who calls.
        caller: Caller<B>,
    },
    /// Metadata of the answer to an opened stream; before its first message.
    Header {
        /// The stream.
        stream: StreamId,
        /// The metadata.
        header: B,
    },
    /// One whole message.
    Frame {
        /// The stream.
        stream: StreamId,
        /// The message.
        frame: B,
    },
    /// The peer will send no more.
    HalfClosed {
        /// The stream.
        stream: StreamId,
    },
    /// A frame was refused before; there is room again.
    Writable {
        /// The stream.
        stream: StreamId,
    },
    /// The stream is over. Of each stream exactly one, the last, unless it was ended from here.
    Ended {
        /// The stream.
        stream: StreamId,
        /// How.
        code: Code,
        /// Who ended it: `Peer`, `Refused`, `Lost` or `Untrusted`.
        cause: Cause,
        /// The status message, UTF-8.
        message: B,
        /// The status details.
        details: B,
    },
}

impl<B> Arrival<B> {
    /// Gives the bytes it owns to `take`.
    pub fn spend(self, mut take: impl FnMut(B)) {
        match self {
            Self::HalfClosed { .. } | Self::Writable { .. } => {}
            Self::Link { why, .. } => drop(why.map(take)),
            Self::Accepted { header, caller, .. } => {
                take(header);
                caller.names.map(take);
            }
            Self::Header { header, .. } => take(header),
            Self::Frame { frame, .. } => take(frame),
            Self::Ended {
                message, details, ..
            } => {
                take(message);
                take(details);
            }
        }
    }
}

/// A carrier of streams. All calls return at once; effects on a stream that is over do nothing.
pub trait Transport {
    /// Bytes as the transport owns them.
    type Buf: AsRef<[u8]>;

    /// The next thing that arrived, or `Pending` with the task's waker kept.
    ///
    /// A frame on an accepted stream is delivered only when the stream has room for a reply of
    /// [`reply_reserve`](crate::limits::Limits::reply_reserve) bytes, so that a peer that does not
    /// read stops being read.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrival<Self::Buf>>;

    /// Makes the connection `link` to `address`. Streams may be opened on it at once; they wait.
    fn dial(&mut self, link: LinkId, address: &str, class: Class);

    /// Closes a link; its streams have ended, and nothing more is heard of it or of them.
    fn hang_up(&mut self, link: LinkId);

    /// Gives an accepted call its stream, and sends the answer's metadata.
    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>);

    /// Refuses an accepted call.
    fn refuse(&mut self, call: CallId, status: Status<'_>);

    /// Opens a stream on a link. `timeout` goes to the peer; it is not kept here.
    fn open(
        &mut self,
        stream: StreamId,
        link: LinkId,
        method: MethodId,
        header: Header<'_>,
        timeout: Option<Duration>,
    );

    /// See [`Io::frame`](crate::machine::Io::frame). A stream whose end is still to be told takes
    /// frames for nothing.
    ///
    /// # Errors
    /// [`Full`] if the stream is over or has no room.
    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full>;

    /// Returns inbound credit for `bytes` of frames that were delivered.
    fn credit(&mut self, stream: StreamId, bytes: u32);

    /// This side will send no more.
    fn half_close(&mut self, stream: StreamId);

    /// Ends a stream: answers an accepted one, abandons an opened one.
    fn end(&mut self, stream: StreamId, status: Status<'_>);

    /// Takes bytes back that have been delivered, so that a transport may use them again.
    fn recycle(&mut self, _spent: Self::Buf) {}

    /// What was written since the last flush may go out now. The driver calls it once a turn.
    fn flush(&mut self);
}
