//! Tables and queries of HeavyDB's test suite in a plain session of DataFusion that has the aggregates and window functions of the dialect.

use std::path::{Path, PathBuf};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_heavydb::dialect::rewrite;
use datafusion_heavydb::functions::aggregates::AGGREGATES;
use datafusion_heavydb::functions::windows::WINDOWS;
use datafusion_heavydb::functions::{Action, Implementation};
use datafusion_heavydb::{Options, Refusal};
use regex::Regex;
use serde_json::Value;

/// A session with the functions under test, and tables in four partitions of a few rows each.
pub(crate) fn session() -> SessionContext {
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(4).with_batch_size(32));
    for function in AGGREGATES.iter().chain(WINDOWS) {
        let (Action::Same(made) | Action::Own(made) | Action::Renamed(_, made)) = function.action else { continue };
        match made {
            Implementation::Scalar(make) => session.register_udf((*make()).clone()),
            Implementation::Aggregate(make) => session.register_udaf((*make()).clone()),
            Implementation::Window(make) => session.register_udwf((*make()).clone()),
        }
    }
    session
}

/// The folder of the corpus; `None`, loudly, where it is not there.
pub(crate) fn folder() -> Option<PathBuf> {
    let shared =
        std::env::var_os("TRANCHEDB_SHARED").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = shared.join("data/heavydb");
    if !folder.is_dir() {
        #[expect(clippy::print_stdout, reason = "a skipped test says so")]
        {
            println!("SKIPPED: {} is not there; set TRANCHEDB_SHARED", folder.display());
        }
        return None;
    }
    Some(folder)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Loads the named tables of a part of the corpus, types adapted.
pub(crate) async fn load(session: &SessionContext, part: &Path, tables: &[&str]) {
    let create = Regex::new(r"(?i)^CREATE TABLE (\w+)\s*\((.*?)\)\s*(WITH\s*\(.*\))?;$").unwrap();
    let unlike = Regex::new(r"(?i)\s+(encoding|not null)(\s+\w+)?(\s*\(\d+\))?|,\s*shared dictionary.*$").unwrap();
    let texts = Regex::new(r"(?i)\btext\b").unwrap();
    let times = Regex::new(r"(?i)\btime\(0\)").unwrap();
    let digits = Regex::new(r"(:\d\d)\d{2,9}'").unwrap();
    let load = read(&part.join("load.sql"));
    for line in read(&part.join("schema.sql")).lines() {
        let Some(found) = create.captures(line) else { continue };
        let name = found[1].to_lowercase();
        if !tables.contains(&name.as_str()) || session.table(&name).await.is_ok() {
            continue;
        }
        let columns = texts.replace_all(&unlike.replace_all(&found[2], ""), "varchar").into_owned();
        let columns = times.replace_all(&columns, "time");
        session.sql(&format!("CREATE TABLE {name} ({columns})")).await.unwrap_or_else(|error| panic!("{columns}: {error}"));
        let insert = format!("insert into {name} values");
        let rows: Vec<&str> = load
            .lines()
            .filter(|line| line.to_lowercase().starts_with(&insert))
            .map(|line| line[insert.len()..].trim().trim_end_matches(';'))
            .collect();
        if !rows.is_empty() {
            let values = digits.replace_all(&rows.join(", "), "$1'").into_owned();
            let inserted = session.sql(&format!("INSERT INTO {name} VALUES {values}")).await;
            inserted.unwrap_or_else(|error| panic!("{name}: {error}")).collect().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

/// The queries of a part whose text matches, with their expected rows.
pub(crate) fn queries(part: &Path, pattern: &str) -> Vec<(String, String, bool, Vec<Vec<Value>>)> {
    let pattern = Regex::new(pattern).unwrap();
    let lines = |name: &str| -> Vec<Value> { read(&part.join(name)).lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let expected = lines("expected.jsonl");
    let rows = |id: &Value| -> Vec<Vec<Value>> {
        let found = expected.iter().find(|expected| expected["id"] == *id).unwrap();
        match found.get("rows") {
            Some(rows) => serde_json::from_value(rows.clone()).unwrap(),
            None => vec![vec![found["value"].clone()]],
        }
    };
    let matching = lines("queries.jsonl").into_iter().filter(|query| pattern.is_match(query["sql"].as_str().unwrap()));
    matching
        .map(|query| {
            let ordered = query["ordered"] == Value::Bool(true);
            (query["id"].as_str().unwrap().to_owned(), query["sql"].as_str().unwrap().to_owned(), ordered, rows(&query["id"]))
        })
        .collect()
}

/// What came of a query: nothing, where the plain session lacks a function that it calls.
pub(crate) async fn run(session: &SessionContext, sql: &str) -> Option<Vec<Vec<String>>> {
    let sql = match rewrite(sql, &Options::default()) {
        // A plain session does not know the operators that the dialect's own planner takes.
        Ok(rewritten) => rewritten.statement.to_string().replace(" -> NULL", "").replace(" <=> ", " = "),
        // Of another part of the list.
        Err(error) if Refusal::of(&error).is_some_and(|refusal| refusal.reason.contains("no such function")) => return None,
        Err(error) => panic!("{sql}: {error}"),
    };
    let frame = match session.sql(&sql).await {
        Ok(frame) => frame,
        Err(error) if error.to_string().contains("Invalid function") => return None,
        Err(error) => panic!("{sql}: {error}"),
    };
    let batches = frame.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let row = |columns: &[ArrayRef], row| columns.iter().map(|column| cell(column, row)).collect();
    Some(batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|i| row(batch.columns(), i))).collect())
}

fn cell(column: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let text = ArrayFormatter::try_new(column.as_ref(), &options).unwrap().value(row).to_string();
    match text.as_str() {
        "" => "NULL".into(),
        "true" => "1".into(),
        "false" => "0".into(),
        _ if column.data_type().is_temporal() => instant(&text.replace('T', " ")),
        _ => text,
    }
}

/// A time without the zeros at its end.
fn instant(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, fraction)) if !fraction.trim_end_matches('0').is_empty() => {
            format!("{whole}.{}", fraction.trim_end_matches('0'))
        }
        Some((whole, _)) => whole.into(),
        None => text.trim_end_matches(" 00:00:00").into(),
    }
}

