//! What tasks have for the driver: calls that peers opened, and news of links.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use hyper::client::conn::http2::SendRequest;
use tonic::Streaming;
use trefoil_core::id::{LinkId, MethodId};
use trefoil_core::time::Duration;
use trefoil_core::transport::Caller;

use crate::body::RequestBody;
use crate::pipe::Pipe;
use crate::stream::Stream;

/// A call that a peer opened.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) method: MethodId,
    pub(crate) header: Bytes,
    pub(crate) timeout: Option<Duration>,
    pub(crate) caller: Caller<Bytes>,
    pub(crate) inbound: Streaming<Bytes>,
    pub(crate) pipe: Arc<Pipe>,
}

/// What became of a connection.
pub(crate) enum News {
    Up(SendRequest<RequestBody>),
    Refused,
    Lost,
    /// Somebody is there, and one side does not trust the other: for this reason.
    Untrusted(Bytes),
}

/// News of one attempt to hold a link up.
pub(crate) struct LinkNews {
    pub(crate) link: LinkId,
    pub(crate) attempt: u64,
    pub(crate) news: News,
}

/// Where tasks and the driver meet.
pub(crate) type Inbox = trefoil_transport::Inbox<Offer, LinkNews>;

/// Whose turn it is.
pub(crate) type Rounds = trefoil_transport::Rounds<Stream, Offer, LinkNews>;

/// Answers to open a stream carry these.
pub(crate) type Answer = Result<HeaderMap, tonic::Status>;
