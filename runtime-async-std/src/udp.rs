//! Timers, tasks and sockets of async-io as quinn asks for them.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
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
        Box::pin(Rings(Timer::at(due)))
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(task);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let state = UdpSocketState::new((&socket).into())?;
        let socket = Arc::new(Async::new(socket)?);
        Ok(Arc::new(Socket { socket, state }))
    }
}

#[derive(Debug)]
struct Rings(Timer);

impl AsyncTimer for Rings {
    fn reset(mut self: Pin<&mut Self>, due: Instant) {
        self.0.set_at(due);
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

#[derive(Debug)]
struct Socket {
    socket: Arc<Async<UdpSocket>>,
    /// What quinn-udp knows of the system: whether datagrams may be sent and received in batches.
    state: UdpSocketState,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable {
            socket: Arc::clone(&self.socket),
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.state.send((&*self.socket).into(), transmit)
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
    waiting: Option<WritableOwned<UdpSocket>>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let waiting = this
            .waiting
            .get_or_insert_with(|| Arc::clone(&this.socket).writable_owned());
        let done = ready!(Pin::new(waiting).poll(cx));
        this.waiting = None;
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
