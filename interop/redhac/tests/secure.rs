//! Streams are encrypted and both ends show certificates: ours as `trefoil-tls` makes and checks them, redhac's
//! as its environment says. What must hold is what holds in the clear.

mod common;

use std::time::Duration;

use common::*;
use trefoil_core::election::RedhacVotes;
use trefoil_interop_redhac::cluster::{Cluster, Settings};
use trefoil_runtime::clock;

const ALL: [usize; 3] = [0, 1, 2];
const R: usize = 2;
const REDIALS: Duration = secs(15);

fn settings() -> Settings {
    Settings {
        tls: true,
        ..Settings::new(RedhacVotes::Ignored)
    }
}

/// Measures: from the start of all to a leader of ours that redhac's node follows, and the same after a restart
/// of the redhac node and of a leader.
#[test]
fn over_tls_ours_lead_and_redhac_follows() {
    run(async {
        let begin = clock::now();
        let kinds = [Ours, Ours, Redhac];
        let mut cluster = started(&kinds, settings(), &ALL, Duration::ZERO).await?;
        let (took, leader) = cluster.agree(&ALL, REDIALS, |leader| leader != R).await?;
        measured("TLS, start, all agree", took);
        cluster.meshed().await?;
        cluster.kill(R)?;
        cluster.start(R)?;
        let (took, after) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        measured("TLS, redhac's restart, it follows", took);
        assert_eq!(after, leader);
        cluster.kill(leader)?;
        cluster.start(leader)?;
        let (took, _) = cluster.agree(&ALL, REDIALS, |leader| leader != R).await?;
        measured("TLS, restart of the leader of ours, all agree", took);
        let all = cluster.probe.since(begin);
        let wrong = all.iter().find(|seen| seen.node == R && seen.leads);
        assert_eq!(wrong, None, "{}", cluster.logs());
        Ok(())
    });
}

/// Redhac's node has a certificate of an authority that ours do not know. Ours elect, and neither side takes the
/// other for connected.
#[test]
fn a_redhac_node_of_another_authority_stays_outside() {
    run(async {
        let mut cluster = Cluster::new(&[Ours, Ours, Redhac], settings()).await?;
        cluster.estrange(R)?;
        for node in ALL {
            cluster.start(node)?;
        }
        cluster
            .agree(&[0, 1], REDIALS, |leader| leader != R)
            .await?;
        let begin = clock::now();
        sleep(secs(5)).await;
        let all = cluster.probe.since(begin);
        let most = all.iter().map(|seen| (seen.node, seen.connected)).max();
        assert_eq!(most, Some((1, 1)), "{}", cluster.logs());
        let of_its = |text| cluster.count(R, text);
        assert!(
            of_its("Unable to connect to host") >= 2,
            "{}",
            cluster.logs()
        );
        assert_eq!(of_its("connected successfully"), 0, "{}", cluster.logs());
        Ok(())
    });
}
