//! Logs: to standard error on request, and into a directory with one file per day and errors in a file of their own.
//!
//! Every statement is one line of target `tranchedb::query` with id, duration, rows, bytes and error; [`super::redact`] sees to it that
//! no credential is in it. Every import and every generation is one line of target `tranchedb::cli` with id, duration, rows, bytes of the
//! file, table and version.

use std::io;
use std::path::{Path, PathBuf};

use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::failure::{Failure, Result};
use crate::error::Error;

/// Target of the line that every statement writes.
pub(crate) const QUERY_TARGET: &str = "tranchedb::query";
/// Target of what is no statement's: imports, generated data, refused files, wrong usage.
pub(crate) const CLI_TARGET: &str = "tranchedb::cli";

/// What is logged, and where to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Logging {
    /// 0 warnings only, 1 statements, 2 debug, 3 everything, of all libraries.
    pub(crate) verbose: u8,
    /// Directory of the log files.
    pub(crate) directory: Option<PathBuf>,
}

/// Starts logging; with nothing asked for, warnings alone go to standard error.
///
/// # Errors
/// The log directory cannot be written.
pub(crate) fn start(logging: &Logging) -> Result<()> {
    let (all, errors) = match &logging.directory {
        Some(directory) => (Some(file_layer(directory, "tranchedb", own_level(LevelFilter::INFO))?), Some(error_layer(directory)?)),
        None => (None, None),
    };
    let terminal = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr).with_filter(terminal_filter(logging.verbose));
    // A second start in one process (tests) keeps the first subscriber.
    drop(tracing_subscriber::registry().with(terminal).with(all).with(errors).try_init());
    Ok(())
}

fn terminal_filter(verbose: u8) -> Targets {
    match verbose {
        // What failed is printed as an error already.
        0 => own_level(LevelFilter::WARN).with_target(QUERY_TARGET, LevelFilter::OFF).with_target(CLI_TARGET, LevelFilter::OFF),
        1 => own_level(LevelFilter::INFO),
        2 => own_level(LevelFilter::DEBUG),
        _ => Targets::new().with_default(LevelFilter::TRACE),
    }
}

fn own_level(level: LevelFilter) -> Targets {
    Targets::new().with_target("tranchedb", level).with_target("datafusion_functions_finance", level)
}

fn error_layer<S>(directory: &Path) -> Result<impl Layer<S> + use<S>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    file_layer(directory, "tranchedb-errors", Targets::new().with_default(LevelFilter::ERROR))
}

fn file_layer<S>(directory: &Path, name: &str, filter: Targets) -> Result<impl Layer<S> + use<S>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let appender = RollingFileAppender::builder().rotation(Rotation::DAILY).filename_prefix(name).filename_suffix("log").build(directory);
    let appender =
        appender.map_err(|error| Failure::Engine(Error::storage(format!("cannot write logs into {}", directory.display()), error)))?;
    Ok(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(appender).with_filter(filter))
}
