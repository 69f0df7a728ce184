//! Popularity of ids: a few are asked for all the time, most hardly ever.

use trefoil_core::rng::Rng;

/// Draws ranks `0..n` with probability proportional to `1 / (rank + 1)^s`.
#[derive(Debug)]
pub struct Zipf {
    /// Cumulative weights, scaled to the range of 64 bits.
    cumulative: Vec<u64>,
}

impl Zipf {
    /// A distribution over `n` ranks; 8 bytes each.
    pub fn new(n: usize, s: f64) -> Self {
        let weights = || (1..=n).map(|rank| (rank as f64).powf(-s));
        let total: f64 = weights().sum();
        let mut sum = 0.0;
        let cumulative = weights()
            .map(|weight| {
                sum += weight / total;
                (sum * u64::MAX as f64) as u64
            })
            .collect();
        Self { cumulative }
    }

    /// One rank: a binary search.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        let at = rng.draw();
        self.cumulative
            .partition_point(|bound| *bound < at)
            .min(self.cumulative.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rank_gets_its_share_and_all_are_drawn() {
        let zipf = Zipf::new(10, 1.0);
        let mut rng = Rng::new(3);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut rng)] += 1;
        }
        // 1 / (1 + 1/2 + ... + 1/10) = 0.3414
        assert!((33_000..35_300).contains(&counts[0]), "{counts:?}");
        assert!(counts.windows(2).all(|w| w[0] > w[1]), "{counts:?}");
    }
}
