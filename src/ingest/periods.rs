//! The period rows of a file: settled dates, checked context, slots, and the order of the table.

use std::cmp::Ordering;

use chrono::{Datelike, NaiveDate};
use datafusion::arrow::record_batch::RecordBatch;

use super::clock::{Clock, parse_clock};
use super::coercion::{CoercionKind, Coercions};
use super::columns::{HeaderPlan, Layout, PlannedColumn, Role, Target, target_name};
use super::dates::{DateColumn, Dates, weekday_mismatches};
use super::judge::coercion_issues;
use super::numbers::{Cell, NumberFormat};
use super::options::ImportOptions;
use super::period_columns::PeriodColumns;
use super::report::{ColumnReport, Issue, IssueCode, Severity};
use super::tally::Tally;
use super::text_column::TextColumn;
use crate::error::{Error, Result, SourceError};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Period rows as they were read.
pub(crate) struct PeriodRows<'a> {
    /// The file as the user named it.
    pub(crate) file: &'a str,
    /// Roles of the columns.
    pub(crate) plan: &'a HeaderPlan,
    /// One per column of [`HeaderPlan::texts`].
    pub(crate) texts: &'a [TextColumn],
    /// Line of each row.
    pub(crate) lines: &'a [u64],
    /// What the user asked for.
    pub(crate) options: &'a ImportOptions,
    /// How numbers are written.
    pub(crate) format: NumberFormat,
}

/// The periods of a strategy table.
#[derive(Debug)]
pub(crate) struct Periods {
    /// One row per period in table order; see [`super::StrategySource::periods`].
    pub(crate) batch: RecordBatch,
    /// Row of the file that each period comes from.
    pub(crate) rows: Vec<u32>,
    /// First and last date.
    pub(crate) range: (NaiveDate, NaiveDate),
    /// What was done with the columns.
    pub(crate) columns: Vec<ColumnReport>,
    /// What deserves attention.
    pub(crate) issues: Vec<Issue>,
    /// What is stored as something else than it says.
    pub(crate) coerced: Coercions,
}

/// Values by which rows are told apart and put in order.
#[derive(Debug)]
pub(crate) struct RowKeys {
    /// Date of each row.
    pub(crate) dates: Vec<NaiveDate>,
    /// Begin of each row in microseconds from the epoch.
    pub(crate) starts: Option<Vec<Option<i64>>>,
    /// End of each row in microseconds from the epoch.
    pub(crate) ends: Option<Vec<Option<i64>>>,
    /// Rank of the zone's name in natural order.
    zones: Option<Vec<u32>>,
    /// Slots that the file states.
    slots: Option<Vec<i32>>,
}

impl RowKeys {
    /// Order of the table. A stated slot comes first, since it is what the other columns once determined.
    fn compare(&self, a: usize, b: usize) -> Ordering {
        fn by<T: Ord>(column: &Option<Vec<T>>, a: usize, b: usize) -> Ordering {
            column.as_ref().map_or(Ordering::Equal, |values| values[a].cmp(&values[b]))
        }
        let order = self.dates[a].cmp(&self.dates[b]).then_with(|| by(&self.slots, a, b));
        if self.slots.is_some() {
            order
        } else {
            order.then_with(|| by(&self.starts, a, b)).then_with(|| by(&self.ends, a, b)).then_with(|| by(&self.zones, a, b))
        }
    }
}

impl<'a> PeriodRows<'a> {
    /// Settles, checks and orders the rows.
    ///
    /// # Errors
    /// Dates that stay open or are impossible, times that are none, context numbers out of range, two rows with one key.
    pub(crate) fn settle(&self) -> Result<Periods> {
        let mut settled = Settled::default();
        let dates = self.settle_dates(&mut settled)?;
        let date_ids = self.text(Target::Date).map_or(&[][..], TextColumn::ids);
        let row_dates: Vec<NaiveDate> = date_ids.iter().map(|&id| dates.values[id as usize]).collect();
        let keys = RowKeys {
            starts: self.times(Target::StartTime, &row_dates)?,
            ends: self.times(Target::EndTime, &row_dates)?,
            zones: self.text(Target::Zone).map(natural_ranks),
            slots: self.stated_slots()?,
            dates: row_dates,
        };
        self.check_time_order(&keys)?;
        self.check_derived(&keys.dates)?;
        let rows = self.order(&keys, &mut settled)?;
        let batch = PeriodColumns { file_rows: self, keys: &keys, rows: &rows, settled: &mut settled }.build()?;
        self.note_coerced(&mut settled);
        let of = |row: Option<&u32>| row.map(|&r| keys.dates[r as usize]).unwrap_or_default();
        let range = (of(rows.first()), of(rows.last()));
        Ok(Periods { batch, range, rows, columns: settled.columns, issues: settled.issues, coerced: settled.coerced })
    }

