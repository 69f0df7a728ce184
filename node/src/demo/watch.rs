//! Looking at nodes while they run: what they count, when they agree, when an id answers again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_lite::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::ProgressBar;
use tokio::sync::oneshot;
use trefoil_runtime::task::{self, Task};
use trefoil_runtime::{CallOptions, Client, Handle, Platform};

use super::load::{Course, PHASES};
use super::report::Sighting;

const INTERVAL: Duration = Duration::from_millis(50);

/// Writes down every change of what a node counts, and moves the progress bar.
pub struct Lookout {
    stop: oneshot::Sender<()>,
    task: Task<Vec<Sighting>>,
}

impl Lookout {
    /// Begins to look.
    pub fn start<P: Platform>(
        nodes: &[Handle],
        began: Instant,
        course: Arc<Course>,
        bar: ProgressBar,
    ) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let nodes = nodes.to_vec();
        let task = task::spawn::<P, _>(async move {
            let mut sightings: Vec<Sighting> = Vec::new();
            let mut last = vec![usize::MAX; nodes.len()];
            let (mut good, mut at) = (0, Instant::now());
            loop {
                for (node, last) in nodes.iter().zip(&mut last) {
                    let alive = node.members().alive().count();
                    if alive != *last {
                        *last = alive;
                        let at_s = began.elapsed().as_secs_f64();
                        sightings.push(Sighting {
                            at_s,
                            node: node.host().to_owned(),
                            alive,
                        });
                    }
                }
                bar.set_position(began.elapsed().as_millis() as u64 / 100);
                if at.elapsed() >= Duration::from_millis(500) {
                    let now = course.good.load(Ordering::Relaxed);
                    let rate = (now - good) as f64 / at.elapsed().as_secs_f64();
                    let phase = PHASES[usize::from(course.phase.load(Ordering::Relaxed))];
                    bar.set_message(format!("{phase}: {rate:.0} calls/s, members {last:?}"));
                    (good, at) = (now, Instant::now());
                }
                tokio::select! {
                    _ = &mut stopped => return sightings,
                    () = task::sleep::<P>(INTERVAL) => {}
                }
            }
        });
        Self { stop, task }
    }

    /// What was seen.
    pub async fn stop(self) -> Vec<Sighting> {
        // A lookout that ended by itself has panicked, and saw nothing.
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

/// Seconds from `since` until all of `nodes` count the same `members` alive.
pub async fn equal_views<P: Platform>(nodes: Vec<Handle>, members: usize, since: Instant) -> f64 {
    loop {
        let views: Vec<BTreeSet<String>> = nodes
            .iter()
            .map(|node| node.members().alive().map(str::to_owned).collect())
            .collect();
        if views
            .iter()
            .all(|view| view.len() == members && *view == views[0])
        {
            return since.elapsed().as_secs_f64();
        }
        task::sleep::<P>(Duration::from_millis(10)).await;
    }
}

/// Seconds from `since` until every one of `ids` has been answered once; `None` if one was not
/// within `patience`.
pub async fn first_answers<P: Platform>(
    client: &Client<P>,
    ids: &BTreeSet<u64>,
    since: Instant,
    patience: Duration,
) -> Option<f64> {
    let mut asking = FuturesUnordered::new();
    for id in ids.iter().copied() {
        let client = client.clone();
        let options = CallOptions {
            timeout: patience,
            ..CallOptions::default()
        };
        asking.push(async move { client.get_with(id, options).await.is_ok() });
    }
    let mut all = true;
    while let Some(answered) = asking.next().await {
        all &= answered;
    }
    all.then(|| since.elapsed().as_secs_f64())
}
