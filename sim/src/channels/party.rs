//! Who takes part: nodes with the shipping coordinator and worker, clients, and an echo that makes calls again
//! which were made before. What the invariants need to know of calls and pushes is read from the frames
//! themselves, on their way to the machine.

use trefoil_core::channels::client::Client;
use trefoil_core::channels::coordinator::CoordinatorCommand;
use trefoil_core::channels::open::SERVER_ID;
use trefoil_core::header::HeaderWriter;
use trefoil_core::id::{StreamId, Tag};
use trefoil_core::machine::{Events, Full, Io, Machine};
use trefoil_core::method::streaming;
use trefoil_core::node::{Channels, ChannelsEvent};
use trefoil_core::status::{Code, Status};
use trefoil_core::storage::Done;
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::{Duration, Instant};
use trefoil_proto::Decode;
use trefoil_proto::streaming::{
    AssignmentDiscoverResponseResponse, AssignmentDiscoverResponseView,
};

use super::order::{Call, Order, Refused, Said};

/// Where a channel is, as it was pushed: its name, its term and the node's number.
pub type Place = (String, i64, i64);

/// What went by.
#[derive(Clone, Debug)]
pub enum Note {
    /// A node was called.
    Called(Call),
    /// A client was told where the channels are.
    Told {
        /// The stream.
        stream: StreamId,
        /// The version.
        version: (i64, i64),
        /// All that are assigned.
        places: Vec<Place>,
    },
}

/// A node.
#[derive(Debug)]
pub struct Host {
    channels: Channels,
    name: String,
    /// Calls whose message has not come.
    calls: Vec<(StreamId, bool, String)>,
}

/// One that takes part.
#[derive(Debug)]
pub struct Party {
    kind: Kind,
    notes: Vec<Note>,
}

#[derive(Debug)]
enum Kind {
    Host(Box<Host>),
    Client(Box<Client>),
    Echo,
}

impl Party {
    /// A node.
    #[must_use]
    pub fn host(channels: Channels, name: &str) -> Self {
        let host = Host {
            channels,
            name: name.to_owned(),
            calls: Vec::new(),
        };
        Self {
            kind: Kind::Host(Box::new(host)),
            notes: Vec::new(),
        }
    }

    /// A client.
    #[must_use]
    pub fn client(client: Client) -> Self {
        Self {
            kind: Kind::Client(Box::new(client)),
            notes: Vec::new(),
        }
    }

    /// One that makes calls again.
    #[must_use]
    pub const fn echo() -> Self {
        Self {
            kind: Kind::Echo,
            notes: Vec::new(),
        }
    }

    /// What went by since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// The machines of a node.
    #[must_use]
    pub fn channels(&self) -> Option<&Channels> {
        match &self.kind {
            Kind::Host(host) => Some(&host.channels),
            Kind::Client(_) | Kind::Echo => None,
        }
    }

    /// The machines of a node.
    pub fn channels_mut(&mut self) -> Option<&mut Channels> {
        match &mut self.kind {
            Kind::Host(host) => Some(&mut host.channels),
            Kind::Client(_) | Kind::Echo => None,
        }
    }

    /// The machine of a client.
    #[must_use]
    pub fn as_client(&self) -> Option<&Client> {
        match &self.kind {
            Kind::Client(client) => Some(client),
            Kind::Host(_) | Kind::Echo => None,
        }
    }
}

impl Host {
    /// Reads a call that gives or takes a channel on its way by.
    fn note(&mut self, stream: StreamId, event: &StreamIn<'_>, notes: &mut Vec<Note>) {
        match event {
            StreamIn::Accepted { method, header, .. } => {
                let removal = *method == streaming::REMOVE;
                if removal || *method == streaming::ASSIGN {
                    let meant = header.text(SERVER_ID).unwrap_or_default();
                    self.calls.push((stream, removal, meant.to_owned()));
                }
            }
            StreamIn::Frame(frame) => {
                let at = self.calls.iter().position(|(known, ..)| *known == stream);
                if let Some((_, removal, server_id)) = at.map(|at| self.calls.swap_remove(at)) {
                    notes.push(Note::Called(Call {
                        to: self.name.clone(),
                        server_id,
                        removal,
                        frame: frame.to_vec(),
                    }));
                }
            }
            StreamIn::Ended(_) => self.calls.retain(|(known, ..)| *known != stream),
            StreamIn::Header(_) | StreamIn::HalfClosed | StreamIn::Writable => {}
        }
    }

    fn command(
        &mut self,
        now: Instant,
        order: &Order,
        io: &mut dyn Io,
        up: &mut dyn Events<Channels>,
    ) -> Result<(), Refused> {
        let command = match order {
            Order::Hear(news) => {
                self.channels.hear(now, news.clone(), io, up);
                return Ok(());
            }
            Order::Wall(wall) => {
                self.channels.wall(*wall, io, up);
                return Ok(());
            }
            Order::Create(channel) => CoordinatorCommand::Create { channel },
            Order::Move(channel, to) => CoordinatorCommand::Move { channel, to },
            Order::Drain(address, within) => CoordinatorCommand::Drain {
                address,
                deadline: within.map(|within| now + within),
            },
            Order::Watch
            | Order::OpenProducer { .. }
            | Order::Produce(..)
            | Order::OpenConsumer(..)
            | Order::Acknowledge(..)
            | Order::Echo(_) => return Err(Refused::Misplaced),
        };
        let done = self.channels.command(now, command, io, up);
        done.map_err(Refused::Coordinator)
    }
}

