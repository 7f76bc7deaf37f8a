//! From the header of a CSV file to the role of every column, and why.
//!
//! Names are compared without letter case, with spaces and `_` equal. What the user says comes first (`map`, `roles`, `date_column`, `context`,
//! `strategy`, `exclude`), then [`KNOWN_COLUMNS`], then the names that mark totals and row numbers ([`AGGREGATE_NAMES`]); whatever is left is a
//! strategy. Position tells nothing.

use std::borrow::Cow;
use std::collections::HashMap;

use super::options::ImportOptions;
use super::patterns::NamePatterns;
use crate::error::{Result, SourceError};

/// Column of a strategy table, or a part in reading one, that a source column can feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Date,
    Slot,
    Day,
    Zone,
    StartTime,
    EndTime,
    MarketRegime,
    RegimeConfidence,
    TransitionThreshold,
    Capital,
    /// Name of the strategy, in files with a row per strategy and period.
    Strategy,
    /// Value of the strategy, in the same files.
    Pnl,
    /// Derived from the date; checked and dropped.
    Year,
    /// Derived from the date; checked and dropped.
    Month,
}

/// A column that is recognised by name.
pub(crate) struct KnownColumn {
    /// Where it goes.
    pub(crate) target: Target,
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Its names in sources, in the form that [`comparable`] gives.
    pub(crate) sources: &'static [&'static str],
}

/// Every column that is recognised by name, in the order of the table.
pub(crate) const KNOWN_COLUMNS: &[KnownColumn] = &[
    KnownColumn { target: Target::Date, name: "date", sources: &["date"] },
    KnownColumn { target: Target::Slot, name: "slot", sources: &["slot"] },
    KnownColumn { target: Target::Day, name: "day", sources: &["day"] },
    KnownColumn { target: Target::Zone, name: "zone", sources: &["zone"] },
    KnownColumn { target: Target::StartTime, name: "start_time", sources: &["start_time"] },
    KnownColumn { target: Target::EndTime, name: "end_time", sources: &["end_time"] },
    KnownColumn { target: Target::MarketRegime, name: "market_regime", sources: &["market_regime"] },
    KnownColumn {
        target: Target::RegimeConfidence,
        name: "regime_confidence",
        sources: &["regime_confidence_%", "regime_confidence", "confidence_score"],
    },
    KnownColumn {
        target: Target::TransitionThreshold,
        name: "transition_threshold",
        sources: &["market_regime_transition_threshold", "transition_threshold_score", "transition_threshold"],
    },
    KnownColumn { target: Target::Capital, name: "capital", sources: &["capital"] },
    KnownColumn { target: Target::Strategy, name: "strategy", sources: &["strategy"] },
    KnownColumn { target: Target::Pnl, name: "pnl", sources: &["pnl"] },
    KnownColumn { target: Target::Year, name: "year", sources: &["year"] },
    KnownColumn { target: Target::Month, name: "month", sources: &["month"] },
];

/// Names of numeric columns that are no strategies: a start of the comparable name, or with `true` all of it.
const AGGREGATE_NAMES: &[(&str, bool)] =
    &[("portfolio_", false), ("total", false), ("benchmark", false), ("unnamed:", false), ("index", true)];

/// What is done with one source column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Role {
    /// Feeds a known column.
    Known(Target),
    /// Kept as a context column of this name, as text or as number.
    Context(String),
    /// Kept as a context column of this name if it is numeric.
    Aggregate(String),
    /// A strategy; `named` when the user said so.
    Strategy { named: bool },
    /// Left out because a pattern says so.
    Excluded,
}

/// One source column with its role.
#[derive(Debug, Clone)]
pub(crate) struct PlannedColumn {
    /// Position in the header, from 0.
    pub(crate) index: usize,
    /// Name in the header, after renaming.
    pub(crate) name: String,
    /// What is done with it.
    pub(crate) role: Role,
    /// What decided.
    pub(crate) why: Cow<'static, str>,
}

/// Layout of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A column per strategy.
    Wide,
    /// A row per strategy and period.
    Long,
}

/// Roles of all columns of a file.
#[derive(Debug, Clone)]
pub(crate) struct HeaderPlan {
    /// One entry per source column.
    pub(crate) columns: Vec<PlannedColumn>,
    /// How strategies lie in it.
    pub(crate) layout: Layout,
    /// Strategy names that were replaced.
    pub(crate) renamed: u64,
}

