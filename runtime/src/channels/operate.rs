//! What operators ask about channels, of whichever node leads.

use std::fmt;

use bytes::Bytes;
use trefoil_core::codes;
use trefoil_core::id::MethodId;
use trefoil_core::method::{admin, channels};
use trefoil_core::time::Duration;
use trefoil_proto::admin::StatusReply;
use trefoil_proto::channels::{
    CreateReply, CreateRequest, DrainReply, DrainRequest, ListReply, ListRequest, MoveReply,
    MoveRequest, PlanReply, UndrainReply, UndrainRequest,
};
use trefoil_proto::wire::{Decode, Encode};

use crate::client::Client;
use crate::clock;
use crate::error::{CallError, Remedy};
use crate::handle::CallOptions;
use crate::platform::Platform;
use crate::task;

/// How long is waited before the leader is looked for again.
const AGAIN: Duration = Duration::from_millis(50);

/// A channel as the coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its name.
    pub name: String,
    /// Its term.
    pub term: i64,
    /// `uninitialized`, `assigning`, `assigned` or `unavailable`.
    pub state: String,
    /// Where it is, or is to be.
    pub host: Option<String>,
    /// What it waits for; empty if it is assigned.
    pub waits: String,
    /// What went wrong last; empty if nothing did.
    pub reason: String,
    /// How long it has been so.
    pub age: Duration,
    /// Attempts that failed in a row.
    pub failures: u32,
}

/// A node as the coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Where it is dialled.
    pub host: String,
    /// Its number, new with every start.
    pub server_id: i64,
    /// Its share.
    pub weight: u32,
    /// Whether it is to give up its channels.
    pub is_draining: bool,
    /// Whether it lives.
    pub is_alive: bool,
    /// Channels that it has, or may have still: one on its way to another node counts until it has been let go.
    pub channels: u32,
}

/// All channels and nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// In the order of their names.
    pub channels: Vec<ChannelInfo>,
    /// Nodes that have channels, or may have them.
    pub nodes: Vec<NodeInfo>,
    /// The fencing token of the coordinator.
    pub token: i64,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The channel.
    pub channel: String,
    /// Where it is.
    pub from: Option<String>,
    /// Where it would be.
    pub to: String,
    /// `orphaned`, `drained` or `unbalanced`.
    pub reason: String,
}

/// Asks the coordinator about channels: finds the leader, and goes on where the leadership went.
pub struct ChannelOperator<P> {
    client: Client<P>,
    /// For each question, over all attempts.
    timeout: Duration,
}

