//! Files with a row per strategy and period: `date, strategy, pnl` and context that is the same for all strategies of a period.
//!
//! Rows become entries (period, strategy, value) in file order, on disk when they outgrow the budget, and are then sorted into a matrix, strategy
//! by strategy, in as many passes over the entries as the budget asks for.

use std::collections::HashMap;
use std::sync::Arc;

use super::columns::{HeaderPlan, Target};
use super::matrix::Matrix;
use super::numbers::NumberFormat;
use super::options::ImportOptions;
use super::patterns::NamePatterns;
use super::records::{Chunk, ReadBytes, RecordReader};
use super::tally::Tally;
use super::text_column::TextColumn;
use super::wide::{RaggedRows, RawTable, read_cell};
use crate::error::{Error, Result, SourceError};
use crate::storage::ScratchFile;

/// Marks a combination that no row has given a value yet; a NaN other than the one that stands for NULL.
const ABSENT_BITS: u64 = 0x7FF8_0000_0000_0ABC;
/// Entries handled together.
const ENTRIES_TOGETHER: usize = 1 << 16;

/// Reads a long file whose columns have been planned, with about `memory_bytes` of memory for values.
///
/// # Errors
/// Ragged rows, no rows, rows without strategy, two rows for one strategy and period, read errors.
pub(crate) fn read_long(reader: RecordReader, plan: &HeaderPlan, rules: &LongRules<'_>) -> Result<RawTable> {
    let mut rows = LongRows::try_new(plan, rules, reader.header().len())?;
    let file = reader.file().to_owned();
    let read = reader.for_each_chunk(|chunk| rows.take(chunk))?;
    rows.ragged.check(&file, rows.width, rows.entries.count.min(u64::from(u32::MAX)) as usize)?;
    rows.check_names(&file)?;
    rows.finish(&file, rules, read)
}

/// What decides about the rows of a long file.
pub(crate) struct LongRules<'a> {
    /// Old and new strategy names.
    pub(crate) renames: &'a HashMap<String, String>,
    /// What the user asked for.
    pub(crate) options: &'a ImportOptions,
    /// Columns that are left out.
    pub(crate) excluded_columns: &'a [&'a str],
    /// How numbers are written.
    pub(crate) format: NumberFormat,
    /// Bytes for entries and values together.
    pub(crate) memory_bytes: usize,
}

/// Entries in file order: a key (period, strategy) and a value each.
struct Entries {
    /// Key bits and value, one after the other.
    pairs: Vec<f64>,
    scratch: Option<ScratchFile>,
    budget_bytes: usize,
    count: u64,
    /// Entries from which on lines are counted anew: (entry, its line).
    lines: Vec<(u64, u64)>,
}

impl Entries {
    fn push(&mut self, period: u32, strategy: u32, value: f64, line: u64) -> Result<()> {
        let follows = self.lines.last().is_some_and(|(entry, first)| first + (self.count - entry) == line);
        if !follows {
            self.lines.push((self.count, line));
        }
        self.count += 1;
        self.pairs.extend([f64::from_bits(u64::from(period) << 32 | u64::from(strategy)), value]);
        if self.pairs.len() * 8 < self.budget_bytes.max(ENTRIES_TOGETHER * 16) { Ok(()) } else { self.spill() }
    }

    fn spill(&mut self) -> Result<()> {
        match &mut self.scratch {
            Some(scratch) => scratch.append(&self.pairs)?,
            none => none.insert(ScratchFile::try_new()?).append(&self.pairs)?,
        }
        self.pairs.clear();
        Ok(())
    }

    fn line(&self, entry: u64) -> u64 {
        let at = self.lines.partition_point(|(first, _)| *first <= entry);
        at.checked_sub(1).map_or(0, |at| self.lines[at].1 + (entry - self.lines[at].0))
    }

    /// All entries in file order: number, period, strategy, value.
    fn for_each(&self, mut visit: impl FnMut(u64, u32, u32, f64)) -> Result<()> {
        let mut entry = 0;
        let mut visit_all = |pairs: &[f64]| {
            for pair in pairs.chunks_exact(2) {
                let key = pair[0].to_bits();
                visit(entry, (key >> 32) as u32, key as u32, pair[1]);
                entry += 1;
            }
        };
        if let Some(scratch) = &self.scratch {
            let (mut values, mut bytes) = (vec![], vec![]);
            for start in (0..scratch.len()).step_by(ENTRIES_TOGETHER * 2) {
                values.resize((scratch.len() - start).min(ENTRIES_TOGETHER as u64 * 2) as usize, 0.0);
                scratch.read_at(start, &mut values, &mut bytes)?;
                visit_all(&values);
            }
        }
        visit_all(&self.pairs);
        Ok(())
    }
}

