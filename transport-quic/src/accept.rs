//! The callee's end of a connection: streams come in, their requests are read, calls are offered to
//! the driver.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, SendStream, VarInt};
use trefoil_core::codes;
use trefoil_core::method::Methods;
use trefoil_core::status::Code;
use trefoil_core::stream::Class;
use trefoil_core::transport::Caller;
use trefoil_tls::rustls::pki_types::CertificateDer;

use crate::clock::{Sleep, timely};
use crate::decode::Decoder;
use crate::error::REQUEST_TOO_LARGE;
use crate::frame::{Kind, Request, reason};
use crate::inbox::{Inbox, Incoming, Offer};
use crate::linger::Linger;
use crate::setup::Setup;
use crate::source::Source;
use crate::wire::{Counted, Halves, Wire, prioritise};
use trefoil_transport::{Level, Stop};

/// A connection that drains stands at least so long after its last answer, that it be heard.
const GRACE_MIN: Duration = Duration::from_millis(50);

/// What all servers of a transport share.
pub(crate) struct Reception {
    pub(crate) setup: Arc<Setup>,
    pub(crate) methods: Arc<Methods>,
    pub(crate) inbox: Arc<Inbox>,
}

/// Why there is no request.
enum Bad {
    /// The caller went away.
    Gone,
    Protocol,
    TooLarge,
}

/// A stream whose request is being read.
struct Intake {
    send: SendStream,
    source: Source,
    counted: Counted,
}

impl Intake {
    fn poll_request(&mut self, max: usize, cx: &mut Context<'_>) -> Poll<Result<Request, Bad>> {
        loop {
            let decoder = &mut self.source.decoder;
            if let Some(word) = decoder.word().map_err(|_| Bad::Protocol)? {
                if word.kind != Kind::Request {
                    return Poll::Ready(Err(Bad::Protocol));
                }
                if word.len > max {
                    return Poll::Ready(Err(Bad::TooLarge));
                }
                if let Some(payload) = decoder.payload() {
                    return Poll::Ready(Request::read(payload).ok_or(Bad::Protocol));
                }
            }
            match self.source.poll_feed(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Err(Bad::Protocol)),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Bad::Gone)),
            }
        }
    }

    fn drop_with(mut self, code: VarInt) {
        // Fails only for a stream that is over.
        let _ = self.send.reset(code);
        self.source.stop(code);
    }
}

/// One connection, from its handshake to its end.
#[derive(Clone)]
pub(crate) struct Served {
    reception: Arc<Reception>,
    wire: Arc<Wire>,
    caller: Caller<Bytes>,
}

impl Served {
    pub(crate) fn new(reception: Arc<Reception>, connection: Connection) -> Self {
        let peer = connection.remote_address();
        let caller = Caller {
            loopback: peer.ip().to_canonical().is_loopback(),
            names: names(&connection),
        };
        let streams = reception.setup.options.concurrent_streams_max;
        connection.set_max_concurrent_bi_streams(VarInt::from_u32(streams));
        let wire = Wire::new(connection, peer.to_string(), reception.setup.windows);
        Self {
            reception,
            wire,
            caller,
        }
    }

    /// Takes calls until the connection ends, is closed, or has drained.
    pub(crate) async fn run(self, stop: &Stop) {
        let mut leaving: Option<Pin<Box<Sleep>>> = None;
        loop {
            let next = {
                let mut accept = pin!(self.wire.connection.accept_bi());
                std::future::poll_fn(|cx| {
                    let level = stop.watch(cx);
                    if level == Level::Close || self.poll_leave(level, &mut leaving, cx).is_ready()
                    {
                        return Poll::Ready(None);
                    }
                    accept.as_mut().poll(cx).map(Some)
                })
                .await
            };
            match next {
                None => return self.wire.close(reason::CLOSING),
                // The socket was closed before this task saw it coming.
                Some(Err(ConnectionError::LocallyClosed)) => {
                    return self.wire.close(reason::CLOSING);
                }
                // How a connection ends is its peer's business; its streams have heard of it.
                Some(Err(_)) => return,
                Some(Ok(halves)) => self.take(halves, stop.level() == Level::Run),
            }
        }
    }

