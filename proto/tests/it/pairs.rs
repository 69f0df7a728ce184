//! The same message twice: as a view and as prost's type.

use prost::Message;
use trefoil_proto::{Decode, DecodeError, Encode, cache, control_plane, owned, streaming};

use crate::corpus::Kind;

/// Decodes a view and walks all of it.
pub(crate) fn view<'a, V: Decode<'a>>(bytes: &'a [u8]) -> Result<V, DecodeError> {
    let view = V::parse(bytes)?;
    view.check()?;
    Ok(view)
}

/// Encodes a message and holds the encoder to its own measure.
pub(crate) fn encoded(message: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![0xaa; message.encoded_len()];
    assert_eq!(message.encode_to_slice(&mut bytes), Ok(bytes.len()));
    bytes
}

/// What two decoders made of the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Both accepted them, with the same values.
    Accepted,
    /// Both refused them.
    Refused,
    /// Only prost refused them, for a known field with a wire type it cannot have.
    AcceptedAsUnknown,
    /// Only the view refused them, for a list in two pieces of one sub-message.
    Split,
    /// Not compared: a map field with a wire type it cannot have, which prost reads as an entry.
    MapQuirk,
}

/// Whether a map has the tag of something else. The maps of the corpus are all at `2.2`, field 2.
fn map_quirk(bytes: &[u8], path: &[u32]) -> bool {
    let mut r = trefoil_proto::Reader::new(bytes);
    while let Ok(tag) = r.tag() {
        match path {
            [] if tag >> 3 == 2 && tag & 7 != 2 => return true,
            [field, rest @ ..] if tag == (field << 3 | 2) => {
                let mut peek = r;
                if peek.bytes().is_ok_and(|inner| map_quirk(inner, rest)) {
                    return true;
                }
            }
            _ => {}
        }
        if r.skip(tag).is_err() {
            break;
        }
    }
    false
}

/// Elements decoded by both: what re-encoding does not show, since lists are copied unread.
pub(crate) trait Same<P> {
    fn assert_same(&self, owned: &P);
}

/// Holds a view against prost. Panics if they differ in anything that is not a stated exception.
/// `canonical` is room for what prost encodes, which a view then borrows.
pub(crate) fn compare<'a, V, P>(bytes: &'a [u8], canonical: &'a mut Vec<u8>) -> Verdict
where
    V: Decode<'a> + Encode + Same<P> + PartialEq + std::fmt::Debug,
    P: Message + Default + PartialEq + std::fmt::Debug,
{
    match (view::<V>(bytes), P::decode(bytes)) {
        (Ok(view), Ok(owned)) => {
            view.assert_same(&owned);
            // What the view encodes means the same to prost.
            let again = encoded(&view);
            assert_eq!(P::decode(&*again).unwrap(), owned, "{bytes:02x?} {view:?}");
            // What prost encodes is canonical, and comes back byte for byte.
            *canonical = owned.encode_to_vec();
            let reread = self::view::<V>(canonical).unwrap();
            assert_eq!(encoded(&reread), *canonical);
            Verdict::Accepted
        }
        (Err(DecodeError::Split), _) => Verdict::Split,
        (Err(_), Err(_)) => Verdict::Refused,
        (Ok(_), Err(error)) => {
            let error = error.to_string();
            assert!(
                error.contains("invalid wire type: "),
                "prost alone refused {bytes:02x?}: {error}"
            );
            Verdict::AcceptedAsUnknown
        }
        (Err(error), Ok(owned)) => {
            panic!("the view alone refused {bytes:02x?}: {error}; {owned:?}")
        }
    }
}