struct LongRows {
    width: usize,
    format: NumberFormat,
    strategy_field: usize,
    pnl_field: usize,
    pnl_name: String,
    text_fields: Vec<usize>,
    texts: Vec<TextColumn>,
    strategies: TextColumn,
    /// Line on which each strategy stands first.
    strategy_lines: Vec<u64>,
    periods: HashMap<Box<[u32]>, u32>,
    last_period: Option<(Box<[u32]>, u32)>,
    lines: Vec<u64>,
    entries: Entries,
    tally: Option<Box<Tally>>,
    ragged: RaggedRows,
}

impl LongRows {
    fn try_new(plan: &HeaderPlan, rules: &LongRules<'_>, width: usize) -> Result<Self> {
        let (Some(strategy), Some(pnl)) = (plan.known(Target::Strategy), plan.known(Target::Pnl)) else {
            return Err(Error::Internal("a long file without strategy or value column was planned".into()));
        };
        let text_fields: Vec<usize> = plan.texts().map(|c| c.index).collect();
        Ok(Self {
            width,
            format: rules.format,
            strategy_field: strategy.index,
            pnl_field: pnl.index,
            pnl_name: pnl.name.clone(),
            texts: vec![TextColumn::default(); text_fields.len()],
            text_fields,
            strategies: TextColumn::default(),
            strategy_lines: vec![],
            periods: HashMap::new(),
            last_period: None,
            lines: vec![],
            entries: Entries { pairs: vec![], scratch: None, budget_bytes: rules.memory_bytes / 2, count: 0, lines: vec![] },
            tally: None,
            ragged: RaggedRows::default(),
        })
    }

    fn take(&mut self, chunk: &Chunk) -> Result<()> {
        for record in self.ragged.sound_rows(chunk, self.width) {
            let line = chunk.line(record);
            let period = self.period(chunk, record);
            let strategy = self.strategies.encode(chunk.field(record, self.strategy_field), 0);
            if strategy as usize == self.strategy_lines.len() {
                self.strategy_lines.push(line);
            }
            let text = chunk.field(record, self.pnl_field);
            let value = match self.format.plain_number(text) {
                Some(value) => value,
                None => read_cell(self.format, text, line, &mut self.tally),
            };
            self.entries.push(period, strategy, value, line)?;
        }
        Ok(())
    }

    /// The period row whose texts equal those of the record.
    fn period(&mut self, chunk: &Chunk, record: usize) -> u32 {
        let next = self.lines.len() as u32;
        let ids = self.texts.iter_mut().zip(&self.text_fields).map(|(text, &field)| text.encode(chunk.field(record, field), next));
        let ids: Box<[u32]> = ids.collect();
        if let Some((last, period)) = &self.last_period
            && *last == ids
        {
            return *period;
        }
        let period = *self.periods.entry(ids.clone()).or_insert(next);
        if period == next {
            self.texts.iter_mut().zip(&ids).for_each(|(text, &id)| text.push_id(id));
            self.lines.push(chunk.line(record));
        }
        self.last_period = Some((ids, period));
        period
    }

    fn check_names(&self, file: &str) -> Result<()> {
        let Some(empty) = self.strategies.values().iter().position(|name| name.is_empty()) else { return Ok(()) };
        let mut count = 0;
        self.entries.for_each(|_, _, strategy, _| count += u64::from(strategy as usize == empty))?;
        let error = SourceError::new(file, "a row without strategy name").at_line(self.strategy_lines[empty]).counted(count);
        Err(error.with_remedy("every row needs a strategy: fill it in or remove the row").into())
    }

    fn finish(self, file: &str, rules: &LongRules<'_>, read: ReadBytes) -> Result<RawTable> {
        let chosen = ChosenStrategies::try_new(file, &self.strategies, rules)?;
        let scatter =
            Scatter { entries: &self.entries, ordinals: &chosen.ordinals, rows: self.lines.len(), strategies: chosen.names.len() };
        let sorted = scatter.sort(rules.memory_bytes / 2)?;
        if let Some(entry) = sorted.first_repeated {
            return Err(self.repeated(file, entry, sorted.repeated)?);
        }
        let tallies = self.tally.map(|tally| (self.pnl_name, *tally)).into_iter().collect();
        Ok(RawTable {
            matrix: sorted.matrix,
            strategies: chosen.names,
            tallies,
            texts: self.texts,
            lines: self.lines,
            source_rows: self.entries.count,
            absent: sorted.absent,
            renamed: chosen.renamed,
            excluded_strategies: chosen.excluded,
            read,
        })
    }

    fn repeated(&self, file: &str, entry: u64, count: u64) -> Result<Error> {
        let mut key = None;
        self.entries.for_each(|e, period, strategy, _| {
            if e == entry {
                key = Some((period, strategy));
            }
        })?;
        let mut first = None;
        self.entries.for_each(|e, period, strategy, _| {
            if key == Some((period, strategy)) {
                first.get_or_insert(e);
            }
        })?;
        let name = key.map_or("", |(_, strategy)| &self.strategies.values()[strategy as usize]);
        let reason = format!("this strategy and period stand in line {} already", self.entries.line(first.unwrap_or(entry)));
        let error = SourceError::new(file, reason).at_line(self.entries.line(entry)).with_text(name).counted(count);
        Ok(error.with_remedy("remove one of the rows, or tell the periods apart by start_time, end_time and zone").into())
    }
}

