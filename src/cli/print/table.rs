//! The table format: aligned columns for people.
//!
//! Numbers are aligned right, NULL is dim on a terminal, control characters are escaped. At most `max_rows` rows are shown and the others are
//! counted; on a terminal long texts are shortened first, then middle columns are left out, and a single row that is too wide is
//! turned on its side. What was left out is always said. Plans (`EXPLAIN`) are printed as the text they are.

use std::io::Write;
use std::time::Duration;

use datafusion::arrow::array::Array;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;

use super::cell::{Cells, FOR_PEOPLE, is_number};
use super::{Look, ResultWriter};
use crate::cli::failure::Result;
use crate::cli::terminal::{Paint, counted, cut, display_width, thousands};

/// Texts are shortened no further than this before columns are left out.
const LEAST_TEXT_WIDTH: usize = 24;
/// Columns shown where the output has no width.
const MOST_COLUMNS: usize = 200;
/// A cell of one character with its separator.
const NARROWEST_COLUMN: usize = 4;
/// Width of ` │ `.
const SEPARATOR: usize = 3;

/// Keeps the rows to be shown, counts the others, prints at the end.
pub(crate) struct TableWriter {
    look: Look,
    schema: Option<SchemaRef>,
    shown: Vec<RecordBatch>,
    shown_rows: usize,
    total_rows: u64,
}

impl TableWriter {
    pub(crate) fn new(look: &Look) -> Self {
        Self { look: look.clone(), schema: None, shown: Vec::new(), shown_rows: 0, total_rows: 0 }
    }

    fn write_rows(&self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        if is_plan(batch.schema_ref()) {
            return write_plan(batch, out);
        }
        let (columns, hidden) = candidates(batch, &self.look)?;
        let fitted = fit(columns, hidden, self.look.width);
        if self.total_rows == 1 && fitted.hidden > 0 {
            return write_upright(batch, &self.look, out);
        }
        write_grid(&fitted, batch.num_rows(), Paint { on: self.look.colours }, out)?;
        if fitted.hidden > 0 {
            writeln!(out, "... {} more", counted(fitted.hidden as u64, "column"))?;
        }
        Ok(())
    }

    fn write_footer(&self, elapsed: Option<Duration>, out: &mut dyn Write) -> Result<()> {
        let more = self.total_rows - self.shown_rows as u64;
        if more > 0 {
            writeln!(out, "... {} rows more", thousands(more))?;
        }
        if !self.look.quiet {
            let time = elapsed.map(|elapsed| format!(", {:.3} s", elapsed.as_secs_f64())).unwrap_or_default();
            let footer = format!("{}{time}", counted(self.total_rows, "row"));
            writeln!(out, "{}", Paint { on: self.look.colours }.dim(&footer))?;
        }
        Ok(())
    }
}

impl ResultWriter for TableWriter {
    fn begin(&mut self, schema: &SchemaRef, _out: &mut dyn Write) -> Result<()> {
        self.schema = Some(SchemaRef::clone(schema));
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, _out: &mut dyn Write) -> Result<()> {
        self.total_rows += batch.num_rows() as u64;
        let room = self.look.max_rows.map_or(usize::MAX, |most| most - self.shown_rows);
        let taken = room.min(batch.num_rows());
        if taken > 0 {
            self.shown.push(batch.slice(0, taken));
            self.shown_rows += taken;
        }
        Ok(())
    }

    fn finish(&mut self, elapsed: Option<Duration>, out: &mut dyn Write) -> Result<()> {
        if let Some(schema) = &self.schema {
            let batch = concat_batches(schema, &self.shown)?;
            self.write_rows(&batch, out)?;
        }
        self.write_footer(elapsed, out)
    }
}

/// One column as it will be printed.
struct Column {
    name: String,
    number: bool,
    cells: Vec<Cell>,
    width: usize,
    /// Width at which nothing is cut.
    full_width: usize,
}

/// One cell: its lines, of which there is one in all but a few cells.
struct Cell {
    lines: Vec<String>,
    null: bool,
}

/// Columns that fit, with the count of those left out between `left` and the rest.
struct Fitted {
    columns: Vec<Column>,
    left: usize,
    hidden: usize,
}

