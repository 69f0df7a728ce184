//! The network: connections between processes, calls on them, and everything that goes wrong.
//!
//! A connection behaves as TCP does. Nothing on it is lost or doubled; what a cut way stops is
//! stalled and comes when the way is mended, unless the keepalive gives the connection up first. Each
//! call keeps its own order, and calls overtake each other. Window updates are not modelled, since no
//! unary call fills a window; a refused frame is injected instead.

mod packet;
mod paths;
mod port;

pub use packet::{ConnId, End, In, Out, Packet, Process};
pub use paths::{NetConfig, Paths};
pub(crate) use port::Numbered;
pub use port::SimTransport;

use std::time::Duration;

use trefoil_core::id::{CallId, LinkId};
use trefoil_core::transport::LinkEvent;

use crate::dice::Dice;
use crate::moment::Moment;

/// What a node's host does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A process listens.
    Listening(Process),
    /// The host answers that nothing listens.
    Refusing,
    /// Nothing answers.
    Silent,
}

/// Something that will happen in the network.
#[derive(Debug)]
pub enum NetEvent {
    /// A dial reaches the host.
    Knock(ConnId),
    /// The answer to a dial reaches the dialler.
    Answer(ConnId, LinkEvent),
    /// A packet reaches an end of a call.
    Deliver {
        /// The call.
        call: CallId,
        /// Where it arrives.
        to: End,
        /// Its number in its direction of the call.
        number: u32,
        /// What.
        packet: Packet,
    },
    /// An end of a connection hears that the other end is gone.
    Notice(ConnId, End),
    /// An end of a connection has heard nothing for too long.
    KeptAlive {
        /// The connection.
        conn: ConnId,
        /// The end that gives up.
        end: End,
        /// What must still be so.
        epoch: u64,
    },
    /// A call is reset.
    Reset(CallId),
    /// A choked call has room.
    Writable(CallId),
}

/// What was exercised.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetCounts {
    /// Packets delivered.
    pub packets: u64,
    /// Packets that a cut way stopped for a while or for good.
    pub stalled: u64,
    /// Calls that were reset.
    pub resets: u64,
    /// Connections lost.
    pub lost: u64,
    /// Dials refused.
    pub refused: u64,
    /// Frames refused for lack of room.
    pub choked: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dialing,
    Up,
}

#[derive(Debug)]
struct Conn {
    caller: Process,
    callee: Process,
    link: LinkId,
    state: State,
    /// By end: it knows that the connection is gone.
    broken: [bool; 2],
    /// What was sent before the connection stood, or is stopped by a cut.
    waiting: Vec<(CallId, End, u32, Packet)>,
}

impl Conn {
    const fn process(&self, end: End) -> Process {
        match end {
            End::Caller => self.caller,
            End::Callee => self.callee,
        }
    }
}

#[derive(Debug)]
struct Call {
    conn: ConnId,
    /// By receiving end: packets sent to it, packets delivered.
    sent: [u32; 2],
    delivered: [u32; 2],
    /// What overtook a packet of its own direction.
    early: Vec<(End, u32, Packet)>,
}

/// The network of a world.
#[derive(Debug)]
pub struct Net {
    /// The ways between the nodes.
    pub paths: Paths,
    /// What was exercised.
    pub counts: NetCounts,
    names: Vec<String>,
    presence: Vec<Presence>,
    conns: Numbered<Conn>,
    calls: Numbered<Call>,
    dice: Dice,
}

/// What the network wants to happen later.
type Later = Vec<(Moment, NetEvent)>;
/// What reaches processes now.
type Arrived = Vec<(Process, In)>;

impl Net {
    /// A network between nodes of these names, none of which listens yet.
    #[must_use]
    pub fn new(names: &[String], config: NetConfig, seed: u64) -> Self {
        Self {
            paths: Paths::new(names.len(), config),
            counts: NetCounts::default(),
            names: names.to_vec(),
            presence: vec![Presence::Silent; names.len()],
            conns: Numbered::default(),
            calls: Numbered::default(),
            dice: Dice::new(seed, "net"),
        }
    }

    /// A process listens from now on.
    pub fn listen(&mut self, process: Process) {
        self.presence[process.node] = Presence::Listening(process);
    }

