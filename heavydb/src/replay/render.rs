//! Values as text: JSON for results, CSV as HeavyDB's COPY TO writes it, plain text for people.

use std::io::{self, Write};

use chrono::{DateTime, NaiveDateTime};
use datafusion::arrow::datatypes::DataType;

use super::expected::Value;
use super::input::redact;
use super::rows::{Cell, Instant, Rows, TimeOfDay, Unit};

/// The date and time of an instant, `None` outside the years that calendars know.
fn date_time(instant: Instant) -> Option<NaiveDateTime> {
    let nanoseconds = instant.nanoseconds();
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
    let rest = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?;
    Some(DateTime::from_timestamp(seconds, rest)?.naive_utc())
}

/// Seconds with `digits` behind the point, from nanoseconds within the second.
fn fraction(nanoseconds: i128, digits: u32) -> String {
    match digits {
        0 => String::new(),
        digits => {
            let text = format!("{:09}", nanoseconds.rem_euclid(1_000_000_000));
            format!(".{}", &text[..usize::min(9, digits as usize)])
        }
    }
}

/// `YYYY-MM-DD`, or `YYYY-MM-DD HH:MM:SS[.f]` with the digits of the unit; the count of units where no calendar reaches.
pub fn instant(instant: Instant) -> String {
    instant_with(instant, " ", "")
}

fn instant_with(instant: Instant, between: &str, end: &str) -> String {
    let Some(at) = date_time(instant) else { return instant.value.to_string() };
    let date = at.date();
    // chrono writes years above 9999 with a sign.
    let day = format!("{:04}-{}", chrono::Datelike::year(&date), date.format("%m-%d"));
    match instant.unit {
        Unit::Day => day,
        Unit::Second(digits) => format!("{day}{between}{}{}{end}", at.format("%H:%M:%S"), fraction(instant.nanoseconds(), digits)),
    }
}

/// `HH:MM:SS[.f]` with the digits of the unit.
pub fn time(time: TimeOfDay) -> String {
    let seconds = time.nanoseconds().div_euclid(1_000_000_000);
    let digits = if let Unit::Second(digits) = time.unit { digits } else { 0 };
    format!("{:02}:{:02}:{:02}{}", seconds / 3600, seconds / 60 % 60, seconds % 60, fraction(time.nanoseconds(), digits))
}

/// A value for people: as in results, texts without quotes, NULL as `NULL`.
pub fn cell(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => real(*value),
        Cell::Decimal(decimal) => decimal.to_string(),
        Cell::Text(text) => (*text).to_owned(),
        Cell::Instant(value) => instant(*value),
        Cell::Time(value) => time(*value),
        Cell::List(cells) => format!("{{{}}}", cells.iter().map(self::cell).collect::<Vec<_>>().join(", ")),
    }
}

/// An expected value for people.
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => real(*value),
        Value::Text(text) | Value::Printed(text) => text.clone(),
        Value::Instant(nanoseconds) => match i64::try_from(*nanoseconds) {
            Ok(value) => {
                let text = instant(Instant { value, unit: Unit::Second(9) });
                text.strip_suffix(".000000000").map_or_else(|| text.clone(), str::to_owned)
            }
            Err(_) => format!("{nanoseconds} ns"),
        },
        Value::Time(nanoseconds) => i64::try_from(*nanoseconds).map_or_else(
            |_| format!("{nanoseconds} ns"),
            |value| {
                let text = time(TimeOfDay { value, unit: Unit::Second(9) });
                text.strip_suffix(".000000000").map_or_else(|| text.clone(), str::to_owned)
            },
        ),
        Value::List(values) => format!("{{{}}}", values.iter().map(self::value).collect::<Vec<_>>().join(", ")),
    }
}

/// The shortest text that reads back as the same number, with a point or an exponent: `5.0`, `1e20`, `NaN`, `-Infinity`.
fn real(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{value:?}")
    }
}

