//! The same frames on one stream of a bare quinn connection, made with the same settings as our
//! transport makes it. Each end is one loop that reads the chunks that are there, handles what is in
//! them, and gives quinn all it has to say as one chunk.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use trefoil_core::limits::Limits;
use trefoil_runtime_tokio::{Platform, Tokio};
use trefoil_transport_quic::QuicOptions;

use crate::bare_tcp::{each, first, frame, reply};
use crate::measure::{Contender, Window, Work};
use crate::ours::{on_threads, tls};

const ALPN: &[u8] = b"bench";
const BLOCK_BYTES: usize = 64 << 10;

fn transport() -> Arc<TransportConfig> {
    let limits = Limits::default();
    let stream = u64::from(limits.stream_receive_bytes_max);
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(QuicOptions::default().mtu_max);
    let mut config = TransportConfig::default();
    config
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(stream as u32))
        .receive_window(VarInt::from_u32(4 * stream as u32))
        .send_window(2 * stream)
        .initial_rtt(Duration::from_millis(100))
        .keep_alive_interval(Some(limits.silence_max / 3))
        .mtu_discovery_config(Some(mtu));
    Arc::new(config)
}

fn endpoint(server: Option<ServerConfig>) -> Endpoint {
    let options = QuicOptions::default();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let buffers = socket2::SockRef::from(&socket);
    let _ = buffers.set_recv_buffer_size(options.socket_buffer_bytes as usize);
    let _ = buffers.set_send_buffer_size(options.socket_buffer_bytes as usize);
    let mut config = EndpointConfig::default();
    config
        .max_udp_payload_size(options.mtu_max)
        .expect("a size that holds");
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).expect("an endpoint")
}

/// Chunks as quinn has them, until a message is cut: then its parts are put together.
struct Reader {
    recv: RecvStream,
    chunks: [Bytes; 4],
    cut: BytesMut,
}

impl Reader {
    fn new(recv: RecvStream) -> Self {
        let chunks = [const { Bytes::new() }; 4];
        Self {
            recv,
            chunks,
            cut: BytesMut::new(),
        }
    }

    /// Hands what came to `take`. Returns whether there is a peer.
    async fn each(&mut self, mut take: impl FnMut(&[u8])) -> bool {
        let Ok(Some(count)) = self.recv.read_chunks(&mut self.chunks).await else {
            return false;
        };
        for chunk in &mut self.chunks[..count] {
            let mut chunk = std::mem::take(chunk);
            if !self.cut.is_empty() {
                self.cut.extend_from_slice(&chunk);
                each(&mut self.cut, &mut take);
                continue;
            }
            while let Some(message) = first(&chunk) {
                take(message);
                chunk.advance(4 + message.len());
            }
            self.cut.extend_from_slice(&chunk);
        }
        true
    }
}

async fn send(stream: &mut SendStream, out: &mut BytesMut) {
    if !out.is_empty() {
        stream
            .write_chunk(out.split().freeze())
            .await
            .expect("a peer");
        if out.capacity() < BLOCK_BYTES / 4 {
            out.reserve(BLOCK_BYTES);
        }
    }
}

async fn serve(mut stream: SendStream, recv: RecvStream) {
    let mut reader = Reader::new(recv);
    let mut out = BytesMut::new();
    while reader.each(|message| reply(message, &mut out)).await {
        send(&mut stream, &mut out).await;
    }
}

async fn call(address: SocketAddr, mut work: Work) {
    let crypto = QuicClientConfig::try_from(tls().client_config(ALPN)).expect("certificates");
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    let endpoint = endpoint(None);
    let connection = endpoint
        .connect_with(config, address, "127.0.0.1")
        .expect("settings");
    let connection = connection.await.expect("a server");
    let (mut stream, recv) = connection.open_bi().await.expect("a server");
    let mut reader = Reader::new(recv);
    let mut out = BytesMut::new();
    while let Some(load) = work.loads.recv().await {
        let mut window = Window::new(load);
        while !window.is_done() {
            while let Some(request) = window.next() {
                frame(request, &mut out);
            }
            send(&mut stream, &mut out).await;
            let there = reader.each(|message| window.heard(message)).await;
            assert!(there, "the server went away");
        }
        work.done.send(window.trips()).expect("a bench that waits");
    }
}

pub(crate) fn mux(name: &'static str) -> Contender {
    on_threads::<Tokio, _, _>(
        name,
        async |tell| {
            let crypto = tls().server_config(ALPN).expect("certificates");
            let crypto = QuicServerConfig::try_from(crypto).expect("certificates");
            let mut config = ServerConfig::with_crypto(Arc::new(crypto));
            config.transport_config(transport()).migration(false);
            let endpoint = endpoint(Some(config));
            tell.send(endpoint.local_addr().expect("an address"))
                .expect("a caller");
            let connection = endpoint.accept().await.expect("a caller");
            let connection = connection.await.expect("a caller");
            let (stream, recv) = connection.accept_bi().await.expect("a stream");
            Tokio.spawn(serve(stream, recv));
            // Both stay as long as the thread does.
            std::future::pending::<()>().await;
            drop((endpoint, connection));
        },
        async |address, work| Tokio.spawn(call(address, work)),
    )
}
