//! How a leadership begins and ends: the catalog is fenced, then read, then served; and whoever is overtaken acts on
//! nothing more. Reading is not fenced, so the fence is looked at once more behind it: a leader that was overtaken
//! meanwhile would take a later one's decisions for its own, and tell of them under a version that is below theirs.
//! The same is done when one channel is read again and what is found is not this leader's for certain.

use alloc::vec::Vec;

use super::ledger::Ledger;
use super::meta::{self, Meta};
use super::{
    Coordinator, CoordinatorEvent, CoordinatorRefused, DUE_LEAD, FULL_WAIT, Kind, Lent, Standing,
};
use crate::codes;
use crate::storage::{Done, Op, Values};
use crate::time::Instant;

/// Name of the value by which the catalog's fence is raised.
pub(super) const FENCE_KEY: &[u8] = b"trefoil/coordinator";

/// First byte of that value; the token follows, eight bytes, the highest first.
const FENCE_VERSION: u8 = 1;

/// What is kept of the beginning of a leadership.
#[derive(Clone, Debug, Default)]
pub(super) struct Leading {
    /// The operation under way.
    attempt: u32,
    /// The value of the fence was read, at this revision.
    read_at: Option<u64>,
    /// Keys up to this one have been read.
    after: Vec<u8>,
    failures: u32,
}

/// The token that a value of the fence tells of.
pub(super) fn fence_token(value: &[u8]) -> Option<u64> {
    let (version, token) = value.split_first()?;
    let token = token
        .try_into()
        .ok()
        .filter(|_| *version == FENCE_VERSION)?;
    Some(u64::from_be_bytes(token))
}

fn fence_value(token: u64) -> [u8; 9] {
    let mut value = [FENCE_VERSION; 9];
    value[1..].copy_from_slice(&token.to_be_bytes());
    value
}

impl Coordinator {
    /// This node leads under a token.
    pub(super) fn lead(
        &mut self,
        token: u64,
        lent: &mut Lent<'_>,
    ) -> Result<(), CoordinatorRefused> {
        // Clients are told the token as a signed number.
        if token <= self.token || i64::try_from(token).is_err() {
            return Err(CoordinatorRefused::Token);
        }
        self.forget_leadership(lent);
        self.token = token;
        self.leader = None;
        self.led_since = lent.now;
        self.standing = Standing::Fencing;
        self.begin_probing(lent.now);
        self.go_on_leading(lent);
        Ok(())
    }

    /// This node leads no more.
    pub(super) fn step_down(&mut self, lent: &mut Lent<'_>) {
        if self.standing != Standing::StandBy {
            self.forget_leadership(lent);
            self.dismiss_watchers(lent);
        }
    }

    /// What was begun under this leadership is not gone on with. What is still heard of it is not meant any more.
    fn forget_leadership(&mut self, lent: &mut Lent<'_>) {
        self.nodes.forget_turns();
        for at in 0..self.channels.len() {
            self.interrupt(at, lent);
            self.timers.cancel(super::DUE_CHANNELS + at);
        }
        for due in [
            DUE_LEAD,
            super::DUE_PLACE,
            super::DUE_PUSH,
            super::DUE_CATALOG,
        ] {
            self.timers.cancel(due);
        }
        self.end_probing(lent);
        self.channels = super::Channels::default();
        self.catalog_queue.clear();
        self.catalog_busy = 0;
        self.leading = Leading::default();
        self.placing = super::Placing::default();
        self.watchers.unpublish();
        self.standing = Standing::StandBy;
    }

    /// It cannot coordinate any more.
    pub(super) fn lose_leadership(&mut self, why: &'static str, lent: &mut Lent<'_>) {
        self.step_down(lent);
        lent.up.event(CoordinatorEvent::Lost { why });
    }

    /// Asks the catalog for what comes next.
    pub(super) fn go_on_leading(&mut self, lent: &mut Lent<'_>) {
        let tag = self.tag(Kind::Lead, 0);
        self.leading.attempt = self.attempts;
        let value = fence_value(self.token);
        let op = match (self.standing, self.leading.read_at) {
            (Standing::StandBy | Standing::Serving, _) => return,
            (Standing::Fencing, None) | (Standing::Checking, _) => Op::Load { key: FENCE_KEY },
            (Standing::Fencing, Some(revision)) => Op::Cas {
                key: FENCE_KEY,
                fence: self.token,
                revision,
                value: &value,
            },
            (Standing::Reading, _) => Op::Scan {
                prefix: self.prefix.as_bytes(),
                after: &self.leading.after,
                bytes_max: self.config.page_bytes,
            },
        };
        if lent.io.submit(op, tag).is_err() {
            self.timers.set(DUE_LEAD, lent.now + FULL_WAIT);
        }
    }

