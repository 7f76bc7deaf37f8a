//! The whole way from a CSV file to a source and its report: every rule on a small file.

use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::arrow::util::display::array_value_to_string;

use super::{ConfidenceScale, CsvSource, ImportOptions, IssueCode, Unit, ValueKind, read_csv};
use crate::error::{Error, Result};

pub(super) const PLENTY: usize = 1 << 30;

/// Reads a text as a file, with values in memory and on disk, which must agree.
pub(super) fn read_with(text: &str, options: &ImportOptions) -> Result<CsvSource> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let (memory, disk) = (read_csv(file.path(), options, PLENTY), read_csv(file.path(), options, 1));
    match (memory, disk) {
        (Ok(memory), Ok(disk)) => {
            assert_eq!(bits(&memory), bits(&disk));
            assert_eq!(memory.source.periods(), disk.source.periods());
            assert_eq!(memory.report.issues, disk.report.issues);
            Ok(memory)
        }
        (Err(memory), Err(disk)) => {
            assert_eq!(memory.to_string(), disk.to_string());
            Err(memory)
        }
        (memory, disk) => panic!("memory: {:?}, disk: {:?}", memory.err(), disk.err()),
    }
}

pub(super) fn read(text: &str) -> Result<CsvSource> {
    read_with(text, &ImportOptions::default())
}

/// Values, strategy by strategy.
pub(super) fn values(read: &CsvSource) -> Vec<f64> {
    let (n, t) = (read.source.strategies().len(), read.source.periods().num_rows());
    let mut values = vec![0.0; n * t];
    read.source.read_block(&(0..n as u32).collect::<Vec<_>>(), 0..t, &mut values).unwrap();
    values
}

pub(super) fn bits(read: &CsvSource) -> Vec<u64> {
    values(read).iter().map(|v| v.to_bits()).collect()
}

/// A period column as texts; NULL is the empty text.
pub(super) fn column(read: &CsvSource, name: &str) -> Vec<String> {
    let column = Arc::clone(read.source.periods().column_by_name(name).unwrap_or_else(|| panic!("no column {name}")));
    (0..column.len()).map(|row| array_value_to_string(&column, row).unwrap()).collect()
}

pub(super) fn names(read: &CsvSource) -> String {
    read.source.periods().schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(",")
}

pub(super) fn count(read: &CsvSource, code: IssueCode) -> u64 {
    read.report.issues.iter().filter(|i| i.code == code).map(|i| i.count).sum()
}

#[track_caller]
pub(super) fn refused(result: Result<CsvSource>, words: &[&str]) {
    let error = result.err().expect("the file must be refused");
    assert!(matches!(error, Error::Source(_)), "{error:?}");
    let message = error.to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{words:?} not all in: {message}");
}

fn context(names: &[&str]) -> ImportOptions {
    ImportOptions { context: names.iter().map(|n| (*n).to_owned()).collect(), ..Default::default() }
}

fn strategy(names: &[&str]) -> ImportOptions {
    ImportOptions { strategy: names.iter().map(|n| (*n).to_owned()).collect(), ..Default::default() }
}

fn exclude(names: &[&str]) -> ImportOptions {
    ImportOptions { exclude: names.iter().map(|n| (*n).to_owned()).collect(), ..Default::default() }
}

// Values

#[test]
fn kinds_of_null_are_counted_apart_and_other_rows_stay() {
    let read = read("Date,S1,S2\n2024-01-01,,1\n2024-01-02,NaN,2\n2024-01-03,inf,3\n2024-01-04,N/A,-0\n2024-01-05,0,1e999\n").unwrap();
    assert_eq!((read.report.blanks, read.report.nans, read.report.infinities), (2, 1, 2));
    assert_eq!((read.report.nulls, read.report.zeros), (5, 2));
    assert!(values(&read)[..4].iter().all(|v| v.is_nan()));
    assert_eq!(values(&read)[8].to_bits(), (-0.0f64).to_bits());
    let infinite: Vec<_> = read
        .report
        .issues
        .iter()
        .filter(|i| i.code == IssueCode::InfToken)
        .map(|i| (i.column_name.as_deref(), i.count, i.first_line))
        .collect();
    assert_eq!(infinite, [(Some("S1"), 1, Some(4)), (Some("S2"), 1, Some(6))]);
}

