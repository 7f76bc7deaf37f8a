//! Which columns and rows of a file become what, and what is said about it: patterns that fit nothing, aggregates, day numbers.

use super::reader_tests::{column, names, read, read_with, refused};
use super::{ImportOptions, IssueCode};

const LONG: &str = "date,strategy,pnl,note\n2024-01-01,S1,1,x\n2024-01-01,S2,2,x\n";

fn exclude(patterns: &[&str]) -> ImportOptions {
    ImportOptions { exclude: patterns.iter().map(|n| (*n).to_owned()).collect(), ..Default::default() }
}

fn include(patterns: &[&str]) -> ImportOptions {
    ImportOptions { include: patterns.iter().map(|n| (*n).to_owned()).collect(), ..Default::default() }
}

#[test]
fn a_pattern_that_fits_no_column_is_refused() {
    let wide = "Date,Day,S1,S2\n2024-01-01,Monday,1,2\n";
    for pattern in ["S3", "s1", "T*", "d*", "D*"] {
        refused(read_with(wide, &exclude(&["S1", pattern])), &["--exclude", pattern, "fits no column"]);
    }
    refused(read_with(wide, &exclude(&["S33"])), &["'S33'", "columns with near names: 'S1'"]);
    refused(read_with(wide, &exclude(&["Da*"])), &["'Da*'", "fits 'Date'", "full name"]);
    for pattern in ["S3", "T*", "Day"] {
        refused(read_with(wide, &include(&["S1", pattern])), &["--include", pattern, "fits no column"]);
    }
    assert_eq!(read_with(wide, &exclude(&["S1", "Day"])).unwrap().source.strategies(), ["S2"]);
    let both = ImportOptions { include: vec!["S*".into()], ..exclude(&["S2"]) };
    assert_eq!(read_with(wide, &both).unwrap().source.strategies(), ["S1"]);
}

#[test]
fn a_pattern_that_fits_no_strategy_of_a_long_file_is_refused() {
    refused(read_with(LONG, &exclude(&["note", "S3"])), &["--exclude 'S3'", "fits no strategy or column"]);
    refused(read_with(LONG, &ImportOptions { include: vec!["S1".into(), "T*".into()], ..exclude(&["note"]) }), &["--include 'T*'"]);
    let chosen = read_with(LONG, &exclude(&["note", "S2"])).unwrap();
    assert_eq!((names(&chosen).as_str(), chosen.source.strategies()), ("date", ["S1".to_owned()].as_slice()));
}

#[test]
fn an_aggregate_is_told_with_its_role_its_reason_and_the_flags() {
    let read = read("Date,S1,Portfolio Drawdown,Index\n2024-01-01,1,-5,2\n").unwrap();
    let issues: Vec<_> = read.report.issues.iter().filter(|i| i.code == IssueCode::KeptAsContext).collect();
    assert_eq!(issues[0].column_name.as_deref(), Some("Portfolio Drawdown"));
    assert_eq!(
        issues[0].action,
        "became the context column portfolio_drawdown: a name that begins with 'portfolio_' marks a figure about all strategies, \
         not a strategy; --strategy 'Portfolio Drawdown' makes it a strategy, --exclude 'Portfolio Drawdown' leaves it out"
    );
    assert!(issues[1].action.contains("became the context column index: the name 'index' marks"), "{}", issues[1].action);
    let column = read.report.columns.iter().find(|c| c.name == "Portfolio Drawdown").unwrap();
    assert_eq!((column.role, column.target.as_deref()), ("context", Some("portfolio_drawdown")));
    assert!(column.why.contains("'portfolio_'"), "{}", column.why);
}

#[test]
fn day_numbers_get_their_dates_from_a_file() {
    let file = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    };
    let options = |dates: &tempfile::NamedTempFile| ImportOptions {
        date_column: Some("day_id".into()),
        dates: Some(dates.path().to_owned()),
        ..Default::default()
    };
    let text = "day_id,strategy_0,strategy_1\n0,1,2\n1,3,4\n7,5,6\n";
    let dates = file("day_id,date\n0,01-02-2024\n1,02-02-2024\n7,13-02-2024\n8,14-02-2024\n");
    assert_eq!(column(&read_with(text, &options(&dates)).unwrap(), "date"), ["2024-02-01", "2024-02-02", "2024-02-13"]);
    let dates = file("0,2024-02-01\n1,2024-02-02\n");
    refused(read_with(text, &options(&dates)), &["line 4", "'day_id'", "'7'", "--dates"]);
    let twice = file("0,2024-02-01\n0,2024-02-02\n");
    refused(read_with(text, &options(&twice)), &["line 2", "'0' has two dates"]);
    let same = file("0,2024-02-01\n1,2024-02-02\n7,2024-02-02\n");
    refused(read_with(text, &options(&same)), &["line 4", "line 3", "2024-02-02"]);
    refused(read(text), &["no column is named Date", "'day_id'"]);
    let named = ImportOptions { date_column: Some("day_id".into()), ..Default::default() };
    refused(read_with(text, &named), &["line 2", "not a date", "--dates"]);
}
