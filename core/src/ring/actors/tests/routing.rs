//! From a message to the node that answers it.

use super::*;
use crate::header::Header;
use crate::ring::actors::ActorsPlant;
use crate::status::Cause;

const B: Route = Route::Remote(NodeId(1));
const C: Route = Route::Remote(NodeId(2));

fn remote() -> Node {
    let mut node = Node::new(0);
    node.view.otherwise = B;
    node
}

fn lost() -> StreamIn<'static> {
    StreamIn::Ended(Status::new(Code::Unavailable, "TF-C07: lost").caused_by(Cause::Lost))
}

fn said(code: Code, message: &'static str) -> StreamIn<'static> {
    StreamIn::Ended(Status::new(code, message).caused_by(Cause::Peer))
}

#[test]
fn a_call_for_another_owner_goes_there_as_it_came_and_the_answer_comes_back_as_it_is() {
    let mut node = remote();
    // With an unknown field behind it, which no re-encoding would keep.
    let mut bytes = adds(5, &[1]);
    bytes.extend_from_slice(&[0x7a, 1, b'x']);
    let id: &[u8] = b"0000000000000000000000000000beef";
    let stream = node.call(APPLY, &[("trefoil-request", id)], &bytes);
    let opened = node.io.fake.take_opened().remove(0);
    let header = Header(&opened.header);
    assert_eq!(
        (opened.to, opened.method, opened.class),
        (NodeId(1), APPLY, Class::Bulk)
    );
    assert_eq!(
        (header.value("trefoil-request"), header.value("trefoil-hop")),
        (Some(id), Some(&b"1"[..]))
    );
    assert_eq!(node.io.fake.take_frames(opened.stream), [bytes]);
    assert_eq!(node.io.fake.half_closed, [opened.stream]);
    node.owner(&opened, StreamIn::Frame(b"whatever the owner says"));
    assert!(node.io.fake.ended.is_empty());
    node.owner(&opened, StreamIn::Ended(Status::OK));
    assert_eq!(
        node.io.fake.take_frames(stream),
        [b"whatever the owner says"]
    );
    assert_eq!(node.end_of(stream), code("", Code::Ok));
    assert_eq!(node.machine.in_flight(), 0);
    assert!(node.view.claims.is_empty());
}

#[test]
fn a_forwarded_apply_gets_a_request_id_and_a_get_none() {
    let mut node = remote();
    node.apply(1, 5, &[1]);
    node.get(2, 5);
    let opened = node.io.fake.take_opened();
    assert_eq!(
        Header(&opened[0].header)
            .value("trefoil-request")
            .map(<[u8]>::len),
        Some(32)
    );
    assert_eq!(Header(&opened[1].header).value("trefoil-request"), None);
    assert_eq!(opened[1].method, GET);
}

#[test]
fn the_owners_error_is_relayed_with_its_details() {
    let mut node = remote();
    node.apply(1, 5, &[1]);
    let opened = node.io.fake.take_opened().remove(0);
    node.owner(&opened, said(Code::ResourceExhausted, "TF-R05: full"));
    assert_eq!(node.error(1), code("TF-R05", Code::ResourceExhausted));
}

#[test]
fn an_owner_that_says_nothing_or_too_much_breaks_the_unary_discipline() {
    let mut node = remote();
    node.apply(1, 5, &[1]);
    node.apply(2, 5, &[1]);
    let opened = node.io.fake.take_opened();
    node.owner(&opened[0], StreamIn::Ended(Status::OK));
    node.owner(&opened[1], StreamIn::Frame(b"a"));
    node.owner(&opened[1], StreamIn::Frame(b"b"));
    for call in [1, 2] {
        assert_eq!(node.error(call), code("TF-C10", Code::Internal));
    }
    assert_eq!(node.machine.in_flight(), 0);
}

#[test]
fn a_call_that_was_forwarded_is_never_forwarded_again() {
    let mut node = remote();
    let stream = node.call(APPLY, &[("trefoil-hop", b"1")], &adds(5, &[1]));
    assert!(node.io.fake.take_opened().is_empty());
    let status = node.io.fake.take_end(stream).unwrap();
    assert_eq!(status.code, Code::Unavailable);
    assert_eq!(
        status.message,
        "TF-R01: not the owner, and the call was forwarded already; the owner is b"
    );
}

#[test]
fn the_planted_second_hop_is_seen() {
    let mut node = remote();
    node.machine.plant(ActorsPlant::DoubleHop);
    node.call(APPLY, &[("trefoil-hop", b"1")], &adds(5, &[1]));
    assert_eq!(node.io.fake.take_opened().len(), 1);
}

#[test]
fn a_forwarded_call_for_a_vacant_id_is_served() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    let stream = node.call(APPLY, &[("trefoil-hop", b"1")], &adds(5, &[3]));
    node.settle(&mut store);
    assert_eq!(sum_of_apply(&node.io.fake.take_frames(stream)[0]), 3);
}

