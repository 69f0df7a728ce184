//! Our transports on our runtimes: as the core's driver runs them, and polled by a task that does
//! nothing else.

use std::future::{Future, pending, poll_fn};
use std::marker::PhantomData;
use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use trefoil_core::driver::Driver;
use trefoil_core::header::Header;
use trefoil_core::id::{LinkId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, Transport};
use trefoil_runtime_tokio::{Platform, QuicPlatform, TonicPlatform};
use trefoil_tls::{Authority, ClientAuth, Tls, TlsPem};
use trefoil_transport_quic::{Quic, QuicOptions};
use trefoil_transport_tonic::{Grpc, GrpcOptions, Server};

use crate::measure::{Contender, Window, Work, answer};
use crate::mux::{self, Answers, Calls, Ears, MUX, Nothing};

const LOCALHOST: &str = "127.0.0.1:0";

/// Certificates for this machine.
pub(crate) fn tls() -> Tls {
    static TLS: OnceLock<Tls> = OnceLock::new();
    let make = || {
        let authority = Authority::new("bench").expect("an authority");
        let issued = authority.issue(&["127.0.0.1"], Duration::from_secs(86_400));
        let issued = issued.expect("a certificate");
        let identity = Some((issued.cert_pem, issued.key_pem));
        let ca = authority.cert_pem();
        Tls::from_pem(TlsPem { ca, identity }, ClientAuth::Required).expect("certificates")
    };
    TLS.get_or_init(make).clone()
}

/// One of our transports on one of our runtimes.
pub(crate) trait Stack: 'static {
    type Platform: Platform;
    type Transport: Transport<Buf = Bytes> + Send + 'static;

    /// Listens on a port of the system's choice.
    fn serve() -> impl Future<Output = (Self::Transport, SocketAddr)>;
    fn call() -> Self::Transport;
}

pub(crate) struct GrpcOn<P>(PhantomData<P>);

impl<P: TonicPlatform> Stack for GrpcOn<P> {
    type Platform = P;
    type Transport = Grpc<P::Net>;

    async fn serve() -> (Self::Transport, SocketAddr) {
        let platform = P::here();
        let (listener, address) = platform.listen(LOCALHOST, None).await.expect("a port");
        let grpc = Self::call();
        let net = platform.net(None, None).expect("no certificates");
        let server = Server::new(net, grpc.service(), GrpcOptions::default());
        let server = server.expect("options that hold");
        platform.spawn(async move { server.listen(listener).await });
        (grpc, address)
    }

    fn call() -> Self::Transport {
        let net = P::here().net(None, None).expect("no certificates");
        let (methods, limits) = (mux::methods(), Limits::default());
        Grpc::new(net, methods, &limits, GrpcOptions::default()).expect("options that hold")
    }
}

pub(crate) struct QuicOn<P>(PhantomData<P>);

impl<P: QuicPlatform> Stack for QuicOn<P> {
    type Platform = P;
    type Transport = Quic;

    async fn serve() -> (Quic, SocketAddr) {
        let quic = Self::call();
        let socket = UdpSocket::bind(LOCALHOST).expect("a port");
        let address = quic
            .server()
            .bind(socket)
            .expect("a socket that can be used");
        (quic, address)
    }

    fn call() -> Quic {
        let (methods, limits) = (mux::methods(), Limits::default());
        let options = QuicOptions::default();
        Quic::new(P::here().quinn(), tls(), methods, &limits, options).expect("options that hold")
    }
}

/// Starts a thread whose name says what it does: a profile can tell them apart.
fn spawn<T: Send + 'static>(name: String, run: impl FnOnce() -> T + Send + 'static) {
    let thread = std::thread::Builder::new().name(name).spawn(run);
    thread.expect("a thread");
}

/// Runs the two ends of a contender on two threads, each with a runtime of its own.
pub(crate) fn on_threads<P, S, C>(
    name: &'static str,
    serve: impl FnOnce(tokio::sync::oneshot::Sender<SocketAddr>) -> S + Send + 'static,
    call: impl FnOnce(SocketAddr, Work) -> C + Send + 'static,
) -> Contender
where
    P: Platform,
    S: Future<Output = ()>,
    C: Future<Output = ()>,
{
    let (contender, work) = Contender::new(name);
    let (tell, address) = tokio::sync::oneshot::channel();
    spawn(format!("s {name}"), move || {
        P::run(async move {
            serve(tell).await;
            pending::<()>().await;
        })
    });
    spawn(format!("c {name}"), move || {
        let address = address.blocking_recv().expect("a server that listens");
        P::run(async move {
            call(address, work).await;
            pending::<()>().await;
        })
    });
    contender
}