/// Kind, count, columns and first place of everything that was coerced.
fn coerced(read: &CsvSource) -> Vec<String> {
    read.report.coerced.iter().map(ToString::to_string).collect()
}

#[test]
fn every_coerced_cell_is_counted_by_kind() {
    let text = "Date,start_time,Zone,capital,Regime_Confidence_%,S1,S2\n\
         2024-01-01 00:00:00,09:15,A, 5,70,,NA\n2024-01-02T00:00:00,NA,,7,80,nan, 1\n\n 2024-01-03T00:00:00,,B,,none,inf,1e999\n\
         2024-01-04 00:00,10:00,B,9,90, ,1e-999\n";
    let read = read(text).unwrap();
    assert_eq!(
        coerced(&read),
        [
            "5 empty in 4 columns, first 'S1', line 2 -> NULL",
            "3 words for NULL in 3 columns, first 'S2', line 2 -> NULL",
            "1 NaN in 'S1', line 3 -> NULL",
            "1 infinite in 'S1', line 5 -> NULL",
            "1 too large for a 64-bit float in 'S2', line 5 -> NULL",
            "1 too small for a 64-bit float in 'S2', line 6 -> 0",
            "2 with spaces around the value in 2 columns, first 'capital', line 2 -> the value without them",
            "3 percentages in 'Regime_Confidence_%', line 2 -> fractions, divided by 100",
            "4 dates with the time 00:00 in 'Date', line 2 -> the date alone",
            "1 blank lines, line 4 -> skipped",
        ]
    );
    assert_eq!(read.report.coerced_values, 21);
    let json = serde_json::to_value(&read.report).unwrap();
    assert_eq!((json["coerced_values"].as_u64(), json["coerced"][1]["kind"].as_str()), (Some(21), Some("null_word")));
    let shown = read.report.to_string();
    assert!(coerced(&read).iter().all(|line| shown.contains(line)), "{shown}");
    assert_eq!((read.report.blanks, read.report.nans, read.report.infinities, read.report.nulls), (3, 1, 2, 6));
}

#[test]
fn a_file_that_is_stored_as_it_stands_has_nothing_coerced() {
    let read = read("Date,S1,S2\n2024-01-01,-57238.88169999998,+1e3\n2024-01-02,0.30000000000000004,00\n").unwrap();
    assert_eq!((coerced(&read), read.report.coerced_values), (vec![], 0));
    assert!(read.report.to_string().contains("coerced     none"));
}

#[test]
fn numbers_in_the_notation_asked_for_are_counted_too() {
    let options = ImportOptions { decimal: Some(','), thousands: Some('.'), ..Default::default() };
    let wide = read_with("Date,S1,S2\n2024-01-01,\"1.234,5\",7\n2024-01-02,\"0,5\",1\n", &options).unwrap();
    let long = read_with("date,strategy,pnl\n2024-01-01,S1,\"1.234,5\"\n2024-01-02,S1,\"0,5\"\n", &options).unwrap();
    for (read, column) in [(wide, "S1"), (long, "pnl")] {
        assert_eq!(
            coerced(&read),
            [
                format!("1 with marks between thousands in '{column}', line 2 -> the number without them"),
                format!("1 with a decimal comma in '{column}', line 3 -> the number with a point")
            ]
        );
    }
}

#[test]
fn an_unclosed_quote_is_refused_in_every_cell() {
    refused(read("Date,S1,S2\n2024-01-01,1,\"2\n"), &["line 2", "'S2'", "never closed"]);
    refused(read("Date,S1,S2\n2024-01-01,\"1,2\n2024-01-02,3,4\n"), &["line 2", "'S1'", "never closed", "written twice"]);
    refused(read("Date,S1,S2\n2024-01-01,\"1\"2,2\n"), &["line 2", "'S1'", "text follows"]);
}

