//! Replaying HeavyDB's queries: what they are, what HeavyDB answered, whether our rows are the same, and the report.
//!
//! Nothing here runs a query; an engine does, between these parts:
//!
//! | step | part |
//! |---|---|
//! | 1. read statements from logs, SQL files, JSON lines | [`input::Inputs`], an iterator of [`input::Entry`] |
//! | 2. run each: changes in order, queries with a clock | the engine |
//! | 3. find what HeavyDB answered | [`expected::Expectations::find`] |
//! | 4. compare | [`compare::compare`], and [`compare::compare_choice`] where ties or a LIMIT may be the reason |
//! | 5. report; write our rows | [`report::Report`], [`render::Results`], [`render::copy_to`] |
//!
//! ```
//! use std::sync::Arc;
//! use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch};
//! use datafusion_heavydb::replay::compare::{Order, Rules, compare};
//! use datafusion_heavydb::replay::expected::{Expectations, TextForm};
//! use datafusion_heavydb::replay::input::{Entry, Filters, Inputs, Kind};
//! use datafusion_heavydb::replay::report::{Form, Outcome, Report};
//! use datafusion_heavydb::replay::rows::Rows;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (log, results) = (folder.path().join("heavydb.INFO"), folder.path().join("results.jsonl"));
//! # std::fs::write(&log, "2024-03-01T09:30:00.000123 I 4711 17 3 DBHandler.cpp:1555 stdlog sql_execute 20 131 heavyai admin 507-aBcD {\"query_str\",\"execution_time_ms\",\"total_time_ms\"} {\"SELECT 1\",\"118\",\"129\"}\n")?;
//! # std::fs::write(&results, "{\"id\":\"e004ebd5b553\",\"rows\":[[1]]}\n")?;
//! let expectations = Expectations::open(&results, TextForm::default())?;
//! let mut report = Report::new("tranchedb");
//! let mut inputs = Inputs::open([&log], Filters::default())?;
//! for entry in &mut inputs {
//!     let query = match entry? {
//!         Entry::Query(query) => query,
//!         Entry::Again { id, timing } => {
//!             timing.iter().for_each(|timing| report.add_time(&id, timing.total_ms));
//!             continue;
//!         }
//!     };
//!     if query.kind != Kind::Query || query.skip.is_some() {
//!         report.push(Outcome::new(&query)); // an engine runs changes, and failed calls that an expectation wants to fail
//!         continue;
//!     }
//!     let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
//!     let batch = RecordBatch::try_from_iter([("EXPR$0", column)])?; // what the engine answers
//!     let ours = Rows::try_new(&batch.schema(), &[batch])?;
//!     let mut outcome = Outcome { our_rows: Some(ours.len()), our_ms: vec![3.0], ..Outcome::new(&query) };
//!     if let Some(expectation) = expectations.find(&query.id)? {
//!         outcome.expected_rows = expectation.rows();
//!         let rules = Rules { order: Order::of(&query, false), ..Rules::default() };
//!         outcome = outcome.with_verdict(compare(&ours, &expectation, &rules));
//!     }
//!     report.push(outcome);
//! }
//! report.inputs = inputs.summaries().to_vec();
//! let mut text = Vec::new();
//! report.write(Form::Table, &mut text)?;
//! assert!(report.passes(&[]) && String::from_utf8(text)?.contains("1 queries: 1 same"));
//! # Ok(())
//! # }
//! ```

pub mod compare;
pub mod expected;
pub mod input;
pub mod render;
pub mod report;
pub mod rows;