    /// Counts the cells that are stored as something else than they say. Numbers of context columns are counted where they are read.
    fn note_coerced(&self, settled: &mut Settled) {
        let spaces = |text: &str| (text.trim() != text).then_some(CoercionKind::Spaces);
        let empty = |text: &str| text.is_empty().then_some(CoercionKind::EmptyCell);
        // Dates have no 'T' and no inner space but before a time, which then is midnight: anything else was refused.
        let date = |text: &str| if text.trim().contains(['T', ' ']) { Some(CoercionKind::MidnightTime) } else { spaces(text) };
        let time = |text: &str| self.format.coercion(Cell::Blank, text.as_bytes()).filter(|_| parse_clock(text).is_none()).or(spaces(text));
        for (column, texts) in self.plan.texts().zip(self.texts) {
            let Role::Known(target) = column.role else { continue };
            let tally = match target {
                Target::Date => texts.tally(self.lines, date),
                Target::StartTime | Target::EndTime => texts.tally(self.lines, time),
                Target::Day | Target::Zone | Target::MarketRegime => texts.tally(self.lines, empty),
                Target::Slot => texts.tally(self.lines, spaces),
                _ => continue,
            };
            settled.note_coerced(&column.name, &tally);
        }
    }

    /// The source column that feeds a target, with its texts.
    pub(crate) fn column(&self, target: Target) -> Option<(&PlannedColumn, &TextColumn)> {
        self.plan.texts().zip(self.texts).find(|(column, _)| column.role == Role::Known(target))
    }

