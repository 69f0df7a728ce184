//! Timers, tasks and sockets of async-io as quinn asks for them.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_io::{Async, Timer, WritableOwned};
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use trefoil_runtime::{Platform, QuicPlatform};

use crate::platform::AsyncStd;

#[derive(Debug)]
struct Quinn(AsyncStd);

impl Runtime for Quinn {
    fn new_timer(&self, due: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Rings {
            timer: Timer::at(due),
            set: Some(due),
            due,
        })
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(task);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let state = UdpSocketState::new((&socket).into())?;
        let socket = Arc::new(Async::new(socket)?);
        let full = Arc::default();
        Ok(Arc::new(Socket {
            socket,
            state,
            full,
        }))
    }
}

/// A timer that quinn sets anew with almost every packet, most often to later. The reactor is told only
/// when it is to ring earlier than it would: each word to it is a system call. A timer that rings too
/// early is set on from there.
#[derive(Debug)]
struct Rings {
    timer: Timer,
    /// When `timer` rings; it has rung if that is `None`.
    set: Option<Instant>,
    due: Instant,
}

impl Rings {
    fn arm(&mut self) {
        self.timer.set_at(self.due);
        self.set = Some(self.due);
    }
}

impl AsyncTimer for Rings {
    fn reset(mut self: Pin<&mut Self>, due: Instant) {
        self.due = due;
        if self.set.is_none_or(|set| due < set) {
            self.arm();
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(Pin::new(&mut self.timer).poll(cx));
            if self.set.take().is_none_or(|set| self.due <= set) {
                return Poll::Ready(());
            }
            self.arm();
        }
    }
}

#[derive(Debug)]
struct Socket {
    socket: Arc<Async<UdpSocket>>,
    /// What quinn-udp knows of the system: whether datagrams may be sent and received in batches.
    state: UdpSocketState,
    /// The system took no more, the last time it was asked. To wait until it does is a turn of the
    /// reactor, which not every datagram should cost.
    full: Arc<AtomicBool>,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable {
            socket: Arc::clone(&self.socket),
            full: Arc::clone(&self.full),
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send((&*self.socket).into(), transmit);
        if sent
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        {
            self.full.store(true, Ordering::SeqCst);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        datagrams: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            // What is there is taken before the reactor is asked to tell of more.
            match self.state.recv((&*self.socket).into(), datagrams, meta) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_readable(cx))?;
                }
                received => return Poll::Ready(received),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// One task that waits until the socket can be written to.
#[derive(Debug)]
struct Writable {
    socket: Arc<Async<UdpSocket>>,
    full: Arc<AtomicBool>,
    waiting: Option<WritableOwned<UdpSocket>>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.waiting.is_none() && !this.full.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(()));
        }
        let waiting = this
            .waiting
            .get_or_insert_with(|| Arc::clone(&this.socket).writable_owned());
        let done = ready!(Pin::new(waiting).poll(cx));
        this.waiting = None;
        // Where that is wrong by now, the next attempt to send says so.
        this.full.store(false, Ordering::SeqCst);
        Poll::Ready(done)
    }
}

impl QuicPlatform for AsyncStd {
    fn quinn(&self) -> Arc<dyn Runtime> {
        Arc::new(Quinn(self.clone()))
    }

    async fn resolve(address: String) -> io::Result<Vec<SocketAddr>> {
        blocking::unblock(move || Ok(address.to_socket_addrs()?.collect())).await
    }
}