/// Strategies of a long file after choice and renaming.
struct ChosenStrategies {
    names: Vec<String>,
    /// Ordinal of each strategy of the file; `None` where it is left out.
    ordinals: Vec<Option<u32>>,
    renamed: u64,
    excluded: u64,
}

impl ChosenStrategies {
    fn try_new<'a>(file: &str, strategies: &'a TextColumn, rules: &LongRules<'a>) -> Result<Self> {
        let include = NamePatterns::try_new("--include", &rules.options.include)?;
        let exclude = NamePatterns::try_new("--exclude", &rules.options.exclude)?;
        let mut chosen = Self { names: vec![], ordinals: vec![], renamed: 0, excluded: 0 };
        let mut old_names: HashMap<String, &str> = HashMap::new();
        for old in strategies.values() {
            let new = rules.renames.get(old.as_ref()).map_or(old.as_ref(), String::as_str);
            if exclude.matches(new) || (!include.is_empty() && !include.matches(new)) {
                chosen.ordinals.push(None);
                chosen.excluded += 1;
                continue;
            }
            if let Some(other) = old_names.insert(new.to_owned(), old) {
                let reason = format!("'{other}' and '{old}' would both be named '{new}'");
                return Err(SourceError::new(file, reason).with_remedy("correct the rename file").into());
            }
            chosen.renamed += u64::from(new != old.as_ref());
            chosen.ordinals.push(Some(chosen.names.len() as u32));
            chosen.names.push(new.to_owned());
        }
        let new_name = |old: &'a Arc<str>| rules.renames.get(old.as_ref()).map_or(old.as_ref(), String::as_str);
        let names = || strategies.values().iter().map(new_name);
        if let Some(pattern) = include.first_unused(names()) {
            return Err(unused_pattern(file, "--include", pattern));
        }
        if let Some(pattern) = exclude.first_unused(names().chain(rules.excluded_columns.iter().copied())) {
            return Err(unused_pattern(file, "--exclude", pattern));
        }
        if chosen.names.is_empty() {
            return Err(SourceError::new(file, "no strategy is left").with_remedy("check --include and --exclude").into());
        }
        Ok(chosen)
    }
}

fn unused_pattern(file: &str, option: &str, pattern: &str) -> Error {
    let reason = format!("{option} '{pattern}' fits no strategy or column that it could choose");
    SourceError::new(file, reason).with_remedy("correct the pattern or drop it; letter case counts").into()
}

/// Entries about to be sorted into a matrix.
struct Scatter<'a> {
    entries: &'a Entries,
    ordinals: &'a [Option<u32>],
    rows: usize,
    strategies: usize,
}

struct Sorted {
    matrix: Matrix,
    absent: u64,
    repeated: u64,
    first_repeated: Option<u64>,
}

impl Scatter<'_> {
    fn sort(&self, budget_bytes: usize) -> Result<Sorted> {
        let mut sorted = Sorted { matrix: Matrix::columns(self.rows, vec![]), absent: 0, repeated: 0, first_repeated: None };
        let together = (budget_bytes / (self.rows * 8)).clamp(1, self.strategies);
        if together == self.strategies {
            let values = self.pass(0, self.strategies, &mut sorted)?;
            sorted.matrix = Matrix::columns(self.rows, values);
            return Ok(sorted);
        }
        let mut scratch = ScratchFile::try_new()?;
        for first in (0..self.strategies).step_by(together) {
            let values = self.pass(first, together.min(self.strategies - first), &mut sorted)?;
            scratch.append(&values)?;
        }
        sorted.matrix = Matrix::columns_on_disk(self.rows, scratch);
        Ok(sorted)
    }

    /// Values of `count` strategies from `first` on, strategy by strategy.
    fn pass(&self, first: usize, count: usize, sorted: &mut Sorted) -> Result<Vec<f64>> {
        let mut values = vec![f64::from_bits(ABSENT_BITS); count * self.rows];
        self.entries.for_each(|entry, period, strategy, value| {
            let column = self.ordinals[strategy as usize].and_then(|o| (o as usize).checked_sub(first)).filter(|c| *c < count);
            let Some(column) = column else { return };
            let place = &mut values[column * self.rows + period as usize];
            if place.to_bits() != ABSENT_BITS {
                sorted.repeated += 1;
                sorted.first_repeated = Some(sorted.first_repeated.map_or(entry, |e| e.min(entry)));
            }
            *place = value;
        })?;
        for value in &mut values {
            if value.to_bits() == ABSENT_BITS {
                sorted.absent += 1;
                *value = f64::NAN;
            }
        }
        Ok(values)
    }
}
