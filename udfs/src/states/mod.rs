//! The states that metrics are computed from, each written once: what a row adds, how two parts merge, what a partial result carries.
//!
//! A state counts its rows and remembers whether one of them was NaN; the formulas never see NaN and never run on zero rows.

mod compensated;
mod extremes;
mod legacy;
mod lower_partial;
mod moments;
mod pair;
mod path;
mod product;
mod run;
mod sample;
mod segment;
mod wealth;
mod win_loss;

use std::fmt::Debug;

pub(crate) use compensated::{Compensated, Total};
pub(crate) use extremes::Extremes;
pub(crate) use legacy::{LegacyLosses, LegacySegment};
pub(crate) use lower_partial::{BothSides, Downside, LowerPartial};
pub(crate) use moments::{HigherMoments, Moments};
pub(crate) use pair::{ActiveReturn, CoMoments};
pub(crate) use path::{Currency, Deepest, DeepestSearch, Drawdowns, Episode, Returns, Underwater, Walk};
pub(crate) use product::Product;
pub(crate) use run::Runs;
pub(crate) use sample::Values;
pub(crate) use segment::{CurrencySegment, ReturnSegment};
pub(crate) use wealth::Wealth;
pub(crate) use win_loss::WinLoss;

use crate::constants::{Constants, Method};
use crate::row::Row;

/// A summary of rows to which rows are added one at a time, in their order.
pub(crate) trait State: Clone + Debug + Send + Sync + 'static {
    /// One row of input: a value, or a pair of values.
    type Row: Row;

    /// The state of no rows.
    fn new(constants: &Constants) -> Self;

    /// Whether two states of no rows are the same: whether the constants that [`Self::new`] has used are.
    fn begins_like(&self, _: &Self) -> bool {
        true
    }

    /// Adds a row.
    fn push(&mut self, row: Self::Row);

    /// Adds rows in their order; a state may sum them up on their own and join the result, to the same within rounding.
    fn push_all(&mut self, rows: &[Self::Row]) {
        rows.iter().for_each(|&row| self.push(row));
    }

    /// Whether two states can merge at all.
    const MERGES: bool = true;

    /// Adds the rows of `later`, which for path states follow in time. Does nothing where [`Self::MERGES`] is false.
    fn merge(&mut self, later: &Self);

    /// Whether this state, built by merging, is as good as one built row by row.
    fn merges(&self) -> bool {
        Self::MERGES
    }

    /// Rows counted, and whether one was NaN.
    fn tally(&self) -> Tally;
}

/// A state whose partial results travel between the stages of an aggregation as a fixed number of doubles.
pub(crate) trait Partial: State {
    /// Number of doubles.
    const WIDTH: usize;

    /// Appends [`Self::WIDTH`] doubles.
    fn write(&self, out: &mut Vec<f64>);

    /// Takes over what [`Self::write`] wrote; `self` is a new state.
    fn read(&mut self, partial: &[f64]);
}

/// Rows that are at least summed up together: for fewer, joining the parts costs more than it saves.
const FEWEST_TOGETHER: usize = 16;

/// Values whose squares and sums stay finite, however many there are. NaN and infinities are not below it.
const LARGEST_TOGETHER: f64 = 1e140;

/// Rows counted, and whether one of them was NaN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) nan: bool,
}

impl Tally {
    pub(crate) const WIDTH: usize = 2;

    /// Counts a row; false when it is NaN and must not enter the sums.
    #[inline]
    pub(crate) fn admits(&mut self, row: f64) -> bool {
        self.rows += 1;
        self.nan |= row.is_nan();
        !row.is_nan()
    }

    /// Counts rows that can be summed up together; false, and none is counted, where they are too few to gain, or one is no ordinary number.
    pub(crate) fn admits_all(&mut self, rows: &[f64]) -> bool {
        let ordinary = rows.len() >= FEWEST_TOGETHER && rows.iter().fold(true, |all, x| all & (x.abs() < LARGEST_TOGETHER));
        self.rows += if ordinary { rows.len() as u64 } else { 0 };
        ordinary
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.nan |= other.nan;
    }

    pub(crate) fn n(self) -> f64 {
        self.rows as f64
    }

    pub(crate) fn write(self, out: &mut Vec<f64>) {
        out.extend([self.n(), f64::from(u8::from(self.nan))]);
    }

    pub(crate) fn read(partial: &[f64]) -> Self {
        Self { rows: count(partial[0]), nan: partial[1] != 0.0 }
    }
}

