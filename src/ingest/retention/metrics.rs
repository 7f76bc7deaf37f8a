//! The metrics as they are to be: what is stored, with what comes in, ranked anew.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::logical_expr::{Expr, cast as cast_to};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;

use super::Place;
use super::keys::{KeyMap, ident};
use super::ranking::{Kept, Ranking, two_rows};
use super::staging::{Groups, Staged};
use super::subject::{OpenTable, RANK, Subject, TRADES_KEPT};
use super::writing::{abandon_after, pieces, written};
use crate::error::{Error, Result};
use crate::storage::{TableChange, TableFile, TableWriter};

/// Rows of metrics after which a file ends where its group does.
const FILE_ROWS: u64 = 16_384;

impl OpenTable {
    /// Rows with the columns and types of the table, in its order.
    pub(super) fn conformed(&self, rows: DataFrame) -> Result<DataFrame> {
        let column = |field: &Arc<datafusion::arrow::datatypes::Field>| -> Expr {
            cast_to(ident(field.name()), field.data_type().clone()).alias(field.name())
        };
        Ok(rows.select(self.schema.fields().iter().map(column).collect::<Vec<_>>())?)
    }
}

/// The rows of a metrics table in some of its files, after what comes in.
pub(super) struct MetricsAfter<'a> {
    subject: &'a Subject,
    incoming: &'a Staged,
    files: Vec<TableFile>,
}

/// Groups that are written with their ranks.
#[derive(Clone, Copy)]
pub(super) struct Ranked<'a> {
    pub(super) groups: &'a Groups,
    pub(super) ranking: &'a Ranking,
    pub(super) kept: &'a KeyMap<Kept>,
}

impl<'a> MetricsAfter<'a> {
    /// The rows in files that may hold the groups.
    pub(super) fn new(subject: &'a Subject, incoming: &'a Staged, groups: &Groups) -> Self {
        Self { subject, incoming, files: subject.files_of(&subject.metrics, groups) }
    }

    /// Stored rows whose strategies come in.
    async fn replaced_rows(&self, ctx: &SessionContext) -> Result<DataFrame> {
        let stored = self.subject.metrics.scan(ctx, &self.files, None).await?;
        Ok(stored.filter(self.subject.keys.is_among("retention_saved", &self.incoming.keys, |_| true))?)
    }

    /// All rows of the files, and those that come in, each strategy once.
    async fn all(&self, ctx: &SessionContext) -> Result<DataFrame> {
        let metrics = &self.subject.metrics;
        let stored = metrics.conformed(metrics.scan(ctx, &self.files, None).await?)?;
        let Some(incoming) = self.incoming.frame() else { return Ok(stored) };
        let is_saved = self.subject.keys.is_among("retention_saved", &self.incoming.keys, |_| true);
        Ok(stored.filter(is_saved.is_not_true())?.union(metrics.conformed(incoming)?)?)
    }

    /// All rows of the groups.
    pub(super) async fn of_groups(&self, ctx: &SessionContext, groups: &Arc<Groups>) -> Result<DataFrame> {
        Ok(self.all(ctx).await?.filter(self.subject.group.is_among("retention_group", groups, |_| true))?)
    }

    /// Strategies that come in and are stored already.
    ///
    /// # Errors
    /// [`Error::Conflict`] where one of them is stored twice, naming the first by key.
    pub(super) async fn count_replaced(&self, ctx: &SessionContext) -> Result<u64> {
        if self.incoming.keys.is_empty() || self.files.is_empty() {
            return Ok(0);
        }
        let columns: Vec<Expr> = self.subject.policy.keys.iter().map(|name| ident(name)).collect();
        let mut stream = self.replaced_rows(ctx).await?.select(columns)?.execute_stream().await?;
        let mut seen: KeyMap<()> = KeyMap::new(ctx);
        let mut twice: Option<(Box<[u8]>, String)> = None;
        while let Some(batch) = stream.next().await.transpose()? {
            for (row, key) in self.subject.keys.encode(&batch)?.into_iter().enumerate() {
                if seen.insert(key.clone(), ())?.is_some() && twice.as_ref().is_none_or(|(first, _)| key < *first) {
                    twice = Some((key, self.subject.keys.shown(&batch, row)));
                }
            }
        }
        match twice {
            Some((_, shown)) => Err(two_rows(self.subject, &shown)),
            None => Ok(seen.len() as u64),
        }
    }