#[test]
fn a_hop_that_is_turned_away_is_resolved_again_once_after_a_while() {
    for message in ["TF-R01: no", "TF-R06: draining"] {
        let mut node = remote();
        node.apply(1, 5, &[1]);
        let first = node.io.fake.take_opened().remove(0);
        node.view.otherwise = C;
        node.owner(&first, said(Code::Unavailable, message));
        assert!(node.io.fake.opened.is_empty());
        node.sleep(node.machine.config.retry_delay);
        let second = node.io.fake.take_opened().remove(0);
        assert_eq!(second.to, NodeId(2));
        assert_eq!(first.header, second.header, "one request id for both");
        assert_eq!(
            node.io.fake.take_frames(first.stream),
            node.io.fake.take_frames(second.stream)
        );
        node.owner(&second, said(Code::Unavailable, message));
        assert_eq!(node.error(1).1, Code::Unavailable);
        assert_eq!(
            (
                node.machine.counters().forwarded,
                node.machine.counters().retried
            ),
            (2, 1)
        );
    }
}

#[test]
fn a_hop_is_not_tried_again_when_the_deadline_is_nearer() {
    let mut node = remote();
    let deadline = Some(node.now + Duration::from_millis(5));
    let stream = node.accept(GET, &[], deadline);
    node.caller(stream, StreamIn::Frame(&get(5)));
    let opened = node.io.fake.take_opened().remove(0);
    assert_eq!(opened.deadline, deadline);
    node.owner(&opened, said(Code::Unavailable, "TF-R01: no"));
    assert_eq!(node.end_of(stream), code("TF-R01", Code::Unavailable));
}

#[test]
fn a_link_that_is_refused_is_retriable_at_once() {
    for cause in [Cause::Refused, Cause::Local] {
        let mut node = remote();
        node.apply(1, 5, &[1]);
        let opened = node.io.fake.take_opened().remove(0);
        let status = Status::new(Code::Unavailable, "the transport's own words").caused_by(cause);
        node.owner(&opened, StreamIn::Ended(status));
        assert_eq!(node.error(1), code("TF-C07", Code::Unavailable));
    }
}

#[test]
fn an_owner_lost_during_an_apply_leaves_the_outcome_unknown_if_it_is_not_known_to_be_ours() {
    let mut node = remote();
    node.apply(1, 5, &[1]);
    let opened = node.io.fake.take_opened().remove(0);
    node.owner(&opened, lost());
    assert_eq!(node.error(1), code("TF-R12", Code::Unknown));
}

#[test]
fn an_owner_of_ours_lost_during_an_apply_is_tried_once_more_under_the_same_request_id() {
    let mut store = Store::default();
    let mut node = remote();
    node.apply(1, 5, &[1]);
    let first = node.io.fake.take_opened().remove(0);
    let mut buf = [0; 512];
    node.owner(&first, StreamIn::Header(identity(&mut buf)));
    node.owner(&first, lost());
    assert!(node.answer(1).is_none());
    // The owner had applied it before it was lost, and this node takes over.
    let request_id = Header(&first.header).value("trefoil-request").unwrap();
    let mut owner = Node::new(1);
    owner.call(APPLY, &[("trefoil-request", request_id)], &adds(5, &[1]));
    owner.settle(&mut store);
    node.view.otherwise = Route::Vacant;
    node.sleep(node.machine.config.retry_delay);
    node.settle(&mut store);
    assert_eq!(node.error(1), code("TF-R07", Code::AlreadyExists));
    assert_eq!(store.log(5).records.len(), 1);
    // The second loss is final.
    node.view.otherwise = B;
    node.apply(2, 6, &[1]);
    for _ in 0..2 {
        let opened = node.io.fake.take_opened().remove(0);
        node.owner(&opened, lost());
        node.sleep(node.machine.config.retry_delay);
    }
    assert_eq!(node.error(2), code("TF-R12", Code::Unknown));
}

