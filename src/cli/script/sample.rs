//! Tables that a script needs before its first statement: missing sample tables are generated, other missing tables are explained.

use std::io::Write;

use super::prepared::Prepared;
use crate::cli::commands::generate::{described, generate};
use crate::cli::failure::{Failure, Result};
use crate::cli::session::Session;
use crate::error::{Error, QueryError};
use crate::ingest::{GenerateRequest, Target};

/// Size of the sample: small enough to be made in a blink, large enough that every question of the tour has an answer.
const STRATEGIES: u32 = 200;
const TRADING_DAYS: u32 = 504;

/// Generates the script's sample table where it is declared, was not replaced by `-p`, and the database is empty: a database
/// with tables is somebody's, and is not written into.
///
/// # Errors
/// A declared table is missing and is no sample, or the sample cannot be written.
pub(super) async fn make(session: &mut Session, script: &Prepared) -> Result<()> {
    let declared = script.header.tables.iter().map(|table| &table.name);
    let wanted: Vec<&String> = declared.filter(|name| !script.replaced_tables.contains_key(*name)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let engine = session.engine.clone();
    let names = session.workers.run(async move { engine.table_names().await }).await??;
    for missing in wanted.into_iter().filter(|name| !names.contains(name)) {
        if script.header.sample.as_ref() != Some(missing) || !names.is_empty() {
            return Err(explain_missing(script, missing, &names));
        }
        let sample = GenerateRequest {
            share_zeros: 0.05,
            share_nulls: 0.002,
            duplicates: 2,
            groups: 10,
            regimes: true,
            ..GenerateRequest::new(STRATEGIES, TRADING_DAYS, 1, Target::Table(missing.clone()))
        };
        let report = generate(sample, &session.engine, !session.printing.quiet, &mut session.workers).await?;
        if session.printing.format.name == "table" && !session.printing.quiet {
            writeln!(session.output, "There is no table {missing}: a sample was generated.")?;
            writeln!(session.output, "{}", described(&report))?;
        }
    }
    Ok(())
}

fn explain_missing(script: &Prepared, missing: &str, names: &[String]) -> Failure {
    let hint = match names {
        [] => "the database has no tables yet: `tranchedb import FILE --into NAME` makes one".to_owned(),
        names => {
            format!("name yours with -p {missing}=TABLE; there are: {}", names.iter().take(12).cloned().collect::<Vec<_>>().join(", "))
        }
    };
    let message = format!("{}: there is no table '{missing}'", script.name);
    Failure::Engine(Error::Query(Box::new(QueryError { message, hint: Some(hint), position: None, source: None })))
}
