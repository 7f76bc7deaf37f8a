//! One unit: its rows decoded and fed to the accumulators.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringViewArray, UInt32Array};
use datafusion::arrow::compute::{filter_record_batch, take, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion_functions_finance::results_from;

use super::groups::Groups;
use super::keys::Keys;
use super::merge::{PartialGroups, result_batch};
use super::metrics::RunMetrics;
use super::pattern::{Pattern, condition, conjunction, evaluate_periods};
use super::preparation::{Prepared, PreparedFile};
use super::query::{GroupColumn, RunQuery};
use super::rows::{Extent, RowReader};
use super::units::{Run, Unit, row_ranges};

/// Rows decoded at a time: large enough that the cost of a batch does not matter, small enough for the cache of a core.
const BATCH_ROWS: usize = 32_768;

/// Groups of strategies whose rows have all come that are finished together.
const FLUSHED_GROUPS: usize = 4096;

/// What every unit of a query works with.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) query: Arc<RunQuery>,
    pub(super) prepared: Arc<Prepared>,
    pub(super) reader: RowReader,
    /// Columns of the table.
    pub(super) table: SchemaRef,
    /// Columns of the result.
    pub(super) schema: SchemaRef,
    pub(super) metrics: RunMetrics,
}

/// The groups of one unit while its rows come in.
struct Fold<'a> {
    work: &'a Work,
    unit: &'a Unit,
    keys: Keys,
    groups: Groups,
    accumulators: Vec<OwnStates>,
    memory: MemoryReservation,
    /// Groups to which no more rows come.
    finished: Vec<RecordBatch>,
}

/// The number of a call that keeps states of its own, and these.
type OwnStates = (usize, Box<dyn GroupsAccumulator>);

/// A part of a batch that lies in one run.
struct Piece {
    /// Number of the strategy within the unit, 0 where groups span strategies.
    strategy: usize,
    /// Place of its first row in the run.
    offset: usize,
    rows: usize,
}

impl Work {
    /// The finished groups of a unit whose strategies are in no other.
    ///
    /// # Errors
    /// A file that cannot be read, an expression that fails, or more memory than there is.
    pub(super) async fn finished(&self, number: usize) -> Result<Vec<RecordBatch>> {
        let mut fold = self.fold(number).await?;
        fold.flush()?;
        Ok(fold.finished)
    }

    /// The groups of a unit as states to be merged.
    ///
    /// # Errors
    /// As [`Self::finished`].
    pub(super) async fn partial(&self, number: usize) -> Result<PartialGroups> {
        self.fold(number).await?.partial()
    }

    async fn fold(&self, number: usize) -> Result<Fold<'_>> {
        let unit = &self.prepared.units[number];
        let strategies = if self.query.by_strategy() { unit.strategies.len() } else { 1 };
        let memory = MemoryConsumer::new("RunAggregateExec").register(self.reader.context().memory_pool());
        let keys = self.prepared.keys.clone();
        memory.try_resize(Groups::bytes_for(strategies, keys.count()) + keys.size_bytes())?;
        let (groups, accumulators) = (Groups::new(strategies, keys.count()), self.accumulators()?);
        let mut fold = Fold { work: self, unit, keys, groups, accumulators, memory, finished: vec![] };
        for segment in &unit.segments {
            let file = &self.prepared.files[segment.file];
            fold.read(file, &file.runs[segment.runs.clone()]).await?;
        }
        Ok(fold)
    }

    /// New accumulators of the calls that keep states of their own.
    fn accumulators(&self) -> Result<Vec<OwnStates>> {
        let own = self.query.calls.iter().enumerate().filter(|(_, call)| call.shares.is_none());
        own.map(|(index, call)| Ok((index, call.accumulator()?))).collect()
    }

    /// Columns of the table that must be decoded from a file.
    fn decoded(&self, file: &PreparedFile) -> Vec<usize> {
        let (rows, periods) = (&self.query.row_layout.columns, &self.query.period_layout.columns);
        match &file.pattern {
            Some(pattern) => {
                let tiled = |at: usize| pattern.tiles.iter().any(|(tile, _)| *tile == at);
                rows.iter().enumerate().filter(|(at, _)| !tiled(*at)).map(|(_, column)| *column).collect()
            }
            None => rows.iter().chain(periods.iter().filter(|column| !rows.contains(column))).copied().collect(),
        }
    }
}

