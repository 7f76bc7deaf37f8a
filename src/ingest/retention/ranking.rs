//! Who is kept: one pass over the strategies in the order of their ranks.

use std::collections::BinaryHeap;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;

use super::keys::{KeyEncoder, KeyMap, ident, sample_hash};
use super::subject::{RANK, Subject, TRADES_KEPT};
use crate::error::{Error, Result};

/// Why a strategy's details are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Top,
    Sample,
}

impl Reason {
    /// As the column `trades_kept` says it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Top => "top_n",
            Self::Sample => "sample",
        }
    }
}

/// A strategy whose details are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) reason: Reason,
    /// Place of its group among those that were ranked.
    pub(super) group: usize,
    /// Whether there are details of it.
    pub(super) has_details: bool,
    /// What the column `trades_kept` says now.
    said: Option<String>,
}

impl Kept {
    /// What the column `trades_kept` is to say.
    pub(super) fn says(&self) -> Option<&'static str> {
        self.has_details.then(|| self.reason.text())
    }

    /// Whether the column must be written anew.
    pub(super) fn is_stale(&self) -> bool {
        self.said.as_deref() != self.says()
    }
}

/// A group of strategies, and what becomes of their details.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct GroupFigures {
    pub(super) values: Vec<ScalarValue>,
    pub(super) strategies: u64,
    pub(super) kept_top: u64,
    pub(super) kept_sample: u64,
    /// Kept strategies that made trades, or may have, and have no details.
    pub(super) without_details: u64,
    pub(super) details_kept: u64,
    pub(super) details_dropped: u64,
    /// Those of the first table of details.
    pub(super) trades_dropped: u64,
    /// Strategies that lose details they had.
    pub(super) strategies_dropped: u64,
    /// Bytes of the dropped details as JSON.
    pub(super) bytes_discarded: u64,
    /// Whether a row of its metrics changes.
    pub(super) changed: bool,
}

/// Who is kept, by group.
pub(super) struct Ranking {
    pub(super) groups: Vec<GroupFigures>,
    /// Places of the groups by their keys.
    pub(super) places: KeyMap<usize>,
    pub(super) kept: KeyMap<Kept>,
}

/// A strategy that may come into the sample; the one with the smallest hash first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Drawn {
    hash: [u8; 32],
    key: Box<[u8]>,
    said: Option<String>,
}

/// One batch of strategies, as the pass reads it.
struct Strategies {
    keys: Vec<Box<[u8]>>,
    groups: Vec<Box<[u8]>>,
    key_columns: Vec<ArrayRef>,
    group_columns: Vec<ArrayRef>,
    has_metric: BooleanArray,
    eligible: BooleanArray,
    rank: Option<Int64Array>,
    said: Option<StringArray>,
}

impl Strategies {
    fn of(subject: &Subject, batch: &RecordBatch) -> Result<Self> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| Error::Internal(format!("no column '{name}'")));
        let internal = |e: datafusion::arrow::error::ArrowError| Error::Internal(e.to_string());
        let boolean = |name: &str| column(name).map(|column| column.as_boolean().clone());
        let optional = |name: &str, to: &DataType| batch.column_by_name(name).map(|column| cast(column, to)).transpose().map_err(internal);
        Ok(Self {
            keys: subject.keys.encode(batch)?,
            groups: subject.group.encode(batch)?,
            key_columns: subject.keys.columns(batch)?,
            group_columns: subject.group.columns(batch)?,
            has_metric: boolean(HAS_METRIC)?,
            eligible: boolean(ELIGIBLE)?,
            rank: optional(RANK, &DataType::Int64)?.map(|column| column.as_primitive::<Int64Type>().clone()),
            said: optional(TRADES_KEPT, &DataType::Utf8)?.map(|column| column.as_string::<i32>().clone()),
        })
    }
}

/// Whether the metric has a value.
const HAS_METRIC: &str = "__has_metric";
/// Whether the strategy may be kept.
const ELIGIBLE: &str = "__eligible";

/// The error for a strategy that is stored twice.
pub(super) fn two_rows(subject: &Subject, shown: &str) -> Error {
    Error::Conflict(format!(
        "table '{}' holds two rows for one strategy: {shown}\nhint: remove one of them, or name more columns by keys => '...'",
        subject.metrics.name
    ))
}