/// As the core's driver runs it: a machine in an engine.
pub(crate) fn driven<S: Stack>(name: &'static str) -> Contender {
    on_threads::<S::Platform, _, _>(
        name,
        async |tell| {
            let (transport, address) = S::serve().await;
            let engine = mux::engine(&address.to_string(), Answers);
            let ears = Ears::<S::Platform>::new(None);
            let mut driver = Driver::new(engine, transport, Nothing, ears);
            S::Platform::here().spawn(async move { poll_fn(|cx| driver.poll(cx)).await });
            tell.send(address).expect("a caller");
        },
        async |address, work| {
            let engine = mux::engine("127.0.0.1:1", Calls::new(address.to_string()));
            let ears = Ears::<S::Platform>::new(Some(work));
            let mut driver = Driver::new(engine, S::call(), Nothing, ears);
            S::Platform::here().spawn(async move { poll_fn(|cx| driver.poll(cx)).await });
        },
    )
}

/// Arrivals taken before what was written is sent, as the driver's default is.
const TURN: u32 = 256;

/// Polled by a task that knows one stream: what the driver and the engine add is not in it.
pub(crate) fn polled<S: Stack>(name: &'static str) -> Contender {
    on_threads::<S::Platform, _, _>(
        name,
        async |tell| {
            let (transport, address) = S::serve().await;
            S::Platform::here().spawn(answer_all(transport));
            tell.send(address).expect("a caller");
        },
        async |address, work| {
            S::Platform::here().spawn(call_one(S::call(), address, work));
        },
    )
}

const STREAM: StreamId = StreamId::new(0, 1);

/// Takes what arrived, a turn of it, and has what was written sent.
fn turn<T: Transport>(
    transport: &mut T,
    cx: &mut std::task::Context<'_>,
    mut take: impl FnMut(&mut T, Arrival<T::Buf>),
) {
    let mut left = TURN;
    loop {
        match transport.poll(cx) {
            Poll::Pending => break,
            Poll::Ready(arrival) => take(transport, arrival),
        }
        left -= 1;
        if left == 0 {
            cx.waker().wake_by_ref();
            break;
        }
    }
    transport.flush();
}

async fn answer_all<T: Transport>(mut transport: T) {
    poll_fn(|cx| {
        turn(&mut transport, cx, |transport, arrival| match arrival {
            Arrival::Accepted { call, .. } => transport.bind(call, STREAM, Header::EMPTY),
            Arrival::Frame { stream, frame } => {
                let answer = answer(frame.as_ref());
                let room = transport.frame(stream, answer.len());
                room.expect("room for a reply").copy_from_slice(answer);
                transport.credit(stream, frame.as_ref().len() as u32);
            }
            Arrival::Link { .. }
            | Arrival::Header { .. }
            | Arrival::HalfClosed { .. }
            | Arrival::Writable { .. }
            | Arrival::Ended { .. } => {}
        });
        Poll::<()>::Pending
    })
    .await;
}

async fn call_one<T: Transport>(mut transport: T, address: SocketAddr, mut work: Work) {
    transport.dial(LinkId(0), &address.to_string(), Class::Bulk);
    transport.open(STREAM, LinkId(0), MUX, Header::EMPTY, None);
    let mut window: Option<Window> = None;
    poll_fn(|cx| {
        if let Poll::Ready(load) = work.loads.poll_recv(cx) {
            let Some(load) = load else {
                return Poll::Ready(());
            };
            pump(window.insert(Window::new(load)), &mut transport);
            cx.waker().wake_by_ref();
        }
        turn(&mut transport, cx, |transport, arrival| match arrival {
            Arrival::Frame { stream, frame } => {
                let window = window.as_mut().expect("an answer to something");
                window.heard(frame.as_ref());
                transport.credit(stream, frame.as_ref().len() as u32);
                if window.is_done() {
                    work.done.send(window.trips()).expect("a bench that waits");
                } else {
                    pump(window, transport);
                }
            }
            Arrival::Ended { message, .. } => panic!("the stream ended: {:?}", message.as_ref()),
            Arrival::Link { .. }
            | Arrival::Header { .. }
            | Arrival::HalfClosed { .. }
            | Arrival::Writable { .. }
            | Arrival::Accepted { .. } => {}
        });
        Poll::Pending
    })
    .await;
}

fn pump<T: Transport>(window: &mut Window, transport: &mut T) {
    while let Some(request) = window.next() {
        let room = transport.frame(STREAM, request.len);
        request.write(room.expect("a window with room"));
    }
}
