//! The percentile bootstrap of a metric: B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979.
//!
//! The values are sorted first, so that the draws do not depend on the order of arrival, and every group starts from the same seed, so that
//! they do not depend on other groups.

use std::fmt::Debug;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, internal_datafusion_err, resources_err};

use super::keep::{Keep, groups};
use super::{Call, Input};
use crate::constants::{BILLION, Constants};
use crate::finish::{Finish, OfSorted, SampleFinish, sort};
use crate::metrics;
use crate::random::Generator;
use crate::row::{Row, canonical};
use crate::states::{Formula, Maker, Partial, SampleFormula, State, Values, Walk};

use super::keep::KeepSorted;

/// Type of the result.
pub(crate) fn interval_type() -> DataType {
    DataType::Struct(fields())
}

fn fields() -> Fields {
    let double = |name: &str| Field::new(name, DataType::Float64, true);
    Fields::from(vec![double("estimate"), double("lower"), double("upper"), Field::new("undefined", DataType::Int64, true)])
}

/// Most random draws for one interval, some tens of seconds.
const MOST_DRAWS: usize = 2_000_000_000;

/// The metric over sorted values without NaN; `None` is undefined.
type Statistic = Box<dyn Fn(&[f64]) -> Option<f64> + Send + Sync>;

/// Makes the statistic of a metric; `None` where order or a second series matters.
struct StatisticMaker(Constants);

impl Maker for StatisticMaker {
    type Made = Option<Statistic>;

    fn mergeable<S: Partial>(self, formula: Formula<S>) -> Self::Made {
        let finish = Finish { formula, constants: self.0 };
        let of = move |values: &[f64]| finish.fold(values.iter().map(|x| S::Row::read(std::slice::from_ref(x))));
        (S::Row::WIDTH == 1).then(|| Box::new(of) as Statistic)
    }

    fn sample(self, formula: SampleFormula) -> Self::Made {
        let finish = SampleFinish { formula, constants: self.0 };
        Some(Box::new(move |values| finish.of_sorted(values)))
    }

    fn path<S: State<Row = f64>>(self, _: Formula<S>) -> Self::Made {
        None
    }

    fn details<W: Walk>(self) -> Self::Made {
        None
    }

    fn dates(self) -> Self::Made {
        None
    }

    fn bootstrap(self) -> Self::Made {
        None
    }
}

/// The interval of one group; `None` is NULL.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Interval {
    estimate: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    undefined: Option<i64>,
}

/// Values to be resampled.
pub(crate) struct KeepResampled {
    values: KeepSorted<f64, SampleFinish>,
    statistic: Statistic,
    constants: Constants,
    distinct: bool,
}

impl Debug for KeepResampled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeepResampled").field("constants", &self.constants).finish_non_exhaustive()
    }
}

impl KeepResampled {
    pub(super) fn try_new(call: &Call) -> Result<Self> {
        let metric = call.constants.statistic.and_then(metrics::find);
        let statistic = metric.and_then(|metric| {
            let constants = Constants::defaults(&metric.page());
            metric.compute.make(constants.method, StatisticMaker(constants))
        });
        let statistic = statistic.ok_or_else(|| internal_datafusion_err!("bootstrap of a metric that cannot be resampled"))?;
        let input: Input = call.input();
        let never = SampleFinish { formula: |_, _| None, constants: call.constants };
        let values = KeepSorted::new(input, never, call.distinct);
        Ok(Self { values, statistic, constants: call.constants, distinct: call.distinct })
    }

    /// Refuses what would hold a thread for minutes, as nothing can interrupt it.
    fn affordable(&self, rows: usize) -> Result<()> {
        let resamples = self.constants.resamples;
        if rows.saturating_mul(resamples) <= MOST_DRAWS {
            return Ok(());
        }
        resources_err!(
            "bootstrap_interval: {resamples} resamples of {rows} rows are more than {MOST_DRAWS} draws: lower resamples, or group the rows"
        )
    }

    /// The interval of sorted values.
    fn interval(&self, sorted: &[f64]) -> Interval {
        let Some(last) = sorted.last().filter(|_| sorted.len() > 1) else { return Interval::default() };
        if last.is_nan() {
            let nan = Some(f64::NAN);
            return Interval { estimate: nan, lower: nan, upper: nan, undefined: None };
        }
        let mut found = self.resamples(sorted);
        let undefined = self.constants.resamples - found.len();
        found.sort_by(f64::total_cmp);
        let tail = self.constants.tail / 2;
        // More undefined resamples than a tail holds could move its bound anywhere.
        let told = undefined as f64 <= tail as f64 / BILLION as f64 * self.constants.resamples as f64;
        let nan = found.iter().any(|x| x.is_nan());
        let bound = |tail| match (told, nan) {
            (false, _) => None,
            (true, true) => Some(f64::NAN),
            (true, false) => Values::Sorted(&found).quantile(tail).map(|x| x + 0.0),
        };
        Interval { estimate: (self.statistic)(sorted), lower: bound(tail), upper: bound(BILLION - tail), undefined: Some(undefined as i64) }
    }

    /// The metric of each resample in which it is defined.
    fn resamples(&self, sorted: &[f64]) -> Vec<f64> {
        let mut generator = Generator::new(self.constants.seed);
        let mut times = vec![0_u32; sorted.len()];
        let mut drawn = Vec::with_capacity(sorted.len());
        let resample = |_| {
            times.fill(0);
            (0..sorted.len()).for_each(|_| times[generator.below(sorted.len())] += 1);
            drawn.clear();
            sorted.iter().zip(&times).for_each(|(&x, &times)| drawn.extend(std::iter::repeat_n(x, times as usize)));
            (self.statistic)(&drawn)
        };
        (0..self.constants.resamples).filter_map(resample).collect()
    }
}

impl Keep for KeepResampled {
    type Item = f64;

    fn read(&self, values: &[ArrayRef], filter: Option<&BooleanArray>, mut keep: impl FnMut(usize, f64)) -> Result<()> {
        self.values.read(values, filter, |i, x| keep(i, canonical(x)))
    }

    fn read_partial(&self, partial: &[ArrayRef], keep: impl FnMut(usize, f64)) -> Result<()> {
        self.values.read_partial(partial, keep)
    }

    fn write_partial(&self, items: &[f64], ends: &[usize]) -> Result<Vec<ArrayRef>> {
        self.values.write_partial(items, ends)
    }

    fn evaluate(&self, items: &mut [f64], ends: &[usize]) -> Result<ArrayRef> {
        let intervals = groups(items, ends).map(|rows| {
            let kept = sort(rows, self.distinct);
            self.affordable(kept)?;
            Ok(self.interval(&rows[..kept]))
        });
        let intervals = intervals.collect::<Result<Vec<_>>>()?;
        let doubles = |field: fn(&Interval) -> Option<f64>| Arc::new(intervals.iter().map(field).collect::<Float64Array>()) as ArrayRef;
        let undefined: Int64Array = intervals.iter().map(|interval| interval.undefined).collect();
        let columns = vec![doubles(|i| i.estimate), doubles(|i| i.lower), doubles(|i| i.upper), Arc::new(undefined)];
        Ok(Arc::new(StructArray::try_new(fields(), columns, None)?))
    }
}
