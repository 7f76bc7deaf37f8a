//! `\df`: functions, from their own documentation.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DocSection, Documentation};
use datafusion_functions_finance::reference;
use globset::GlobBuilder;

use super::Repl;
use crate::cli::failure::{Failure, Result};
use crate::cli::terminal::Paint;
use crate::exec::RELATION_FUNCTIONS;
use crate::heavydb::TABLE_FUNCTIONS;

/// One function as the session knows it.
struct Function {
    name: String,
    kind: &'static str,
    aliases: Vec<String>,
    documentation: Option<Documentation>,
    /// Whether it is one of the financial functions.
    ours: bool,
}

/// `\df` lists the financial functions, `\df *` all, `\df PATTERN` those whose name or alias contains or matches it; a full name, or a pattern
/// that one function matches, shows its documentation.
pub(super) async fn run(repl: &mut Repl, pattern: &str) -> Result<()> {
    let functions = known(&repl.session.engine.context().state());
    let wanted = pattern.trim_end_matches("()").to_lowercase();
    if let Some(function) = functions.get(&wanted) {
        return document(repl, function);
    }
    let matches = matcher(&wanted)?;
    let found: Vec<&Function> = functions.values().filter(|function| matches(function)).collect();
    match found.as_slice() {
        [] => Err(Failure::usage(format!("no function is like '{pattern}'\nhint: \\df * lists all"))),
        [only] => document(repl, only),
        several => list(repl, several),
    }
}

type Matcher = Box<dyn Fn(&Function) -> bool>;

fn matcher(wanted: &str) -> Result<Matcher> {
    if wanted.is_empty() {
        return Ok(Box::new(|function| function.ours));
    }
    if !wanted.contains(['*', '?']) {
        let wanted = wanted.to_owned();
        return Ok(Box::new(move |function| function.names().any(|name| name.contains(&wanted))));
    }
    let glob = GlobBuilder::new(wanted).build().map_err(|error| Failure::usage(format!("\\df {wanted}: {error}")))?.compile_matcher();
    Ok(Box::new(move |function| function.names().any(|name| glob.is_match(name))))
}

/// Every function by its name; aliases lead to the same entry and are not listed again.
fn known(state: &SessionState) -> BTreeMap<String, Function> {
    let scalar = state.scalar_functions().values().map(|f| Function::new("scalar", f.name(), f.aliases(), f.documentation()));
    let window = state.window_functions().values().map(|f| Function::new("window", f.name(), f.aliases(), f.documentation()));
    let tables = state.table_functions().keys().map(|name| Function::new("table", name, &[], None));
    let heavydb = TABLE_FUNCTIONS.iter().map(|f| Function::of_table(f.name, f.signature, f.summary));
    let relations = RELATION_FUNCTIONS.iter().map(|f| Function::of_table(f.name, f.signature, f.summary));
    let aggregate = state.aggregate_functions().values().map(|f| Function::new("aggregate", f.name(), f.aliases(), f.documentation()));
    window
        .chain(tables)
        .chain(heavydb)
        .chain(relations)
        .chain(scalar)
        .chain(aggregate)
        .map(|function| (function.name.clone(), function))
        .collect()
}

impl Function {
    fn new(kind: &'static str, name: &str, aliases: &[String], documentation: Option<&Documentation>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            aliases: aliases.to_vec(),
            documentation: documentation.cloned(),
            ours: reference::page(name).is_some(),
        }
    }

    /// A table function of the engine.
    fn of_table(name: &str, signature: &str, summary: &str) -> Self {
        let section = DocSection { include: true, label: "Table Functions", description: None };
        let documentation = Documentation::builder(section, summary, signature).build();
        Self { ours: true, ..Self::new("table", name, &[], Some(&documentation)) }
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.name).chain(&self.aliases)
    }

    fn summary(&self) -> String {
        let description = self.documentation.as_ref().map(|docs| docs.description.trim()).unwrap_or_default();
        description.lines().next().unwrap_or_default().to_owned()
    }
}

fn list(repl: &mut Repl, functions: &[&Function]) -> Result<()> {
    let column = |text: fn(&Function) -> String| Arc::new(StringArray::from_iter_values(functions.iter().map(|f| text(f)))) as ArrayRef;
    let columns = vec![
        ("function", column(|function| function.name.clone())),
        ("also", column(|function| function.aliases.join(", "))),
        ("kind", column(|function| function.kind.to_owned())),
        ("what it does", column(Function::summary)),
    ];
    let limit = repl.session.printing.max_rows.take();
    let printed = repl.session.print(&RecordBatch::try_from_iter(columns)?);
    repl.session.printing.max_rows = limit;
    printed
}

fn document(repl: &mut Repl, function: &Function) -> Result<()> {
    let paint = Paint { on: repl.session.output.terminal().1 };
    let out = &mut repl.session.output;
    let syntax = function.documentation.as_ref().map_or_else(|| format!("{}(...)", function.name), |docs| docs.syntax_example.clone());
    writeln!(out, "{}  ({} function)", paint.bold(&syntax), function.kind)?;
    if !function.aliases.is_empty() {
        writeln!(out, "also: {}", function.aliases.join(", "))?;
    }
    let Some(docs) = &function.documentation else {
        writeln!(out, "It has no documentation.")?;
        return Ok(out.flush()?);
    };
    writeln!(out, "\n{}", docs.description.trim())?;
    for (i, (name, text)) in docs.arguments.iter().flatten().enumerate() {
        writeln!(out, "{}  {name}: {}", if i == 0 { "\n" } else { "" }, text.trim())?;
    }
    if let Some(example) = &docs.sql_example {
        writeln!(out, "\n{}", example.trim())?;
    }
    if let Some(related) = docs.related_udfs.as_ref().filter(|related| !related.is_empty()) {
        writeln!(out, "\nsee also: {}", related.join(", "))?;
    }
    Ok(out.flush()?)
}
