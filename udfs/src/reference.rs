#![doc = include_str!("../FUNCTIONS.md")]

use std::fmt::{self, Write};

use datafusion::logical_expr::{DocSection, Documentation};

use crate::indicators::{INDICATORS, Indicator};
use crate::metric::{Argument, Default, Example, Expected, Metric, Sample};
use crate::metrics::functions;
use crate::scalars::{SCALARS, Scalar};

/// Section of DataFusion's documentation that the functions belong to.
const SECTION: DocSection = DocSection {
    include: true,
    label: "Finance Functions",
    description: Some("Returns, risk, drawdowns, ratios and indicators of profit and price series."),
};

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// For each row by itself.
    Scalar,
    /// As an aggregate, or over a window.
    Aggregate,
    /// As an aggregate of rows in time order, or over a window.
    PathAggregate,
    /// Over a window, for each row in time order.
    Window,
}

/// What is documented of a function, whichever table it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// SQL name.
    pub name: &'static str,
    /// Other SQL names of the same function.
    pub aliases: &'static [&'static str],
    /// Chapter of the reference.
    pub chapter: &'static str,
    /// How it is called.
    pub kind: Kind,
    /// One line saying what it computes.
    pub summary: &'static str,
    /// The formula in plain text.
    pub formula: &'static str,
    /// Unit and sign of the result.
    pub unit: &'static str,
    /// When the result is undefined, that is NULL.
    pub null_when: &'static str,
    /// Arguments in the order of the call.
    pub arguments: &'static [Argument],
    /// A call with its answer; a test runs every one.
    pub example: Example,
}

/// The pages of all functions, chapter by chapter.
pub fn pages() -> impl Iterator<Item = Page> {
    functions().map(Metric::page).chain(SCALARS.iter().map(Scalar::page)).chain(INDICATORS.iter().map(Indicator::page))
}

/// The page of the function called `name`, by its own name or an alias, in any case.
pub fn page(name: &str) -> Option<Page> {
    pages().find(|page| page.names().any(|known| known.eq_ignore_ascii_case(name)))
}

impl Page {
    /// The name, then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The call with its arguments and defaults: `sharpe_ratio(x [, risk_free = 0 [, periods_per_year = 252]])`.
    pub fn signature(&self) -> String {
        let mut text = format!("{}(", self.name);
        let mut open = 0;
        for (i, argument) in self.arguments.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            if argument.default == Default::Required {
                let _ = write!(text, "{comma}{}", argument.name);
            } else {
                open += 1;
                let _ = write!(text, " [{comma}{}{}", argument.name, argument.default.text());
            }
        }
        text.push_str(&"]".repeat(open));
        text.push_str(match self.kind {
            Kind::Scalar | Kind::Aggregate => ")",
            Kind::PathAggregate => " ORDER BY time)",
            Kind::Window => ") OVER (ORDER BY time)",
        });
        text
    }

    /// What DataFusion shows of it: `information_schema.routines`, `\df` of a command line.
    pub fn documentation(&self) -> Documentation {
        let order = match self.kind {
            Kind::Scalar | Kind::Aggregate => "",
            Kind::PathAggregate => " The rows are taken in the order of ORDER BY.",
            Kind::Window => " The rows are taken in the order of OVER; a frame has no effect.",
        };
        let description =
            format!("{}{order} Formula: {}. Result: {}. NULL when: {}.", self.summary, self.formula, self.unit, self.null_when);
        let example = format!("```sql\n> {};\n{}\n```", self.example.sql(), self.example.expected);
        let documentation = Documentation::builder(SECTION, description, self.signature()).with_sql_example(example);
        let document = |argument: &Argument| format!("{} Must be {}.", argument.doc, argument.role.allowed());
        self.arguments.iter().fold(documentation, |docs, argument| docs.with_argument(argument.name, document(argument))).build()
    }

    /// The section of FUNCTIONS.md.
    fn write_markdown(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "### {}\n\n`{}`\n", self.name, self.signature())?;
        writeln!(out, "{}\n", escaped(self.summary))?;
        if !self.aliases.is_empty() {
            writeln!(out, "- Also called: `{}`", self.aliases.join("`, `"))?;
        }
        writeln!(out, "- Formula: `{}`", self.formula)?;
        writeln!(out, "- Result: {}", escaped(self.unit))?;
        writeln!(out, "- NULL when: {}", escaped(self.null_when))?;
        for argument in self.arguments {
            let default = match argument.default {
                Default::Required => String::new(),
                Default::Absent => ", may be left out".into(),
                given => format!(", default{}", given.text().trim_start_matches(" =")),
            };
            writeln!(out, "- `{}` ({}{default}): {}", argument.name, escaped(argument.role.allowed()), escaped(argument.doc))?;
        }
        writeln!(out, "\n```sql\n{};\n-- {}\n```\n", self.example.short_sql(), self.example.expected)
    }
}

