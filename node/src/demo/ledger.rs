//! What the callers know: every addition that was acknowledged, and every one whose outcome nobody
//! told them. It lives with the callers alone, and is compared with the carts over the wire.

use std::collections::BTreeMap;

/// One caller's additions to one cart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Acknowledged: must be in the cart.
    pub acknowledged: u32,
    /// Outcome unknown: may be in the cart.
    pub uncertain: u32,
}

/// Additions by cart and article; each caller adds an article of its own.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    carts: BTreeMap<u64, BTreeMap<String, Entry>>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Carts compared.
    pub carts: u64,
    /// Acknowledged additions that were compared.
    pub acknowledged: u64,
    /// Additions whose outcome was unknown.
    pub uncertain: u64,
    /// Acknowledged additions that are not in their cart.
    pub lost: u64,
    /// Additions in a cart that nobody made, or that were made once and count twice.
    pub surplus: u64,
    /// Carts that could not be read.
    pub unreadable: u64,
    /// What was amiss, the first few of it, in words.
    pub amiss: Vec<String>,
}

/// So many differences are told in words.
const AMISS_MAX: usize = 8;

impl Verdict {
    /// Whether every acknowledged addition is there exactly once.
    pub const fn holds(&self) -> bool {
        self.lost == 0 && self.surplus == 0 && self.unreadable == 0 && self.acknowledged > 0
    }

    fn note(&mut self, amiss: impl FnOnce() -> String) {
        if self.amiss.len() < AMISS_MAX {
            self.amiss.push(amiss());
        }
    }
}

impl Ledger {
    /// An addition was acknowledged.
    pub fn acknowledge(&mut self, cart: u64, sku: &str) {
        self.entry(cart, sku).acknowledged += 1;
    }

    /// An addition ended, and nobody knows how.
    pub fn doubt(&mut self, cart: u64, sku: &str) {
        self.entry(cart, sku).uncertain += 1;
    }

    fn entry(&mut self, cart: u64, sku: &str) -> &mut Entry {
        let skus = self.carts.entry(cart).or_default();
        if !skus.contains_key(sku) {
            skus.insert(sku.to_owned(), Entry::default());
        }
        skus.entry(sku.to_owned()).or_default()
    }

    /// Adds what another caller knows.
    pub fn merge(&mut self, other: Self) {
        for (cart, skus) in other.carts {
            for (sku, entry) in skus {
                let mine = self.entry(cart, &sku);
                mine.acknowledged += entry.acknowledged;
                mine.uncertain += entry.uncertain;
            }
        }
    }

    /// All carts that were written to, or may have been.
    pub fn carts(&self) -> impl Iterator<Item = u64> {
        self.carts.keys().copied()
    }

    /// Compares one cart, read over the wire; `None` if it could not be read.
    pub fn compare(&self, cart: u64, items: Option<&BTreeMap<String, u32>>, verdict: &mut Verdict) {
        let Some(entries) = self.carts.get(&cart) else {
            return;
        };
        verdict.carts += 1;
        let sure = entries.values().any(|entry| entry.acknowledged > 0);
        let Some(items) = items else {
            // A cart that holds nothing acknowledged may never have come to be.
            verdict.unreadable += u64::from(sure);
            if sure {
                verdict.note(|| format!("cart {cart} could not be read"));
            }
            return;
        };
        for (sku, entry) in entries {
            let found = items.get(sku).copied().unwrap_or(0);
            verdict.acknowledged += u64::from(entry.acknowledged);
            verdict.uncertain += u64::from(entry.uncertain);
            verdict.lost += u64::from(entry.acknowledged.saturating_sub(found));
            let most = entry.acknowledged + entry.uncertain;
            verdict.surplus += u64::from(found.saturating_sub(most));
            if found < entry.acknowledged || found > most {
                let least = entry.acknowledged;
                verdict.note(|| {
                    format!("cart {cart} has {found} of {sku}, must have {least} to {most}")
                });
            }
        }
        let strangers = items.iter().filter(|(sku, _)| !entries.contains_key(*sku));
        verdict.surplus += strangers
            .map(|(_, quantity)| u64::from(*quantity))
            .sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cart(items: &[(&str, u32)]) -> BTreeMap<String, u32> {
        items
            .iter()
            .map(|(sku, quantity)| ((*sku).to_owned(), *quantity))
            .collect()
    }

    fn verdict(items: Option<&[(&str, u32)]>) -> Verdict {
        let mut ledger = Ledger::default();
        ledger.acknowledge(7, "a");
        ledger.acknowledge(7, "a");
        ledger.doubt(7, "a");
        let mut verdict = Verdict::default();
        ledger.compare(7, items.map(cart).as_ref(), &mut verdict);
        verdict
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_what_is_unknown_may_be() {
        assert!(verdict(Some(&[("a", 2)])).holds());
        assert!(verdict(Some(&[("a", 3)])).holds());
    }

    #[test]
    fn each_kind_of_harm_is_seen() {
        assert_eq!(verdict(Some(&[("a", 1)])).lost, 1);
        assert_eq!(
            verdict(Some(&[("a", 1)])).amiss,
            ["cart 7 has 1 of a, must have 2 to 3"]
        );
        assert_eq!(verdict(Some(&[])).lost, 2);
        assert_eq!(verdict(Some(&[("a", 4)])).surplus, 1);
        assert_eq!(verdict(Some(&[("a", 2), ("b", 5)])).surplus, 5);
        assert_eq!(verdict(None).unreadable, 1);
        assert!(
            !Verdict::default().holds(),
            "nothing compared proves nothing"
        );
    }
}
