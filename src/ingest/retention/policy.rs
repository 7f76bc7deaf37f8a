//! What is to be kept of a table's strategies, and where that is written down.

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::storage::{JointWriter, Root};

/// Folder of the policies below the database's own.
const FOLDER: &str = "retention";
/// Strategies of a group whose details are kept where the policy says nothing.
const DEFAULT_TOP: u64 = 50;
/// Columns that make the groups where the policy says nothing, as far as the table has them.
pub(super) const DEFAULT_GROUP: &[&str] = &["dataset", "universe"];
/// Columns that make the key where the policy says nothing, as far as all tables have them.
pub(super) const DEFAULT_KEY: &[&str] = &["dataset", "universe", "strategy_name", "lot_size"];

/// Which end of the metric is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The highest value has rank 1.
    Desc,
    /// The lowest value has rank 1.
    Asc,
}

/// What is kept of the strategies of a metrics table: their metrics always, their details as the policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionPolicy {
    /// Column that ranks the strategies.
    pub metric: String,
    /// Which end of it is the better one.
    pub direction: Direction,
    /// Strategies of each group, from rank 1, whose details are kept.
    pub top: u64,
    /// Columns whose values make a group.
    pub per: Vec<String>,
    /// Columns that tell one strategy from another, in every table; those of `per` are among them.
    pub keys: Vec<String>,
    /// Condition in SQL on the metrics that a strategy must meet for its details to be kept.
    pub eligible: Option<String>,
    /// Strategies of each group outside the top whose details are kept all the same.
    pub sample: u64,
    /// Seed of the sample.
    pub seed: u64,
    /// Tables of details: trades, equity curves.
    pub details: Vec<String>,
    /// Hours for which `VACUUM` leaves dropped files of these tables alone where it is not told otherwise.
    pub vacuum_hours: Option<u32>,
}

/// A value of an option as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// Text in quotes, or a bare word.
    Text(String),
    /// A whole number from 0.
    Number(u64),
}

impl OptionValue {
    fn text(&self, option: &str) -> Result<String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Number(number) => Err(Error::Usage(format!("{option} => {number}: a text belongs here, in single quotes"))),
        }
    }

    fn number(&self, option: &str) -> Result<u64> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(text) => Err(Error::Usage(format!("{option} => '{text}': a whole number from 0 belongs here"))),
        }
    }

    fn names(&self, option: &str) -> Result<Vec<String>> {
        let text = self.text(option)?;
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        match names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
            Some((_, twice)) => Err(Error::Usage(format!("{option} => '{text}' names '{twice}' twice"))),
            None => Ok(names),
        }
    }
}

/// What was said of a policy; what was not said stays as it is, or is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionOptions {
    metric: Option<String>,
    direction: Option<Direction>,
    top: Option<u64>,
    per: Option<Vec<String>>,
    keys: Option<Vec<String>>,
    eligible: Option<String>,
    sample: Option<u64>,
    seed: Option<u64>,
    details: Option<Vec<String>>,
    vacuum_hours: Option<u32>,
}

/// One option of a policy.
pub struct RetentionOption {
    /// Its name in SQL.
    pub name: &'static str,
    /// What it says.
    pub about: &'static str,
    set: fn(&mut RetentionOptions, &OptionValue) -> Result<()>,
}