impl Fold<'_> {
    async fn read(&mut self, file: &PreparedFile, runs: &[Run]) -> Result<()> {
        let columns = self.work.decoded(file);
        // Whole strategies where that is possible.
        let periods = file.pattern.as_ref().map_or(1, |pattern| pattern.periods().max(1));
        let batch_rows = if periods < BATCH_ROWS { BATCH_ROWS - BATCH_ROWS % periods } else { BATCH_ROWS };
        let extent = Extent { columns: &columns, rows: row_ranges(runs), total_rows: file.total_rows, batch_rows };
        let schema = Arc::new(self.work.table.project(&columns)?);
        let mut batches = self.work.reader.read_kept(&file.file, extent, schema)?;
        let mut cursor = (0, 0);
        let decode = self.work.metrics.decode_time.clone();
        loop {
            let timer = decode.timer();
            let next = batches.next().await?;
            timer.done();
            let Some(batch) = next else { break };
            let timer = self.work.metrics.fold_time.timer();
            self.work.metrics.rows.add(batch.num_rows());
            let pieces = self.pieces(runs, &mut cursor, batch.num_rows());
            self.add(file, &columns, &batch, &pieces)?;
            // All rows of these strategies have come: groups that stay few stay in the cache of the core.
            let complete = self.unit.segments.len() == 1 && cursor.1 == 0 && self.work.query.by_strategy();
            if complete && self.groups.count() >= FLUSHED_GROUPS {
                self.flush()?;
            }
            drop(timer);
            tokio::task::consume_budget().await;
        }
        if let Some(source) = batches.source() {
            self.work.metrics.take_over(source);
        }
        let expected: usize = runs.iter().map(|run| run.rows as usize).sum();
        let read: usize = runs[..cursor.0].iter().map(|run| run.rows as usize).sum::<usize>() + cursor.1;
        if read != expected {
            return Err(internal_datafusion_err!("{} gave {read} rows of {expected}", file.file.path()));
        }
        Ok(())
    }

    /// Cuts the next `rows` rows at the ends of the runs.
    fn pieces(&self, runs: &[Run], cursor: &mut (usize, usize), mut rows: usize) -> Vec<Piece> {
        let mut pieces = vec![];
        while let (1.., Some(run)) = (rows, runs.get(cursor.0)) {
            let taken = rows.min(run.rows as usize - cursor.1);
            let strategy = if self.work.query.by_strategy() { run.strategy as usize - self.unit.strategies.start } else { 0 };
            pieces.push(Piece { strategy, offset: cursor.1, rows: taken });
            rows -= taken;
            *cursor = if cursor.1 + taken == run.rows as usize { (cursor.0 + 1, 0) } else { (cursor.0, cursor.1 + taken) };
        }
        pieces
    }

    fn add(&mut self, file: &PreparedFile, columns: &[usize], batch: &RecordBatch, pieces: &[Piece]) -> Result<()> {
        let query = &self.work.query;
        if let Some(pattern) = file.pattern.as_ref().filter(|pattern| self.goes_by_key(pattern, pieces)) {
            return self.add_by_key(pattern, columns, batch, pieces);
        }
        let rows = self.row_batch(file, columns, batch, pieces)?;
        let (of_periods, keys) = match &file.pattern {
            Some(pattern) => (pattern.keep.as_ref().map(|keep| tiled_mask(keep, pieces)), None),
            None => {
                let periods = arranged(&self.work.table, &query.period_layout.columns, columns, batch)?;
                let (keep, keys) = evaluate_periods(query, &mut self.keys, &periods)?;
                (keep, Some(keys))
            }
        };
        let mask = conjunction(&query.row_predicates, &rows, of_periods)?;
        let rows = mask.as_ref().map_or_else(|| Ok(rows.clone()), |mask| filter_record_batch(&rows, mask))?;
        let keys = Numbered { pattern: file.pattern.as_ref().map(|pattern| pattern.keys.as_slice()), rows: keys.as_deref() };
        let numbers = self.numbers(pieces, mask.as_ref(), &keys);
        self.update(&rows, &numbers)
    }

    /// Whether a batch is taken key by key: its groups are those of one strategy and key, whose rows would come in many pieces.
    fn goes_by_key(&self, pattern: &Pattern, pieces: &[Piece]) -> bool {
        let query = &self.work.query;
        let whole = |piece: &Piece| piece.offset == 0 && piece.rows == pattern.periods();
        query.by_strategy() && query.row_predicates.is_empty() && pattern.is_broken() && pieces.iter().all(whole)
    }

    /// Adds whole strategies of a dense file, the rows of each key together and in time order.
    fn add_by_key(&mut self, pattern: &Pattern, columns: &[usize], batch: &RecordBatch, pieces: &[Piece]) -> Result<()> {
        let kept = pattern.by_key.len() * pieces.len();
        let (mut rows, mut periods, mut numbers) = (Vec::with_capacity(kept), Vec::with_capacity(kept), Vec::with_capacity(kept));
        let mut start = 0;
        for piece in pieces {
            rows.extend(pattern.by_key.iter().map(|period| start + period));
            periods.extend_from_slice(&pattern.by_key);
            for &(key, count) in &pattern.stretches {
                numbers.extend(std::iter::repeat_n(self.groups.number(piece.strategy, key), count));
            }
            start += piece.rows as u32;
        }
        // A batch without columns, as count(*) needs it, has its number of rows alone.
        let options = RecordBatchOptions::new().with_row_count(Some(kept));
        let batch = match batch.num_columns() {
            0 => RecordBatch::try_new_with_options(batch.schema(), vec![], &options)?,
            _ => take_record_batch(batch, &UInt32Array::from(rows))?,
        };
        let rows = self.tiled(pattern, columns, &batch, &UInt32Array::from(periods))?;
        self.update(&rows, &numbers)
    }

    /// The batch that arguments and row predicates see.
    fn row_batch(&self, file: &PreparedFile, columns: &[usize], batch: &RecordBatch, pieces: &[Piece]) -> Result<RecordBatch> {
        let Some(pattern) = file.pattern.as_ref().filter(|pattern| !pattern.tiles.is_empty()) else {
            return arranged(&self.work.table, &self.work.query.row_layout.columns, columns, batch);
        };
        let periods = pieces.iter().flat_map(|piece| piece.offset as u32..(piece.offset + piece.rows) as u32);
        self.tiled(pattern, columns, batch, &UInt32Array::from_iter_values(periods))
    }

    /// A decoded batch with the columns that repeat for every strategy, `periods` being the period of each row.
    fn tiled(&self, pattern: &Pattern, columns: &[usize], batch: &RecordBatch, periods: &UInt32Array) -> Result<RecordBatch> {
        let layout = &self.work.query.row_layout.columns;
        if pattern.tiles.is_empty() {
            return arranged(&self.work.table, layout, columns, batch);
        }
        let mut decoded = batch.columns().iter();
        let column = |at: usize| match pattern.tiles.iter().find(|(tile, _)| *tile == at) {
            Some((_, tile)) => Ok(take(tile, periods, None)?),
            None => decoded.next().cloned().ok_or_else(|| internal_datafusion_err!("a decoded column is missing")),
        };
        let arrays = (0..layout.len()).map(column).collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::new(self.work.table.project(layout)?), arrays)?)
    }

    /// The group of each row that the mask keeps.
    fn numbers(&mut self, pieces: &[Piece], mask: Option<&BooleanArray>, keys: &Numbered<'_>) -> Vec<usize> {
        let mut numbers = Vec::with_capacity(mask.map_or(BATCH_ROWS, BooleanArray::true_count));
        let keyed = !self.work.query.keys.is_empty();
        let mut start = 0;
        for piece in pieces {
            let kept = |row: usize| mask.is_none_or(|mask| mask.value(row));
            if keyed {
                for place in (0..piece.rows).filter(|place| kept(start + place)) {
                    let key = keys.of(start + place, piece.offset + place);
                    numbers.push(self.groups.number(piece.strategy, key));
                }
            } else {
                let rows = if mask.is_none() { piece.rows } else { (start..start + piece.rows).filter(|&row| kept(row)).count() };
                if rows > 0 {
                    numbers.extend(std::iter::repeat_n(self.groups.number(piece.strategy, 0), rows));
                }
            }
            start += piece.rows;
        }
        numbers
    }

    fn update(&mut self, rows: &RecordBatch, numbers: &[usize]) -> Result<()> {
        let query = &self.work.query;
        let value = |expr: &Arc<dyn datafusion::physical_expr::PhysicalExpr>| expr.evaluate(rows)?.into_array(rows.num_rows());
        let values = query.arguments.iter().map(value).collect::<Result<Vec<ArrayRef>>>()?;
        let groups = self.groups.count();
        for (index, accumulator) in &mut self.accumulators {
            let call = &query.calls[*index];
            let arguments: Vec<ArrayRef> = call.arguments.iter().map(|&argument| Arc::clone(&values[argument])).collect();
            let filter = call.filter.map(|filter| condition(&values[filter])).transpose()?;
            accumulator.update_batch(&arguments, numbers, filter, groups)?;
        }
        let held: usize = self.accumulators.iter().map(|(_, accumulator)| accumulator.size()).sum();
        self.memory.try_resize(held + self.groups.size_bytes() + self.keys.size_bytes())
    }

    /// Finishes the groups of all rows so far.
    fn flush(&mut self) -> Result<()> {
        let mut columns = self.group_columns()?;
        columns.extend(self.results()?);
        let batch = result_batch(&self.work.schema, columns, self.groups.count())?;
        self.finished.push(self.by_name(batch)?);
        self.accumulators = self.work.accumulators()?;
        self.groups = Groups::new(self.unit.strategies.len(), self.work.prepared.keys.count());
        Ok(())
    }

    /// The column of each call. Those that share states come first: an accumulator gives its states away.
    fn results(&mut self) -> Result<Vec<ArrayRef>> {
        let calls = &self.work.query.calls;
        let mut results: Vec<Option<ArrayRef>> = vec![None; calls.len()];
        for (index, accumulator) in &mut self.accumulators {
            for (other, call) in calls.iter().enumerate().filter(|(_, call)| call.shares == Some(*index)) {
                results[other] = results_from(accumulator.as_ref(), &call.function)?;
            }
            results[*index] = Some(accumulator.evaluate(EmitTo::All)?);
        }
        let missing = || internal_datafusion_err!("an aggregate has no result");
        results.into_iter().map(|result| result.ok_or_else(missing)).collect()
    }

    /// The rows by strategy: one that begins in a later file came after the others.
    fn by_name(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let members = self.groups.members();
        if members.is_sorted_by_key(|(strategy, _)| *strategy) {
            return Ok(batch);
        }
        let mut order: Vec<u32> = (0..members.len() as u32).collect();
        order.sort_by_key(|&group| members[group as usize].0);
        Ok(take_record_batch(&batch, &UInt32Array::from(order))?)
    }

    fn group_columns(&self) -> Result<Vec<ArrayRef>> {
        let members = self.groups.members();
        let keys = self.keys.columns(members.iter().map(|(_, key)| *key))?;
        let column = |column: &GroupColumn| match column {
            GroupColumn::Strategy => self.strategies(),
            GroupColumn::Key(key) => Ok(Arc::clone(&keys[*key])),
        };
        self.work.query.groups.iter().map(column).collect()
    }

    /// The strategy of each group; the names themselves stay where they are.
    fn strategies(&self) -> Result<ArrayRef> {
        let names: &StringViewArray = &self.work.prepared.names;
        let first = self.unit.strategies.start as u32;
        let places = UInt32Array::from_iter_values(self.groups.members().iter().map(|(strategy, _)| first + strategy));
        Ok(take(names, &places, None)?)
    }

    fn partial(mut self) -> Result<PartialGroups> {
        let keys = self.keys.columns(self.groups.members().iter().map(|(_, key)| *key))?;
        let states = self.accumulators.iter_mut().map(|(_, accumulator)| accumulator.state(EmitTo::All)).collect::<Result<_>>()?;
        Ok(PartialGroups { keys, states, groups: self.groups.count() })
    }
}

/// Where the number of a row's keys stands.
struct Numbered<'a> {
    /// By the period.
    pattern: Option<&'a [u32]>,
    /// By the row.
    rows: Option<&'a [u32]>,
}

impl Numbered<'_> {
    #[inline]
    fn of(&self, row: usize, period: usize) -> u32 {
        match (self.pattern, self.rows) {
            (Some(pattern), _) => pattern[period],
            (None, Some(rows)) => rows[row],
            (None, None) => 0,
        }
    }
}

/// A mask over periods as one over rows.
fn tiled_mask(keep: &BooleanArray, pieces: &[Piece]) -> BooleanArray {
    pieces.iter().flat_map(|piece| (piece.offset..piece.offset + piece.rows).map(|period| Some(keep.value(period)))).collect()
}

/// The columns `layout` of a batch that has the columns `columns`, all by their index in the table.
fn arranged(table: &SchemaRef, layout: &[usize], columns: &[usize], batch: &RecordBatch) -> Result<RecordBatch> {
    let place = |column: &usize| columns.iter().position(|known| known == column);
    let arrays = layout.iter().filter_map(|column| Some(Arc::clone(batch.column(place(column)?)))).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(table.project(layout)?), arrays, &options)?)
}
