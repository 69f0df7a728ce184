//! The trait by which users write actors, and the stage that performs what the machine asks for.
//!
//! A runtime holds one [`Stage`] for each shard (or each worker), hands every
//! [`Run`](super::actors::ActorsEvent::Run) to it and its [`Outcome`] back. User code may panic: the
//! runtime catches that, calls [`Stage::poison`] and answers [`Outcome::Failed`].

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasherDefault;

use hashbrown::HashMap;
use trefoil_proto::control_plane::{ApplyRequest, GetReply, MutationResult};
use trefoil_proto::google::Any;
use trefoil_proto::wire::{Decode, Encode};

use crate::hash::IdHasher;
pub use crate::ring::job::{Job, Outcome, Ran};

/// One stateful thing with an id: a cart, a game, a device.
///
/// **`apply` must be deterministic**: the same messages in the same order from the same snapshot
/// must give the same state and the same verdicts, on every node and in every version of the program
/// that reads the same journal, because an actor is brought back by replaying what it accepted. It
/// reads no clock and draws no random number; what varies comes in messages.
pub trait Actor {
    /// Applies one message, or refuses it. A refused message must leave the actor as it was: it is
    /// not recorded, and the messages behind it are applied all the same.
    ///
    /// # Errors
    /// Why the message is refused; the text goes to the caller.
    fn apply(&mut self, message: Any<'_>, reply: &mut Reply<'_>) -> Result<(), Rejected>;

    /// Appends all that [`ActorKind::load`] needs to make this actor again.
    fn snapshot(&self, out: &mut Vec<u8>);

    /// The type of what [`state`](Self::state) writes, such as `type.googleapis.com/shop.Cart`.
    fn type_url(&self) -> &str;

    /// Appends what callers see of the actor. The snapshot, unless said otherwise.
    fn state(&self, out: &mut Vec<u8>) {
        self.snapshot(out);
    }
}

/// Makes actors of one kind.
pub trait ActorKind {
    /// The actors it makes.
    type Actor: Actor;

    /// The actor of `id` as its last snapshot says, or a new one.
    ///
    /// # Errors
    /// [`Failed`] if the snapshot cannot be read. Every call of the actor then gets `TF-R08`.
    fn load(&self, id: u64, snapshot: Option<&[u8]>) -> Result<Self::Actor, Failed>;
}

/// The actor could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the actor's snapshot cannot be read")
    }
}

impl core::error::Error for Failed {}

/// Why an actor refused a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected(pub Cow<'static, str>);

impl From<&'static str> for Rejected {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Rejected {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// What an actor may say about a message it applied. If it says nothing its caller gets the message
/// back, which is what peers of other makes do.
#[derive(Debug)]
pub struct Reply<'o> {
    type_url: &'o mut String,
    value: &'o mut Vec<u8>,
    said: bool,
}

impl Reply<'_> {
    /// Says something else. The last word counts.
    pub fn say(&mut self, type_url: &str, value: &[u8]) {
        self.type_url.clear();
        self.type_url.push_str(type_url);
        self.value.clear();
        self.value.extend_from_slice(value);
        self.said = true;
    }
}

/// Buffers of outcomes, to be reused from job to job: nothing is allocated once they have grown to
/// the largest outcome.
#[derive(Debug, Default)]
pub struct Output {
    record: Vec<u8>,
    reply: Vec<u8>,
    results: Vec<u8>,
    state: Vec<u8>,
    said_url: String,
    said: Vec<u8>,
}

/// The actors of one shard, by id.
pub struct Stage<K: ActorKind> {
    kind: K,
    /// Keys are masked by the seed, so that outsiders, who choose ids, cannot choose collisions.
    actors: HashMap<u64, K::Actor, BuildHasherDefault<IdHasher>>,
    seed: u64,
}

impl<K: ActorKind> fmt::Debug for Stage<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("actors", &self.actors.len())
            .finish_non_exhaustive()
    }
}

impl<K: ActorKind> Stage<K> {
    /// An empty stage. `seed` masks the ids.
    #[must_use]
    pub fn new(kind: K, seed: u64) -> Self {
        Self {
            kind,
            actors: HashMap::default(),
            seed,
        }
    }

    /// Actors held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.actors.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Forgets an actor whose code panicked: what is left of it may be half changed.
    pub fn poison(&mut self, id: u64) {
        self.actors.remove(&(id ^ self.seed));
    }

    /// Does one job. After [`Outcome::Failed`] the actor is forgotten. Linear in what the job reads
    /// and writes, besides the user's code.
    pub fn perform<'o>(&mut self, id: u64, job: Job<'_>, out: &'o mut Output) -> Outcome<'o> {
        let outcome = self.try_perform(id, job, out);
        if outcome.is_none() {
            self.poison(id);
        }
        match (outcome, job) {
            (None, _) => Outcome::Failed,
            (Some(()), Job::Load { .. } | Job::Replay { .. }) => Outcome::Loaded,
            (Some(()), Job::Apply { .. }) => Outcome::Applied {
                record: &out.record,
                reply: &out.reply,
            },
            (Some(()), Job::Get) => Outcome::Got { reply: &out.reply },
            (Some(()), Job::Snapshot) => Outcome::Snapshot { bytes: &out.state },
            (Some(()), Job::Drop) => Outcome::Dropped,
        }
    }

