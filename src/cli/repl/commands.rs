//! The `\` commands: one list, from which dispatch, `\?` and completion derive.

use std::io::Write;
use std::path::Path;

use futures::future::LocalBoxFuture;

use super::{Repl, describe, editor, functions, heavysql};
use crate::catalog::Lexer;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::print::{FORMATS, Format};
use crate::cli::script::{ScriptSource, prepare_one, run_inside};
use crate::engine::Parameters;

/// What follows a command, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    None,
    Table,
    Function,
    Format,
    File,
    Other,
}

/// One command of the prompt.
pub(super) struct Command {
    /// What is typed after the `\`.
    pub(super) name: &'static str,
    /// What may follow, as shown in the help.
    pub(super) arguments: &'static str,
    /// What it does, in one line.
    pub(super) help: &'static str,
    /// What may follow, for completion.
    pub(super) argument: Argument,
    run: for<'a> fn(&'a mut Repl, &'a str) -> LocalBoxFuture<'a, Result<()>>,
}

/// Every command.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "d",
        arguments: "[TABLE]",
        help: "list tables, or the columns of one",
        argument: Argument::Table,
        run: |repl, argument| Box::pin(describe::run(repl, argument)),
    },
    Command {
        name: "df",
        arguments: "[PATTERN]",
        help: "list functions (* for all), or show the documentation of one",
        argument: Argument::Function,
        run: |repl, argument| Box::pin(functions::run(repl, argument)),
    },
    Command {
        name: "tiers",
        arguments: "",
        help: "show what is kept between queries, and how often it was found",
        argument: Argument::None,
        run: |repl, _| Box::pin(describe::tiers(repl)),
    },
    Command {
        name: "timing",
        arguments: "[on|off]",
        help: "print the time of every query",
        argument: Argument::Other,
        run: |repl, argument| Box::pin(async move { timing(repl, argument) }),
    },
    Command {
        name: "format",
        arguments: "[FORMAT]",
        help: "choose the format of results, or list the formats",
        argument: Argument::Format,
        run: |repl, argument| Box::pin(async move { format(repl, argument) }),
    },
    Command {
        name: "rows",
        arguments: "[N]",
        help: "rows shown of a result in the table format; 0 shows all",
        argument: Argument::Other,
        run: |repl, argument| Box::pin(async move { rows(repl, argument) }),
    },
    Command {
        name: "o",
        arguments: "[FILE]",
        help: "write results to a file, in the format its ending means; without FILE back to the terminal",
        argument: Argument::File,
        run: |repl, argument| Box::pin(async move { output(repl, argument) }),
    },
    Command {
        name: "i",
        arguments: "FILE",
        help: "run the statements of a file, or a built-in script by name",
        argument: Argument::File,
        run: |repl, argument| Box::pin(include(repl, argument)),
    },
    Command {
        name: "e",
        arguments: "",
        help: "edit the last statement in $VISUAL or $EDITOR",
        argument: Argument::None,
        run: |repl, _| Box::pin(async move { edit(repl) }),
    },
    Command {
        name: "set",
        arguments: "[NAME [VALUE]]",
        help: "bind $NAME in statements, or show what is bound",
        argument: Argument::Other,
        run: |repl, argument| Box::pin(async move { set(repl, argument) }),
    },
    Command {
        name: "unset",
        arguments: "NAME",
        help: "take the value of $NAME away",
        argument: Argument::Other,
        run: |repl, argument| Box::pin(async move { unset(repl, argument) }),
    },
    Command {
        name: "explain",
        arguments: "[analyze]",
        help: "show the plan of the last statement; analyze runs it and shows times",
        argument: Argument::Other,
        run: |repl, argument| Box::pin(explain(repl, argument)),
    },
    Command {
        name: "r",
        arguments: "",
        help: "forget the lines of a statement that is not finished",
        argument: Argument::None,
        run: |repl, _| Box::pin(async move { reset(repl) }),
    },
    Command {
        name: "?",
        arguments: "",
        help: "show this help",
        argument: Argument::None,
        run: |repl, _| Box::pin(async move { help(repl) }),
    },
    Command {
        name: "q",
        arguments: "",
        help: "leave (as Ctrl-D)",
        argument: Argument::None,
        run: |repl, _| {
            Box::pin(async move {
                repl.leaving = true;
                Ok(())
            })
        },
    },
    Command {
        name: "t",
        arguments: "[REGEX]",
        help: "list the names of tables (as heavysql)",
        argument: Argument::Other,
        run: |repl, argument| Box::pin(heavysql::list(repl, argument, false)),
    },
    Command {
        name: "v",
        arguments: "[REGEX]",
        help: "list the names of views (as heavysql)",
        argument: Argument::Other,
        run: |repl, argument| Box::pin(heavysql::list(repl, argument, true)),
    },
    Command {
        name: "l",
        arguments: "",
        help: "list databases (as heavysql)",
        argument: Argument::None,
        run: |repl, _| Box::pin(heavysql::run(repl, "SHOW DATABASES")),
    },
    Command {
        name: "copy",
        arguments: "FILE TABLE",
        help: "load a file into a table of HeavyDB's dialect (as heavysql)",
        argument: Argument::File,
        run: |repl, argument| Box::pin(heavysql::copy(repl, argument)),
    },
    Command {
        name: "notiming",
        arguments: "",
        help: "print no times (as heavysql)",
        argument: Argument::None,
        run: |repl, _| Box::pin(async move { timing(repl, "off") }),
    },
    Command {
        name: "version",
        arguments: "",
        help: "show the version (as heavysql)",
        argument: Argument::None,
        run: |repl, _| {
            Box::pin(async move { say(repl, concat!("TrancheDB ", env!("CARGO_PKG_VERSION"), ", with the dialect of HeavyDB 9.0")) })
        },
    },
    Command {
        name: "status",
        arguments: "",
        help: "show what runs here (as heavysql)",
        argument: Argument::None,
        run: |repl, _| Box::pin(async move { say(repl, "one process, no server: SELECT * FROM system.devices lists GPUs") }),
    },
    Command {
        name: "cpu",
        arguments: "",
        help: "say how queries are kept on the CPU (as heavysql)",
        argument: Argument::None,
        run: |repl, _| Box::pin(async move { say(repl, "queries run on the CPU; SET tranchedb.gpu = 'off' keeps correlations there too") }),
    },
    Command {
        name: "gpu",
        arguments: "",
        help: "say what runs on a GPU (as heavysql)",
        argument: Argument::None,
        run: |repl, _| Box::pin(async move { say(repl, "correlations use a GPU where there is one: SET tranchedb.gpu = 'auto'") }),
    },
    Command {
        name: "db",
        arguments: "",
        help: "show the database (as heavysql)",
        argument: Argument::None,
        run: |repl, _| Box::pin(async move { database(repl) }),
    },
    Command {
        name: "memory_summary",
        arguments: "",
        help: "say where memory is shown (as heavysql)",
        argument: Argument::None,
        run: |repl, _| {
            Box::pin(async move { say(repl, "\\tiers shows what is kept between queries; SELECT * FROM system.cache_entries lists it") })
        },
    },
];

