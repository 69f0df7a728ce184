//! Chance, all of it from the seed of the run.

use std::time::Duration;

use trefoil_core::rng::Rng;

/// A source of chance. Each part of the world has one of its own, so that a change in one part does
/// not change what another draws.
#[derive(Clone, Debug)]
pub struct Dice(Rng);

impl Dice {
    /// The dice of one part of the run `seed`. Parts differ by their label.
    #[must_use]
    pub fn new(seed: u64, label: &str) -> Self {
        let mixed = label
            .bytes()
            .fold(seed ^ 0x5851_f42d_4c95_7f2d, |state, byte| {
                Rng::new(state ^ u64::from(byte)).draw()
            });
        Self(Rng::new(mixed))
    }

    /// 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Whether something of probability `ppm` in a million happens.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    /// One of two.
    pub fn coin(&mut self) -> bool {
        self.draw() & 1 == 1
    }

    /// A duration between two, both included.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let spread = high.saturating_sub(low).as_nanos() as u64;
        low + Duration::from_nanos(self.below(spread + 1))
    }

    /// A duration of mean `mean` with a long tail: geometric in steps of half the mean.
    pub fn tail(&mut self, mean: Duration) -> Duration {
        let doublings = self.draw().trailing_zeros().min(6);
        let fraction = self.below(1_024) as u32;
        mean / 2 * doublings + mean / 2 / 1_024 * fraction
    }
}

/// Draws indexes with Zipf's frequencies (exponent 1), by a table of running sums.
#[derive(Clone, Debug)]
pub struct Zipf {
    sums: Vec<u64>,
}

impl Zipf {
    /// Over `len` indexes; the first is drawn most often.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let mut sum = 0;
        let sums = (1..=len as u64)
            .map(|rank| {
                sum += (1 << 32) / rank;
                sum
            })
            .collect();
        Self { sums }
    }

    /// An index.
    pub fn draw(&self, dice: &mut Dice) -> usize {
        let at = dice.below(self.sums.last().copied().unwrap_or(1));
        self.sums.partition_point(|sum| *sum <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_seeds_tell_dice_apart() {
        assert_ne!(Dice::new(1, "net").draw(), Dice::new(1, "disk").draw());
        assert_ne!(Dice::new(1, "net").draw(), Dice::new(2, "net").draw());
        assert_eq!(Dice::new(1, "net").draw(), Dice::new(1, "net").draw());
    }

    #[test]
    fn the_first_of_a_zipf_is_drawn_most() {
        let (zipf, mut dice) = (Zipf::new(8), Dice::new(3, "zipf"));
        let mut counts = [0; 8];
        (0..8_000).for_each(|_| counts[zipf.draw(&mut dice)] += 1);
        assert!(counts[0] > 2 * counts[2] && counts[7] > 0);
    }

    #[test]
    fn a_tail_has_its_mean() {
        let mut dice = Dice::new(4, "tail");
        let mean = Duration::from_millis(8);
        let sum: Duration = (0..10_000).map(|_| dice.tail(mean)).sum();
        assert!(sum / 10_000 > mean / 2 && sum / 10_000 < mean * 3 / 2);
    }
}