#[test]
fn a_cell_that_is_no_number_is_refused_and_all_are_counted() {
    refused(
        read("Date,S1,S2\n2024-01-01,1,2\n2024-01-02,1,abc\n2024-01-03,x,1\n2024-01-04,1,1\n"),
        &["line 3", "'S2'", "'abc'", "(2 in all)", "--exclude 'S2'"],
    );
    refused(read("Date,S1\n2024-01-01,12%\n"), &["line 2", "'S1'", "'12%'", "%"]);
    refused(read("Date,S1\n2024-01-01,\"1,234.5\"\n"), &["line 2", "'S1'", "'1,234.5'", "--thousands"]);
    refused(read("Date,S1\n2024-01-01,1\n2024-01-02,#N/A\n"), &["line 3", "'#N/A'"]);
}

#[test]
fn other_number_formats_are_read_on_request() {
    let options = ImportOptions { decimal: Some(','), thousands: Some('.'), ..Default::default() };
    let read = read_with("Date,S1,S2\n2024-01-01,\"1.234,5\",7\n", &options).unwrap();
    assert_eq!(values(&read), [1234.5, 7.0]);
}

#[test]
fn late_text_is_judged_like_early_text() {
    let mut text = "Date,S1\n".to_owned();
    (0..3000).for_each(|i| text.push_str(&format!("{},1\n", chrono::NaiveDate::default() + chrono::TimeDelta::days(i))));
    text.push_str("2024-01-01,late\n");
    refused(read(&text), &["line 3002", "'S1'", "'late'"]);
}

// Rows

#[test]
fn ragged_rows_name_line_and_widths() {
    refused(read("Date,S1,S2\n2024-01-01,1,2\n2024-01-02,1\n2024-01-03,1,2,3\n"), &["line 3", "2 fields, header has 3", "(2 in all)"]);
}

#[test]
fn empty_header_only_and_binary_files_are_told_apart() {
    refused(read(""), &["empty"]);
    refused(read("Date,S1,S2\n"), &["no rows"]);
    refused(read("S1,S2\n1,2\n"), &["no column is named Date", "--date-column"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), (0..=255u8).cycle().take(5000).collect::<Vec<_>>()).unwrap();
    refused(read_csv(file.path(), &ImportOptions::default(), PLENTY), &["offset"]);
}

#[test]
fn quoted_fields_crlf_bom_and_a_missing_newline_are_fine() {
    let read = read("\u{feff}\"Date\",\"A, \"\"b\"\"\",c\r\n2024-01-01,\"1\",2\r\n\r\n2024-01-02,3,\"4\"").unwrap();
    assert_eq!(read.source.strategies(), ["A, \"b\"", "c"]);
    assert_eq!(values(&read), [1.0, 3.0, 2.0, 4.0]);
}

#[test]
fn unsorted_rows_are_sorted_and_reported() {
    let read = read("Date,S1\n2024-01-03,3\n2024-01-01,1\n2024-01-02,2\n").unwrap();
    assert_eq!(column(&read, "date"), ["2024-01-01", "2024-01-02", "2024-01-03"]);
    assert_eq!(values(&read), [1.0, 2.0, 3.0]);
    let issue = read.report.issues.iter().find(|i| i.code == IssueCode::UnsortedRows).unwrap();
    assert_eq!((issue.count, issue.first_line), (1, Some(3)));
}

#[test]
fn two_rows_with_one_key_name_both_lines() {
    refused(read("Date,S1\n2024-01-01,1\n2024-01-02,1\n2024-01-01,2\n"), &["line 4", "line 2", "2024-01-01"]);
    let zones =
        "Date,start_time,end_time,zone,S1\n2024-01-01,09:15:00,10:00:00,A,1\n2024-01-01,09:15:00,10:00:00,B,2\n2024-01-01,9:15,10:00,A,3\n";
    refused(read(zones), &["line 4", "line 2", "zone 'A'"]);
    refused(read("Date,zone,S1\n2024-01-01,,1\n2024-01-01,,2\n"), &["line 3", "line 2"]);
}

