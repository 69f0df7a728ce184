//! What a driver asks of its surroundings: a clock, an alarm, ears. And dialling by detours, so that a
//! proxy can stand between two nodes that know each other by their real addresses.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use trefoil_core::driver::Runtime;
use trefoil_core::engine::Engine;
use trefoil_core::machine::{Events, Machine};
use trefoil_core::time::Instant;
use trefoil_runtime::{Alarm, Tls, TonicPlatform, clock};
use trefoil_runtime_tokio::{Tokio, TokioAlarm};

type Net = <Tokio as TonicPlatform>::Net;

/// The surroundings of one driver. `hear` takes what its machine tells; a command comes for each unit that
/// is sent.
pub struct Surroundings<M, H> {
    alarm: TokioAlarm,
    set: Option<Instant>,
    asks: mpsc::Receiver<()>,
    hear: H,
    machine: PhantomData<fn(M)>,
}

/// What a unit means to a machine.
pub trait Asked: Machine {
    /// The command.
    fn asked(unit: &()) -> Self::Command<'_>;
}

impl<M: Asked, H> Surroundings<M, H> {
    pub fn new(asks: mpsc::Receiver<()>, hear: H) -> Self {
        Self {
            alarm: TokioAlarm::default(),
            set: None,
            asks,
            hear,
            machine: PhantomData,
        }
    }
}

impl<M: Asked, H: FnMut(M::Event<'_>)> Events<M> for Surroundings<M, H> {
    fn event(&mut self, event: M::Event<'_>) {
        (self.hear)(event);
    }
}

impl<M: Asked, H: FnMut(M::Event<'_>)> Runtime<M> for Surroundings<M, H> {
    type Owned = ();

    fn now(&self) -> Instant {
        clock::now()
    }

    fn poll_alarm(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = due else { return Poll::Pending };
        let now = clock::now();
        if at <= now {
            return Poll::Ready(());
        }
        if self.set != due {
            self.alarm.set(at.since(now));
            self.set = due;
        }
        if self.alarm.poll(cx).is_ready() {
            // A runtime rounds. The next poll sees whether the time has come.
            self.set = None;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.asks.poll_recv(cx)
    }

    fn lend<T>(unit: &(), take: impl FnOnce(M::Command<'_>) -> T) -> T {
        take(M::asked(unit))
    }

    fn refused(&mut self, (): (), _: M::Refused) {}

    fn turn_ended(&mut self, _: &Engine<M>) {}
}

/// Tokio's sockets, where some addresses are dialled elsewhere.
#[derive(Clone, Debug)]
pub struct Detours {
    net: Net,
    by_way_of: HashMap<SocketAddr, SocketAddr>,
}

impl Detours {
    /// With certificates, if there are any.
    ///
    /// # Errors
    /// There is no TLS to be had.
    pub fn new(
        by_way_of: HashMap<SocketAddr, SocketAddr>,
        tls: Option<&Tls>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let net = Tokio.net(None, tls)?;
        Ok(Self { net, by_way_of })
    }
}

impl trefoil_transport_tonic::Runtime for Detours {
    type Io = <Net as trefoil_transport_tonic::Runtime>::Io;
    type Timer = <Net as trefoil_transport_tonic::Runtime>::Timer;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.net.spawn(task);
    }

    fn timer(&self) -> Self::Timer {
        self.net.timer()
    }

    fn connect(
        &self,
        address: SocketAddr,
        host: &str,
    ) -> impl Future<Output = io::Result<Self::Io>> + Send {
        let address = self.by_way_of.get(&address).copied().unwrap_or(address);
        self.net.connect(address, host)
    }

    fn is_secure(&self) -> bool {
        self.net.is_secure()
    }

    fn resolve(&self, address: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        self.net.resolve(address)
    }
}

/// Polls a driver as a task.
pub async fn drive(mut turn: impl FnMut(&mut Context<'_>) -> Poll<()>) {
    std::future::poll_fn(|cx| turn(cx)).await;
}
