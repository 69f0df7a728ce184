//! What a node's process says of its own leadership, as soon as a program that watches it would know, and when
//! that was. Nodes of both kinds say it the same way, for both give their programs a channel to watch.

use tokio::sync::watch;
use trefoil_core::time::Instant;
use trefoil_runtime::clock;

const LEADS: &str = "told: leads since ";
const LEADS_NO_MORE: &str = "told: leads no more since ";
const LEASE: &str = "told: lease ";

/// That a node leads or leads no more, and when its program knew, by the clock of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub at: Instant,
    /// Whether it leads.
    pub leads: bool,
}

impl Told {
    fn line(self) -> String {
        let what = if self.leads { LEADS } else { LEADS_NO_MORE };
        format!("{what}{}", self.at.as_nanos())
    }

    /// As a line of a log says it, if it says anything.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let begin = |words| line.strip_prefix(words);
        let (leads, nanos) = match (begin(LEADS), begin(LEADS_NO_MORE)) {
            (Some(nanos), _) => (true, nanos),
            (None, Some(nanos)) => (false, nanos),
            (None, None) => return None,
        };
        let at = Instant::from_nanos(nanos.parse().ok()?);
        Some(Self { at, leads })
    }
}

/// That a node of ours leads until a time, under a token; or that it leads no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// When it said so, before anybody else could hear of it.
    pub at: Instant,
    /// Token and end of the lease; none if it has none any more.
    pub held: Option<(i64, Instant)>,
}

impl Lease {
    /// As a line of a log.
    #[must_use]
    pub fn line(self) -> String {
        let at = self.at.as_nanos();
        match self.held {
            Some((token, until)) => format!("{LEASE}{at} {token} {}", until.as_nanos()),
            None => format!("{LEASE}{at}"),
        }
    }

    /// As a line of a log says it, if it says anything.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(LEASE)?.split(' ');
        let at = Instant::from_nanos(words.next()?.parse().ok()?);
        let Some(token) = words.next() else {
            return Some(Self { at, held: None });
        };
        let until = Instant::from_nanos(words.next()?.parse().ok()?);
        let held = Some((token.parse().ok()?, until));
        Some(Self { at, held })
    }
}

/// Tells each change, until the channel is closed.
pub async fn tell<T>(mut watch: watch::Receiver<T>, leads: impl Fn(&T) -> bool) {
    let mut led = false;
    loop {
        let now = leads(&watch.borrow_and_update());
        if now != led {
            let at = clock::now();
            println!("{}", Told { at, leads: now }.line());
            led = now;
        }
        if watch.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        for leads in [true, false] {
            let at = Instant::from_nanos(1_234_567_890_123);
            let told = Told { at, leads };
            assert_eq!(Told::read(&told.line()), Some(told));
        }
        for held in [None, Some((-7, Instant::from_nanos(9)))] {
            let at = Instant::from_nanos(8);
            let lease = Lease { at, held };
            assert_eq!(Lease::read(&lease.line()), Some(lease));
            assert_eq!(Told::read(&lease.line()), None);
        }
        for other in [
            "",
            "12 ms: Leaderless",
            "told: leads since never",
            "told: lease 1 2",
        ] {
            assert_eq!((Told::read(other), Lease::read(other)), (None, None));
        }
    }
}