/// What a client is told on the stream of its watch, which has the first of its tags.
fn told(stream: StreamId, tag: Tag, event: &StreamIn<'_>) -> Option<Note> {
    let StreamIn::Frame(frame) = event else {
        return None;
    };
    if tag.rest() != 0 {
        return None;
    }
    let response = AssignmentDiscoverResponseView::parse(frame)
        .ok()?
        .response?;
    let AssignmentDiscoverResponseResponse::FullAssignment(full) = response else {
        return None;
    };
    let version = full.version.unwrap_or_default();
    let mut places = Vec::new();
    for of_node in full.assignments.iter().flatten() {
        let server_id = of_node.node.map_or(0, |node| node.server_id);
        for channel in of_node.channels.iter().flatten() {
            places.push((channel.name.to_owned(), channel.term, server_id));
        }
    }
    places.sort_unstable();
    Some(Note::Told {
        stream,
        version: (version.global, version.local),
        places,
    })
}

/// Calls a node as it was called before. Nobody waits for what it says.
fn echo(now: Instant, call: &Call, io: &mut dyn Io) -> Result<(), Full> {
    let to = io.node(&call.to)?;
    let mut room = [0; 64];
    let mut header = HeaderWriter::new(&mut room);
    header.push(SERVER_ID, call.server_id.as_bytes())?;
    let method = if call.removal {
        streaming::REMOVE
    } else {
        streaming::ASSIGN
    };
    let deadline = Some(now + Duration::from_secs(1));
    let tag = Tag::new(MACHINE, 0);
    let stream = io.open(to, method, Class::Control, header.finish(), deadline, tag)?;
    let sent = io
        .frame(stream, call.frame.len())
        .map(|room| room.copy_from_slice(&call.frame));
    match sent {
        Ok(()) => io.half_close(stream),
        Err(Full) => io.end(stream, Status::new(Code::Cancelled, "")),
    }
    Ok(())
}

/// Top byte of the echo's tags.
const MACHINE: u8 = 250;

/// Turns over what a node's machines say.
fn of_channels(up: &mut dyn Events<Party>) -> impl FnMut(ChannelsEvent<'_>) {
    move |event| up.event(Said::Channels(event))
}

impl Machine for Party {
    type Command<'a> = &'a Order;
    type Event<'a> = Said<'a>;
    type Refused = Refused;

    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        match &mut self.kind {
            Kind::Host(host) => {
                host.note(stream, &event, &mut self.notes);
                let up = &mut of_channels(up);
                host.channels.handle_stream(now, stream, tag, event, io, up);
            }
            Kind::Client(client) => {
                self.notes.extend(told(stream, tag, &event));
                let mut up = |event: <Client as Machine>::Event<'_>| up.event(Said::Client(event));
                client.handle_stream(now, stream, tag, event, io, &mut up);
            }
            Kind::Echo => {
                if matches!(event, StreamIn::Accepted { .. }) {
                    io.end(stream, Status::new(Code::Unimplemented, ""));
                }
            }
        }
    }

    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        if let Kind::Host(host) = &mut self.kind {
            let up = &mut of_channels(up);
            host.channels.handle_done(now, tag, done, io, up);
        }
    }

    fn handle_command(
        &mut self,
        now: Instant,
        order: &Order,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), Refused> {
        match (&mut self.kind, order) {
            (Kind::Host(host), order) => host.command(now, order, io, &mut of_channels(up)),
            (Kind::Client(client), order) => {
                let command = order.for_client().ok_or(Refused::Misplaced)?;
                let mut up = |event: <Client as Machine>::Event<'_>| up.event(Said::Client(event));
                let done = client.handle_command(now, command, io, &mut up);
                done.map_err(Refused::Client)
            }
            // What there is no room for is not said again.
            (Kind::Echo, Order::Echo(call)) => {
                let _ = echo(now, call, io);
                Ok(())
            }
            (Kind::Echo, _) => Err(Refused::Misplaced),
        }
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        match &mut self.kind {
            Kind::Host(host) => {
                let up = &mut of_channels(up);
                host.channels.handle_timeout(now, io, up);
            }
            Kind::Client(client) => {
                let mut up = |event: <Client as Machine>::Event<'_>| up.event(Said::Client(event));
                client.handle_timeout(now, io, &mut up);
            }
            Kind::Echo => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Host(host) => host.channels.poll_timeout(),
            Kind::Client(client) => client.poll_timeout(),
            Kind::Echo => None,
        }
    }
}
