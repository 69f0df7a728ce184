//! A network of directories in one process: encoded frames, latencies, losses, cuts.

extern crate std;

use std::boxed::Box;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::super::*;
use super::legacy::Legacy;
use super::world::{config, placement};
use crate::header::Header;
use crate::id::MethodId;
use crate::machine::Full;
use crate::status::Cause;
use crate::storage::Op;
use crate::stream::Class;
use crate::time::Duration;

/// Longest time a frame is under way.
pub(super) const LATENCY_MAX: Duration = Duration::from_millis(5);
/// The anti-entropy period of every node.
pub(super) const PERIOD: Duration = Duration::from_millis(1_000);

enum Out {
    Open {
        stream: StreamId,
        to: NodeId,
        method: MethodId,
        deadline: Option<Instant>,
        tag: Tag,
    },
    HalfClose(StreamId),
    End(StreamId, Code),
}

/// What a directory sees of the network.
struct Side {
    names: Vec<String>,
    next: u32,
    frames: BTreeMap<StreamId, Vec<u8>>,
    adopted: Option<Tag>,
    out: Vec<Out>,
}

impl Side {
    fn stream(&mut self) -> StreamId {
        self.next += 1;
        StreamId::new(self.next, 1)
    }
}

impl Io for Side {
    fn open(
        &mut self,
        to: NodeId,
        method: MethodId,
        _: Class,
        _: Header<'_>,
        deadline: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        let stream = self.stream();
        self.out.push(Out::Open {
            stream,
            to,
            method,
            deadline,
            tag,
        });
        Ok(stream)
    }
    fn adopt(&mut self, _: StreamId, tag: Tag) {
        self.adopted = Some(tag);
    }
    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        let frame = self.frames.entry(stream).or_default();
        frame.resize(len, 0);
        Ok(frame)
    }
    fn hold(&mut self, _: StreamId, _: u32) {}
    fn release(&mut self, _: StreamId, _: u32) {}
    fn half_close(&mut self, stream: StreamId) {
        self.out.push(Out::HalfClose(stream));
    }
    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        self.out.push(Out::End(stream, status.code));
    }
    fn submit(&mut self, _: Op<'_>, _: Tag) -> Result<(), Full> {
        Err(Full)
    }
    fn node(&mut self, _: &str) -> Result<NodeId, Full> {
        Err(Full)
    }
    fn name(&self, node: NodeId) -> &str {
        &self.names[node.0 as usize]
    }

    fn forget(&mut self, _: NodeId) {}
}

/// One of our nodes.
pub(super) struct Ours {
    pub(super) directory: Directory,
    side: Side,
    /// Owners by what `Changed` told.
    published: BTreeMap<u64, NodeId>,
    pub(super) lost: Vec<(u64, usize)>,
}

pub(super) enum Node {
    Ours(Box<Ours>),
    Legacy(Legacy),
}

struct Call {
    from: usize,
    to: usize,
    method: MethodId,
    stream: StreamId,
    tag: Tag,
    over: bool,
}

enum Due {
    Request {
        call: usize,
        frame: Vec<u8>,
    },
    Reply {
        call: usize,
        frame: Option<Vec<u8>>,
        code: Code,
    },
    Deadline {
        call: usize,
    },
}

pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) rng: Rng,
    pub(super) loss_percent: u64,
    /// Which side of a cut a node is on.
    pub(super) side_of: Vec<u8>,
    pub(super) up: Vec<bool>,
    queue: BTreeMap<(Instant, u64), Due>,
    calls: Vec<Call>,
    sequence: u64,
    /// A number that depends on everything that happened.
    pub(super) trace: u64,
}

