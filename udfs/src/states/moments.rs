//! Central moments (Welford's update, the merge of Chan, Golub and LeVeque and its extension by Pébay to higher orders).

use super::extremes::Range;
use super::{Partial, State, Tally};
use crate::constants::Constants;

/// Mean and centred sum of squares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moments {
    tally: Tally,
    mean: f64,
    m2: f64,
    range: Range,
}

impl Moments {
    pub(crate) fn n(&self) -> f64 {
        self.tally.n()
    }

    /// The moments of ordinary rows in two passes; the second also corrects the mean for the rounding of the first.
    fn of(tally: Tally, rows: &[f64]) -> Self {
        let mean = lanes(rows, |x| [x])[0] / tally.n();
        let [deviations, squares] = lanes(rows, |x| [x - mean, (x - mean) * (x - mean)]);
        Self {
            tally,
            mean: mean + deviations / tally.n(),
            m2: (squares - deviations * deviations / tally.n()).max(0.0),
            range: Range::of(rows),
        }
    }

    /// The mean; exactly the value where all are equal.
    pub(crate) fn mean(&self) -> f64 {
        if self.range.is_one_value() { self.range.min } else { self.mean }
    }

    /// Sum of squared deviations; exactly 0 where all are equal.
    pub(crate) fn m2(&self) -> f64 {
        if self.range.is_one_value() { 0.0 } else { self.m2 }
    }

    /// Largest minus smallest value.
    pub(crate) fn spread(&self) -> f64 {
        self.range.max - self.range.min
    }

    /// Sample deviation (ddof 1); `None` below two rows.
    pub(crate) fn deviation(&self) -> Option<f64> {
        (self.tally.rows >= 2).then(|| (self.m2() / (self.n() - 1.0)).sqrt())
    }

    /// Population deviation (ddof 0) of at least one row.
    pub(crate) fn population_deviation(&self) -> f64 {
        (self.m2() / self.n()).sqrt()
    }

    /// The deviation, `None` where there is no dispersion to divide by.
    pub(crate) fn dispersion(&self) -> Option<f64> {
        self.deviation().filter(|&s| s != 0.0)
    }
}

impl State for Moments {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if self.tally.admits(x) {
            let delta = x - self.mean;
            self.mean += delta / self.tally.n();
            self.m2 += delta * (x - self.mean);
            self.range.add(x);
        }
    }

    fn push_all(&mut self, rows: &[f64]) {
        let mut tally = Tally::default();
        if tally.admits_all(rows) {
            self.merge(&Self::of(tally, rows));
        } else {
            rows.iter().for_each(|&x| self.push(x));
        }
    }

    fn merge(&mut self, later: &Self) {
        if later.tally.rows == 0 {
            return;
        }
        if self.tally.rows == 0 {
            self.clone_from(later);
            return;
        }
        let (n1, n2) = (self.n(), later.n());
        let (n, delta) = (n1 + n2, later.mean() - self.mean());
        self.m2 = self.m2() + later.m2() + delta * delta * n1 * n2 / n;
        self.mean = self.mean() + delta * n2 / n;
        self.range.merge(later.range);
        self.tally.merge(later.tally);
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Partial for Moments {
    const WIDTH: usize = Tally::WIDTH + 2 + Range::WIDTH;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        out.extend([self.mean, self.m2]);
        self.range.write(out);
    }

    fn read(&mut self, partial: &[f64]) {
        *self = Self { tally: Tally::read(partial), mean: partial[2], m2: partial[3], range: Range::read(&partial[4..]) };
    }
}

/// Plain sums of what `terms` makes of each row, on lanes that a processor adds up side by side.
#[inline]
fn lanes<const K: usize>(rows: &[f64], terms: impl Fn(f64) -> [f64; K]) -> [f64; K] {
    const LANES: usize = 8;
    let mut sums = [[0.0; LANES]; K];
    let (chunks, rest) = rows.as_chunks::<LANES>();
    for chunk in chunks {
        let terms = chunk.map(&terms);
        (0..K).for_each(|k| (0..LANES).for_each(|lane| sums[k][lane] += terms[lane][k]));
    }
    for (lane, &row) in rest.iter().enumerate() {
        let terms = terms(row);
        (0..K).for_each(|k| sums[k][lane] += terms[k]);
    }
    sums.map(|lanes| lanes.into_iter().sum())
}

