//! What the transport costs above a bare loop over quinn that sends and reads the same bytes:
//! allocations are counted and bounded, rates are printed.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::net::UdpSocket;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use trefoil_core::header::Header;
use trefoil_core::id::{LinkId, MethodId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::method::{Method, MethodDescriptor, Methods};
use trefoil_core::status::{Code, Status};
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, Transport};
use trefoil_tls::{Authority, ClientAuth, Tls, TlsPem};
use trefoil_transport_quic::quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use trefoil_transport_quic::quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, RecvStream, Runtime, SendStream,
    ServerConfig, TokioRuntime, TransportConfig,
};
use trefoil_transport_quic::{Quic, QuicOptions};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const STREAM: StreamId = StreamId::new(0, 1);
const LINK: LinkId = LinkId(0);
const METHOD: MethodId = MethodId(64);
const ACK_BYTES: usize = 16;

fn tls() -> Tls {
    let authority = Authority::new("test").unwrap();
    let hour = Duration::from_secs(3_600);
    let issued = authority.issue(&["127.0.0.1"], hour).unwrap();
    let pem = TlsPem {
        ca: authority.cert_pem(),
        identity: Some((issued.cert_pem, issued.key_pem)),
    };
    Tls::from_pem(pem, ClientAuth::Required).unwrap()
}

/// What one run cost, by message.
#[derive(Clone, Copy)]
struct Cost {
    allocations: f64,
    micros: f64,
}

/// Counts from the end of the warm-up on.
struct Meter {
    warm: usize,
    total: usize,
    began: Option<(usize, Instant)>,
}

impl Meter {
    fn new(total: usize) -> Self {
        Self {
            warm: total / 5,
            total,
            began: None,
        }
    }

    fn acked(&mut self, count: usize) {
        if count >= self.warm && self.began.is_none() {
            self.began = Some((ALLOCATIONS.load(Ordering::Relaxed), Instant::now()));
        }
    }

    fn cost(&self) -> Cost {
        let (allocations, since) = self.began.unwrap();
        let messages = (self.total - self.warm) as f64;
        Cost {
            allocations: (ALLOCATIONS.load(Ordering::Relaxed) - allocations) as f64 / messages,
            micros: since.elapsed().as_secs_f64() * 1e6 / messages,
        }
    }
}

fn methods() -> Methods {
    let mut methods = Methods::new();
    let descriptor = MethodDescriptor {
        path: "/test.Test/Produce",
        client_streaming: true,
        server_streaming: true,
    };
    let class = Class::Bulk;
    methods.mount(METHOD, Method { descriptor, class });
    methods
}

fn quic(tls: Tls) -> Quic {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let options = QuicOptions::default();
    Quic::new(runtime, tls, methods(), &Limits::default(), options).unwrap()
}

/// One turn, as the core's driver takes it.
fn turn(quic: &mut Quic, cx: &mut Context<'_>, take: &mut dyn FnMut(&mut Quic, Arrival<Bytes>)) {
    for _ in 0..256 {
        match quic.poll(cx) {
            Poll::Ready(arrival) => take(quic, arrival),
            Poll::Pending => return quic.flush(),
        }
    }
    quic.flush();
    cx.waker().wake_by_ref();
}

fn acknowledge(quic: &mut Quic, arrival: Arrival<Bytes>) {
    match arrival {
        Arrival::Accepted { call, .. } => quic.bind(call, STREAM, Header::EMPTY),
        Arrival::Frame { stream, frame } => {
            quic.frame(stream, ACK_BYTES)
                .unwrap()
                .copy_from_slice(&frame[..ACK_BYTES]);
            quic.credit(stream, frame.len() as u32);
        }
        _ => {}
    }
}