#[test]
fn a_second_try_that_changes_nothing_leaves_the_outcome_of_the_first_unknown() {
    let refused = || {
        let status = Status::new(Code::Unavailable, "TF-C07: refused");
        StreamIn::Ended(status.caused_by(Cause::Refused))
    };
    for second in [
        None,
        Some(refused()),
        Some(said(Code::Unavailable, "TF-R06: draining")),
        Some(said(Code::ResourceExhausted, "TF-R05: full")),
    ] {
        let mut node = remote();
        node.apply(1, 5, &[1]);
        let first = node.io.fake.take_opened().remove(0);
        let mut buf = [0; 512];
        node.owner(&first, StreamIn::Header(identity(&mut buf)));
        node.owner(&first, lost());
        if let Some(second) = second {
            node.sleep(node.machine.config.retry_delay);
            let opened = node.io.fake.take_opened().remove(0);
            node.owner(&opened, second);
        } else {
            node.view.otherwise = Route::NoMajority;
            node.sleep(node.machine.config.retry_delay);
        }
        assert_eq!(node.error(1), code("TF-R12", Code::Unknown));
        // A call after it, in the same slot, is not in doubt.
        node.view.otherwise = Route::NoMajority;
        node.apply(2, 5, &[1]);
        assert_eq!(node.error(2), code("TF-R02", Code::Unavailable));
    }
}

#[test]
fn a_call_in_doubt_that_joins_another_stays_in_doubt() {
    let mut node = remote();
    node.apply_as(1, 5, &[1], Some(9));
    let first = node.io.fake.take_opened().remove(0);
    let mut buf = [0; 512];
    node.owner(&first, StreamIn::Header(identity(&mut buf)));
    node.owner(&first, lost());
    // The same request comes again, and this node is the owner now.
    node.view.otherwise = Route::Vacant;
    node.apply_as(2, 5, &[1], Some(9));
    node.sleep(node.machine.config.retry_delay);
    assert_eq!(node.machine.counters().joined, 1);
    let (tag, _) = node.io.ops.pop_front().unwrap();
    node.done(tag, &Completion::Fenced { term: u64::MAX });
    assert_eq!(node.error(2), code("TF-R09", Code::Unavailable));
    assert_eq!(node.error(1), code("TF-R12", Code::Unknown));
}

#[test]
fn to_have_called_does_not_make_a_node_one_of_ours() {
    let mut node = remote();
    let stream = node.io.fake.accept();
    let accepted = StreamIn::Accepted {
        from: Some(NodeId(1)),
        method: GET,
        header: Header::EMPTY,
        deadline: None,
        trusted: false,
    };
    node.stream(stream, Tag::NEW, accepted);
    node.apply(1, 6, &[1]);
    let opened = node.io.fake.take_opened().remove(0);
    node.owner(&opened, lost());
    assert_eq!(node.error(1), code("TF-R12", Code::Unknown));
}

#[test]
fn an_owner_lost_during_a_get_is_tried_once_more() {
    let mut node = remote();
    node.get(1, 5);
    let opened = node.io.fake.take_opened().remove(0);
    node.owner(&opened, lost());
    node.sleep(node.machine.config.retry_delay);
    assert_eq!(node.io.fake.take_opened().len(), 1);
}