/// [`compare`] for a message of the corpus.
pub(crate) fn compare_kind(kind: Kind, bytes: &[u8]) -> Verdict {
    if matches!(kind, Kind::ProduceRequest | Kind::ConsumeResponse) && map_quirk(bytes, &[2, 2]) {
        return Verdict::MapQuirk;
    }
    let canonical = &mut Vec::new();
    use owned::{cache as oc, control_plane as op, streaming as os};
    match kind {
        Kind::OwnershipAnnounce => {
            compare::<control_plane::OwnershipAnnounce<'_>, op::OwnershipAnnounce>(bytes, canonical)
        }
        Kind::NegotiateRequest => compare::<
            control_plane::NegotiateRequestView<'_>,
            op::NegotiateRequest,
        >(bytes, canonical),
        Kind::ApplyRequest => {
            compare::<control_plane::ApplyRequestView<'_>, op::ApplyRequest>(bytes, canonical)
        }
        Kind::CacheRequest => {
            compare::<cache::CacheRequest<'_>, oc::CacheRequest>(bytes, canonical)
        }
        Kind::Ack => compare::<cache::Ack<'_>, oc::Ack>(bytes, canonical),
        Kind::ProduceRequest => {
            compare::<streaming::ProduceRequest<'_>, os::ProduceRequest>(bytes, canonical)
        }
        Kind::ProduceResponse => {
            compare::<streaming::ProduceResponse<'_>, os::ProduceResponse>(bytes, canonical)
        }
        Kind::ConsumeResponse => {
            compare::<streaming::ConsumeResponse<'_>, os::ConsumeResponse>(bytes, canonical)
        }
        Kind::Assignment => compare::<
            streaming::FullStreamingNodeAssignmentWithVersionView<'_>,
            os::FullStreamingNodeAssignmentWithVersion,
        >(bytes, canonical),
    }
}

/// All kinds of the corpus.
pub(crate) const KINDS: [Kind; 9] = [
    Kind::OwnershipAnnounce,
    Kind::NegotiateRequest,
    Kind::ApplyRequest,
    Kind::CacheRequest,
    Kind::Ack,
    Kind::ProduceRequest,
    Kind::ProduceResponse,
    Kind::ConsumeResponse,
    Kind::Assignment,
];

fn collect<T>(items: impl IntoIterator<Item = Result<T, DecodeError>>) -> Vec<T> {
    items.into_iter().map(Result::unwrap).collect()
}

impl Same<owned::control_plane::OwnershipAnnounce> for control_plane::OwnershipAnnounce<'_> {
    fn assert_same(&self, owned: &owned::control_plane::OwnershipAnnounce) {
        assert_eq!(self.host, owned.host);
        assert_eq!(collect(self.ids), owned.ids);
        assert_eq!(self.ids.len(), owned.ids.len());
        assert_eq!(self.ids.is_empty(), owned.ids.is_empty());
        let mut filled = vec![0; owned.ids.len() + 1];
        assert_eq!(self.ids.fill(&mut filled), Ok(owned.ids.len()));
        assert_eq!(filled[..owned.ids.len()], owned.ids);
        let half = owned.ids.len() / 2;
        assert_eq!(self.ids.fill(&mut filled[..half]), Ok(half));
    }
}

impl Same<owned::control_plane::NegotiateRequest> for control_plane::NegotiateRequestView<'_> {
    fn assert_same(&self, owned: &owned::control_plane::NegotiateRequest) {
        assert_eq!(self.known_hosts.len(), owned.known_hosts.len());
        assert_eq!(collect(self.known_hosts), owned.known_hosts);
    }
}

impl Same<owned::control_plane::ApplyRequest> for control_plane::ApplyRequestView<'_> {
    fn assert_same(&self, owned: &owned::control_plane::ApplyRequest) {
        assert_eq!(self.id, owned.id);
        assert_eq!(self.messages.len(), owned.messages.len());
        for (any, owned) in collect(self.messages).iter().zip(&owned.messages) {
            assert_eq!(any.type_url, owned.type_url);
            assert_eq!(any.value, owned.value);
        }
    }
}

impl Same<owned::cache::CacheRequest> for cache::CacheRequest<'_> {
    fn assert_same(&self, owned: &owned::cache::CacheRequest) {
        use cache::CacheRequestMethod as V;
        use owned::cache::cache_request::Method as P;
        match (&self.method, &owned.method) {
            (Some(V::Put(v)), Some(P::Put(p))) => {
                assert_eq!(
                    (v.cache_name, v.entry, v.value),
                    (&*p.cache_name, &*p.entry, &*p.value)
                );
                assert_eq!(v.req_id, p.req_id.as_deref());
            }
            (Some(V::Insert(v)), Some(P::Insert(p))) => {
                assert_eq!(
                    (v.cache_name, v.entry, v.value),
                    (&*p.cache_name, &*p.entry, &*p.value)
                );
                assert_eq!(v.ack_level.is_some(), p.ack_level.is_some());
            }
            (v, p) => assert_eq!(v.is_some(), p.is_some()),
        }
    }
}