#[test]
fn slots_follow_times_then_the_natural_order_of_zones() {
    let read = read("Date,Zone,Day,S1\n2024-01-01,Zone 10,Monday,1\n2024-01-01,Zone 2,Monday,2\n2024-01-02,Zone 2,Tuesday,3\n").unwrap();
    assert_eq!(read.report.variant, "legacy with zones");
    assert_eq!(names(&read), "date,slot,day,zone");
    assert_eq!(column(&read, "slot"), ["1", "2", "1"]);
    assert_eq!(column(&read, "zone"), ["Zone 2", "Zone 10", "Zone 2"]);
    let single = super::reader_tests::read("Date,Zone,S1\n2024-01-01,Zone 1,1\n2024-01-02,Zone 1,1\n").unwrap();
    assert_eq!(names(&single), "date,zone");
}

#[test]
fn times_are_checked_and_joined_with_the_date() {
    let good = read("Date,start_time,end_time,S1\n2024-01-01,09:15:00,09:15:00,1\n2024-01-02,,10:00,2\n").unwrap();
    assert_eq!(column(&good, "start_time"), ["2024-01-01T09:15:00", ""]);
    assert_eq!(column(&good, "end_time"), ["2024-01-01T09:15:00", "2024-01-02T10:00:00"]);
    refused(read("Date,start_time,end_time,S1\n2024-01-01,10:00:00,09:15:00,1\n"), &["line 2", "10:00:00 is after end_time 09:15:00"]);
    refused(read("Date,start_time,S1\n2024-01-01,noon,1\n"), &["line 2", "'start_time'", "'noon'", "HH:MM:SS"]);
    refused(read("Date,start_time,S1\n2024-01-01,2024-01-02 09:15:00,1\n"), &["line 2", "2024-01-02", "2024-01-01"]);
}

#[test]
fn a_weekday_that_disagrees_is_counted_and_kept() {
    let read = read("Date,Day,S1\n2024-01-01,Monday,1\n2024-01-02,Sunday,2\n").unwrap();
    assert_eq!(count(&read, IssueCode::WeekdayMismatch), 1);
    assert_eq!(column(&read, "day"), ["Monday", "Sunday"]);
}

// Columns

#[test]
fn text_columns_need_a_decision() {
    let text = "Date,S1,ticker\n2024-01-01,1,AAPL\n2024-01-02,2,\n2024-01-03,3,MSFT\n";
    refused(read(text), &["column 'ticker': is text", "--context 'ticker'", "--exclude 'ticker'", "--strategy", "AAPL"]);
    let kept = read_with(text, &context(&["ticker"])).unwrap();
    assert_eq!(column(&kept, "ticker"), ["AAPL", "", "MSFT"]);
    assert!(kept.source.periods().column_by_name("ticker").unwrap().is_null(1));
    let dropped = read_with(text, &exclude(&["ticker"])).unwrap();
    assert_eq!((names(&dropped), count(&dropped, IssueCode::ExcludedColumn)), ("date".into(), 1));
}

#[test]
fn aggregates_are_context_unless_named_as_strategies() {
    let text = "Date,S1,Portfolio Drawdown,total_pnl,Benchmark,Index,Unnamed: 0,\n2024-01-01,1,-5,2,3,4,0,9\n";
    let read = read(text).unwrap();
    assert_eq!(read.source.strategies(), ["S1"]);
    assert_eq!(names(&read), "date,portfolio_drawdown,total_pnl,benchmark,index,unnamed_0,unnamed_7");
    assert_eq!(count(&read, IssueCode::KeptAsContext), 6);
    assert_eq!(column(&read, "portfolio_drawdown"), ["-5.0"]);
    let named = read_with(text, &strategy(&["total_pnl"])).unwrap();
    assert_eq!(named.source.strategies(), ["S1", "total_pnl"]);
    refused(super::reader_tests::read("Date,S1,portfolio_name\n2024-01-01,1,x\n"), &["column 'portfolio_name': is text"]);
}

