//! Lines of the log about what strangers can make happen as often as they like.

use trefoil_core::time::{Duration, Instant};

/// How long nothing more is said of the same.
const QUIET: Duration = Duration::from_secs(10);

/// Different things that are told apart. Of what is beyond, nothing is said until one is forgotten.
const KNOWN_MAX: usize = 32;

/// What was said lately.
#[derive(Debug)]
struct Said {
    what: String,
    until: Instant,
    withheld: u64,
}

/// Lets the first line about a thing pass, and one every ten seconds after it.
#[derive(Debug, Default)]
pub(crate) struct Muffler {
    said: Vec<Said>,
}

impl Muffler {
    /// Whether a line about `what` may pass now: then how many were withheld since the last one.
    pub(crate) fn pass(&mut self, now: Instant, what: &str) -> Option<u64> {
        let until = now + QUIET;
        if let Some(said) = self.said.iter_mut().find(|said| said.what == what) {
            if now < said.until {
                said.withheld += 1;
                return None;
            }
            said.until = until;
            return Some(std::mem::take(&mut said.withheld));
        }
        if self.said.len() == KNOWN_MAX {
            self.said.retain(|said| now < said.until);
        }
        if self.said.len() == KNOWN_MAX {
            return None;
        }
        let (what, withheld) = (what.to_owned(), 0);
        self.said.push(Said {
            what,
            until,
            withheld,
        });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_in_a_while_with_how_often_it_happened() {
        let mut muffler = Muffler::default();
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(muffler.pass(at(0), "TF-C15"), Some(0));
        assert_eq!(muffler.pass(at(0), "TF-C02"), Some(0));
        assert_eq!(muffler.pass(at(1), "TF-C15"), None);
        assert_eq!(muffler.pass(at(9), "TF-C15"), None);
        assert_eq!(muffler.pass(at(10), "TF-C15"), Some(2));
        assert_eq!(muffler.pass(at(11), "TF-C15"), None);
        assert_eq!(muffler.pass(at(30), "TF-C02"), Some(0));
    }

    #[test]
    fn what_changes_with_every_line_is_bounded() {
        let mut muffler = Muffler::default();
        let lines = |muffler: &mut Muffler, second| {
            let now = Instant::ZERO + Duration::from_secs(second);
            let passed = |n: &u32| muffler.pass(now, &format!("{second} {n}")).is_some();
            (0..1_000).filter(passed).count()
        };
        assert_eq!(lines(&mut muffler, 0), KNOWN_MAX);
        assert_eq!(lines(&mut muffler, 9), 0);
        assert_eq!(lines(&mut muffler, 10), KNOWN_MAX);
    }
}
