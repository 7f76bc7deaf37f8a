//! `tranchedb generate`: deterministic data into a table or a file.

use std::io::Write;

use crate::cli::arguments::GenerateArguments;
use crate::cli::failure::{Failure, Result};
use crate::cli::logging::CLI_TARGET;
use crate::cli::output::Output;
use crate::cli::progress::Spinner;
use crate::cli::session::Printing;
use crate::cli::terminal::{counted, thousands};
use crate::cli::workers::Workers;
use crate::engine::Engine;
use crate::ingest::{GenerateReport, GenerateRequest, Target};

/// What is to be generated.
#[derive(Debug)]
pub(crate) struct GeneratePlan(GenerateRequest);

impl GeneratePlan {
    /// The request that was typed.
    ///
    /// # Errors
    /// Not exactly one target.
    pub(crate) fn new(typed: GenerateArguments) -> Result<Self> {
        let target = match (typed.into, typed.csv, typed.parquet) {
            (Some(table), None, None) => Target::Table(table),
            (None, Some(path), None) => Target::Csv(path),
            (None, None, Some(path)) => Target::Parquet(path),
            _ => return Err(Failure::usage("generate needs one of --into TABLE, --csv FILE, --parquet FILE")),
        };
        let plain = GenerateRequest::new(typed.strategies, typed.periods, typed.seed, target);
        Ok(Self(GenerateRequest {
            start: typed.start.unwrap_or(plain.start),
            share_zeros: typed.zeros.unwrap_or(plain.share_zeros),
            share_nulls: typed.nulls.unwrap_or(plain.share_nulls),
            constant: typed.constant.unwrap_or(plain.constant),
            duplicates: typed.duplicates.unwrap_or(plain.duplicates),
            groups: typed.groups.unwrap_or(plain.groups),
            zones: typed.zones.unwrap_or(plain.zones),
            regimes: typed.regimes,
            overwrite: typed.overwrite,
            ..plain
        }))
    }
}

/// Generates and says what came out.
///
/// # Errors
/// Counts that cannot be, a target that cannot be written, or Ctrl-C.
pub(crate) async fn run(plan: GeneratePlan, engine: Engine, printing: &Printing, mut output: Output, mut workers: Workers) -> Result<()> {
    let report = generate(plan.0, &engine, !printing.quiet, &mut workers).await?;
    match printing.format.name {
        "json" | "ndjson" => writeln!(output, "{}", serde_json::to_string(&report).map_err(std::io::Error::other)?)?,
        _ if printing.quiet => {}
        _ => writeln!(output, "{}", described(&report))?,
    }
    output.commit()
}

/// Generates, with a spinner where `visible`.
///
/// # Errors
/// As [`run`].
pub(crate) async fn generate(request: GenerateRequest, engine: &Engine, visible: bool, workers: &mut Workers) -> Result<GenerateReport> {
    let mut spinner = Spinner::start("generating", visible);
    let engine = engine.clone();
    let work = workers.run(async move { engine.generate(&request).await });
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => {
                let report = outcome??;
                log(&report);
                return Ok(report);
            }
            () = spinner.tick() => spinner.show(0, None),
        }
    }
}

/// One line in the log.
fn log(report: &GenerateReport) {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let GenerateReport { target, strategies, periods, rows, bytes, version, seconds } = report;
    tracing::info!(
        target: CLI_TARGET, id, duration_ms = seconds * 1000.0, rows, bytes, table = target, version, strategies, periods, "generate"
    );
}

/// The report as a line for people.
pub(crate) fn described(report: &GenerateReport) -> String {
    let bytes = report.bytes.map(|bytes| format!(", {} bytes", thousands(bytes))).unwrap_or_default();
    let (strategies, periods) = (thousands(report.strategies), thousands(report.periods));
    format!(
        "{}: {strategies} strategies x {periods} periods, {}{bytes}, {:.2} s",
        report.target,
        counted(report.rows, "row"),
        report.seconds
    )
}
