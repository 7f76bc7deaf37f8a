//! Depth, dates and lengths of the deepest drawdown, as a struct.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StructArray, UInt64Array, new_empty_array};
use datafusion::arrow::compute::{SortOptions, cast, take};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, not_impl_err};
use datafusion::logical_expr::Accumulator;

use super::Call;
use super::dates::{instants, units_a_day};
use super::keep::{Keep, OrderedRows, groups, in_order, read_keyed, write_keyed};
use super::key::{KeyEncoder, OrderKey};
use super::partial::{lists, lists_of};
use crate::metric::NullRows;
use crate::row::Series;
use crate::states::{Deepest, DeepestSearch, Episode, Walk};

/// The struct's type for times of type `time`; without times, dates are row numbers.
pub(crate) fn drawdown_type(time: Option<&DataType>) -> DataType {
    let date = time.unwrap_or(&DataType::Int64);
    let field = |name: &str, data_type: &DataType| Field::new(name, data_type.clone(), true);
    DataType::Struct(Fields::from(vec![
        field("max_drawdown", &DataType::Float64),
        field("peak_date", date),
        field("start_date", date),
        field("trough_date", date),
        field("recovery_date", date),
        field("duration_days", &DataType::Int64),
        field("rows_underwater", &DataType::Int64),
        field("rows_peak_to_trough", &DataType::Int64),
        field("rows_trough_to_recovery", &DataType::Int64),
    ]))
}

/// The deepest drawdown of one group among all rows of an emission: its rows start at `offset` and there are `rows`.
#[derive(Debug, Clone, Copy)]
struct Found {
    deepest: Option<Deepest>,
    offset: usize,
    rows: usize,
}

/// The dates of rows, as values and, where they are dates or timestamps, as whole numbers of their unit.
struct Dates {
    values: Option<ArrayRef>,
    instants: Option<Int64Array>,
    units_a_day: i64,
    /// The rows that the values belong to, ascending; `None` when they are all rows.
    named: Option<Vec<usize>>,
}

impl Dates {
    fn try_new(times: Option<ArrayRef>, named: Option<Vec<usize>>) -> Result<Self> {
        let unit = times.as_ref().and_then(|times| units_a_day(times.data_type()));
        let instants = match (&times, unit) {
            (Some(times), Some(_)) => Some(instants(times)?),
            _ => None,
        };
        Ok(Self { values: times, instants, units_a_day: unit.unwrap_or(1), named })
    }

    /// Where the date of a row lies.
    fn position(&self, row: usize) -> Option<usize> {
        self.named.as_ref().map_or(Some(row), |named| named.binary_search(&row).ok())
    }

    /// The dates at the given rows, numbered over all groups; row numbers within the group where there are no times.
    fn at(&self, rows: &[Option<usize>], found: &[Found]) -> Result<ArrayRef> {
        let Some(values) = &self.values else {
            let numbers = rows.iter().zip(found).map(|(row, group)| row.map(|row| (row - group.offset + 1) as i64));
            return Ok(Arc::new(numbers.collect::<Int64Array>()));
        };
        let indices: UInt64Array = rows.iter().map(|row| row.and_then(|row| self.position(row)).map(|at| at as u64)).collect();
        Ok(take(values, &indices, None)?)
    }

    /// Whole days between two rows.
    fn days(&self, from: usize, to: usize) -> Option<i64> {
        let instants = self.instants.as_ref()?;
        let at = |row: usize| self.position(row).filter(|&i| i < instants.len() && instants.is_valid(i)).map(|i| instants.value(i));
        Some(at(to)?.checked_sub(at(from)?)?.div_euclid(self.units_a_day))
    }
}