/// Mean and centred sums up to the fourth power.
#[derive(Debug, Clone, Default)]
pub(crate) struct HigherMoments {
    low: Moments,
    m3: f64,
    m4: f64,
}

impl HigherMoments {
    /// Count, mean and second moment.
    pub(crate) fn low(&self) -> &Moments {
        &self.low
    }

    /// Sum of third powers of deviations.
    pub(crate) fn m3(&self) -> f64 {
        if self.low.range.is_one_value() { 0.0 } else { self.m3 }
    }

    /// Sum of fourth powers of deviations.
    pub(crate) fn m4(&self) -> f64 {
        if self.low.range.is_one_value() { 0.0 } else { self.m4 }
    }
}

impl State for HigherMoments {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if !self.low.tally.admits(x) {
            return;
        }
        let n = self.low.tally.n();
        let delta = x - self.low.mean;
        let step = delta / n;
        let square = delta * step * (n - 1.0);
        self.m4 += square * step * step * (n * n - 3.0 * n + 3.0) + 6.0 * step * step * self.low.m2 - 4.0 * step * self.m3;
        self.m3 += square * step * (n - 2.0) - 3.0 * step * self.low.m2;
        self.low.m2 += square;
        self.low.mean += step;
        self.low.range.add(x);
    }

    fn merge(&mut self, later: &Self) {
        if later.low.tally.rows == 0 {
            return;
        }
        if self.low.tally.rows == 0 {
            self.clone_from(later);
            return;
        }
        let (n1, n2) = (self.low.n(), later.low.n());
        let (n, d) = (n1 + n2, later.low.mean() - self.low.mean());
        let (m2a, m2b, m3a, m3b) = (self.low.m2(), later.low.m2(), self.m3(), later.m3());
        self.m4 = self.m4()
            + later.m4()
            + d.powi(4) * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2) / (n * n * n)
            + 6.0 * d * d * (n1 * n1 * m2b + n2 * n2 * m2a) / (n * n)
            + 4.0 * d * (n1 * m3b - n2 * m3a) / n;
        self.m3 = m3a + m3b + d.powi(3) * n1 * n2 * (n1 - n2) / (n * n) + 3.0 * d * (n1 * m2b - n2 * m2a) / n;
        self.low.merge(&later.low);
    }

    fn tally(&self) -> Tally {
        self.low.tally
    }
}

impl Partial for HigherMoments {
    const WIDTH: usize = Moments::WIDTH + 2;

    fn write(&self, out: &mut Vec<f64>) {
        self.low.write(out);
        out.extend([self.m3, self.m4]);
    }

    fn read(&mut self, partial: &[f64]) {
        self.low.read(partial);
        self.m3 = partial[Moments::WIDTH];
        self.m4 = partial[Moments::WIDTH + 1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(xs: &[f64]) -> HigherMoments {
        let mut state = HigherMoments::default();
        xs.iter().for_each(|&x| state.push(x));
        state
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-13 * b.abs()
    }

    #[test]
    fn parts_and_their_merge_have_the_known_moments() {
        let xs = [-30.0, 100.0, -50.0, 25.0, 0.0, -80.0, 60.0, 40.0];
        let (mut a, b) = (moments(&xs[..3]), moments(&xs[3..]));
        assert!(close(a.low().m2(), 13266.666666666666) && close(a.m3(), 581777.7777777778) && close(a.m4(), 88002222.22222222));
        assert!(close(b.low().m2(), 11820.0) && close(b.m3(), -539160.0) && close(b.m4(), 70503060.0));
        a.merge(&b);
        assert_eq!(a.low().mean(), 8.125);
        assert!(close(a.low().m2(), 25096.875) && close(a.m3(), 15597.65625) && close(a.m4(), 153448121.33789062));
    }

    #[test]
    fn equal_values_have_no_dispersion_at_all() {
        let state = moments(&[0.0001; 252]);
        assert_eq!((state.low().mean(), state.low().m2(), state.m3(), state.m4()), (0.0001, 0.0, 0.0, 0.0));
        assert_eq!(state.low().dispersion(), None);
        assert_eq!(state.low().deviation(), Some(0.0));
    }
}
