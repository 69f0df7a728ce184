//! Two nodes of ours and one of redhac's, whose votes are ignored. What must hold: only ours lead, one at a
//! time, and redhac's node follows.

mod common;

use std::time::Duration;

use common::*;
use trefoil_interop_redhac::cluster::{Cluster, Failed, Settings};
use trefoil_runtime::clock;

const ALL: [usize; 3] = [0, 1, 2];
const R: usize = 2;

/// Redhac's node waits 2.5 to 7.5 s before it dials again a node that was not there.
const REDIALS: Duration = secs(12);

async fn begun(order: &[usize], pause: Duration) -> Result<Cluster, Failed> {
    let kinds = [Ours, Ours, Redhac];
    started(&kinds, Settings::new(IGNORED), order, pause).await
}

/// Since a time redhac's node never said that it leads, and ours never said so of one another at once.
fn only_ours_lead(cluster: &Cluster, begin: trefoil_core::time::Instant) {
    let all = cluster.probe.since(begin);
    let wrong = all.iter().find(|seen| seen.node == R && seen.leads);
    assert_eq!(wrong, None, "{}", cluster.logs());
    assert!(all.iter().any(|seen| seen.node == R));
}

/// Measures: from the start of all to a leader that all name.
#[test]
fn ours_first_and_redhac_follows() {
    run(async {
        let begin = clock::now();
        let cluster = begun(&[0, 1, 2], Duration::ZERO).await?;
        let (ours, _) = cluster
            .agree(&[0, 1], secs(5), |leader| leader != R)
            .await?;
        let (all, _) = cluster.agree(&ALL, REDIALS, |leader| leader != R).await?;
        measured("start, ours agree", ours);
        measured("start, redhac's follows as well", ours + all);
        only_ours_lead(&cluster, begin);
        Ok(())
    });
}

/// Measures: from the start of ours, after redhac's node stood alone, to a leader that all name.
#[test]
fn redhac_first_and_it_follows() {
    run(async {
        let begin = clock::now();
        let mut cluster = begun(&[R], secs(3)).await?;
        cluster.start(0)?;
        cluster.start(1)?;
        let (took, _) = cluster.agree(&ALL, REDIALS, |leader| leader != R).await?;
        measured("start after redhac's, all agree", took);
        only_ours_lead(&cluster, begin);
        Ok(())
    });
}

/// Measures: that killing redhac's node changes no leader, and how long it takes to follow again.
#[test]
fn redhac_is_killed_and_returns_and_nothing_changes() {
    run(async {
        let mut cluster = begun(&ALL, Duration::ZERO).await?;
        let (_, leader) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        let begin = clock::now();
        for _ in 0..3 {
            cluster.kill(R)?;
            sleep(secs(1)).await;
            cluster.start(R)?;
            let (took, after) = cluster.agree(&ALL, REDIALS, |_| true).await?;
            measured("redhac's restart, it follows", took);
            assert_eq!(after, leader);
        }
        one_leader_and_one_token(&cluster, leader, begin);
        only_ours_lead(&cluster, begin);
        Ok(())
    });
}

fn one_leader_and_one_token(cluster: &Cluster, leader: usize, begin: trefoil_core::time::Instant) {
    let all = cluster.probe.since(begin);
    let led: Vec<_> = all
        .iter()
        .filter(|seen| seen.node != R && seen.leads)
        .collect();
    assert!(!led.is_empty() && led.iter().all(|seen| seen.node == leader));
    let tokens: std::collections::BTreeSet<i64> = led.iter().map(|seen| seen.ts).collect();
    assert_eq!(tokens.len(), 1, "{}", cluster.logs());
}

/// Measures: that with one of ours nobody leads, and how long its return takes to give a leader.
#[test]
fn a_leader_of_ours_is_killed_and_nobody_leads_until_it_returns() {
    run(async {
        let mut cluster = begun(&ALL, Duration::ZERO).await?;
        let (_, leader) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        cluster.kill(leader)?;
        let begin = clock::now();
        sleep(secs(6)).await;
        only_ours_lead(&cluster, begin);
        let survivor = 1 - leader;
        let all = cluster.probe.since(begin);
        assert!(all.iter().any(|seen| seen.node == survivor));
        assert!(!all.iter().any(|seen| seen.leads), "{}", cluster.logs());
        cluster.start(leader)?;
        let (ours, _) = cluster.agree(&[0, 1], secs(5), |_| true).await?;
        let (all, _) = cluster.agree(&ALL, REDIALS, |leader| leader != R).await?;
        measured("return of the second of ours, ours agree", ours);
        measured("return of the second of ours, all agree", ours + all);
        only_ours_lead(&cluster, begin);
        Ok(())
    });
}

/// Measures: how long a hand-over by a graceful stop, and a follower's restart, take.
#[test]
fn ours_restart_one_after_the_other() {
    run(async {
        let mut cluster = begun(&ALL, Duration::ZERO).await?;
        let (_, leader) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        let begin = clock::now();
        let follower = 1 - leader;
        cluster.kill(follower)?;
        cluster.start(follower)?;
        let (took, _) = cluster.agree(&ALL, REDIALS, |leader| leader != R).await?;
        measured("restart of a follower of ours, all agree", took);
        cluster.terminate(leader)?;
        sleep(Duration::from_millis(500)).await;
        cluster.kill(leader)?;
        cluster.start(leader)?;
        let (took, _) = cluster.agree(&ALL, REDIALS, |leader| leader != R).await?;
        measured("graceful restart of the leader of ours, all agree", took);
        only_ours_lead(&cluster, begin);
        Ok(())
    });
}
