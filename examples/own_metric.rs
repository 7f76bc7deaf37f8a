//! A metric of one's own beside the built-in ones: the share of periods above a threshold.
//!
//! `cargo run --example own_metric`

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Accumulator, Volatility, create_udaf};
use tranchedb::Engine;
use tranchedb::ingest::{GenerateRequest, Target};

/// Rows seen and rows above the threshold; two such states merge by addition.
#[derive(Debug, Default)]
struct HitRate([i64; 2]);

impl Accumulator for HitRate {
    fn update_batch(&mut self, values: &[ArrayRef]) -> datafusion::error::Result<()> {
        let (pnl, bar) = (values[0].as_primitive::<Float64Type>(), values[1].as_primitive::<Float64Type>());
        for (value, bar) in pnl.iter().zip(bar).filter_map(|(value, bar)| value.zip(bar)) {
            self.0[0] += 1;
            self.0[1] += i64::from(value > bar);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> datafusion::error::Result<ScalarValue> {
        let [rows, hits] = self.0;
        Ok(ScalarValue::Float64((rows > 0).then(|| hits as f64 / rows as f64)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> datafusion::error::Result<Vec<ScalarValue>> {
        Ok(self.0.map(ScalarValue::from).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> datafusion::error::Result<()> {
        for (own, column) in self.0.iter_mut().zip(states) {
            *own += column.as_primitive::<Int64Type>().values().iter().sum::<i64>();
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Engine::in_memory().await?;
    let (inputs, state) = (vec![DataType::Float64; 2], Arc::new(vec![DataType::Int64; 2]));
    let make = Arc::new(|_: datafusion::logical_expr::function::AccumulatorArgs<'_>| Ok(Box::<HitRate>::default() as Box<dyn Accumulator>));
    db.context().register_udaf(create_udaf("hit_rate", inputs, Arc::new(DataType::Float64), Volatility::Immutable, make, state));
    db.generate(&GenerateRequest::new(20, 252, 7, Target::Table("strategies".into()))).await?;
    db.sql("SELECT strategy, hit_rate(pnl, 100.0) AS hits FROM strategies GROUP BY 1 ORDER BY 2 DESC LIMIT 5").await?.show().await?;
    Ok(())
}