impl Metric {
    /// What is documented of it.
    pub fn page(&self) -> Page {
        let Self { name, aliases, family, summary, formula, unit, null_when, arguments, example, .. } = *self;
        let kind = if self.needs_order() { Kind::PathAggregate } else { Kind::Aggregate };
        Page { name, aliases, chapter: family.chapter(), kind, summary, formula, unit, null_when, arguments, example }
    }
}

/// The text of `FUNCTIONS.md`: every function of every table. A test keeps the file current.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    // Writing to a string cannot fail.
    let _ = write_all(&mut text);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn write_all(out: &mut String) -> fmt::Result {
    for sample in Sample::ALL {
        if let Some(table) = sample.table() {
            writeln!(out, "CREATE VIEW {table} AS SELECT * FROM {};", sample.sql())?;
        }
    }
    writeln!(out, "```\n")?;
    let mut chapter = "";
    for page in pages() {
        if page.chapter != chapter {
            chapter = page.chapter;
            writeln!(out, "## {chapter}\n")?;
        }
        page.write_markdown(out)?;
    }
    Ok(())
}

/// Text in which Markdown sees no markup.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '<' | '*' | '[' | ']') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(x) => write!(f, "{x}"),
            Self::Text(text) => f.write_str(text),
            Self::Rows(rows) | Self::FieldRows(_, rows) => {
                let shown: Vec<String> = rows.iter().map(|row| row.map_or_else(|| "NULL".into(), |x| x.to_string())).collect();
                f.write_str(&shown.join(", "))
            }
        }
    }
}

const INTRODUCTION: &str = "\
# Functions

Every function with its arguments, formula, unit, NULL rule and an example. This text is made from the tables of functions; to change it,
change the entry and run the tests with `UPDATE_FUNCTIONS_MD=1`.

- Numbers of any type are read as DOUBLE. Returns are simple returns of one period, results are fractions, never percents; currency stays in
  its currency. A loss is \\<= 0 (the legacy family keeps its own sign).
- A row whose value is NULL is skipped (legacy family: counts as 0). Undefined is NULL: never infinity, never 0 as a guess. One NaN makes a
  DOUBLE NaN and a count NULL. Infinite input, and values that overflow, give what IEEE arithmetic gives.
- Arguments in brackets may be left out from the right; they are constants of the call, and a wrong type, count, range or name is an error
  before the query runs. They may be named: `sharpe_ratio(ret, risk_free => 0.02)`; to name one, the ones before it must be given too.
- Path functions need a time order: `f(x ORDER BY day)`, `f(x) OVER (ORDER BY day)`, or a table that declares its order. Rows with equal
  keys have no order among each other: give enough keys (`ORDER BY day, start_time`). Where they are equal all the same, an aggregate that
  sorts its rows takes the smaller value first, so that its result is the same on any number of threads; window calls and tables that declare
  their order take them as they come.
- Window indicators are written `f(x, n) OVER (PARTITION BY symbol ORDER BY day)`: one value for each row, of that row and those before it. A
  row with a NULL in an input gives NULL and changes nothing (`locf` apart). A frame has no effect; `DISTINCT` and NULL treatment are errors.
- Aggregates work with `GROUP BY`, `FILTER` and `OVER` any frame. `DISTINCT` has a meaning for order-free metrics, metrics of the
  distribution and pairs; elsewhere it is an error.

Where `P` is not known, `periods_per_year(date)` estimates it. That is an aggregate and no constant, so that a metric cannot take it as its
argument. Take the metric of one period and scale it: `sharpe_ratio(ret, 0, 1) * sqrt(periods_per_year(date))`,
`annualise_volatility(volatility(ret, 1), periods_per_year(date))`; or run it first and bind its result: `sharpe_ratio(ret, 0.02, $1)`.

Symbols: `n` counted rows; `m` mean; `s` standard deviation (ddof 1); `P` periods a year; `f` the rate of one period,
`(1 + annual rate)^(1/P) - 1`; `e = x - f`; `W+ W-` number of rows above and below zero, `S+ S-` their sums, `S` the sum of all (zeros are
neither win nor loss); `z` the normal quantile at `a = 1 - confidence`, `phi` the normal density; `d_t` drawdown of the compounded curve
(from 1) as a fraction of its peak; `u_t` drawdown of the summed curve (from 0) in currency. Of window indicators: `x` the value of the row;
`m` mean and `s` deviation of the last `n` values; `e` the recursive average, `e'` that of the row before; `W_t` compounded wealth and `E_t`
the sum of the rows up to `t`, `H_t` and `K_t` their peaks so far, the start counted.

The examples run on these tables:

```sql
";
