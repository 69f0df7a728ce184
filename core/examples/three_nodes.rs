//! Three nodes of a ring on one thread: no runtime, no socket, no clock.
//!
//! They find each other, an actor is called through each of them, its owner is stopped, and another
//! node brings it back from the journal. Time is a number, so fifteen seconds pass at once.
//!
//! `cargo run -p trefoil-core --example three_nodes`

#![allow(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::time::Duration;

use trefoil_core::limits::Limits;
use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_core::ring::local::LocalRing;
use trefoil_core::ring::membership::MembershipEvent;
use trefoil_core::ring::{RingConfig, RingEvent};
use trefoil_proto::control_plane::{ApplyRequest, ApplyResult};
use trefoil_proto::google::Any;
use trefoil_proto::{Decode, Encode};

const HOSTS: [&str; 3] = ["a:7001", "b:7001", "c:7001"];

/// The actor that is called.
const ID: u64 = 7;

/// An actor: a page that grows by what it is sent.
struct Page(String);

/// Makes pages.
struct Pages;

impl ActorKind for Pages {
    type Actor = Page;

    fn load(&self, _id: u64, snapshot: Option<&[u8]>) -> Result<Page, Failed> {
        let bytes = snapshot.unwrap_or_default().to_vec();
        String::from_utf8(bytes).map(Page).map_err(|_| Failed)
    }
}

impl Actor for Page {
    fn apply(&mut self, message: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        // What is refused is not journalled, and the page stays as it was.
        let words =
            std::str::from_utf8(message.value).map_err(|_| Rejected::from("this is no text"))?;
        self.0.push_str(words);
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }

    fn type_url(&self) -> &str {
        "type.googleapis.com/example.Page"
    }
}

/// Adds words to the page through a node, which may have to send them on; gives the whole page.
fn write(ring: &mut LocalRing<Pages>, node: usize, words: &str) -> Result<String, Box<dyn Error>> {
    let message = Any {
        type_url: "type.googleapis.com/example.Words",
        value: words.as_bytes(),
    };
    let request = ApplyRequest {
        id: ID,
        messages: &[message][..],
    };
    let mut bytes = vec![0; request.encoded_len()];
    request.encode_to_slice(&mut bytes)?;
    let answer = ring.apply(node, &bytes).map_err(|error| error.message)?;
    let page = ApplyResult::parse(&answer)?.state.ok_or("no state")?;
    let page = String::from_utf8(page.value.to_vec())?;
    println!("through {}: {page:?}", HOSTS[node]);
    Ok(page)
}

/// The owner of the page, as a node sees it. Each node is number 0 to itself.
fn is_owner(ring: &LocalRing<Pages>, node: usize) -> bool {
    let owner = ring.ring(node).directory().claimant(ID);
    owner.is_some_and(|owner| owner.0 == 0)
}

/// Shows it all.
pub fn main() -> Result<(), Box<dyn Error>> {
    // The core draws no random numbers: a real node draws its `boot` anew at every start.
    let configs = [0, 1, 2].map(|at| RingConfig::lan(HOSTS[at], &HOSTS, at as u64 + 1));
    let mut ring = LocalRing::new(&configs, &Limits::default(), || Pages)?;

    let mut news = |node: usize, event: RingEvent<'_>| {
        if let RingEvent::Membership(MembershipEvent::Up { host, .. }) = event {
            println!("{} has found {host}", HOSTS[node]);
        } else if let RingEvent::Membership(MembershipEvent::Down { reason, .. }) = event {
            println!("{} has lost a member: {reason:?}", HOSTS[node]);
        }
    };
    ring.run_for(Duration::from_secs(5), &mut news);
    for node in 0..3 {
        assert_eq!(ring.ring(node).membership().live(), 3);
    }

    write(&mut ring, 0, "to be ")?;
    write(&mut ring, 1, "or not ")?;
    write(&mut ring, 2, "to ")?;

    let owner = (0..3).find(|node| is_owner(&ring, *node));
    let owner = owner.ok_or("nobody owns the page")?;
    println!("{} owns the page, and is stopped", HOSTS[owner]);
    ring.stop(owner);
    ring.run_for(Duration::from_secs(10), &mut news);

    let other = (owner + 1) % 3;
    assert_eq!(ring.ring(other).membership().live(), 2);
    let page = write(&mut ring, other, "be")?;
    assert_eq!(page, "to be or not to be");
    let heir = (0..3).find(|node| *node != owner && is_owner(&ring, *node));
    let heir = heir.ok_or("nobody owns the page")?;
    println!("{} owns the page now; nothing was lost", HOSTS[heir]);
    Ok(())
}
