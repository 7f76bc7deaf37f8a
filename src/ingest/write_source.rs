//! A source of strategies as the files of a change: a sorted, dense file per period partition, encoded on all cores.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use super::batches::nullable;
use super::commit::conform_periods;
use super::{StrategySource, partitions, strategy_order};
use crate::error::{Error, Result};
use crate::storage::{DenseGroup, DenseLayout, PartitionKey, StrategyChange};

/// Writes every period partition of a source as one sorted, dense file: `threads` row groups are encoded at a time and appended in order.
///
/// Memory: a few row groups of about 262,144 rows for each thread.
pub async fn write_source(change: &mut StrategyChange, source: Arc<dyn StrategySource>, threads: usize) -> Result<()> {
    let rows = SourceRows { order: strategy_order(source.as_ref()), source };
    let mut tasks: Vec<Vec<DenseTask>> = vec![];
    let mut writers = VecDeque::new();
    for part in partitions(rows.source.as_ref())? {
        let periods = conform_periods(change.shape(), &rows.source.periods().slice(part.periods.start, part.periods.len()))?;
        let writer = change.dense_file(PartitionKey { year: part.year, month: part.month }, &periods)?;
        let (prepare, encode) = rows.tasks(&writer.layout(), &part.periods);
        writers.push_back((writer, encode.len()));
        // What the row groups of a file share is made ready before the groups of the file before: nobody has to wait for it then.
        let before = tasks.len().saturating_sub(1);
        tasks.insert(before, prepare);
        tasks.push(encode);
    }
    // Encoding keeps a core busy, so every row group is a task of its own; all partitions are one queue, so that no core waits at their ends.
    let (threads, cores) = (threads.max(1), Arc::new(Semaphore::new(threads.max(1))));
    let results = futures::stream::iter(tasks.into_iter().flatten()).map(|task| {
        let cores = Arc::clone(&cores);
        async move {
            let failed = |e: String| Error::Internal(format!("a writer task failed: {e}"));
            let _core = cores.acquire_owned().await.map_err(|e| failed(e.to_string()))?;
            tokio::task::spawn_blocking(move || task.run()).await.map_err(|e| failed(e.to_string()))?
        }
    });
    // Those that are done wait for the ones before them while others keep the cores busy.
    let results = results.buffered(threads * 2);
    let mut encoded = std::pin::pin!(results.try_filter_map(|group| std::future::ready(Ok(group))));
    while let Some((mut writer, groups)) = writers.pop_front() {
        for _ in 0..groups {
            let group = encoded.next().await.ok_or_else(|| Error::Internal("a row group is missing".into()))??;
            writer.append(group).await?;
        }
        change.add(writer.finish().await?);
    }
    Ok(())
}

/// A source and its strategies in the order of the table.
#[derive(Clone)]
struct SourceRows {
    source: Arc<dyn StrategySource>,
    order: Arc<[u32]>,
}

/// A piece of the work on a dense file.
enum DenseTask {
    /// Makes ready what row groups of so many strategies share.
    Prepare { layout: Arc<DenseLayout>, strategies: usize },
    /// Encodes the row group of some strategies (positions in the order) and periods.
    Encode { layout: Arc<DenseLayout>, rows: SourceRows, strategies: Range<usize>, periods: Range<usize> },
}

impl SourceRows {
    /// What is to be done for the file of some periods: to prepare, then to encode.
    fn tasks(&self, layout: &Arc<DenseLayout>, periods: &Range<usize>) -> (Vec<DenseTask>, Vec<DenseTask>) {
        let (all, together) = (self.order.len(), layout.strategies_per_group());
        let groups = (0..all).step_by(together).map(|start| start..(start + together).min(all));
        let sizes: BTreeSet<usize> = groups.clone().map(|group| group.len()).collect();
        let prepare = sizes.into_iter().map(|strategies| DenseTask::Prepare { layout: Arc::clone(layout), strategies });
        let encode = groups.map(|strategies| DenseTask::Encode {
            layout: Arc::clone(layout),
            rows: self.clone(),
            strategies,
            periods: periods.clone(),
        });
        (prepare.collect(), encode.collect())
    }

    fn encode(&self, layout: &DenseLayout, strategies: Range<usize>, periods: Range<usize>) -> Result<DenseGroup> {
        let ordinals = &self.order[strategies];
        let mut values = vec![0.0; ordinals.len() * periods.len()];
        self.source.read_block(ordinals, periods, &mut values)?;
        let names = self.source.strategies();
        let names: Vec<&str> = ordinals.iter().map(|&ordinal| names[ordinal as usize].as_str()).collect();
        layout.encode(&names, nullable(values))
    }
}

impl DenseTask {
    /// The row group, if one is encoded.
    fn run(self) -> Result<Option<DenseGroup>> {
        match self {
            DenseTask::Prepare { layout, strategies } => layout.prepare(strategies).map(|()| None),
            DenseTask::Encode { layout, rows, strategies, periods } => rows.encode(&layout, strategies, periods).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{GenerateRequest, GeneratedStrategies, Target};
    use crate::storage::{Root, StrategyShape};

    #[tokio::test]
    async fn the_files_are_the_same_on_any_number_of_threads() {
        let request = GenerateRequest { share_nulls: 0.1, ..GenerateRequest::new(1_010, 270, 1, Target::Table("t".into())) };
        let source = Arc::new(GeneratedStrategies::try_new(&request).unwrap());
        let shape = StrategyShape::of_periods(source.periods().schema_ref());
        let mut written = vec![];
        for threads in [1, 3] {
            let root = Root::in_memory().unwrap();
            let mut change = StrategyChange::begin(&root, "t", None, &shape).await.unwrap();
            write_source(&mut change, Arc::clone(&source) as Arc<dyn StrategySource>, threads).await.unwrap();
            let mut files = vec![];
            for file in change.added() {
                let bytes = root.read(&change.added_path(file)).await.unwrap().unwrap();
                files.push((file.key, file.rows, file.dense, file.stats.clone(), bytes));
            }
            written.push(files);
        }
        assert_eq!(written[0].len(), 2);
        assert_eq!(written[0].iter().map(|file| file.1).sum::<u64>(), 1_010 * 270);
        assert!(written.iter().all(|files| *files == written[0]));
    }
}