/// Words that people type at a prompt without a `\`, alone on a line, and the commands they mean.
const WORDS: &[(&str, &str)] = &[("quit", "q"), ("exit", "q"), ("help", "?")];

/// What a line says after the `\` if it is a command, or a word that means one.
pub(super) fn typed(line: &str) -> Option<&str> {
    let line = line.trim();
    let word = line.trim_end_matches(';').trim_end();
    let meant = WORDS.iter().find(|(typed, _)| typed.eq_ignore_ascii_case(word)).map(|(_, command)| *command);
    meant.or_else(|| line.strip_prefix('\\'))
}

/// A command on the last of several lines, as `(the lines before, what follows the \)`: a statement that is not finished stays so
/// while the command runs. A `\` within a text or a comment is a part of it.
pub(super) fn within<'a>(lexer: &Lexer, text: &'a str) -> Option<(&'a str, &'a str)> {
    let (before, last) = text.trim_end().rsplit_once('\n')?;
    let command = last.trim_start().strip_prefix('\\')?;
    (!before.trim().is_empty() && !lexer.ends_inside_text(&format!("{before}\n"))).then_some((before, command))
}

/// The first command on a line of `text` as [`within`] finds it, with the length of the text up to the end of that line.
pub(super) fn first_within<'a>(lexer: &Lexer, text: &'a str) -> Option<(&'a str, &'a str, usize)> {
    let mut end = 0;
    text.split_inclusive('\n').find_map(|line| {
        end += line.len();
        let (statement, command) = line.trim_start().starts_with('\\').then(|| within(lexer, &text[..end])).flatten()?;
        Some((statement, command, end))
    })
}

/// The command that `line`, typed after the `\`, begins with.
pub(super) fn find(line: &str) -> Option<&'static Command> {
    let name = line.split(|c: char| c.is_whitespace() || c == ';').next()?;
    COMMANDS.iter().find(|command| command.name == name)
}

