//! What was typed, understood: the only form of the command line that travels further.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::arguments::{
    Arguments, BindingArguments, Command, CommonArguments, GenerateKind, HeavydbKind, ImportArguments, RetainArguments, RunArguments,
};
use super::commands::generate::GeneratePlan;
use super::commands::heavydb::CheckPlan;
use super::commands::import::{ImportPlan, ReportForm};
use super::commands::replay::ReplayPlan;
use super::failure::{Failure, Result};
use super::logging::Logging;
use super::print::{FORMATS, Format};
use super::script::throttle;
use super::script::{RunPlan, ScriptSource};
use super::session::Printing;
use crate::catalog::parse_table_name;
use crate::config::{EngineConfig, TierConfig};
use crate::ingest::ImportOptions;

/// One run of the program.
#[derive(Debug)]
pub struct Invocation {
    pub(crate) action: Action,
    pub(crate) engine: EngineConfig,
    pub(crate) printing: Printing,
    pub(crate) output: Option<PathBuf>,
    pub(crate) logging: Logging,
    /// Worker threads of the program.
    pub(crate) threads: usize,
    /// Whether to give way to other programs.
    pub(crate) nice: bool,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action {
    /// The prompt.
    Repl(Vec<(String, String)>),
    /// Statements and scripts.
    Run(RunPlan),
    /// The built-in scripts, listed.
    ListScripts,
    /// The text of a built-in script.
    ShowScript(String),
    /// Files into a table.
    Import(Box<ImportPlan>),
    /// Data from nothing.
    Generate(GeneratePlan),
    /// Queries of a HeavyDB server, compared.
    Replay(Box<ReplayPlan>),
    /// Scripts in HeavyDB's dialect, looked at.
    Check(CheckPlan),
}

impl Invocation {
    /// Reads the command line of this process.
    ///
    /// # Errors
    /// [`Failure::Arguments`] for a wrong command line and for `--help`; usage errors for options that do not go together.
    pub fn from_command_line() -> Result<Self> {
        Self::from_arguments(std::env::args_os())
    }

    fn from_arguments(typed: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>) -> Result<Self> {
        let matches = Arguments::command().try_get_matches_from(typed)?;
        let arguments = Arguments::from_arg_matches(&matches)?;
        let scripts = scripts_in_order(&matches, &arguments);
        let Arguments { binding, common, command, .. } = arguments;
        let cpu_limit = match &command {
            Some(Command::Run(run)) => run.cpu_limit,
            _ => None,
        };
        let nice = matches!(&command, Some(Command::Run(run)) if run.nice);
        let action = match command {
            Some(_) if !scripts.is_empty() => return Err(Failure::usage("-c and -f do not go together with a sub-command")),
            Some(_) if !binding.parameters.is_empty() => return Err(Failure::usage("-p belongs after `run`")),
            Some(command) => action_of(command, &common)?,
            None if !scripts.is_empty() => Action::Run(statements(scripts, binding)),
            None if std::io::stdin().is_terminal() => Action::Repl(binding.parameters),
            None => Action::Run(statements(vec![ScriptSource::Stdin], binding)),
        };
        Self::new(action, common, cpu_limit, nice)
    }

    fn new(action: Action, common: CommonArguments, cpu_limit: Option<u8>, nice: bool) -> Result<Self> {
        let threads = threads(common.threads, cpu_limit);
        let printing = Printing {
            format: format_of(&common),
            max_rows: (common.max_rows > 0).then_some(common.max_rows),
            quiet: common.quiet,
            timing: matches!(action, Action::Repl(_)),
        };
        if printing.format.one_result_per_file && matches!(action, Action::Repl(_)) {
            return Err(Failure::usage(format!(
                "the prompt has no {} format\nhint: COPY (...) TO 'FILE' writes one",
                printing.format.name
            )));
        }
        if printing.format.one_result_per_file && common.output.is_none() && matches!(action, Action::Run(_)) {
            return Err(Failure::usage(format!("--format {} needs a file: -o FILE", printing.format.name)));
        }
        let limited = common.threads.is_some() || cpu_limit.is_some();
        let engine = EngineConfig {
            location: common.db,
            threads: limited.then_some(threads),
            memory_limit_bytes: common.memory_limit,
            gpu: common.gpu,
            dialect: common.dialect,
            decoded_tier_bytes: common.decoded_tier,
            tiers: TierConfig {
                memory_bytes: common.memory_tier,
                disk_bytes: common.disk_tier,
                directory: common.cache_dir,
                serve_stale_on_error: common.serve_stale_on_error,
                ..TierConfig::default()
            },
            config_file: common.config_file,
            ..EngineConfig::default()
        };
        let logging = Logging { verbose: common.verbose, directory: common.log_dir };
        Ok(Self { action, engine, printing, output: common.output, logging, threads, nice })
    }

