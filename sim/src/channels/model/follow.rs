//! What an event makes of a state.

use trefoil_core::channels::coordinator::ledger::{Ledger, Owed};
use trefoil_core::channels::coordinator::meta::{Meta, State as Stage};
use trefoil_core::channels::worker::lifetime::{Phase, Step, Verdict};

use super::state::{
    Broken, Call, Event, Knows, Node, Outcome, Plant, Seat, Standing, State, TERM_MAX, World,
    incarnation, node_of, start_of,
};

impl State {
    /// Does what an event says. `false` if it changes nothing.
    ///
    /// # Errors
    /// What does not hold then.
    pub fn follow(&mut self, event: Event, world: &World) -> Result<bool, Broken> {
        match event {
            Event::Lead => self.lead(),
            Event::Read(at) => self.read(at, world),
            Event::Give(at, channel, node) => return Ok(self.give(at, channel, node)),
            Event::Write(at, channel, outcome) => self.write(at, channel, outcome, world)?,
            Event::Reread(at, channel) => {
                let found = self.catalog[usize::from(channel)].clone();
                self.ledger(at, channel).read(Some(found));
            }
            Event::Send(at, channel) => return self.send(at, channel),
            Event::Hear(at, channel) => return Ok(self.hear(at, channel)),
            Event::Timeout(at, channel) => {
                let Owed::Assign { term, .. } = self.ledger(at, channel).owed() else {
                    return Ok(false);
                };
                return Ok(term < TERM_MAX && self.ledger(at, channel).never(term));
            }
            Event::Skip(at, channel) => return Ok(self.skip(at, channel, world)),
            Event::Gone(at, id) => self.gone(at, id),
            Event::Deliver(call) => return self.deliver(call, world),
            Event::Raise(at, channel) => self.raise(at, channel),
            Event::Open(at, channel) => self.open(at, channel, world)?,
            Event::Append(at, channel, outcome) => self.append(at, channel, outcome, world)?,
            Event::Close(at, channel) => {
                let seat = self.seat(at, channel);
                if let Phase::Closing(term) = seat.life.phase() {
                    seat.life.closed(term);
                    settle(seat);
                }
            }
            Event::Look(at, channel) => {
                let copies = self.logs[usize::from(channel)].copies;
                let is_there = copies > 0 && !world.has(Plant::UnknownIsLost);
                self.seat(at, channel).knows = knows(is_there);
            }
            Event::Wake(at) => {
                let (owner, channel, term) = self.late.remove(usize::from(at));
                let fences = !world.has(Plant::NoFence);
                self.logs[usize::from(channel)].append((term, owner), true, fences)?;
            }
            Event::Crash(at) => self.crash(at, world),
            Event::Restart(at) => {
                let id = self.nodes[usize::from(at)].id;
                let channels = usize::from(world.channels);
                self.nodes[usize::from(at)] = Node {
                    id: start_of(at, id % 10 + 1),
                    lives: true,
                    seats: vec![Seat::default(); channels],
                };
            }
        }
        Ok(true)
    }

    fn ledger(&mut self, at: u8, channel: u8) -> &mut Ledger {
        &mut self.leaders[usize::from(at)].ledgers[usize::from(channel)]
    }

    fn seat(&mut self, node: u8, channel: u8) -> &mut Seat {
        &mut self.nodes[usize::from(node)].seats[usize::from(channel)]
    }

    /// The second coordinator raises the fence of the catalog.
    fn lead(&mut self) {
        self.fence = 1;
        self.leaders[1].standing = Standing::Reading(0);
    }

    fn read(&mut self, at: u8, world: &World) {
        let Standing::Reading(channel) = self.leaders[usize::from(at)].standing else {
            return;
        };
        let (meta, revision) = self.catalog[usize::from(channel)].clone();
        let mut ledger = Ledger::of(meta, revision);
        if let Some(Plant::Ledger(plant)) = world.plant {
            ledger.plant(plant);
        }
        let leader = &mut self.leaders[usize::from(at)];
        leader.ledgers.push(ledger);
        leader.standing = if channel + 1 == world.channels {
            Standing::Serving
        } else {
            Standing::Reading(channel + 1)
        };
    }