impl HeaderPlan {
    /// The column that feeds `target`.
    pub(crate) fn known(&self, target: Target) -> Option<&PlannedColumn> {
        self.columns.iter().find(|c| c.role == Role::Known(target))
    }

    /// The columns that hold strategies.
    pub(crate) fn strategies(&self) -> impl Iterator<Item = &PlannedColumn> {
        self.columns.iter().filter(|c| matches!(c.role, Role::Strategy { .. }))
    }

    /// The columns that are read as text per period: all but strategies, their values and what is left out.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &PlannedColumn> {
        self.columns.iter().filter(|c| match &c.role {
            Role::Known(target) => !matches!(target, Target::Strategy | Target::Pnl),
            Role::Context(_) | Role::Aggregate(_) => true,
            Role::Strategy { .. } | Role::Excluded => false,
        })
    }

    /// Name of the format, for the report.
    pub(crate) fn variant(&self) -> &'static str {
        const ENHANCED: &[Target] = &[
            Target::StartTime,
            Target::EndTime,
            Target::MarketRegime,
            Target::RegimeConfidence,
            Target::TransitionThreshold,
            Target::Capital,
        ];
        match self.layout {
            Layout::Long => "long",
            Layout::Wide if ENHANCED.iter().any(|&target| self.known(target).is_some()) => "enhanced",
            Layout::Wide if self.known(Target::Zone).is_some() => "legacy with zones",
            Layout::Wide => "legacy",
        }
    }
}

/// Decides the role of every column of a header.
///
/// # Errors
/// Repeated names, no or several date columns, two columns for one target, names in options that the header lacks, no strategy at all.
pub(crate) fn plan_header(file: &str, header: &[String], options: &ImportOptions, renames: &HashMap<String, String>) -> Result<HeaderPlan> {
    let mut planner = Planner::try_new(file, header, options, renames)?;
    planner.assign_user_roles()?;
    planner.assign_known()?;
    planner.assign_rest();
    planner.finish()
}

/// A name as it is compared: lower case, spaces as `_`.
pub(crate) fn comparable(name: &str) -> String {
    name.trim().to_lowercase().replace(' ', "_")
}

/// The name of a context column made from a source name: lower case words joined by `_`.
pub(crate) fn snake_case(name: &str) -> String {
    let spaced: String = name.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join("_")
}

fn target_by_name(name: &str) -> Option<Target> {
    KNOWN_COLUMNS.iter().find(|known| known.name == name).map(|known| known.target)
}

/// Name of a target in the table.
pub(crate) fn target_name(target: Target) -> &'static str {
    KNOWN_COLUMNS.iter().find(|known| known.target == target).map_or("", |known| known.name)
}

struct Planner<'a> {
    file: &'a str,
    options: &'a ImportOptions,
    names: Vec<String>,
    comparable: Vec<String>,
    roles: Vec<Option<(Role, Cow<'static, str>)>>,
    exclude: NamePatterns,
    include: NamePatterns,
    renamed: u64,
}

impl<'a> Planner<'a> {
    fn try_new(file: &'a str, header: &[String], options: &'a ImportOptions, renames: &HashMap<String, String>) -> Result<Self> {
        let names: Vec<String> = header.iter().map(|name| renames.get(name).unwrap_or(name).clone()).collect();
        let planner = Self {
            file,
            options,
            comparable: names.iter().map(|name| comparable(name)).collect(),
            roles: vec![None; names.len()],
            exclude: NamePatterns::try_new("--exclude", &options.exclude)?,
            include: NamePatterns::try_new("--include", &options.include)?,
            renamed: header.iter().zip(&names).filter(|(old, new)| old != new).count() as u64,
            names,
        };
        planner.check_repeated_names(header)?;
        Ok(planner)
    }

    fn error(&self, reason: impl Into<String>) -> SourceError {
        SourceError::new(self.file, reason).at_line(1)
    }