#[test]
fn the_odd_one_out_needs_a_decision() {
    let header: Vec<String> = (1..=12).map(|i| format!("S{i}")).collect();
    let row: Vec<String> = (1..=12).map(|i| i.to_string()).collect();
    let text = format!("Date,{},Foo\n2024-01-01,{},99\n", header.join(","), row.join(","));
    refused(read(&text), &["'Foo'", "1 of 13", "--strategy 'Foo'", "--context 'Foo'", "--exclude 'Foo'"]);
    assert_eq!(read_with(&text, &strategy(&["Foo"])).unwrap().source.strategies().len(), 13);
    assert_eq!(names(&read_with(&text, &context(&["Foo"])).unwrap()), "date,foo");
    assert_eq!(read("Date,S1,S2,Foo\n2024-01-01,1,2,3\n").unwrap().source.strategies().len(), 3);
}

#[test]
fn repeated_names_are_refused_and_letter_case_counts() {
    refused(read("Date,S1,S1\n2024-01-01,1,2\n"), &["'S1'", "columns 2", "and 3"]);
    assert_eq!(read("Date,S1,s1\n2024-01-01,1,2\n").unwrap().source.strategies(), ["S1", "s1"]);
    refused(read("Date,date,S1\n2024-01-01,2024-01-01,2\n"), &["2 columns could be the date", "--date-column"]);
    refused(read("Date,Zone,zone,S1\n2024-01-01,a,b,2\n"), &["2 columns could be the zone"]);
}

#[test]
fn names_are_compared_without_case_and_with_spaces_for_underscores() {
    let read = read("date,Start Time,END_TIME,DAY,Zone,Market Regime,Confidence Score,Transition Threshold Score,Capital,S 1%\n2024-01-01,09:15,10:00,Monday,A,X,0.7,0.5,1000,1\n").unwrap();
    assert_eq!(names(&read), "date,day,zone,start_time,end_time,market_regime,regime_confidence,transition_threshold,capital");
    assert_eq!(read.source.strategies(), ["S 1%"]);
    assert_eq!(read.report.variant, "enhanced");
}

#[test]
fn patterns_choose_strategies() {
    let text = "Date,Zone,A1,A2,B1\n2024-01-01,z,1,2,3\n";
    let options = ImportOptions { include: vec!["A*".into()], exclude: vec!["*2".into()], ..Default::default() };
    let read = read_with(text, &options).unwrap();
    assert_eq!(read.source.strategies(), ["A1"]);
    assert_eq!(values(&read), [1.0]);
    assert_eq!(count(&read, IssueCode::ExcludedColumn), 2);
    assert_eq!(names(&read), "date,zone");
    assert_eq!(names(&read_with(text, &exclude(&["Zone"])).unwrap()), "date");
    let none = ImportOptions { include: vec!["X*".into()], ..Default::default() };
    refused(read_with(text, &none), &["--include 'X*'", "fits no column"]);
}

#[test]
fn options_that_name_missing_columns_are_refused_with_near_names() {
    refused(read_with("Date,S1,tickr\n2024-01-01,1,2\n", &context(&["ticker"])), &["--context", "'ticker'", "'tickr'"]);
    let roles = ImportOptions { roles: [("S1".to_owned(), "stratgy".to_owned())].into(), ..Default::default() };
    refused(read_with("Date,S1\n2024-01-01,1\n", &roles), &["unknown role 'stratgy'", "strategy"]);
}

#[test]
fn roles_and_maps_say_what_columns_are() {
    let text = "When,Where,Foo,Bar,S1\n2024-01-01,north,1,2,3\n";
    let options = ImportOptions {
        roles: [("When".to_owned(), "date".to_owned()), ("Foo".to_owned(), "context".to_owned()), ("Bar".to_owned(), "exclude".to_owned())]
            .into(),
        map: [("Where".to_owned(), "zone".to_owned())].into(),
        ..Default::default()
    };
    let read = read_with(text, &options).unwrap();
    assert_eq!((names(&read).as_str(), read.source.strategies()), ("date,zone,foo", ["S1".to_owned()].as_slice()));
    let why: Vec<_> = read.report.columns.iter().map(|c| (c.name.as_str(), c.role)).collect();
    assert_eq!(why, [("When", "key"), ("Where", "context"), ("Foo", "context"), ("Bar", "excluded")]);
}

