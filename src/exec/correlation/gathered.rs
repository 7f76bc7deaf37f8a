//! The values of each series as they came, in memory or, where memory is refused, in a scratch file.

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat, sort_to_indices, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;

use super::bits::Bits;
use super::collect::{CollectedSeries, OneSeries};
use super::periods::{Period, Periods};
use super::store::{RowFacts, Store};
use super::waiting::Waiting;

/// What is said of values that have no correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Infinities {
    /// The query fails and names the value.
    Refused,
    /// The pairs of the series are NaN or NULL, as with SQL's aggregates.
    Kept,
}

/// Series of one relation, in the order in which they came.
#[derive(Debug)]
pub(super) struct Gathered {
    names: Vec<ArrayRef>,
    pub(super) store: Store,
    pub(super) periods: Periods,
    infinities: Infinities,
    /// How a period is written in messages.
    date_type: DataType,
}

impl Gathered {
    pub(super) fn new(reservation: MemoryReservation, infinities: Infinities, date_type: DataType) -> Self {
        Self { names: vec![], store: Store::new(reservation), periods: Periods::default(), infinities, date_type }
    }

    /// Adds the series of a batch, while somebody waits: the names, and what the aggregate has collected of each.
    ///
    /// # Errors
    /// A series without a name, two values of one period, an infinite value where they are refused, a scratch file that cannot be written, memory that is
    /// refused.
    pub(super) fn push(&mut self, batch: &RecordBatch, waiting: &Waiting) -> Result<()> {
        let (names, series) = (batch.column(0), batch.column(1));
        if names.logical_null_count() > 0 {
            return exec_err!("the strategy of some rows is NULL: name them, or leave them out with WHERE strategy IS NOT NULL");
        }
        let series = CollectedSeries::try_new(series)?;
        for index in 0..batch.num_rows() {
            waiting.check()?;
            self.add(&series.get(index), &|| array_value_to_string(names, index).unwrap_or_default())?;
        }
        // Not a slice of the batch, which would keep the values.
        self.names.push(take(names, &UInt32Array::from_iter_values(0..batch.num_rows() as u32), None)?);
        Ok(())
    }

    fn add(&mut self, one: &OneSeries<'_>, name: &dyn Fn() -> String) -> Result<()> {
        let finite = self.all_finite(one, name)?;
        let before = self.periods.size_bytes();
        let known = self.periods.begin_with(one.dates, one.slots) || self.adopt(one);
        let (values, valid, present) = if known { in_order(one) } else { self.scattered(one, name)? };
        self.store.reserve(self.periods.size_bytes() - before)?;
        self.store.push(values, RowFacts { valid, present, finite })
    }

    fn all_finite(&self, one: &OneSeries<'_>, name: &dyn Fn() -> String) -> Result<bool> {
        let bad = |&row: &usize| !one.values[row].is_finite() && one.valid.as_ref().is_none_or(|valid| valid.is_valid(row));
        // The sum of the magnitudes tells of any; rows without a value may hold anything.
        let suspicious = !one.values.iter().map(|value| value.abs()).sum::<f64>().is_finite();
        match suspicious.then(|| (0..one.values.len()).find(bad)).flatten() {
            None => Ok(true),
            Some(row) if self.infinities == Infinities::Refused => exec_err!(
                "strategy '{}' has the value {} on {}: leave such rows out, or make them NULL",
                name(),
                one.values[row],
                self.written(one.dates[row], one.slots.get(row))
            ),
            Some(_) => Ok(false),
        }
    }

    /// Takes over the periods of the first series, which then come in its order, if no two are the same.
    fn adopt(&mut self, one: &OneSeries<'_>) -> bool {
        if self.periods.count() > 0 {
            return false;
        }
        let numbers = (0..one.dates.len()).map(|row| self.periods.number(period(one, row), row));
        numbers.enumerate().filter(|(row, number)| row != number).count() == 0
    }

    /// A series whose periods are not the first ones in their order.
    fn scattered(&mut self, one: &OneSeries<'_>, name: &dyn Fn() -> String) -> Result<(Vec<f64>, Option<Bits>, Option<Bits>)> {
        let (mut valid, mut present) = (Bits::default(), Bits::default());
        let mut values = vec![];
        let mut guess = 0;
        for (row, &value) in one.values.iter().enumerate() {
            let number = self.periods.number(period(one, row), guess);
            guess = number + 1;
            if present.contains(number) {
                return exec_err!(
                    "strategy '{}' has two rows on {}: a correlation needs one value per strategy and date{}",
                    name(),
                    self.written(one.dates[row], one.slots.get(row)),
                    if one.slots.is_empty() {
                        " (and slot, where a column of that name exists): add them up first, (SELECT strategy, date, sum(pnl) AS pnl FROM .. GROUP BY strategy, date)"
                    } else {
                        " and slot"
                    }
                );
            }
            present.insert(number);
            if number >= values.len() {
                values.resize(number + 1, 0.0);
            }
            if one.valid.as_ref().is_none_or(|valid| valid.is_valid(row)) {
                valid.insert(number);
                values[number] = value;
            }
        }
        let whole = valid == Bits::first(values.len());
        let differs = valid != present;
        Ok((values, (!whole).then_some(valid), differs.then_some(present)))
    }

    fn written(&self, date: i64, slot: Option<&i64>) -> String {
        let date = super::periods::written(date, &self.date_type);
        slot.map_or_else(|| date.clone(), |slot| format!("{date}, slot {slot}"))
    }

    /// The names in their order, and the place of each.
    ///
    /// # Errors
    /// Names that have no order.
    pub(super) fn sorted_names(&self, data_type: &DataType) -> Result<(ArrayRef, Vec<u32>)> {
        let parts: Vec<&dyn Array> = self.names.iter().map(AsRef::as_ref).collect();
        let all = if parts.is_empty() { datafusion::arrow::array::new_empty_array(data_type) } else { concat(&parts)? };
        let order = sort_to_indices(&all, None, None)?;
        Ok((take(&all, &order, None)?, order.values().to_vec()))
    }
}

fn period(one: &OneSeries<'_>, row: usize) -> Period {
    (one.dates[row], one.slots.get(row).copied().unwrap_or(0))
}

/// A series over the first periods in their order.
fn in_order(one: &OneSeries<'_>) -> (Vec<f64>, Option<Bits>, Option<Bits>) {
    let Some(nulls) = &one.valid else { return (one.values.to_vec(), None, None) };
    let mut valid = Bits::first(one.values.len());
    let mut values = one.values.to_vec();
    for row in (0..values.len()).filter(|&row| nulls.is_null(row)) {
        valid.remove(row);
        values[row] = 0.0;
    }
    (values, Some(valid), Some(Bits::first(one.values.len())))
}
