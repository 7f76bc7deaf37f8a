//! Known facts about the sample files, and what must happen to damaged copies of them. Skipped, and said so, where the samples are missing.

use std::path::{Path, PathBuf};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Float64Type, Int32Type};

use super::reader_tests::{PLENTY, bits, column, count, names, read, read_with, refused, values};
use super::{CsvSource, DateOrder, ImportOptions, IssueCode, read_csv};

/// A sample file; `None`, said aloud, where the samples are not there.
fn sample(name: &str) -> Option<PathBuf> {
    let shared = std::env::var("TRANCHEDB_SHARED").unwrap_or_else(|_| format!("{}/../shared", env!("CARGO_MANIFEST_DIR")));
    let path = Path::new(&shared).join("data").join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&path);
    None
}

#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn skipped(path: &Path) {
    eprintln!("SKIPPED: {} is missing; set TRANCHEDB_SHARED", path.display());
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// Rows of a CSV text with the fields of each in another order or number.
fn edit_fields(lines: &[String], edit: impl Fn(usize, Vec<&str>) -> Vec<String>) -> String {
    lines.iter().enumerate().map(|(i, line)| edit(i, line.split(',').collect()).join(",") + "\n").collect()
}

fn owned(fields: Vec<&str>) -> Vec<String> {
    fields.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_legacy_sample_has_its_known_facts() {
    let Some(path) = sample("production_500.csv") else { return };
    let read = read_csv(&path, &ImportOptions::default(), PLENTY).unwrap();
    let report = &read.report;
    assert_eq!((report.variant.as_str(), report.source_rows, report.periods, report.strategies), ("legacy", 82, 82, 500));
    assert_eq!((report.nulls, report.zeros, report.identical.len()), (0, 42, 4));
    assert_eq!((report.first_date.unwrap().to_string(), report.last_date.unwrap().to_string()), ("2024-01-04".into(), "2025-07-21".into()));
    assert_eq!(report.sha256, super::file_sha256(&path).unwrap());
    assert_eq!(report.bytes, std::fs::metadata(&path).unwrap().len());
    let all = values(&read);
    assert!((all.iter().sum::<f64>() - 118_402.606_730_058_16).abs() < 1e-6);
    let (lowest, at) = all.iter().zip(0..).map(|(v, i)| (*v, i)).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert_eq!(
        (lowest.to_bits(), read.source.strategies()[at / 82].as_str()),
        ((-57_238.881_699_999_98f64).to_bits(), "SENSEX 934-1234 SL23%TP27%")
    );
    assert_eq!(all.iter().copied().fold(f64::MIN, f64::max), 43_737.967_9);
    // Every cell of the file is there bit for bit.
    for (row, line) in lines(&path).iter().skip(1).enumerate() {
        for (strategy, cell) in line.split(',').skip(2).enumerate() {
            assert_eq!(all[strategy * 82 + row].to_bits(), cell.parse::<f64>().unwrap().to_bits());
        }
    }
}

#[test]
fn the_zone_sample_has_its_known_facts() {
    let Some(path) = sample("options_zones_2023.csv") else { return };
    let read = read_csv(&path, &ImportOptions::default(), PLENTY).unwrap();
    let report = &read.report;
    assert_eq!((report.variant.as_str(), report.periods, report.strategies, report.zeros), ("enhanced", 88, 20, 1093));
    assert!(report.columns[0].why.contains("order dmy settled by 13 of 22 dates"), "{}", report.columns[0].why);
    assert_eq!((report.first_date.unwrap().to_string(), report.last_date.unwrap().to_string()), ("2023-01-02".into(), "2023-01-31".into()));
    assert!((values(&read).iter().sum::<f64>() - 447.524638).abs() < 1e-9);
    assert_eq!(count(&read, IssueCode::UnitUnknown), 1);
    let numbers = |name: &str| read.source.periods().column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec();
    let confidence = numbers("regime_confidence");
    assert_eq!((confidence.iter().copied().fold(1.0, f64::min), confidence.iter().copied().fold(0.0, f64::max)), (0.56, 0.93));
    assert_eq!(confidence.iter().filter(|c| **c >= 0.70).count(), 64);
    assert_eq!(numbers("transition_threshold").iter().filter(|t| **t > 0.5).count(), 43);
    assert_eq!(numbers("capital").iter().sum::<f64>(), 231_600_000.0);
    assert_eq!(column(&read, "zone")[..4], ["C", "D", "B", "A"]);
    assert_eq!(column(&read, "start_time")[0], "2023-01-02T09:15:00");
    let slots = read.source.periods().column_by_name("slot").unwrap().as_primitive::<Int32Type>().values().to_vec();
    assert!(slots.chunks(4).all(|day| day == [1, 2, 3, 4]));
}

#[test]
fn the_weekday_column_settles_the_early_days_of_the_zone_sample() {
    let Some(path) = sample("options_zones_2023.csv") else { return };
    let early: Vec<String> =
        lines(&path).into_iter().filter(|l| l.starts_with("Date") || l[..2].parse::<u32>().is_ok_and(|day| day <= 12)).collect();
    let with = read(&edit_fields(&early, |_, fields| owned(fields))).unwrap();
    assert!(with.report.columns[0].why.contains("dmy settled by the weekday"), "{}", with.report.columns[0].why);
    let without = edit_fields(&early, |_, mut fields| {
        fields.remove(3);
        owned(fields)
    });
    refused(read(&without), &["ambiguous day/month order", "--date-order"]);
    let settled = read_with(&without, &ImportOptions { date_order: Some(DateOrder::Dmy), ..Default::default() }).unwrap();
    assert_eq!(column(&settled, "date"), column(&with, "date"));
}

#[test]
fn the_place_of_columns_does_not_matter() {
    let Some(path) = sample("production_500.csv") else { return };
    let rows = lines(&path);
    let original = read(&edit_fields(&rows, |_, fields| owned(fields))).unwrap();
    let by_name = |read: &CsvSource| {
        let values = bits(read);
        read.source.strategies().iter().cloned().zip(values.chunks(82).map(<[u64]>::to_vec)).collect::<std::collections::BTreeMap<_, _>>()
    };
    let day_last = edit_fields(&rows, |_, mut fields| {
        let day = fields.remove(1);
        fields.push(day);
        owned(fields)
    });
    let no_day = edit_fields(&rows, |_, mut fields| {
        fields.remove(1);
        owned(fields)
    });
    let shuffled = edit_fields(&rows, |_, fields| (0..fields.len()).map(|i| fields[i * 101 % fields.len()].to_owned()).collect());
    for text in [day_last, no_day, shuffled] {
        let read = read(&text).unwrap();
        assert_eq!(by_name(&read), by_name(&original));
        assert_eq!(column(&read, "date"), column(&original, "date"));
    }
}

#[test]
fn additions_to_the_legacy_sample_are_kept_or_doubted() {
    let Some(path) = sample("production_500.csv") else { return };
    let rows = lines(&path);
    let with = |name: &str, value: &str| {
        edit_fields(&rows, |i, fields| owned(fields).into_iter().chain([if i == 0 { name.to_owned() } else { value.to_owned() }]).collect())
    };
    let drawdown = read(&with("portfolio_drawdown", "1.5")).unwrap();
    assert_eq!((drawdown.report.strategies, names(&drawdown).as_str()), (500, "date,day,portfolio_drawdown"));
    assert_eq!(drawdown.report.issues.iter().filter(|i| i.code == IssueCode::KeptAsContext).count(), 1);
    refused(read(&with("ticker", "AAPL")), &["'ticker'", "--strategy", "--context 'ticker'", "--exclude 'ticker'"]);
    refused(read(&with("Foo", "1")), &["'Foo'", "--strategy 'Foo'", "--context 'Foo'", "--exclude 'Foo'"]);
}

#[test]
fn damage_to_the_legacy_sample_is_found() {
    let Some(path) = sample("production_500.csv") else { return };
    let rows = lines(&path);
    let cell = |text: &str| {
        edit_fields(&rows, |i, fields| {
            owned(fields).into_iter().enumerate().map(|(c, f)| if (i, c) == (40, 300) { text.to_owned() } else { f }).collect()
        })
    };
    for text in ["abc", "#N/A", "12%", "\"1,234.5\""] {
        refused(read(&cell(text)), &["line 41", rows[0].split(',').nth(300).unwrap(), text.trim_matches('"')]);
    }
    for (text, code) in [("", IssueCode::NullToken), ("NaN", IssueCode::NanToken), ("inf", IssueCode::InfToken)] {
        let read = read(&cell(text)).unwrap();
        assert_eq!((read.report.nulls, count(&read, code)), (1, 1), "{text}");
    }
    let whole = std::fs::read_to_string(&path).unwrap();
    let cut: String = rows[..82].join("\n") + "\n" + &rows[82].split(',').take(417).collect::<Vec<_>>().join(",");
    assert!(cut.len() < whole.len());
    refused(read(&cut), &["line 83", "417 fields, header has 502"]);
    refused(read(&(whole.clone() + &rows[1] + "\n")), &["line 84", "line 2", "2024-01-04"]);
}

#[test]
fn other_sample_files_are_no_strategy_tables() {
    for (name, says) in [
        ("market_regime_jan2023.csv", "column 'Time': is text"),
        ("BTCUSD_1m_2023-03.csv", "candidates: 'open_time'"),
        ("production_500_legacy_metrics.csv", "no column is named Date"),
    ] {
        let Some(path) = sample(name) else { return };
        refused(read_csv(&path, &ImportOptions::default(), PLENTY), &[says]);
    }
}