    /// The catalog has answered.
    pub(super) fn hear_catalog(&mut self, attempt: u32, done: Done<'_>, lent: &mut Lent<'_>) {
        let is_meant = attempt == self.leading.attempt;
        if !is_meant || matches!(self.standing, Standing::StandBy | Standing::Serving) {
            return;
        }
        match done {
            Done::Value { revision, value } => self.fence_read(revision, value, lent),
            Done::Durable { .. } => self.begin_reading(lent),
            Done::Values(values) => self.page(values, lent),
            Done::Conflict { .. } => {
                self.leading.read_at = None;
                self.go_on_leading(lent);
            }
            Done::Fenced { .. } => self.lose_leadership(codes::CATALOG_FENCED, lent),
            Done::Unknown | Done::Records(_) | Done::Tail { .. } => {
                self.leading.read_at = None;
                self.leading.failures += 1;
                let wait = self
                    .config
                    .backoff
                    .after(self.leading.failures, &mut self.rng);
                self.timers.set(DUE_LEAD, lent.now + wait);
            }
        }
    }

    /// The value of the fence is known. One that tells of this very token was raised after all, though that was not
    /// heard; one of a later token ends this leadership.
    fn fence_read(&mut self, revision: u64, value: &[u8], lent: &mut Lent<'_>) {
        let checks = self.standing == Standing::Checking;
        match fence_token(value) {
            Some(token) if token == self.token && checks => self.begin_serving(lent),
            Some(token) if token == self.token => self.begin_reading(lent),
            Some(token) if token > self.token => {
                self.lose_leadership(codes::CATALOG_FENCED, lent);
            }
            _ if checks => self.lose_leadership(codes::CATALOG_FENCED, lent),
            _ => {
                self.leading.read_at = Some(revision);
                self.go_on_leading(lent);
            }
        }
    }

    fn begin_reading(&mut self, lent: &mut Lent<'_>) {
        self.leading.failures = 0;
        self.leading.after.clear();
        self.standing = Standing::Reading;
        self.go_on_leading(lent);
    }

    fn page(&mut self, values: Values<'_>, lent: &mut Lent<'_>) {
        if self.standing != Standing::Reading {
            return;
        }
        self.leading.failures = 0;
        if values.is_empty() {
            self.standing = Standing::Checking;
            return self.go_on_leading(lent);
        }
        for named in values.iter() {
            self.leading.after.clear();
            self.leading.after.extend_from_slice(named.key);
            let name = named.key.strip_prefix(self.prefix.as_bytes());
            let name = name.and_then(|name| core::str::from_utf8(name).ok());
            let name = name.filter(|name| meta::is_name(name));
            let read = name.map(|name| (name, Meta::parse(name, named.value)));
            let Some((name, Ok(meta))) = read else {
                lent.up.event(CoordinatorEvent::Damaged { key: named.key });
                continue;
            };
            if self.channels.len() >= self.config.channels_max {
                return self.lose_leadership(codes::CATALOG_TOO_LARGE, lent);
            }
            self.add_channel(lent.now, name, Ledger::of(meta, named.revision));
        }
        self.go_on_leading(lent);
    }

    /// All is read: what was begun is continued, what is orphaned is placed once the nodes are there.
    fn begin_serving(&mut self, lent: &mut Lent<'_>) {
        self.standing = Standing::Serving;
        self.counters.leaderships += 1;
        for at in 0..self.channels.len() {
            self.channels.take_up(lent.now, at);
        }
        self.publish(lent);
        lent.up.event(CoordinatorEvent::Serving {
            token: self.token,
            channels: self.channels.len(),
        });
        for at in 0..self.channels.len() {
            self.step(at, lent);
        }
        self.place_soon(lent.now);
    }

    /// Until when nodes that were never heard of may still turn up.
    pub(super) fn nodes_by(&self) -> Instant {
        self.led_since + self.config.first_wait
    }
}