    /// A process is gone. If its host is still there, its peers hear of it.
    pub fn stop(&mut self, at: Moment, node: usize, host_answers: bool, later: &mut Later) {
        let Presence::Listening(process) = self.presence[node] else {
            return;
        };
        self.presence[node] = if host_answers {
            Presence::Refusing
        } else {
            Presence::Silent
        };
        for conn in self.conns_of(node) {
            for end in [End::Caller, End::Callee] {
                if self.conns[&conn.0].process(end) != process {
                    continue;
                }
                if host_answers {
                    self.break_end(at, conn, end, later);
                } else {
                    self.conn_mut(conn, |known| known.broken[end as usize] = true);
                    let patience = self.patience();
                    later.push((
                        at + patience,
                        NetEvent::KeptAlive {
                            conn,
                            end: end.other(),
                            epoch: u64::MAX,
                        },
                    ));
                }
            }
        }
    }

    /// A node's process does nothing for `pause`: long ones cost it its connections.
    pub fn paused(&mut self, at: Moment, node: usize, pause: Duration, later: &mut Later) {
        for conn in self.conns_of(node) {
            let patience = self.patience();
            if pause > patience {
                let end = if self.conns[&conn.0].caller.node == node {
                    End::Callee
                } else {
                    End::Caller
                };
                later.push((
                    at + patience,
                    NetEvent::KeptAlive {
                        conn,
                        end,
                        epoch: u64::MAX,
                    },
                ));
            }
        }
    }

    /// Stops one direction.
    pub fn cut(&mut self, at: Moment, from: usize, to: usize, later: &mut Later) {
        if from == to || self.paths.is_cut(from, to) {
            return;
        }
        self.paths.set_cut(from, to, true);
        let epoch = self.paths.epoch(from, to);
        for conn in self.conns_of(from) {
            let known = &self.conns[&conn.0];
            if known.caller.node != to && known.callee.node != to {
                continue;
            }
            for end in [End::Caller, End::Callee] {
                let patience = self.patience();
                later.push((at + patience, NetEvent::KeptAlive { conn, end, epoch }));
            }
        }
    }

    /// Mends one direction; what it stopped comes.
    pub fn mend(&mut self, at: Moment, from: usize, to: usize, later: &mut Later) {
        self.paths.set_cut(from, to, false);
        for conn in self.conns_of(from) {
            self.release(at, conn, later);
        }
    }

    /// Mends everything.
    pub fn heal(&mut self, at: Moment, later: &mut Later) {
        self.paths.heal();
        for node in 0..self.names.len() {
            for conn in self.conns_of(node) {
                self.release(at, conn, later);
            }
        }
    }