/// Runs what was typed after the `\`.
pub(super) async fn run(repl: &mut Repl, line: &str) -> Result<()> {
    let Some(command) = find(line) else { return Err(unknown(line)) };
    let argument = line[command.name.len()..].trim().trim_end_matches(';').trim_end();
    (command.run)(repl, argument).await
}

fn unknown(line: &str) -> Failure {
    let name = line.split_whitespace().next().unwrap_or_default();
    let near = COMMANDS.iter().find(|command| name.starts_with(command.name) || strsim::levenshtein(command.name, name) <= 1);
    let hint = near
        .map_or_else(|| "\\? lists the commands".to_owned(), |command| format!("did you mean \\{}? \\? lists the commands", command.name));
    Failure::usage(format!("there is no command \\{name}\nhint: {hint}"))
}

fn help(repl: &mut Repl) -> Result<()> {
    let out = &mut repl.session.output;
    writeln!(out, "Statements end with ; and may take several lines. Tab completes, Ctrl-C cancels, Ctrl-D leaves.")?;
    writeln!(out, "help, quit and exit work as words too.")?;
    for command in COMMANDS {
        let usage = format!("\\{} {}", command.name, command.arguments);
        writeln!(out, "  {usage:<22} {}", command.help)?;
    }
    Ok(out.flush()?)
}

fn timing(repl: &mut Repl, argument: &str) -> Result<()> {
    repl.session.printing.timing = match argument {
        "" => !repl.session.printing.timing,
        "on" => true,
        "off" => false,
        other => return Err(Failure::usage(format!("\\timing {other}: write on or off"))),
    };
    say(repl, &format!("timing is {}", if repl.session.printing.timing { "on" } else { "off" }))
}

fn format(repl: &mut Repl, argument: &str) -> Result<()> {
    if argument.is_empty() {
        let current = repl.session.printing.format.name;
        for format in FORMATS.iter().filter(|format| !format.one_result_per_file) {
            let mark = if format.name == current { "*" } else { " " };
            writeln!(repl.session.output, "{mark} {:<10} {}", format.name, format.help)?;
        }
        return Ok(repl.session.output.flush()?);
    }
    let names = || FORMATS.iter().filter(|format| !format.one_result_per_file).map(|format| format.name).collect::<Vec<_>>().join(", ");
    let format = Format::named(argument).ok_or_else(|| Failure::usage(format!("there is no format {argument}; there are: {}", names())))?;
    require_stream(format)?;
    repl.session.printing.format = format;
    Ok(())
}

/// At the prompt results follow each other; a format for a single result has a statement of its own.
fn require_stream(format: &Format) -> Result<()> {
    match format.one_result_per_file {
        true => Err(Failure::usage(format!("a {0} file holds one result\nhint: COPY (SELECT ...) TO 'FILE.{0}' writes it", format.name))),
        false => Ok(()),
    }
}

fn rows(repl: &mut Repl, argument: &str) -> Result<()> {
    if !argument.is_empty() {
        let rows: usize = argument.parse().map_err(|_| Failure::usage(format!("\\rows {argument}: write a whole number")))?;
        repl.session.printing.max_rows = (rows > 0).then_some(rows);
    }
    let shown = repl.session.printing.max_rows.map_or_else(|| "all rows".to_owned(), |rows| format!("at most {rows} rows"));
    say(repl, &format!("results show {shown}"))
}

fn output(repl: &mut Repl, argument: &str) -> Result<()> {
    let next = if argument.is_empty() {
        Output::stdout()
    } else {
        let path = Path::new(argument);
        if let Some(format) = Format::meant_by(path) {
            require_stream(format)?;
            let before = repl.session.printing.format;
            repl.format_before_file.get_or_insert(before);
            repl.session.printing.format = format;
        }
        Output::growing_file(path)?
    };
    if argument.is_empty()
        && let Some(format) = repl.format_before_file.take()
    {
        repl.session.printing.format = format;
    }
    std::mem::replace(&mut repl.session.output, next).commit()
}

async fn include(repl: &mut Repl, argument: &str) -> Result<()> {
    if argument.is_empty() {
        return Err(Failure::usage("\\i needs a file or the name of a built-in script"));
    }
    let script = prepare_one(&ScriptSource::Named(argument.to_owned()), &repl.session.engine, &repl.session.parameters)?;
    let outcome = run_inside(&mut repl.session, script).await;
    repl.names.forget();
    outcome
}