    fn text(&self, target: Target) -> Option<&'a TextColumn> {
        self.plan.texts().zip(self.texts).find(|(column, _)| column.role == Role::Known(target)).map(|(_, text)| text)
    }

    /// An error about a distinct text of a column.
    pub(crate) fn error(&self, column: &str, text: &TextColumn, id: usize, reason: impl Into<String>) -> SourceError {
        let line = self.lines[text.first_row(id as u32) as usize];
        SourceError::new(self.file, reason).at_line(line).in_column(column).with_text(&text.values()[id])
    }

    fn settle_dates(&self, settled: &mut Settled) -> Result<Dates> {
        let (column, texts) = self.column(Target::Date).ok_or_else(|| Error::Internal("no date column was planned".into()))?;
        let weekdays = self.column(Target::Day);
        let dates = DateColumn {
            file: self.file,
            name: &column.name,
            texts,
            lines: self.lines,
            weekdays: weekdays.map(|(_, text)| text),
            order: self.options.date_order,
            time_unit: self.options.time_unit,
        }
        .settle()?;
        settled.describe(column, "key", Some("date".into()), &dates.why);
        if let Some((day, texts_of_days)) = weekdays {
            let (count, first) = weekday_mismatches(&dates.values, texts.ids(), texts_of_days);
            if let Some(row) = first {
                let (date, stated) = (dates.values[texts.ids()[row] as usize], texts_of_days.text(row));
                let example = format!("{date} is a {}, the file says '{stated}'", date.format("%A"));
                let issue = Issue::new(IssueCode::WeekdayMismatch, Severity::Warning, count, "the text was kept");
                settled.issues.push(issue.in_column(&day.name).at_line(self.lines[row]).such_as(example));
            }
        }
        Ok(dates)
    }

    /// Microseconds from the epoch of a time column, row by row; `None` where the column is missing.
    fn times(&self, target: Target, dates: &[NaiveDate]) -> Result<Option<Vec<Option<i64>>>> {
        let Some((column, texts)) = self.column(target) else { return Ok(None) };
        let clocks: Vec<Option<Clock>> = texts.values().iter().map(|text| parse_clock(text)).collect();
        let blank: Vec<bool> = texts.values().iter().map(|text| self.format.parse(text.as_bytes()) == Cell::Blank).collect();
        let bad = |id: usize| clocks[id].is_none() && !blank[id];
        if let Some(first) = (0..clocks.len()).find(|&id| bad(id)) {
            let counts = texts.counts();
            let count = (0..clocks.len()).filter(|&id| bad(id)).map(|id| counts[id]).sum();
            let error = self.error(&column.name, texts, first, "not a time of day").counted(count);
            return Err(error.with_remedy("times are written HH:MM:SS").into());
        }
        let mut times = Vec::with_capacity(dates.len());
        for (row, (&id, date)) in texts.ids().iter().zip(dates).enumerate() {
            let clock = clocks[id as usize];
            if let Some(stated) = clock.and_then(|c| c.date).filter(|stated| stated != date) {
                let reason = format!("the time is of {stated}, the row of {date}");
                let error = SourceError::new(self.file, reason).at_line(self.lines[row]).in_column(&column.name).with_text(texts.text(row));
                return Err(error.with_remedy("a row's times belong to its date").into());
            }
            times.push(clock.map(|c| i64::from(days_from_epoch(*date)) * MICROS_PER_DAY + c.micros));
        }
        Ok(Some(times))
    }

    fn check_time_order(&self, keys: &RowKeys) -> Result<()> {
        let (Some(starts), Some(ends)) = (&keys.starts, &keys.ends) else { return Ok(()) };
        let late = |row: &usize| matches!((starts[*row], ends[*row]), (Some(start), Some(end)) if start > end);
        let Some(row) = (0..starts.len()).find(late) else { return Ok(()) };
        let text = |target| self.text(target).map_or("", |t| t.text(row));
        let reason = format!("start_time {} is after end_time {}", text(Target::StartTime), text(Target::EndTime));
        let count = (0..starts.len()).filter(late).count() as u64;
        Err(SourceError::new(self.file, reason)
            .at_line(self.lines[row])
            .counted(count)
            .with_remedy("correct the times, or leave one column out with --exclude")
            .into())
    }

    /// Slots that the file states: positive integers.
    fn stated_slots(&self) -> Result<Option<Vec<i32>>> {
        let Some((column, texts)) = self.column(Target::Slot) else { return Ok(None) };
        let slots: Vec<Option<i32>> = texts.values().iter().map(|text| text.trim().parse().ok().filter(|slot| *slot > 0)).collect();
        if let Some(id) = slots.iter().position(Option::is_none) {
            let error = self.error(&column.name, texts, id, "not a slot number, 1 and above");
            return Err(error
                .with_remedy("leave the column out with --exclude: slots are then numbered by start_time, end_time and zone")
                .into());
        }
        Ok(Some(texts.ids().iter().filter_map(|&id| slots[id as usize]).collect()))
    }

    /// A year or month column must say what the date says; it is not stored from the file.
    fn check_derived(&self, dates: &[NaiveDate]) -> Result<()> {
        for target in [Target::Year, Target::Month] {
            let Some((column, texts)) = self.column(target) else { continue };
            let of = |date: &NaiveDate| if target == Target::Year { i64::from(date.year()) } else { i64::from(date.month()) };
            let differs = |row: &usize| texts.text(*row).trim().parse::<i64>() != Ok(of(&dates[*row]));
            let Some(row) = (0..dates.len()).find(differs) else { continue };
            let reason = format!("differs from the {} of the date {}", target_name(target), dates[row]);
            let error = SourceError::new(self.file, reason).at_line(self.lines[row]).in_column(&column.name).with_text(texts.text(row));
            let remedy = format!(
                "--strategy '{0}' makes it a strategy, --context '{0}' and --map '{0}=other_name' keep it as a context column, --exclude '{0}' leaves it out",
                column.name
            );
            return Err(error.counted((0..dates.len()).filter(differs).count() as u64).with_remedy(remedy).into());
        }
        Ok(())
    }

    /// Rows in table order.
    fn order(&self, keys: &RowKeys, settled: &mut Settled) -> Result<Vec<u32>> {
        let mut rows: Vec<u32> = (0..self.lines.len() as u32).collect();
        rows.sort_by(|&a, &b| keys.compare(a as usize, b as usize));
        self.check_keys(keys, &rows)?;
        let earlier: Vec<usize> = (1..keys.dates.len()).filter(|&row| keys.dates[row] < keys.dates[row - 1]).collect();
        // In long files the rows of one strategy follow those of another: nothing is out of order.
        if let Some(&first) = earlier.first().filter(|_| self.plan.layout == Layout::Wide) {
            let example = format!("{} after {}", keys.dates[first], keys.dates[first - 1]);
            let issue = Issue::new(IssueCode::UnsortedRows, Severity::Warning, earlier.len() as u64, "the rows were sorted by date");
            settled.issues.push(issue.at_line(self.lines[first]).such_as(example));
        }
        Ok(rows)
    }

    fn check_keys(&self, keys: &RowKeys, rows: &[u32]) -> Result<()> {
        let same = |pair: &&[u32]| keys.compare(pair[0] as usize, pair[1] as usize).is_eq();
        // The sort is stable, so the first of a pair stands first in the file; blame the pair that ends first.
        let Some(pair) = rows.windows(2).filter(same).min_by_key(|pair| pair[1]) else { return Ok(()) };
        let (first, second) = (pair[0] as usize, pair[1] as usize);
        let parts = [Target::Slot, Target::StartTime, Target::EndTime, Target::Zone];
        let parts: Vec<String> =
            parts.iter().filter_map(|&t| self.text(t).map(|text| format!("{} '{}'", target_name(t), text.text(second)))).collect();
        let with = if parts.is_empty() { String::new() } else { format!(" with {}", parts.join(", ")) };
        let reason = match self.plan.layout {
            Layout::Wide => format!("the date {}{with} stands in line {} already", keys.dates[second], self.lines[first]),
            Layout::Long => {
                format!(
                    "the date {}{with} has other context values than in line {}: {}",
                    keys.dates[second],
                    self.lines[first],
                    self.differing(first, second)
                )
            }
        };
        let error = SourceError::new(self.file, reason).at_line(self.lines[second]).counted(rows.windows(2).filter(same).count() as u64);
        Err(error.with_remedy("a period is one row: remove one, or tell them apart by start_time, end_time and zone").into())
    }

    /// Context columns in which two rows differ.
    fn differing(&self, a: usize, b: usize) -> String {
        let differing = self.plan.texts().zip(self.texts).filter(|(_, text)| text.ids()[a] != text.ids()[b]);
        differing.map(|(column, text)| format!("{} '{}' and '{}'", column.name, text.text(a), text.text(b))).collect::<Vec<_>>().join(", ")
    }
}

