//! What both runtimes bring to the transports, put to what every transport must do: sockets, timers and
//! tasks of async-io and of tokio, with and without certificates, and each against the other.
#![expect(clippy::unwrap_used, reason = "a test that is surprised should fail")]

use std::marker::PhantomData;
use std::net::UdpSocket;
use std::sync::LazyLock;
use std::time::Duration;

use futures_lite::future::block_on;
use tokio::runtime::{Builder, EnterGuard, Runtime};
use trefoil_conformance::{Ask, At, Subject, methods, suite};
use trefoil_core::limits::Limits;
use trefoil_core::transport::Transport;
use trefoil_runtime::tls::{Authority, ClientAuth, Tls, TlsPem};
use trefoil_runtime::{GrpcOptions, QuicOptions, QuicPlatform, TonicPlatform};
use trefoil_runtime_async_std::AsyncStd;
use trefoil_runtime_tokio::Tokio;
use trefoil_transport_quic::Quic;
use trefoil_transport_tonic::{Grpc, Server};

/// Where tasks of tokio run, whichever test began them.
static TOKIO: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap()
});

static TLS: LazyLock<Tls> = LazyLock::new(|| {
    let authority = Authority::new("tests").unwrap();
    let issued = authority
        .issue(&["127.0.0.1"], Duration::from_secs(3_600))
        .unwrap();
    let pem = TlsPem {
        ca: authority.cert_pem(),
        identity: Some((issued.cert_pem, issued.key_pem)),
    };
    Tls::from_pem(pem, ClientAuth::Required).unwrap()
});

/// A transport on a runtime.
trait Carries<P> {
    type Transport: Transport;
    type Server;
    const TELLS_REFUSAL: bool;
    const LACKS: &'static [Ask];
    const BETWEEN: usize;

    fn transport(limits: &Limits) -> Self::Transport;
    /// Listens at `address` if that is free, or else at any other; returns where.
    fn listen(transport: &Self::Transport, address: &str) -> (Self::Server, String);
    fn close(server: &Self::Server);
}

/// gRPC, with certificates or without.
struct Tonic<const SECURE: bool>;

impl<const SECURE: bool> Tonic<SECURE> {
    fn tls() -> Option<&'static Tls> {
        SECURE.then(|| &*TLS)
    }
}

impl<P: TonicPlatform, const SECURE: bool> Carries<P> for Tonic<SECURE> {
    type Transport = Grpc<P::Net>;
    type Server = Server<P::Net>;
    const TELLS_REFUSAL: bool = true;
    const LACKS: &'static [Ask] = &[];
    const BETWEEN: usize = 4 << 20;

    fn transport(limits: &Limits) -> Self::Transport {
        let net = P::here().net(None, Self::tls()).unwrap();
        Grpc::new(net, methods(), limits, GrpcOptions::default()).unwrap()
    }

    fn listen(transport: &Self::Transport, address: &str) -> (Self::Server, String) {
        let platform = P::here();
        let net = platform.net(None, Self::tls()).unwrap();
        let server = Server::new(net, transport.service(), GrpcOptions::default()).unwrap();
        let bound = block_on(async {
            match platform.listen(address, Self::tls()).await {
                Ok(bound) => Ok(bound),
                Err(_) => platform.listen("127.0.0.1:0", Self::tls()).await,
            }
        });
        let (listener, address) = bound.unwrap();
        let accepting = server.clone();
        platform.spawn(async move { accepting.listen(listener).await });
        (server, address.to_string())
    }

    fn close(server: &Self::Server) {
        server.close();
    }
}

struct OverQuic;

impl<P: QuicPlatform> Carries<P> for OverQuic {
    type Transport = Quic;
    type Server = trefoil_transport_quic::Server;
    const TELLS_REFUSAL: bool = false;
    const LACKS: &'static [Ask] = &[];
    const BETWEEN: usize = 8 << 20;

    fn transport(limits: &Limits) -> Quic {
        let quinn = P::here().quinn();
        Quic::new(
            quinn,
            TLS.clone(),
            methods(),
            limits,
            QuicOptions::default(),
        )
        .unwrap()
    }

