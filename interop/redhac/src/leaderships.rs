//! Leaderships, from what nodes told of their leases; and what must not be among them.

use std::collections::BTreeMap;

use trefoil_core::time::Instant;

use crate::told::Lease;

/// A node led under a token, from then to then at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Who.
    pub node: usize,
    /// Under which token.
    pub token: i64,
    /// When it first said so.
    pub from: Instant,
    /// When it stopped, was killed, or its lease ended, whatever came first.
    pub until: Instant,
}

/// All leaderships, in order. `ends` are the processes that were killed, and when each was gone for certain.
#[must_use]
pub fn leaderships(told: &[(usize, Vec<Lease>)], ends: &[(usize, Instant)]) -> Vec<Leadership> {
    let mut all = Vec::new();
    for (node, leases) in told {
        let mut its: BTreeMap<i64, Leadership> = BTreeMap::new();
        let mut held = None;
        for lease in leases {
            if let Some((token, until)) = lease.held {
                let new = Leadership {
                    node: *node,
                    token,
                    from: lease.at,
                    until,
                };
                let known = its.entry(token).or_insert(new);
                known.until = until;
            } else if let Some(known) = held.and_then(|token| its.get_mut(&token)) {
                known.until = known.until.min(lease.at);
            }
            held = lease.held.map(|(token, _)| token);
        }
        for led in its.values_mut() {
            let killed = ends
                .iter()
                .filter(|(of, at)| of == node && *at >= led.from)
                .map(|(_, at)| *at)
                .min();
            led.until = killed.map_or(led.until, |killed| led.until.min(killed));
        }
        all.extend(its.into_values());
    }
    all.sort_by_key(|led| led.from);
    all
}

/// Two that led at once, and tokens that did not grow, for people.
#[must_use]
pub fn violations(all: &[Leadership]) -> Vec<String> {
    let mut wrong = Vec::new();
    for two in all.windows(2) {
        let (before, after) = (two[0], two[1]);
        if before.until > after.from && before.node != after.node {
            wrong.push(format!("two at once: {before:?}, {after:?}"));
        }
        if after.token <= before.token {
            wrong.push(format!("a token that did not grow: {before:?}, {after:?}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn lease(millis: u64, token: i64, until: u64) -> Lease {
        let held = Some((token, at(until)));
        Lease {
            at: at(millis),
            held,
        }
    }

    fn free(millis: u64) -> Lease {
        let held = None;
        Lease {
            at: at(millis),
            held,
        }
    }

    #[test]
    fn a_leadership_ends_with_its_lease_its_word_or_its_process() {
        let until = |leases: &[Lease], ends: &[(usize, Instant)]| {
            let all = leaderships(&[(0, leases.to_vec())], ends);
            all.iter().map(|led| led.until).collect::<Vec<_>>()
        };
        let renewed = [lease(1, 5, 11), lease(3, 5, 13)];
        assert_eq!(until(&renewed, &[]), [at(13)]);
        let stopped = [lease(1, 5, 11), free(4), lease(6, 7, 16), free(20)];
        assert_eq!(until(&stopped, &[]), [at(4), at(16)]);
        let ends = [(1, at(2)), (0, at(9)), (0, at(30))];
        assert_eq!(until(&stopped, &ends), [at(4), at(9)]);
    }

    #[test]
    fn two_at_once_and_tokens_that_fall_are_found() {
        let found = |second: Lease| {
            let told = [(0, vec![lease(1, 5, 11)]), (1, vec![second])];
            violations(&leaderships(&told, &[])).len()
        };
        assert_eq!(found(lease(11, 6, 21)), 0);
        assert_eq!(found(lease(10, 6, 20)), 1);
        assert_eq!(found(lease(11, 5, 21)), 1);
        assert_eq!(found(lease(10, 4, 20)), 2);
    }
}