/// A count that a partial result carries. No more than a double counts exactly: a larger one is no count, and could overflow.
pub(crate) fn count(x: f64) -> u64 {
    (x as u64).min(1 << f64::MANTISSA_DIGITS)
}

/// A formula over a state; `None` is undefined, that is NULL.
pub(crate) type Formula<S> = fn(&S, &Constants) -> Option<f64>;

/// A formula over all values, of which there is at least one and none is NaN.
pub(crate) type SampleFormula = fn(Values<'_>, &Constants) -> Option<f64>;

/// The state a metric keeps and the formula it evaluates over it.
#[derive(Debug)]
pub(crate) enum Compute {
    Total(Formula<Total>),
    Product(Formula<Product>),
    Moments(Formula<Moments>),
    HigherMoments(Formula<HigherMoments>),
    Downside(Formula<LowerPartial<Downside>>),
    BothSides(Formula<LowerPartial<BothSides>>),
    WinLoss(Formula<WinLoss>),
    Extremes(Formula<Extremes>),
    CoMoments(Formula<CoMoments>),
    ActiveReturn(Formula<ActiveReturn>),
    LegacyLosses(Formula<LegacyLosses>),
    Sample(SampleFormula),
    ReturnSegment(Formula<ReturnSegment>),
    CurrencySegment(Formula<CurrencySegment>),
    LegacySegment(Formula<LegacySegment>),
    Runs(Formula<Runs>),
    ReturnDrawdowns(Formula<Drawdowns<Returns>>),
    CurrencyDrawdowns(Formula<Drawdowns<Currency>>),
    ReturnUnderwater(Formula<Underwater<Returns>>),
    CurrencyUnderwater(Formula<Underwater<Currency>>),
    /// The constant method decides.
    ByMethod(fn(Method) -> Compute),
    /// Details of the deepest drawdown of returns: several values, with dates.
    ReturnDetails,
    /// Details of the deepest drawdown of currency profits.
    CurrencyDetails,
    /// Observations a year from distinct dates.
    Dates,
    /// Confidence interval of another metric.
    Bootstrap,
}

/// What can be made from a state and a formula, whatever they are: an accumulator, a group accumulator...
pub(crate) trait Maker {
    type Made;

    fn mergeable<S: Partial>(self, formula: Formula<S>) -> Self::Made;
    fn sample(self, formula: SampleFormula) -> Self::Made;
    fn path<S: State<Row = f64>>(self, formula: Formula<S>) -> Self::Made;
    fn details<W: Walk>(self) -> Self::Made;
    fn dates(self) -> Self::Made;
    fn bootstrap(self) -> Self::Made;
}

impl Compute {
    /// The one place that goes from the table's entry to the state's type.
    pub(crate) fn make<M: Maker>(&self, method: Method, maker: M) -> M::Made {
        match self {
            Self::Total(f) => maker.mergeable(*f),
            Self::Product(f) => maker.mergeable(*f),
            Self::Moments(f) => maker.mergeable(*f),
            Self::HigherMoments(f) => maker.mergeable(*f),
            Self::Downside(f) => maker.mergeable(*f),
            Self::BothSides(f) => maker.mergeable(*f),
            Self::WinLoss(f) => maker.mergeable(*f),
            Self::Extremes(f) => maker.mergeable(*f),
            Self::CoMoments(f) => maker.mergeable(*f),
            Self::ActiveReturn(f) => maker.mergeable(*f),
            Self::LegacyLosses(f) => maker.mergeable(*f),
            Self::Sample(f) => maker.sample(*f),
            Self::ReturnSegment(f) => maker.path(*f),
            Self::CurrencySegment(f) => maker.path(*f),
            Self::LegacySegment(f) => maker.path(*f),
            Self::Runs(f) => maker.path(*f),
            Self::ReturnDrawdowns(f) => maker.path(*f),
            Self::CurrencyDrawdowns(f) => maker.path(*f),
            Self::ReturnUnderwater(f) => maker.path(*f),
            Self::CurrencyUnderwater(f) => maker.path(*f),
            Self::ByMethod(choose) => choose(method).make(method, maker),
            Self::ReturnDetails => maker.details::<Returns>(),
            Self::CurrencyDetails => maker.details::<Currency>(),
            Self::Dates => maker.dates(),
            Self::Bootstrap => maker.bootstrap(),
        }
    }
}