    /// The threads that do the work, made as the command line asks.
    ///
    /// # Errors
    /// The system gives no threads, or knows no priorities.
    pub fn start_workers(&self) -> Result<tokio::runtime::Runtime> {
        if self.nice {
            // Before the first thread is started: threads inherit it.
            throttle::be_nice()?;
        }
        super::workers::start(self.threads)
    }

    /// Starts logging as the command line asks.
    ///
    /// # Errors
    /// The log directory cannot be written.
    pub fn start_logging(&self) -> Result<()> {
        super::logging::start(&self.logging)
    }
}

/// `-c` and `-f` in the order they were typed.
fn scripts_in_order(matches: &ArgMatches, arguments: &Arguments) -> Vec<ScriptSource> {
    let places = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
    let commands = places("commands").into_iter().zip(arguments.commands.iter().map(|sql| ScriptSource::Text(sql.clone())));
    let files = places("files").into_iter().zip(arguments.files.iter().map(|path| match path.as_os_str() == "-" {
        true => ScriptSource::Stdin,
        false => ScriptSource::File(path.clone()),
    }));
    let mut scripts: Vec<(usize, ScriptSource)> = commands.chain(files).collect();
    scripts.sort_by_key(|(place, _)| *place);
    scripts.into_iter().map(|(_, script)| script).collect()
}

fn action_of(command: Command, common: &CommonArguments) -> Result<Action> {
    match command {
        Command::Import(import) => import_plan(*import, common).map(|plan| Action::Import(Box::new(plan))),
        Command::Run(run) if run.list => Ok(Action::ListScripts),
        Command::Run(RunArguments { show: Some(name), .. }) => Ok(Action::ShowScript(name)),
        Command::Run(run) => Ok(Action::Run(run_plan(run))),
        Command::Replay(replay) => Ok(Action::Replay(Box::new(ReplayPlan::new(*replay, common.output.as_deref())?))),
        Command::Retain(retain) => {
            require_database(common, "retain")?;
            Ok(Action::Run(statements(vec![ScriptSource::Text(retain_statement(&retain)?)], BindingArguments { parameters: vec![] })))
        }
        Command::Heavydb { kind: HeavydbKind::Check(check) } => Ok(Action::Check(CheckPlan::new(check))),
        Command::Generate { kind: GenerateKind::Strategies(arguments) } => {
            if arguments.into.is_some() {
                require_database(common, "generate --into")?;
            }
            Ok(Action::Generate(GeneratePlan::new(arguments)?))
        }
    }
}

/// The SQL that `tranchedb retain` stands for.
fn retain_statement(retain: &RetainArguments) -> Result<String> {
    let table = parse_table_name(&retain.table)?.replace('"', "\"\"");
    let top = retain.top.map(|top| format!(" TOP {top}")).unwrap_or_default();
    Ok(format!("RETAIN \"{table}\"{top}{}", if retain.dry_run { " DRY RUN" } else { "" }))
}

/// What is written into a database in memory would be gone at once.
fn require_database(common: &CommonArguments, what: &str) -> Result<()> {
    match &common.db {
        Some(_) => Ok(()),
        None => Err(Failure::usage(format!(
            "{what} needs a database: without one the table would live in memory and be gone at the end\nhint: --db DIR, or set TRANCHEDB"
        ))),
    }
}

fn import_plan(import: ImportArguments, common: &CommonArguments) -> Result<ImportPlan> {
    if import.set {
        return Err(Failure::usage(
            "import has no --set: the parts of a set are not one import\nhint: name all parts as files of one command; each becomes visible whole or not at all, and the same command again brings in what was refused",
        ));
    }
    if !import.dry_run {
        require_database(common, "import")?;
    }
    let profile = import.profile.as_deref().map(ImportOptions::from_toml_file).transpose()?.unwrap_or_default();
    Ok(ImportPlan {
        files: import.files,
        table: import.into,
        options: profile.merge(import.options.into_options()),
        dry_run: import.dry_run,
        report: if import.report == "json" { ReportForm::Json } else { ReportForm::Text },
    })
}

fn run_plan(run: RunArguments) -> RunPlan {
    RunPlan {
        scripts: run.scripts.into_iter().map(ScriptSource::Named).collect(),
        bindings: run.binding.parameters,
        keep_going: run.keep_going,
        jobs: usize::from(run.jobs),
        cpu_limit: run.cpu_limit,
        cooldown: Duration::from_secs_f64(run.cooldown.unwrap_or(0.0)),
        summary: true,
    }
}

/// `-c`, `-f` and standard input.
fn statements(scripts: Vec<ScriptSource>, binding: BindingArguments) -> RunPlan {
    RunPlan { scripts, bindings: binding.parameters, keep_going: false, jobs: 1, cpu_limit: None, cooldown: Duration::ZERO, summary: false }
}

fn threads(asked: Option<u16>, cpu_limit: Option<u8>) -> usize {
    let asked = asked.map_or_else(throttle::cores, usize::from);
    cpu_limit.map_or(asked, |percent| asked.min(throttle::threads_for(percent)))
}

/// The format named, else the one that the output file's ending means.
fn format_of(common: &CommonArguments) -> &'static Format {
    let named = common.format.as_deref().and_then(Format::named);
    named.or_else(|| common.output.as_deref().and_then(Format::meant_by)).unwrap_or(&FORMATS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(line: &str) -> Result<Invocation> {
        Invocation::from_arguments(line.split_whitespace())
    }

    #[test]
    fn statements_and_files_keep_their_order() {
        let Action::Run(plan) = invocation("tranchedb -c a -f b.sql -c c -f -").unwrap().action else { panic!("not a run") };
        let text = |text: &str| ScriptSource::Text(text.into());
        assert_eq!(plan.scripts, [text("a"), ScriptSource::File("b.sql".into()), text("c"), ScriptSource::Stdin]);
        assert!(!plan.summary);
    }

    #[test]
    fn the_output_file_tells_the_format() {
        assert_eq!(invocation("tranchedb -c x -o r.parquet").unwrap().printing.format.name, "parquet");
        assert_eq!(invocation("tranchedb -c x -o r.csv --format json").unwrap().printing.format.name, "json");
        assert_eq!(invocation("tranchedb -c x --format parquet").err().map(|failure| failure.exit_code()), Some(2));
    }

    #[test]
    fn what_would_be_lost_in_memory_is_refused() {
        assert!(std::env::var_os("TRANCHEDB").is_some() || invocation("tranchedb import a.csv --into t").is_err());
        assert!(invocation("tranchedb import a.csv --into t --db d").is_ok());
        assert!(invocation("tranchedb --db d import a.csv --into t").is_ok());
    }

    #[test]
    fn a_share_of_the_processor_limits_the_threads() {
        assert_eq!(invocation("tranchedb run tour --cpu-limit 1").unwrap().threads, 1);
        assert_eq!(invocation("tranchedb -c x --threads 3").unwrap().threads, 3);
    }

    #[test]
    fn retain_is_a_statement() {
        let Action::Run(plan) = invocation("tranchedb --db d retain \"My\" --top 20 --dry-run").unwrap().action else {
            panic!("not a run")
        };
        assert_eq!(plan.scripts, [ScriptSource::Text("RETAIN \"My\" TOP 20 DRY RUN".into())]);
        assert!(invocation("tranchedb --db d retain a.b").is_err());
    }

    #[test]
    fn a_subcommand_stands_alone() {
        assert!(invocation("tranchedb -c x run tour").is_err());
        assert!(invocation("tranchedb run").is_err());
        assert!(invocation("tranchedb run --list").is_ok());
    }
}