#[test]
fn context_columns_keep_their_kind() {
    let read = read_with("Date,S1,code,score\n2024-01-01,1,007,1.5\n2024-01-02,2,012,NaN\n", &context(&["code", "score"])).unwrap();
    assert_eq!(column(&read, "code"), ["007", "012"]);
    assert_eq!(column(&read, "score"), ["1.5", ""]);
    refused(read_with("Date,S1,strategy!\n2024-01-01,1,x\n", &context(&["strategy!"])), &["'strategy'", "--map"]);
}

#[test]
fn strategy_names_are_kept_byte_for_byte_and_odd_ones_reported() {
    let read = read("Date, S1,Größe €,a_b\n2024-01-01,1,2,3\n").unwrap();
    assert_eq!(read.source.strategies(), [" S1", "Größe €", "a_b"]);
    assert_eq!(count(&read, IssueCode::OddName), 1);
}

#[test]
fn names_are_replaced_by_the_rename_file() {
    let map = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(map.path(), "old,new\nSENSEX_1000_1100_SL7pct,SENSEX 1000-1100 SL7%\nunused,x\n").unwrap();
    let options = ImportOptions { rename: Some(map.path().to_owned()), ..Default::default() };
    let read = read_with("Date,SENSEX_1000_1100_SL7pct,S2\n2024-01-01,1,2\n", &options).unwrap();
    assert_eq!(read.source.strategies(), ["SENSEX 1000-1100 SL7%", "S2"]);
    assert_eq!(read.report.renamed, 1);
    refused(
        read_with("Date,SENSEX_1000_1100_SL7pct,SENSEX 1000-1100 SL7%\n2024-01-01,1,2\n", &options),
        &["twice", "SENSEX_1000_1100_SL7pct"],
    );
    std::fs::write(map.path(), "a,b\na,c\n").unwrap();
    refused(read_with("Date,a\n2024-01-01,1\n", &options), &["line 2", "renamed twice"]);
}

// Context numbers

#[test]
fn confidence_becomes_a_fraction_or_is_doubted() {
    let enhanced = |name: &str, value: &str| format!("Date,{name},S1\n2024-01-01,{value},1\n2024-01-02,{value},2\n");
    let percent = read(&enhanced("Regime_Confidence_%", "72")).unwrap();
    assert_eq!(column(&percent, "regime_confidence"), ["0.72", "0.72"]);
    assert_eq!(column(&read(&enhanced("Confidence Score", "0.72")).unwrap(), "regime_confidence"), ["0.72", "0.72"]);
    refused(read(&enhanced("Confidence Score", "72")), &["line 2", "'Confidence Score'", "'72'", "(2 in all)", "--confidence"]);
    refused(read(&enhanced("Regime_Confidence_%", "0.72")), &["line 2", "'Regime_Confidence_%'", "--confidence"]);
    refused(read(&enhanced("Regime_Confidence_%", "172")), &["outside 0 to 100"]);
    let stated = |scale| ImportOptions { confidence: Some(scale), ..Default::default() };
    let fraction = read_with(&enhanced("Regime_Confidence_%", "0.72"), &stated(ConfidenceScale::Fraction)).unwrap();
    assert_eq!(column(&fraction, "regime_confidence"), ["0.72", "0.72"]);
    let percent = read_with(&enhanced("Confidence Score", "0.5"), &stated(ConfidenceScale::Percent)).unwrap();
    assert_eq!(column(&percent, "regime_confidence"), ["0.005", "0.005"]);
}

#[test]
fn capital_is_not_negative() {
    refused(read("Date,capital,S1\n2024-01-01,100,1\n2024-01-02,-1,2\n"), &["line 3", "'capital'", "below zero"]);
    refused(read("Date,capital,S1\n2024-01-01,100,1\n2024-01-02,lots,2\n"), &["line 3", "'capital'", "'lots'"]);
}

// Levels, series, unit

