//! The command line: arguments, statements and scripts, the prompt, printing.
//!
//! The way of a run: [`Invocation`] says what is wanted, [`run`] opens the engine and hands over to one action, a `Session` runs statements and
//! prints their results, a [`Failure`] decides message and exit code. Only this folder prints.
//!
//! | part | what |
//! |---|---|
//! | `arguments`, `invocation` | what was typed, and what it means |
//! | `session` | the one place where statements run: batches, Ctrl-C, log line |
//! | `workers` | threads that compute, apart from the one that prints and listens |
//! | `print`, `output` | formats, and where results go |
//! | `script` | `-c`, `-f`, `run`: parse whole, bind, run; built-in scripts |
//! | `repl` | the prompt |
//! | `commands` | `import`, `generate`, `replay` and `heavydb` |
//! | `logging`, `redact`, `progress` | logs without secrets, signs of life |

mod arguments;
mod commands;
mod failure;
mod invocation;
mod logging;
mod output;
mod print;
mod progress;
mod repl;
mod script;
mod session;
mod spool;
mod terminal;
mod workers;

use std::io::Write;

pub use failure::{Failure, StatementFailure};
pub use invocation::Invocation;

use crate::engine::Engine;
use failure::Result;
use invocation::Action;
use output::Output;
use script::{RunPlan, ScriptSource};
use session::Printing;
use tokio::runtime::Handle;
use workers::Workers;

/// Does what the command line asks: this thread prints and listens, `workers` compute.
///
/// # Errors
/// Whatever stops the work; [`Failure::report`] prints it and [`Failure::exit_code`] is the exit status.
pub fn run(invocation: Invocation, workers: &Handle) -> Result<()> {
    let outcome = workers::run_front(act(invocation, workers.clone()));
    if let Err(failure @ (Failure::Engine(_) | Failure::Panicked)) = &outcome {
        tracing::error!(target: logging::CLI_TARGET, error = failure.describe(terminal::Paint { on: false }), "stopped");
    }
    outcome
}

async fn act(invocation: Invocation, workers: Handle) -> Result<()> {
    let Invocation { action, engine, printing, output, .. } = invocation;
    let action = match action {
        Action::ListScripts => return print_text(&script::builtin::listing()),
        Action::ShowScript(name) => return print_text(script::builtin::find(&name)?.text),
        other => other,
    };
    let mut workers = Workers::new(workers);
    let engine = workers.run(Engine::with_config(engine)).await??;
    let output = match &output {
        Some(path) => Output::whole_file(path)?,
        None => Output::stdout(),
    };
    match action {
        Action::Repl(bindings) => repl::run(engine, printing, output, workers, bindings).await,
        Action::Run(plan) => run_scripts(plan, engine, printing, output, workers).await,
        Action::Import(plan) => commands::import::run(*plan, engine, &printing, output, workers).await,
        Action::Replay(plan) => commands::replay::run(*plan, engine, &printing, output, workers).await,
        Action::Check(plan) => commands::heavydb::run(plan, engine, output, workers).await,
        Action::Generate(plan) => commands::generate::run(plan, engine, &printing, output, workers).await,
        Action::ListScripts | Action::ShowScript(_) => Ok(()),
    }
}

/// Runs scripts; a standard input that holds commands of the prompt is run as if it were typed there.
async fn run_scripts(mut plan: RunPlan, engine: Engine, printing: Printing, output: Output, workers: Workers) -> Result<()> {
    if let [source @ ScriptSource::Stdin] = plan.scripts.as_mut_slice() {
        let text = script::read_input()?;
        if repl::has_commands(&text) {
            return repl::run_text(engine, printing, output, workers, (&text, &plan.bindings)).await;
        }
        *source = ScriptSource::Input(text);
    }
    script::run(&plan, &engine, &printing, output, workers).await
}

fn print_text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