#[test]
fn when_the_caller_goes_away_its_forwarded_call_is_abandoned() {
    let mut node = remote();
    let stream = node.call(APPLY, &[], &adds(5, &[1]));
    let opened = node.io.fake.take_opened().remove(0);
    node.caller(stream, StreamIn::Ended(Status::new(Code::Cancelled, "")));
    assert_eq!(
        node.io.fake.take_end(opened.stream).map(|s| s.code),
        Some(Code::Cancelled)
    );
    assert_eq!(node.machine.in_flight(), 0);
    node.owner(&opened, StreamIn::Ended(Status::OK));
}

#[test]
fn a_call_waits_until_this_node_knows_who_owns_what() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    node.view.otherwise = Route::NotReady;
    node.apply(1, 5, &[1]);
    node.apply(2, 6, &[1]);
    node.command(ActorsCommand::OwnershipChanged);
    assert!(node.answer(1).is_none() && node.io.ops.is_empty());
    node.view.routes.insert(5, Route::Vacant);
    node.view.routes.insert(6, B);
    node.command(ActorsCommand::OwnershipChanged);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 1);
    assert_eq!(node.io.fake.take_opened().len(), 1);
}

#[test]
fn a_call_does_not_wait_for_readiness_for_ever_and_not_too_many_do() {
    let mut node = Node::with(
        0,
        ActorsConfig {
            waiting_max: 1,
            ..config(0)
        },
    );
    node.view.otherwise = Route::NotReady;
    node.apply(1, 5, &[1]);
    node.apply(2, 5, &[1]);
    assert_eq!(node.error(2), code("TF-R11", Code::Unavailable));
    assert_eq!(
        node.machine.poll_timeout(),
        Some(node.now + node.machine.config.waiting_timeout)
    );
    node.sleep(node.machine.config.waiting_timeout);
    assert_eq!(node.error(1), code("TF-R11", Code::Unavailable));
    node.apply(3, 5, &[1]);
    assert!(node.answer(3).is_none());
}

#[test]
fn the_smaller_side_of_a_partition_says_so() {
    let mut node = Node::new(0);
    node.view.otherwise = Route::NoMajority;
    node.apply(1, 5, &[1]);
    assert_eq!(node.error(1), code("TF-R02", Code::Unavailable));
}

#[test]
fn no_message_two_messages_and_other_methods_are_refused() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    let none = node.accept(APPLY, &[], None);
    node.caller(none, StreamIn::HalfClosed);
    assert_eq!(node.end_of(none), code("TF-C10", Code::InvalidArgument));
    let two = node.call(APPLY, &[], &adds(5, &[1]));
    node.caller(two, StreamIn::Frame(&adds(5, &[1])));
    assert_eq!(node.end_of(two), code("TF-C10", Code::InvalidArgument));
    node.settle(&mut store);
    assert!(node.io.fake.ended.is_empty() && node.machine.in_flight() == 0);
    let other = node.accept(MethodId(0), &[], None);
    assert_eq!(node.end_of(other), code("TF-C08", Code::Unimplemented));
}

#[test]
fn a_malformed_message_or_request_id_is_the_callers_fault() {
    let mut node = Node::new(0);
    for (method, bytes) in [
        (APPLY, &[0xff][..]),
        (GET, &[0x08]),
        (APPLY, &[0x12, 3, 0x0a, 9, 9]),
    ] {
        let stream = node.call(method, &[], bytes);
        assert_eq!(node.end_of(stream), code("TF-C04", Code::InvalidArgument));
    }
    let stream = node.accept(APPLY, &[("trefoil-request", b"12")], None);
    assert_eq!(node.end_of(stream), code("TF-C04", Code::InvalidArgument));
    assert_eq!(
        (node.machine.counters().malformed, node.machine.in_flight()),
        (4, 0)
    );
}

#[test]
fn events_of_strange_streams_are_ignored() {
    let mut node = remote();
    node.apply(1, 5, &[1]);
    let opened = node.io.fake.take_opened().remove(0);
    for tag in [
        Tag(u64::MAX),
        Tag::NEW,
        Tag::new(3, 0),
        Tag::new(3, 1 << 33),
        opened.tag,
    ] {
        node.stream(StreamId::new(99, 9), tag, StreamIn::Frame(b"x"));
        node.stream(StreamId::new(99, 9), tag, StreamIn::Ended(Status::OK));
    }
    assert!(node.answer(1).is_none());
}