#[test]
fn equity_levels_need_a_decision() {
    let text = "Date,S1,S2\n2024-01-02,10010,9990\n2024-01-01,10000,10000\n2024-01-03,,10001\n2024-01-04,10020,10002\n";
    refused(read(text), &["look like equity levels", "--values"]);
    let with = |kind| read_with(text, &ImportOptions { values: Some(kind), ..Default::default() }).unwrap();
    assert_eq!(values(&with(ValueKind::Pnl))[..2], [10000.0, 10010.0]);
    let stored = with(ValueKind::Levels);
    assert_eq!((stored.report.nulls, count(&stored, IssueCode::Gap)), (4, 2));
    let levels = values(&stored);
    assert!([0, 2, 3, 4].iter().all(|&i| levels[i].is_nan()), "{levels:?}");
    assert_eq!((levels[1], &levels[5..]), (10.0, [-10.0, 11.0, 1.0].as_slice()));
    assert!(read("Date,S1,S2\n2024-01-01,5,5\n2024-01-02,-1,2\n").is_ok());
    assert!(read("Date,S1,S2\n2024-01-01,5,6\n2024-01-02,1,2\n").is_ok());
    assert!(read("Date,S1\n2024-01-01,5\n2024-01-02,1\n").is_ok());
}

#[test]
fn constant_empty_and_identical_series_are_reported() {
    let read = read("Date,A,B,C,D,E,F\n2024-01-01,1,2,1,,2,0\n2024-01-02,1,3,1,,3,-0\n2024-01-03,1,,1,,,0\n").unwrap();
    assert_eq!(read.report.constant, ["A", "C", "F"]);
    assert_eq!(read.report.all_null, ["D"]);
    assert_eq!(read.report.identical, [vec!["A", "C"], vec!["B", "E"]]);
    assert_eq!(count(&read, IssueCode::DuplicateSeries), 2);
}

#[test]
fn issues_of_many_columns_are_put_together() {
    let header: Vec<String> = (0..50).map(|i| format!("S{i}")).collect();
    let text = format!("Date,{}\n2024-01-01{}\n2024-01-02{}\n", header.join(","), ",".repeat(50), ",1".repeat(50));
    let read = read(&text).unwrap();
    let nulls: Vec<_> = read.report.issues.iter().filter(|i| i.code == IssueCode::NullToken).collect();
    assert_eq!(
        (nulls.len(), nulls[0].count, nulls[0].first_line, nulls[0].example.as_deref()),
        (1, 50, Some(2), Some("50 columns, first 'S0'"))
    );
}

#[test]
fn the_unit_is_stated_or_unknown() {
    let text = "Date,S1\n2024-01-01,1\n";
    assert_eq!(count(&read(text).unwrap(), IssueCode::UnitUnknown), 1);
    let stated = read_with(text, &ImportOptions { unit: Some(Unit::Percent), ..Default::default() }).unwrap();
    assert_eq!((count(&stated, IssueCode::UnitUnknown), &stated.report.unit), (0, &Unit::Percent));
}

#[test]
fn derived_columns_are_checked_and_dropped() {
    let read = read("date,slot,strategy,pnl,year,month\n2024-01-01,2,A,1,2024,1\n2024-01-01,1,A,2,2024,1\n").unwrap();
    assert_eq!((names(&read).as_str(), column(&read, "slot")), ("date,slot", vec!["1".to_owned(), "2".to_owned()]));
    assert_eq!(values(&read), [2.0, 1.0]);
    assert_eq!(count(&read, IssueCode::DerivedDropped), 4);
    refused(super::reader_tests::read("Date,year,S1\n2024-01-01,2023,1\n"), &["'year'", "'2023'", "--strategy"]);
    refused(super::reader_tests::read("Date,slot,S1\n2024-01-01,0,1\n"), &["'slot'", "--exclude"]);
}

// Long files

const LONG: &str = "strategy,date,pnl,zone\nA,2024-01-01,1,x\nA,2024-01-02,,x\nB,2024-01-02,4,x\nB,2024-01-01,3,x\n17,2024-01-01,5,x\n";

