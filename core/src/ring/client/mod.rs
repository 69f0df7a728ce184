//! The client machine: calls from a program that is no member of the cluster.
//!
//! It asks any contact who owns an id, remembers the answer for a while, calls the owner directly,
//! and retries by the class of error: another contact where nothing was applied, the same request id
//! where the outcome is unknown, the caller where trying again cannot help.

mod calls;
mod owners;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use trefoil_proto::admin::{OwnerReply, OwnerRequest};
use trefoil_proto::wire::Decode;

use self::calls::{Calls, Phase};
use self::owners::Owners;
use crate::codes;
use crate::header::{Header, HeaderWriter};
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::identity;
use crate::machine::{Events, Full, Io, Machine};
use crate::method::{admin, control_plane};
use crate::rng::Rng;
use crate::status::{Cause, Code, Status};
use crate::storage::Done;
use crate::stream::{Class, StreamIn};
use crate::time::{Duration, Instant};
use crate::wire;

/// Top byte of this machine's tags.
pub const MACHINE: u8 = 16;

/// How a client calls.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Hosts to ask first. One that answers is enough; the others are learned from it.
    pub contacts: Vec<String>,
    /// Calls in flight at once; more are refused. Each costs about 100 bytes and its request.
    pub calls_max: u32,
    /// How long one attempt may take before it is given up and, if that is safe, made again.
    pub attempt_timeout: Duration,
    /// Wait before the second attempt; doubles up to `backoff_max`.
    pub backoff_min: Duration,
    /// Longest wait between attempts.
    pub backoff_max: Duration,
    /// Ids whose owner is remembered. At 24 bytes each.
    pub owners_max: u32,
    /// How long an owner is believed. A wrong belief costs one forwarded hop, never a wrong answer.
    pub owner_ttl: Duration,
    /// Whether to ask for owners at all. Nodes of other makes do not answer such questions; they are
    /// then called as they are.
    pub ask_owners: bool,
    /// Seeds jitter, the choice of contacts and request ids.
    pub seed: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            contacts: Vec::new(),
            calls_max: 4_096,
            attempt_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(500),
            owners_max: 100_000,
            owner_ttl: Duration::from_secs(10),
            ask_owners: true,
            seed: 0,
        }
    }
}

/// What a client may be asked.
#[derive(Clone, Copy, Debug)]
pub enum ClientCommand<'a> {
    /// Mutations of an actor.
    Apply {
        /// The caller's number, handed back with the answer.
        call: u64,
        /// The actor.
        id: u64,
        /// An encoded `ApplyRequest`.
        request: &'a [u8],
        /// Makes the request exactly once however often it is sent; drawn if absent.
        request_id: Option<u128>,
        /// When the caller stops waiting.
        deadline: Instant,
    },
    /// State of an actor.
    Get {
        /// The caller's number.
        call: u64,
        /// The actor.
        id: u64,
        /// An encoded `GetRequest`.
        request: &'a [u8],
        /// When the caller stops waiting.
        deadline: Instant,
    },
    /// Any unary call to any contact, or to one host. Not retried after it was sent.
    Call {
        /// The caller's number.
        call: u64,
        /// The method.
        method: MethodId,
        /// Whom to call; any contact if absent.
        host: Option<&'a str>,
        /// The encoded request.
        request: &'a [u8],
        /// When the caller stops waiting.
        deadline: Instant,
    },
}

/// What a client tells.
#[derive(Clone, Copy, Debug)]
pub enum ClientEvent<'a> {
    /// A call ended: its encoded answer, or why there is none.
    Answer {
        /// The caller's number.
        call: u64,
        /// Attempts it took.
        attempts: u32,
        /// The answer.
        result: Result<&'a [u8], Status<'a>>,
    },
}

/// Calls to a cluster from outside.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    calls: Calls,
    owners: Owners,
    contacts: Vec<Contact>,
    turn: usize,
    rng: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Contact {
    node: NodeId,
    /// Failed not long ago; asked again only when no other is left.
    avoid_until: Instant,
}

/// What to do about an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class3 {
    /// Nothing was applied: another contact may do better.
    Retry,
    /// The outcome is unknown: safe to repeat under a request id, and for reads.
    Uncertain,
    /// Trying again cannot help.
    Final,
}

const OUT_OF_TIME: Status<'_> = Status::new(Code::DeadlineExceeded, codes::DEADLINE);

fn class_of(status: &Status<'_>) -> Class3 {
    match status.code {
        Code::Unavailable if matches!(status.cause, Cause::Lost) => Class3::Uncertain,
        Code::Unavailable | Code::ResourceExhausted if status.message.starts_with("TF-C05") => {
            Class3::Final
        }
        Code::Unavailable | Code::ResourceExhausted => Class3::Retry,
        Code::Aborted | Code::DeadlineExceeded => Class3::Uncertain,
        Code::Unknown if status.stable_code() == Some("TF-R12") => Class3::Uncertain,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Class3::Final,
    }
}

