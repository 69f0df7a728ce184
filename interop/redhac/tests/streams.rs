//! Streams that break, or fall silent and stand, while all processes live. Proxies stand on every way that
//! begins or ends at a node of ours.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::*;
use trefoil_core::election::RedhacVotes;
use trefoil_core::time::Instant;
use trefoil_interop_redhac::cluster::{Between, Cluster, Failed, Kind, Settings};
use trefoil_interop_redhac::probe::overlap;
use trefoil_interop_redhac::proxy::Proxy;
use trefoil_runtime::clock;

const ALL: [usize; 3] = [0, 1, 2];
const TWO_OF_OURS: [Kind; 3] = [Ours, Ours, Redhac];
const ONE_OF_OURS: [Kind; 3] = [Ours, Redhac, Redhac];
const REDIALS: Duration = secs(15);

/// All are connected, and a node of ours leads.
async fn led(kinds: [Kind; 3], votes: RedhacVotes) -> Result<(Cluster, usize), Failed> {
    let settings = Settings {
        between: Between::Proxies,
        ..Settings::new(votes)
    };
    let mut cluster = Cluster::new(&kinds, settings).await?;
    let (ours, redhac): (Vec<usize>, Vec<usize>) =
        ALL.into_iter().partition(|node| kinds[*node] == Ours);
    // Redhac's nodes take a proxy for the node behind it, and what they say there is lost for seconds.
    for node in ours {
        cluster.start(node)?;
        while cluster.probe.now(node).is_none() {
            sleep(Duration::from_millis(5)).await;
        }
    }
    for node in redhac {
        cluster.start(node)?;
    }
    cluster.meshed().await?;
    let (_, leader) = cluster.agree(&ALL, REDIALS, |_| true).await?;
    Ok((cluster, leader))
}

/// Who said that it leads since a time, and under what.
fn leaders(cluster: &Cluster, begin: Instant) -> BTreeSet<(usize, i64)> {
    let all = cluster.probe.since(begin);
    let led = all.iter().filter(|seen| seen.leads);
    led.map(|seen| (seen.node, seen.ts)).collect()
}

/// Every stream of the leader breaks ten times. Measures: leaderships, and until all agree afterwards.
#[test]
fn streams_of_the_leader_break_and_it_stays() {
    run(async {
        let (cluster, leader) = led(TWO_OF_OURS, IGNORED).await?;
        let begin = clock::now();
        for _ in 0..10 {
            cluster.ways(leader, None).for_each(Proxy::break_all);
            sleep(Duration::from_millis(300)).await;
        }
        let (took, _) = cluster
            .agree(&ALL, REDIALS, |after| after == leader)
            .await?;
        let leaders = leaders(&cluster, begin);
        measured(
            "10 breaks of all streams of the leader, leaderships",
            leaders.len(),
        );
        measured("after the last, all agree", took);
        assert_eq!(leaders.len(), 1, "{leaders:?}\n{}", cluster.logs());
        Ok(())
    });
}

/// Nothing moves between the leader and redhac's node for five seconds. Measures: leaderships, and until
/// redhac's node follows again.
#[test]
fn the_ways_to_redhac_stand_still_and_the_leader_stays() {
    run(async {
        let (cluster, leader) = led(TWO_OF_OURS, IGNORED).await?;
        let begin = clock::now();
        cluster.ways(leader, Some(2)).for_each(|way| way.hold(true));
        sleep(secs(5)).await;
        cluster
            .ways(leader, Some(2))
            .for_each(|way| way.hold(false));
        let (took, _) = cluster
            .agree(&ALL, REDIALS, |after| after == leader)
            .await?;
        let leaders = leaders(&cluster, begin);
        measured(
            "5 s of silence between leader and redhac's, leaderships",
            leaders.len(),
        );
        measured("after it, all agree", took);
        assert_eq!(leaders.len(), 1, "{leaders:?}\n{}", cluster.logs());
        Ok(())
    });
}

/// Nothing moves between the two of ours for three seconds: neither has a quorum, whatever redhac's node
/// says. Measures: how soon nobody leads, and until all agree afterwards.
#[test]
fn the_ways_between_ours_stand_still_and_nobody_leads() {
    run(async {
        let (cluster, leader) = led(TWO_OF_OURS, IGNORED).await?;
        let begin = clock::now();
        cluster.ways(0, Some(1)).for_each(|way| way.hold(true));
        sleep(secs(3)).await;
        cluster.ways(0, Some(1)).for_each(|way| way.hold(false));
        let (took, _) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        let all = cluster.probe.since(begin);
        let last = all
            .iter()
            .take_while(|seen| seen.node != leader || seen.leads)
            .last();
        let stopped = last.map(|seen| seen.at.since(begin));
        measured("silence between ours, the leader stops", stopped);
        measured("after it, all agree", took);
        assert!(stopped.is_some_and(|stopped| stopped < Duration::from_millis(1_200)));
        assert!(!all.iter().any(|seen| seen.node == 2 && seen.leads));
        Ok(())
    });
}