/// The columns that could be shown at all, from both ends, and how many others there are between them.
fn candidates(batch: &RecordBatch, look: &Look) -> Result<(Vec<Column>, usize)> {
    let count = batch.num_columns();
    let most = look.width.map_or(MOST_COLUMNS, |width| width / NARROWEST_COLUMN + 2).min(count);
    let left = most.div_ceil(2);
    let chosen = (0..left).chain(count - (most - left)..count);
    let columns = chosen.map(|i| column(batch, i)).collect::<Result<Vec<_>>>()?;
    Ok((columns, count - most))
}

fn column(batch: &RecordBatch, index: usize) -> Result<Column> {
    let field = batch.schema_ref().field(index);
    let cells = cells_of(batch.column(index))?;
    let name = one_line(field.name());
    let widest = cells.iter().flat_map(|cell| &cell.lines).map(|line| display_width(line)).max().unwrap_or(0);
    let width = widest.max(display_width(&name));
    Ok(Column { name, number: is_number(field.data_type()), cells, width, full_width: width })
}

fn cells_of(array: &dyn Array) -> Result<Vec<Cell>> {
    let texts = Cells::try_new(array, &FOR_PEOPLE)?;
    let mut text = String::new();
    (0..array.len())
        .map(|row| {
            text.clear();
            texts.write(row, &mut text)?;
            Ok(Cell { lines: text.lines().map(one_line).collect(), null: texts.is_null(row) })
        })
        .collect()
}

