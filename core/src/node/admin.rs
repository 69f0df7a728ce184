//! `trefoil.admin.v1`: what a node answers to operators. It looks at the machines and changes none; what
//! would change one is handed on.

use alloc::string::String;
use alloc::vec::Vec;

use smallvec::SmallVec;
use trefoil_proto::admin::{
    Counter, HandOverReply, HandOverRequest, LeaveReply, Member, Owner, OwnerReply, OwnerRequest,
    StatusReply, Unreachable, Voter,
};
use trefoil_proto::wire::Decode;

use super::{Channels, NodeRefused, Part};
use crate::codes;
use crate::election::token::Token;
use crate::election::{Kin, Seat, Standing};
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::machine::{Full, Io};
use crate::method::admin;
use crate::ring::Ring;
use crate::ring::ownership::Ownership;
use crate::ring::ownership::Route;
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

    /// Handles a stream; returns what is asked of the node.
    pub(crate) fn handle_stream<'a>(
        &self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'a>,
        shown: Shown<'_>,
        io: &mut dyn Io,
    ) -> Asked<'a> {
        match event {
            StreamIn::Accepted { trusted: false, .. } => {
                io.end(
                    stream,
                    Status::new(Code::PermissionDenied, codes::OPERATORS_ONLY),
                );
                Asked::Nothing
            }
            StreamIn::Accepted { method, .. } => {
                io.adopt(stream, Tag::new(MACHINE, u64::from(method.0)));
                Asked::Nothing
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
                Asked::Nothing
            }
            StreamIn::Header(_) | StreamIn::Writable | StreamIn::Ended(_) => Asked::Nothing,
        }
    }

    fn answer<'a>(
        &self,
        now: Instant,
        stream: StreamId,
        method: MethodId,
        bytes: &'a [u8],
        shown: Shown<'_>,
        io: &mut dyn Io,
    ) -> Asked<'a> {
        let mut asked = Asked::Nothing;
        let sent = match method {
            admin::HAND_OVER => match HandOverRequest::parse(bytes) {
                Ok(request) => return Asked::HandOver { to: request.to },
                Err(_) => {
                    io.end(stream, Status::new(Code::InvalidArgument, codes::MALFORMED));
                    Ok(())
                }
            },
            admin::OWNER => owner(stream, bytes, shown.0, io),
            admin::LEAVE => {
                asked = Asked::Leave;
                let message = "draining; the node says goodbye when its calls are finished";
                let accepted = true;
                wire::reply(io, stream, &LeaveReply { accepted, message })
            }
            _ => self.status(now, stream, shown, io),
        };
        if sent.is_err() {
            io.end(
                stream,
                Status::new(Code::ResourceExhausted, codes::TOO_LARGE),
            );
        }
        asked
    }

    fn status(
        &self,
        now: Instant,
        stream: StreamId,
        shown: Shown<'_>,
        io: &mut dyn Io,
    ) -> Result<(), Full> {
        let (ring, election, channels) = shown;
        let (membership, directory) = (ring.membership(), ring.directory());
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
        let channels = channels.map(Channels::counters).into_iter().flatten();
        let counted = ring.counters().chain(election_counters(election));
        let counted = counted.chain(channels);
        let counters: Vec<_> = counted
            .map(|(name, value)| Counter { name, value })
            .collect();
        let voters = election.map(voters).unwrap_or_default();
        let unreachable = membership.unreachable();
        let unreachable: Vec<_> = unreachable
            .map(|(host, why)| Unreachable { host, why })
            .collect();
        let reply = StatusReply {
            host: membership.host(),
            cluster: &self.cluster,
            incarnation: membership.incarnation(),
            uptime_ms: self
                .since
                .map_or(0, |since| now.since(since).as_millis() as u64),
            state: match (
                ring.is_leaving(),
                membership.has_majority(),
                directory.is_ready(),
            ) {
                (true, _, _) => "leaving",
                (false, false, _) => "no majority",
                (false, true, false) => "joining",
                (false, true, true) => "ready",
            },
            view_version: membership.version(),
            placement_fingerprint: shares.fingerprint(),
            members: members.as_slice(),
            active_ids: u64::from(ring.actors().active()),
            known_ids: u64::from(directory.known()),
            in_flight: u64::from(ring.actors().in_flight()),
            counters: &counters[..],
            version: env!("CARGO_PKG_VERSION"),
            unreachable: unreachable.as_slice(),
            election: election.map(|election| told(now, election, &voters)),
        };
        wire::reply(io, stream, &reply)
    }
}

