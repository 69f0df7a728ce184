//! `trefoil.admin.v1`: what a node answers to operators. It looks at the machines and changes none; a
//! request to leave is handed to the ring.

use alloc::vec::Vec;

use trefoil_proto::admin::{
    Counter, LeaveReply, Member, Owner, OwnerReply, OwnerRequest, StatusReply,
};
use trefoil_proto::wire::Decode;

use super::actors::Actors;
use super::directory::Directory;
use super::membership::Membership;
use super::ownership::{Ownership, Route};
use alloc::string::String;

use crate::codes;
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::machine::{Full, Io};
use crate::method::admin;
use crate::status::{Code, Status};
use crate::stream::StreamIn;
use crate::time::Instant;
use crate::wire;

/// Top byte of the tags of administrative streams.
pub const MACHINE: u8 = 4;

/// Ids in one `Owner` request.
pub const OWNERS_MAX: usize = 4_096;

/// Answers operators.
#[derive(Debug)]
pub(crate) struct Admin {
    cluster: String,
    since: Option<Instant>,
}

impl Admin {
    /// Answers for a node of the cluster of this name.
    pub(crate) const fn new(cluster: String) -> Self {
        Self {
            cluster,
            since: None,
        }
    }

    /// The node began to run; later calls change nothing.
    pub(crate) fn started(&mut self, at: Instant) {
        self.since.get_or_insert(at);
    }

    /// Handles a stream; returns whether the node is asked to leave.
    pub(crate) fn handle_stream(
        &self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        shown: Shown<'_>,
        io: &mut dyn Io,
    ) -> bool {
        match event {
            StreamIn::Accepted { trusted: false, .. } => {
                io.end(
                    stream,
                    Status::new(Code::PermissionDenied, codes::OPERATORS_ONLY),
                );
                false
            }
            StreamIn::Accepted { method, .. } => {
                io.adopt(stream, Tag::new(MACHINE, u64::from(method.0)));
                false
            }
            StreamIn::Frame(bytes) => {
                self.answer(now, stream, MethodId(tag.rest() as u16), bytes, shown, io)
            }
            StreamIn::HalfClosed => {
                // A request that had come would have ended the stream.
                io.end(
                    stream,
                    Status::new(Code::InvalidArgument, codes::NOT_ONE_MESSAGE),
                );
                false
            }
            StreamIn::Header(_) | StreamIn::Writable | StreamIn::Ended(_) => false,
        }
    }

    fn answer(
        &self,
        now: Instant,
        stream: StreamId,
        method: MethodId,
        bytes: &[u8],
        shown: Shown<'_>,
        io: &mut dyn Io,
    ) -> bool {
        let sent = match method {
            admin::OWNER => owner(stream, bytes, shown, io),
            admin::LEAVE => {
                let text = "draining; the node says goodbye when its calls are finished";
                wire::reply(
                    io,
                    stream,
                    &LeaveReply {
                        accepted: true,
                        message: text,
                    },
                )
            }
            _ => self.status(now, stream, shown, io),
        };
        if sent.is_err() {
            io.end(
                stream,
                Status::new(Code::ResourceExhausted, codes::TOO_LARGE),
            );
        }
        method == admin::LEAVE
    }

    fn status(
        &self,
        now: Instant,
        stream: StreamId,
        shown: Shown<'_>,
        io: &mut dyn Io,
    ) -> Result<(), Full> {
        let Shown {
            membership,
            directory,
            actors,
            leaving,
        } = shown;
        let shares = directory.placement();
        let members = membership.members().map(|member| Member {
            host: member.host,
            state: member.state.as_str(),
            incarnation: member.incarnation,
            ids: directory.ids_of(member.node) as u64,
            round_trip_us: member.round_trip.map_or(0, |time| time.as_micros() as u64),
            legacy: member.legacy,
            slots: u64::from(shares.slots_of(member.node.0)),
        });
        let members: Vec<Member<'_>> = members.collect();
        let counters = counters(shown);
        let reply = StatusReply {
            host: membership.host(),
            cluster: &self.cluster,
            incarnation: membership.incarnation(),
            uptime_ms: self
                .since
                .map_or(0, |since| now.since(since).as_millis() as u64),
            state: match (leaving, membership.has_majority(), directory.is_ready()) {
                (true, _, _) => "leaving",
                (false, false, _) => "no majority",
                (false, true, false) => "joining",
                (false, true, true) => "ready",
            },
            view_version: membership.version(),
            placement_fingerprint: shares.fingerprint(),
            members: members.as_slice(),
            active_ids: u64::from(actors.active()),
            known_ids: u64::from(directory.known()),
            in_flight: u64::from(actors.in_flight()),
            counters: &counters[..],
            version: env!("CARGO_PKG_VERSION"),
        };
        wire::reply(io, stream, &reply)
    }
}