/// Ranks the rows of a metrics table.
///
/// # Errors
/// [`Error::Usage`] where the metric has no value in any row, [`Error::Conflict`] where two rows are of one strategy.
pub(super) async fn rank(ctx: &SessionContext, subject: &Subject, rows: DataFrame) -> Result<Ranking> {
    let mut columns: Vec<_> = subject.policy.keys.iter().map(|name| ident(name)).collect();
    columns.push(subject.metric()?.is_not_null().alias(HAS_METRIC));
    columns.push(subject.eligible(ctx)?.alias(ELIGIBLE));
    let has = |name: &&&str| subject.metrics.schema.field_with_name(name).is_ok();
    columns.extend([RANK, TRADES_KEPT].iter().filter(has).map(|name| ident(name)));
    let mut stream = rows.sort(subject.rank_order()?)?.select(columns)?.execute_stream().await?;
    let mut pass = Pass::new(ctx, subject);
    while let Some(batch) = stream.next().await.transpose()? {
        let strategies = Strategies::of(subject, &batch)?;
        for row in 0..batch.num_rows() {
            pass.take(&strategies, row, &batch)?;
        }
    }
    pass.end()
}

/// The pass over the strategies, group by group, in the order of their ranks.
struct Pass<'a> {
    subject: &'a Subject,
    ranking: Ranking,
    group: Option<Box<[u8]>>,
    /// The strategies of the group so far.
    seen: KeyMap<()>,
    drawn: BinaryHeap<Drawn>,
    eligible: u64,
    rows: u64,
    metrics: u64,
}

impl<'a> Pass<'a> {
    fn new(ctx: &SessionContext, subject: &'a Subject) -> Self {
        let ranking = Ranking { groups: vec![], places: KeyMap::new(ctx), kept: KeyMap::new(ctx) };
        Self { subject, ranking, group: None, seen: KeyMap::new(ctx), drawn: BinaryHeap::new(), eligible: 0, rows: 0, metrics: 0 }
    }

    fn take(&mut self, strategies: &Strategies, row: usize, batch: &RecordBatch) -> Result<()> {
        if self.group.as_deref() != Some(&strategies.groups[row]) {
            self.end_group()?;
            let key = strategies.groups[row].clone();
            self.ranking.places.insert(key.clone(), self.ranking.groups.len())?;
            let values = KeyEncoder::values(&strategies.group_columns, row)?;
            self.ranking.groups.push(GroupFigures { values, ..GroupFigures::default() });
            self.group = Some(key);
        }
        let key = &strategies.keys[row];
        if self.seen.insert(key.clone(), ())?.is_some() {
            return Err(two_rows(self.subject, &self.subject.keys.shown(batch, row)));
        }
        self.rows += 1;
        self.metrics += u64::from(strategies.has_metric.value(row));
        self.place(strategies, row)
    }

    /// Decides about one strategy, the next in its group.
    fn place(&mut self, strategies: &Strategies, row: usize) -> Result<()> {
        let Some(group) = self.ranking.groups.last_mut() else { return Ok(()) };
        group.strategies += 1;
        if let Some(ranks) = &strategies.rank {
            group.changed |= ranks.is_null(row) || ranks.value(row) != group.strategies as i64;
        }
        let said = strategies.said.as_ref().filter(|said| said.is_valid(row)).map(|said| said.value(row).to_owned());
        let key = strategies.keys[row].clone();
        if !strategies.eligible.value(row) {
            group.changed |= said.is_some();
            return Ok(());
        }
        self.eligible += 1;
        if self.eligible <= self.subject.policy.top {
            return self.keep(key, Reason::Top, said);
        }
        if self.subject.policy.sample == 0 {
            group.changed |= said.is_some();
            return Ok(());
        }
        let hash = sample_hash(self.subject.policy.seed, &strategies.key_columns, row);
        self.drawn.push(Drawn { hash, key, said });
        if self.drawn.len() as u64 > self.subject.policy.sample
            && let Some(out) = self.drawn.pop()
        {
            group.changed |= out.said.is_some();
        }
        Ok(())
    }

    fn keep(&mut self, key: Box<[u8]>, reason: Reason, said: Option<String>) -> Result<()> {
        let group = self.ranking.groups.len() - 1;
        self.ranking.kept.insert(key, Kept { reason, group, has_details: false, said })?;
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        for drawn in std::mem::take(&mut self.drawn).into_sorted_vec() {
            self.keep(drawn.key, Reason::Sample, drawn.said)?;
        }
        self.seen.clear();
        self.eligible = 0;
        Ok(())
    }

    fn end(mut self) -> Result<Ranking> {
        self.end_group()?;
        if self.rows > 0 && self.metrics == 0 {
            return Err(Error::Usage(format!(
                "metric '{}' has no value in any of {} rows of '{}': nothing can be ranked by it\nhint: ALTER TABLE {} SET RETENTION (metric => '...') names another",
                self.subject.policy.metric, self.rows, self.subject.metrics.name, self.subject.metrics.name
            )));
        }
        Ok(self.ranking)
    }
}