fn is_same(ours: &str, expected: &Value) -> bool {
    let expected = match expected {
        Value::Null => "NULL".to_owned(),
        Value::Bool(value) => u8::from(*value).to_string(),
        Value::String(text) => match text.as_str() {
            "" => "NULL".into(),
            "t" if matches!(ours, "0" | "1") => "1".into(),
            "f" if matches!(ours, "0" | "1") => "0".into(),
            text => instant(text),
        },
        other => other.to_string(),
    };
    let numbers = ours.parse::<f64>().ok().zip(expected.parse::<f64>().ok());
    ours == expected || numbers.is_some_and(|(a, b)| (a - b).abs() <= 1e-5 * a.abs().max(b.abs()))
}

/// The first difference; `None` where the rows are the same.
pub(crate) fn difference(ours: &[Vec<String>], expected: &[Vec<Value>], ordered: bool) -> Option<String> {
    if ours.len() != expected.len() {
        return Some(format!("{} rows, expected {}", ours.len(), expected.len()));
    }
    let same = |ours: &[String], expected: &[Value]| {
        ours.len() == expected.len() && ours.iter().zip(expected).all(|(ours, expected)| is_same(ours, expected))
    };
    if ordered {
        let place = ours.iter().zip(expected).position(|(ours, expected)| !same(ours, expected))?;
        return Some(format!("row {place}: {:?}, expected {:?}", ours[place], expected[place]));
    }
    let mut left: Vec<&Vec<Value>> = expected.iter().collect();
    for row in ours {
        let Some(place) = left.iter().position(|expected| same(row, expected)) else { return Some(format!("{row:?} is not expected")) };
        left.swap_remove(place);
    }
    None
}

/// Runs all queries of the parts `core` and `extra` that match; how many ran, and the differences.
pub(crate) async fn replay(tables: &[&str], pattern: &str, parts: &[&str]) -> Option<(usize, Vec<String>)> {
    let folder = folder()?;
    let session = session();
    for part in ["core", "extra"] {
        load(&session, &folder.join(part), tables).await;
    }
    let (mut ran, mut differences) = (0, vec![]);
    for part in parts {
        for (id, sql, ordered, expected) in queries(&folder.join(part), pattern) {
            if let Some(rows) = run(&session, &sql).await {
                ran += 1;
                differences.extend(difference(&rows, &expected, ordered).map(|found| format!("{id}: {found}\n  {sql}")));
            }
        }
    }
    Some((ran, differences))
}

/// Runs the queries of the part `asserted` that match: each has one value, right within `tol` where that is above 0.
pub(crate) async fn replay_asserted(tables: &[&str], pattern: &str) -> Option<(usize, Vec<String>)> {
    let folder = folder()?;
    let session = session();
    load(&session, &folder.join("core"), tables).await;
    let part = folder.join("asserted");
    let tolerances: Vec<Value> = read(&part.join("expected.jsonl")).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut ran, mut differences) = (0, vec![]);
    for (id, sql, _, expected) in queries(&part, pattern) {
        let Some(rows) = run(&session, &sql).await else { continue };
        ran += 1;
        let tolerance = tolerances.iter().find(|expected| expected["id"] == *id).and_then(|expected| expected["tol"].as_f64());
        let (ours, expected) = (&rows[0][0], &expected[0][0]);
        let near = ours.parse::<f64>().ok().zip(expected.as_f64()).zip(tolerance).is_some_and(|((a, b), tol)| (a - b).abs() <= tol);
        if !near && !is_same(ours, expected) {
            differences.push(format!("{id}: {ours}, expected {expected}\n  {sql}"));
        }
    }
    Some((ran, differences))
}