#[test]
fn long_files_become_the_same_matrix() {
    let read = read(LONG).unwrap();
    assert_eq!((read.report.variant.as_str(), read.report.source_rows, read.report.periods), ("long", 5, 2));
    assert_eq!(read.source.strategies(), ["A", "B", "17"]);
    let values = values(&read);
    assert!(values[1].is_nan() && values[5].is_nan());
    assert_eq!((values[0], values[2], values[3], values[4]), (1.0, 3.0, 4.0, 5.0));
    assert_eq!((count(&read, IssueCode::Gap), read.report.blanks, read.report.nulls), (1, 1, 2));
    assert_eq!(count(&read, IssueCode::UnsortedRows), 0);
}

#[test]
fn long_files_are_mapped_chosen_and_renamed() {
    let text = LONG.replace("strategy,date,pnl,zone", "strategy_id,trading_date,daily_returns,zone_name");
    refused(super::reader_tests::read(&text), &["no column is named Date", "'trading_date'"]);
    let map: [(String, String); 4] =
        [("strategy_id", "strategy"), ("trading_date", "date"), ("daily_returns", "pnl"), ("zone_name", "zone")]
            .map(|(a, b)| (a.into(), b.into()));
    let options = ImportOptions { map: map.into(), exclude: vec!["B".into()], ..Default::default() };
    let read = read_with(&text, &options).unwrap();
    assert_eq!((read.source.strategies(), names(&read).as_str()), (["A".to_owned(), "17".to_owned()].as_slice(), "date,zone"));
    assert_eq!(count(&read, IssueCode::ExcludedColumn), 1);
}

#[test]
fn long_files_with_contradictions_are_refused() {
    refused(read("date,strategy,pnl\n2024-01-01,A,1\n2024-01-01,B,1\n2024-01-01,A,2\n"), &["line 4", "line 2", "'A'"]);
    refused(read("date,strategy,pnl\n2024-01-01,A,1\n2024-01-01,,1\n"), &["line 3", "without strategy"]);
    refused(
        read("date,strategy,pnl,day\n2024-01-01,A,1,Monday\n2024-01-01,B,1,Tuesday\n"),
        &["line 3", "line 2", "day 'Monday' and 'Tuesday'"],
    );
    refused(read("date,strategy,pnl,weight\n2024-01-01,A,1,2\n"), &["'weight'", "--context", "--exclude"]);
    refused(read("date,strategy,pnl\n2024-01-01,A,x\n2024-01-01,B,1\n"), &["line 2", "'pnl'", "'x'"]);
    refused(read("date,strategy,pnl\n2024-01-01,A\n"), &["2 fields, header has 3"]);
    refused(read("date,strategy,pnl,portfolio_name\n2024-01-01,A,1,x\n2024-01-01,B,1,x\n"), &["column 'portfolio_name': is text"]);
}

// Reports

#[test]
fn the_report_is_short_for_people_and_complete_for_programs() {
    let read = read("Date,Day,portfolio_x,S1,S2\n2024-01-01,Monday,1,,2\n2024-01-02,Tuesday,1,3,4\n").unwrap();
    let text = read.report.to_string();
    for part in [
        "checked, nothing written",
        "2 strategies x 2 periods, 2024-01-01 to 2024-01-02",
        "1 NULL (1 blank)",
        "portfolio_x",
        "kept_as_context",
        "unit unknown",
    ] {
        assert!(text.contains(part), "{part} not in:\n{text}");
    }
    let json: serde_json::Value = serde_json::to_value(&read.report).unwrap();
    assert_eq!(
        (json["periods"].as_u64(), json["first_date"].as_str(), json["status"].as_str()),
        (Some(2), Some("2024-01-01"), Some("checked"))
    );
    assert_eq!(json["issues"][0]["code"], "null_token");
    assert_eq!(read.report.import_id.len(), 16);
}

#[test]
fn a_refused_file_has_a_report_too() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "Date,S1\n2024-01-01,x\n2024-01-02,1\n").unwrap();
    let options = ImportOptions::default();
    let error = read_csv(file.path(), &options, PLENTY).err().unwrap();
    let report = super::ImportReport::refused(file.path(), "t", &options, &error);
    assert_eq!((report.status, report.bytes, report.sha256.len()), (super::ImportStatus::Refused, 34, 64));
    assert_eq!((report.issues[0].column_name.as_deref(), report.issues[0].first_line), (Some("S1"), Some(2)));
}
