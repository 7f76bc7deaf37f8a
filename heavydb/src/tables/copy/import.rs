//! Rows of files into a table.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::prelude::ParquetReadOptions;

use super::fields::{Read, fits, push, shown};
use super::files::{files, open};
use super::lines::{LineFound, Lines};
use super::options::{ImportOptions, Source};
use super::records::{Record, Records};
use crate::tables::load::Column;
use crate::tables::session::HeavySession;
use crate::tables::stored::unstorable_rows;

/// Rows of a batch, and values where a table is wide.
const BATCH_ROWS: usize = 8_192;
const BATCH_VALUES: usize = 4 << 20;
/// Rejected rows that are told with their line.
const TOLD: usize = 5;

/// What was read, and what was not.
#[derive(Debug, Default)]
struct Tally {
    loaded: usize,
    rejected: usize,
    /// The first rejected rows: file, line and reason.
    told: Vec<String>,
    coerced: usize,
    unmatched: usize,
    notes: Vec<String>,
}

impl Tally {
    fn reject(&mut self, file: &Path, line: u64, reason: &str, options: &ImportOptions) -> Result<()> {
        self.rejected += 1;
        if self.told.len() < TOLD {
            self.told.push(format!("{}:{line}: {reason}", file.display()));
        }
        if self.rejected > options.max_reject {
            return exec_err!(
                "nothing was loaded: more than {} rows are rejected (option max_reject); {}",
                options.max_reject,
                self.told.join("; ")
            );
        }
        Ok(())
    }

    fn note(&self) -> String {
        let mut parts = vec![format!("Loaded: {} recs, Rejected: {} recs", self.loaded, self.rejected)];
        parts.extend(self.told.iter().cloned());
        if self.rejected > self.told.len() {
            parts.push(format!("{} more rejected rows", self.rejected - self.told.len()));
        }
        if self.coerced > 0 {
            parts.push(format!("{} values that are no numbers, dates or arrays are NULL or cut off, as in HeavyDB", self.coerced));
        }
        if self.unmatched > 0 {
            parts.push(format!("{} lines do not match line_regex and are rows of NULL, as in HeavyDB", self.unmatched));
        }
        parts.extend(self.notes.iter().cloned());
        parts.join("; ")
    }
}

/// Loads files into a table, all rows at once when all are read; what was loaded and rejected, in words.
///
/// # Errors
/// Files that cannot be read, too many rejected rows: the table is then as it was.
pub(in crate::tables) async fn copy_from(
    session: &HeavySession,
    name: &str,
    path: &str,
    options: &[(String, String)],
) -> Result<Option<String>> {
    let options = ImportOptions::read(options)?;
    let table = session.database().table(name)?;
    table.check_writable()?;
    let (batches, tally) = load(session, &table.definition().schema, path, &options).await?;
    let dropped = table.append_all(&batches)?;
    Ok(Some(std::iter::once(tally.note()).chain(dropped).collect::<Vec<_>>().join("; ")))
}

/// The rows of a foreign table's files, of which none may be rejected.
///
/// # Errors
/// Those of the files and their values.
pub(in crate::tables) async fn load_foreign(
    session: &HeavySession,
    schema: &SchemaRef,
    path: &str,
    options: &[(String, String)],
) -> Result<Vec<RecordBatch>> {
    let options = ImportOptions { max_reject: 0, ..ImportOptions::read(options)? };
    Ok(load(session, schema, path, &options).await?.0)
}

async fn load(session: &HeavySession, schema: &SchemaRef, path: &str, options: &ImportOptions) -> Result<(Vec<RecordBatch>, Tally)> {
    let mut tally = Tally::default();
    let found = files(path, options)?;
    if options.source == Source::Parquet {
        let batches = parquet(session, schema, &found).await?;
        tally.loaded = batches.iter().map(RecordBatch::num_rows).sum();
        return Ok((batches, tally));
    }
    let mut import = Import { schema, options, rows: Rows::try_new(schema)?, tally, batches: Vec::new() };
    for file in &found {
        import.file(file)?;
    }
    import.flush()?;
    let Import { mut tally, batches, .. } = import;
    tally.loaded = batches.iter().map(RecordBatch::num_rows).sum();
    Ok((batches, tally))
}

