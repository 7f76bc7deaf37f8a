//! Opens a database, makes a strategy table and asks for the best strategies.
//!
//! `cargo run --example quickstart`

use tranchedb::Engine;
use tranchedb::ingest::{GenerateRequest, Target};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Engine::in_memory().await?;
    db.generate(&GenerateRequest::new(100, 252, 7, Target::Table("strategies".into()))).await?;
    let best = db
        .sql(
            "SELECT strategy, roi(pnl) AS total, sharpe_ratio(pnl) AS sharpe, max_drawdown_pnl(pnl) AS drawdown
             FROM strategies GROUP BY strategy ORDER BY sharpe DESC LIMIT 5",
        )
        .await?;
    best.show().await?;
    Ok(())
}