/// What may be looked at.
type Shown<'a> = (&'a Ring, Option<&'a Part>, Option<&'a Channels>);

/// What an operator asks that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// Nothing, or it was answered.
    Nothing,
    /// To leave; it was answered.
    Leave,
    /// To make another voter the leader. Not answered yet.
    HandOver { to: &'a str },
}

/// Answers a hand-over.
pub(crate) fn handed_over(stream: StreamId, done: Result<(), NodeRefused>, io: &mut dyn Io) {
    let message = match done {
        Ok(()) => "this node leads no more, and told the other so",
        Err(NodeRefused::Election(why)) => why.message(),
        Err(NodeRefused::NoElection) => codes::NO_ELECTION,
        // They have no say in it.
        Err(NodeRefused::Ring(_) | NodeRefused::Channels(_) | NodeRefused::NoChannels) => {
            codes::BUSY
        }
    };
    let accepted = done.is_ok();
    // It answers a request, so it has room.
    let _ = wire::reply(io, stream, &HandOverReply { accepted, message });
}

type Voters<'a> = SmallVec<[Voter<'a>; 8]>;

/// All voters in order of priority.
fn voters(election: &Part) -> Voters<'_> {
    let mut voters = Voters::new();
    if let Some(seat) = election.seat() {
        voters.push(Voter {
            addr: &election.places()[usize::from(seat.0)],
            connected: true,
            round_trip_us: 0,
            kin: "ours",
        });
    }
    election.neighbours(&mut |voter| {
        voters.push(Voter {
            addr: voter.addr,
            connected: voter.connected,
            round_trip_us: voter.round_trip.map_or(0, |time| time.as_micros() as u64),
            kin: match voter.kin {
                Kin::Ours => "ours",
                Kin::Redhac => "redhac",
                Kin::Unknown => "",
            },
        });
    });
    let place = |addr: &str| election.places().iter().position(|place| place == addr);
    voters.sort_by_key(|voter| place(voter.addr));
    voters
}

type Told<'a> = trefoil_proto::admin::Election<'a, &'a [Voter<'a>]>;

/// What a voter says of the election.
fn told<'a>(now: Instant, election: &'a Part, voters: &'a [Voter<'a>]) -> Told<'a> {
    let addr = |seat: Seat| &*election.places()[usize::from(seat.0)];
    let own = election.seat().map_or("", addr);
    let (state, leader, token) = match election.standing(now) {
        Standing::Leading { token, .. } => ("leading", own, token),
        Standing::Following { leader, token } => ("following", addr(leader), token),
        Standing::Leaderless if election.is_silent(now) => ("silent", "", Token::NONE),
        Standing::Leaderless => ("leaderless", "", Token::NONE),
    };
    let left = election.holds_until(now).map(|until| until.since(now));
    Told {
        state,
        leader,
        token: token.to_wire(),
        lease_left_us: left.map_or(0, |left| left.as_micros() as u64),
        quorum: election.has_quorum(),
        voters,
    }
}

/// Names of counters are stable: metrics are made of them.
pub(super) fn election_counters(
    election: Option<&Part>,
) -> impl Iterator<Item = (&'static str, u64)> + use<> {
    let counted = election.map(|election| {
        let counters = election.counters();
        let mut connected = 0;
        election.neighbours(&mut |voter| connected += u64::from(voter.connected));
        [
            ("voters_connected", connected),
            ("leaderships", counters.leaderships),
            ("campaigns", counters.campaigns),
            ("polls", counters.polls),
            ("votes_requested", counters.requests),
            ("votes_granted", counters.grants),
            ("votes_refused", counters.refusals),
            ("votes_kept", counters.votes),
            ("voter_streams", counters.streams),
            ("voter_timeouts", counters.timeouts),
            ("voters_misbehaved", counters.misbehaved),
        ]
    });
    counted.into_iter().flatten()
}

