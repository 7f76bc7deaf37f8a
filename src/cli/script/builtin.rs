//! The scripts that ship inside the program.

use super::header::Header;
use crate::cli::failure::{Failure, Result};

/// A script in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Builtin {
    /// `topic/name`, or `name` alone.
    pub(crate) name: &'static str,
    /// Its text, header included.
    pub(crate) text: &'static str,
}

macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        &[$(Builtin { name: $name, text: include_str!(concat!("../../../sql/", $name, ".sql")) }),*]
    };
}

/// Every script in the program; the name is the path below `sql/`.
pub(crate) const SCRIPTS: &[Builtin] = scripts![
    "tour",
    "performance/top_strategies",
    "risk/drawdowns",
    "risk/tail",
    "regime/by_regime",
    "regime/confident_only",
    "sizing/kelly",
    "correlation/most_alike",
    "correlation/diversifiers",
    "data/quality",
];

/// The script of that name; the part after the last `/` is enough where it is unique.
///
/// # Errors
/// No such script, or several: the message lists names that would work.
pub(crate) fn find(name: &str) -> Result<Builtin> {
    if let Some(script) = SCRIPTS.iter().find(|script| script.name == name) {
        return Ok(*script);
    }
    let ending: Vec<&Builtin> = SCRIPTS.iter().filter(|script| script.name.ends_with(&format!("/{name}"))).collect();
    match ending.as_slice() {
        [script] => Ok(**script),
        [] => Err(Failure::usage(format!("there is no script '{name}': neither a file nor a built-in script\nhint: {}", near(name)))),
        several => {
            let names: Vec<&str> = several.iter().map(|script| script.name).collect();
            Err(Failure::usage(format!("'{name}' means several scripts: {}", names.join(", "))))
        }
    }
}

fn near(name: &str) -> String {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let likeness = |script: &Builtin| {
        let whole = strsim::jaro_winkler(script.name, name);
        whole.max(strsim::jaro_winkler(&last(script.name), &last(name)))
    };
    let mut close: Vec<&Builtin> = SCRIPTS.iter().filter(|script| likeness(script) > 0.75).collect();
    close.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    match close.first() {
        Some(script) => format!("did you mean {}? `tranchedb run --list` shows all", script.name),
        None => "`tranchedb run --list` shows all".to_owned(),
    }
}

/// All scripts with purpose and parameters, for `run --list`.
pub(crate) fn listing() -> String {
    let mut text = String::new();
    for script in SCRIPTS {
        let header = Header::parse(script.text);
        text.push_str(&format!("{:<28} {}\n", script.name, header.purpose.unwrap_or_default()));
        for table in &header.tables {
            text.push_str(&format!("{:<28}   -p {}=TABLE  {}\n", "", table.name, table.help));
        }
        for parameter in &header.parameters {
            let default = parameter.default.as_deref().unwrap_or("VALUE");
            text.push_str(&format!("{:<28}   -p {}={default}  {}\n", "", parameter.name, parameter.help));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::catalog::Lexer;

    #[test]
    fn every_header_names_its_script_and_its_parameters() {
        let lexer = Lexer::of(&SessionContext::new());
        for script in SCRIPTS {
            let header = Header::parse(script.text);
            assert_eq!(header.name.as_deref(), Some(script.name));
            assert!(header.purpose.is_some_and(|purpose| purpose.len() > 10), "{}", script.name);
            let declared: BTreeSet<String> = header.parameters.iter().map(|item| item.name.clone()).collect();
            assert_eq!(declared, lexer.placeholders(script.text), "{}", script.name);
            let described = header.parameters.iter().chain(&header.tables).chain(&header.results).all(|item| item.help.len() > 3);
            assert!(described, "{}", script.name);
        }
    }

    #[test]
    fn every_file_below_sql_is_shipped() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let mut files = BTreeSet::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.extension() {
                    Some(ending) if ending == "sql" => {
                        files.insert(path.strip_prefix(&root).unwrap().with_extension("").display().to_string());
                    }
                    _ if path.is_dir() => folders.push(path),
                    _ => {}
                }
            }
        }
        assert_eq!(files, SCRIPTS.iter().map(|script| script.name.to_owned()).collect());
    }

    #[test]
    fn a_unique_ending_is_enough_and_a_typo_is_answered() {
        assert_eq!(find("drawdowns").unwrap().name, "risk/drawdowns");
        let Err(failure) = find("risk/drawdown") else { panic!("found") };
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.describe(crate::cli::terminal::Paint { on: false }).contains("risk/drawdowns"));
    }
}
