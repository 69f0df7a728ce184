//! Calls to a cluster from a program that is no member of it.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use trefoil_core::channels::client::ClientConfig as ChannelClientConfig;
use trefoil_core::driver::{Driver, Runtime};
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::id::MethodId;
use trefoil_core::identity::Token;
use trefoil_core::limits::Limits;
use trefoil_core::link::LinkConfig;
use trefoil_core::machine::{Events, Full};
use trefoil_core::ring::client::{Client as Machine, ClientCommand, ClientConfig, ClientEvent};
use trefoil_core::time::Instant;
use trefoil_proto::google::Any;

use crate::alarm::Due;
use crate::calls::{Answer, Waiting};
use crate::carrier::{Carrier, TransportKind};
use crate::clock;
use crate::error::CallError;
use crate::handle::CallOptions;
use crate::nostore::NoStore;
use crate::platform::Platform;
use crate::reply::{Applied, Got, apply_request, get_request};
use crate::security::Security;
use crate::start::StartError;

/// How a client is made.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Whom to call, how long to try, how much to remember.
    pub calls: ClientConfig,
    /// How channels are found, written to and read from, by a
    /// [`ChannelClient`](crate::channels::ChannelClient).
    pub channels: ChannelClientConfig,
    /// Bounds.
    pub limits: Limits,
    /// By what it calls; by gRPC if the build has both and nothing is said.
    pub transport: Option<TransportKind>,
    /// How strangers are kept out.
    pub security: Security,
    /// Shown to every node that is called.
    pub token: Option<Token>,
    /// How connections of gRPC behave.
    #[cfg(feature = "tonic")]
    pub grpc: trefoil_transport_tonic::GrpcOptions,
    /// How connections of QUIC behave.
    #[cfg(feature = "quic")]
    pub quic: trefoil_transport_quic::QuicOptions,
    /// The local address connections are bound to; any if absent.
    pub source: Option<IpAddr>,
}

impl ClientOptions {
    /// A client that knows these hosts at first.
    #[must_use]
    pub fn to(contacts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let contacts = contacts.into_iter().map(Into::into).collect();
        Self {
            calls: ClientConfig {
                contacts,
                ..ClientConfig::default()
            },
            ..Self::default()
        }
    }

    /// An engine that belongs to no cluster.
    pub(crate) fn engine(&self, seed: u64) -> EngineConfig {
        EngineConfig {
            node: "client".into(),
            boot: seed,
            incarnation: 0,
            cluster: String::new(),
            placement: 0,
            store: 0,
            electorate: 0,
            features: 0,
            anonymous: true,
            token: self.token.clone(),
            certified: false,
            limits: self.limits.clone(),
            links: LinkConfig::default(),
            seed,
        }
    }
}

/// A client: cheap to clone. It remembers who owns what, calls owners directly, and retries what may
/// be retried. Its task ends with the last clone.
pub struct Client<P> {
    asks: mpsc::Sender<Ask>,
    platform: PhantomData<fn() -> P>,
}

impl<P> Clone for Client<P> {
    fn clone(&self) -> Self {
        Self {
            asks: self.asks.clone(),
            platform: PhantomData,
        }
    }
}

impl<P> std::fmt::Debug for Client<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Ask {
    Apply {
        id: u64,
        request: Bytes,
        request_id: Option<u128>,
        deadline: Instant,
        caller: oneshot::Sender<Answer>,
    },
    Get {
        id: u64,
        request: Bytes,
        deadline: Instant,
        caller: oneshot::Sender<Answer>,
    },
    Call {
        method: MethodId,
        host: Option<String>,
        request: Bytes,
        deadline: Instant,
        caller: oneshot::Sender<Answer>,
    },
}

impl<P: Platform> Client<P> {
    /// Starts a client on the present runtime. Nothing is dialled until the first call.
    ///
    /// # Errors
    /// A limit that does not hold, or a system without randomness.
    pub fn start(mut options: ClientOptions) -> Result<Self, StartError> {
        let seed = clock::entropy()?;
        options.calls.seed = seed;
        let config = options.engine(seed);
        let (asks, commands) = mpsc::channel(1_024);
        options.limits.check()?;
        let platform = P::here();
        let transport = P::Carrier::call(&platform, &options)?;
        let engine = Engine::new(config, Machine::new(options.calls))?;
        let runtime = ClientRuntime::<P> {
            commands,
            waiting: Waiting::default(),
            alarm: Due::default(),
        };
        let mut driver = Driver::new(engine, transport, NoStore, runtime);
        platform.spawn(std::future::poll_fn(move |cx| driver.poll(cx)));
        Ok(Self {
            asks,
            platform: PhantomData,
        })
    }

