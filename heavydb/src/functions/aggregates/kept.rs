//! Aggregates that keep values of any type: MODE, SINGLE_VALUE and the exact quantiles.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::Accumulator;

/// The lists of a partial result.
fn lists(states: &[ArrayRef], i: usize) -> Result<impl Iterator<Item = ArrayRef>> {
    let lists = states.get(i).and_then(|lists| lists.as_list_opt::<i32>());
    Ok(lists.ok_or_else(|| exec_datafusion_err!("the partial results of an aggregate are missing"))?.iter().flatten())
}

fn list(values: ArrayRef) -> ScalarValue {
    SingleRowListArrayBuilder::new(values).build_list_scalar()
}

/// How often each value occurs.
#[derive(Debug)]
pub(super) struct Mode {
    data_type: DataType,
    converter: RowConverter,
    counts: HashMap<Box<[u8]>, i64>,
    bytes: usize,
}

impl Mode {
    pub(super) fn try_new(data_type: &DataType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Self { data_type: data_type.clone(), converter, counts: HashMap::new(), bytes: 0 })
    }

    fn add(&mut self, values: &ArrayRef, counts: Option<&Int64Array>) -> Result<()> {
        let nulls = values.logical_nulls();
        let rows = self.converter.convert_columns(std::slice::from_ref(values))?;
        for (i, row) in rows.iter().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
                continue;
            }
            let count = counts.map_or(1, |counts| counts.value(i));
            match self.counts.get_mut(row.data()) {
                Some(total) => *total += count,
                None => {
                    self.bytes += row.data().len() + size_of::<(Box<[u8]>, i64)>();
                    self.counts.insert(row.data().into(), count);
                }
            }
        }
        Ok(())
    }

    fn values<'a>(&'a self, keys: impl Iterator<Item = &'a [u8]>) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(keys.map(|key| parser.parse(key)))?;
        columns.into_iter().next().ok_or_else(|| exec_datafusion_err!("MODE has no column"))
    }
}

impl Accumulator for Mode {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return exec_err!("MODE needs an argument") };
        self.add(values, None)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        // A tie goes to the least value, so that the answer does not depend on the order of the rows.
        let best = self.counts.iter().max_by(|(a, m), (b, n)| m.cmp(n).then_with(|| b.cmp(a)));
        match best {
            Some((key, _)) => ScalarValue::try_from_array(&self.values(std::iter::once(&**key))?, 0),
            None => ScalarValue::try_from(&self.data_type),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.converter.size() + self.bytes
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.values(self.counts.keys().map(|key| &**key))?;
        let counts: Int64Array = self.counts.values().copied().collect();
        Ok(vec![list(values), list(Arc::new(counts))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (values, counts) in lists(states, 0)?.zip(lists(states, 1)?) {
            self.add(&values, Some(counts.as_primitive::<Int64Type>()))?;
        }
        Ok(())
    }
}

/// The one value of a group.
#[derive(Debug)]
pub(super) struct SingleValue(ScalarValue);

impl SingleValue {
    pub(super) fn try_new(data_type: &DataType) -> Result<Self> {
        Ok(Self(ScalarValue::try_from(data_type)?))
    }
}

impl Accumulator for SingleValue {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return exec_err!("SINGLE_VALUE needs an argument") };
        let nulls = values.logical_nulls();
        for i in (0..values.len()).filter(|&i| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i))) {
            let value = ScalarValue::try_from_array(values, i)?;
            if self.0.is_null() {
                self.0 = value;
            } else if self.0 != value {
                return exec_err!("SINGLE_VALUE found {} and {value} in one group; use SAMPLE, or group by the column", self.0);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.0.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.0.clone()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// The value below which a share `p` of the values lies.
#[derive(Debug)]
pub(super) struct Quantile {
    p: f64,
    values: Vec<f64>,
}

impl Quantile {
    pub(super) fn new(p: f64) -> Self {
        Self { p, values: vec![] }
    }
}

/// With `k = p · count`: for a whole `k` the mean of the `k`-th and the next value, else value `⌊k⌋ + 1`, counted from 1; the least value
/// for `p = 0`, the greatest for `p = 1`. `None` without values. Sorts in part.
pub(super) fn quantile(values: &mut [f64], p: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let k = p * values.len() as f64;
    let (below, is_whole) = (k.floor(), k.fract() == 0.0);
    let upper = (below as usize).min(last);
    let (lower_half, &mut at, _) = values.select_nth_unstable_by(upper, f64::total_cmp);
    if !is_whole || below == 0.0 || below as usize > last {
        return Some(at);
    }
    let before = lower_half.iter().copied().max_by(f64::total_cmp)?;
    Some(f64::midpoint(before, at))
}

impl Accumulator for Quantile {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return exec_err!("a quantile needs an argument") };
        let values = cast(values, &DataType::Float64)?;
        self.values.extend(values.as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(quantile(&mut self.values, self.p)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = std::mem::take(&mut self.values);
        Ok(vec![list(Arc::new(datafusion::arrow::array::Float64Array::from(values)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists: Vec<ArrayRef> = lists(states, 0)?.collect();
        let lists: Vec<&dyn Array> = lists.iter().map(AsRef::as_ref).collect();
        if lists.is_empty() { Ok(()) } else { self.update_batch(&[concat(&lists)?]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_share_is_the_mean_of_two_values() {
        let mut values = [2.2, 2.4, 2.2, 2.4];
        assert_eq!(quantile(&mut values, 0.5), Some(2.3));
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0, 2.0], 0.25), Some(1.5));
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0], 0.5), Some(3.0));
    }

    #[test]
    fn the_ends_are_least_and_greatest() {
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0], 0.0), Some(1.0));
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0], 1.0), Some(4.0));
        assert_eq!(quantile(&mut [7.0], 0.99), Some(7.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
