//! What the driver of a node asks of its runtime: a clock, an alarm, commands, ears.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use trefoil_core::driver::Runtime;
use trefoil_core::election::ElectionEvent;
use trefoil_core::engine::Engine;
use trefoil_core::machine::{Events, RefusedCaller};
use trefoil_core::node::{Node, NodeCommand, NodeEvent, NodeRefused};
use trefoil_core::ring::actor::{ActorKind, Ran};
use trefoil_core::ring::actors::{ActorsCommand, ActorsEvent, Ticket};
use trefoil_core::ring::directory::DirectoryEvent;
use trefoil_core::ring::membership::{self, MembershipCommand, MembershipEvent};
use trefoil_core::ring::{RingCommand, RingEvent};
use trefoil_core::time::{Duration, Instant, WallClock};

use crate::actors::Performer;
use crate::alarm::Due;
use crate::calls::Waiting;
use crate::channels;
use crate::clock;
use crate::election::{self, Commander, OwnedCommand};
use crate::error::CallError;
use crate::handle::{Ask, Stats};
use crate::muffler::Muffler;
use crate::platform::Platform;
use crate::published::{Member, MemberState, Mismatch, Published, View};

/// How often the wall clock is read anew, so that a step of it reaches the node.
const WALL_INTERVAL: Duration = Duration::from_secs(30);

/// The driver's runtime for a ring.
pub(crate) struct NodeRuntime<P: Platform, K: ActorKind> {
    asks: mpsc::Receiver<Ask>,
    published: Arc<Published>,
    performer: Performer<K>,
    waiting: Waiting,
    alarm: Due<P::Alarm>,
    wall_due: Instant,
    /// Version and majority of the view that was published last.
    shown: Option<(u64, bool)>,
    mismatches: u64,
    muffler: Muffler,
    leavers: Vec<oneshot::Sender<()>>,
    /// Who waits until this node has said its last word as a voter.
    stoppers: Vec<Commander>,
    votes_no_more: bool,
    stats: Vec<oneshot::Sender<Stats>>,
    left: bool,
}

/// A command that owns what it holds.
#[derive(Debug)]
pub(crate) enum Owned {
    Wall(WallClock),
    Apply {
        call: u64,
        request: Bytes,
        request_id: Option<u128>,
        deadline: Instant,
    },
    Get {
        call: u64,
        request: Bytes,
        deadline: Instant,
    },
    Ran {
        ticket: Ticket,
        ran: Ran,
    },
    Release {
        id: u64,
    },
    Join {
        host: String,
    },
    Down {
        host: String,
    },
    Election {
        command: OwnedCommand,
        commander: Commander,
    },
    Leave,
}

impl Owned {
    /// The command as the machine takes it.
    fn lend(&self) -> NodeCommand<'_> {
        NodeCommand::Ring(match *self {
            Self::Election { ref command, .. } => return NodeCommand::Election(command.lend()),
            Self::Wall(wall) => RingCommand::Membership(MembershipCommand::Wall(wall)),
            Self::Apply {
                call,
                ref request,
                request_id,
                deadline,
            } => RingCommand::Actors(ActorsCommand::Apply {
                call,
                request,
                request_id,
                deadline,
            }),
            Self::Get {
                call,
                ref request,
                deadline,
            } => RingCommand::Actors(ActorsCommand::Get {
                call,
                request,
                deadline,
            }),
            Self::Ran { ticket, ref ran } => RingCommand::Actors(ActorsCommand::Ran {
                ticket,
                outcome: ran.outcome(),
            }),
            Self::Release { id } => RingCommand::Actors(ActorsCommand::Release { id }),
            Self::Join { ref host } => RingCommand::Membership(MembershipCommand::Join { host }),
            Self::Down { ref host } => RingCommand::Membership(MembershipCommand::Down { host }),
            Self::Leave => RingCommand::Leave,
        })
    }
}

impl<P: Platform, K: ActorKind> NodeRuntime<P, K> {
    pub(crate) fn new(
        asks: mpsc::Receiver<Ask>,
        published: Arc<Published>,
        performer: Performer<K>,
        waiting: Waiting,
    ) -> Self {
        Self {
            asks,
            published,
            performer,
            waiting,
            alarm: Due::default(),
            wall_due: Instant::ZERO,
            shown: None,
            mismatches: 0,
            muffler: Muffler::default(),
            leavers: Vec::new(),
            stoppers: Vec::new(),
            votes_no_more: false,
            stats: Vec::new(),
            left: false,
        }
    }

    fn left(&mut self) {
        self.left = true;
        self.published.left.send_replace(true);
        for leaver in self.leavers.drain(..) {
            // Whoever asked may have gone.
            let _ = leaver.send(());
        }
    }