    fn give(&mut self, at: u8, channel: u8, node: u8) -> bool {
        let to = incarnation(self.nodes[usize::from(node)].id);
        let leader = &self.leaders[usize::from(at)];
        // Nobody gives anything to who is gone.
        if leader.gone.contains(&to.server_id) || !self.ledger(at, channel).assign(&to) {
            return false;
        }
        self.left[0] -= 1;
        true
    }

    fn write(
        &mut self,
        at: u8,
        channel: u8,
        outcome: Outcome,
        world: &World,
    ) -> Result<(), Broken> {
        let place = usize::from(channel);
        let Some((meta, revision)) = self.ledger(at, channel).to_write() else {
            return Ok(());
        };
        let (meta, revision) = (meta.clone(), revision);
        self.left[2] -= u8::from(outcome != Outcome::Heard);
        if outcome == Outcome::LostUnheard {
            self.ledger(at, channel).doubt();
            return Ok(());
        }
        let blind = world.has(Plant::BlindWrites);
        let fenced = at < self.fence && !blind;
        let refused = !blind && self.catalog[place].1 != revision;
        if !fenced && !refused {
            self.judge_write(channel, &meta, world)?;
            let revision = self.catalog[place].1 + 1;
            if let (Some(node), Stage::Assigning) = (&meta.node, meta.state) {
                let other = |(term, id): &(i64, i64)| *term == meta.term && *id != node.server_id;
                if self.granted[place].iter().any(other) {
                    return Err(Broken::TwoGranted);
                }
                self.granted[place].push((meta.term, node.server_id));
                self.granted[place].sort_unstable();
                self.granted[place].dedup();
            }
            self.catalog[place] = (meta, revision);
        }
        match (outcome, fenced, refused) {
            (Outcome::Heard, true, _) => {
                let leader = &mut self.leaders[usize::from(at)];
                leader.standing = Standing::Over;
                leader.ledgers.clear();
                leader.gone.clear();
            }
            (Outcome::Heard, false, false) => {
                let revision = self.catalog[place].1;
                self.ledger(at, channel).written(revision);
            }
            _ => self.ledger(at, channel).doubt(),
        }
        Ok(())
    }

    /// Where nothing goes wrong, a new term goes to another node.
    fn judge_write(&self, channel: u8, meta: &Meta, world: &World) -> Result<(), Broken> {
        let before = &self.catalog[usize::from(channel)].0;
        let calm = world.crashes == 0 && world.lies == 0 && world.leaders == 1;
        let stays = before.node.is_some() && before.node == meta.node;
        if calm && stays && meta.term > before.term {
            return Err(Broken::Burnt);
        }
        Ok(())
    }

    fn send(&mut self, at: u8, channel: u8) -> Result<bool, Broken> {
        let call = match self.ledger(at, channel).owed() {
            Owed::Remove(history) => Call {
                to: history.node.server_id,
                channel,
                term: history.term,
                removal: true,
            },
            Owed::Assign { to, term } => Call {
                to: to.server_id,
                channel,
                term,
                removal: false,
            },
            Owed::Nothing | Owed::Read | Owed::Write => return Ok(false),
        };
        let granted = &self.granted[usize::from(channel)];
        if !call.removal && !granted.contains(&(call.term, call.to)) {
            return Err(Broken::NotGranted);
        }
        let Err(place) = self.calls.binary_search(&call) else {
            return Ok(false);
        };
        self.calls.insert(place, call);
        Ok(true)
    }