impl Same<owned::cache::Ack> for cache::Ack<'_> {
    fn assert_same(&self, owned: &owned::cache::Ack) {
        use cache::{AckMethod as V, MgmtAckMethod as M};
        use owned::cache::{ack::Method as P, mgmt_ack::Method as N};
        match (&self.method, &owned.method) {
            (Some(V::GetAck(v)), Some(P::GetAck(p))) => {
                assert_eq!((v.entry, v.value), (&*p.entry, p.value.as_deref()));
            }
            (Some(V::MgmtAck(v)), Some(P::MgmtAck(p))) => {
                if let (Some(M::HealthAck(v)), Some(N::HealthAck(p))) = (&v.method, &p.method) {
                    assert_eq!((v.uptime_secs, v.quorum), (p.uptime_secs, p.quorum));
                    assert_eq!(v.host_health.len(), p.host_health.len());
                    for (v, p) in collect(v.host_health).iter().zip(&p.host_health) {
                        assert_eq!((v.addr, v.connected), (&*p.addr, p.connected));
                    }
                }
            }
            (v, p) => assert_eq!(v.is_some(), p.is_some()),
        }
    }
}

fn same_message(v: &streaming::Message<'_>, p: &owned::streaming::Message) {
    assert_eq!(v.payload, &*p.payload);
    assert!(v.properties.len() >= p.properties.len());
    for (key, value) in &p.properties {
        assert_eq!(v.properties.get(&key.as_str()), Ok(Some(&**value)));
    }
    for (key, _) in collect(v.properties) {
        assert!(p.properties.contains_key(key));
    }
}

impl Same<owned::streaming::ProduceRequest> for streaming::ProduceRequest<'_> {
    fn assert_same(&self, owned: &owned::streaming::ProduceRequest) {
        use owned::streaming::produce_request::Request as P;
        use streaming::ProduceRequestRequest as V;
        match (&self.request, &owned.request) {
            (Some(V::Produce(v)), Some(P::Produce(p))) => {
                assert_eq!(v.request_id, p.request_id);
                assert_eq!(v.message.is_some(), p.message.is_some());
                if let (Some(v), Some(p)) = (&v.message, &p.message) {
                    same_message(v, p);
                }
            }
            (v, p) => assert_eq!(v.is_some(), p.is_some()),
        }
    }
}

impl Same<owned::streaming::ProduceResponse> for streaming::ProduceResponse<'_> {
    fn assert_same(&self, owned: &owned::streaming::ProduceResponse) {
        assert_eq!(self.response.is_some(), owned.response.is_some());
    }
}

impl Same<owned::streaming::ConsumeResponse> for streaming::ConsumeResponse<'_> {
    fn assert_same(&self, owned: &owned::streaming::ConsumeResponse) {
        use owned::streaming::consume_response::Response as P;
        use streaming::ConsumeResponseResponse as V;
        if let (Some(V::Consume(v)), Some(P::Consume(p))) = (&self.response, &owned.response) {
            if let (Some(v), Some(p)) = (&v.message, &p.message) {
                same_message(v, p);
            }
        }
        assert_eq!(self.response.is_some(), owned.response.is_some());
    }
}

impl Same<owned::streaming::FullStreamingNodeAssignmentWithVersion>
    for streaming::FullStreamingNodeAssignmentWithVersionView<'_>
{
    fn assert_same(&self, owned: &owned::streaming::FullStreamingNodeAssignmentWithVersion) {
        assert_eq!(
            self.version.map(|v| (v.global, v.local)),
            owned.version.map(|v| (v.global, v.local))
        );
        assert_eq!(self.assignments.len(), owned.assignments.len());
        for (v, p) in collect(self.assignments).iter().zip(&owned.assignments) {
            assert_eq!(
                v.node.map(|n| n.server_id),
                p.node.as_ref().map(|n| n.server_id)
            );
            assert_eq!(
                v.node.map(|n| n.address),
                p.node.as_ref().map(|n| &*n.address)
            );
            assert_eq!(v.channels.len(), p.channels.len());
            for (v, p) in collect(v.channels).iter().zip(&p.channels) {
                assert_eq!((v.name, v.term), (&*p.name, p.term));
            }
        }
    }
}