/// Control characters are shown, never sent to the terminal.
fn one_line(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn line_width(columns: &[Column]) -> usize {
    columns.iter().map(|column| column.width).sum::<usize>() + SEPARATOR * columns.len().saturating_sub(1) + 2
}

/// Shortens texts, then leaves out columns from the middle, until a line fits into `width`.
fn fit(mut columns: Vec<Column>, hidden: usize, width: Option<usize>) -> Fitted {
    let left = columns.len().div_ceil(2);
    let Some(width) = width else { return Fitted { columns, left, hidden } };
    let widest = columns.iter().map(|column| column.width).max().unwrap_or(0);
    let cap = (LEAST_TEXT_WIDTH..widest).rev().find(|cap| hidden == 0 && capped_width(&columns, *cap) <= width);
    if line_width(&columns) > width || hidden > 0 {
        let cap = cap.unwrap_or(LEAST_TEXT_WIDTH);
        columns.iter_mut().filter(|column| !column.number).for_each(|column| column.width = column.width.min(cap));
    }
    if hidden == 0 && line_width(&columns) <= width {
        return Fitted { columns, left, hidden };
    }
    leave_out(columns, hidden, width)
}

fn capped_width(columns: &[Column], cap: usize) -> usize {
    let saved: usize = columns.iter().filter(|column| !column.number).map(|column| column.width.saturating_sub(cap)).sum();
    line_width(columns) - saved
}

/// Takes columns from both ends in turn as long as they fit beside the gap.
fn leave_out(mut columns: Vec<Column>, hidden: usize, width: usize) -> Fitted {
    let gap = SEPARATOR + 1;
    let mut room = width.saturating_sub(gap + 2);
    let (mut left, mut right) = (0, 0);
    while left + right < columns.len() {
        let from_left = left <= right;
        let next = if from_left { left } else { columns.len() - 1 - right };
        let needed = columns[next].width + SEPARATOR;
        if needed > room && left + right > 0 {
            break;
        }
        room = room.saturating_sub(needed);
        if from_left { left += 1 } else { right += 1 }
    }
    if let Some(first) = columns.first_mut() {
        first.width = first.width.min(width.saturating_sub(gap + 2).max(1));
    }
    let dropped = columns.len() - left - right;
    columns.drain(left..left + dropped);
    widen(&mut columns, width.saturating_sub(gap));
    Fitted { columns, left, hidden: hidden + dropped }
}

/// Gives shortened texts the room that is left.
fn widen(columns: &mut [Column], width: usize) {
    let mut room = width.saturating_sub(line_width(columns));
    for column in columns {
        let more = room.min(column.full_width - column.width);
        column.width += more;
        room -= more;
    }
}

fn write_grid(fitted: &Fitted, rows: usize, paint: Paint, out: &mut dyn Write) -> Result<()> {
    let header: Vec<String> = fitted.columns.iter().map(|c| paint.bold(&padded(&c.name, c.width, c.number))).collect();
    write_line(fitted, &header, "│", "…", out)?;
    let rule: Vec<String> = fitted.columns.iter().map(|column| "─".repeat(column.width)).collect();
    let gap = if fitted.hidden > 0 { "─" } else { "" };
    let ruled = with_gap(fitted, &rule, gap).join("─┼─");
    writeln!(out, "─{ruled}─")?;
    for row in 0..rows {
        let height = fitted.columns.iter().map(|column| column.cells[row].lines.len()).max().unwrap_or(1).max(1);
        for line in 0..height {
            let texts: Vec<String> = fitted.columns.iter().map(|column| cell_text(column, row, line, paint)).collect();
            write_line(fitted, &texts, "│", if line == 0 { "…" } else { " " }, out)?;
        }
    }
    Ok(())
}

fn write_line(fitted: &Fitted, texts: &[String], separator: &str, gap: &str, out: &mut dyn Write) -> Result<()> {
    let line = with_gap(fitted, texts, gap).join(&format!(" {separator} "));
    Ok(writeln!(out, " {}", line.trim_end())?)
}

/// The texts of a line with one more at the place of the columns left out.
fn with_gap<'a>(fitted: &Fitted, texts: &'a [String], gap: &'a str) -> Vec<&'a str> {
    let mut line: Vec<&str> = texts.iter().map(String::as_str).collect();
    if fitted.hidden > 0 {
        line.insert(fitted.left.min(line.len()), gap);
    }
    line
}

fn cell_text(column: &Column, row: usize, line: usize, paint: Paint) -> String {
    let cell = &column.cells[row];
    let text = padded(cell.lines.get(line).map_or("", String::as_str), column.width, column.number);
    if cell.null { paint.dim(&text) } else { text }
}

/// `text` in exactly `width` columns.
fn padded(text: &str, width: usize, to_the_right: bool) -> String {
    let text = cut(text, width);
    let room = " ".repeat(width.saturating_sub(display_width(&text)));
    if to_the_right { room + &text } else { text + &room }
}

/// One row, one line per column.
fn write_upright(batch: &RecordBatch, look: &Look, out: &mut dyn Write) -> Result<()> {
    let paint = Paint { on: look.colours };
    let most = look.max_rows.unwrap_or(usize::MAX).min(batch.num_columns());
    let columns = (0..most).map(|i| column(batch, i)).collect::<Result<Vec<_>>>()?;
    let name_width = columns.iter().map(|column| display_width(&column.name)).max().unwrap_or(0).min(LEAST_TEXT_WIDTH * 2);
    let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(name_width + SEPARATOR + 2).max(LEAST_TEXT_WIDTH));
    for column in &columns {
        let cell = &column.cells[0];
        let text = cut(&cell.lines.join(" "), room);
        let value = if cell.null { paint.dim(&text) } else { text };
        writeln!(out, " {} │ {value}", paint.bold(&padded(&column.name, name_width, false)))?;
    }
    let hidden = batch.num_columns() - most;
    if hidden > 0 {
        writeln!(out, "... {} more", counted(hidden as u64, "column"))?;
    }
    Ok(())
}

/// Whether this is the result of EXPLAIN, whose texts are trees that must not be cut or padded.
fn is_plan(schema: &Schema) -> bool {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names == ["plan_type", "plan"]
}