    /// What a node has done it may say at any time later: marks only move forward.
    fn hear(&mut self, at: u8, channel: u8) -> bool {
        match self.ledger(at, channel).owed() {
            Owed::Remove(history) => {
                let node = &self.nodes[node_of(history.node.server_id)];
                let seat = &node.seats[usize::from(channel)];
                let is_other = node.lives && node.id != history.node.server_id;
                let is_asked = self.is_called(history.node.server_id, channel, history.term, true);
                let is_removed = node.lives && is_asked && seat.life.removed(history.term as u64);
                if is_other || is_removed {
                    self.ledger(at, channel)
                        .removed(&history.node, history.term);
                }
                is_other || is_removed
            }
            Owed::Assign { to, term } => {
                let node = &self.nodes[node_of(to.server_id)];
                let expected = node.seats[usize::from(channel)].life.expected();
                let is_open = self.opened[usize::from(channel)].contains(&(term, to.server_id));
                let is_asked = self.is_called(to.server_id, channel, term, false);
                let lives = node.lives && node.id == to.server_id;
                let is_past =
                    expected.term > term as u64 || (expected.term == term as u64 && expected.gone);
                if is_open && is_asked {
                    self.ledger(at, channel).opened(term);
                    return true;
                }
                let never = lives && is_asked && is_past && term < TERM_MAX;
                never && self.ledger(at, channel).never(term)
            }
            Owed::Nothing | Owed::Read | Owed::Write => false,
        }
    }

    fn is_called(&self, to: i64, channel: u8, term: i64, removal: bool) -> bool {
        let call = Call {
            to,
            channel,
            term,
            removal,
        };
        self.calls.binary_search(&call).is_ok()
    }

    /// The removal of who is gone is skipped where the log fences; where leases are relied on, once he ended.
    fn skip(&mut self, at: u8, channel: u8, world: &World) -> bool {
        let Owed::Remove(history) = self.ledger(at, channel).owed() else {
            return false;
        };
        let id = history.node.server_id;
        let node = &self.nodes[node_of(id)];
        let is_over = node.id != id || !node.lives;
        let is_gone = self.leaders[usize::from(at)].gone.contains(&id);
        let may = is_gone && (is_over || !world.leases || world.has(Plant::GoneIsRemoved));
        if may {
            self.ledger(at, channel)
                .removed(&history.node, history.term);
        }
        may
    }

    fn gone(&mut self, at: u8, id: i64) {
        let node = &self.nodes[node_of(id)];
        if node.id == id && node.lives {
            self.left[3] -= 1;
        }
        let leader = &mut self.leaders[usize::from(at)];
        leader.gone.push(id);
        leader.gone.sort_unstable();
        for ledger in &mut leader.ledgers {
            let had = ledger.meta().node.as_ref();
            if had.is_some_and(|had| had.server_id == id) {
                ledger.lose();
            }
        }
    }

    fn deliver(&mut self, call: Call, world: &World) -> Result<bool, Broken> {
        let node = node_of(call.to) as u8;
        let seat = self.seat(node, call.channel);
        let before = *seat;
        if call.removal {
            let (expected, term) = (seat.life.expected(), call.term as u64);
            let is_forgotten = expected.term == 0 && world.has(Plant::ForgetsRemovals);
            let is_overtaken = expected.term > term && world.has(Plant::StaleIsRemoved);
            if is_forgotten || is_overtaken || seat.life.remove(term) == Verdict::Stale {
                // It is said to be done at once.
                self.ledgers_hear_removed(call);
                return Ok(true);
            }
        } else {
            seat.life.assign(call.term as u64);
        }
        settle(seat);
        Ok(*seat != before)
    }

    fn ledgers_hear_removed(&mut self, call: Call) {
        for leader in &mut self.leaders {
            if let Some(ledger) = leader.ledgers.get_mut(usize::from(call.channel)) {
                ledger.removed(&incarnation(call.to), call.term);
            }
        }
    }

