//! The transport: packets through channels between the threads of one process.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use trefoil_core::memory::{Carrier, Packet};

/// A node as others reach it: where its packets go, and whom that wakes.
#[derive(Clone)]
struct Door {
    host: String,
    to: Sender<Packet>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Door {
    fn set(&self, waker: Option<Waker>) -> Option<Waker> {
        let mut kept = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut kept, waker)
    }
}

/// One of the nodes, to be sent to its thread. Under `Carried` it is a transport.
pub struct Channels {
    doors: Vec<Door>,
    port: u8,
    from: Receiver<Packet>,
}

impl Channels {
    /// Nodes of these names, each of which can reach all of them.
    pub fn between(hosts: &[&str]) -> Vec<Self> {
        let make = |host: &&str| {
            let (to, from) = channel();
            let (host, waker) = ((*host).to_owned(), Arc::default());
            (Door { host, to, waker }, from)
        };
        let (doors, from): (Vec<_>, Vec<_>) = hosts.iter().map(make).unzip();
        let node = |(port, from)| Self {
            doors: doors.clone(),
            port,
            from,
        };
        (0..).zip(from).map(node).collect()
    }
}

impl Carrier for Channels {
    fn port(&self) -> u8 {
        self.port
    }

    fn find(&mut self, address: &str) -> Option<u8> {
        let at = self.doors.iter().position(|door| door.host == address)?;
        u8::try_from(at).ok()
    }

    fn send(&mut self, to: u8, packet: Packet) -> Result<(), Packet> {
        let door = &self.doors[usize::from(to)];
        door.to.send(packet).map_err(|unsent| unsent.0)?;
        door.set(None).into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Packet> {
        // Before the look: what comes after it wakes the task.
        self.doors[usize::from(self.port)].set(Some(cx.waker().clone()));
        self.from.try_recv().map_or(Poll::Pending, Poll::Ready)
    }
}
