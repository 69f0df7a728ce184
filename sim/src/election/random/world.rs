//! The world: events in the order of true time.

mod network;

use std::time::Duration;

use trefoil_core::election::{Election, ElectionCommand, ElectionConfig, ElectionPlant};
use trefoil_core::id::{StreamId, Tag};
use trefoil_core::machine::{Events, Io, Machine};
use trefoil_core::status::Cause;
use trefoil_core::storage::Done;
use trefoil_core::time::Instant;

use super::electorates::Electorates;
use super::hostile::Hostile;
use super::invariants::Invariant;
use super::plants::Bug;
use super::regime::Regime;
use super::streams::{End, Parcel, Stream};
use super::voter::{Deed, Hands, Said, Voter};
use crate::dice::Dice;
use crate::moment::{LocalClock, Moment};
use crate::queue::Queue;

enum Event {
    Wake(usize, Moment),
    Parcel {
        stream: usize,
        to: usize,
        parcel: Parcel,
    },
    Stored {
        voter: usize,
        boot: u32,
        tag: Tag,
        kept: Option<Vec<u8>>,
    },
    Start(usize),
}

/// A world of voters.
pub struct World {
    pub(super) now: Moment,
    pub(super) regime: Regime,
    pub(super) dice: Dice,
    pub(super) voters: Vec<Voter>,
    names: Vec<String>,
    tags: Vec<Vec<(StreamId, Tag)>>,
    queue: Queue<Event>,
    pub(super) streams: Vec<Stream>,
    /// Which stream an end belongs to, by voter and slot.
    slots: Vec<Vec<usize>>,
    /// `cut[a][b]`: what `a` sends does not reach `b`.
    pub(super) cut: Vec<Vec<bool>>,
    deeds: Vec<Deed>,
    /// Who votes, by epoch.
    pub(super) electorates: Electorates,
    bug: Option<Bug>,
    /// The hostile one, while there is one; and whether it is a voter, or was.
    pub(super) hostile: Option<Hostile>,
    pub(super) hostile_voted: bool,
    /// What alone is looked for; everything if absent.
    pub(super) watch: Option<Invariant>,
    /// Token of the newest leadership, and whose it is.
    newest: (i64, usize),
    /// Leaderships.
    pub leaderships: u64,
    /// Events so far.
    pub events: u64,
    /// What does not hold.
    pub broken: Option<(Invariant, Moment)>,
    hash: u64,
    /// Prints what voters say and what goes wrong.
    pub talks: Option<fn(&str)>,
}

impl World {
    /// Voters that start within the first hundred milliseconds.
    #[must_use]
    pub fn new(regime: Regime, seed: u64, bug: Option<Bug>) -> Self {
        let mut dice = Dice::new(seed, "world");
        let count = regime.voters;
        let names: Vec<String> = (0..count).map(|n| format!("v{n}:1")).collect();
        let skew = regime.skew.as_nanos() as u64;
        let voters = (0..count)
            .map(|_| Voter {
                election: None,
                clock: LocalClock::new(Moment::ZERO, Duration::ZERO, 0),
                drift_ppm: dice.below(2 * regime.drift_ppm + 1) as i64 - regime.drift_ppm as i64,
                boot: 0,
                disk: Vec::new(),
                store_busy: Moment::ZERO,
                paused_until: Moment::ZERO,
                alarm: Moment::ZERO,
                stopped: false,
                listening: false,
                last_input: Moment::ZERO,
                next_stream: 0,
                unix_offset: dice.below(skew + 1) as i64 - skew as i64 / 2,
                electorate_hash: 0,
            })
            .collect();
        let mut world = Self {
            now: Moment::ZERO,
            voters,
            names,
            tags: vec![Vec::new(); count],
            queue: Queue::default(),
            streams: Vec::new(),
            slots: vec![vec![usize::MAX]; count],
            cut: vec![vec![false; count]; count],
            deeds: Vec::new(),
            electorates: match bug {
                Some(Bug::Electorate) => Electorates::given(&[0b111, (1 << count) - 1]),
                Some(_) | None if regime.changes => {
                    Electorates::draw(count, &mut Dice::new(seed, "electorates"))
                }
                Some(_) | None => Electorates::one(count),
            },
            bug,
            hostile: None,
            hostile_voted: false,
            watch: None,
            newest: (0, usize::MAX),
            leaderships: 0,
            events: 0,
            broken: None,
            hash: 0xcbf2_9ce4_8422_2325,
            talks: None,
            regime,
            dice,
        };
        for voter in 0..count {
            let at = Moment::ZERO + Duration::from_millis(world.dice.below(100));
            world.queue.push(at, Event::Start(voter));
        }
        world
    }