/// Columns by name where the files have the table's names, else by place.
async fn parquet(session: &HeavySession, schema: &SchemaRef, files: &[std::path::PathBuf]) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for file in files {
        let absolute = std::path::absolute(file).map_err(|error| DataFusionError::Execution(format!("{}: {error}", file.display())))?;
        let read = ParquetReadOptions { file_extension: "", ..ParquetReadOptions::default() };
        let frame = session.context().read_parquet(absolute.to_string_lossy().into_owned(), read).await?;
        let names: Vec<String> = frame.schema().fields().iter().map(|field| field.name().to_lowercase()).collect();
        if names.len() != schema.fields().len() {
            return plan_err!("{} has {} columns, the table {}", file.display(), names.len(), schema.fields().len());
        }
        let order = by_name(&names, schema).unwrap_or_else(|| (0..names.len()).collect());
        // `order` tells the target of each column; the columns are wanted in order of the targets.
        let mut columns: Vec<(usize, Expr)> = order.into_iter().zip(frame.schema().columns().into_iter().map(Expr::Column)).collect();
        columns.sort_by_key(|(target, _)| *target);
        let frame = frame.select(columns.into_iter().map(|(_, column)| column).collect::<Vec<_>>())?;
        batches.extend(session.converted(frame, schema).await?);
    }
    Ok(batches)
}

/// The places of the table's columns in the order of these names; `None` unless they are all its names.
fn by_name(names: &[String], schema: &Schema) -> Option<Vec<usize>> {
    if names.len() != schema.fields().len() {
        return None;
    }
    let known: std::collections::HashMap<&str, usize> =
        schema.fields().iter().enumerate().map(|(place, field)| (field.name().as_str(), place)).collect();
    let mut taken = vec![false; names.len()];
    let places = names.iter().map(|name| {
        let place = *known.get(name.as_str())?;
        (!std::mem::replace(taken.get_mut(place)?, true)).then_some(place)
    });
    places.collect()
}

/// Rows on their way into a batch.
struct Rows {
    columns: Vec<Column>,
    /// The line of each row, 0 for a row that is rejected.
    lines: Vec<u64>,
    most: usize,
}

impl Rows {
    fn try_new(schema: &Schema) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| Column::of(field.data_type())).collect::<Result<Vec<_>>>()?;
        let most = (BATCH_VALUES / columns.len().max(1)).clamp(1, BATCH_ROWS);
        Ok(Self { columns, lines: Vec::new(), most })
    }
}

struct Import<'a> {
    schema: &'a SchemaRef,
    options: &'a ImportOptions,
    rows: Rows,
    tally: Tally,
    batches: Vec<RecordBatch>,
}