    fn try_perform(&mut self, id: u64, job: Job<'_>, out: &mut Output) -> Option<()> {
        let key = id ^ self.seed;
        match job {
            Job::Load { snapshot } => {
                let actor = self.kind.load(id, snapshot).ok()?;
                self.actors.insert(key, actor);
            }
            Job::Replay { request } => replay(self.actors.get_mut(&key)?, request, out)?,
            Job::Apply { request } => apply(self.actors.get_mut(&key)?, request, out)?,
            Job::Get => show(self.actors.get(&key)?, out)?,
            Job::Snapshot => {
                out.state.clear();
                self.actors.get(&key)?.snapshot(&mut out.state);
            }
            Job::Drop => drop(self.actors.remove(&key)),
        }
        Some(())
    }
}

/// What a type URL names: the part behind the last slash.
fn name_of(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or(type_url)
}

/// Tags of `ApplyRequest.id`, `ApplyRequest.messages`, `ApplyResult.state`, `ApplyResult.mutations`.
const ID: u8 = 1 << 3;
const MESSAGES: u8 = 2 << 3 | 2;
const STATE: u8 = 1 << 3 | 2;
const MUTATIONS: u8 = 2 << 3 | 2;

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field that holds a message. `None` if it exceeds what the wire can carry.
fn put(out: &mut Vec<u8>, tag: u8, message: &impl Encode) -> Option<()> {
    let len = message.encoded_len();
    out.push(tag);
    put_varint(out, len as u64);
    let at = out.len();
    out.resize(at.checked_add(len)?, 0);
    message.encode_to_slice(&mut out[at..]).ok()?;
    Some(())
}

fn apply<A: Actor>(actor: &mut A, request: &[u8], out: &mut Output) -> Option<()> {
    let mut view = ApplyRequest::default();
    view.decode(request).ok()?;
    out.record.clear();
    out.results.clear();
    if view.id != 0 {
        out.record.push(ID);
        put_varint(&mut out.record, view.id);
    }
    let mut accepted = false;
    for message in &view.messages {
        let message: Any<'_> = message.ok()?;
        let mut reply = Reply {
            type_url: &mut out.said_url,
            value: &mut out.said,
            said: false,
        };
        let verdict = actor.apply(message, &mut reply);
        let said = reply.said && verdict.is_ok();
        let shown = if said {
            Any {
                type_url: &out.said_url,
                value: &out.said,
            }
        } else {
            message
        };
        let error = verdict.as_ref().err().map(|rejected| &*rejected.0);
        let result = MutationResult {
            r#type: name_of(message.type_url),
            message: Some(shown),
            error,
        };
        put(&mut out.results, MUTATIONS, &result)?;
        if error.is_none() {
            accepted = true;
            put(&mut out.record, MESSAGES, &message)?;
        }
    }
    if !accepted {
        out.record.clear();
    }
    out.state.clear();
    actor.state(&mut out.state);
    out.reply.clear();
    put(
        &mut out.reply,
        STATE,
        &Any {
            type_url: actor.type_url(),
            value: &out.state,
        },
    )?;
    out.reply.extend_from_slice(&out.results);
    Some(())
}

/// A message that was accepted once must be accepted again: anything else is an actor that is not
/// deterministic, whose memory is worth nothing.
fn replay<A: Actor>(actor: &mut A, request: &[u8], out: &mut Output) -> Option<()> {
    let mut view = ApplyRequest::default();
    view.decode(request).ok()?;
    for message in &view.messages {
        let mut reply = Reply {
            type_url: &mut out.said_url,
            value: &mut out.said,
            said: false,
        };
        actor.apply(message.ok()?, &mut reply).ok()?;
    }
    Some(())
}

