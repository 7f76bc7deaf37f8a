//! Group keys by number.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;
use datafusion::common::utils::normalize_float_zero;

/// Numbers the distinct tuples of group keys in the order in which they come. Without keys there is one empty tuple, number 0.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    converter: Option<Arc<RowConverter>>,
    numbers: HashMap<OwnedRow, u32>,
    rows: Vec<OwnedRow>,
}

impl Keys {
    /// # Errors
    /// A type that has no order.
    pub(super) fn try_new(types: &[DataType]) -> Result<Self> {
        let fields: Vec<_> = types.iter().cloned().map(SortField::new).collect();
        let converter = if fields.is_empty() { None } else { Some(Arc::new(RowConverter::new(fields)?)) };
        Ok(Self { converter, numbers: HashMap::new(), rows: vec![] })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        if self.converter.is_none() { 1 } else { self.rows.len() }
    }

    /// The number of each row's keys.
    pub(super) fn number(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let Some(converter) = &self.converter else { return Ok(vec![0; rows]) };
        // -0.0 and 0.0 are one group.
        let columns: Vec<ArrayRef> = columns.iter().map(normalize_float_zero).collect();
        let converted = converter.convert_columns(&columns)?;
        let mut numbers = Vec::with_capacity(rows);
        let mut before = None;
        for row in &converted {
            // Periods of one year or regime follow each other.
            let number = match before {
                Some((same, number)) if same == row => number,
                _ => self.number_of(row.owned()),
            };
            before = Some((row, number));
            numbers.push(number);
        }
        Ok(numbers)
    }

    fn number_of(&mut self, row: OwnedRow) -> u32 {
        if let Some(&number) = self.numbers.get(&row) {
            return number;
        }
        let number = self.rows.len() as u32;
        self.numbers.insert(row.clone(), number);
        self.rows.push(row);
        number
    }

    /// Bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        self.rows.iter().map(|row| 2 * (row.as_ref().len() + size_of::<OwnedRow>()) + size_of::<u32>()).sum()
    }

    /// The key columns of these numbers.
    pub(super) fn columns(&self, numbers: impl Iterator<Item = u32>) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else { return Ok(vec![]) };
        Ok(converter.convert_rows(numbers.filter_map(|number| self.rows.get(number as usize)).map(OwnedRow::row))?)
    }
}
