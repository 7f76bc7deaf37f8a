//! What a script says about itself in its leading comment lines.
//!
//! ```sql
//! -- risk/drawdowns: the deepest drawdowns, strategy by strategy
//! -- table strategies : strategy table to look at
//! -- needs strategies.capital : an enhanced CSV brings it
//! -- param limit = 20 : rows to show
//! -- result strategy : name
//! ```
//! `table` names a table that `-p strategies=mine` replaces; `needs` a column that not every such table has, and where it comes from; `param` a `$name`, with a default or without; `result` a column of the result;
//! `sample` a table that is generated when it does not exist. Lines of other forms are plain comments.

/// The leading comment lines of a script, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Name as the script states it: `topic/name`.
    pub(crate) name: Option<String>,
    /// What it is for, in one line.
    pub(crate) purpose: Option<String>,
    /// Tables that can be replaced.
    pub(crate) tables: Vec<Item>,
    /// Columns that its tables must have.
    pub(crate) needs: Vec<Need>,
    /// Values that can be bound.
    pub(crate) parameters: Vec<Item>,
    /// Columns of the result.
    pub(crate) results: Vec<Item>,
    /// Table that is generated when it is missing.
    pub(crate) sample: Option<String>,
}

/// One thing that a header declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name.
    pub(crate) name: String,
    /// Its value where nothing is given.
    pub(crate) default: Option<String>,
    /// What it is, with its unit.
    pub(crate) help: String,
}

/// A column that a table must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// Name of the table in the script.
    pub(crate) table: String,
    /// Name of the column.
    pub(crate) column: String,
    /// Where it comes from.
    pub(crate) help: String,
}

impl Header {
    /// Reads the comment lines before the first statement.
    pub(crate) fn parse(text: &str) -> Self {
        let mut header = Self::default();
        let lines = text.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with("--"));
        for (i, line) in lines.enumerate() {
            header.read_line(line.trim_start_matches('-').trim(), i == 0);
        }
        header
    }

    fn read_line(&mut self, line: &str, first: bool) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "table" => self.tables.extend(Item::parse(rest)),
            "needs" => self.needs.extend(Need::parse(rest)),
            "param" => self.parameters.extend(Item::parse(rest)),
            "result" => self.results.extend(Item::parse(rest)),
            "sample" if is_name(rest.trim()) => self.sample = Some(rest.trim().to_owned()),
            _ if first => self.read_title(line),
            _ => {}
        }
    }

    fn read_title(&mut self, line: &str) {
        if let Some((name, purpose)) = line.split_once(": ")
            && !name.is_empty()
            && name.split('/').all(is_name)
        {
            self.name = Some(name.to_owned());
            self.purpose = Some(purpose.trim().to_owned());
        }
    }

    /// Names that `-p` may give: parameters and tables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().chain(&self.tables).map(|item| item.name.as_str())
    }
}

impl Need {
    /// `table.column : help`.
    fn parse(text: &str) -> Option<Self> {
        let (name, help) = text.split_once(" : ")?;
        let (table, column) = name.trim().split_once('.')?;
        (is_name(table) && is_name(column)).then(|| Self { table: table.into(), column: column.into(), help: help.trim().into() })
    }
}

impl Item {
    /// `name : help` or `name = default : help`.
    fn parse(text: &str) -> Option<Self> {
        let (declaration, help) = text.split_once(" : ")?;
        let (name, default) = match declaration.split_once('=') {
            Some((name, default)) => (name.trim(), Some(default.trim().to_owned())),
            None => (declaration.trim(), None),
        };
        is_name(name).then(|| Self { name: name.to_owned(), default, help: help.trim().to_owned() })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The titles of a text: its lines, split once.
pub(crate) struct Titles<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Titles<'a> {
    /// The titles of `text`.
    pub(crate) fn of(text: &'a str) -> Self {
        Self { lines: text.lines().map(str::trim).collect() }
    }

    /// The title of the statement that starts on `line` (from 1): `--! title` or `-- title: title` in the comment right above it, or at its start.
    pub(crate) fn before(&self, line: u64) -> Option<String> {
        let at = usize::try_from(line.checked_sub(1)?).ok()?.min(self.lines.len());
        let is_comment = |line: &&&str| line.starts_with("--");
        let above = self.lines[..at].iter().rev().take_while(is_comment);
        let within = self.lines[at..].iter().take_while(is_comment);
        above.chain(within).find_map(|line| title_of(line))
    }
}

fn title_of(line: &str) -> Option<String> {
    let title = line.strip_prefix("--!").or_else(|| line.trim_start_matches('-').trim_start().strip_prefix("title:"))?;
    Some(title.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "-- risk/tail: how bad the bad days are
-- table strategies : strategy table to look at
-- needs strategies.capital : an enhanced CSV brings it
-- param limit = 20 : rows to show
-- param since = 2024-01-01 : first day
-- param capital : base capital, in the currency of the table
-- result strategy : name
-- Only losses count.

-- not param this : one
--! Worst days
select 1 where $limit > 0;

-- why
-- title: Best days
select 2;
";

    #[test]
    fn a_header_declares_tables_parameters_and_results() {
        let header = Header::parse(SCRIPT);
        assert_eq!(header.name.as_deref(), Some("risk/tail"));
        assert_eq!(header.purpose.as_deref(), Some("how bad the bad days are"));
        assert_eq!(header.names().collect::<Vec<_>>(), ["limit", "since", "capital", "strategies"]);
        let defaults: Vec<Option<&str>> = header.parameters.iter().map(|item| item.default.as_deref()).collect();
        assert_eq!(defaults, [Some("20"), Some("2024-01-01"), None]);
        let need = Need { table: "strategies".into(), column: "capital".into(), help: "an enhanced CSV brings it".into() };
        assert_eq!(header.needs, [need]);
        assert_eq!(header.results[0], Item { name: "strategy".into(), default: None, help: "name".into() });
    }

    #[test]
    fn plain_comments_declare_nothing() {
        let header = Header::parse("-- Note: param is a word, table too\n-- table of contents\n-- sample of it\nselect 1");
        assert_eq!(header, Header { name: Some("Note".into()), purpose: Some("param is a word, table too".into()), ..Header::default() });
        assert_eq!(Header::parse("select 1"), Header::default());
    }

    #[test]
    fn titles_stand_right_above_their_statement() {
        assert_eq!(Titles::of(SCRIPT).before(12).as_deref(), Some("Worst days"));
        assert_eq!(Titles::of(SCRIPT).before(16).as_deref(), Some("Best days"));
        assert_eq!(Titles::of(SCRIPT).before(14).as_deref(), Some("Best days"), "a statement that starts with its comments");
        assert_eq!(Titles::of("select 1;\nselect 2;").before(2), None);
    }
}
