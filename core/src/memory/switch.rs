//! Carries packets between nodes of one process that share a thread. Nothing is lost.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::streams::{Contents, Memory, Packet, Port, pool};
use crate::transport::LinkEvent;

/// Carries streams between the nodes of one process, up to 255.
#[derive(Debug)]
pub struct Switch {
    names: Vec<String>,
    /// Where each port's links lead: by port and link number.
    links: Vec<Vec<Option<Port>>>,
}

impl Switch {
    /// A switch between nodes of these names, each of which may open `streams_max` streams and know
    /// `nodes_max` hosts; with the node sides in the order of the names.
    #[must_use]
    pub fn new(names: &[&str], streams_max: u32, nodes_max: u32) -> (Self, Vec<Memory>) {
        let pool = pool(streams_max);
        let sides = (0..names.len())
            .map(|port| Memory::pooled(port as Port, streams_max, Rc::clone(&pool)))
            .collect();
        let links = names
            .iter()
            .map(|_| alloc::vec![None; nodes_max as usize * 2])
            .collect();
        (
            Self {
                names: names.iter().map(|name| String::from(*name)).collect(),
                links,
            },
            sides,
        )
    }

    /// Carries everything that has been written. Returns whether there was anything.
    pub fn carry(&mut self, sides: &mut [Memory]) -> bool {
        let mut carried = false;
        for port in 0..sides.len() {
            while let Some(packet) = sides[port].next_packet() {
                carried = true;
                self.deliver(port, packet, sides);
            }
        }
        carried
    }

    fn deliver(&mut self, port: usize, packet: Packet, sides: &mut [Memory]) {
        let to = match packet.0 {
            Contents::Dial { link, ref address } => {
                let name = |name: &String| name.as_bytes() == address;
                let to = self.names.iter().position(name).map(|to| to as Port);
                self.links[port][link.0 as usize] = to;
                if to.is_some() {
                    sides[port].report(link, LinkEvent::Up);
                }
                to
            }
            Contents::HangUp { link } => self.links[port][link.0 as usize].take(),
            Contents::Open { link, .. } | Contents::ToCallee { link, .. } => {
                self.links[port][link.0 as usize]
            }
            Contents::ToCaller { .. } => packet.caller(),
        };
        match to {
            Some(to) => sides[usize::from(to)].take_packet(packet),
            None => sides[port].return_packet(packet),
        }
    }
}
