//! A transport from what carries packets: it keeps the streams and the links, the carrier need not
//! know of them.

use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use super::streams::{Memory, Packet, Port};
use crate::header::Header;
use crate::id::{CallId, LinkId, MethodId, StreamId};
use crate::machine::Full;
use crate::status::Status;
use crate::stream::Class;
use crate::time::Duration;
use crate::transport::{Arrival, LinkEvent, Transport};

/// Takes packets from one node to others, each of which has a port of its own. Packets from one node
/// to another keep their order, and none is lost while both are there.
pub trait Carrier {
    /// The port of this node.
    fn port(&self) -> u8;

    /// The port of the node at this address, if there is one.
    fn find(&mut self, address: &str) -> Option<u8>;

    /// Takes a packet to a node, or gives it back if nobody is there any more.
    ///
    /// # Errors
    /// The packet.
    fn send(&mut self, to: u8, packet: Packet) -> Result<(), Packet>;

    /// The next packet for this node, or `Pending` with the task's waker kept.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Packet>;
}

/// A [`Transport`] over a [`Carrier`]. Nothing bounds what waits on a stream.
#[derive(Debug)]
pub struct Carried<C> {
    carrier: C,
    memory: Memory,
    /// Where links lead.
    links: Vec<Option<Port>>,
    /// The task that polls: what comes back while it flushes is not to wait for it.
    task: Waker,
}

impl<C: Carrier> Carried<C> {
    /// A transport of up to `streams_max` streams.
    #[must_use]
    pub fn new(carrier: C, streams_max: u32) -> Self {
        Self {
            memory: Memory::new(carrier.port(), streams_max),
            carrier,
            links: Vec::new(),
            task: Waker::noop().clone(),
        }
    }

    fn lead(&mut self, link: LinkId, to: Option<Port>) {
        let at = link.0 as usize;
        if self.links.len() <= at {
            self.links.resize(at + 1, None);
        }
        self.links[at] = to;
    }

    fn route(&self, packet: &Packet) -> Option<Port> {
        match packet.link() {
            Some(link) => self.links.get(link.0 as usize).copied().flatten(),
            None => packet.caller(),
        }
    }

    /// Nobody is at a port any more.
    fn lose(&mut self, port: Port) {
        for (number, to) in (0..).zip(&mut self.links) {
            if to.take_if(|to| *to == port).is_some() {
                let link = LinkId(number);
                self.memory.report(link, LinkEvent::Refused);
                self.memory.lose_link(link);
            }
        }
        self.memory.lose_callers(port);
    }
}

impl<C: Carrier> Transport for Carried<C> {
    type Buf = Vec<u8>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrival<Vec<u8>>> {
        loop {
            if let Poll::Ready(arrival) = self.memory.poll(cx) {
                return Poll::Ready(arrival);
            }
            match self.carrier.poll(cx) {
                Poll::Ready(packet) => self.memory.take_packet(packet),
                Poll::Pending => {
                    self.task.clone_from(cx.waker());
                    return Poll::Pending;
                }
            }
        }
    }

    fn dial(&mut self, link: LinkId, address: &str, _: Class) {
        let to = self.carrier.find(address);
        self.lead(link, to);
        let event = to.map_or(LinkEvent::Refused, |_| LinkEvent::Up);
        self.memory.report(link, event);
    }

    fn hang_up(&mut self, link: LinkId) {
        self.memory.hang_up(link);
        // Who accepted its streams hears that they are over.
        self.flush();
        self.lead(link, None);
    }

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        self.memory.bind(call, stream, header);
    }

    fn refuse(&mut self, call: CallId, status: Status<'_>) {
        self.memory.refuse(call, status);
    }

    fn open(
        &mut self,
        stream: StreamId,
        link: LinkId,
        method: MethodId,
        header: Header<'_>,
        timeout: Option<Duration>,
    ) {
        self.memory.open(stream, link, method, header, timeout);
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        self.memory.frame(stream, len)
    }

    fn credit(&mut self, stream: StreamId, bytes: u32) {
        self.memory.credit(stream, bytes);
    }

    fn half_close(&mut self, stream: StreamId) {
        self.memory.half_close(stream);
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        self.memory.end(stream, status);
    }

    fn recycle(&mut self, spent: Vec<u8>) {
        self.memory.recycle(spent);
    }

    fn flush(&mut self) {
        let mut returned = false;
        while let Some(packet) = self.memory.next_packet() {
            let sent = match self.route(&packet) {
                Some(to) => {
                    let sent = self.carrier.send(to, packet);
                    sent.inspect_err(|_| self.lose(to))
                }
                None => Err(packet),
            };
            if let Err(packet) = sent {
                self.memory.return_packet(packet);
                returned = true;
            }
        }
        if returned {
            self.task.wake_by_ref();
        }
    }
}
