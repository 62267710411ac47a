//! Random numbers that a seed repeats on every machine, and the distributions drawn from them.

/// `SplitMix64`: small, fast, and good enough to choose wallets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A stream of its own for each pair of seed and stream number.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Rng(seed);
        let mixed = rng.next_u64() ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mut rng = Rng(mixed);
        rng.next_u64();
        rng
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, by the high half of a product: the bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in 0..1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }
}

/// Ranks by Zipf's law: rank k comes up in proportion to `1 / (k + 1)^EXPONENT`.
///
/// Drawn by rejection-inversion (Hörmann and Derflinger 1996): no table, however many ranks.
#[derive(Clone, Debug)]
pub struct Zipf {
    ranks: f64,
    area_first: f64,
    area_all: f64,
    squeeze: f64,
}

/// The skew that YCSB made customary.
const EXPONENT: f64 = 0.99;

impl Zipf {
    /// Over ranks 0 to `ranks - 1`; there is at least one.
    pub fn new(ranks: u32) -> Self {
        assert!(ranks > 0);
        let ranks = f64::from(ranks);
        Zipf {
            ranks,
            area_first: area(1.5) - 1.0,
            area_all: area(ranks + 0.5),
            squeeze: 2.0 - area_inverse(area(2.5) - weight(2.0)),
        }
    }

    /// Draws a rank.
    #[expect(clippy::cast_sign_loss, reason = "clamped to 1 or more")]
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        loop {
            let drawn = self.area_all + rng.unit() * (self.area_first - self.area_all);
            let x = area_inverse(drawn);
            // A cut rounds without a call into the library.
            let rank = f64::from((x + 0.5) as u32).clamp(1.0, self.ranks);
            if rank - x <= self.squeeze || drawn >= area(rank + 0.5) - weight(rank) {
                return rank as u32 - 1;
            }
        }
    }
}

fn weight(x: f64) -> f64 {
    x.powf(-EXPONENT)
}

/// The integral of [`weight`].
fn area(x: f64) -> f64 {
    (x.powf(1.0 - EXPONENT) - 1.0) / (1.0 - EXPONENT)
}

/// To the power of `1 / (1 - EXPONENT)`, which is 100, by eight multiplications: this is drawn for every event, and the generator shares
/// its cores with the server.
fn area_inverse(area: f64) -> f64 {
    let base = (area * (1.0 - EXPONENT) + 1.0).max(0.0);
    let square = |x: f64| x * x;
    let power_4 = square(square(base));
    let power_32 = square(square(square(power_4)));
    square(power_32) * power_32 * power_4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.next_u64(), rng.next_u64()]
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
    }

    #[test]
    fn zipf_follows_its_law() {
        const RANKS: u32 = 1000;
        const DRAWS: u32 = 200_000;
        let (zipf, mut rng) = (Zipf::new(RANKS), Rng::new(7, 0));
        let mut counts = vec![0_u32; RANKS as usize];
        for _ in 0..DRAWS {
            counts[zipf.draw(&mut rng) as usize] += 1;
        }
        let all: f64 = (1..=RANKS).map(|rank| weight(f64::from(rank))).sum();
        for rank in [1_u32, 2, 3, 10, 100] {
            let expected = f64::from(DRAWS) * weight(f64::from(rank)) / all;
            let seen = f64::from(counts[rank as usize - 1]);
            // Five standard deviations of a Poisson count.
            assert!((seen - expected).abs() < 5.0 * expected.sqrt(), "rank {rank}: {seen} for {expected}");
        }
    }

    #[test]
    fn one_rank_is_always_drawn() {
        let (zipf, mut rng) = (Zipf::new(1), Rng::new(1, 1));
        assert!((0..100).all(|_| zipf.draw(&mut rng) == 0));
    }
}
