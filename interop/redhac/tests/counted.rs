//! Redhac's votes are counted: that there is a leader, of ours or of redhac's, whatever happens to one node.
//! Two may lead for a moment; what is asserted is that it ends, and what is measured is how soon.

mod common;

use std::time::Duration;

use common::*;
use trefoil_interop_redhac::cluster::{Cluster, Failed, Kind, Settings};
use trefoil_interop_redhac::probe::overlap;
use trefoil_runtime::clock;

const ALL: [usize; 3] = [0, 1, 2];
const ONE_OF_OURS: [Kind; 3] = [Ours, Redhac, Redhac];
const TWO_OF_OURS: [Kind; 3] = [Ours, Ours, Redhac];

/// Redhac's nodes wait 2.5 to 7.5 s before they dial again a node that was not there, and 2 s for votes.
const REDIALS: Duration = secs(15);

async fn begun(kinds: &[Kind], order: &[usize], pause: Duration) -> Result<Cluster, Failed> {
    started(kinds, Settings::new(COUNTED), order, pause).await
}

fn others(node: usize) -> Vec<usize> {
    ALL.into_iter().filter(|other| *other != node).collect()
}

/// Measures: from the last start to a leader that all name, for both orders and mixes.
#[test]
fn a_leader_is_found_in_each_order_of_starts() {
    run(async {
        for (mix, kinds) in [("1 of 3 ours", ONE_OF_OURS), ("2 of 3 ours", TWO_OF_OURS)] {
            for order in [[0, 1, 2], [2, 1, 0]] {
                for pause in [Duration::ZERO, secs(1)] {
                    let cluster = begun(&kinds, &order, pause).await?;
                    let (took, leader) = cluster.agree(&ALL, REDIALS, |_| true).await?;
                    let who = if kinds[leader] == Ours {
                        "ours"
                    } else {
                        "redhac's"
                    };
                    let order = if order[0] == 0 {
                        "ours first"
                    } else {
                        "redhac's first"
                    };
                    measured(
                        &format!("{mix}, {order}, pause {pause:?}: {who} leads"),
                        took,
                    );
                }
            }
        }
        Ok(())
    });
}

/// Kills whoever leads, twice on each side if it comes to that. Measures: from the kill to a leader that both
/// survivors name, and how long two said that they lead.
async fn leaders_are_killed(kinds: [Kind; 3], rounds: usize) -> Result<(), Failed> {
    let mut cluster = begun(&kinds, &ALL, Duration::ZERO).await?;
    cluster.agree(&ALL, REDIALS, |_| true).await?;
    for _ in 0..rounds {
        cluster.meshed().await?;
        let (_, leader) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        let begin = clock::now();
        cluster.kill(leader)?;
        let two = others(leader);
        let (took, next) = cluster.agree(&two, secs(10), |next| next != leader).await?;
        measured(
            &format!("{:?} leader killed, {:?} leads", kinds[leader], kinds[next]),
            took,
        );
        cluster.start(leader)?;
        let (took, _) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        measured("it returns, all agree", took);
        measured(
            "two at once said that they lead",
            overlap(&cluster.probe.since(begin)),
        );
    }
    Ok(())
}

#[test]
fn leaders_are_killed_where_one_of_three_is_ours() {
    run(leaders_are_killed(ONE_OF_OURS, 4));
}

#[test]
fn leaders_are_killed_where_two_of_three_are_ours() {
    run(leaders_are_killed(TWO_OF_OURS, 4));
}

/// Redhac's nodes have a leader before ours comes. Measures: how long it takes ours to follow; that it stays
/// so for ten seconds; and from a graceful stop of that leader to the next.
#[test]
fn a_leader_of_redhac_is_followed_and_hands_over() {
    run(async {
        let mut cluster = begun(&ONE_OF_OURS, &[1, 2], Duration::ZERO).await?;
        let (_, leader) = cluster.agree(&[1, 2], REDIALS, |_| true).await?;
        cluster.start(0)?;
        let (took, same) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        measured("a leader of redhac's is there, ours follows", took);
        assert_eq!(same, leader);
        let begin = clock::now();
        sleep(secs(10)).await;
        let led: std::collections::BTreeSet<usize> = cluster
            .probe
            .since(begin)
            .iter()
            .filter(|seen| seen.leads)
            .map(|seen| seen.node)
            .collect();
        assert_eq!(Vec::from_iter(led), [leader], "{}", cluster.logs());
        cluster.meshed().await?;
        cluster.terminate(leader)?;
        let two = others(leader);
        let (took, _) = cluster.agree(&two, secs(10), |next| next != leader).await?;
        measured("redhac's leader stops in good order, the next leads", took);
        sleep(secs(3)).await;
        cluster.agree(&two, secs(10), |next| next != leader).await?;
        cluster.kill(leader)?;
        cluster.start(leader)?;
        let (took, _) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        measured("it returns, all agree", took);
        Ok(())
    });
}

/// The leader's process stands still for five seconds. Measures: from then to another leader that both
/// others name, and from its going on to one leader that all name. Redhac alone takes 50 s for the first.
#[test]
fn a_leader_that_stalls_is_replaced_and_returns_as_a_follower_or_leader_of_all() {
    run(async {
        for kinds in [ONE_OF_OURS, TWO_OF_OURS] {
            let cluster = begun(&kinds, &ALL, Duration::ZERO).await?;
            cluster.agree(&ALL, REDIALS, |_| true).await?;
            // Twice: redhac's may lead at first, and ours after it.
            for _ in 0..2 {
                cluster.meshed().await?;
                let (_, leader) = cluster.agree(&ALL, REDIALS, |_| true).await?;
                let begin = clock::now();
                cluster.freeze(leader, true)?;
                let stalled = std::time::Instant::now();
                let ours: Vec<usize> = others(leader)
                    .into_iter()
                    .filter(|node| kinds[*node] == Ours)
                    .collect();
                if !ours.is_empty() {
                    let two = others(leader);
                    let (took, _) = cluster.agree(&two, secs(5), |next| next != leader).await?;
                    measured(
                        &format!("{:?} leader stalls, another leads", kinds[leader]),
                        took,
                    );
                }
                sleep(secs(5).saturating_sub(stalled.elapsed())).await;
                cluster.freeze(leader, false)?;
                let (took, _) = cluster.agree(&ALL, REDIALS, |_| true).await?;
                measured("it goes on, all agree", took);
                sleep(secs(3)).await;
                cluster.agree(&ALL, REDIALS, |_| true).await?;
                measured(
                    "two at once said that they lead",
                    overlap(&cluster.probe.since(begin)),
                );
            }
        }
        Ok(())
    });
}
