//! What the driver of a node asks of its runtime: a clock, an alarm, commands, ears.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use trefoil_core::driver::Runtime;
use trefoil_core::engine::Engine;
use trefoil_core::machine::Events;
use trefoil_core::ring::actor::{ActorKind, Ran};
use trefoil_core::ring::actors::{ActorsCommand, ActorsEvent, Ticket};
use trefoil_core::ring::directory::DirectoryEvent;
use trefoil_core::ring::membership::{self, MembershipCommand, MembershipEvent};
use trefoil_core::ring::node::{Ring, RingCommand, RingEvent, RingRefused};
use trefoil_core::time::{Duration, Instant, WallClock};

use crate::actors::Performer;
use crate::alarm::Due;
use crate::calls::Waiting;
use crate::clock;
use crate::error::CallError;
use crate::handle::{Ask, Stats};
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
    leavers: Vec<oneshot::Sender<()>>,
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
    Leave,
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
            leavers: Vec::new(),
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
    fn publish_mismatch(&mut self, engine: &Engine<Ring>) {
        if self.mismatches == engine.mismatches() {
            return;
        }
        self.mismatches = engine.mismatches();
        let Some((host, why)) = engine.last_mismatch() else {
            return;
        };
        let same = |known: &Mismatch| *known.host == *host && *known.why == *why;
        if !self.published.mismatch.borrow().as_ref().is_some_and(same) {
            tracing::error!(host, "no connection: {why}");
            let (host, why) = (host.into(), why.into());
            self.published
                .mismatch
                .send_replace(Some(Mismatch { host, why }));
        }
    }

    fn publish(&mut self, engine: &Engine<Ring>) {
        let ring = engine.machine();
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

    fn answer_stats(&mut self, engine: &Engine<Ring>) {
        if self.stats.is_empty() {
            return;
        }
        let ring = engine.machine();
        let gauges = [
            ("members", ring.membership().live() as u64),
            ("majority", u64::from(ring.membership().has_majority())),
            ("actors", u64::from(ring.actors().active())),
            ("known_ids", u64::from(ring.directory().known())),
            ("calls_open", u64::from(ring.actors().in_flight())),
            ("streams_open", u64::from(engine.streams())),
            ("callers_waiting", self.waiting.len() as u64),
            ("identity_mismatches", engine.mismatches()),
        ];
        let stats = Stats {
            counters: gauges.into_iter().chain(ring.counters()).collect(),
        };
        for caller in self.stats.drain(..) {
            let _ = caller.send(stats.clone());
        }
    }
}

impl<P: Platform, K: ActorKind + Clone + Send + 'static> Events<Ring> for NodeRuntime<P, K> {
    fn event(&mut self, event: RingEvent<'_>) {
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
            RingEvent::LeaveAsked => tracing::info!("asked to leave"),
            RingEvent::Left => self.left(),
        }
    }
}

impl<P: Platform, K: ActorKind + Clone + Send + 'static> Runtime<Ring> for NodeRuntime<P, K> {
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
            });
        }
    }

    fn lend(command: &Owned) -> RingCommand<'_> {
        match *command {
            Owned::Wall(wall) => RingCommand::Membership(MembershipCommand::Wall(wall)),
            Owned::Apply {
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
            Owned::Get {
                call,
                ref request,
                deadline,
            } => RingCommand::Actors(ActorsCommand::Get {
                call,
                request,
                deadline,
            }),
            Owned::Ran { ticket, ref ran } => RingCommand::Actors(ActorsCommand::Ran {
                ticket,
                outcome: ran.outcome(),
            }),
            Owned::Release { id } => RingCommand::Actors(ActorsCommand::Release { id }),
            Owned::Join { ref host } => RingCommand::Membership(MembershipCommand::Join { host }),
            Owned::Down { ref host } => RingCommand::Membership(MembershipCommand::Down { host }),
            Owned::Leave => RingCommand::Leave,
        }
    }

    fn spent(&mut self, command: Owned) {
        if let Owned::Ran { ran, .. } = command {
            self.performer.recycle(ran);
        }
    }

    fn refused(&mut self, command: Owned, why: RingRefused) {
        match command {
            Owned::Apply { call, .. } | Owned::Get { call, .. } => {
                self.waiting.answer(call, || Err(CallError::busy()));
            }
            Owned::Wall(_)
            | Owned::Ran { .. }
            | Owned::Release { .. }
            | Owned::Join { .. }
            | Owned::Down { .. }
            | Owned::Leave => tracing::warn!(?command, ?why, "a command was refused"),
        }
    }

    fn turn_ended(&mut self, engine: &Engine<Ring>) {
        self.publish(engine);
        self.publish_mismatch(engine);
        self.answer_stats(engine);
    }
}