fn write_plan(batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
    let (kinds, plans) = (cells_of(batch.column(0))?, cells_of(batch.column(1))?);
    for (kind, plan) in kinds.iter().zip(&plans) {
        writeln!(out, "{}:", kind.lines.join(" "))?;
        for line in &plan.lines {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::cli::print::testing::{PLAIN, printed, sample};

    fn numbers(columns: usize, rows: i64) -> RecordBatch {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        RecordBatch::try_from_iter((0..columns).map(|i| (format!("column_{i}"), Arc::clone(&values)))).unwrap()
    }

    #[test]
    fn numbers_stand_right_and_texts_left() {
        let expected =
            "   id │ name  │ value\n──────┼───────┼───────\n    1 │ a,\"b\" │   0.3\n   20 │       │  NULL\n NULL │ NULL  │   NaN\n";
        assert_eq!(printed("table", &[sample()], &PLAIN), expected);
    }

    #[test]
    fn long_results_say_how_many_rows_are_missing() {
        let text = printed("table", &[numbers(1, 50_000), numbers(1, 50_000)], &Look { quiet: false, ..PLAIN });
        assert_eq!(text.lines().count(), 2 + 40 + 2);
        assert!(text.ends_with("... 99,960 rows more\n100,000 rows\n"), "{text}");
        let all = printed("table", &[numbers(1, 100)], &Look { max_rows: None, ..PLAIN });
        assert_eq!(all.lines().count(), 102);
    }

    #[test]
    fn wide_results_lose_their_middle_and_say_so() {
        let text = printed("table", &[numbers(30, 2)], &Look { width: Some(60), ..PLAIN });
        assert!(text.lines().all(|line| display_width(line) <= 60), "{text}");
        let header = text.lines().next().unwrap();
        assert!(header.contains("column_0 ") && header.contains("…") && header.contains("column_29"), "{text}");
        assert!(text.ends_with("... 26 columns more\n"), "{text}");
    }

    #[test]
    fn one_wide_row_is_turned_on_its_side() {
        let text = printed("table", &[numbers(50, 1)], &Look { width: Some(60), ..PLAIN });
        assert!(text.starts_with(" column_0  │ 0\n"), "{text}");
        assert!(text.ends_with("... 10 columns more\n"), "{text}");
    }

    #[test]
    fn long_texts_are_shortened_before_columns_go() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(300), "y".into()]));
        let batch = RecordBatch::try_from_iter([("a", Arc::clone(&texts)), ("b", texts)]).unwrap();
        let text = printed("table", std::slice::from_ref(&batch), &Look { width: Some(80), ..PLAIN });
        assert!(text.lines().all(|line| display_width(line) <= 80) && text.contains('…') && !text.contains("more"), "{text}");
        assert!(printed("table", &[batch], &PLAIN).contains(&"x".repeat(300)));
    }

    #[test]
    fn texts_take_the_room_of_columns_left_out() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["t".repeat(28)]));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let wide = (0..9).map(|i| (format!("long_name_{i}"), Arc::clone(&values)));
        let batch = RecordBatch::try_from_iter(std::iter::once(("text".to_owned(), texts)).chain(wide)).unwrap();
        let text = printed("table", &[batch.clone(), batch], &Look { width: Some(80), ..PLAIN });
        assert!(text.lines().all(|line| display_width(line) <= 80), "{text}");
        assert!(text.contains(&"t".repeat(28)) && text.contains("columns more"), "{text}");
    }

    #[test]
    fn escape_sequences_in_data_do_not_reach_the_terminal() {
        let batch = RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["\x1b[31mred\tx"])) as ArrayRef)]).unwrap();
        let text = printed("table", &[batch], &PLAIN);
        assert!(text.contains("\\u{1b}[31mred\\tx"), "{text}");
    }

    #[test]
    fn cells_of_several_lines_stay_in_their_column() {
        let columns: Vec<(&str, ArrayRef)> =
            vec![("a", Arc::new(StringArray::from(vec!["one\ntwo"]))), ("n", Arc::new(Int64Array::from(vec![7])))];
        let text = printed("table", &[RecordBatch::try_from_iter(columns).unwrap()], &PLAIN);
        assert_eq!(text, " a   │ n\n─────┼───\n one │ 7\n two │\n");
    }

    #[test]
    fn plans_are_printed_as_text() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("plan_type", Arc::new(StringArray::from(vec!["logical_plan"]))),
            ("plan", Arc::new(StringArray::from(vec!["Projection\n  Scan"]))),
        ];
        let text = printed("table", &[RecordBatch::try_from_iter(columns).unwrap()], &PLAIN);
        assert_eq!(text, "logical_plan:\n  Projection\n    Scan\n");
    }
}
