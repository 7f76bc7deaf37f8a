//! The columns of a strategy table: in its files, in SQL and in the Delta log.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake::kernel::{DataType as DeltaType, PrimitiveType, StructField};

use crate::error::{Error, Result};

/// Partition of a strategy table: a year, and a month where dates have several slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// Calendar year of the dates.
    pub year: i32,
    /// Calendar month (1 to 12) of the dates, for tables with slots.
    pub month: Option<i32>,
}

impl PartitionKey {
    /// Folder of the partition below the table, in hive style.
    pub fn folder(&self) -> String {
        match self.month {
            None => format!("year={}", self.year),
            Some(month) => format!("year={}/month={month}", self.year),
        }
    }

    /// (column, value) pairs in partition order.
    pub fn values(&self) -> Vec<(&'static str, i32)> {
        let month = self.month.map(|month| ("month", month));
        std::iter::once(("year", self.year)).chain(month).collect()
    }
}

/// Which columns a strategy table has: `date, [slot], [context ...], strategy, pnl`, then `year [, month]`.
///
/// The key is `(date, slot, strategy)`. `slot` numbers the rows of one date where a date has several; then the table is
/// partitioned by year and month, else by year.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyShape {
    slot: bool,
    context: Vec<Field>,
}

impl StrategyShape {
    /// A shape with these context columns (text, 64-bit float or microsecond timestamp without zone).
    pub fn new(slot: bool, context: Vec<Field>) -> Self {
        let context = context.into_iter().map(|f| Field::new(f.name(), logical_type(f.data_type()), true)).collect();
        Self { slot, context }
    }

    /// The shape of period columns as a source gives them: `date`, maybe `slot`, then context.
    pub fn of_periods(periods: &Schema) -> Self {
        let context = periods.fields().iter().filter(|f| !matches!(f.name().as_str(), "date" | "slot"));
        Self::new(periods.field_with_name("slot").is_ok(), context.map(|f| f.as_ref().clone()).collect())
    }

    /// The shape of an existing table, from its SQL schema; `None` if it is not that of a strategy table.
    pub fn of_table(schema: &Schema) -> Option<Self> {
        let partition = |name: &str| matches!(name, "year" | "month");
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let complete = ["date", "strategy", "pnl", "year"].iter().all(|needed| names.contains(needed));
        let key = |name: &str| matches!(name, "date" | "slot" | "strategy" | "pnl") || partition(name);
        let context = schema.fields().iter().filter(|f| !key(f.name())).map(|f| f.as_ref().clone()).collect();
        complete.then(|| Self::new(names.contains(&"slot"), context))
    }

    /// Whether dates have several rows per strategy.
    pub fn has_slot(&self) -> bool {
        self.slot
    }

    /// Context columns in table order.
    pub fn context(&self) -> &[Field] {
        &self.context
    }

    /// Key columns in time order first: `date, [slot], strategy`.
    pub fn key(&self) -> Vec<&'static str> {
        if self.slot { vec!["date", "slot", "strategy"] } else { vec!["date", "strategy"] }
    }

    /// Columns by which every file is sorted: `strategy, date, [slot]`.
    pub fn file_order(&self) -> Vec<&'static str> {
        if self.slot { vec!["strategy", "date", "slot"] } else { vec!["strategy", "date"] }
    }

    /// Partition columns in order.
    pub fn partition_columns(&self) -> Vec<&'static str> {
        if self.slot { vec!["year", "month"] } else { vec!["year"] }
    }

    /// Schema of the batches that are written: text columns as dictionaries, no partition columns.
    pub fn file_schema(&self) -> SchemaRef {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        Arc::new(Schema::new(self.columns(&dictionary)))
    }

    /// Schema of what is read from the files: text columns as views, no partition columns.
    pub fn read_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns(&DataType::Utf8View)))
    }

    /// Schema in SQL: [`Self::read_schema`] and the partition columns.
    pub fn table_schema(&self) -> SchemaRef {
        let mut fields = self.columns(&DataType::Utf8View);
        fields.extend(self.partition_columns().into_iter().map(|name| Field::new(name, DataType::Int32, false)));
        Arc::new(Schema::new(fields))
    }

    fn columns(&self, text: &DataType) -> Vec<Field> {
        let mut fields = vec![Field::new("date", DataType::Date32, false)];
        if self.slot {
            fields.push(Field::new("slot", DataType::Int32, false));
        }
        let typed = |f: &Field| if f.data_type() == &DataType::Utf8 { text.clone() } else { f.data_type().clone() };
        fields.extend(self.context.iter().map(|f| Field::new(f.name(), typed(f), true)));
        fields.push(Field::new("strategy", text.clone(), false));
        fields.push(Field::new("pnl", DataType::Float64, true));
        fields
    }

    /// Columns of the Delta table, partition columns last.
    pub fn delta_fields(&self) -> Result<Vec<StructField>> {
        let fields = self.table_schema();
        fields.fields().iter().map(|f| Ok(StructField::new(f.name(), delta_type(f.data_type())?, f.is_nullable()))).collect()
    }

    /// The shape that holds both: context columns of either, in this shape's order.
    ///
    /// # Errors
    /// [`Error::Conflict`] when only one has slots or one column has two types.
    pub fn union(&self, other: &Self) -> Result<Self> {
        if self.slot != other.slot {
            let (table, source) = if self.slot { ("several rows", "one row") } else { ("one row", "several rows") };
            return Err(Error::Conflict(format!(
                "the table has {table} per date and strategy, the new rows have {source}: use another table"
            )));
        }
        let mut context = self.context.clone();
        for field in &other.context {
            match context.iter().find(|mine| mine.name() == field.name()) {
                None => context.push(field.clone()),
                Some(mine) if mine.data_type() == field.data_type() => {}
                Some(mine) => {
                    let (name, old, new) = (field.name(), mine.data_type(), field.data_type());
                    return Err(Error::Conflict(format!("column '{name}' is {old} in the table and {new} in the new rows")));
                }
            }
        }
        Ok(Self { slot: self.slot, context })
    }
}

/// Text in any encoding is `Utf8` in a shape.
fn logical_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, value) => logical_type(value),
        other => other.clone(),
    }
}

fn delta_type(data_type: &DataType) -> Result<DeltaType> {
    let primitive = match data_type {
        DataType::Date32 => PrimitiveType::Date,
        DataType::Int32 => PrimitiveType::Integer,
        DataType::Int64 => PrimitiveType::Long,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Utf8View | DataType::Utf8 => PrimitiveType::String,
        DataType::Timestamp(TimeUnit::Microsecond, None) => PrimitiveType::TimestampNtz,
        other => return Err(Error::Usage(format!("a strategy table cannot hold a column of type {other}"))),
    };
    Ok(DeltaType::Primitive(primitive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_survives_its_own_table_schema() {
        let shape =
            StrategyShape::new(true, vec![Field::new("zone", DataType::Utf8View, true), Field::new("capital", DataType::Float64, true)]);
        assert_eq!(StrategyShape::of_table(&shape.table_schema()), Some(shape.clone()));
        assert_eq!(shape.partition_columns(), ["year", "month"]);
    }

    #[test]
    fn union_adds_columns_and_refuses_other_keys() {
        let plain = StrategyShape::new(false, vec![]);
        let zoned = StrategyShape::new(false, vec![Field::new("zone", DataType::Utf8, true)]);
        assert_eq!(plain.union(&zoned).expect("union"), zoned);
        assert!(plain.union(&StrategyShape::new(true, vec![])).is_err());
    }
}