    /// Streams that a voter holds.
    pub(super) fn streams_of(&self, voter: usize) -> usize {
        self.tags[voter].len()
    }

    /// A hash of all that happened, the same in every run of a seed.
    #[must_use]
    pub const fn trace(&self) -> u64 {
        self.hash
    }

    /// Lets the world go on until a moment, or until something does not hold.
    pub fn run_until(&mut self, end: Moment) {
        while self.broken.is_none() && self.queue.next().is_some_and(|next| next <= end) {
            let Some((at, event)) = self.queue.pop() else {
                break;
            };
            self.now = at;
            self.events += 1;
            self.step(event);
            self.judge();
        }
        self.now = end;
    }

    /// Prints a line of the trace.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(print) = self.talks {
            print(&format!("{} {}", self.now, line()));
        }
    }

    fn note(&mut self, what: u64) {
        self.hash = (self.hash ^ what ^ self.now.as_nanos()).wrapping_mul(0x0100_0000_01b3);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Start(voter) => self.start(voter),
            Event::Wake(voter, alarm) => {
                let paused = self.voters[voter].paused_until;
                if self.voters[voter].alarm != alarm || self.voters[voter].election.is_none() {
                } else if paused > self.now {
                    self.voters[voter].alarm = paused;
                    self.queue.push(paused, Event::Wake(voter, paused));
                } else {
                    self.voters[voter].alarm = Moment::ZERO;
                    self.input(voter, |election, now, hands, up| {
                        election.handle_timeout(now, hands, up)
                    });
                }
            }
            Event::Stored {
                voter,
                boot,
                tag,
                kept,
            } => {
                if self.voters[voter].boot != boot {
                    return;
                }
                if let Some(paused) = self.is_paused(voter) {
                    let event = Event::Stored {
                        voter,
                        boot,
                        tag,
                        kept,
                    };
                    return self.queue.push(paused, event);
                }
                let done = match kept {
                    Some(value) => {
                        self.voters[voter].disk = value;
                        Done::Durable { sequence: 1 }
                    }
                    None => Done::Unknown,
                };
                if matches!(done, Done::Durable { .. }) {
                    self.input(voter, |election, now, hands, up| {
                        election.handle_done(now, tag, done, hands, up);
                    });
                } else {
                    let disk = self.voters[voter].disk.clone();
                    self.input(voter, |election, now, hands, up| {
                        let done = Done::Value {
                            revision: u64::from(!disk.is_empty()),
                            value: &disk,
                        };
                        election.handle_done(now, tag, done, hands, up);
                    });
                }
            }
            Event::Parcel { stream, to, parcel } => self.arrive(stream, to, parcel),
        }
    }

    fn is_paused(&self, voter: usize) -> Option<Moment> {
        let until = self.voters[voter].paused_until;
        (until > self.now && self.voters[voter].election.is_some()).then_some(until)
    }

    /// A voter's process starts.
    pub(super) fn start(&mut self, voter: usize) {
        let is_hostile = |hostile: &Hostile| hostile.voter == voter;
        if self.voters[voter].election.is_some() || self.hostile.as_ref().is_some_and(is_hostile) {
            return;
        }
        let boot_seed = self.dice.draw();
        let origin = 1_770_000_000_000_000_000 + self.now.as_nanos() as i64;
        let Some(epoch) = self.epoch(voter) else {
            return;
        };
        let electorate = self.electorates.electorate(epoch);
        let config = ElectionConfig {
            epoch: electorate.epoch,
            ..self.regime.config(
                voter,
                &electorate.places,
                origin + self.voters[voter].unix_offset,
                boot_seed,
            )
        };
        let Ok(mut election) = Election::new(config) else {
            return;
        };
        match self.bug {
            Some(Bug::Election(plant)) => election.plant(plant),
            Some(Bug::Electorate) => election.plant(ElectionPlant::AnyElectorate),
            Some(Bug::StaleNow | Bug::ListenerFirst) | None => {}
        }
        let process = &mut self.voters[voter];
        process.electorate_hash = electorate.hash();
        process.clock = LocalClock::new(self.now, Duration::ZERO, process.drift_ppm);
        process.boot += 1;
        process.election = Some(election);
        process.paused_until = Moment::ZERO;
        process.stopped = false;
        process.listening = true;
        process.last_input = self.now;
        self.input(voter, |election, now, hands, up| {
            election.handle_timeout(now, hands, up)
        });
    }

    /// The epoch that a process is told of when it starts. In the planted change of three to five the
    /// first three are told of it by their first restart.
    fn epoch(&mut self, voter: usize) -> Option<usize> {
        let process = &self.voters[voter];
        match self.bug {
            Some(Bug::Electorate) => Some(usize::from(process.boot > 0 || voter >= 3)),
            Some(_) | None => self
                .electorates
                .choose(voter, &process.disk, &mut self.dice),
        }
    }

    /// Whether nodes say which electorate they mean. Where there is but one, it is left out to be quick.
    fn says_electorate(&self) -> bool {
        self.regime.changes || self.bug == Some(Bug::Electorate)
    }

    /// A voter's process ends. The others hear of it, unless the machine went with it.
    pub(super) fn crash(&mut self, voter: usize, silently: bool) {
        if self.voters[voter].election.take().is_none() {
            return;
        }
        self.voters[voter].boot += 1;
        self.tags[voter].clear();
        for at in 0..self.streams.len() {
            let stream = &mut self.streams[at];
            let Some(mine) = stream
                .ends
                .iter()
                .position(|end| end.voter == voter && end.open)
            else {
                continue;
            };
            stream.ends[mine].open = false;
            if !silently {
                self.send(at, 1 - mine, Parcel::Ended(Cause::Lost));
            }
        }
    }

    /// A command of an operator.
    pub(super) fn command(&mut self, voter: usize, command: ElectionCommand<'_>) {
        if self.voters[voter].election.is_some() && self.is_paused(voter).is_none() {
            self.input(voter, |election, now, hands, up| {
                let _ = election.handle_command(now, command, hands, up);
            });
        }
    }

    /// Name of a voter.
    pub(super) fn name(&self, voter: usize) -> String {
        self.names[voter].clone()
    }

    /// Who leads now.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.voters.iter().position(|voter| {
            let now = voter.clock.show(self.now);
            voter
                .election
                .as_ref()
                .is_some_and(|election| election.leads(now))
        })
    }

    fn input(
        &mut self,
        voter: usize,
        input: impl FnOnce(&mut Election, Instant, &mut dyn Io, &mut dyn Events<Election>),
    ) {
        let process = &mut self.voters[voter];
        let Some(election) = &mut process.election else {
            return;
        };
        let now = process.clock.show(self.now);
        process.last_input = self.now;
        let mut deeds = std::mem::take(&mut self.deeds);
        let mut said = None;
        let mut hands = Hands {
            voters: self.names.len(),
            next_stream: &mut process.next_stream,
            tags: &mut self.tags[voter],
            deeds: &mut deeds,
        };
        let (talks, moment) = (self.talks, self.now);
        input(
            election,
            now,
            &mut hands,
            &mut |event: trefoil_core::election::ElectionEvent<'_>| {
                if let Some(print) = talks {
                    print(&format!("{moment} v{voter}: {event:?}"));
                }
                said = Said::of(event).or(said);
            },
        );
        if let Some(due) = election.poll_timeout() {
            let at = process.clock.when(due).max(self.now);
            if process.alarm == Moment::ZERO || at < process.alarm || process.alarm < self.now {
                process.alarm = at;
                self.queue.push(at, Event::Wake(voter, at));
            }
        }
        for deed in deeds.drain(..) {
            self.perform(voter, deed);
        }
        self.deeds = deeds;
        self.note(voter as u64);
        match said {
            Some(Said::Leading { token }) => self.led(voter, token),
            Some(Said::Stopped) => self.voters[voter].stopped = true,
            Some(Said::Other) | None => {}
        }
    }

    /// A voter said that it leads.
    fn led(&mut self, voter: usize, token: i64) {
        if (token, voter) == self.newest {
            return;
        }
        if token <= self.newest.0 {
            self.breaks(Invariant::TokensGrow);
        }
        self.note(token as u64);
        self.newest = (token, voter);
        self.leaderships += 1;
    }

    fn perform(&mut self, voter: usize, deed: Deed) {
        match deed {
            Deed::Open { to, stream } => {
                let boot = self.voters[voter].boot;
                let nobody = StreamId::new(0, 0);
                self.streams.push(Stream {
                    ends: [
                        End {
                            voter,
                            boot,
                            stream,
                            open: true,
                        },
                        End {
                            voter: to,
                            boot: 0,
                            stream: nobody,
                            open: false,
                        },
                    ],
                    arrives: [self.now; 2],
                    held: [Vec::new(), Vec::new()],
                    greeted: false,
                    is_anonymous: false,
                });
                let at = self.streams.len() - 1;
                self.slot(voter, stream, at);
                self.send(at, 1, Parcel::Call);
            }
            Deed::Frame { stream, bytes } => {
                if let Some((at, mine)) = self.find(voter, stream) {
                    self.send(at, 1 - mine, Parcel::Frame(bytes));
                }
            }
            Deed::HalfClose { stream } => {
                if let Some((at, mine)) = self.find(voter, stream) {
                    self.send(at, 1 - mine, Parcel::HalfClosed);
                }
            }
            Deed::End { stream } => {
                if let Some((at, mine)) = self.find(voter, stream) {
                    self.streams[at].ends[mine].open = false;
                    self.send(at, 1 - mine, Parcel::Ended(Cause::Peer));
                }
            }
            Deed::Keep { tag, value } => self.store(voter, tag, Some(value)),
            Deed::Recall { tag } => self.store(voter, tag, None),
        }
    }

    fn store(&mut self, voter: usize, tag: Tag, kept: Option<Vec<u8>>) {
        let took = self.dice.between(Duration::ZERO, self.regime.store);
        let process = &mut self.voters[voter];
        let at = (self.now + took).max(process.store_busy);
        process.store_busy = at;
        let boot = process.boot;
        self.queue.push(
            at,
            Event::Stored {
                voter,
                boot,
                tag,
                kept,
            },
        );
    }

    fn slot(&mut self, voter: usize, stream: StreamId, at: usize) {
        let slots = &mut self.slots[voter];
        let slot = stream.slot() as usize;
        slots.resize(slots.len().max(slot + 1), usize::MAX);
        slots[slot] = at;
    }

    fn find(&self, voter: usize, stream: StreamId) -> Option<(usize, usize)> {
        let at = *self.slots[voter].get(stream.slot() as usize)?;
        let ends = &self.streams.get(at)?.ends;
        let mine = ends
            .iter()
            .position(|end| end.voter == voter && end.stream == stream)?;
        Some((at, mine))
    }
}