    /// Tells of a peer that was called and will never speak with this node.
    fn publish_mismatch(&mut self, engine: &Engine<Node>) {
        if self.mismatches == engine.mismatches() {
            return;
        }
        self.mismatches = engine.mismatches();
        let Some((host, why)) = engine.last_mismatch() else {
            return;
        };
        let same = |known: &Mismatch| *known.host == *host && *known.why == *why;
        if !self.published.mismatch.borrow().as_ref().is_some_and(same) {
            if let Some(withheld) = self.muffler.pass(clock::now(), &format!("{host} {why}")) {
                tracing::error!(host, withheld, "no connection: {why}");
            }
            let (host, why) = (host.into(), why.into());
            self.published
                .mismatch
                .send_replace(Some(Mismatch { host, why }));
        }
    }

    fn publish(&mut self, engine: &Engine<Node>) {
        let ring = engine.machine().ring();
        let members = ring.membership();
        let present = (members.version(), members.has_majority());
        if self.shown == Some(present) {
            return;
        }
        self.shown = Some(present);
        let mut list: Vec<Member> = members
            .members()
            .map(|member| Member {
                host: self.published.name(member.node, member.host),
                state: match member.state {
                    membership::State::Alive => MemberState::Alive,
                    membership::State::Suspect => MemberState::Suspect,
                    membership::State::Draining => MemberState::Draining,
                },
                incarnation: member.incarnation,
                legacy: member.legacy,
                round_trip: member.round_trip,
            })
            .collect();
        list.sort_by(|a, b| a.host.cmp(&b.host));
        self.published
            .set_placement(ring.directory().placement().clone());
        let view = Arc::new(View {
            version: present.0,
            members: list,
            majority: present.1,
        });
        self.published.view.send_replace(view);
    }

    fn answer_stats(&mut self, engine: &Engine<Node>) {
        if self.stats.is_empty() {
            return;
        }
        let ring = engine.machine().ring();
        let election = engine.machine().election();
        let leads = election.is_some_and(|election| election.leads(clock::now()));
        let quorum = election.is_some_and(|election| election.has_quorum());
        let gauges = [
            ("members", ring.membership().live() as u64),
            ("majority", u64::from(ring.membership().has_majority())),
            ("actors", u64::from(ring.actors().active())),
            ("known_ids", u64::from(ring.directory().known())),
            ("calls_open", u64::from(ring.actors().in_flight())),
            ("streams_open", u64::from(engine.streams())),
            ("callers_waiting", self.waiting.len() as u64),
            ("identity_mismatches", engine.mismatches()),
            ("leading", u64::from(leads)),
            ("voters_quorum", u64::from(quorum)),
        ];
        let stats = Stats {
            counters: gauges
                .into_iter()
                .chain(engine.machine().counters())
                .collect(),
        };
        for caller in self.stats.drain(..) {
            let _ = caller.send(stats.clone());
        }
    }
}

impl<P: Platform, K: ActorKind + Clone + Send + 'static> NodeRuntime<P, K> {
    fn of_ring(&mut self, event: RingEvent<'_>) {
        match event {
            RingEvent::Actors(ActorsEvent::Run { ticket, id, job }) => {
                self.performer.run(ticket, id, job)
            }
            RingEvent::Actors(ActorsEvent::Answer { call, result }) => {
                self.waiting.answer(call, || {
                    result
                        .map(Bytes::copy_from_slice)
                        .map_err(|status| CallError::from_status(&status))
                })
            }
            RingEvent::Actors(ActorsEvent::Drained) => {}
            RingEvent::Directory(DirectoryEvent::Changed { id, owner }) => {
                self.published.set_owner(id, owner)
            }
            RingEvent::Directory(DirectoryEvent::Lost { id, winner }) => {
                tracing::info!(
                    id,
                    winner = winner.0,
                    "another node keeps an id this one had claimed"
                );
            }
            RingEvent::Directory(DirectoryEvent::Misbehaved { node, why }) => {
                tracing::warn!(
                    node = node.map(|node| node.0),
                    why,
                    "a peer broke the protocol"
                );
            }
            RingEvent::Directory(
                DirectoryEvent::Kept { .. }
                | DirectoryEvent::Ready(_)
                | DirectoryEvent::Candidate { .. },
            ) => {}
            RingEvent::Membership(MembershipEvent::Up {
                host,
                incarnation,
                legacy,
                node,
            }) => {
                self.published.name(node, host);
                tracing::info!(host, incarnation, legacy, "a member is up");
            }
            RingEvent::Membership(event) => tracing::info!(?event, "membership"),
            RingEvent::Left => self.left(),
        }
    }

    fn of_election(&mut self, event: ElectionEvent<'_>) {
        let watch = self.published.leadership.as_ref();
        let changed = watch.is_some_and(|watch| election::publish(watch, &event));
        match event {
            ElectionEvent::Leading { token, .. } if changed => {
                tracing::info!(%token, "this node leads");
            }
            ElectionEvent::Following { leader, token } => {
                tracing::info!(leader, %token, "another voter leads");
            }
            ElectionEvent::Leaderless => tracing::info!("no leader is known"),
            ElectionEvent::Forgetful { until } => {
                let left = until.since(clock::now());
                tracing::warn!(
                    ?left,
                    "nothing is known of earlier votes: silent for a promise"
                );
            }
            ElectionEvent::ElectorateRefused { why } => {
                tracing::error!("this voter takes no part: {why}");
            }
            ElectionEvent::Misbehaved { voter, what } => {
                let about = format!("{voter:?} {what}");
                if let Some(withheld) = self.muffler.pass(clock::now(), &about) {
                    tracing::warn!(voter, withheld, "a voter broke the protocol: {what}");
                }
            }
            ElectionEvent::Stopped => {
                self.votes_no_more = true;
                for stopper in self.stoppers.drain(..) {
                    // Whoever asked may have gone.
                    let _ = stopper.send(Ok(()));
                }
            }
            ElectionEvent::Leading { .. } => {}
        }
    }
}

