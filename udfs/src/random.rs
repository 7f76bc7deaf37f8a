//! The random generator of the bootstrap: the same seed gives the same numbers on every machine and in every version.

/// xoshiro256++ 1.0 of D. Blackman and S. Vigna, "Scrambled linear pseudorandom number generators", ACM Transactions on Mathematical
/// Software 47(4), 2021; its state is filled from the seed by splitmix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014), as its authors advise. Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Generator([u64; 4]);

impl Generator {
    /// The generator of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }))
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A whole number below `n` (0 for `n = 0`), by the high half of a product: the bias is below n/2^64.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_sequence() {
        // The state 1, 2, 3, 4 is the test vector of other implementations.
        let mut generator = Generator([1, 2, 3, 4]);
        let found: Vec<u64> = (0..4).map(|_| generator.next()).collect();
        assert_eq!(found, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn the_seed_is_spread_by_splitmix() {
        // First number of splitmix64 from 0.
        assert_eq!(Generator::new(0).0[0], 0xE220_A839_7B1D_CDAF);
        assert_ne!(Generator::new(0).next(), Generator::new(1).next());
    }

    #[test]
    fn numbers_below_n_reach_every_value_about_equally_often() {
        let mut generator = Generator::new(7);
        let mut counts = [0_u32; 10];
        (0..100_000).for_each(|_| counts[generator.below(10)] += 1);
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert_eq!(generator.below(0), 0);
    }
}