/// Writes results, one JSON line a query: `{"id", "columns", "rows"}`, `{"id", "unsupported"}` or `{"id", "error"}`.
///
/// NULL is null, BOOLEAN true or false, DATE `YYYY-MM-DD`, TIMESTAMP `YYYY-MM-DD HH:MM:SS[.f]`, TIME `HH:MM:SS[.f]`, a DECIMAL a number
/// with all its digits, NaN and infinities texts, an interval an integer (milliseconds or months), an array an array. Such a file can
/// be expected results of another replay.
#[derive(Debug)]
pub struct Results<W> {
    to: W,
}

impl<W: Write> Results<W> {
    /// Writes to `to`; give it a buffer.
    pub fn new(to: W) -> Self {
        Self { to }
    }

    /// A query that gave rows.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn rows(&mut self, id: &str, rows: &Rows) -> io::Result<()> {
        self.start(id)?;
        write!(self.to, ",\"columns\":")?;
        serde_json::to_writer(&mut self.to, rows.names())?;
        write!(self.to, ",\"rows\":[")?;
        for row in 0..rows.len() {
            write!(self.to, "{}[", if row == 0 { "" } else { "," })?;
            for column in 0..rows.width() {
                if column > 0 {
                    write!(self.to, ",")?;
                }
                json(&mut self.to, &rows.cell(row, column))?;
            }
            write!(self.to, "]")?;
        }
        writeln!(self.to, "]}}")
    }

    /// A query that is declined.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn unsupported(&mut self, id: &str, reason: &str) -> io::Result<()> {
        self.message(id, "unsupported", reason)
    }

    /// A query that failed.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn error(&mut self, id: &str, message: &str) -> io::Result<()> {
        self.message(id, "error", message)
    }

    /// The writer, flushed.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }

    fn start(&mut self, id: &str) -> io::Result<()> {
        write!(self.to, "{{\"id\":")?;
        Ok(serde_json::to_writer(&mut self.to, id)?)
    }

    fn message(&mut self, id: &str, field: &str, text: &str) -> io::Result<()> {
        self.start(id)?;
        write!(self.to, ",\"{field}\":")?;
        serde_json::to_writer(&mut self.to, redact(text).as_ref())?;
        writeln!(self.to, "}}")
    }
}

/// Writes a value as JSON.
fn json(to: &mut impl Write, cell: &Cell<'_>) -> io::Result<()> {
    match cell {
        Cell::Null => write!(to, "null"),
        Cell::Boolean(value) => write!(to, "{value}"),
        Cell::Integer(value) => write!(to, "{value}"),
        Cell::Real(value) if value.is_finite() => write!(to, "{value:?}"),
        Cell::Decimal(decimal) => write!(to, "{decimal}"),
        Cell::Real(_) | Cell::Instant(_) | Cell::Time(_) => write!(to, "\"{}\"", self::cell(cell)),
        Cell::Text(text) => Ok(serde_json::to_writer(to, text)?),
        Cell::List(cells) => {
            write!(to, "[")?;
            for (at, cell) in cells.iter().enumerate() {
                if at > 0 {
                    write!(to, ",")?;
                }
                json(to, cell)?;
            }
            write!(to, "]")
        }
    }
}

/// The options of `COPY (query) TO 'file' WITH (…)`, with HeavyDB's defaults.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// The names of the columns first.
    pub header: bool,
    /// Every value in quotes.
    pub quoted: bool,
    /// What stands for NULL.
    pub nulls: String,
    /// Between values.
    pub delimiter: char,
    /// Around values.
    pub quote: char,
    /// Before a quote within a text.
    pub escape: char,
    /// Behind every line.
    pub line_delimiter: char,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self { header: true, quoted: true, nulls: "\\N".to_owned(), delimiter: ',', quote: '"', escape: '"', line_delimiter: '\n' }
    }
}

