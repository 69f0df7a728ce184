//! What clients are told: on each stream versions grow, one version says one thing to everybody, what it says was
//! decided, and a later version, of whichever leadership, tells of no earlier term.
//!
//! Planted against it: `numbered-by-node`, versions that begin with the number of the node, as in Milvus.

use std::collections::BTreeMap;

use trefoil_core::id::StreamId;

use super::terms::Terms;
use super::{Court, Invariant};
use crate::channels::party::Place;
use crate::channels::subject::channel_of;
use crate::net::Process;

type Version = (i64, i64);

/// All that clients were told.
#[derive(Debug, Default)]
pub struct Versions {
    streams: BTreeMap<(Process, StreamId), Version>,
    told: BTreeMap<Version, Vec<Place>>,
}

impl Versions {
    /// A client is told where the channels are.
    pub fn told(
        &mut self,
        (client, stream): (Process, StreamId),
        version: Version,
        places: Vec<Place>,
        terms: &Terms,
        court: &mut Court<'_>,
    ) {
        let earlier = self.streams.insert((client, stream), version);
        if earlier.is_some_and(|earlier| earlier >= version) {
            let text = format!("{client:?} is told {version:?} behind {earlier:?}");
            court.broken(Invariant::Versions, text);
        }
        if let Some(known) = self.told.get(&version) {
            if *known != places {
                let text = format!("{version:?} is {known:?} and {places:?}");
                court.broken(Invariant::Versions, text);
            }
            return;
        }
        for (name, term, server_id) in &places {
            let granted =
                channel_of(name).filter(|channel| terms.is_granted(*channel, *term, *server_id));
            if granted.is_none() {
                let text = format!(
                    "{version:?} tells of {name} at {term}, which {server_id} was not given"
                );
                court.broken(Invariant::Versions, text);
            }
        }
        for (other, known) in &self.told {
            let (before, after) = if *other < version {
                (known, &places)
            } else {
                (&places, known)
            };
            if let Some(name) = falls(before, after) {
                let text = format!(
                    "of {other:?} and {version:?} the later has the earlier term of {name}"
                );
                court.broken(Invariant::Versions, text);
            }
        }
        self.told.insert(version, places);
    }
}

/// A channel whose term falls. Both are in the order of names.
fn falls<'a>(before: &'a [Place], after: &[Place]) -> Option<&'a str> {
    let mut after = after.iter().peekable();
    for (name, term, _) in before {
        while after.next_if(|(other, ..)| other < name).is_some() {}
        if after
            .peek()
            .is_some_and(|(other, later, _)| other == name && later < term)
        {
            return Some(name);
        }
    }
    None
}
