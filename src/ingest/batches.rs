//! Rows of a strategy table, made from a source in the order of the table and in batches of whole strategies.

use std::ops::Range;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate, TimeDelta};
use datafusion::arrow::array::{ArrayRef, AsArray, DictionaryArray, Float64Array, Int32Array, StringArray, UInt32Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, Int32Type, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;

use super::period_columns::text_type;
use super::source::StrategySource;
use crate::error::{Error, Result};

/// Rows of one batch, about: whole strategies are kept together.
pub const TARGET_ROWS: usize = 262_144;

/// Periods of a source that go into one partition of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodPartition {
    /// Calendar year.
    pub year: i32,
    /// Calendar month, 1 to 12, where the table has slots and is partitioned by month too.
    pub month: Option<i32>,
    /// Its periods.
    pub periods: Range<usize>,
}

/// Splits the periods of a source by year, and by month where it has slots. Periods come in table order, so every partition is one range.
///
/// # Errors
/// [`Error::Internal`] for a source whose periods have no date column.
pub fn partitions(source: &dyn StrategySource) -> Result<Vec<PeriodPartition>> {
    let periods = source.periods();
    let dates = periods.column_by_name("date").and_then(|c| c.as_primitive_opt::<Date32Type>());
    let dates = dates.ok_or_else(|| Error::Internal("a source without date column".into()))?;
    let by_month = periods.column_by_name("slot").is_some();
    let mut found: Vec<PeriodPartition> = vec![];
    for (period, &days) in dates.values().iter().enumerate() {
        let date = NaiveDate::default() + TimeDelta::days(i64::from(days));
        let (year, month) = (date.year(), by_month.then(|| date.month() as i32));
        match found.last_mut() {
            Some(last) if (last.year, last.month) == (year, month) => last.periods.end = period + 1,
            _ => found.push(PeriodPartition { year, month, periods: period..period + 1 }),
        }
    }
    Ok(found)
}

/// Schema of the rows of a source as they lie in files: `date`, `slot` if there is one, the context columns, `strategy`, `pnl`.
///
/// The partition columns `year` and `month` are not among them.
pub fn table_schema(source: &dyn StrategySource) -> SchemaRef {
    let periods = source.periods().schema();
    let mut fields: Vec<Arc<Field>> = periods.fields().iter().map(Arc::clone).collect();
    fields.push(Arc::new(Field::new("strategy", text_type(), false)));
    fields.push(Arc::new(Field::new("pnl", DataType::Float64, true)));
    Arc::new(Schema::new(fields))
}

/// The strategies of a source (ordinals) in the order of the table, by the bytes of their names.
pub fn strategy_order(source: &dyn StrategySource) -> Arc<[u32]> {
    let names = source.strategies();
    let mut order: Vec<u32> = (0..names.len() as u32).collect();
    order.sort_by(|&a, &b| names[a as usize].cmp(&names[b as usize]));
    order.into()
}

/// All rows of a partition, sorted by (strategy, date, slot), in batches of whole strategies and about [`TARGET_ROWS`] rows.
///
/// # Errors
/// Each batch fails when the source cannot be read.
pub fn batches<'a>(source: &'a dyn StrategySource, partition: &PeriodPartition) -> Batches<'a> {
    Batches::new(source, strategy_order(source), partition.periods.clone(), TARGET_ROWS)
}

/// Iterator over the rows of some strategies and periods of a source.
pub struct Batches<'a> {
    source: &'a dyn StrategySource,
    order: Arc<[u32]>,
    periods: Range<usize>,
    schema: SchemaRef,
    strategies_per_batch: usize,
    next: usize,
    /// Period columns, repeated for as many strategies as a batch holds.
    context: Vec<ArrayRef>,
}

impl<'a> Batches<'a> {
    /// The rows of `order` (ordinals in table order, from [`strategy_order`]) and `periods`, about `target_rows` in a batch.
    ///
    /// Iterators that share an order can run side by side over parts of it.
    pub fn new(source: &'a dyn StrategySource, order: Arc<[u32]>, periods: Range<usize>, target_rows: usize) -> Self {
        let strategies_per_batch = (target_rows / periods.len().max(1)).clamp(1, order.len().max(1));
        Self { source, order, periods, schema: table_schema(source), strategies_per_batch, next: 0, context: vec![] }
    }

    /// Schema of the batches, see [`table_schema`].
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Builds the period columns once: every batch takes the beginning of them.
    fn prepare(&mut self) -> Result<()> {
        let once = self.periods.start as u32..self.periods.end as u32;
        let rows: UInt32Array = (0..self.strategies_per_batch).flat_map(|_| once.clone()).collect();
        let columns = self.source.periods().columns().iter().map(|column| take(column, &rows, None));
        self.context =
            columns.collect::<std::result::Result<_, _>>().map_err(|e| Error::Internal(format!("repeating period columns: {e}")))?;
        Ok(())
    }

