//! Reads a large result batch by batch: memory stays that of a few batches.
//!
//! `cargo run --example streaming`

#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Float64Type;
use futures::StreamExt;
use tranchedb::Engine;
use tranchedb::ingest::{GenerateRequest, Target};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Engine::in_memory().await?;
    db.generate(&GenerateRequest::new(1_000, 500, 7, Target::Table("strategies".into()))).await?;
    let mut stream = db.sql("SELECT pnl FROM strategies WHERE pnl IS NOT NULL").await?.execute_stream().await?;
    let (mut rows, mut total) = (0, 0.0);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        rows += batch.num_rows();
        total += batch.column(0).as_primitive::<Float64Type>().values().iter().sum::<f64>();
    }
    println!("{rows} rows, total {total:.2}");
    Ok(())
}