    fn check_repeated_names(&self, header: &[String]) -> Result<()> {
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(self.names.len());
        let mut repeated = vec![];
        for (i, name) in self.names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if let Some(first) = seen.insert(name, i) {
                repeated.push((first, i));
            }
        }
        let Some(&(first, second)) = repeated.first() else { return Ok(()) };
        let reason = format!(
            "the header names this column twice, as columns {} ('{}') and {} ('{}')",
            first + 1,
            header[first],
            second + 1,
            header[second]
        );
        let error = self.error(reason).in_column(&self.names[first]).counted(repeated.len() as u64);
        Err(error.with_remedy("rename one of them; which one is meant cannot be known").into())
    }

    /// Position of the column that an option names: exactly, else by comparable name where only one fits.
    fn find(&self, option: &str, name: &str) -> Result<usize> {
        if let Some(exact) = self.names.iter().position(|n| n == name) {
            return Ok(exact);
        }
        let wanted = comparable(name);
        let alike: Vec<usize> = (0..self.names.len()).filter(|&i| self.comparable[i] == wanted).collect();
        match alike.as_slice() {
            [one] => Ok(*one),
            [] => Err(self
                .error(format!("{option} names the column '{name}', which the header lacks"))
                .with_remedy(self.near_names(name))
                .into()),
            _ => Err(self
                .error(format!("{option} '{name}' fits {} columns", alike.len()))
                .with_remedy("write the name exactly as in the header")
                .into()),
        }
    }

    fn near_names(&self, name: &str) -> String {
        let mut scored: Vec<(f64, &str)> =
            self.names.iter().map(|n| (strsim::jaro_winkler(&comparable(n), &comparable(name)), n.as_str())).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let near: Vec<_> = scored.iter().take(3).map(|(_, n)| format!("'{n}'")).collect();
        format!("columns with near names: {}", near.join(", "))
    }

    /// Gives a column a role unless an option of higher rank already has.
    fn assign(&mut self, column: usize, role: Role, why: impl Into<Cow<'static, str>>) {
        self.roles[column].get_or_insert_with(|| (role, why.into()));
    }

    fn assign_user_roles(&mut self) -> Result<()> {
        for (source, target) in &self.options.map {
            let column = self.find("--map", source)?;
            let role = target_by_name(&comparable(target)).map_or_else(|| Role::Context(snake_case(target)), Role::Known);
            self.assign(column, role, format!("mapped to {target}"));
        }
        for (name, role) in &self.options.roles {
            let column = self.find("role", name)?;
            self.assign(column, self.role_by_name(name, role)?, "role asked for");
        }
        if let Some(name) = &self.options.date_column {
            let column = self.find("--date-column", name)?;
            self.assign(column, Role::Known(Target::Date), "named by --date-column");
        }
        for name in &self.options.context {
            for column in self.matching("--context", name)? {
                let target = self.context_name(column);
                self.assign(column, Role::Context(target), "kept by --context");
            }
        }
        for name in &self.options.strategy {
            for column in self.matching("--strategy", name)? {
                self.assign(column, Role::Strategy { named: true }, "named by --strategy");
            }
        }
        Ok(())
    }

    fn role_by_name(&self, column: &str, role: &str) -> Result<Role> {
        match role {
            "strategy" => Ok(Role::Strategy { named: true }),
            "context" => Ok(Role::Context(snake_case(column))),
            "exclude" => Ok(Role::Excluded),
            _ => target_by_name(role).map(Role::Known).ok_or_else(|| {
                let targets: Vec<_> = KNOWN_COLUMNS.iter().map(|known| known.name).filter(|name| *name != "strategy").collect();
                let remedy = format!("roles are strategy, context, exclude, {}", targets.join(", "));
                self.error(format!("unknown role '{role}'")).in_column(column).with_remedy(remedy).into()
            }),
        }
    }

    /// Columns that a name or a glob in an option fits; at least one.
    fn matching(&self, option: &str, pattern: &str) -> Result<Vec<usize>> {
        let patterns = NamePatterns::try_new(option, &[pattern.to_owned()])?;
        let found: Vec<usize> = (0..self.names.len()).filter(|&i| patterns.matches(&self.names[i])).collect();
        if found.is_empty() { Ok(vec![self.find(option, pattern)?]) } else { Ok(found) }
    }

    fn context_name(&self, column: usize) -> String {
        match snake_case(&self.names[column]) {
            empty if empty.is_empty() => format!("unnamed_{column}"),
            name => name,
        }
    }

    fn assign_known(&mut self) -> Result<()> {
        let targets: Vec<Option<Target>> = self.comparable.iter().map(|name| known_target(name)).collect();
        let has = |target| targets.contains(&Some(target)) || self.roles.iter().flatten().any(|(role, _)| *role == Role::Known(target));
        let long = has(Target::Strategy) && has(Target::Pnl);
        let date_is_named = self.roles.iter().flatten().any(|(role, _)| *role == Role::Known(Target::Date));
        for (column, target) in targets.iter().enumerate() {
            let Some(target) = *target else { continue };
            match target {
                Target::Strategy | Target::Pnl if !long => {}
                Target::Date if date_is_named => {}
                _ if self.exclude.names(&self.names[column]) => self.assign(column, Role::Excluded, "left out by --exclude"),
                _ => self.assign(column, Role::Known(target), "known name"),
            }
        }
        self.check_one_column_per_target()
    }

    fn check_one_column_per_target(&self) -> Result<()> {
        for known in KNOWN_COLUMNS {
            let columns: Vec<&str> = (0..self.names.len())
                .filter(|&i| matches!(&self.roles[i], Some((Role::Known(t), _)) if *t == known.target))
                .map(|i| self.names[i].as_str())
                .collect();
            if columns.len() > 1 {
                let remedy = if known.target == Target::Date {
                    "choose one with --date-column"
                } else {
                    "leave one out with --exclude or keep it with --context"
                };
                let quoted: Vec<_> = columns.iter().map(|c| format!("'{c}'")).collect();
                return Err(self
                    .error(format!("{} columns could be the {}: {}", columns.len(), known.name, quoted.join(", ")))
                    .with_remedy(remedy)
                    .into());
            }
            if columns.is_empty() && known.target == Target::Date {
                return Err(self.no_date_column());
            }
        }
        Ok(())
    }

    fn no_date_column(&self) -> crate::error::Error {
        const HINTS: &[&str] = &["date", "time", "day"];
        let candidates: Vec<_> = (0..self.names.len()).filter(|&i| HINTS.iter().any(|h| self.comparable[i].contains(h))).take(5).collect();
        let quoted: Vec<_> = candidates.iter().map(|&i| format!("'{}'", self.names[i])).collect();
        let remedy = match quoted.as_slice() {
            [] => "no column name hints at a date: name the column with --date-column".to_owned(),
            _ => format!("candidates: {}; name one with --date-column", quoted.join(", ")),
        };
        self.error("no column is named Date").with_remedy(remedy).into()
    }

    fn assign_rest(&mut self) {
        // In a long file the choice is among the names in its rows.
        let long = self.roles.iter().flatten().any(|(role, _)| *role == Role::Known(Target::Pnl));
        let strategies_are_chosen = !self.include.is_empty() && !long;
        for column in 0..self.names.len() {
            if self.roles[column].is_some() {
                continue;
            }
            let name = &self.names[column];
            let (role, why) = if self.exclude.matches(name) {
                (Role::Excluded, "left out by --exclude")
            } else if name.is_empty() {
                (Role::Aggregate(self.context_name(column)), "a column without name is no strategy")
            } else if let Some(mark) = aggregate_mark(&self.comparable[column]) {
                let why = format!("{mark} marks a figure about all strategies, not a strategy");
                self.assign(column, Role::Aggregate(self.context_name(column)), why);
                continue;
            } else if strategies_are_chosen && !self.include.matches(name) {
                (Role::Excluded, "not chosen by --include")
            } else {
                (Role::Strategy { named: false }, "")
            };
            self.assign(column, role, why);
        }
    }

    fn finish(self) -> Result<HeaderPlan> {
        let long = self.roles.iter().flatten().any(|(role, _)| *role == Role::Known(Target::Pnl));
        let columns = self.names.iter().zip(&self.roles).enumerate().filter_map(|(index, (name, role))| {
            let (role, why) = role.clone()?;
            Some(PlannedColumn { index, name: name.clone(), role, why })
        });
        let plan = HeaderPlan { columns: columns.collect(), layout: if long { Layout::Long } else { Layout::Wide }, renamed: self.renamed };
        self.check_context_names(&plan)?;
        // In a long file the patterns also fit names in the rows, which are not known yet.
        if plan.layout == Layout::Wide {
            self.check_patterns(&plan)?;
        }
        match plan.layout {
            Layout::Long => self.check_long(&plan)?,
            Layout::Wide => self.check_wide(&plan)?,
        }
        Ok(plan)
    }

    /// A pattern that changes nothing is a name mistyped or a column missing.
    fn check_patterns(&self, plan: &HeaderPlan) -> Result<()> {
        let excluded = plan.columns.iter().filter(|c| c.role == Role::Excluded).map(|c| c.name.as_str());
        if let Some(pattern) = self.exclude.first_unused(excluded) {
            let kept = plan.columns.iter().find(|c| glob_fits(pattern, &c.name)).map(|c| c.name.as_str());
            return Err(self.unused_pattern("--exclude", pattern, kept));
        }
        let choosable = plan.columns.iter().filter(|c| matches!(c.role, Role::Strategy { .. } | Role::Excluded)).map(|c| c.name.as_str());
        match self.include.first_unused(choosable) {
            Some(pattern) => Err(self.unused_pattern("--include", pattern, None)),
            None => Ok(()),
        }
    }

    fn unused_pattern(&self, option: &str, pattern: &str, kept: Option<&str>) -> crate::error::Error {
        let remedy = match kept {
            Some(kept) => {
                format!("it fits '{kept}', which another option keeps, or which is known by name and is left out by its full name only")
            }
            None => format!("correct the pattern or drop it; letter case counts; {}", self.near_names(pattern)),
        };
        self.error(format!("{option} '{pattern}' fits no column that it could choose")).with_remedy(remedy).into()
    }

    fn check_context_names(&self, plan: &HeaderPlan) -> Result<()> {
        let mut seen: HashMap<&str, &str> = KNOWN_COLUMNS.iter().map(|known| (known.name, "a column of every strategy table")).collect();
        for column in &plan.columns {
            if let Role::Context(target) | Role::Aggregate(target) = &column.role
                && let Some(other) = seen.insert(target, &column.name)
            {
                let reason = format!("the context column would be named '{target}', like {other}");
                return Err(self
                    .error(reason)
                    .in_column(&column.name)
                    .with_remedy("give it another name with --map source=target, or leave it out with --exclude")
                    .into());
            }
        }
        Ok(())
    }

    fn check_long(&self, plan: &HeaderPlan) -> Result<()> {
        if plan.known(Target::Strategy).is_none() {
            return Err(self.error("no column holds the strategy names").with_remedy("name it with --map source=strategy").into());
        }
        let others: Vec<_> = plan.strategies().collect();
        let Some(first) = others.first() else { return Ok(()) };
        let reason = "the file has a row per strategy and period, and what this column holds is not known";
        Err(self.error(reason).in_column(&first.name).counted(others.len() as u64).with_remedy(two_options(&first.name)).into())
    }

    fn check_wide(&self, plan: &HeaderPlan) -> Result<()> {
        if plan.strategies().next().is_some() {
            return Ok(());
        }
        let remedy = if !self.options.include.is_empty() {
            "no column name fits --include"
        } else if plan.known(Target::MarketRegime).is_some() {
            "it looks like a regime sheet, which is not a strategy table"
        } else {
            "a strategy file has a column per strategy, or the columns date, strategy and pnl; --strategy and --map name them"
        };
        Err(self.error("no strategy column").with_remedy(remedy).into())
    }
}

/// The target that a comparable name stands for.
fn known_target(name: &str) -> Option<Target> {
    KNOWN_COLUMNS.iter().find(|known| known.sources.contains(&name)).map(|known| known.target)
}

fn glob_fits(pattern: &str, name: &str) -> bool {
    NamePatterns::try_new("", &[pattern.to_owned()]).is_ok_and(|patterns| patterns.matches(name))
}

/// What marks the name of an aggregate: its start, or all of it; `None` for names of strategies.
fn aggregate_mark(comparable: &str) -> Option<String> {
    let fits = |(name, whole): &&(&str, bool)| if *whole { comparable == *name } else { comparable.starts_with(name) };
    let &(mark, whole) = AGGREGATE_NAMES.iter().find(fits)?;
    Some(if whole { format!("the name '{mark}'") } else { format!("a name that begins with '{mark}'") })
}

/// What to do with a column that can be no strategy.
pub(crate) fn two_options(column: &str) -> String {
    format!("--context '{column}' keeps it as a context column, --exclude '{column}' leaves it out")
}

/// What to do with a column that can be anything.
pub(crate) fn three_options(column: &str) -> String {
    format!("--strategy '{column}' makes it a strategy, {}", two_options(column))
}
