//! What a case expects to arrive.

use std::time::Duration;

use trefoil_core::id::{CallId, LinkId, MethodId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, LinkEvent};

use crate::subject::{At, Subject};
use crate::world::{Event, LINK, World};

/// A call that waits for a decision.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) call: CallId,
    pub(crate) method: MethodId,
    pub(crate) header: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) code: Code,
    pub(crate) cause: Cause,
    pub(crate) message: String,
    pub(crate) details: Vec<u8>,
}

impl End {
    pub(crate) const fn is(&self) -> (Code, Cause) {
        (self.code, self.cause)
    }
}

/// What may come at any time, as far as most cases are concerned. A caller may hear that the answer
/// has been half-closed or may not: it ends with a status in any case.
const fn is_aside(at: At, event: &Event) -> bool {
    matches!(
        (at, event),
        (_, Arrival::Header { .. } | Arrival::Writable { .. })
            | (At::Caller, Arrival::HalfClosed { .. })
    )
}

impl<S: Subject> World<S> {
    /// A world with a link that stands.
    pub(crate) fn linked() -> Self {
        Self::linked_with(&Limits::default(), &Limits::default())
    }

    pub(crate) fn linked_with(caller: &Limits, callee: &Limits) -> Self {
        let mut world = Self::with(caller, callee);
        world.dial();
        world.expect_link(LINK, LinkEvent::Up);
        world
    }

    pub(crate) fn dial(&mut self) {
        let address = self.subject().address();
        self.dial_on(LINK, &address, Class::Bulk);
    }

    /// A stream between the two sides: how the caller calls it, and how the callee.
    pub(crate) fn stream(&mut self) -> (StreamId, StreamId) {
        let stream = self.open();
        (stream, self.accept())
    }

    /// The next call.
    pub(crate) fn offer(&mut self) -> Offer {
        let is_call = |event: &Event| matches!(event, Arrival::Accepted { .. });
        let event = self.wait("a call", |world| world.pop_if(At::Callee, is_call));
        match event {
            Arrival::Accepted {
                call,
                method,
                header,
                timeout,
                ..
            } => Offer {
                call,
                method,
                header,
                timeout,
            },
            other => panic!("{other:?} instead of a call"),
        }
    }

    /// Accepts the next call.
    pub(crate) fn accept(&mut self) -> StreamId {
        let offer = self.offer();
        self.bind(offer.call, &[])
    }

    fn next_of(&mut self, at: At, stream: StreamId, name: &str) -> Event {
        self.wait(name, |world| {
            world.pop_of(at, stream, |event| is_aside(at, event))
        })
    }

    /// The next message of a stream.
    pub(crate) fn take_frame(&mut self, at: At, stream: StreamId) -> Vec<u8> {
        match self.next_of(at, stream, "a frame") {
            Arrival::Frame { frame, .. } => frame,
            other => panic!("{at:?}: {other:?} instead of a frame"),
        }
    }

    pub(crate) fn expect_frame(&mut self, at: At, stream: StreamId, sent: &[u8]) {
        let frame = self.take_frame(at, stream);
        assert_eq!(
            frame.len(),
            sent.len(),
            "{at:?}: another message on {stream}"
        );
        assert!(frame == sent, "{at:?}: a message on {stream} was changed");
    }

    pub(crate) fn expect_half_close(&mut self, at: At, stream: StreamId) {
        match self.next_of(at, stream, "a half-close") {
            Arrival::HalfClosed { .. } => {}
            other => panic!("{at:?}: {other:?} instead of a half-close"),
        }
    }

    pub(crate) fn expect_end(&mut self, at: At, stream: StreamId) -> End {
        match self.next_of(at, stream, "an end") {
            Arrival::Ended {
                code,
                cause,
                message,
                details,
                ..
            } => End {
                code,
                cause,
                message: String::from_utf8(message).expect("a message that is no text"),
                details,
            },
            other => panic!("{at:?}: {other:?} instead of an end"),
        }
    }

    /// The end of a stream, whatever comes on it before.
    pub(crate) fn await_end(&mut self, at: At, stream: StreamId) -> End {
        let is_end =
            |event: &Event| matches!(event, Arrival::Ended { stream: of, .. } if *of == stream);
        self.wait("an end", |world| {
            let end = world.pop_if(at, is_end)?;
            while world.pop_of(at, stream, |_| false).is_some() {}
            match end {
                Arrival::Ended {
                    code,
                    cause,
                    message,
                    details,
                    ..
                } => Some(End {
                    code,
                    cause,
                    message: String::from_utf8_lossy(&message).into_owned(),
                    details,
                }),
                _ => None,
            }
        })
    }

    /// The metadata of an answer, which must come first.
    pub(crate) fn expect_header(&mut self, stream: StreamId) -> Vec<u8> {
        let event = self.wait("a header", |world| {
            world.pop_of(At::Caller, stream, |_| false)
        });
        match event {
            Arrival::Header { header, .. } => header,
            other => panic!("{other:?} instead of a header"),
        }
    }

    /// The next news of a link.
    pub(crate) fn link_news(&mut self, link: LinkId) -> LinkEvent {
        let is_news =
            |event: &Event| matches!(event, Arrival::Link { link: of, .. } if *of == link);
        match self.wait("news of a link", |world| world.pop_if(At::Caller, is_news)) {
            Arrival::Link { event, .. } => event,
            other => panic!("{other:?} instead of news of a link"),
        }
    }

    pub(crate) fn expect_link(&mut self, link: LinkId, event: LinkEvent) {
        assert_eq!(self.link_news(link), event, "news of {link:?}");
    }

    /// A message goes there and another back: the link and both sides are well.
    pub(crate) fn expect_well(&mut self, link: LinkId) {
        let stream = self.open_with(link, crate::UNARY, &[], None);
        self.frame(At::Caller, stream, b"are you well?");
        self.half_close(At::Caller, stream);
        let accepted = self.accept();
        self.expect_frame(At::Callee, accepted, b"are you well?");
        self.expect_half_close(At::Callee, accepted);
        self.frame(At::Callee, accepted, b"well");
        self.end(At::Callee, accepted, trefoil_core::status::Status::OK);
        self.expect_frame(At::Caller, stream, b"well");
        let end = self.expect_end(At::Caller, stream);
        assert_eq!(end.is(), (Code::Ok, Cause::Peer));
    }
}

/// A header of these pairs.
pub(crate) fn header(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut buf = vec![0; 64 << 10];
    let mut writer = trefoil_core::header::HeaderWriter::new(&mut buf);
    for (key, value) in pairs {
        assert!(writer.push(key, value).is_ok(), "a header that is too long");
    }
    writer.finish().0.to_vec()
}

/// A message that no other message of a case is like: what `key` and its place say.
pub(crate) fn message(key: u64, len: usize) -> Vec<u8> {
    let mut rng = trefoil_core::rng::Rng::new(key);
    let mut message = Vec::with_capacity(len + 8);
    while message.len() < len {
        message.extend_from_slice(&rng.draw().to_le_bytes());
    }
    message.truncate(len);
    message
}