    fn raise(&mut self, at: u8, channel: u8) {
        let id = self.nodes[usize::from(at)].id;
        let Phase::Opening(term) = self.seat(at, channel).life.phase() else {
            return;
        };
        let log = &mut self.logs[usize::from(channel)];
        let raised = log.raise(term, id);
        let copies = log.copies;
        let seat = self.seat(at, channel);
        if raised {
            (seat.raised, seat.knows) = (true, knows(copies > 0));
        } else {
            seat.life.failed(term);
        }
        settle(seat);
    }

    fn open(&mut self, at: u8, channel: u8, world: &World) -> Result<(), Broken> {
        let (id, place) = (self.nodes[usize::from(at)].id, usize::from(channel));
        let Phase::Opening(term) = self.seat(at, channel).life.phase() else {
            return Ok(());
        };
        let fences = !world.has(Plant::NoFence);
        let done = self.logs[place].append((term, id), false, fences)?;
        let seat = self.seat(at, channel);
        if done {
            seat.life.opened(term);
        } else {
            seat.life.failed(term);
        }
        settle(seat);
        if !done {
            return Ok(());
        }
        let opened = &mut self.opened[place];
        if opened
            .iter()
            .any(|(known, by)| (*known, *by) != (term as i64, id) && *known == term as i64)
        {
            return Err(Broken::TwoOpened);
        }
        opened.push((term as i64, id));
        opened.sort_unstable();
        let is_open = |node: &&Node| {
            let phase = node.seats[place].life.phase();
            node.lives && matches!(phase, Phase::Open(_) | Phase::Closing(_))
        };
        if world.leases && self.nodes.iter().filter(is_open).count() > 1 {
            return Err(Broken::TwoOpen);
        }
        Ok(())
    }

    fn append(
        &mut self,
        at: u8,
        channel: u8,
        outcome: Outcome,
        world: &World,
    ) -> Result<(), Broken> {
        let id = self.nodes[usize::from(at)].id;
        let Phase::Open(term) = self.seat(at, channel).life.phase() else {
            return Ok(());
        };
        let fences = !world.has(Plant::NoFence);
        let log = &mut self.logs[usize::from(channel)];
        let mut known = Knows::Unknown;
        match outcome {
            Outcome::Late => {
                self.left[4] -= 1;
                self.late.push((id, channel, term));
                self.late.sort_unstable();
            }
            Outcome::LostUnheard => self.left[2] -= 1,
            Outcome::DoneUnheard => {
                log.append((term, id), true, fences)?;
                self.left[2] -= 1;
            }
            Outcome::Heard => {
                let done = log.append((term, id), true, fences)?;
                known = knows(done);
                if !done {
                    self.seat(at, channel).life.fenced(term);
                }
            }
        }
        let seat = self.seat(at, channel);
        // What is on its way is waited for: it has no outcome before, and nobody looks.
        seat.knows = if outcome == Outcome::Late {
            Knows::There
        } else {
            known
        };
        settle(seat);
        Ok(())
    }

    fn crash(&mut self, at: u8, world: &World) {
        let is_gone = self
            .leaders
            .iter()
            .any(|leader| leader.gone.contains(&self.nodes[usize::from(at)].id));
        if !(world.leases && is_gone) {
            self.left[1] -= 1;
        }
        let node = &mut self.nodes[usize::from(at)];
        node.lives = false;
        node.seats = vec![Seat::default(); node.seats.len()];
    }
}

const fn knows(is_there: bool) -> Knows {
    if is_there {
        Knows::There
    } else {
        Knows::Absent
    }
}

/// Does what is to be done at once. To close takes as long as it takes.
fn settle(seat: &mut Seat) {
    while let Some(step) = seat.life.step() {
        match step {
            Step::Open(_) => (seat.raised, seat.knows) = (false, Knows::Absent),
            Step::Abandon(_) => seat.raised = false,
            Step::Close(_) => {}
        }
    }
}
