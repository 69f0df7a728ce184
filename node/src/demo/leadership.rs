//! Who leads while a leader is cut off.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_lite::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use trefoil_core::election::token::Token;
use trefoil_core::time::Instant;
use trefoil_runtime::{Election, Handle, Leadership, Platform, clock, task};

/// How one leadership was followed by another.
#[derive(Clone, Debug, Serialize)]
pub struct Succession {
    /// The leader that was cut off.
    pub from: String,
    /// Who led next; nobody, if it did not happen in time.
    pub to: Option<String>,
    /// Seconds from the cut to the end of the cut node's lease.
    pub ended_s: f64,
    /// Seconds from the cut until another led.
    pub began_s: Option<f64>,
}

impl Succession {
    /// Whether one led after the other, and not both at once.
    pub fn is_one_after_the_other(&self) -> bool {
        self.began_s.is_some_and(|began| began >= self.ended_s)
    }
}

fn of(node: &Handle) -> Result<Election> {
    node.election().context("a node without an election")
}

/// Makes a node the leader.
///
/// # Errors
/// It does not lead in time.
pub async fn make_leader<P: Platform>(nodes: &[Handle], to: usize) -> Result<()> {
    let wanted = of(&nodes[to])?;
    let elections = nodes.iter().map(of).collect::<Result<Vec<_>>>()?;
    let trying = async {
        while !wanted.is_leader() {
            for election in elections.iter().filter(|election| election.is_leader()) {
                // One that does not lead by now is not the one to ask.
                let _ = election.hand_over(nodes[to].host()).await;
            }
            task::sleep::<P>(Duration::from_millis(10)).await;
        }
    };
    let led = task::timeout::<P, _>(Duration::from_secs(10), trying).await;
    led.context("the leadership could not be given to the node that is to be cut off")
}

/// Looks on while the leader `cut` is cut off: begins at once, and ends when another leads.
pub async fn succession<P: Platform>(
    cut: Handle,
    others: Vec<Handle>,
    cut_at: Instant,
    patience: Duration,
) -> Result<Succession> {
    let old = of(&cut)?;
    let token = old.leadership().token().unwrap_or(Token::NONE);
    let mut leading = FuturesUnordered::new();
    for other in others {
        let election = of(&other)?;
        leading.push(async move {
            let led = |known: &Leadership| matches!(known, Leadership::Leading { token: new, .. } if *new > token);
            // A node that was stopped leads nobody.
            let found = election.watch().wait_for(led).await.is_ok();
            found.then(|| (other.host().to_owned(), seconds(cut_at, clock::now())))
        });
    }
    let next = async {
        while let Some(found) = leading.next().await {
            if found.is_some() {
                return found;
            }
        }
        None
    };
    let (next, ended) = tokio::join!(
        task::timeout::<P, _>(patience, next),
        lease_end::<P>(&old, token, cut_at)
    );
    let (to, began_s) = next.flatten().unzip();
    Ok(Succession {
        from: cut.host().to_owned(),
        to,
        ended_s: ended,
        began_s,
    })
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.since(from).as_secs_f64()
}

/// Seconds from the cut until a leader's lease has ended, by what it was told last: by the clock that leases are
/// counted by, so that a look-out that is kept waiting changes nothing.
async fn lease_end<P: Platform>(leader: &Election, of: Token, cut_at: Instant) -> f64 {
    let mut end = None;
    while let Leadership::Leading { token, until } = leader.leadership() {
        if token != of || clock::now() >= until {
            break;
        }
        end = Some(until);
        task::sleep::<P>(Duration::from_millis(1)).await;
    }
    // One that stopped before its lease ended has led until now at most.
    let now = clock::now();
    seconds(cut_at, end.map_or(now, |end| end.min(now)))
}