/// Every option of `SET RETENTION`.
pub const RETENTION_OPTIONS: &[RetentionOption] = &[
    RetentionOption {
        name: "metric",
        about: "column that ranks the strategies; there is no default",
        set: |o, v| v.text("metric").map(|text| o.metric = Some(text)),
    },
    RetentionOption {
        name: "direction",
        about: "'desc' (the highest value first, the default) or 'asc'",
        set: |o, v| {
            o.direction = Some(match v.text("direction")?.to_lowercase().as_str() {
                "desc" => Direction::Desc,
                "asc" => Direction::Asc,
                other => return Err(Error::Usage(format!("direction => '{other}': 'desc' or 'asc' belongs here"))),
            });
            Ok(())
        },
    },
    RetentionOption {
        name: "top",
        about: "strategies of each group whose details are kept; 50 by default",
        set: |o, v| v.number("top").map(|number| o.top = Some(number)),
    },
    RetentionOption {
        name: "per",
        about: "columns that make the groups; dataset and universe by default, as far as the table has them; '' makes one group",
        set: |o, v| v.names("per").map(|names| o.per = Some(names)),
    },
    RetentionOption {
        name: "keys",
        about: "columns that tell strategies apart; of dataset, universe, strategy_name, lot_size by default those that all tables have",
        set: |o, v| v.names("keys").map(|names| o.keys = Some(names)),
    },
    RetentionOption {
        name: "eligible",
        about: "condition that a strategy must meet for its details to be kept; '' takes it away",
        set: |o, v| v.text("eligible").map(|text| o.eligible = Some(text)),
    },
    RetentionOption {
        name: "sample",
        about: "strategies of each group kept beside the top, drawn by the seed; 0 by default",
        set: |o, v| v.number("sample").map(|number| o.sample = Some(number)),
    },
    RetentionOption { name: "seed", about: "seed of the sample; 0 by default", set: |o, v| v.number("seed").map(|n| o.seed = Some(n)) },
    RetentionOption {
        name: "details",
        about: "tables of details, with the key columns of the metrics",
        set: |o, v| v.names("details").map(|names| o.details = Some(names)),
    },
    RetentionOption {
        name: "vacuum_hours",
        about: "hours for which VACUUM leaves dropped files of these tables alone where it is not told otherwise; 168 by default",
        set: |o, v| {
            let hours = v.number("vacuum_hours")?;
            o.vacuum_hours = Some(u32::try_from(hours).map_err(|_| Error::Usage(format!("vacuum_hours => {hours}: too many")))?);
            Ok(())
        },
    },
];

impl RetentionOptions {
    /// Takes an option by its name.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that is none, listing those that are, or a value that cannot be.
    pub fn set(&mut self, name: &str, value: &OptionValue) -> Result<()> {
        let Some(option) = RETENTION_OPTIONS.iter().find(|option| option.name == name) else {
            let known: Vec<_> = RETENTION_OPTIONS.iter().map(|option| option.name).collect();
            return Err(Error::Usage(format!("there is no option '{name}' of a retention: there are {}", known.join(", "))));
        };
        (option.set)(self, value)
    }

    /// The option that changes the number of strategies alone.
    pub fn top(top: u64) -> Self {
        Self { top: Some(top), ..Self::default() }
    }

    /// The policy that is said, on top of the one before. Group and key that were never said are left empty.
    pub(super) fn over(self, table: &str, before: Option<&RetentionPolicy>) -> Result<DraftPolicy> {
        let metric = self.metric.or_else(|| before.map(|policy| policy.metric.clone())).ok_or_else(|| {
            Error::Usage(format!(
                "the retention of '{table}' names no metric\nhint: ALTER TABLE {table} SET RETENTION (metric => 'sharpe_ratio', ...)"
            ))
        })?;
        // A change of the tables may change the columns that all of them have.
        let same_tables = self.details.is_none();
        let group_before = before.filter(|_| same_tables).map(|policy| policy.per.clone());
        let key_before = before.filter(|_| same_tables).map(|policy| policy.keys.clone());
        let eligible = self.eligible.or_else(|| before.and_then(|policy| policy.eligible.clone()));
        Ok(DraftPolicy {
            per: self.per.or(group_before),
            keys: self.keys.or(key_before),
            rest: RetentionPolicy {
                metric,
                direction: self.direction.or(before.map(|policy| policy.direction)).unwrap_or(Direction::Desc),
                top: self.top.or(before.map(|policy| policy.top)).unwrap_or(DEFAULT_TOP),
                per: vec![],
                keys: vec![],
                eligible: eligible.filter(|text| !text.trim().is_empty()),
                sample: self.sample.or(before.map(|policy| policy.sample)).unwrap_or_default(),
                seed: self.seed.or(before.map(|policy| policy.seed)).unwrap_or_default(),
                details: self.details.or(before.map(|policy| policy.details.clone())).unwrap_or_default(),
                vacuum_hours: self.vacuum_hours.or(before.and_then(|policy| policy.vacuum_hours)),
            },
        })
    }
}