fn owner(stream: StreamId, bytes: &[u8], ring: &Ring, io: &mut dyn Io) -> Result<(), Full> {
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
    let (membership, directory) = (ring.membership(), ring.directory());
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

#[cfg(test)]
mod tests {
    use trefoil_proto::wire::Encode;

    use super::*;
    use crate::election::ElectionConfig;
    use crate::header::Header;
    use crate::machine::Machine;
    use crate::node::{Node, NodeConfig, NodeEvent, PartConfig};
    use crate::ring::RingConfig;
    use crate::testing::{FakeIo, OwnedStatus};

    fn node(voters: &[&str]) -> Node {
        let election =
            (!voters.is_empty()).then(|| PartConfig::Voter(ElectionConfig::lan(0, voters)));
        let ring = RingConfig::lan("a:1", &[], 1);
        Node::new(NodeConfig {
            ring,
            election,
            channels: None,
        })
        .unwrap()
    }

    /// What a call is answered, and how it ended.
    fn call(
        node: &mut Node,
        method: MethodId,
        request: &[u8],
        trusted: bool,
    ) -> (Vec<u8>, OwnedStatus) {
        let (mut io, mut up) = (FakeIo::default(), |_: NodeEvent<'_>| {});
        let stream = io.accept();
        let accepted = StreamIn::Accepted {
            from: None,
            method,
            header: Header::EMPTY,
            deadline: None,
            trusted,
        };
        node.handle_stream(Instant::ZERO, stream, Tag::NEW, accepted, &mut io, &mut up);
        if let Some((adopted, tag)) = io.adopted.pop() {
            let event = StreamIn::Frame(request);
            node.handle_stream(Instant::ZERO, adopted, tag, event, &mut io, &mut up);
        }
        let end = io.take_end(stream).unwrap();
        let answer = io.frames.pop().map(|(_, bytes)| bytes);
        (answer.unwrap_or_default(), end)
    }

    #[test]
    fn only_callers_that_are_trusted_are_answered() {
        for method in [admin::LEAVE, admin::STATUS, admin::OWNER, admin::HAND_OVER] {
            for trusted in [true, false] {
                let mut node = node(&[]);
                let (_, end) = call(&mut node, method, &[], trusted);
                assert_eq!(node.ring().is_leaving(), trusted && method == admin::LEAVE);
                assert_eq!(end.code == Code::PermissionDenied, !trusted);
            }
        }
    }

    #[test]
    fn a_hand_over_that_cannot_be_says_why() {
        let message = HandOverRequest { to: "b:1" };
        let mut request = alloc::vec![0; message.encoded_len()];
        message.encode_to_slice(&mut request).unwrap();
        for (voters, why) in [
            (&[][..], codes::NO_ELECTION),
            (&["a:1", "b:1"], codes::NOT_VOTING),
        ] {
            let (answer, end) = call(&mut node(voters), admin::HAND_OVER, &request, true);
            let reply = HandOverReply::parse(&answer).unwrap();
            assert_eq!((end.code, reply.accepted), (Code::Ok, false));
            assert_eq!(reply.message, why);
        }
    }

    #[test]
    fn a_voter_is_shown_its_election_and_others_none() {
        for voters in [&[][..], &["a:1", "b:1", "c:1"]] {
            let (answer, _) = call(&mut node(voters), admin::STATUS, &[], true);
            let status = StatusReply::parse(&answer).unwrap();
            assert_eq!(status.election.is_some(), !voters.is_empty());
            let Some(election) = status.election else {
                continue;
            };
            let listed = election.voters.iter().flatten();
            let listed: Vec<_> = listed.map(|voter| (voter.addr, voter.connected)).collect();
            assert_eq!(listed, [("a:1", true), ("b:1", false), ("c:1", false)]);
            assert_eq!((election.state, election.quorum), ("silent", false));
        }
    }
}