impl Import<'_> {
    fn file(&mut self, file: &Path) -> Result<()> {
        match &self.options.line_regex {
            Some(regex) if self.options.source == Source::Regex => {
                if regex.captures_len() - 1 != self.schema.fields().len() {
                    return plan_err!(
                        "line_regex has {} groups, the table {} columns",
                        regex.captures_len() - 1,
                        self.schema.fields().len()
                    );
                }
                self.lines(file, Lines::new(open(file)?, self.options, regex))?;
            }
            _ => self.records(file)?,
        }
        // A batch is of one file, for its lines are told.
        self.flush_of(file)
    }

    fn lines(&mut self, file: &Path, mut lines: Lines<'_>) -> Result<()> {
        let order: Vec<usize> = (0..self.schema.fields().len()).collect();
        let mut record = Record::default();
        let mut is_first = self.options.header == Some(true);
        loop {
            match lines.next(&mut record).map_err(|error| broken(file, &error))? {
                LineFound::End => return Ok(()),
                _ if std::mem::take(&mut is_first) => continue,
                LineFound::Values => {}
                LineFound::NoMatch => {
                    self.tally.unmatched += 1;
                    order.iter().for_each(|_| record.push(self.options.nulls.as_bytes()));
                }
            }
            self.row(file, &record, &order)?;
        }
    }

    fn records(&mut self, file: &Path) -> Result<()> {
        let is_array: Vec<bool> =
            self.schema.fields().iter().map(|field| matches!(field.data_type(), DataType::List(_) | DataType::FixedSizeList(..))).collect();
        let mut records = Records::new(open(file)?, self.options);
        let mut record = Record::default();
        let mut order: Vec<usize> = (0..self.schema.fields().len()).collect();
        let mut is_array_in_order = is_array.clone();
        let mut is_first = true;
        // A header has no arrays, and a first row with arrays is split by them.
        while records.next(&is_array_in_order, &mut record).map_err(|error| broken(file, &error))? {
            if std::mem::take(&mut is_first)
                && let Some(places) = self.header(file, &record)?
            {
                is_array_in_order = places.iter().map(|place| is_array[*place]).collect();
                order = places;
                continue;
            }
            self.row(file, &record, &order)?;
        }
        Ok(())
    }

    /// The places of the columns that a header names; `None` for a row.
    fn header(&mut self, file: &Path, record: &Record) -> Result<Option<Vec<usize>>> {
        let in_order: Vec<usize> = (0..self.schema.fields().len()).collect();
        let names: Vec<String> = (0..record.len()).map(|place| record.text(place).unwrap_or_default().to_lowercase()).collect();
        let named = by_name(&names, self.schema);
        if named.as_ref().is_some_and(|named| *named != in_order) && self.options.header != Some(false) {
            self.tally.notes.push(format!("the columns of {} are taken by the names of its header", file.display()));
        }
        match self.options.header {
            Some(false) => return Ok(None),
            Some(true) => return Ok(Some(named.unwrap_or(in_order))),
            None if named.is_some() => return Ok(named),
            None => {}
        }
        if record.len() != self.schema.fields().len() {
            return Ok(None);
        }
        let fields = self.schema.fields().iter().enumerate();
        let fitting: Vec<bool> = fields.filter_map(|(place, field)| fits(record.text(place)?, field, self.options)).collect();
        if fitting.is_empty() {
            return exec_err!(
                "{}: whether the first line is a header cannot be told: write WITH (header='true') or WITH (header='false')",
                file.display()
            );
        }
        if fitting.iter().any(|fits| !fits) {
            return Ok(Some(in_order));
        }
        self.tally.notes.push(format!(
            "the first line of {} holds values and was loaded; HeavyDB passes a first line over unless header='false' is written",
            file.display()
        ));
        Ok(None)
    }

    fn row(&mut self, file: &Path, record: &Record, order: &[usize]) -> Result<()> {
        if let Some(reason) = record.broken {
            return self.tally.reject(file, record.line, reason, self.options);
        }
        if record.len() != order.len() {
            let reason = format!("{} values for {} columns", record.len(), order.len());
            return self.tally.reject(file, record.line, &reason, self.options);
        }
        let mut rejected = None;
        for (place, target) in order.iter().enumerate() {
            let column = &mut self.rows.columns[*target];
            if rejected.is_some() {
                column.push_null();
                continue;
            }
            let Some(text) = record.text(place) else {
                column.push_null();
                rejected = Some("a value is not UTF-8".to_owned());
                continue;
            };
            match push(column, self.schema.field(*target), text, self.options) {
                Ok(Read::Whole) => {}
                Ok(Read::Coerced) => self.tally.coerced += 1,
                Err(reason) => rejected = Some(reason),
            }
        }
        self.rows.lines.push(if rejected.is_some() { 0 } else { record.line });
        if let Some(reason) = rejected {
            self.tally.reject(file, record.line, &reason, self.options)?;
        }
        if self.rows.lines.len() >= self.rows.most { self.flush_of(file) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.flush_of(Path::new(""))
    }

    /// Makes a batch of the rows so far; those with values that a column cannot store are rejected.
    fn flush_of(&mut self, file: &Path) -> Result<()> {
        let lines = std::mem::take(&mut self.rows.lines);
        if lines.is_empty() {
            return Ok(());
        }
        let arrays: Vec<ArrayRef> = self.rows.columns.iter_mut().map(Column::finish).collect();
        self.rows = Rows::try_new(self.schema)?;
        let mut is_kept: Vec<bool> = lines.iter().map(|line| *line != 0).collect();
        for (field, array) in self.schema.fields().iter().zip(&arrays) {
            for (row, value) in unstorable_rows(field, array)? {
                if is_kept.get(row) == Some(&true) {
                    is_kept[row] = false;
                    let reason = format!("{} cannot be stored in column '{}'", shown(&value), field.name());
                    self.tally.reject(file, lines[row], &reason, self.options)?;
                }
            }
        }
        // Rejected rows hold NULL even where the column has none.
        let fields: Vec<Field> = self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        let kept = filter_record_batch(&batch, &BooleanArray::from(is_kept))?;
        self.batches.push(RecordBatch::try_new(Arc::clone(self.schema), kept.columns().to_vec())?);
        Ok(())
    }
}

fn broken(file: &Path, error: &std::io::Error) -> DataFusionError {
    DataFusionError::Execution(format!("reading {}: {error}", file.display()))
}