fn show<A: Actor>(actor: &A, out: &mut Output) -> Option<()> {
    out.state.clear();
    actor.state(&mut out.state);
    let reply = GetReply {
        grain: Some(Any {
            type_url: actor.type_url(),
            value: &out.state,
        }),
    };
    out.reply.clear();
    out.reply.resize(reply.encoded_len(), 0);
    reply.encode_to_slice(&mut out.reply).ok()?;
    Some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec;
    use trefoil_proto::control_plane::ApplyResult;

    /// Adds up the first bytes of its messages; refuses those that begin with 0xff, and fails to
    /// load what is no sum.
    #[derive(Debug)]
    pub(crate) struct Sum(pub(crate) u64);

    #[derive(Debug, Default)]
    pub(crate) struct Sums;

    pub(crate) const ADD: &str = "type.googleapis.com/test.Add";

    impl Actor for Sum {
        fn apply(&mut self, message: Any<'_>, reply: &mut Reply<'_>) -> Result<(), Rejected> {
            match message.value.first() {
                Some(0xff) => Err("too much".into()),
                Some(n) => {
                    self.0 += u64::from(*n);
                    if *n == 7 {
                        reply.say("x/test.Seven", &[self.0 as u8]);
                    }
                    Ok(())
                }
                None => Ok(()),
            }
        }

        fn snapshot(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0.to_le_bytes());
        }

        fn type_url(&self) -> &str {
            "type.googleapis.com/test.Sum"
        }
    }

    impl ActorKind for Sums {
        type Actor = Sum;
        fn load(&self, _: u64, snapshot: Option<&[u8]>) -> Result<Sum, Failed> {
            match snapshot {
                None => Ok(Sum(0)),
                Some(bytes) => bytes
                    .try_into()
                    .map(|bytes| Sum(u64::from_le_bytes(bytes)))
                    .map_err(|_| Failed),
            }
        }
    }

    /// An encoded `ApplyRequest` that adds `values`.
    pub(crate) fn adds(id: u64, values: &[u8]) -> Vec<u8> {
        let messages: Vec<Any<'_>> = values
            .iter()
            .map(|value| Any {
                type_url: ADD,
                value: core::slice::from_ref(value),
            })
            .collect();
        let request = ApplyRequest {
            id,
            messages: messages.as_slice(),
        };
        let mut bytes = vec![0; request.encoded_len()];
        request.encode_to_slice(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn an_actor_batch_is_not_all_or_nothing_and_the_record_holds_what_was_accepted() {
        let (mut stage, mut out) = (Stage::new(Sums, 9), Output::default());
        assert_eq!(
            stage.perform(1, Job::Load { snapshot: None }, &mut out),
            Outcome::Loaded
        );
        let Outcome::Applied { record, reply } = stage.perform(
            1,
            Job::Apply {
                request: &adds(1, &[1, 0xff, 7]),
            },
            &mut out,
        ) else {
            panic!()
        };
        assert_eq!(record, adds(1, &[1, 7]));
        let result = ApplyResult::parse(reply).unwrap();
        assert_eq!(result.state.unwrap().value, 8_u64.to_le_bytes());
        let results: Vec<_> = result.mutations.iter().map(Result::unwrap).collect();
        assert_eq!(results.len(), 3);
        assert_eq!((results[0].r#type, results[0].error), ("test.Add", None));
        assert_eq!(
            results[0].message,
            Some(Any {
                type_url: ADD,
                value: &[1]
            })
        );
        assert_eq!(results[1].error, Some("too much"));
        assert_eq!(
            results[2].message,
            Some(Any {
                type_url: "x/test.Seven",
                value: &[8]
            })
        );
    }

    #[test]
    fn an_actor_that_accepts_nothing_writes_no_record() {
        let (mut stage, mut out) = (Stage::new(Sums, 9), Output::default());
        stage.perform(1, Job::Load { snapshot: None }, &mut out);
        let outcome = stage.perform(
            1,
            Job::Apply {
                request: &adds(1, &[0xff]),
            },
            &mut out,
        );
        assert!(matches!(outcome, Outcome::Applied { record: [], reply } if !reply.is_empty()));
    }

    #[test]
    fn an_actor_replayed_from_snapshot_and_records_is_the_same() {
        let (mut stage, mut out) = (Stage::new(Sums, 9), Output::default());
        stage.perform(
            1,
            Job::Load {
                snapshot: Some(&40_u64.to_le_bytes()),
            },
            &mut out,
        );
        assert_eq!(
            stage.perform(
                1,
                Job::Replay {
                    request: &adds(1, &[1, 1])
                },
                &mut out
            ),
            Outcome::Loaded
        );
        let Outcome::Snapshot { bytes } = stage.perform(1, Job::Snapshot, &mut out) else {
            panic!()
        };
        assert_eq!(bytes, 42_u64.to_le_bytes());
        let Outcome::Got { reply } = stage.perform(1, Job::Get, &mut out) else {
            panic!()
        };
        assert_eq!(
            GetReply::parse(reply).unwrap().grain.unwrap().value,
            42_u64.to_le_bytes()
        );
    }

    #[test]
    fn an_actor_that_fails_is_forgotten() {
        let (mut stage, mut out) = (Stage::new(Sums, 9), Output::default());
        let refused = adds(1, &[0xff]);
        let fails = |stage: &mut Stage<Sums>, out: &mut Output, job| {
            assert_eq!(stage.perform(1, job, out), Outcome::Failed);
            assert!(stage.is_empty());
        };
        fails(&mut stage, &mut out, Job::Get);
        fails(
            &mut stage,
            &mut out,
            Job::Load {
                snapshot: Some(&[1]),
            },
        );
        stage.perform(1, Job::Load { snapshot: None }, &mut out);
        fails(&mut stage, &mut out, Job::Replay { request: &refused });
        stage.perform(1, Job::Load { snapshot: None }, &mut out);
        fails(&mut stage, &mut out, Job::Apply { request: &[0xff] });
        stage.perform(1, Job::Load { snapshot: None }, &mut out);
        stage.poison(1);
        assert!(stage.is_empty());
        assert_eq!(stage.perform(1, Job::Drop, &mut out), Outcome::Dropped);
    }
}
