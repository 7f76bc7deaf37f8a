//! What a query asks of the operator.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::measure::Measure;
use super::tile::Wanted;

/// A window that rolls over the periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Rolling {
    /// Periods of a window.
    pub(super) periods: usize,
    /// Periods from one window to the next.
    pub(super) step: usize,
}

/// Where a query came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Origin {
    /// A table function: infinite values are an error, pairs without a common period have a row.
    Function,
    /// A join of a relation with itself: as SQL defines it.
    SelfJoin,
}

/// What comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Shape {
    /// A row per pair.
    Pairs,
    /// A row per series, with its correlations to all others.
    Summary,
    /// As `Summary`, without the extremes, which alone need every pair.
    Averages,
}

/// Pairs of the series of one relation, or of two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PairQuery {
    pub(super) shape: Shape,
    pub(super) measure: Measure,
    pub(super) rolling: Option<Rolling>,
    pub(super) wanted: Wanted,
    pub(super) origin: Origin,
    /// Whether dates have slots.
    pub(super) slotted: bool,
}

/// Types of the columns of a relation that come back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PeriodTypes {
    pub(super) date: DataType,
    pub(super) slot: Option<DataType>,
}

impl PairQuery {
    /// The columns of pairs: `strategy_a`, `strategy_b`, with a rolling window `window_end` (and `window_end_slot`), the measure
    /// (DOUBLE), `n` (BIGINT).
    pub(super) fn schema(&self, names: [&DataType; 2], periods: &PeriodTypes) -> SchemaRef {
        if self.shape != Shape::Pairs {
            return summary_schema(names[0]);
        }
        let mut fields = vec![Field::new("strategy_a", names[0].clone(), false), Field::new("strategy_b", names[1].clone(), false)];
        if self.rolling.is_some() {
            fields.push(Field::new("window_end", periods.date.clone(), false));
            fields.extend(periods.slot.as_ref().map(|slot| Field::new("window_end_slot", slot.clone(), false)));
        }
        fields.push(Field::new(self.measure.column(), DataType::Float64, true));
        fields.push(Field::new("n", DataType::Int64, false));
        Arc::new(Schema::new(fields))
    }

    /// Index of the measure in the result.
    pub(super) fn measure_column(&self) -> usize {
        2 + if self.rolling.is_some() { 1 + usize::from(self.slotted) } else { 0 }
    }
}

/// The columns of a summary: `strategy`, `pairs` (BIGINT), the measures (DOUBLE).
fn summary_schema(name: &DataType) -> SchemaRef {
    let measure = |name: &str| Field::new(name, DataType::Float64, true);
    Arc::new(Schema::new(vec![
        Field::new("strategy", name.clone(), false),
        Field::new("pairs", DataType::Int64, false),
        measure("average_correlation"),
        measure("min_correlation"),
        measure("max_correlation"),
    ]))
}
