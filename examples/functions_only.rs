//! The finance functions in a plain DataFusion session, without the rest of TrancheDB.
//!
//! `cargo run --example functions_only`

use datafusion::prelude::SessionContext;

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ctx = SessionContext::new();
    datafusion_functions_finance::register_in(&ctx)?;
    ctx.sql(
        "SELECT total_return(r) AS total, sharpe_ratio(r, 0.02, 252) AS sharpe, max_drawdown(r ORDER BY day) AS drawdown
         FROM (VALUES (1, 0.05), (2, -0.10), (3, 0.02), (4, 0.12)) AS t(day, r)",
    )
    .await?
    .show()
    .await
}