    /// Applies messages to an actor, exactly once however often that takes.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn apply(&self, id: u64, messages: &[Any<'_>]) -> Result<Applied, CallError> {
        self.apply_with(id, messages, CallOptions::default()).await
    }

    /// Like [`apply`](Self::apply), with a time and a request id.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn apply_with(
        &self,
        id: u64,
        messages: &[Any<'_>],
        options: CallOptions,
    ) -> Result<Applied, CallError> {
        let request = apply_request(id, messages);
        let deadline = clock::now() + options.timeout;
        let request_id = options.request_id;
        match self
            .call(|caller| Ask::Apply {
                id,
                request,
                request_id,
                deadline,
                caller,
            })
            .await
        {
            Ok(bytes) => Applied::new(bytes),
            // An earlier attempt of this very call was applied: its answer is gone, its effect is not.
            // Nor is that made undone by a state that cannot be had.
            Err(error) if error.stable_code() == Some("TF-R07") => {
                let state = self.get_by(id, deadline).await.map_err(|_| error)?;
                Ok(Applied::before(&state))
            }
            Err(error) => Err(error),
        }
    }

    /// The state of an actor.
    ///
    /// # Errors
    /// See [`CallError`]; `TF-R04` if it was never written.
    pub async fn get(&self, id: u64) -> Result<Got, CallError> {
        self.get_with(id, CallOptions::default()).await
    }

    /// Like [`get`](Self::get), with a time.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get_with(&self, id: u64, options: CallOptions) -> Result<Got, CallError> {
        self.get_by(id, clock::now() + options.timeout).await
    }

    async fn get_by(&self, id: u64, deadline: Instant) -> Result<Got, CallError> {
        let request = get_request(id);
        Got::new(
            self.call(|caller| Ask::Get {
                id,
                request,
                deadline,
                caller,
            })
            .await?,
        )
    }

    /// Any unary call, to one host or to any contact: encoded request in, encoded answer out.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn unary(
        &self,
        method: MethodId,
        host: Option<&str>,
        request: Bytes,
        options: CallOptions,
    ) -> Result<Bytes, CallError> {
        let (host, deadline) = (host.map(str::to_owned), clock::now() + options.timeout);
        self.call(|caller| Ask::Call {
            method,
            host,
            request,
            deadline,
            caller,
        })
        .await
    }

    async fn call(&self, ask: impl FnOnce(oneshot::Sender<Answer>) -> Ask) -> Answer {
        let (caller, heard) = oneshot::channel();
        self.asks
            .send(ask(caller))
            .await
            .map_err(|_| CallError::stopped())?;
        heard.await.unwrap_or_else(|_| Err(CallError::stopped()))
    }
}

struct ClientRuntime<P: Platform> {
    commands: mpsc::Receiver<Ask>,
    waiting: Waiting,
    alarm: Due<P::Alarm>,
}

#[derive(Debug)]
enum Owned {
    Apply {
        call: u64,
        id: u64,
        request: Bytes,
        request_id: Option<u128>,
        deadline: Instant,
    },
    Get {
        call: u64,
        id: u64,
        request: Bytes,
        deadline: Instant,
    },
    Call {
        call: u64,
        method: MethodId,
        host: Option<String>,
        request: Bytes,
        deadline: Instant,
    },
}

impl Owned {
    /// The command as the machine takes it.
    fn lend(&self) -> ClientCommand<'_> {
        match *self {
            Self::Apply {
                call,
                id,
                ref request,
                request_id,
                deadline,
            } => ClientCommand::Apply {
                call,
                id,
                request,
                request_id,
                deadline,
            },
            Self::Get {
                call,
                id,
                ref request,
                deadline,
            } => ClientCommand::Get {
                call,
                id,
                request,
                deadline,
            },
            Self::Call {
                call,
                method,
                ref host,
                ref request,
                deadline,
            } => ClientCommand::Call {
                call,
                method,
                host: host.as_deref(),
                request,
                deadline,
            },
        }
    }
}

impl<P: Platform> Events<Machine> for ClientRuntime<P> {
    fn event(&mut self, event: ClientEvent<'_>) {
        let ClientEvent::Answer { call, result, .. } = event;
        self.waiting.answer(call, || {
            result
                .map(Bytes::copy_from_slice)
                .map_err(|status| CallError::from_status(&status))
        });
    }
}

impl<P: Platform> Runtime<Machine> for ClientRuntime<P> {
    type Owned = Owned;

    fn now(&self) -> Instant {
        clock::now()
    }

    fn poll_alarm(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(due, cx)
    }

    fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Option<Owned>> {
        let Poll::Ready(ask) = self.commands.poll_recv(cx) else {
            return Poll::Pending;
        };
        Poll::Ready(ask.map(|ask| match ask {
            Ask::Apply {
                id,
                request,
                request_id,
                deadline,
                caller,
            } => Owned::Apply {
                call: self.waiting.insert(caller),
                id,
                request,
                request_id,
                deadline,
            },
            Ask::Get {
                id,
                request,
                deadline,
                caller,
            } => Owned::Get {
                call: self.waiting.insert(caller),
                id,
                request,
                deadline,
            },
            Ask::Call {
                method,
                host,
                request,
                deadline,
                caller,
            } => Owned::Call {
                call: self.waiting.insert(caller),
                method,
                host,
                request,
                deadline,
            },
        }))
    }

    fn lend<T>(command: &Owned, take: impl FnOnce(ClientCommand<'_>) -> T) -> T {
        take(command.lend())
    }

    fn refused(&mut self, command: Owned, Full: Full) {
        let (Owned::Apply { call, .. } | Owned::Get { call, .. } | Owned::Call { call, .. }) =
            command;
        self.waiting.answer(call, || Err(CallError::busy()));
    }

    fn turn_ended(&mut self, _: &Engine<Machine>) {}
}
