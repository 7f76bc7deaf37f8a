//! Distinct dates and the observations a year that they tell. Every distinct date is kept once; in frames it is counted, so that it stays
//! until its last row has left: whole numbers, hence exact.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, resources_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::Call;
use super::partial::{bounds, lists, lists_of};
use crate::constants::is_instant;

const DAYS_A_YEAR: f64 = 365.25;

/// Below so many entries it does not pay to look for equal ones.
const FEW: usize = 8192;

/// How dates of a type are measured.
#[derive(Debug, Clone, Copy)]
struct Calendar {
    units_a_day: f64,
}

impl Calendar {
    fn try_new(call: &Call) -> Result<Self> {
        match call.time.as_ref().and_then(units_a_day) {
            Some(units) => Ok(Self { units_a_day: units as f64 }),
            None => exec_err!("periods_per_year: its argument is {:?}, not a date or timestamp", call.time),
        }
    }

    /// Observations a year of so many distinct dates.
    fn observations_a_year(self, distinct: usize, first: i64, last: i64) -> Option<f64> {
        let days = (i128::from(last) - i128::from(first)) as f64 / self.units_a_day;
        (distinct > 1).then(|| (distinct - 1) as f64 / (days / DAYS_A_YEAR))
    }
}

/// How many units of a type of dates or timestamps are a day; `None` for other types.
pub(super) fn units_a_day(data_type: &DataType) -> Option<i64> {
    match data_type {
        DataType::Date32 => Some(1),
        DataType::Timestamp(TimeUnit::Second, _) => Some(86_400),
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => Some(86_400_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(86_400_000_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(86_400_000_000_000),
        _ => None,
    }
}

/// Dates or timestamps as whole numbers of their unit.
pub(super) fn instants(times: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(times, &DataType::Int64)?.as_primitive().clone())
}

/// The dates of a batch as whole numbers of their unit.
fn read(values: &[ArrayRef]) -> Result<Int64Array> {
    match values.first() {
        Some(dates) if is_instant(dates.data_type()) => instants(dates),
        other => exec_err!("periods_per_year: its argument is {:?}, not a date or timestamp", other.map(|array| array.data_type())),
    }
}

/// Visits (list, date) of a partial result.
fn read_partial(partial: &[ArrayRef], mut visit: impl FnMut(usize, i64)) -> Result<()> {
    let parts = lists(partial, 0)?;
    let dates = parts.values().as_primitive_opt::<Int64Type>();
    let dates = dates.ok_or_else(|| exec_datafusion_err!("periods_per_year: its partial result is not BIGINT"))?;
    (0..parts.len()).for_each(|i| dates.values()[bounds(parts, i)].iter().for_each(|&date| visit(i, date)));
    Ok(())
}

fn write_partial(dates: Vec<i64>, ends: &[usize]) -> ArrayRef {
    lists_of(ends, Arc::new(Int64Array::from(dates)))
}

/// The distinct dates of one group or window frame.
#[derive(Debug)]
pub(super) struct DatesAccumulator {
    calendar: Calendar,
    rows: BTreeMap<i64, u64>,
}

impl DatesAccumulator {
    pub(super) fn try_new(call: &Call) -> Result<Self> {
        Ok(Self { calendar: Calendar::try_new(call)?, rows: BTreeMap::new() })
    }
}

impl Accumulator for DatesAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        read(values)?.iter().flatten().for_each(|date| *self.rows.entry(date).or_default() += 1);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for date in read(values)?.iter().flatten() {
            if let Some(rows) = self.rows.get_mut(&date) {
                *rows = rows.saturating_sub(1);
                if *rows == 0 {
                    self.rows.remove(&date);
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let ends = self.rows.first_key_value().zip(self.rows.last_key_value());
        let result = ends.and_then(|((first, _), (last, _))| self.calendar.observations_a_year(self.rows.len(), *first, *last));
        Ok(ScalarValue::Float64(result))
    }

    fn size(&self) -> usize {
        // Nodes of a B-tree are at least half full.
        size_of_val(self) + 2 * self.rows.len() * size_of::<(i64, u64)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let dates: Vec<i64> = self.rows.keys().copied().collect();
        let ends = [dates.len()];
        Ok(vec![ScalarValue::try_from_array(&write_partial(dates, &ends), 0)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        read_partial(states, |_, date| *self.rows.entry(date).or_default() += 1)
    }
}

/// The dates of many groups in one list; equal ones are dropped whenever it has doubled.
#[derive(Debug)]
pub(super) struct GroupedDates {
    calendar: Calendar,
    entries: Vec<(u32, i64)>,
    /// Length at which equal entries are dropped next.
    limit: usize,
    total: usize,
}

impl GroupedDates {
    pub(super) fn try_new(call: &Call) -> Result<Self> {
        Ok(Self { calendar: Calendar::try_new(call)?, entries: Vec::new(), limit: FEW, total: 0 })
    }

    fn grow(&mut self, total: usize) -> Result<()> {
        if u32::try_from(total).is_err() {
            return resources_err!("finance functions hold at most {} groups, the query has {total}", u32::MAX);
        }
        self.total = total;
        Ok(())
    }

    fn push(&mut self, group: usize, date: i64) {
        self.entries.push((group as u32, date));
        if self.entries.len() >= self.limit {
            self.compact();
            self.limit = (2 * self.entries.len()).max(FEW);
        }
    }

    fn compact(&mut self) {
        self.entries.sort_unstable();
        self.entries.dedup();
    }

    /// The distinct dates of each group to emit, ascending; the other groups get lower numbers.
    fn take(&mut self, emit_to: EmitTo) -> Vec<Vec<i64>> {
        self.compact();
        let emitted = match emit_to {
            EmitTo::All => self.total,
            EmitTo::First(n) => n.min(self.total),
        };
        let kept = self.entries.split_off(self.entries.partition_point(|&(group, _)| (group as usize) < emitted));
        let mut groups = vec![Vec::new(); emitted];
        std::mem::replace(&mut self.entries, kept).into_iter().for_each(|(group, date)| groups[group as usize].push(date));
        self.entries.iter_mut().for_each(|entry| entry.0 -= emitted as u32);
        self.limit = (2 * self.entries.len()).max(FEW);
        self.total -= emitted;
        groups
    }
}

impl GroupsAccumulator for GroupedDates {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups)?;
        for (i, (date, &group)) in read(values)?.iter().zip(group_indices).enumerate() {
            if let Some(date) = date.filter(|_| chosen(opt_filter, i)) {
                self.push(group, date);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let calendar = self.calendar;
        let of = |dates: &Vec<i64>| calendar.observations_a_year(dates.len(), *dates.first()?, *dates.last()?);
        Ok(Arc::new(self.take(emit_to).iter().map(of).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        let ends: Vec<usize> = groups.iter().scan(0, |end, dates| Some(std::mem::replace(end, *end + dates.len()) + dates.len())).collect();
        Ok(vec![write_partial(groups.concat(), &ends)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups)?;
        read_partial(values, |i, date| self.push(group_indices[i], date))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let (mut dates, mut ends) = (Vec::new(), Vec::new());
        for (i, date) in read(values)?.iter().enumerate() {
            dates.extend(date.filter(|_| chosen(opt_filter, i)));
            ends.push(dates.len());
        }
        Ok(vec![write_partial(dates, &ends)])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.entries.capacity() * size_of::<(u32, i64)>()
    }
}

/// Whether the filter lets row `i` through.
fn chosen(filter: Option<&BooleanArray>, i: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(i) && filter.value(i))
}
