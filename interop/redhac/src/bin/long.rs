//! Two nodes of ours and one of redhac's, whose votes are ignored, while processes are killed, stopped, restarted and
//! frozen at random. The arguments are how many minutes, one if there is none, and the seed. What is judged is
//! what every node of ours told of its leases at the moment it had them, by the clock of the machine.
//!
//! Fails if two led at once, if a token did not grow, if redhac's node led, or if all were up and did not agree.

use std::time::Duration;

use trefoil_core::election::RedhacVotes;
use trefoil_core::rng::Rng;
use trefoil_core::time::Instant;
use trefoil_interop_redhac::cluster::{Cluster, Failed, Kind, Settings};
use trefoil_interop_redhac::figures::{Times, load};
use trefoil_interop_redhac::leaderships::{Leadership, leaderships, violations};
use trefoil_runtime::clock;

const ALL: [usize; 3] = [0, 1, 2];
const OURS: [usize; 2] = [0, 1];
const REDHAC: usize = 2;

/// Redhac's node waits up to 7.5 s before it dials again.
const REDIALS: Duration = Duration::from_secs(15);

struct Run {
    cluster: Cluster,
    rng: Rng,
    /// When each process was killed, and which.
    ends: Vec<(usize, Instant)>,
    kills: u32,
    stops: u32,
    freezes: u32,
    agreed: Vec<Duration>,
}

impl Run {
    async fn pause(&mut self, most_millis: u64) {
        let millis = self.rng.below(most_millis);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    fn end(&mut self, node: usize) -> Result<(), Failed> {
        self.cluster.kill(node)?;
        self.ends.push((node, clock::now()));
        Ok(())
    }

    /// Something happens to a node, which is well in the end.
    async fn harm(&mut self, node: usize) -> Result<(), Failed> {
        match self.rng.below(3) {
            0 => {
                self.kills += 1;
                self.end(node)?;
                self.pause(3_000).await;
                self.cluster.start(node)?;
            }
            1 => {
                self.stops += 1;
                self.cluster.terminate(node)?;
                self.pause(1_000).await;
                self.end(node)?;
                self.cluster.start(node)?;
            }
            _ => {
                self.freezes += 1;
                self.cluster.freeze(node, true)?;
                self.pause(3_000).await;
                self.cluster.freeze(node, false)?;
            }
        }
        Ok(())
    }

    async fn round(&mut self) -> Result<(), Failed> {
        for _ in 0..=self.rng.below(3) {
            let node = self.rng.below(3) as usize;
            self.harm(node).await?;
            self.pause(300).await;
        }
        let ours = |leader| leader != REDHAC;
        let (took, _) = self.cluster.agree(&ALL, REDIALS, ours).await?;
        self.agreed.push(took);
        self.pause(4_000).await;
        Ok(())
    }

    fn leaderships(&self) -> Vec<Leadership> {
        let all = OURS.map(|node| (node, self.cluster.leases(node)));
        leaderships(&all, &self.ends)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    tokio::task::LocalSet::new().run_until(run()).await
}

async fn run() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let minutes: u64 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let seed = match arguments.next() {
        Some(seed) => seed.parse()?,
        None => clock::entropy()?,
    };
    println!("{minutes} min, seed {seed}, load before: {}", load());
    let settings = Settings {
        redhac_log: "redhac=info",
        ..Settings::new(RedhacVotes::Ignored)
    };
    let kinds = [Kind::Ours, Kind::Ours, Kind::Redhac];
    let mut run = Run {
        cluster: Cluster::new(&kinds, settings).await?,
        rng: Rng::new(seed),
        ends: Vec::new(),
        kills: 0,
        stops: 0,
        freezes: 0,
        agreed: Vec::new(),
    };
    let begin = clock::now();
    for node in ALL {
        run.cluster.start(node)?;
    }
    while clock::now().since(begin) < Duration::from_secs(60 * minutes) {
        run.round().await?;
    }
    judge(&run, begin)
}

fn judge(run: &Run, begin: Instant) -> Result<(), Failed> {
    let all = run.leaderships();
    let mut wrong = violations(&all);
    let told = run.cluster.told(REDHAC, begin);
    wrong.extend(told.iter().map(|told| format!("redhac's: {told:?}")));
    println!(
        "{} kills, {} stops, {} freezes, {} times all up",
        run.kills,
        run.stops,
        run.freezes,
        run.agreed.len()
    );
    println!("all up, all agree: {}", Times::of(run.agreed.clone()));
    println!(
        "{} leaderships, {} violations; load after: {}",
        all.len(),
        wrong.len(),
        load()
    );
    if all.is_empty() {
        return Err("nobody led".into());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(wrong.join("\n").into())
}