async fn ours(tls: &Tls, bytes: usize, window: usize, total: usize) -> Cost {
    let mut server = quic(tls.clone());
    let serving = server.server();
    let address = serving
        .bind(UdpSocket::bind("127.0.0.1:0").unwrap())
        .unwrap();
    let driver = tokio::spawn(std::future::poll_fn(move |cx| {
        turn(&mut server, cx, &mut acknowledge);
        Poll::<()>::Pending
    }));
    let mut client = quic(tls.clone());
    client.dial(LINK, &address.to_string(), Class::Bulk);
    client.open(STREAM, LINK, METHOD, Header::EMPTY, None);
    let (mut sent, mut acked) = (0, 0);
    let mut meter = Meter::new(total);
    std::future::poll_fn(|cx| {
        loop {
            while sent < total && sent - acked < window {
                let Ok(room) = client.frame(STREAM, bytes) else {
                    break;
                };
                room[..8].copy_from_slice(&(sent as u64).to_le_bytes());
                sent += 1;
            }
            let before = acked;
            turn(&mut client, cx, &mut |client, arrival| {
                if let Arrival::Frame { stream, frame } = arrival {
                    assert_eq!(frame[..8], (acked as u64).to_le_bytes());
                    acked += 1;
                    client.credit(stream, frame.len() as u32);
                }
            });
            meter.acked(acked);
            if acked == total {
                return Poll::Ready(());
            }
            if acked == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    let cost = meter.cost();
    driver.abort();
    serving.close();
    cost
}

/// Answers calls of one message with as much.
fn answer(quic: &mut Quic, ids: &mut Ids, arrival: Arrival<Bytes>) {
    match arrival {
        Arrival::Accepted { call, .. } => quic.bind(call, ids.next(), Header::EMPTY),
        Arrival::Frame { stream, frame } => {
            quic.frame(stream, frame.len())
                .unwrap()
                .copy_from_slice(&frame);
            quic.end(stream, Status::OK);
            ids.free.push(stream.slot());
        }
        _ => {}
    }
}

/// Streams as a table gives them out.
#[derive(Default)]
struct Ids {
    free: Vec<u32>,
    generation: u32,
}

impl Ids {
    fn of(slots: u32) -> Self {
        Self {
            free: (0..slots).collect(),
            generation: 0,
        }
    }

    fn next(&mut self) -> StreamId {
        self.generation += 1;
        StreamId::new(self.free.pop().unwrap(), self.generation)
    }
}

/// Unary calls of 100 bytes, `window` at once.
async fn calls(tls: &Tls, window: u32, total: usize) -> Cost {
    let mut server = quic(tls.clone());
    let serving = server.server();
    let address = serving
        .bind(UdpSocket::bind("127.0.0.1:0").unwrap())
        .unwrap();
    let mut ids = Ids::of(2 * window);
    let driver = tokio::spawn(std::future::poll_fn(move |cx| {
        turn(&mut server, cx, &mut |quic, arrival| {
            answer(quic, &mut ids, arrival)
        });
        Poll::<()>::Pending
    }));
    let mut client = quic(tls.clone());
    client.dial(LINK, &address.to_string(), Class::Bulk);
    let mut ids = Ids::of(window);
    let mut ended = 0;
    let mut meter = Meter::new(total);
    std::future::poll_fn(|cx| {
        loop {
            while !ids.free.is_empty() {
                let id = ids.next();
                client.open(id, LINK, METHOD, Header::EMPTY, None);
                client.frame(id, 100).unwrap().fill(7);
                client.half_close(id);
            }
            let before = ended;
            turn(&mut client, cx, &mut |_, arrival| {
                if let Arrival::Ended { stream, code, .. } = arrival {
                    assert_eq!(code, Code::Ok);
                    ended += 1;
                    ids.free.push(stream.slot());
                }
            });
            meter.acked(ended);
            if ended >= total {
                return Poll::Ready(());
            }
            if ended == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    let cost = meter.cost();
    driver.abort();
    serving.close();
    cost
}

/// Frames out of chunks, by hand.
#[derive(Default)]
struct Frames {
    chunks: [Bytes; 4],
    cut: BytesMut,
}

impl Frames {
    /// Reads what there is and gives each message to `take`. Returns whether there was anything.
    fn poll(
        &mut self,
        recv: &mut RecvStream,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&[u8]),
    ) -> bool {
        let read = pin!(recv.read_chunks(&mut self.chunks)).poll(cx);
        let Poll::Ready(read) = read else {
            return false;
        };
        let count = read.unwrap().unwrap();
        for chunk in &mut self.chunks[..count] {
            let mut chunk = std::mem::take(chunk);
            if !self.cut.is_empty() {
                // Room for the rest of the one message that was cut.
                while !chunk.is_empty() {
                    let have = self.cut.len();
                    let need = if have < 4 {
                        4
                    } else {
                        4 + u32::from_le_bytes(self.cut[..4].try_into().unwrap()) as usize
                    };
                    if have == need && need > 4 {
                        break;
                    }
                    let more = chunk.len().min(need - have);
                    self.cut.extend_from_slice(&chunk[..more]);
                    chunk.advance(more);
                }
                let len = self.cut.len();
                if len > 4
                    && len == 4 + u32::from_le_bytes(self.cut[..4].try_into().unwrap()) as usize
                {
                    take(&self.cut[4..]);
                    self.cut.clear();
                }
            }
            while chunk.len() >= 4 {
                let len = u32::from_le_bytes(chunk[..4].try_into().unwrap()) as usize;
                if chunk.len() < 4 + len {
                    break;
                }
                take(&chunk[4..4 + len]);
                chunk.advance(4 + len);
            }
            self.cut.extend_from_slice(&chunk);
        }
        true
    }
}

/// Writes what is staged, as far as it goes.
fn write(send: &mut SendStream, queue: &mut Bytes, staged: &mut BytesMut, cx: &mut Context<'_>) {
    loop {
        if queue.is_empty() {
            *queue = staged.split().freeze();
        }
        if queue.is_empty() {
            return;
        }
        let write = pin!(send.write_chunks(std::slice::from_mut(queue))).poll(cx);
        if write.is_pending() {
            return;
        }
    }
}

fn configured(tls: &Tls) -> (ServerConfig, ClientConfig, EndpointConfig) {
    let mut transport = TransportConfig::default();
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(6_500);
    transport
        .mtu_discovery_config(Some(discovery))
        .stream_receive_window((1_u32 << 20).into())
        .receive_window((4_u32 << 20).into())
        .send_window(2 << 20);
    let transport = Arc::new(transport);
    let crypto = tls.server_config(b"x").unwrap();
    let mut server =
        ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(crypto).unwrap()));
    server.transport_config(Arc::clone(&transport));
    let crypto = QuicClientConfig::try_from(tls.client_config(b"x")).unwrap();
    let mut client = ClientConfig::new(Arc::new(crypto));
    client.transport_config(transport);
    let mut endpoint = EndpointConfig::default();
    endpoint.max_udp_payload_size(6_500).unwrap();
    (server, client, endpoint)
}

async fn bare(tls: &Tls, bytes: usize, window: usize, total: usize) -> Cost {
    let (server, client, config) = configured(tls);
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let serving =
        Endpoint::new(config.clone(), Some(server), socket(), Arc::clone(&runtime)).unwrap();
    let address = serving.local_addr().unwrap();
    let driver = tokio::spawn(async move {
        let connection = serving.accept().await.unwrap().await.unwrap();
        let (mut send, mut recv) = connection.accept_bi().await.unwrap();
        let mut frames = Frames::default();
        let (mut queue, mut staged) = (Bytes::new(), BytesMut::with_capacity(64 << 10));
        std::future::poll_fn(|cx| {
            while frames.poll(&mut recv, cx, |message| {
                staged.put_u32_le(ACK_BYTES as u32);
                staged.put_slice(&message[..ACK_BYTES]);
            }) {}
            write(&mut send, &mut queue, &mut staged, cx);
            Poll::<()>::Pending
        })
        .await;
    });
    let dialling = Endpoint::new(config, None, socket(), runtime).unwrap();
    let connecting = dialling.connect_with(client, address, "127.0.0.1").unwrap();
    let connection = connecting.await.unwrap();
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let (mut sent, mut acked) = (0, 0);
    let mut meter = Meter::new(total);
    let mut frames = Frames::default();
    let (mut queue, mut staged) = (Bytes::new(), BytesMut::with_capacity(64 << 10));
    std::future::poll_fn(|cx| {
        loop {
            while sent < total && sent - acked < window && staged.len() < 1 << 20 {
                staged.put_u32_le(bytes as u32);
                let at = staged.len();
                staged.resize(at + bytes, 0);
                staged[at..at + 8].copy_from_slice(&(sent as u64).to_le_bytes());
                sent += 1;
            }
            write(&mut send, &mut queue, &mut staged, cx);
            let before = acked;
            while frames.poll(&mut recv, cx, |_| acked += 1) {}
            meter.acked(acked);
            if acked == total {
                return Poll::Ready(());
            }
            if acked == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    driver.abort();
    meter.cost()
}

#[test]
fn a_message_costs_hardly_more_than_over_bare_quinn() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tls = tls();
    let total = if cfg!(debug_assertions) {
        40_000
    } else {
        400_000
    };
    let mut worst = f64::MIN;
    for (bytes, window) in [(100, 64), (100, 1_024), (1_024, 64), (1_024, 1_024)] {
        let bare = runtime.block_on(bare(&tls, bytes, window, total));
        let ours = runtime.block_on(ours(&tls, bytes, window, total));
        println!(
            "{bytes:5} B, {window:5} under way: bare {:.4} allocations {:.2} us, ours {:.4} allocations {:.2} us",
            bare.allocations, bare.micros, ours.allocations, ours.micros,
        );
        worst = worst.max(ours.allocations - bare.allocations);
    }
    for window in [1, 64] {
        let calls = runtime.block_on(calls(&tls, window, total / 10));
        println!(
            "unary calls, {window:5} at once: {:.1} allocations {:.2} us",
            calls.allocations, calls.micros
        );
    }
    assert!(
        worst <= 0.02,
        "{worst:.4} allocations a message above a bare loop"
    );
}