/// Redhac's votes are counted, and one of its nodes cannot hear the leader for five seconds; then the
/// leader's streams break five times. Measures: leaderships, and until all agree.
#[test]
fn a_leader_by_votes_of_redhac_stays_while_one_of_them_answers() {
    run(async {
        let (cluster, leader) = led(ONE_OF_OURS, COUNTED).await?;
        let begin = clock::now();
        cluster.ways(0, Some(1)).for_each(|way| way.hold(true));
        sleep(secs(5)).await;
        cluster.ways(0, Some(1)).for_each(|way| way.hold(false));
        let (took, _) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        let who = if leader == 0 { "ours" } else { "redhac's" };
        let found = leaders(&cluster, begin);
        measured(
            &format!("{who} leads, 5 s of silence to one, leaderships"),
            found.len(),
        );
        measured("after it, all agree", took);
        if leader == 0 {
            assert_eq!(found.len(), 1, "{found:?}\n{}", cluster.logs());
        }
        for _ in 0..5 {
            cluster.ways(0, None).for_each(Proxy::break_all);
            let (took, _) = cluster.agree(&ALL, REDIALS, |_| true).await?;
            measured("all streams of ours broken, all agree", took);
        }
        Ok(())
    });
}

/// Redhac's votes are counted, and nothing moves between the two of ours for eight seconds, while redhac's
/// node hears both. Measures: leaderships, how long two said that they lead, and until all agree after it.
#[test]
fn two_of_ours_that_do_not_hear_each_other_end_with_one_leader() {
    run(async {
        let (cluster, _) = led(TWO_OF_OURS, COUNTED).await?;
        let begin = clock::now();
        cluster.ways(0, Some(1)).for_each(|way| way.hold(true));
        sleep(secs(4)).await;
        // By now whoever redhac's node follows leads, alone.
        let late = clock::now();
        sleep(secs(4)).await;
        let leads: BTreeSet<usize> = leaders(&cluster, late).iter().map(|led| led.0).collect();
        measured(
            "8 s between ours, leaderships",
            leaders(&cluster, begin).len(),
        );
        measured(
            "two at once said that they lead",
            overlap(&cluster.probe.since(begin)),
        );
        assert_eq!(leads.len(), 1, "{leads:?}\n{}", cluster.logs());
        cluster.ways(0, Some(1)).for_each(|way| way.hold(false));
        let (took, _) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        measured("after it, all agree", took);
        Ok(())
    });
}

/// Nothing happens for thirty seconds. Measures: leaderships, streams to ours that redhac's nodes had to open
/// anew, what they told all others, and the bytes between ours and one of theirs. What redhac's nodes lose
/// among themselves, by waiting 5 ms for a ping, is theirs.
#[test]
fn at_rest_nothing_is_lost_and_little_is_said() {
    run(async {
        for (kinds, votes) in [(TWO_OF_OURS, IGNORED), (ONE_OF_OURS, COUNTED)] {
            let (cluster, _) = led(kinds, votes).await?;
            sleep(secs(3)).await;
            let begin = clock::now();
            let ours: Vec<usize> = ALL
                .into_iter()
                .filter(|node| kinds[*node] == Ours)
                .collect();
            let dialled = || {
                let text =
                    |node: &usize| format!("connected successfully: {}", cluster.host(*node));
                ours.iter()
                    .map(|node| cluster.count(2, &text(node)))
                    .sum::<usize>()
            };
            let told = || cluster.count(2, "LeaderSwitchPriority");
            let bytes = || cluster.ways(2, None).map(Proxy::bytes).sum::<u64>();
            let before = (dialled(), told(), bytes());
            sleep(secs(30)).await;
            let found = leaders(&cluster, begin).len();
            let (dialled, told) = (dialled() - before.0, told() - before.1);
            let rate = (bytes() - before.2) / 30;
            measured(&format!("{votes:?}, 30 s at rest, leaderships"), found);
            measured("streams to ours opened anew", dialled);
            measured("priorities told", told);
            measured("bytes a second between ours and one of redhac's", rate);
            assert_eq!(dialled, 0, "{}", cluster.logs());
            assert!(rate < 10_000, "{rate}");
            if votes == IGNORED {
                assert_eq!((found, told), (1, 0), "{}", cluster.logs());
            }
        }
        Ok(())
    });
}