impl Client {
    /// A client of the cluster its contacts belong to.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self {
            calls: Calls::new(config.calls_max),
            owners: Owners::new(config.owners_max, config.owner_ttl),
            contacts: Vec::new(),
            turn: 0,
            rng: Rng::new(config.seed),
            config,
        }
    }

    /// Calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.calls.live()
    }

    fn learn(&mut self, node: NodeId) {
        if !self.contacts.iter().any(|contact| contact.node == node) {
            self.contacts.push(Contact {
                node,
                avoid_until: Instant::ZERO,
            });
        }
    }

    /// A contact that has not failed lately, in turn; the least recently failed one otherwise.
    fn contact(&mut self, now: Instant, io: &mut dyn Io) -> Option<NodeId> {
        if self.contacts.is_empty() {
            for at in 0..self.config.contacts.len() {
                if let Ok(node) = io.node(&self.config.contacts[at]) {
                    self.learn(node);
                }
            }
            self.turn = self.rng.below(self.contacts.len() as u64) as usize;
        }
        let count = self.contacts.len();
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let in_turn = (0..count).map(|i| self.contacts[(turn + i) % count]);
        in_turn
            .clone()
            .find(|contact| contact.avoid_until <= now)
            .or_else(|| in_turn.min_by_key(|contact| contact.avoid_until))
            .map(|contact| contact.node)
    }

    fn avoid(&mut self, now: Instant, node: NodeId) {
        self.owners.forget_host(node);
        if let Some(contact) = self
            .contacts
            .iter_mut()
            .find(|contact| contact.node == node)
        {
            contact.avoid_until = now + Duration::from_secs(1);
        }
    }

    /// Makes the next attempt of a call: asks for the owner first if that may help.
    fn attempt(&mut self, now: Instant, slot: u32, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let call = self.calls.at(slot);
        let (fixed, id, method) = (call.fixed, call.id, call.method);
        let owner = id.and_then(|id| self.owners.find(now, id));
        let Some(to) = fixed.or(owner).or_else(|| self.contact(now, io)) else {
            return self.answer(
                slot,
                Err(Status::new(Code::Unavailable, codes::UNREACHABLE)),
                up,
            );
        };
        let ask = self.config.ask_owners
            && owner.is_none()
            && fixed.is_none()
            && !self.calls.at(slot).asked;
        let sent = match id.filter(|_| ask) {
            Some(id) => self.ask_owner(now, slot, to, id, io),
            None => self.send(now, slot, to, method, io),
        };
        if sent.is_err() {
            self.later(
                now,
                slot,
                Status::new(Code::ResourceExhausted, codes::BUSY),
                up,
            );
        }
    }

    fn ask_owner(
        &mut self,
        now: Instant,
        slot: u32,
        to: NodeId,
        id: u64,
        io: &mut dyn Io,
    ) -> Result<(), Full> {
        let deadline = self
            .calls
            .at(slot)
            .deadline
            .min(now + self.config.attempt_timeout);
        let tag = self.calls.begin(slot, Phase::Asking, to);
        let stream = io.open(
            to,
            admin::OWNER,
            Class::Control,
            Header::EMPTY,
            Some(deadline),
            tag,
        )?;
        self.calls.at_mut(slot).stream = Some(stream);
        wire::send(io, stream, &OwnerRequest { ids: &[id][..] })?;
        io.half_close(stream);
        Ok(())
    }

    fn send(
        &mut self,
        now: Instant,
        slot: u32,
        to: NodeId,
        method: MethodId,
        io: &mut dyn Io,
    ) -> Result<(), Full> {
        let deadline = self
            .calls
            .at(slot)
            .deadline
            .min(now + self.config.attempt_timeout);
        let tag = self.calls.begin(slot, Phase::Calling, to);
        let mut buf = [0; 96];
        let mut header = HeaderWriter::new(&mut buf);
        if method == control_plane::APPLY {
            let request_id = self.calls.at(slot).request_id;
            let mut digits = [0; 32];
            digits[..16].copy_from_slice(&identity::hex((request_id >> 64) as u64));
            digits[16..].copy_from_slice(&identity::hex(request_id as u64));
            header.push(identity::REQUEST, &digits)?;
        }
        let class = if self.calls.at(slot).id.is_some() {
            Class::Bulk
        } else {
            Class::Control
        };
        let stream = io.open(to, method, class, header.finish(), Some(deadline), tag)?;
        let call = self.calls.at_mut(slot);
        call.stream = Some(stream);
        io.frame(stream, call.request.len())?
            .copy_from_slice(&call.request);
        io.half_close(stream);
        Ok(())
    }

    /// The attempt failed: tries again after a while, or gives the caller the reason.
    fn later(&mut self, now: Instant, slot: u32, status: Status<'_>, up: &mut dyn Events<Self>) {
        let call = self.calls.at(slot);
        let repeatable = match class_of(&status) {
            Class3::Retry => call.id.is_some() || status.cause != Cause::Peer,
            Class3::Uncertain => call.id.is_some(),
            Class3::Final => false,
        };
        let doubled = self
            .config
            .backoff_min
            .saturating_mul(1 << call.attempts.min(16));
        let wait = self.rng.jitter(doubled.min(self.config.backoff_max), 25);
        if !repeatable || now + wait >= call.deadline {
            return self.answer(slot, Err(status), up);
        }
        self.calls.sleep(slot, now + wait);
    }

    fn answer(&mut self, slot: u32, result: Result<(), Status<'_>>, up: &mut dyn Events<Self>) {
        let entry = self.calls.at(slot);
        let (call, attempts) = (entry.call, entry.attempts);
        let result = match result {
            Ok(()) => Ok(entry.reply.as_slice()),
            // That the last attempt changed nothing says nothing about those before it.
            Err(status) if entry.doubtful && class_of(&status) == Class3::Retry => Err(OUT_OF_TIME),
            Err(status) => Err(status),
        };
        up.event(ClientEvent::Answer {
            call,
            attempts,
            result,
        });
        self.calls.remove(slot);
    }

    /// The contact said who owns an id, or that it cannot.
    fn owner_answered(&mut self, now: Instant, slot: u32, io: &mut dyn Io) {
        self.calls.at_mut(slot).asked = true;
        let call = self.calls.at(slot);
        let mut reply = OwnerReply::default();
        if reply.decode(&call.reply).is_err() {
            return;
        }
        for owner in reply.owners.iter().flatten() {
            if owner.host.is_empty() {
                continue;
            }
            if let Ok(node) = io.node(owner.host) {
                self.owners.insert(now, owner.id, node);
                if !self.contacts.iter().any(|contact| contact.node == node) {
                    self.contacts.push(Contact {
                        node,
                        avoid_until: Instant::ZERO,
                    });
                }
            }
        }
    }

    fn ended(
        &mut self,
        now: Instant,
        slot: u32,
        status: Status<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let (phase, to, id) = self.calls.finish(slot);
        if !status.is_ok() && status.cause != Cause::Peer {
            self.avoid(now, to);
        }
        if let Some(id) = id.filter(|_| !status.is_ok()) {
            self.owners.forget(id);
        }
        match phase {
            Phase::Asking => {
                if status.is_ok() {
                    self.owner_answered(now, slot, io);
                    self.calls.at_mut(slot).reply.clear();
                } else if status.cause == Cause::Deadline && now >= self.calls.at(slot).deadline {
                    return self.answer(slot, Err(OUT_OF_TIME), up);
                } else if status.code == Code::Unauthenticated {
                    return self.later(now, slot, status, up);
                } else if status.cause != Cause::Peer {
                    let unreachable = Status::new(Code::Unavailable, codes::UNREACHABLE);
                    return self.later(now, slot, unreachable, up);
                }
                self.calls.at_mut(slot).asked = true;
                self.attempt(now, slot, io, up);
            }
            Phase::Calling => {
                if status.is_ok() {
                    let replied = self.calls.at(slot).replied;
                    let result = if replied {
                        Ok(())
                    } else {
                        Err(Status::new(Code::Internal, codes::NOT_ONE_MESSAGE))
                    };
                    return self.answer(slot, result, up);
                }
                let call = self.calls.at_mut(slot);
                call.asked = false;
                call.doubtful |=
                    call.method == control_plane::APPLY && class_of(&status) == Class3::Uncertain;
                self.later(now, slot, status, up);
            }
            Phase::Sleeping => {}
        }
    }
}

