//! Dialling a peer, and the task that holds its connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quinn::crypto::rustls::HandshakeData;
use quinn::{ConnectError, Connection, ConnectionError, Endpoint};

use crate::clock::timely;
use crate::error::QuicError;
use crate::frame::{ALPN, reason};
use crate::goodbye;
use crate::inbox::{Attempt, Inbox, News};
use crate::setup::Setup;
use crate::trust::{self, NO_COMMON_VERSION};
use crate::wire::Wire;
use trefoil_transport::{Stop, lock};

/// The sockets connections leave from, one for each family of addresses, made when first needed.
#[derive(Default)]
pub(crate) struct Endpoints {
    v4: Mutex<Option<Endpoint>>,
    v6: Mutex<Option<Endpoint>>,
}

impl Endpoints {
    fn place(&self, address: SocketAddr) -> &Mutex<Option<Endpoint>> {
        if address.is_ipv4() {
            &self.v4
        } else {
            &self.v6
        }
    }

    fn get(&self, setup: &Setup, address: SocketAddr) -> Result<Endpoint, QuicError> {
        let mut place = lock(self.place(address));
        if let Some(endpoint) = &*place {
            return Ok(endpoint.clone());
        }
        let any: IpAddr = if address.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let source = setup.options.source;
        let source = source.filter(|source| source.is_ipv4() == address.is_ipv4());
        let socket = UdpSocket::bind((source.unwrap_or(any), 0))
            .map_err(|error| QuicError::Socket(error.to_string()))?;
        let endpoint = setup.endpoint(socket, None)?;
        *place = Some(endpoint.clone());
        Ok(endpoint)
    }

    /// An endpoint whose socket failed is not used again.
    fn forget(&self, address: SocketAddr) {
        *lock(self.place(address)) = None;
    }
}

/// Why an attempt failed.
enum Failure {
    Lost,
    Untrusted(String),
}

/// One attempt to reach a peer.
pub(crate) struct Dial {
    pub(crate) setup: Arc<Setup>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) attempt: Attempt,
    pub(crate) address: String,
    pub(crate) stop: Arc<Stop>,
    pub(crate) inbox: Arc<Inbox>,
}

impl Dial {
    /// Dials, reports, and holds the connection until it is lost or hung up; then says nothing.
    pub(crate) async fn run(self) {
        let stop = Arc::clone(&self.stop);
        stop.until_closed(self.hold()).await;
    }

    async fn hold(&self) {
        let limit = self.setup.options.connect_timeout;
        let connected = timely(&*self.setup.runtime, limit, self.connect()).await;
        let wire = match connected.unwrap_or(Err(Failure::Lost)) {
            Ok(wire) => wire,
            Err(Failure::Lost) => return self.report(News::Lost),
            Err(Failure::Untrusted(why)) => return self.report(News::Untrusted(why.into())),
        };
        let connection = wire.connection.clone();
        self.report(News::Up(wire));
        let error = connection.closed().await;
        self.report(match trust::why(&self.address, &error) {
            Some(why) => News::Untrusted(Bytes::from(why)),
            None => News::Lost,
        });
    }

    fn report(&self, news: News) {
        self.inbox.news((self.attempt, news));
    }

    /// Tries the addresses in turn, each for its share of the time. Somebody who is not trusted says
    /// more than nobody.
    async fn connect(&self) -> Result<Arc<Wire>, Failure> {
        let runtime = &*self.setup.runtime;
        let limit = self.setup.options.connect_timeout;
        let addresses = self.resolve().await.map_err(|_| Failure::Lost)?;
        let name = trefoil_tls::server_name(&self.address).map_err(|error| self.not_ours(error))?;
        let name = name.to_str();
        let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut failure = Failure::Lost;
        for address in addresses {
            match timely(runtime, share, self.reach(address, &name)).await {
                Some(Ok(wire)) => return Ok(wire),
                Some(Err(why @ Failure::Untrusted(_))) => failure = why,
                Some(Err(Failure::Lost)) | None => {}
            }
        }
        Err(failure)
    }

    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(literal) = self.address.parse() {
            return Ok(vec![literal]);
        }
        match &self.setup.options.resolve {
            Some(resolve) => resolve(self.address.clone()).await,
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// This side's own settings forbid the connection.
    fn not_ours(&self, error: impl std::fmt::Display) -> Failure {
        Failure::Untrusted(trust::said(&self.address, &error.to_string()))
    }

    fn failed(&self, error: &ConnectionError) -> Failure {
        trust::why(&self.address, error).map_or(Failure::Lost, Failure::Untrusted)
    }

    async fn reach(&self, address: SocketAddr, name: &str) -> Result<Arc<Wire>, Failure> {
        let config = self.setup.client().map_err(|error| self.not_ours(error))?;
        let endpoint = self.endpoints.get(&self.setup, address);
        let connecting = endpoint
            .map_err(|_| Failure::Lost)?
            .connect_with(config, address, name);
        let connecting = match connecting {
            Ok(connecting) => connecting,
            Err(error) => {
                if error == ConnectError::EndpointStopping {
                    self.endpoints.forget(address);
                }
                return Err(Failure::Lost);
            }
        };
        let connection = connecting.await.map_err(|error| self.failed(&error))?;
        if !speaks_ours(&connection) {
            goodbye::close(&connection, reason::PROTOCOL, NO_COMMON_VERSION.as_bytes());
            return Err(self.not_ours(NO_COMMON_VERSION));
        }
        let wire = Wire::new(connection, self.address.clone(), self.setup.windows);
        // With TLS 1.3 a connection stands for its caller before the other side has looked at the
        // caller's certificate. It allows a stream when it has.
        let welcomed = wire.welcomed().await;
        welcomed.map_err(|error| self.failed(&error))?;
        Ok(wire)
    }
}

/// Whether the handshake agreed on this protocol.
pub(crate) fn speaks_ours(connection: &Connection) -> bool {
    connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .is_some_and(|data| data.protocol.as_deref() == Some(ALPN))
}