/// Writes rows as HeavyDB's COPY TO does, sign by sign.
///
/// Every value is quoted, numbers and NULL (`\N`) too, the names of the header are not. BOOLEAN `true`, TIMESTAMP `2014-12-13T22:23:15Z`
/// with the digits of its type, DOUBLE 16 digits, FLOAT 7, DECIMAL the digits of its precision, all three in the shorter of plain and
/// exponent form; an array `{a | b}` with `NULL` for NULL and 6 decimals for floats.
///
/// # Errors
/// What the writer fails with.
pub fn copy_to(to: &mut dyn Write, rows: &Rows, options: &CopyOptions) -> io::Result<()> {
    if options.header {
        copy_header(to, rows.names(), options)?;
    }
    copy_rows(to, rows, options)
}

/// The first line of [`copy_to`], for a caller with several parts of rows.
///
/// # Errors
/// What the writer fails with.
pub fn copy_header(to: &mut dyn Write, names: &[String], options: &CopyOptions) -> io::Result<()> {
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            write!(to, "{}", options.delimiter)?;
        }
        if name.is_empty() { write!(to, "result_{}", at + 1)? } else { write!(to, "{name}")? }
    }
    write!(to, "{}", options.line_delimiter)
}

/// The rows of [`copy_to`], without the header.
///
/// # Errors
/// What the writer fails with.
pub fn copy_rows(to: &mut dyn Write, rows: &Rows, options: &CopyOptions) -> io::Result<()> {
    for row in 0..rows.len() {
        for column in 0..rows.width() {
            if column > 0 {
                write!(to, "{}", options.delimiter)?;
            }
            let text = copied(&rows.cell(row, column), rows.data_type(column), options);
            if options.quoted { write!(to, "{quote}{text}{quote}", quote = options.quote)? } else { write!(to, "{text}")? }
        }
        write!(to, "{}", options.line_delimiter)?;
    }
    Ok(())
}

/// A value as COPY TO writes it, without the quotes around it.
fn copied(cell: &Cell<'_>, data_type: &DataType, options: &CopyOptions) -> String {
    match cell {
        Cell::Null if matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) => "NULL".to_owned(),
        Cell::Null => options.nulls.clone(),
        Cell::Real(value) if *data_type == DataType::Float32 => significant(*value, 7),
        Cell::Real(value) => significant(*value, 16),
        Cell::Decimal(decimal) => significant(decimal.to_f64(), usize::from(decimal.precision)),
        Cell::Instant(value) => instant_with(*value, "T", "Z"),
        Cell::Text(text) if options.quoted => text.replace(options.quote, &format!("{}{}", options.escape, options.quote)),
        Cell::List(cells) => format!("{{{}}}", cells.iter().map(element).collect::<Vec<_>>().join(" | ")),
        other => self::cell(other),
    }
}

/// An element of an array as COPY TO writes it.
fn element(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Real(value) if value.is_finite() => format!("{value:.6}"),
        Cell::Real(value) => significant(*value, 7),
        Cell::Instant(value) => instant_with(*value, "T", "Z"),
        other => self::cell(other),
    }
}