    fn listen(transport: &Quic, address: &str) -> (Self::Server, String) {
        let socket = UdpSocket::bind(address).or_else(|_| UdpSocket::bind("127.0.0.1:0"));
        let server = transport.server();
        let address = server.bind(socket.unwrap()).unwrap();
        (server, address.to_string())
    }

    fn close(server: &Self::Server) {
        server.close();
    }
}

/// One transport, of which each side is on a runtime of its own.
struct World<How, Calls, Called>
where
    How: Carries<Calls> + Carries<Called>,
{
    caller: Option<<How as Carries<Calls>>::Transport>,
    callee: Option<<How as Carries<Called>>::Transport>,
    server: <How as Carries<Called>>::Server,
    address: String,
    sides: PhantomData<(Calls, Called)>,
    /// Tasks of tokio are begun on the test's own thread.
    _within: EnterGuard<'static>,
}

impl<How, Calls, Called> Subject for World<How, Calls, Called>
where
    How: Carries<Calls> + Carries<Called>,
{
    type Caller = <How as Carries<Calls>>::Transport;
    type Callee = <How as Carries<Called>>::Transport;

    const LACKS: &'static [Ask] = <How as Carries<Calls>>::LACKS;
    const TELLS_REFUSAL: bool = <How as Carries<Calls>>::TELLS_REFUSAL;
    const BETWEEN: usize = <How as Carries<Calls>>::BETWEEN;

    fn new(caller: &Limits, callee: &Limits) -> Self {
        let within = TOKIO.enter();
        let callee = <How as Carries<Called>>::transport(callee);
        let (server, address) = <How as Carries<Called>>::listen(&callee, "127.0.0.1:0");
        Self {
            caller: Some(<How as Carries<Calls>>::transport(caller)),
            callee: Some(callee),
            server,
            address,
            sides: PhantomData,
            _within: within,
        }
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn nowhere(&self) -> String {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    }

    fn caller(&mut self) -> &mut Self::Caller {
        self.caller.as_mut().unwrap()
    }

    fn callee(&mut self) -> &mut Self::Callee {
        self.callee.as_mut().unwrap()
    }

    fn cut(&mut self) {
        <How as Carries<Called>>::close(&self.server);
    }

    fn listen_again(&mut self) {
        let callee = self.callee.as_ref().unwrap();
        let (server, address) = <How as Carries<Called>>::listen(callee, &self.address);
        (self.server, self.address) = (server, address);
    }

    fn leave(&mut self, at: At) {
        match at {
            At::Caller => self.caller = None,
            At::Callee => {
                self.callee = None;
                <How as Carries<Called>>::close(&self.server);
            }
        }
    }
}

mod tonic_on_async_std {
    use super::*;
    type Here = World<Tonic<false>, AsyncStd, AsyncStd>;
    suite!(Here, skips: []);
}

mod tonic_of_tokio_calls_async_std {
    use super::*;
    type Here = World<Tonic<false>, Tokio, AsyncStd>;
    suite!(Here, skips: []);
}

mod tonic_of_async_std_calls_tokio_with_certificates {
    use super::*;
    type Here = World<Tonic<true>, AsyncStd, Tokio>;
    suite!(Here, skips: []);
}

mod tonic_of_tokio_calls_async_std_with_certificates {
    use super::*;
    type Here = World<Tonic<true>, Tokio, AsyncStd>;
    suite!(Here, skips: []);
}

mod quic_on_tokio {
    use super::*;
    type Here = World<OverQuic, Tokio, Tokio>;
    suite!(Here, skips: []);
}

mod quic_of_tokio_calls_async_std {
    use super::*;
    type Here = World<OverQuic, Tokio, AsyncStd>;
    suite!(Here, skips: []);
}

mod quic_on_async_std {
    use super::*;
    type Here = World<OverQuic, AsyncStd, AsyncStd>;
    suite!(Here, skips: []);
}