    /// Breaks one connection that stands, at both ends. Returns whether there was one.
    pub fn reset_link(&mut self, at: Moment, later: &mut Later) -> bool {
        let mut up: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.state == State::Up && !conn.broken[0])
            .map(|(id, _)| *id)
            .collect();
        up.sort_unstable();
        if up.is_empty() {
            return false;
        }
        let conn = ConnId(up[self.dice.index(up.len())]);
        for end in [End::Caller, End::Callee] {
            let known = &self.conns[&conn.0];
            let arrival = self.paths.arrival(
                at,
                known.process(end.other()).node,
                known.process(end).node,
                &mut self.dice,
            );
            later.push((arrival, NetEvent::Notice(conn, end)));
        }
        true
    }

    /// Takes what a process's transport was told.
    pub fn carry(&mut self, at: Moment, process: Process, out: Out, later: &mut Later) {
        match out {
            Out::Dial {
                conn,
                link,
                address,
            } => self.dial(at, process, conn, link, &address, later),
            Out::HangUp(conn) => self.break_end(at, conn, End::Caller, later),
            Out::Send {
                call,
                conn,
                from,
                packet,
            } => self.send(at, call, conn, from, packet, later),
            Out::Choked(call) => {
                self.counts.choked += 1;
                let wait = self.dice.tail(Duration::from_millis(5));
                later.push((at + wait, NetEvent::Writable(call)));
            }
        }
    }

    fn dial(
        &mut self,
        at: Moment,
        from: Process,
        conn: ConnId,
        link: LinkId,
        address: &str,
        later: &mut Later,
    ) {
        let Some(node) = self.names.iter().position(|name| name == address) else {
            let known = Conn::new(from, from, link);
            self.conns.insert(conn.0, known);
            later.push((
                at + Duration::from_millis(1),
                NetEvent::Answer(conn, LinkEvent::Lost),
            ));
            return;
        };
        self.conns
            .insert(conn.0, Conn::new(from, Process { node, session: 0 }, link));
        let arrival = self.paths.arrival(at, from.node, node, &mut self.dice);
        later.push((arrival, NetEvent::Knock(conn)));
    }

    fn send(
        &mut self,
        at: Moment,
        call: CallId,
        conn: ConnId,
        from: End,
        packet: Packet,
        later: &mut Later,
    ) {
        if matches!(packet, Packet::Open { .. }) {
            self.calls.insert(call.0, Call::new(conn));
            if self.dice.chance(self.paths.config.reset_ppm) {
                let wait = self.dice.tail(Duration::from_millis(10));
                later.push((at + wait, NetEvent::Reset(call)));
            }
        }
        let (Some(known), Some(conn)) = (self.calls.get_mut(&call.0), self.conns.get_mut(&conn.0))
        else {
            return;
        };
        let to = from.other();
        let number = known.sent[to as usize];
        known.sent[to as usize] += 1;
        if conn.broken[from as usize] {
            return;
        }
        if conn.state == State::Dialing {
            conn.waiting.push((call, to, number, packet));
            return;
        }
        let arrival = self.paths.arrival(
            at,
            conn.process(from).node,
            conn.process(to).node,
            &mut self.dice,
        );
        later.push((
            arrival,
            NetEvent::Deliver {
                call,
                to,
                number,
                packet,
            },
        ));
    }

    /// Something that was scheduled happens.
    pub fn handle(
        &mut self,
        at: Moment,
        event: NetEvent,
        later: &mut Later,
        arrived: &mut Arrived,
    ) {
        match event {
            NetEvent::Knock(conn) => self.knock(at, conn, later),
            NetEvent::Answer(conn, event) => self.answer(at, conn, event, later, arrived),
            NetEvent::Deliver {
                call,
                to,
                number,
                packet,
            } => self.deliver(call, to, number, packet, arrived),
            NetEvent::Notice(conn, end) => {
                let Some(known) = self.conns.get(&conn.0) else {
                    return;
                };
                if self
                    .paths
                    .is_cut(known.process(end.other()).node, known.process(end).node)
                {
                    later.push((
                        at + self.paths.config.retransmission,
                        NetEvent::Notice(conn, end),
                    ));
                } else {
                    self.lose(conn, end, arrived);
                }
            }
            NetEvent::KeptAlive { conn, end, epoch } => {
                let Some(known) = self.conns.get(&conn.0) else {
                    return;
                };
                let (a, b) = (known.caller.node, known.callee.node);
                let still = epoch == u64::MAX
                    || (self.paths.is_hurt(a, b) && self.paths.epoch(a, b) == epoch);
                if still && !known.broken[end as usize] {
                    self.lose(conn, end, arrived);
                    later.push((at, NetEvent::Notice(conn, end.other())));
                }
            }
            NetEvent::Reset(call) => {
                let Some(conn) = self
                    .calls
                    .get(&call.0)
                    .and_then(|known| self.conns.get(&known.conn.0))
                else {
                    return;
                };
                self.counts.resets += 1;
                arrived.push((conn.caller, In::Reset(call, End::Caller)));
                arrived.push((conn.callee, In::Reset(call, End::Callee)));
            }
            NetEvent::Writable(call) => {
                let Some(conn) = self
                    .calls
                    .get(&call.0)
                    .and_then(|known| self.conns.get(&known.conn.0))
                else {
                    return;
                };
                arrived.push((conn.caller, In::Writable(call)));
            }
        }
    }

    fn knock(&mut self, at: Moment, conn: ConnId, later: &mut Later) {
        let Some(known) = self.conns.get_mut(&conn.0).filter(|known| !known.broken[0]) else {
            return;
        };
        let (from, to) = (known.caller.node, known.callee.node);
        let stopped = self.paths.is_hurt(from, to);
        let event = match self.presence[to] {
            Presence::Listening(process) if !stopped => {
                known.callee = process;
                LinkEvent::Up
            }
            Presence::Refusing if !stopped => LinkEvent::Refused,
            Presence::Listening(_) | Presence::Refusing | Presence::Silent => {
                later.push((at + Duration::from_secs(1), NetEvent::Knock(conn)));
                return;
            }
        };
        let arrival = self.paths.arrival(at, to, from, &mut self.dice);
        later.push((arrival, NetEvent::Answer(conn, event)));
    }

    fn answer(
        &mut self,
        at: Moment,
        conn: ConnId,
        event: LinkEvent,
        later: &mut Later,
        arrived: &mut Arrived,
    ) {
        let Some(known) = self.conns.get_mut(&conn.0).filter(|known| !known.broken[0]) else {
            return;
        };
        match event {
            LinkEvent::Up => known.state = State::Up,
            LinkEvent::Refused | LinkEvent::Lost | LinkEvent::Untrusted => {
                known.broken = [true, true]
            }
        }
        self.counts.refused += u64::from(event == LinkEvent::Refused);
        arrived.push((
            known.caller,
            In::Link {
                conn,
                link: known.link,
                event,
            },
        ));
        self.release(at, conn, later);
    }

    fn deliver(
        &mut self,
        call: CallId,
        to: End,
        number: u32,
        packet: Packet,
        arrived: &mut Arrived,
    ) {
        let Some(known) = self.calls.get_mut(&call.0) else {
            return;
        };
        let Some(conn) = self.conns.get_mut(&known.conn.0) else {
            return;
        };
        if conn.broken[to as usize] {
            return;
        }
        if self
            .paths
            .is_cut(conn.process(to.other()).node, conn.process(to).node)
        {
            self.counts.stalled += 1;
            conn.waiting.push((call, to, number, packet));
            return;
        }
        let process = conn.process(to);
        let from = conn.process(to.other()).node;
        if number != known.delivered[to as usize] {
            known.early.push((to, number, packet));
            return;
        }
        let mut next = Some(packet);
        while let Some(packet) = next {
            known.delivered[to as usize] += 1;
            self.counts.packets += 1;
            arrived.push((
                process,
                In::Call {
                    call,
                    conn: known.conn,
                    from,
                    to,
                    packet,
                },
            ));
            let due = (to, known.delivered[to as usize]);
            let place = known
                .early
                .iter()
                .position(|(end, number, _)| (*end, *number) == due);
            next = place.map(|place| known.early.swap_remove(place).2);
        }
    }

    /// Sends what waits on a connection, where its way is open.
    fn release(&mut self, at: Moment, conn: ConnId, later: &mut Later) {
        let Some(known) = self
            .conns
            .get_mut(&conn.0)
            .filter(|known| known.state == State::Up)
        else {
            return;
        };
        for (call, to, number, packet) in std::mem::take(&mut known.waiting) {
            let (from, node) = (known.process(to.other()).node, known.process(to).node);
            let arrival = self.paths.arrival(at, from, node, &mut self.dice);
            later.push((
                arrival,
                NetEvent::Deliver {
                    call,
                    to,
                    number,
                    packet,
                },
            ));
        }
    }

    /// One end gives the connection up; the other hears of it if it can.
    fn break_end(&mut self, at: Moment, conn: ConnId, end: End, later: &mut Later) {
        let Some(known) = self.conns.get_mut(&conn.0) else {
            return;
        };
        known.broken[end as usize] = true;
        if known.state == State::Dialing && end == End::Caller {
            known.broken = [true, true];
        } else {
            let (from, to) = (known.process(end).node, known.process(end.other()).node);
            let arrival = self.paths.arrival(at, from, to, &mut self.dice);
            later.push((arrival, NetEvent::Notice(conn, end.other())));
        }
    }

    /// An end learns that the connection is gone.
    fn lose(&mut self, conn: ConnId, end: End, arrived: &mut Arrived) {
        let calls_first = self.dice.coin();
        let Some(known) = self
            .conns
            .get_mut(&conn.0)
            .filter(|known| !known.broken[end as usize])
        else {
            return;
        };
        known.broken[end as usize] = true;
        known.waiting.clear();
        self.counts.lost += 1;
        arrived.push((known.process(end), In::Broken { conn, calls_first }));
    }

    fn conn_mut(&mut self, conn: ConnId, change: impl FnOnce(&mut Conn)) {
        if let Some(known) = self.conns.get_mut(&conn.0) {
            change(known);
        }
    }

    /// The connections of a node that are not gone at both ends, in a fixed order.
    fn conns_of(&mut self, node: usize) -> Vec<ConnId> {
        self.conns.retain(|_, conn| conn.broken != [true, true]);
        let of = |conn: &Conn| conn.caller.node == node || conn.callee.node == node;
        let mut conns: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| of(conn))
            .map(|(id, _)| *id)
            .collect();
        conns.sort_unstable();
        conns.into_iter().map(ConnId).collect()
    }

    fn patience(&mut self) -> Duration {
        let keepalive = self.paths.config.keepalive;
        keepalive + self.dice.tail(keepalive / 10)
    }
}

impl Conn {
    const fn new(caller: Process, callee: Process, link: LinkId) -> Self {
        Self {
            caller,
            callee,
            link,
            state: State::Dialing,
            broken: [false, false],
            waiting: Vec::new(),
        }
    }
}

impl Call {
    const fn new(conn: ConnId) -> Self {
        Self {
            conn,
            sent: [0, 0],
            delivered: [0, 0],
            early: Vec::new(),
        }
    }
}