/// What settling the rows has found so far.
#[derive(Default)]
pub(crate) struct Settled {
    pub(crate) columns: Vec<ColumnReport>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) coerced: Coercions,
}

impl Settled {
    /// Notes the coerced cells of a context or key column.
    pub(crate) fn note_coerced(&mut self, column: &str, tally: &Tally) {
        self.issues.extend(coercion_issues(column, tally));
        self.coerced.add_column(column, tally);
    }

    /// Notes what was done with a column.
    pub(crate) fn describe(&mut self, column: &PlannedColumn, role: &'static str, target: Option<String>, why: &str) {
        let why = why.trim_start_matches("; ").to_owned();
        self.columns.push(ColumnReport { name: column.name.clone(), role, target, why });
    }
}

/// Slots by period: as stated, else numbered within each date where any date has several rows.
pub(crate) fn slots(keys: &RowKeys, rows: &[u32]) -> Option<Vec<i32>> {
    if let Some(stated) = &keys.slots {
        return Some(rows.iter().map(|&row| stated[row as usize]).collect());
    }
    let same_date = |pair: &[u32]| keys.dates[pair[0] as usize] == keys.dates[pair[1] as usize];
    if !rows.windows(2).any(same_date) {
        return None;
    }
    let mut slots = vec![1];
    for pair in rows.windows(2) {
        slots.push(if same_date(pair) { slots[slots.len() - 1] + 1 } else { 1 });
    }
    Some(slots)
}

/// Rank of each row's text when numbers inside texts count as numbers: `Zone 2` before `Zone 10`.
fn natural_ranks(text: &TextColumn) -> Vec<u32> {
    let mut order: Vec<usize> = (0..text.values().len()).collect();
    order.sort_by(|&a, &b| natural(&text.values()[a], &text.values()[b]));
    let mut ranks = vec![0; order.len()];
    order.iter().enumerate().for_each(|(rank, &id)| ranks[id] = rank as u32);
    text.ids().iter().map(|&id| ranks[id as usize]).collect()
}

/// Compares texts piece by piece, digit runs by their value; texts that are alike but for zeros by their bytes.
fn natural(a: &str, b: &str) -> Ordering {
    fn piece(text: &str) -> (&str, &str) {
        let digit = text.starts_with(|c: char| c.is_ascii_digit());
        text.split_at(text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len()))
    }
    let (mut left, mut right) = (a, b);
    while !left.is_empty() && !right.is_empty() {
        let ((l, left_rest), (r, right_rest)) = (piece(left), piece(right));
        let order = match (l.as_bytes()[0].is_ascii_digit(), r.as_bytes()[0].is_ascii_digit()) {
            (true, true) => {
                let (l, r) = (l.trim_start_matches('0'), r.trim_start_matches('0'));
                l.len().cmp(&r.len()).then_with(|| l.cmp(r))
            }
            _ => l.cmp(r),
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Days from 1970-01-01.
pub(crate) fn days_from_epoch(date: NaiveDate) -> i32 {
    date.signed_duration_since(NaiveDate::default()).num_days() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_inside_names_count_as_numbers() {
        let mut names = ["Zone 10", "Zone 2", "Zone 1", "Custom Zone 3", "Outside Market", "Undefined", "Zone 02", ""];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["", "Custom Zone 3", "Outside Market", "Undefined", "Zone 1", "Zone 02", "Zone 2", "Zone 10"]);
    }
}