fn edit(repl: &mut Repl) -> Result<()> {
    if !repl.on_terminal {
        return Err(Failure::usage("\\e needs a terminal"));
    }
    let last = || repl.last_statement.clone().map(|text| text + ";\n");
    let before = repl.pending.clone().or_else(last).unwrap_or_default();
    repl.prepared_line = Some(editor::edit(&before)?);
    Ok(())
}

fn set(repl: &mut Repl, argument: &str) -> Result<()> {
    let (name, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let name = name.trim_start_matches('$');
    if !value.trim().is_empty() {
        repl.session.bind(name, Parameters::parse_value(value));
        return Ok(());
    }
    let bound = repl.session.parameters.iter().filter(|(bound, _)| name.is_empty() || *bound == name);
    let lines: Vec<String> = bound.map(|(name, value)| format!("${name} = {value} ({})", value.data_type())).collect();
    match lines.is_empty() {
        true if name.is_empty() => say(repl, "nothing is bound"),
        true => Err(Failure::usage(format!("${name} is not bound\nhint: \\set {name} VALUE binds it"))),
        false => say(repl, &lines.join("\n")),
    }
}

fn unset(repl: &mut Repl, argument: &str) -> Result<()> {
    let name = argument.trim_start_matches('$');
    match repl.session.parameters.unset(name) {
        true => Ok(()),
        false if name.is_empty() => Err(Failure::usage("\\unset needs a name\nhint: \\set shows what is bound")),
        false => Err(Failure::usage(format!("${name} is not bound\nhint: \\set shows what is bound"))),
    }
}

fn reset(repl: &mut Repl) -> Result<()> {
    let text = if repl.pending.take().is_some() { "the statement is forgotten" } else { "there is no unfinished statement" };
    say(repl, text)
}

async fn explain(repl: &mut Repl, argument: &str) -> Result<()> {
    let Some(last) = repl.last_statement.clone() else { return Err(Failure::usage("there is no statement to explain yet")) };
    let mode = match argument.to_ascii_lowercase().as_str() {
        "" => "",
        "analyze" => "ANALYZE ",
        _ => return Err(Failure::usage(format!("\\explain {argument}: write \\explain or \\explain analyze"))),
    };
    let outcome = repl.run_statements(&format!("EXPLAIN {mode}{last}")).await;
    repl.last_statement = Some(last);
    outcome
}

fn database(repl: &mut Repl) -> Result<()> {
    let place = repl.session.engine.config().location.clone();
    let place = place.map_or_else(|| "in memory".to_owned(), |location| format!("in {location}"));
    say(repl, &format!("the database is {place}; --db opens another"))
}

/// Prints a line about the prompt itself.
fn say(repl: &mut Repl, text: &str) -> Result<()> {
    writeln!(repl.session.output, "{text}")?;
    Ok(repl.session.output.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_explained() {
        let names: std::collections::BTreeSet<&str> = COMMANDS.iter().map(|command| command.name).collect();
        assert_eq!(names.len(), COMMANDS.len());
        assert!(COMMANDS.iter().all(|command| command.help.len() > 10));
    }

    #[test]
    fn words_alone_on_a_line_are_commands() {
        assert_eq!(typed(" quit\n"), Some("q"));
        assert_eq!(typed("EXIT;"), Some("q"));
        assert_eq!(typed("help"), Some("?"));
        assert_eq!(typed("\\d t"), Some("d t"));
        for statement in ["help me", "select 1", "quit from t;"] {
            assert_eq!(typed(statement), None, "{statement}");
        }
        assert!(WORDS.iter().all(|(_, command)| find(command).is_some()));
    }

    #[test]
    fn a_command_may_stand_on_a_line_of_an_unfinished_statement() {
        let lexer = Lexer::of(&datafusion::prelude::SessionContext::new());
        assert_eq!(within(&lexer, "select 1,\n \\q\n"), Some(("select 1,", "q")));
        assert_eq!(within(&lexer, "select 1,\n2\n\\d t"), Some(("select 1,\n2", "d t")));
        for text in ["select '\n\\q", "select 1 /*\n\\q", "\\q", "select 1,\nquit", "select 1 \\q"] {
            assert_eq!(within(&lexer, text), None, "{text}");
        }
    }

    #[test]
    fn a_command_is_its_first_word() {
        assert_eq!(find("d strategies").map(|command| command.name), Some("d"));
        assert_eq!(find("df").map(|command| command.name), Some("df"));
        assert_eq!(find("q;").map(|command| command.name), Some("q"));
        assert!(find("dg").is_none());
        assert!(unknown("timng").describe(crate::cli::terminal::Paint { on: false }).contains("\\timing"));
    }
}