    /// Rows of the files, as the log tells, or counted where it does not.
    async fn count_stored(&self, ctx: &SessionContext) -> Result<u64> {
        match self.files.iter().map(TableFile::rows).sum::<Option<u64>>() {
            Some(rows) => Ok(rows),
            None => Ok(self.subject.metrics.scan(ctx, &self.files, None).await?.count().await? as u64),
        }
    }

    /// Writes the files anew, the groups with their ranks and the other rows of the files as they are: all sorted by group, and cut between
    /// groups. Of the stored rows `replaced` are replaced.
    ///
    /// # Errors
    /// [`Error::Verification`] when not every row came through.
    pub(super) async fn write(&self, place: Place<'_>, ranked: Ranked<'_>, replaced: u64) -> Result<TableChange> {
        let Place { ctx, root, .. } = place;
        let metrics = &self.subject.metrics;
        let expected = self.count_stored(ctx).await? + self.incoming.count - replaced;
        let mut change = TableChange::of(root, &metrics.name, metrics.delta.clone())?;
        let rows = self.all(ctx).await?.sort(self.subject.rank_order()?)?;
        let mut in_groups = 0;
        let outcome = written(&mut change, async |writer| {
            in_groups = self.append(rows, ranked, writer).await?;
            Ok(())
        });
        if let Err(error) = outcome.await {
            return abandon_after(vec![change], error).await;
        }
        let strategies = |group: &[u8]| ranked.ranking.places.get(group).map_or(0, |&place| ranked.ranking.groups[place].strategies);
        let counted: u64 = ranked.groups.iter().map(|(group, _)| strategies(group)).sum();
        if (change.written_rows(), in_groups) != (expected, counted) {
            let message = format!(
                "table '{}': {} rows were to be written, {in_groups} of them with a rank, and {expected} and {counted} were counted; nothing was committed",
                metrics.name,
                change.written_rows()
            );
            return abandon_after(vec![change], Error::Verification(message)).await;
        }
        self.files.iter().for_each(|file| change.remove(file.clone()));
        Ok(change)
    }

    /// Appends rows that are sorted by rank; gives the number of those that got a rank.
    async fn append(&self, sorted: DataFrame, ranked: Ranked<'_>, writer: &mut TableWriter) -> Result<u64> {
        let mut stream = sorted.execute_stream().await?;
        let mut group: Option<Box<[u8]>> = None;
        let (mut is_ranked, mut rank, mut count) = (false, 0, 0);
        while let Some(batch) = stream.next().await.transpose()? {
            for (key, piece) in pieces(self.subject, &batch)? {
                if group.as_ref() != Some(&key) {
                    let was_ranked = std::mem::replace(&mut is_ranked, ranked.groups.get(&key).is_some());
                    // Groups that are saved again have files of their own soon, and pull no others with them.
                    if writer.open_rows() >= FILE_ROWS || was_ranked != is_ranked {
                        writer.cut().await?;
                    }
                    (group, rank) = (Some(key), 0);
                }
                if !is_ranked {
                    writer.append(&piece).await?;
                    continue;
                }
                writer.append(&self.ranked(&piece, rank, ranked.kept)?).await?;
                rank += piece.num_rows() as i32;
                count += piece.num_rows() as u64;
            }
        }
        Ok(count)
    }

    /// Rows of one group in the order of their ranks, of which `before` come before them.
    fn ranked(&self, rows: &RecordBatch, before: i32, kept: &KeyMap<Kept>) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        let fits = |e: datafusion::arrow::error::ArrowError| Error::Internal(e.to_string());
        let mut put = |name: &str, values: ArrayRef| -> Result<()> {
            let Ok(place) = rows.schema().index_of(name) else { return Ok(()) };
            columns[place] = cast(&values, rows.schema().field(place).data_type()).map_err(fits)?;
            Ok(())
        };
        put(RANK, Arc::new(Int32Array::from_iter_values(before + 1..=before + rows.num_rows() as i32)))?;
        let says = self.subject.keys.encode(rows)?.iter().map(|key| kept.get(key).and_then(Kept::says)).collect::<StringArray>();
        put(TRADES_KEPT, Arc::new(says))?;
        RecordBatch::try_new(rows.schema(), columns).map_err(fits)
    }
}
