//! What a call carries beside its messages.

use std::time::Duration;

use trefoil_core::header::Header;

use crate::expect::header;
use crate::subject::{At, Subject};
use crate::world::{LINK, World};
use crate::{BIDI, UNARY};

fn pairs(header: &[u8]) -> Vec<(String, Vec<u8>)> {
    let header = Header(header);
    let mut pairs: Vec<_> = header
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_vec()))
        .collect();
    // Values of one key keep their order, keys do not.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs
}

/// Text and raw bytes arrive both ways, and nothing of the transport's own comes with them.
pub fn metadata_arrives_both_ways<S: Subject>() {
    let all: Vec<u8> = (0..=255).collect();
    let long = vec![b'l'; 1_000];
    let sent = header(&[
        ("trefoil-node", b"a.example:7001"),
        ("all-bin", &all),
        ("twice", b"one"),
        ("comma", b"a, b,c"),
        ("twice", b"two"),
        ("empty", b""),
        ("empty-bin", b""),
        ("twice-bin", &[0]),
        ("twice-bin", &[255, 0, 7]),
        ("long", &long),
        ("visible", b"!\"#$%&'()*+-./09:;<=>?@AZ[\\]^_`az{|}~"),
    ]);
    let mut world = World::<S>::linked();
    let stream = world.open_with(LINK, BIDI, &sent, None);
    let offer = world.offer();
    assert_eq!(pairs(&offer.header), pairs(&sent), "of the request");
    world.bind(offer.call, &sent);
    let answer = world.expect_header(stream);
    assert_eq!(pairs(&answer), pairs(&sent), "of the answer");

    let bare = world.open();
    let offer = world.offer();
    assert_eq!(pairs(&offer.header), [], "of a request without");
    world.bind(offer.call, &[]);
    assert_eq!(
        pairs(&world.expect_header(bare)),
        [],
        "of an answer without"
    );
    world.rest();
}

/// The callee learns what is called.
pub fn the_method_arrives<S: Subject>() {
    let mut world = World::<S>::linked();
    for method in [UNARY, BIDI, UNARY] {
        world.open_with(LINK, method, &[], None);
        let offer = world.offer();
        assert_eq!(offer.method, method);
        world.bind(offer.call, &[]);
    }
    world.rest();
}

/// A timeout arrives, a little shorter perhaps, and never longer. None is none.
pub fn a_timeout_is_passed_on_and_never_grows<S: Subject>() {
    let mut world = World::<S>::linked();
    for sent in [
        None,
        Some(Duration::from_nanos(99_999_999)),
        Some(Duration::from_millis(1_500)),
        Some(Duration::from_nanos(5_000_000_001)),
        Some(Duration::from_secs(30)),
        Some(Duration::from_secs(86_400 * 30)),
    ] {
        world.open_with(LINK, BIDI, &[], sent);
        let offer = world.offer();
        match (sent, offer.timeout) {
            (None, None) => {}
            (Some(sent), Some(got)) => {
                assert!(got <= sent, "{sent:?} became {got:?}");
                let lost = sent - got;
                assert!(
                    lost <= sent / 100 + Duration::from_millis(100),
                    "{sent:?} became {got:?}"
                );
            }
            (sent, got) => panic!("{sent:?} became {got:?}"),
        }
        world.bind(offer.call, &[]);
    }
    // A timeout that is no more is still one: the callee must not wait for ever.
    let stream = world.open_with(LINK, BIDI, &[], Some(Duration::ZERO));
    let offer = world.offer();
    let got = offer.timeout.expect("a timeout");
    assert!(got <= Duration::from_millis(1), "nothing became {got:?}");
    let accepted = world.bind(offer.call, &[]);
    let late = b"late, and not for the transport to judge";
    world.frame(At::Callee, accepted, late);
    world.expect_frame(At::Caller, stream, late);
    world.rest();
}
