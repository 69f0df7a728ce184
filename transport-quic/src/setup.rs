//! quinn's configuration: what follows from limits, options and certificates.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, Runtime, ServerConfig,
    TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use trefoil_core::limits::Limits;
use trefoil_tls::Tls;

use crate::error::QuicError;
use crate::frame::ALPN;
use crate::goodbye::Gates;
use crate::options::QuicOptions;
use crate::reset;

/// A stream window below this would cost a round trip every few packets.
const STREAM_WINDOW_MIN: u64 = 64 << 10;

/// Handshakes that arrived and were not taken yet.
const INCOMING_MAX: usize = 1_024;

/// Bytes of them.
const INCOMING_BYTES_MAX: u64 = 8 << 20;

/// How long the first packet waits for an answer before it is sent again, divided by three. Peers are
/// near; on a longer path the first packets are sent twice, and that is all.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Bytes of flow control.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// What a peer may send on one stream before it is read.
    pub(crate) stream: u64,
    /// The same for all streams of a connection together, as long as they are read.
    pub(crate) connection: u64,
    /// What bulk may have under way: half of what a peer of the same limits takes, so that it never
    /// uses up what control needs.
    pub(crate) send_bulk: u64,
    /// What control may fill.
    pub(crate) send_control: u64,
}

impl Windows {
    fn new(limits: &Limits) -> Self {
        let stream = u64::from(limits.stream_receive_bytes_max).max(STREAM_WINDOW_MIN);
        Self {
            stream,
            connection: 4 * stream,
            send_bulk: 2 * stream,
            send_control: 3 * stream,
        }
    }
}

/// All that connections are made with.
pub(crate) struct Setup {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) tls: Tls,
    pub(crate) options: QuicOptions,
    pub(crate) windows: Windows,
    pub(crate) request_timeout: Duration,
    pub(crate) silence_max: Duration,
    dialling: Arc<TransportConfig>,
    serving: Arc<TransportConfig>,
}

impl Setup {
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        tls: Tls,
        limits: &Limits,
        options: QuicOptions,
    ) -> Self {
        let windows = Windows::new(limits);
        let gates = Arc::new(Gates::default());
        let transport = || {
            let mut config = TransportConfig::default();
            let idle = IdleTimeout::try_from(limits.silence_max);
            config
                // Neither side may open a stream yet: a caller's certificate is looked at before its
                // first call can be sent.
                .max_concurrent_bidi_streams(VarInt::from_u32(0))
                .max_concurrent_uni_streams(VarInt::from_u32(0))
                .datagram_receive_buffer_size(None)
                .stream_receive_window(varint(windows.stream))
                .receive_window(varint(windows.connection))
                .send_window(windows.send_bulk)
                .congestion_controller_factory(Arc::clone(&gates) as _)
                .initial_rtt(INITIAL_RTT)
                .max_idle_timeout(Some(idle.unwrap_or_else(|_| VarInt::MAX.into())))
                .keep_alive_interval(Some(limits.silence_max / 3))
                .mtu_discovery_config(Some(discovery(options.mtu_max)));
            Arc::new(config)
        };
        Self {
            runtime,
            tls,
            windows,
            request_timeout: limits.request_timeout,
            silence_max: limits.silence_max,
            dialling: transport(),
            serving: transport(),
            options,
        }
    }

    /// What to dial with now.
    pub(crate) fn client(&self) -> Result<ClientConfig, QuicError> {
        let crypto = QuicClientConfig::try_from(self.tls.client_config(ALPN))
            .map_err(|error| QuicError::Tls(error.to_string()))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::clone(&self.dialling));
        Ok(config)
    }

    /// What to accept with now.
    pub(crate) fn server(&self) -> Result<ServerConfig, QuicError> {
        let tls = self.tls.server_config(ALPN);
        let tls = tls.map_err(|error| QuicError::Tls(error.to_string()))?;
        let crypto =
            QuicServerConfig::try_from(tls).map_err(|error| QuicError::Tls(error.to_string()))?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(Arc::clone(&self.serving))
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size_total(INCOMING_BYTES_MAX)
            .migration(false);
        Ok(config)
    }

    /// An endpoint on a socket.
    pub(crate) fn endpoint(
        &self,
        socket: UdpSocket,
        server: Option<ServerConfig>,
    ) -> Result<Endpoint, QuicError> {
        self.enlarge(&socket);
        let unusable = |error: std::io::Error| QuicError::Socket(error.to_string());
        // Whoever dials again leaves from another port: only a server can be asked for what it was
        // before.
        let place = match &server {
            Some(_) => Some(socket.local_addr().map_err(unusable)?),
            None => None,
        };
        let secret = place.and_then(|place| Some(reset::secret(&self.tls.reset_key()?, place)));
        let runtime = Arc::clone(&self.runtime);
        Endpoint::new(self.endpoint_config(secret), server, socket, runtime).map_err(unusable)
    }

    fn endpoint_config(&self, key: Option<[u8; 32]>) -> EndpointConfig {
        let mut config = EndpointConfig::new(Arc::new(reset::key(key)));
        // Refused only outside of 1,200 to 65,527, where the options have not let it be.
        let _ = config.max_udp_payload_size(self.options.mtu_max.max(1_472));
        if let Some(key) = key {
            // A process that was started again answers for the connections of the one before, and for
            // no others.
            let seed = reset::seed(&key);
            config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(seed)));
        }
        config
    }

    /// Asks for larger buffers. A system that grants less is slower under bursts, and right.
    fn enlarge(&self, socket: &UdpSocket) {
        let bytes = self.options.socket_buffer_bytes as usize;
        let socket = socket2::SockRef::from(socket);
        let _ = socket.set_recv_buffer_size(bytes);
        let _ = socket.set_send_buffer_size(bytes);
    }
}

fn discovery(upper: u16) -> MtuDiscoveryConfig {
    let mut config = MtuDiscoveryConfig::default();
    config.upper_bound(upper);
    config
}

pub(crate) fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}