impl<P: Platform, K: ActorKind + Clone + Send + 'static> Events<Node> for NodeRuntime<P, K> {
    fn event(&mut self, event: NodeEvent<'_>) {
        match event {
            NodeEvent::Ring(event) => self.of_ring(event),
            NodeEvent::Election(event) => self.of_election(event),
            NodeEvent::Channels(event) => channels::tell(&event),
            NodeEvent::LeaveAsked => tracing::info!("asked to leave"),
        }
    }
    fn refused_caller(&mut self, caller: RefusedCaller<'_>) {
        if let Some(withheld) = self.muffler.pass(clock::now(), caller.why) {
            tracing::warn!(
                says_it_is = caller.host,
                certified_as = caller.names,
                withheld,
                "a caller was refused: {}",
                caller.why
            );
        }
    }
}

impl<P: Platform, K: ActorKind + Clone + Send + 'static> Runtime<Node> for NodeRuntime<P, K> {
    type Owned = Owned;

    fn now(&self) -> Instant {
        clock::now()
    }

    fn poll_alarm(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(due, cx)
    }

    fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Option<Owned>> {
        if let Poll::Ready((ticket, ran)) = self.performer.poll(cx) {
            return Poll::Ready(Some(Owned::Ran { ticket, ran }));
        }
        let now = clock::now();
        if now >= self.wall_due {
            self.wall_due = now + WALL_INTERVAL;
            return Poll::Ready(Some(Owned::Wall(clock::wall())));
        }
        loop {
            let Poll::Ready(ask) = self.asks.poll_recv(cx) else {
                return Poll::Pending;
            };
            return Poll::Ready(match ask {
                None => None,
                Some(Ask::Stats { caller }) => {
                    self.stats.push(caller);
                    continue;
                }
                Some(Ask::Leave { left }) => {
                    self.leavers.push(left);
                    if self.left {
                        self.left();
                        continue;
                    }
                    Some(Owned::Leave)
                }
                Some(Ask::Apply {
                    request,
                    request_id,
                    deadline,
                    caller,
                }) => Some(Owned::Apply {
                    call: self.waiting.insert(caller),
                    request,
                    request_id,
                    deadline,
                }),
                Some(Ask::Get {
                    request,
                    deadline,
                    caller,
                }) => Some(Owned::Get {
                    call: self.waiting.insert(caller),
                    request,
                    deadline,
                }),
                Some(Ask::Release { id }) => Some(Owned::Release { id }),
                Some(Ask::Join { host }) => Some(Owned::Join { host }),
                Some(Ask::Down { host }) => Some(Owned::Down { host }),
                Some(Ask::Election { command, commander }) => {
                    Some(Owned::Election { command, commander })
                }
            });
        }
    }

    fn lend<T>(command: &Owned, take: impl FnOnce(NodeCommand<'_>) -> T) -> T {
        take(command.lend())
    }

    fn spent(&mut self, command: Owned) {
        match command {
            Owned::Ran { ran, .. } => self.performer.recycle(ran),
            Owned::Election {
                command: OwnedCommand::Stop,
                commander,
            } if !self.votes_no_more => self.stoppers.push(commander),
            // Whoever asked may have gone.
            Owned::Election { commander, .. } => drop(commander.send(Ok(()))),
            Owned::Wall(_)
            | Owned::Apply { .. }
            | Owned::Get { .. }
            | Owned::Release { .. }
            | Owned::Join { .. }
            | Owned::Down { .. }
            | Owned::Leave => {}
        }
    }

    fn refused(&mut self, command: Owned, why: NodeRefused) {
        match command {
            Owned::Apply { call, .. } | Owned::Get { call, .. } => {
                self.waiting.answer(call, || Err(CallError::busy()));
            }
            Owned::Election { commander, .. } => drop(commander.send(Err(why.into()))),
            Owned::Wall(_)
            | Owned::Ran { .. }
            | Owned::Release { .. }
            | Owned::Join { .. }
            | Owned::Down { .. }
            | Owned::Leave => tracing::warn!(?command, ?why, "a command was refused"),
        }
    }

    fn turn_ended(&mut self, engine: &Engine<Node>) {
        self.publish(engine);
        self.publish_mismatch(engine);
        self.answer_stats(engine);
    }
}
