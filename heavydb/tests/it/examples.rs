//! Every function's example, run in a session of the dialect.

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use datafusion_heavydb::functions::{Action, functions};
use datafusion_heavydb::replay::render;
use datafusion_heavydb::replay::rows::Rows;
use datafusion_heavydb::tables::{Database, HeavySession};
use datafusion_heavydb::{Options, Refusal};

/// The first column of a query's rows, separated by blanks.
async fn answer(session: &HeavySession, sql: &str) -> datafusion::error::Result<String> {
    let (plan, _) = session.plan(sql).await?;
    let frame = session.context().execute_logical_plan(plan).await?;
    let schema = frame.schema().as_arrow().clone();
    let rows = Rows::try_new(&schema, &frame.collect().await?).expect("readable rows");
    let texts: Vec<String> = (0..rows.len()).map(|row| render::cell(&rows.cell(row, 0))).collect();
    Ok(texts.join(" "))
}

/// Whether two texts are the same number within seven digits, which a FLOAT has.
fn are_near(found: &str, wanted: &str) -> bool {
    match (found.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(found), Ok(wanted)) => (found - wanted).abs() <= 1e-7 * wanted.abs(),
        _ => false,
    }
}

#[tokio::test]
async fn every_example_gives_its_value() {
    let base = SessionContext::new();
    let session = HeavySession::new(&base.state(), &Arc::new(Database::default()), &Options::default());
    session.run("CREATE TABLE t (x INT)").await.unwrap();
    session.run("INSERT INTO t VALUES (1), (2), (3)").await.unwrap();
    let mut failures = Vec::new();
    for function in functions().filter(|function| !function.example.sql.is_empty()) {
        let (sql, wanted) = (function.example.sql, function.example.value);
        let query = if sql.to_uppercase().starts_with("SELECT") { sql.to_owned() } else { format!("SELECT {sql}") };
        let outcome = answer(&session, &query).await;
        let right = match (&function.action, &outcome) {
            (Action::Refused(_), Err(error)) => Refusal::of(error).is_some(),
            (Action::Refused(_), Ok(_)) => false,
            (_, Ok(found)) => found == wanted || are_near(found, wanted),
            (_, Err(_)) => false,
        };
        if !right {
            failures.push(format!("{}: {sql}\n    wanted {wanted}, got {outcome:?}", function.name));
        }
    }
    assert!(failures.is_empty(), "{} examples fail\n{}", failures.len(), failures.join("\n"));
}
