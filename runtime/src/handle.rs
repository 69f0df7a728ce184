//! The handle of a running node: cheap to clone, usable from any thread.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use trefoil_core::time::{Duration, Instant};
use trefoil_proto::google::Any;

use crate::calls::Answer;
use crate::clock;
use crate::election::{Commander, Election, OwnedCommand};
use crate::error::CallError;
use crate::published::{Mismatch, Published, View};
use crate::reply::{Applied, Got, apply_request, get_request};

/// What handles ask of a driver.
#[derive(Debug)]
pub(crate) enum Ask {
    Apply {
        request: Bytes,
        request_id: Option<u128>,
        deadline: Instant,
        caller: oneshot::Sender<Answer>,
    },
    Get {
        request: Bytes,
        deadline: Instant,
        caller: oneshot::Sender<Answer>,
    },
    Release {
        id: u64,
    },
    Join {
        host: String,
    },
    Down {
        host: String,
    },
    Leave {
        left: oneshot::Sender<()>,
    },
    Election {
        command: OwnedCommand,
        commander: Commander,
    },
    Stats {
        caller: oneshot::Sender<Stats>,
    },
}

/// What a node counts.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Name and value of each counter and gauge, in a fixed order.
    pub counters: Vec<(&'static str, u64)>,
}

impl Stats {
    /// The value of a counter.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u64> {
        self.counters
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }
}

/// How a call is made.
#[derive(Clone, Copy, Debug)]
pub struct CallOptions {
    /// How long the caller waits, over all attempts.
    pub timeout: Duration,
    /// Makes an Apply exactly once however often it is sent: give the same one when the outcome of an
    /// earlier attempt is unknown. Drawn anew if absent.
    pub request_id: Option<u128>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            request_id: None,
        }
    }
}

/// A running node.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) published: Arc<Published>,
}

impl Handle {
    /// The node's own host string.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.published.host
    }

    /// The membership as this node sees it now. Reads a published value; the node is not asked.
    #[must_use]
    pub fn members(&self) -> Arc<View> {
        Arc::clone(&self.published.view.borrow())
    }

    /// A watch of the membership: the present view, and every later one.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.published.view.subscribe()
    }

    /// Waits until the node has left its cluster, whoever asked it to.
    pub async fn left(&self) {
        let mut left = self.published.left.subscribe();
        // The sender lives as long as this handle.
        let _ = left.wait_for(|left| *left).await;
    }

    /// The node's part in an election; `None` if it has none.
    #[must_use]
    pub fn election(&self) -> Option<Election> {
        let leadership = self.published.leadership.as_ref()?.subscribe();
        let asks = self.asks.clone();
        Some(Election { asks, leadership })
    }

    /// A watch of the last peer this node called and must not speak with.
    #[must_use]
    pub fn mismatch(&self) -> watch::Receiver<Option<Mismatch>> {
        self.published.mismatch.subscribe()
    }

    /// The host that owns an id: the one that claimed it, or the one it is placed on. Does not leave
    /// the calling thread; one look-up in a shared table, and one in the placement. `None` before the
    /// node has joined.
    #[must_use]
    pub fn owner_of(&self, id: u64) -> Option<Arc<str>> {
        self.published.owner_of(id)
    }

    /// Whether some host has claimed an id: its actor is held there. A claim shows some milliseconds
    /// after the call that led to it. Does not leave the calling thread.
    #[must_use]
    pub fn is_claimed(&self, id: u64) -> bool {
        self.published.is_claimed(id)
    }

    /// How many ids each host has claimed, as far as this node knows. Linear in those ids.
    #[must_use]
    pub fn owned(&self) -> Vec<(Arc<str>, u64)> {
        self.published.owned()
    }

    /// Applies messages to an actor, wherever it is.
    ///
    /// # Errors
    /// See [`CallError`]; [`remedy`](CallError::remedy) says whether to try again.
    pub async fn apply(&self, id: u64, messages: &[Any<'_>]) -> Result<Applied, CallError> {
        self.apply_with(id, messages, CallOptions::default()).await
    }

    /// Like [`apply`](Self::apply), with a time and a request id.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn apply_with(
        &self,
        id: u64,
        messages: &[Any<'_>],
        options: CallOptions,
    ) -> Result<Applied, CallError> {
        let request = apply_request(id, messages);
        let deadline = clock::now() + options.timeout;
        let request_id = options.request_id;
        match self
            .call(|caller| Ask::Apply {
                request,
                request_id,
                deadline,
                caller,
            })
            .await
        {
            Ok(bytes) => Applied::new(bytes),
            // An earlier attempt of this very call was applied: its answer is gone, its effect is not.
            // Nor is that made undone by a state that cannot be had.
            Err(error) if error.stable_code() == Some("TF-R07") => {
                let state = self.get_by(id, deadline).await.map_err(|_| error)?;
                Ok(Applied::before(&state))
            }
            Err(error) => Err(error),
        }
    }

    /// The state of an actor, wherever it is.
    ///
    /// # Errors
    /// See [`CallError`]; `TF-R04` if it was never written.
    pub async fn get(&self, id: u64) -> Result<Got, CallError> {
        self.get_by(id, clock::now() + CallOptions::default().timeout)
            .await
    }

    async fn get_by(&self, id: u64, deadline: Instant) -> Result<Got, CallError> {
        let request = get_request(id);
        Got::new(
            self.call(|caller| Ask::Get {
                request,
                deadline,
                caller,
            })
            .await?,
        )
    }

    /// Gives an id up: what is queued is finished, a snapshot is taken, and whoever the id is placed
    /// on takes it at its next call.
    ///
    /// # Errors
    /// The node was stopped.
    pub async fn release(&self, id: u64) -> Result<(), CallError> {
        self.ask(Ask::Release { id }).await
    }

    /// Asks another host for its view, and goes on asking until it answers.
    ///
    /// # Errors
    /// The node was stopped.
    pub async fn join(&self, host: &str) -> Result<(), CallError> {
        self.ask(Ask::Join {
            host: host.to_owned(),
        })
        .await
    }

    /// Declares a host dead: it is dropped at once and the others are told. For orchestrators that
    /// know better than any probe.
    ///
    /// # Errors
    /// The node was stopped.
    pub async fn declare_down(&self, host: &str) -> Result<(), CallError> {
        self.ask(Ask::Down {
            host: host.to_owned(),
        })
        .await
    }

    /// Drains the node and says goodbye: calls in flight are finished, actors are put to rest, the
    /// others are told. Returns when they have been. The node still runs, and owns nothing.
    ///
    /// # Errors
    /// The node was stopped.
    pub async fn leave(&self) -> Result<(), CallError> {
        let (left, done) = oneshot::channel();
        self.ask(Ask::Leave { left }).await?;
        done.await.map_err(|_| CallError::stopped())
    }

    /// What the node counts.
    ///
    /// # Errors
    /// The node was stopped.
    pub async fn stats(&self) -> Result<Stats, CallError> {
        let (caller, heard) = oneshot::channel();
        self.ask(Ask::Stats { caller }).await?;
        heard.await.map_err(|_| CallError::stopped())
    }

    async fn call(&self, ask: impl FnOnce(oneshot::Sender<Answer>) -> Ask) -> Answer {
        let (caller, heard) = oneshot::channel();
        self.ask(ask(caller)).await?;
        heard.await.unwrap_or_else(|_| Err(CallError::stopped()))
    }

    async fn ask(&self, ask: Ask) -> Result<(), CallError> {
        self.asks.send(ask).await.map_err(|_| CallError::stopped())
    }
}