/// A number with so many significant digits, as C's `%.<digits>g`: without zeros at the end, with an exponent of two digits or more
/// where the number is below 0.0001 or has more digits before the point.
///
/// ```
/// # use datafusion_heavydb::replay::render::significant;
/// assert_eq!(significant(0.1 + 0.2, 16), "0.3");
/// assert_eq!(significant(1.5e20, 7), "1.5e+20");
/// assert_eq!(significant(0.00001, 7), "1e-05");
/// ```
pub fn significant(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let digits = digits.max(1);
    let scientific = format!("{value:.*e}", digits - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() };
    let limit = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.unsigned_abs());
    }
    trim(&format!("{value:.*}", usize::try_from(limit - 1 - exponent).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array, ListArray,
        RecordBatch, StringArray, Time32SecondArray, TimestampMicrosecondArray, TimestampSecondArray,
    };
    use datafusion::arrow::datatypes::{Float64Type, Int32Type};

    use super::*;

    /// One row of values and one of NULLs, of every type.
    fn all_types() -> Rows {
        let decimal = Decimal128Array::from(vec![Some(11_110), None]).with_precision_and_scale(10, 2).unwrap();
        let list = ListArray::from_iter_primitive::<Float64Type, _, _>(vec![Some(vec![Some(0.5), None]), None]);
        let dictionary: DictionaryArray<Int32Type> = vec![Some("say \"hi\""), None].into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("b", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("i", Arc::new(Int32Array::from(vec![Some(-7), None]))),
            ("f", Arc::new(Float32Array::from(vec![Some(0.1), None]))),
            ("d", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN)]))),
            ("n", Arc::new(decimal)),
            ("s", Arc::new(dictionary)),
            ("t", Arc::new(StringArray::from(vec![Some(""), None]))),
            ("o", Arc::new(Date32Array::from(vec![Some(-1), None]))),
            ("m", Arc::new(TimestampSecondArray::from(vec![Some(1_418_509_395), None]))),
            ("m6", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None]))),
            ("h", Arc::new(Time32SecondArray::from(vec![Some(3661), None]))),
            ("", Arc::new(list)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        Rows::try_new(&batch.schema(), &[batch]).unwrap()
    }

    #[test]
    fn results_are_json_lines_of_the_agreed_form() {
        let mut results = Results::new(Vec::new());
        results.rows("q\"1", &all_types()).unwrap();
        results.unsupported("u", "D22: a set").unwrap();
        results.error("e", "COPY t WITH (s3_secret_key='abc')").unwrap();
        let text = String::from_utf8(results.finish().unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let rows = concat!(
            "[[true,-7,0.10000000149011612,0.1,111.10,\"say \\\"hi\\\"\",\"\",\"1969-12-31\",\"2014-12-13 22:23:15\",\"1969-12-31 23:59:59.999999\",\"01:01:01\",[0.5,null]],",
            "[null,null,null,\"NaN\",null,null,null,null,null,null,null,null]]"
        );
        let names = r#"["b","i","f","d","n","s","t","o","m","m6","h",""]"#;
        assert_eq!(lines[0], format!(r#"{{"id":"q\"1","columns":{names},"rows":{rows}}}"#));
        assert_eq!(lines[1], r#"{"id":"u","unsupported":"D22: a set"}"#);
        assert_eq!(lines[2], r#"{"id":"e","error":"COPY t WITH (s3_secret_key='XXXXXXXX')"}"#);
        assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }

    #[test]
    fn copy_to_writes_what_heavydb_writes() {
        let mut text = Vec::new();
        copy_to(&mut text, &all_types(), &CopyOptions::default()).unwrap();
        let expected = concat!(
            "b,i,f,d,n,s,t,o,m,m6,h,result_12\n",
            r#""true","-7","0.1","0.1","111.1","say ""hi""","","1969-12-31","2014-12-13T22:23:15Z","1969-12-31T23:59:59.999999Z","01:01:01","{0.500000 | NULL}""#,
            "\n",
            r#""\N","\N","\N","nan","\N","\N","\N","\N","\N","\N","\N","NULL""#,
            "\n"
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn significant_digits_are_those_of_c() {
        let cases = [
            (0.0, 16, "0"),
            (-0.0, 16, "-0"),
            (1.0, 7, "1"),
            (123_456_789.0, 7, "1.234568e+08"),
            (1e15, 16, "1000000000000000"),
            (1e16, 16, "1e+16"),
            (0.0001, 7, "0.0001"),
            (0.000_012_34, 7, "1.234e-05"),
            (9.999_999_9, 7, "10"),
            (1e-300, 16, "1e-300"),
            (2.5, 1, "2"),
            (f64::INFINITY, 7, "inf"),
        ];
        for (value, digits, text) in cases {
            assert_eq!(significant(value, digits), text, "{value} {digits}");
        }
    }

    #[test]
    fn instants_beyond_the_calendar_are_counts() {
        let far = |value| instant(Instant { value, unit: Unit::Second(0) });
        assert_eq!((far(i64::MAX), far(253_402_300_800)), (i64::MAX.to_string(), "10000-01-01 00:00:00".to_owned()));
    }
}