/// What may be looked at.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) membership: &'a Membership,
    pub(crate) directory: &'a Directory,
    pub(crate) actors: &'a Actors,
    pub(crate) leaving: bool,
}

fn owner(stream: StreamId, bytes: &[u8], shown: Shown<'_>, io: &mut dyn Io) -> Result<(), Full> {
    let mut request = OwnerRequest::default();
    if request
        .decode(bytes)
        .and_then(|()| request.check())
        .is_err()
        || request.ids.len() > OWNERS_MAX
    {
        io.end(stream, Status::new(Code::InvalidArgument, codes::MALFORMED));
        return Ok(());
    }
    let Shown {
        membership,
        directory,
        ..
    } = shown;
    let mut owners: Vec<Owner<'_>> = Vec::with_capacity(request.ids.len());
    for id in request.ids.iter().flatten() {
        let node = match directory.resolve(id) {
            Route::Local | Route::Vacant => Some(NodeId(0)),
            Route::Remote(node) => Some(node),
            Route::NotReady | Route::NoMajority => None,
        };
        let host = node
            .and_then(|node| membership.host_of(node))
            .unwrap_or_default();
        owners.push(Owner {
            id,
            host,
            active: directory.claimant(id).is_some(),
        });
    }
    wire::reply(
        io,
        stream,
        &OwnerReply {
            owners: owners.as_slice(),
        },
    )
}

/// Names of counters are stable: metrics are made of them.
pub(crate) fn counters(shown: Shown<'_>) -> [Counter<'static>; 22] {
    let (actors, directory) = (shown.actors.counters(), shown.directory.counters());
    [
        ("applied", actors.applied),
        ("got", actors.got),
        ("not_found", actors.not_found),
        ("forwarded", actors.forwarded),
        ("retried", actors.retried),
        ("activations", actors.activations),
        ("fenced", actors.fenced),
        ("evicted", actors.evicted),
        ("expired", actors.expired),
        ("failed", actors.failed),
        ("snapshots", actors.snapshots),
        ("duplicates", actors.duplicates),
        ("joined", actors.joined),
        ("append_unknown", actors.unknown),
        ("store_failures", actors.store_failures),
        ("refused", actors.refused),
        ("malformed", actors.malformed),
        ("announcements", directory.announcements),
        ("announcements_refused", directory.refused),
        ("fetches", directory.fetches),
        ("contests_won", directory.contests_won),
        ("contests_lost", directory.contests_lost),
    ]
    .map(|(name, value)| Counter { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Header;
    use crate::machine::Machine;
    use crate::ring::{Ring, RingConfig, RingEvent};
    use crate::testing::FakeIo;

    #[test]
    fn only_callers_that_are_trusted_are_answered() {
        for method in [admin::LEAVE, admin::STATUS, admin::OWNER] {
            for trusted in [true, false] {
                let mut ring = Ring::new(RingConfig::lan("a:1", &[], 1)).unwrap();
                let mut io = FakeIo::default();
                let stream = io.accept();
                let mut up = |_: RingEvent<'_>| {};
                let accepted = StreamIn::Accepted {
                    from: None,
                    method,
                    header: Header::EMPTY,
                    deadline: None,
                    trusted,
                };
                ring.handle_stream(Instant::ZERO, stream, Tag::NEW, accepted, &mut io, &mut up);
                if let Some((adopted, tag)) = io.adopted.pop() {
                    let event = StreamIn::Frame(&[]);
                    ring.handle_stream(Instant::ZERO, adopted, tag, event, &mut io, &mut up);
                }
                let end = io.take_end(stream).unwrap();
                assert_eq!(ring.is_leaving(), trusted && method == admin::LEAVE);
                assert_eq!(end.code == Code::PermissionDenied, !trusted);
            }
        }
    }
}