impl Machine for Client {
    type Command<'a> = ClientCommand<'a>;
    type Event<'a> = ClientEvent<'a>;
    /// Too many calls in flight.
    type Refused = Full;

    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        if let StreamIn::Accepted { .. } = event {
            // A client serves nothing.
            return io.end(stream, Status::new(Code::Unimplemented, codes::NO_METHOD));
        }
        let Some(slot) = self.calls.find(tag, stream) else {
            return;
        };
        match event {
            StreamIn::Frame(bytes) => self.calls.keep_reply(slot, bytes),
            StreamIn::Ended(status) => self.ended(now, slot, status, io, up),
            StreamIn::Accepted { .. }
            | StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable => {}
        }
    }

    fn handle_done(
        &mut self,
        _: Instant,
        _: Tag,
        _: Done<'_>,
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: ClientCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), Full> {
        let drawn = (u128::from(self.rng.draw()) << 64) | u128::from(self.rng.draw());
        let slot = match command {
            ClientCommand::Apply {
                call,
                id,
                request,
                request_id,
                deadline,
            } => {
                let request_id = request_id.unwrap_or(drawn);
                self.calls.insert(
                    call,
                    control_plane::APPLY,
                    Some(id),
                    None,
                    request,
                    request_id,
                    deadline,
                )?
            }
            ClientCommand::Get {
                call,
                id,
                request,
                deadline,
            } => self.calls.insert(
                call,
                control_plane::GET,
                Some(id),
                None,
                request,
                0,
                deadline,
            )?,
            ClientCommand::Call {
                call,
                method,
                host,
                request,
                deadline,
            } => {
                let fixed = host.map(|host| io.node(host)).transpose()?;
                self.calls
                    .insert(call, method, None, fixed, request, 0, deadline)?
            }
        };
        self.attempt(now, slot, io, up);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        while let Some(slot) = self.calls.pop_due(now) {
            self.attempt(now, slot, io, up);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.calls.poll_timeout()
    }
}
