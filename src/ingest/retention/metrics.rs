//! The metrics as they are to be: what is stored, with what comes in, ranked anew.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::logical_expr::{Expr, cast as cast_to};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;

use super::keys::{KeyMap, ident};
use super::ranking::{Kept, Ranking};
use super::staging::{Groups, Staged};
use super::subject::{OpenTable, RANK, Subject, TRADES_KEPT};
use super::writing::{pieces, written};
use crate::error::{Error, Result};
use crate::storage::{Root, TableChange, TableFile, TableWriter};

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

impl<'a> MetricsAfter<'a> {
    /// The rows in files that may hold the groups.
    pub(super) fn new(subject: &'a Subject, incoming: &'a Staged, groups: &Groups) -> Self {
        Self { subject, incoming, files: subject.files_of(&subject.metrics, groups) }
    }

    /// Stored rows that stay.
    async fn staying(&self, ctx: &SessionContext) -> Result<DataFrame> {
        let metrics = &self.subject.metrics;
        let stored = metrics.conformed(metrics.scan(ctx, &self.files, None).await?)?;
        if self.incoming.keys.is_empty() {
            return Ok(stored);
        }
        Ok(stored.filter(self.subject.keys.is_among("retention_saved", &self.incoming.keys, |_| true).is_not_true())?)
    }

    /// All rows of the groups.
    pub(super) async fn of_groups(&self, ctx: &SessionContext, groups: &Arc<Groups>) -> Result<DataFrame> {
        let staying = self.staying(ctx).await?.filter(self.subject.group.is_among("retention_group", groups, |_| true))?;
        match self.incoming.frame() {
            Some(incoming) => Ok(staying.union(self.subject.metrics.conformed(incoming)?)?),
            None => Ok(staying),
        }
    }

    /// Writes the files anew, the groups with their ranks and the other rows of the files as they are.
    ///
    /// # Errors
    /// [`Error::Verification`] when not every row came through.
    pub(super) async fn write(
        &self,
        ctx: &SessionContext,
        root: &Root,
        (groups, ranking): (&Arc<Groups>, &Ranking),
        kept: &KeyMap<Kept>,
    ) -> Result<TableChange> {
        let metrics = &self.subject.metrics;
        let mut change = TableChange::of(root, &metrics.name, metrics.delta.clone())?;
        let is_ranked = self.subject.group.is_among("retention_group", groups, |_| true);
        let others = self.staying(ctx).await?.filter(is_ranked.is_not_true())?;
        let ranked = self.of_groups(ctx, groups).await?.sort(self.subject.rank_order()?)?;
        let outcome = written(&mut change, async |writer| {
            let others = append_all(others, writer).await?;
            writer.cut().await?;
            let ranked = self.append_ranked(ranked, kept, writer).await?;
            tracing::debug!(table = metrics.name, others, ranked, "metrics written");
            Ok(())
        });
        if let Err(error) = outcome.await {
            return super::writing::abandon_after(vec![change], error).await;
        }
        let strategies = |group: &[u8]| ranking.places.get(group).map_or(0, |&place| ranking.groups[place].strategies);
        let in_groups: u64 = groups.iter().map(|(group, _)| strategies(group)).sum();
        let expected = self.count_others(ctx, groups).await? + in_groups;
        if change.written_rows() != expected {
            let rows = change.written_rows();
            let message =
                format!("table '{}': {rows} rows were to be written, {expected} were counted; nothing was committed", metrics.name);
            return super::writing::abandon_after(vec![change], Error::Verification(message)).await;
        }
        self.files.iter().for_each(|file| change.remove(file.clone()));
        Ok(change)
    }

    /// Stored rows of other groups in the same files, from the log and a count of the groups' own.
    async fn count_others(&self, ctx: &SessionContext, groups: &Arc<Groups>) -> Result<u64> {
        if self.files.is_empty() {
            return Ok(0);
        }
        let metrics = &self.subject.metrics;
        let stored = metrics.scan(ctx, &self.files, None).await?;
        let is_ranked = self.subject.group.is_among("retention_group", groups, |_| true);
        Ok(stored.filter(is_ranked.is_not_true())?.count().await? as u64)
    }

    async fn append_ranked(&self, ranked: DataFrame, kept: &KeyMap<Kept>, writer: &mut TableWriter) -> Result<u64> {
        let mut stream = ranked.execute_stream().await?;
        let mut group: Option<Box<[u8]>> = None;
        let mut rank = 0;
        let mut rows = 0;
        while let Some(batch) = stream.next().await.transpose()? {
            for (key, piece) in pieces(self.subject, &batch)? {
                if group.as_ref() != Some(&key) {
                    if writer.open_rows() >= FILE_ROWS {
                        writer.cut().await?;
                    }
                    (group, rank) = (Some(key), 0);
                }
                writer.append(&self.ranked(&piece, rank, kept)?).await?;
                rank += piece.num_rows() as i32;
                rows += piece.num_rows() as u64;
            }
        }
        Ok(rows)
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

async fn append_all(rows: DataFrame, writer: &mut TableWriter) -> Result<u64> {
    let mut stream = rows.execute_stream().await?;
    let mut count = 0;
    while let Some(batch) = stream.next().await.transpose()? {
        count += batch.num_rows() as u64;
        writer.append(&batch).await?;
    }
    Ok(count)
}
