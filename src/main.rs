//! The program `tranchedb`: understand the command line, start logs and threads, do the work, tell how it ended.

use std::process::ExitCode;
use std::time::Duration;

use tranchedb::cli::{self, Failure, Invocation};

/// How long cancelled work may take to stop, if it is in the middle of something.
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    // A panic is a bug, but still an answer: exit code 70 instead of an abort in the middle of the output.
    let outcome = std::panic::catch_unwind(run).unwrap_or(Err(Failure::Panicked));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run() -> Result<(), Failure> {
    let invocation = Invocation::from_command_line()?;
    invocation.start_logging()?;
    let workers = invocation.start_workers()?;
    let outcome = cli::run(invocation, workers.handle());
    // What is still running was cancelled: it is dropped here, and takes its unfinished files along.
    workers.shutdown_timeout(PATIENCE);
    outcome
}