/// The struct column of many groups.
fn describe(found: &[Found], dates: &Dates) -> Result<ArrayRef> {
    let episode = |f: &Found| f.deepest.and_then(|d| d.episode);
    let rows = |pick: fn(&Episode) -> Option<usize>| -> Vec<Option<usize>> {
        found.iter().map(|f| episode(f).and_then(|e| pick(&e)).map(|row| f.offset + row)).collect()
    };
    let counts = |count: &dyn Fn(&Found) -> Option<i64>| -> ArrayRef { Arc::new(found.iter().map(count).collect::<Int64Array>()) };
    let depth: Float64Array = found.iter().map(|f| f.deepest.map(|d| d.depth + 0.0)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(depth),
        dates.at(&rows(|e| e.peak), found)?,
        dates.at(&rows(|e| Some(e.start)), found)?,
        dates.at(&rows(|e| Some(e.trough)), found)?,
        dates.at(&rows(|e| e.recovery), found)?,
        counts(&|f| episode(f).and_then(|e| dates.days(f.offset + e.start, f.offset + e.recovery.unwrap_or(f.rows - 1)))),
        counts(&|f| match (f.deepest?, episode(f)) {
            (_, Some(e)) => Some((e.recovery.unwrap_or(f.rows) - e.start) as i64),
            (d, None) => (!d.depth.is_nan()).then_some(0),
        }),
        counts(&|f| episode(f).map(|e| e.peak.map_or(e.trough + 1, |peak| e.trough - peak) as i64)),
        counts(&|f| episode(f).and_then(|e| Some((e.recovery? - e.trough) as i64))),
    ];
    let DataType::Struct(fields) = drawdown_type(dates.values.as_ref().map(|d| d.data_type())) else {
        return not_impl_err!("drawdown details are a struct");
    };
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
}

/// A row kept for the details: its key, its value and its encoded time (empty without times).
type Timed = (Box<[u8]>, f64, Box<[u8]>);

/// Rows to be put in time order, with their times.
#[derive(Debug)]
pub(crate) struct KeepTimed<W> {
    rows: OrderedRows,
    times: Option<Times>,
    walk: PhantomData<W>,
}

/// How times are kept: as bytes of one encoder.
#[derive(Debug)]
struct Times {
    data_type: DataType,
    encoder: KeyEncoder,
}

impl Times {
    fn try_new(time: &DataType) -> Result<Self> {
        let key = OrderKey { data_type: time.clone(), options: SortOptions::default() };
        Ok(Self { data_type: time.clone(), encoder: KeyEncoder::try_new(&[key])? })
    }

    /// The times of kept rows.
    fn decode(&self, items: &[Timed]) -> Result<ArrayRef> {
        let bytes: Vec<&[u8]> = items.iter().map(|item| &*item.2).collect();
        let times = self.encoder.decode(&bytes)?.pop().ok_or_else(no_time)?;
        Ok(if times.data_type() == &self.data_type { times } else { cast(&times, &self.data_type)? })
    }
}

impl<W: Walk> KeepTimed<W> {
    pub(super) fn try_new(call: &Call) -> Result<Self> {
        Ok(Self { rows: OrderedRows::try_new(call)?, times: call.time.as_ref().map(Times::try_new).transpose()?, walk: PhantomData })
    }
}

impl<W: Walk> Keep for KeepTimed<W> {
    type Item = Timed;

    fn read(&self, values: &[ArrayRef], filter: Option<&BooleanArray>, mut keep: impl FnMut(usize, Timed)) -> Result<()> {
        let times = match &self.times {
            Some(times) => Some(times.encoder.rows(values.get(1..2).ok_or_else(no_time)?)?),
            None => None,
        };
        let time = |i: usize| times.as_ref().map_or_else(Default::default, |times| times.row(i).as_ref().into());
        self.rows.read::<Box<[u8]>>(values, filter, |i, (key, value)| keep(i, (key, value, time(i))))
    }

    fn read_partial(&self, partial: &[ArrayRef], mut keep: impl FnMut(usize, Timed)) -> Result<()> {
        // Typed values, not their bytes: bytes that no encoder wrote could not be read back.
        let times = match &self.times {
            Some(times) => {
                let column = lists(partial, 2)?.values();
                if column.data_type() != &times.data_type {
                    return Err(no_time());
                }
                Some(times.encoder.rows(&[Arc::clone(column)])?)
            }
            None => None,
        };
        read_keyed(partial, |i, at, key, value| {
            let time = match &times {
                Some(times) if at < times.num_rows() => times.row(at).as_ref().into(),
                Some(_) => return Err(no_time()),
                None => Default::default(),
            };
            keep(i, (key.into(), value, time));
            Ok(())
        })
    }