impl<P> fmt::Debug for ChannelOperator<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelOperator").finish_non_exhaustive()
    }
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl<P: Platform> ChannelOperator<P> {
    /// Asks by a client whose contacts belong to the cluster; each question may take `timeout`.
    #[must_use]
    pub const fn new(client: Client<P>, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    /// All channels and nodes. Of many channels it asks several times, and they may change in between.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list(&self) -> Result<Listed, CallError> {
        let mut listed = Listed::default();
        loop {
            let after = listed.channels.last();
            let request = ListRequest {
                after: after.map_or("", |channel| &channel.name),
                channels_max: 0,
            };
            let bytes = self.ask(channels::LIST, &request).await?;
            let page = ListReply::parse(&bytes).map_err(undecodable)?;
            let found = page.channels.iter().flatten().map(|channel| ChannelInfo {
                name: channel.name.to_owned(),
                term: channel.term,
                state: channel.state.to_owned(),
                host: filled(channel.host),
                waits: channel.waits.to_owned(),
                reason: channel.reason.to_owned(),
                age: Duration::from_millis(channel.age_ms),
                failures: channel.failures,
            });
            let before = listed.channels.len();
            listed.channels.extend(found);
            listed.token = page.token;
            let nodes = page.nodes.iter().flatten().map(|node| NodeInfo {
                host: node.host.to_owned(),
                server_id: node.server_id,
                weight: node.weight,
                is_draining: node.draining,
                is_alive: node.alive,
                channels: node.channels,
            });
            listed.nodes = nodes.collect();
            if !page.more || listed.channels.len() == before {
                return Ok(listed);
            }
        }
    }

    /// Makes channels; those that are there already are left as they are. Says how many are new.
    ///
    /// # Errors
    /// See [`CallError`]; also if one of them cannot be made, after the others were.
    pub async fn create(&self, names: &[&str]) -> Result<u32, CallError> {
        let bytes = self.ask(channels::CREATE, &CreateRequest { names }).await?;
        let reply = CreateReply::parse(&bytes).map_err(undecodable)?;
        accepted(reply.message.is_empty(), reply.message)?;
        Ok(reply.created)
    }

    /// Puts a channel on a node. It is on its way when this returns.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn relocate(&self, channel: &str, to: &str) -> Result<(), CallError> {
        let bytes = self
            .ask(channels::MOVE, &MoveRequest { channel, to })
            .await?;
        let reply = MoveReply::parse(&bytes).map_err(undecodable)?;
        accepted(reply.accepted, reply.message)
    }

    /// What would be moved now, without moving it; and whether there is more than fits in an answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn plan(&self) -> Result<(Vec<Planned>, bool), CallError> {
        let request = trefoil_proto::channels::PlanRequest::default();
        let bytes = self.ask(channels::PLAN, &request).await?;
        let reply = PlanReply::parse(&bytes).map_err(undecodable)?;
        let steps = reply.steps.iter().flatten().map(|step| Planned {
            channel: step.channel.to_owned(),
            from: filled(step.from),
            to: step.to.to_owned(),
            reason: step.reason.to_owned(),
        });
        Ok((steps.collect(), reply.more))
    }

    /// Has a node give up its channels; those it still has after `within` are opened elsewhere without it. Says how
    /// many it had. Draining goes on when this returns.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn drain(&self, host: &str, within: Option<Duration>) -> Result<u32, CallError> {
        let request = DrainRequest {
            host,
            timeout_ms: within.map_or(0, |within| within.as_millis().max(1) as u64),
        };
        let bytes = self.ask(channels::DRAIN, &request).await?;
        let reply = DrainReply::parse(&bytes).map_err(undecodable)?;
        accepted(reply.accepted, reply.message)?;
        Ok(reply.channels)
    }

    /// Lets a node that was drained have channels again.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn undrain(&self, host: &str) -> Result<(), CallError> {
        let bytes = self
            .ask(channels::UNDRAIN, &UndrainRequest { host })
            .await?;
        let reply = UndrainReply::parse(&bytes).map_err(undecodable)?;
        accepted(reply.accepted, reply.message)
    }

    /// The answer of whoever leads. All questions may be asked twice.
    async fn ask(&self, method: MethodId, request: &impl Encode) -> Result<Bytes, CallError> {
        let mut bytes = vec![0; request.encoded_len()];
        request.encode_to_slice(&mut bytes).map_err(undecodable)?;
        let (bytes, deadline) = (Bytes::from(bytes), clock::now() + self.timeout);
        loop {
            let answer = match self.leader(deadline).await {
                Ok(leader) => {
                    let request = bytes.clone();
                    self.unary(method, Some(&leader), request, deadline).await
                }
                Err(error) => Err(error),
            };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let moved = error.message == codes::NOT_COORDINATOR;
            let is_over = clock::now() + AGAIN >= deadline;
            if is_over || (error.remedy == Remedy::Final && !moved) {
                return Err(error);
            }
            task::sleep::<P>(AGAIN).await;
        }
    }

    async fn leader(&self, deadline: trefoil_core::time::Instant) -> Result<String, CallError> {
        let bytes = self
            .unary(admin::STATUS, None, Bytes::new(), deadline)
            .await?;
        let status = StatusReply::parse(&bytes).map_err(undecodable)?;
        let leader = status.election.as_ref().map(|election| election.leader);
        match leader.map(trefoil_core::election::config::dialled) {
            Some(leader) if !leader.is_empty() => Ok(leader.to_owned()),
            _ => Err(CallError {
                code: trefoil_core::status::Code::Unavailable,
                message: codes::NOT_COORDINATOR.to_owned(),
                remedy: Remedy::Retry,
            }),
        }
    }

    async fn unary(
        &self,
        method: MethodId,
        host: Option<&str>,
        request: Bytes,
        deadline: trefoil_core::time::Instant,
    ) -> Result<Bytes, CallError> {
        let options = CallOptions {
            timeout: deadline.since(clock::now()),
            ..CallOptions::default()
        };
        self.client.unary(method, host, request, options).await
    }
}

fn undecodable<E>(_: E) -> CallError {
    CallError {
        code: trefoil_core::status::Code::Internal,
        message: codes::MALFORMED.to_owned(),
        remedy: Remedy::Final,
    }
}

/// A refusal in an answer as an error.
fn accepted(accepted: bool, message: &str) -> Result<(), CallError> {
    if accepted {
        return Ok(());
    }
    Err(CallError {
        code: trefoil_core::status::Code::FailedPrecondition,
        message: message.to_owned(),
        remedy: Remedy::Final,
    })
}