/// A policy whose group and key may still have to be found in the tables.
pub(super) struct DraftPolicy {
    pub(super) per: Option<Vec<String>>,
    pub(super) keys: Option<Vec<String>>,
    pub(super) rest: RetentionPolicy,
}

fn policy_path(root: &Root, table: &str) -> Path {
    root.own_path(&[FOLDER, &format!("{table}.json")])
}

/// The policy of a metrics table, if it has one.
///
/// # Errors
/// [`Error::Database`] for a damaged record.
pub async fn read_policy(root: &Root, table: &str) -> Result<Option<RetentionPolicy>> {
    let Some(bytes) = root.read(&policy_path(root, table)).await? else { return Ok(None) };
    let policy = serde_json::from_slice(&bytes).map_err(|e| {
        Error::Database(format!(
            "the retention of '{table}' in {} is damaged: {e}\nhint: ALTER TABLE {table} DROP RETENTION and set it anew",
            root.url()
        ))
    });
    policy.map(Some)
}

/// Keeps the policy of a metrics table, replacing the one before.
pub(super) async fn write_policy(root: &Root, table: &str, policy: &RetentionPolicy) -> Result<()> {
    root.initialise().await?;
    let text = serde_json::to_vec_pretty(policy).map_err(|e| Error::Internal(e.to_string()))?;
    root.write(&policy_path(root, table), text).await
}

/// Forgets the policy of a metrics table, in the turn of a writer; whether there was one.
///
/// # Errors
/// [`Error::Storage`] when it cannot be removed, [`Error::Conflict`] when another writer takes longer than a minute.
pub async fn drop_policy(root: &Root, table: &str) -> Result<bool> {
    if root.read(&policy_path(root, table)).await?.is_none() {
        return Ok(false);
    }
    let turn = JointWriter::begin(root).await?;
    let outcome = remove_policy(root, table).await;
    turn.end().await;
    outcome
}

/// As [`drop_policy`], by who has the turn.
///
/// # Errors
/// [`Error::Storage`] when it cannot be removed.
pub async fn remove_policy(root: &Root, table: &str) -> Result<bool> {
    let path = policy_path(root, table);
    let existed = root.read(&path).await?.is_some();
    root.remove(&path).await?;
    Ok(existed)
}

/// Every policy of the database, by the name of its metrics table.
///
/// # Errors
/// As [`read_policy`].
pub async fn policies(root: &Root) -> Result<Vec<(String, RetentionPolicy)>> {
    let mut names = root.names_in(&root.own_path(&[FOLDER])).await?;
    names.sort_unstable();
    let mut found = Vec::new();
    for table in names.iter().filter_map(|file| file.strip_suffix(".json")) {
        if let Some(policy) = read_policy(root, table).await? {
            found.push((table.to_owned(), policy));
        }
    }
    Ok(found)
}

/// Metrics tables whose policies name a table of details.
///
/// # Errors
/// As [`read_policy`].
pub async fn policies_with_details(root: &Root, details: &str) -> Result<Vec<String>> {
    let names = |(metrics, policy): (String, RetentionPolicy)| policy.details.iter().any(|name| name == details).then_some(metrics);
    Ok(policies(root).await?.into_iter().filter_map(names).collect())
}

/// Hours for which `VACUUM` leaves dropped files of a table alone, where a policy says so: the longest of those that name the table.
///
/// # Errors
/// As [`read_policy`].
pub async fn vacuum_hours(root: &Root, table: &str) -> Result<Option<u32>> {
    let concerned = |(metrics, policy): &(String, RetentionPolicy)| metrics == table || policy.details.iter().any(|name| name == table);
    Ok(policies(root).await?.iter().filter(|found| concerned(found)).filter_map(|(_, policy)| policy.vacuum_hours).max())
}