    fn write_partial(&self, items: &[Timed], ends: &[usize]) -> Result<Vec<ArrayRef>> {
        let mut columns = write_keyed(items.iter().map(|(key, value, _)| (key, *value)), ends)?;
        if let Some(times) = &self.times {
            columns.push(lists_of(ends, times.decode(items)?));
        }
        Ok(columns)
    }

    fn evaluate(&self, items: &mut [Timed], ends: &[usize]) -> Result<ArrayRef> {
        let mut offset = 0;
        let mut found = Vec::with_capacity(ends.len());
        for rows in groups(items, ends) {
            in_order(rows, |a, b| a.0.cmp(&b.0).then_with(|| a.1.total_cmp(&b.1)).then_with(|| a.2.cmp(&b.2)));
            let mut search = DeepestSearch::<W>::default();
            rows.iter().for_each(|row| search.push(row.1));
            found.push(Found { deepest: search.found(), offset, rows: rows.len() });
            offset += rows.len();
        }
        let times = self.times.as_ref().map(|times| times.decode(items)).transpose()?;
        describe(&found, &Dates::try_new(times, None)?)
    }

    fn heap(&self, item: &Timed) -> usize {
        item.0.len() + item.2.len()
    }
}

/// The details in window frames: rows come in order; a growing frame goes on searching, a moving one is searched anew.
#[derive(Debug)]
pub(super) struct DetailsAccumulator<W> {
    sliding: bool,
    time: Option<DataType>,
    values: VecDeque<f64>,
    times: VecDeque<ScalarValue>,
    search: DeepestSearch<W>,
}

impl<W: Walk> DetailsAccumulator<W> {
    pub(super) fn new(call: &Call, sliding: bool) -> Self {
        let (values, times) = Default::default();
        Self { sliding, time: call.time.clone(), values, times, search: DeepestSearch::default() }
    }

    /// The times of the few rows that the result names.
    fn dates(&self, found: &Found) -> Result<Dates> {
        let Some(time) = &self.time else {
            return Dates::try_new(None, None);
        };
        let mut named = Vec::new();
        if let Some(e) = found.deepest.and_then(|d| d.episode) {
            named.extend([e.peak, Some(e.start), Some(e.trough), e.recovery, Some(found.rows - 1)].into_iter().flatten());
        }
        named.sort_unstable();
        named.dedup();
        let mut times = named.iter().filter_map(|&row| self.times.get(row).cloned()).peekable();
        let times = if times.peek().is_some() { ScalarValue::iter_to_array(times)? } else { new_empty_array(time) };
        Dates::try_new(Some(times), Some(named))
    }
}

impl<W: Walk> Accumulator for DetailsAccumulator<W> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let series = Series::try_new(values, 1, NullRows::Skipped)?;
        let times = values.get(1).filter(|_| self.time.is_some());
        let mut failed = None;
        series.rows(None).each(|i, x: f64| {
            if self.sliding {
                self.values.push_back(x);
            } else {
                self.search.push(x);
            }
            if let Some(times) = times {
                match ScalarValue::try_from_array(times, i) {
                    Ok(time) => self.times.push_back(time),
                    Err(error) => failed = Some(error),
                }
            }
        });
        failed.map_or(Ok(()), Err)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let leaving = Series::try_new(values, 1, NullRows::Skipped)?.rows(None).count();
        self.values.drain(..leaving.min(self.values.len()));
        self.times.drain(..leaving.min(self.times.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.sliding
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.sliding {
            self.search = DeepestSearch::default();
            self.values.iter().for_each(|&x| self.search.push(x));
        }
        let found = Found { deepest: self.search.found(), offset: 0, rows: self.search.rows() };
        ScalarValue::try_from_array(&describe(&[found], &self.dates(&found)?)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>() + self.times.capacity() * size_of::<ScalarValue>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        not_impl_err!("drawdown details of a window frame have no partial result")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        not_impl_err!("drawdown details of a window frame have no partial result")
    }
}

fn no_time() -> datafusion::common::DataFusionError {
    exec_datafusion_err!("drawdown details: the time argument is missing from the batch")
}