impl Net {
    /// `n` nodes that know nothing of each other; the last `legacy` of them are not ours.
    pub(super) fn new(seed: u64, n: usize, legacy: usize) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = (0..n).map(|me| {
            let names: Vec<String> = (0..n)
                .map(|k| format!("host-{}:7000", (me + k) % n))
                .collect();
            if me >= n - legacy {
                return Node::Legacy(Legacy::new(names[0].clone()));
            }
            let config = DirectoryConfig {
                seed: rng.draw(),
                call_timeout: Duration::from_millis(50),
                fetch_timeout: Duration::from_millis(100),
                fetch_patience: Duration::from_millis(500),
                anti_entropy_interval: PERIOD,
                retry_min: Duration::from_millis(20),
                ..config(&names[0])
            };
            let side = Side {
                names,
                next: 0,
                frames: BTreeMap::new(),
                adopted: None,
                out: Vec::new(),
            };
            let directory = Directory::new(config, placement()).unwrap();
            Node::Ours(Box::new(Ours {
                directory,
                side,
                published: BTreeMap::new(),
                lost: Vec::new(),
            }))
        });
        let nodes = nodes.collect();
        Self {
            now: Instant::from_millis(1),
            nodes,
            rng: Rng::new(seed ^ 0x5eed),
            loss_percent: 0,
            side_of: vec![0; n],
            up: vec![true; n],
            queue: BTreeMap::new(),
            calls: Vec::new(),
            sequence: 0,
            trace: 0,
        }
    }

    /// The same, all of them members everywhere, and at rest.
    pub(super) fn settled(seed: u64, n: usize, legacy: usize) -> Self {
        let mut net = Self::new(seed, n, legacy);
        for a in 0..n {
            for b in 0..n {
                net.admit(a, b);
            }
        }
        net.pass(PERIOD);
        net
    }

    pub(super) fn ours(&self, node: usize) -> &Ours {
        let Node::Ours(ours) = &self.nodes[node] else {
            panic!("not ours")
        };
        ours
    }

    pub(super) fn ours_mut(&mut self, node: usize) -> &mut Ours {
        let Node::Ours(ours) = &mut self.nodes[node] else {
            panic!("not ours")
        };
        ours
    }

    /// Our nodes that are up.
    pub(super) fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|n| self.up[*n] && matches!(self.nodes[*n], Node::Ours(_)))
            .collect()
    }

    /// The number node `at` knows `of` by.
    fn number(&self, at: usize, of: usize) -> NodeId {
        NodeId(((of + self.nodes.len() - at) % self.nodes.len()) as u32)
    }

    fn whose(&self, at: usize, node: NodeId) -> usize {
        (at + node.0 as usize) % self.nodes.len()
    }

    /// Runs one of our directories, takes its events and carries out what it did.
    fn run(
        &mut self,
        at: usize,
        f: impl FnOnce(&mut Directory, Instant, &mut Side, &mut dyn Events<Directory>),
    ) {
        let (now, n) = (self.now, self.nodes.len());
        let Node::Ours(ours) = &mut self.nodes[at] else {
            return;
        };
        let Ours {
            directory,
            side,
            published,
            lost,
        } = &mut **ours;
        f(
            directory,
            now,
            side,
            &mut |event: DirectoryEvent<'_>| match event {
                DirectoryEvent::Changed {
                    id,
                    owner: Some(owner),
                } => {
                    published.insert(id, owner);
                }
                DirectoryEvent::Changed { id, owner: None } => {
                    published.remove(&id);
                }
                DirectoryEvent::Lost { id, winner } => {
                    lost.push((id, (at + winner.0 as usize) % n))
                }
                DirectoryEvent::Misbehaved { why, .. } => panic!("misbehaved: {why}"),
                DirectoryEvent::Kept { .. }
                | DirectoryEvent::Ready(_)
                | DirectoryEvent::Candidate { .. } => {}
            },
        );
        let mut out = core::mem::take(&mut side.out);
        for out in out.drain(..) {
            match out {
                Out::Open {
                    stream,
                    to,
                    method,
                    deadline,
                    tag,
                } => {
                    let to = self.whose(at, to);
                    let call = self.call(at, to, method, stream, tag);
                    if let Some(deadline) = deadline {
                        self.schedule(deadline, Due::Deadline { call });
                    }
                }
                Out::HalfClose(stream) => {
                    let call = self
                        .calls
                        .iter()
                        .rposition(|call| call.from == at && call.stream == stream)
                        .unwrap();
                    let frame = self.ours_mut(at).side.frames.remove(&stream).unwrap();
                    self.send(call, Due::Request { call, frame });
                }
                // Answers are taken where they are made; this is a call that was given up.
                Out::End(stream, _) => {
                    if let Some(call) = self
                        .calls
                        .iter_mut()
                        .rfind(|c| c.from == at && c.stream == stream)
                    {
                        call.over = true;
                    }
                }
            }
        }
    }

    fn call(
        &mut self,
        from: usize,
        to: usize,
        method: MethodId,
        stream: StreamId,
        tag: Tag,
    ) -> usize {
        self.calls.push(Call {
            from,
            to,
            method,
            stream,
            tag,
            over: false,
        });
        self.calls.len() - 1
    }

    fn schedule(&mut self, at: Instant, due: Due) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), due);
    }

    fn is_cut(&self, call: usize) -> bool {
        let Call { from, to, .. } = self.calls[call];
        !self.up[from] || !self.up[to] || self.side_of[from] != self.side_of[to]
    }

    fn send(&mut self, call: usize, due: Due) {
        let nanos = LATENCY_MAX.as_nanos() as u64;
        let latency = Duration::from_nanos(nanos / 10 + self.rng.below(nanos * 9 / 10));
        if self.rng.below(100) >= self.loss_percent && !self.is_cut(call) {
            self.schedule(self.now + latency, due);
        }
    }

    fn happen(&mut self, due: Due) {
        let (Due::Request { call, .. } | Due::Reply { call, .. } | Due::Deadline { call }) = due;
        self.trace =
            (self.trace ^ self.now.as_nanos() ^ call as u64).wrapping_mul(0x0100_0000_01b3);
        let Call {
            from,
            to,
            method,
            stream,
            tag,
            over,
        } = self.calls[call];
        match due {
            Due::Request { .. } | Due::Reply { .. } if self.is_cut(call) => {}
            Due::Request { frame, .. } => {
                let (frame, code) = self.serve(to, from, method, &frame);
                self.send(call, Due::Reply { call, frame, code });
            }
            Due::Reply { .. } | Due::Deadline { .. } if over || !self.up[from] => {}
            Due::Reply { frame, code, .. } => {
                self.calls[call].over = true;
                self.run(from, |directory, now, side, up| {
                    if let Some(frame) = &frame {
                        directory.handle_stream(now, stream, tag, StreamIn::Frame(frame), side, up);
                    }
                    let status = Status::new(code, "").caused_by(Cause::Peer);
                    directory.handle_stream(now, stream, tag, StreamIn::Ended(status), side, up);
                });
            }
            Due::Deadline { .. } => {
                self.calls[call].over = true;
                self.run(from, |directory, now, side, up| {
                    let status = Status::new(Code::DeadlineExceeded, "").caused_by(Cause::Deadline);
                    directory.handle_stream(now, stream, tag, StreamIn::Ended(status), side, up);
                });
            }
        }
    }

    /// A call arrives: its answer.
    fn serve(
        &mut self,
        at: usize,
        from: usize,
        method: MethodId,
        frame: &[u8],
    ) -> (Option<Vec<u8>>, Code) {
        let caller = match &self.nodes[from] {
            Node::Ours(_) => Some(self.number(at, from)),
            Node::Legacy(_) => None,
        };
        if let Node::Legacy(legacy) = &mut self.nodes[at] {
            return (Some(legacy.serve(method, frame)), Code::Ok);
        }
        let stream = self.ours_mut(at).side.stream();
        let mut code = None;
        self.run(at, |directory, now, side, up| {
            let accepted = StreamIn::Accepted {
                from: caller,
                method,
                header: Header::EMPTY,
                deadline: None,
                trusted: true,
            };
            directory.handle_stream(now, stream, Tag::NEW, accepted, side, up);
            let tag = side.adopted.take().unwrap();
            directory.handle_stream(now, stream, tag, StreamIn::Frame(frame), side, up);
            side.out.retain(|out| match out {
                Out::End(ended, with) if *ended == stream => {
                    code = Some(*with);
                    false
                }
                Out::End(..) | Out::Open { .. } | Out::HalfClose(_) => true,
            });
        });
        (self.ours_mut(at).side.frames.remove(&stream), code.unwrap())
    }

    /// Lets `time` pass.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..2_000_000 {
            let message = self.queue.first_key_value().map(|((at, _), _)| *at);
            let timeout = self
                .alive()
                .into_iter()
                .filter_map(|node| Some((self.ours(node).directory.poll_timeout()?, node)))
                .min();
            let due = earliest(message, timeout.map(|(at, _)| at));
            let Some(due) = due.filter(|due| *due <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(due);
            if let Some((_, node)) =
                timeout.filter(|(at, _)| message.is_none_or(|message| *at <= message))
            {
                self.run(node, |directory, now, side, up| {
                    directory.handle_timeout(now, side, up)
                });
            } else if let Some((_, due)) = self.queue.pop_first() {
                self.happen(due);
            }
        }
        panic!("it never comes to rest");
    }

    /// `at` hears that `of` is a member.
    pub(super) fn admit(&mut self, at: usize, of: usize) {
        let node = self.number(at, of);
        let legacy = matches!(self.nodes[of], Node::Legacy(_));
        self.run(at, |directory, now, side, up| {
            let host = side.names[node.0 as usize].clone();
            let command = DirectoryCommand::MemberUp {
                node,
                host: &host,
                weight: Weight::ONE,
                legacy,
            };
            directory.handle_command(now, command, side, up).unwrap();
        });
    }

    /// `at` hears that `of` is no member.
    pub(super) fn drop_member(&mut self, at: usize, of: usize) {
        let node = self.number(at, of);
        self.run(at, |directory, now, side, up| {
            directory
                .handle_command(now, DirectoryCommand::MemberDown { node }, side, up)
                .unwrap();
        });
    }

    /// Claims at one of our nodes; whether the claim was its to make.
    pub(super) fn claim(&mut self, at: usize, id: u64) -> bool {
        let free = self.ours(at).directory.claimant(id).is_none();
        self.run(at, |directory, now, side, _| directory.claim(now, id, side));
        free
    }

    pub(super) fn release(&mut self, at: usize, id: u64) {
        self.run(at, |directory, now, side, _| {
            directory.release(now, id, side)
        });
    }

    /// A legacy node claims an id, if it believes in no other owner, and tells everybody.
    pub(super) fn claim_legacy(&mut self, at: usize, id: u64) -> bool {
        let Node::Legacy(legacy) = &mut self.nodes[at] else {
            panic!("ours")
        };
        let Some(frame) = legacy.claim(id) else {
            return false;
        };
        for to in (0..self.nodes.len()).filter(|to| *to != at) {
            let call = self.call(
                at,
                to,
                control_plane::ANNOUNCE_OWNERSHIP,
                StreamId::new(0, 0),
                Tag::NEW,
            );
            self.send(
                call,
                Due::Request {
                    call,
                    frame: frame.clone(),
                },
            );
        }
        true
    }

    pub(super) fn plant(&mut self, plant: DirectoryPlant) {
        for node in self.alive() {
            self.ours_mut(node).directory.plant(Some(plant));
        }
    }

    /// Who owns `id` in the view of `at`.
    pub(super) fn view(&self, at: usize, id: u64) -> Option<usize> {
        self.ours(at)
            .directory
            .claimant(id)
            .map(|node| self.whose(at, node))
    }

    /// The owner all views agree on.
    pub(super) fn agreed(&self, id: u64) -> Result<Option<usize>, String> {
        let views: Vec<_> = self
            .alive()
            .into_iter()
            .map(|node| self.view(node, id))
            .collect();
        if views.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(format!("views of {id}: {views:?}"));
        }
        Ok(views[0])
    }

    /// Whether all our live nodes hold the same claims, and have published what they hold.
    pub(super) fn check_views(&self) -> Result<(), String> {
        let alive = self.alive();
        let prints: Vec<u64> = alive
            .iter()
            .map(|node| self.ours(*node).directory.fingerprint())
            .collect();
        if prints.windows(2).any(|pair| pair[0] != pair[1]) {
            let known: Vec<u32> = alive
                .iter()
                .map(|node| self.ours(*node).directory.known())
                .collect();
            return Err(format!("views differ; claims known: {known:?}"));
        }
        for node in alive {
            let Ours {
                directory,
                published,
                ..
            } = self.ours(node);
            if published.len() != directory.known() as usize
                || published
                    .iter()
                    .any(|(id, owner)| directory.claimant(*id) != Some(*owner))
            {
                return Err(format!(
                    "node {node} published something else than it holds"
                ));
            }
        }
        Ok(())
    }
}
