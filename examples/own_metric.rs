//! A metric of one's own beside the built-in ones: the share of periods that beat a threshold.
//!
//! `cargo run --example own_metric`

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{Accumulator, Volatility, create_udaf};
use tranchedb::Engine;
use tranchedb::ingest::{GenerateRequest, Target};

/// Rows seen and rows above the threshold; two such states merge by addition.
#[derive(Debug, Default)]
struct HitRate {
    rows: i64,
    hits: i64,
}

impl Accumulator for HitRate {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (pnl, threshold) = (values[0].as_primitive::<Float64Type>(), values[1].as_primitive::<Float64Type>());
        for (value, bar) in pnl.iter().zip(threshold).filter_map(|(value, bar)| value.zip(bar)) {
            self.rows += 1;
            self.hits += i64::from(value > bar);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64((self.rows > 0).then(|| self.hits as f64 / self.rows as f64)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::from(self.rows), ScalarValue::from(self.hits)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let sum = |column: usize| states[column].as_primitive::<datafusion::arrow::datatypes::Int64Type>().values().iter().sum::<i64>();
        self.rows += sum(0);
        self.hits += sum(1);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let db = Engine::in_memory().await?;
    let (number, count) = (DataType::Float64, DataType::Int64);
    let state = Arc::new(vec![count.clone(), count]);
    let inputs = vec![number.clone(), number.clone()];
    db.context().register_udaf(create_udaf(
        "hit_rate",
        inputs,
        Arc::new(number),
        Volatility::Immutable,
        Arc::new(|_| Ok(Box::<HitRate>::default())),
        state,
    ));
    db.generate(&GenerateRequest::new(20, 252, 7, Target::Table("strategies".into()))).await?;
    db.sql("SELECT strategy, hit_rate(pnl, 100.0) AS over_100, win_rate(pnl) AS wins FROM strategies GROUP BY 1 ORDER BY 2 DESC LIMIT 5")
        .await?
        .show()
        .await?;
    Ok(())
}