    /// Ready when a connection that is to drain has drained.
    fn poll_leave(
        &self,
        level: Level,
        leaving: &mut Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if level == Level::Run {
            return Poll::Pending;
        }
        if leaving.is_none() && self.wire.poll_drained(cx).is_ready() {
            // Answers given before the drain began may still be on their way.
            let grace = GRACE_MIN.max(self.wire.connection.rtt() * 3);
            let sleep = Sleep::new(&*self.reception.setup.runtime, grace);
            *leaving = Some(Box::pin(sleep));
        }
        match leaving {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Reads the request of a stream: at once if it is there, which is the rule, or in a task.
    fn take(&self, (send, recv): Halves, welcome: bool) {
        let mut intake = Intake {
            send,
            source: Source::new(recv, Decoder::default()),
            counted: Counted::new(&self.wire),
        };
        if !welcome {
            self.spawn(self.refuse(intake, Code::Unavailable, codes::STOPPING));
            return;
        }
        let max = self.request_max();
        let mut cx = Context::from_waker(Waker::noop());
        match intake.poll_request(max, &mut cx) {
            Poll::Ready(read) => self.spawn(self.read(intake, read)),
            Poll::Pending => {
                let served = self.clone();
                let slow = async move { served.read_slowly(intake).await };
                self.reception.setup.runtime.spawn(Box::pin(slow));
            }
        }
    }

    fn request_max(&self) -> usize {
        self.reception.setup.options.request_bytes_max as usize
    }

    async fn read_slowly(&self, mut intake: Intake) {
        let setup = &self.reception.setup;
        let request = std::future::poll_fn(|cx| intake.poll_request(self.request_max(), cx));
        match timely(&*setup.runtime, setup.request_timeout, request).await {
            Some(read) => self.spawn(self.read(intake, read)),
            None => intake.drop_with(reason::REFUSED),
        }
    }

    /// Offers a call whose request has been read. Returns what is left of a refusal.
    fn read(&self, intake: Intake, read: Result<Request, Bad>) -> Option<Linger> {
        let request = match read {
            Ok(request) => request,
            Err(Bad::Gone) => {
                intake.drop_with(reason::CANCELLED);
                return None;
            }
            Err(Bad::Protocol) => {
                intake.drop_with(reason::PROTOCOL);
                return None;
            }
            Err(Bad::TooLarge) => {
                return self.refuse(intake, Code::ResourceExhausted, REQUEST_TOO_LARGE);
            }
        };
        if self.wire.is_draining() {
            return self.refuse(intake, Code::Unavailable, codes::STOPPING);
        }
        let Ok(path) = str::from_utf8(&request.path) else {
            intake.drop_with(reason::PROTOCOL);
            return None;
        };
        let Some((method, known)) = self.reception.methods.by_path(path) else {
            return self.refuse(intake, Code::Unimplemented, codes::NO_METHOD);
        };
        let class = known.class;
        prioritise(&intake.send, class);
        let offer = Offer {
            method,
            class,
            header: request.header,
            timeout: request.timeout,
            caller: self.caller.clone(),
            incoming: Incoming {
                send: intake.send,
                source: intake.source,
                counted: intake.counted,
            },
        };
        match self.reception.inbox.offer(offer) {
            Ok(()) => None,
            Err((offer, code, message)) => offer.refuse(code, message, &[]),
        }
    }

    /// Answers with a status alone.
    fn refuse(&self, mut intake: Intake, code: Code, message: &str) -> Option<Linger> {
        intake.source.stop(reason::NO_ERROR);
        let status = crate::frame::Status::frame(code, message, &[]);
        Linger::status(intake.send, status, Class::Control, intake.counted)
    }

    fn spawn(&self, linger: Option<Linger>) {
        if let Some(linger) = linger {
            linger.spawn(&self.reception.setup);
        }
    }
}

/// The names of the caller's certificate, which the handshake has verified.
fn names(connection: &Connection) -> Option<Bytes> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let names = trefoil_tls::names(chain.first()?);
    // A certificate without a name that can be read is still one that was verified: of nobody.
    Some(Bytes::from(names.unwrap_or_default()))
}