    fn batch(&mut self, ordinals: &[u32]) -> Result<RecordBatch> {
        if self.context.is_empty() {
            self.prepare()?;
        }
        let height = self.periods.len();
        let rows = ordinals.len() * height;
        let mut values = vec![0.0; rows];
        self.source.read_block(ordinals, self.periods.clone(), &mut values)?;
        let mut columns: Vec<ArrayRef> = self.context.iter().map(|column| column.slice(0, rows)).collect();
        columns.push(self.names(ordinals, height));
        columns.push(Arc::new(nullable(values)));
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|e| Error::Internal(format!("rows of a strategy table: {e}")))
    }

    fn names(&self, ordinals: &[u32], height: usize) -> ArrayRef {
        let names = self.source.strategies();
        let values = StringArray::from_iter_values(ordinals.iter().map(|&o| names[o as usize].as_str()));
        let keys = Int32Array::from_iter_values((0..ordinals.len() as i32).flat_map(|key| std::iter::repeat_n(key, height)));
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let order = Arc::clone(&self.order);
        let ordinals = order.get(self.next..(self.next + self.strategies_per_batch).min(order.len()))?;
        if ordinals.is_empty() || self.periods.is_empty() {
            return None;
        }
        self.next += ordinals.len();
        Some(self.batch(ordinals))
    }
}

/// Values with NULL for NaN; no mask where there is none, and no NaN left behind it.
pub(super) fn nullable(mut values: Vec<f64>) -> Float64Array {
    if !values.iter().any(|v| v.is_nan()) {
        return Float64Array::from(values);
    }
    let valid: Vec<bool> = values.iter().map(|v| !v.is_nan()).collect();
    values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = 0.0);
    Float64Array::new(values.into(), Some(NullBuffer::from(valid)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{GenerateRequest, GeneratedStrategies, Target};
    use datafusion::arrow::array::Array;
    use datafusion::arrow::compute::{cast, concat_batches};
    use datafusion::arrow::datatypes::Float64Type;

    fn source(zones: u32, nulls: f64) -> GeneratedStrategies {
        let request = GenerateRequest { zones, share_nulls: nulls, ..GenerateRequest::new(23, 300, 5, Target::Table("t".into())) };
        GeneratedStrategies::try_new(&request).unwrap()
    }

    #[test]
    fn periods_are_split_by_year_and_with_slots_by_month() {
        let years = partitions(&source(0, 0.0)).unwrap();
        assert_eq!(years.iter().map(|p| (p.year, p.month)).collect::<Vec<_>>(), [(2015, None), (2016, None)]);
        let months = partitions(&source(2, 0.0)).unwrap();
        assert_eq!((months[0].year, months[0].month, months[0].periods.clone()), (2015, Some(1), 0..44));
        assert!(months.windows(2).all(|pair| pair[0].periods.end == pair[1].periods.start));
        assert_eq!(months.last().unwrap().periods.end, 600);
    }

    #[test]
    fn rows_come_sorted_by_strategy_and_time_with_every_value() {
        for (zones, nulls) in [(0, 0.0), (2, 0.3)] {
            let source = source(zones, nulls);
            let partition = &partitions(&source).unwrap()[0];
            let mut rows = Batches::new(&source, strategy_order(&source), partition.periods.clone(), 100);
            let schema = rows.schema();
            let batches: Vec<RecordBatch> = rows.by_ref().map(|b| b.unwrap()).collect();
            assert!(batches.len() > 1 && batches.iter().all(|b| b.num_rows() % partition.periods.len() == 0));
            let all = concat_batches(&schema, &batches).unwrap();
            check_rows(&source, partition, &all);
            let whole: usize = super::batches(&source, partition).map(|b| b.unwrap().num_rows()).sum();
            assert_eq!(whole, all.num_rows());
        }
    }

    fn check_rows(source: &GeneratedStrategies, partition: &PeriodPartition, all: &RecordBatch) {
        let height = partition.periods.len();
        assert_eq!(all.num_rows(), 23 * height);
        let names = cast(all.column_by_name("strategy").unwrap(), &DataType::Utf8).unwrap();
        let (names, dates) = (names.as_string::<i32>(), all.column(0).as_primitive::<Date32Type>());
        let pnl = all.column_by_name("pnl").unwrap().as_primitive::<Float64Type>();
        let mut order: Vec<usize> = (0..23).collect();
        order.sort_by_key(|&o| &source.strategies()[o]);
        let mut expected = vec![0.0; height];
        for (at, &ordinal) in order.iter().enumerate() {
            source.read_block(&[ordinal as u32], partition.periods.clone(), &mut expected).unwrap();
            for (period, expected) in expected.iter().enumerate() {
                let row = at * height + period;
                assert_eq!(names.value(row), source.strategies()[ordinal]);
                assert_eq!(
                    dates.value(row),
                    source.periods().column(0).as_primitive::<Date32Type>().value(partition.periods.start + period)
                );
                assert_eq!(pnl.is_null(row), expected.is_nan());
                assert!(expected.is_nan() || pnl.value(row).to_bits() == expected.to_bits());
            }
        }
        assert!(!pnl.values().iter().any(|v| v.is_nan()));
        let fields: Vec<_> = all.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!((fields[0].as_str(), fields[fields.len() - 2].as_str(), fields[fields.len() - 1].as_str()), ("date", "strategy", "pnl"));
    }

    #[test]
    fn a_column_without_null_has_no_mask() {
        let source = source(0, 0.0);
        let batch = super::batches(&source, &partitions(&source).unwrap()[0]).next().unwrap().unwrap();
        assert!(batch.column_by_name("pnl").unwrap().nulls().is_none());
    }
}
