//! `tranchedb import`: file after file, each whole or not at all; a refused file does not keep the others out.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::failure::{Failure, Result};
use crate::cli::logging::CLI_TARGET;
use crate::cli::output::Output;
use crate::cli::progress::Spinner;
use crate::cli::session::Printing;
use crate::cli::workers::Workers;
use crate::engine::Engine;
use crate::error::Error;
use crate::ingest::{ImportOptions, ImportReport, ImportRequest};

/// What is to be imported.
#[derive(Debug)]
pub(crate) struct ImportPlan {
    /// Files in order.
    pub(crate) files: Vec<PathBuf>,
    /// Table that takes them.
    pub(crate) table: String,
    /// How they are read.
    pub(crate) options: ImportOptions,
    /// Check only.
    pub(crate) dry_run: bool,
    /// How reports are printed.
    pub(crate) report: ReportForm,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportForm {
    /// For people.
    Text,
    /// One JSON object per file, one per line.
    Json,
}

/// Imports every file and prints its report to `output`, its error to standard error.
///
/// # Errors
/// At least one file was refused (it was printed), the command is wrong, or Ctrl-C came.
pub(crate) async fn run(plan: ImportPlan, engine: Engine, printing: &Printing, mut output: Output, mut workers: Workers) -> Result<()> {
    let mut first_refusal = None;
    for file in &plan.files {
        let request =
            ImportRequest { source: file.clone(), table: plan.table.clone(), options: plan.options.clone(), dry_run: plan.dry_run };
        match import(&engine, request.clone(), printing, &mut workers).await? {
            Ok(report) => {
                log(&report);
                print_report(&report, plan.report, printing, &mut output)?;
            }
            Err(error @ (Error::Usage(_) | Error::Internal(_))) => return Err(error.into()),
            Err(error) => {
                if plan.report == ReportForm::Json {
                    let report = ImportReport::refused(file, &plan.table, &plan.options, &error);
                    print_report(&report, plan.report, printing, &mut output)?;
                }
                tracing::error!(target: CLI_TARGET, file = %file.display(), error = %error, "refused");
                let failure = Failure::from(error);
                failure.report();
                first_refusal.get_or_insert(failure.exit_code());
            }
        }
    }
    output.commit()?;
    first_refusal.map_or(Ok(()), |code| Err(Failure::Reported(code)))
}

/// One file; the outer error ends the whole command, the inner one concerns this file.
async fn import(
    engine: &Engine,
    request: ImportRequest,
    printing: &Printing,
    workers: &mut Workers,
) -> Result<Result<ImportReport, Error>> {
    let mut spinner = Spinner::start(format!("importing {}", request.source.display()), !printing.quiet);
    let engine = engine.clone();
    let work = workers.run(async move { engine.import(&request).await });
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            () = spinner.tick() => spinner.show(0, None),
        }
    }
}

/// One line in the log for a file that went well.
fn log(report: &ImportReport) {
    let duration_ms = (report.finished_at - report.started_at).num_microseconds().unwrap_or_default() as f64 / 1000.0;
    let ImportReport { import_id: id, source, table, rows_written, rows_unchanged, rows_replaced, rows_deleted, bytes, version, .. } =
        report;
    let status = report.status.name();
    tracing::info!(
        target: CLI_TARGET, id, duration_ms, rows = rows_written, rows_unchanged, rows_replaced, rows_deleted, bytes, table, version,
        file = source, status, "import"
    );
}

fn print_report(report: &ImportReport, form: ReportForm, printing: &Printing, output: &mut Output) -> Result<()> {
    match form {
        ReportForm::Json => {
            let text = serde_json::to_string(report).map_err(|error| Error::Internal(format!("import report: {error}")))?;
            writeln!(output, "{text}")?;
        }
        ReportForm::Text if printing.quiet => {}
        ReportForm::Text => write!(output, "{report}")?,
    }
    Ok(output.flush()?)
}
