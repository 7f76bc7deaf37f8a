//! Every form of expectation, and what makes one unreadable.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use flate2::write::GzEncoder;

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn find(files: &[(&str, &str)], id: &str) -> Expectation {
    let folder = folder(files);
    Expectations::open(folder.path(), TextForm::default()).unwrap().find(id).unwrap().unwrap()
}

fn fails(files: &[(&str, &str)], id: &str) -> String {
    let folder = folder(files);
    match Expectations::open(folder.path(), TextForm::default()) {
        Err(error) => error.to_string(),
        Ok(all) => all.find(id).unwrap_err().to_string(),
    }
}

fn printed(rows: &[&[&str]]) -> Vec<Vec<Value>> {
    let value = |text: &&str| if *text == "NULL" { Value::Null } else { Value::Printed((*text).to_owned()) };
    rows.iter().map(|row| row.iter().map(value).collect()).collect()
}

#[test]
fn json_lines_hold_rows_values_and_errors() {
    let lines = "{\"id\":\"a\",\"columns\":[\"x\",\"y\"],\"rows\":[[1,null],[2.5,\"t\"]]}\n\n{\"id\":\"b\",\"value\":-2147483648,\"type\":\"int\",\"tol\":0}\n{\"id\":\"c\",\"error\":\"overflow\"}\n{\"id\":\"d\",\"unsupported\":\"x\"}\n{\"id\":\"e\",\"value\":null,\"type\":\"int\"}\n";
    let folder = folder(&[("e.jsonl", lines), ("q.jsonl", "{\"id\":\"a\",\"sql\":\"SELECT 1\"}\n"), ("README.md", "no result")]);
    let all = Expectations::open(folder.path(), TextForm::default()).unwrap();
    let rows = vec![vec![Value::Integer(1), Value::Null], vec![Value::Real(2.5), Value::Text("t".into())]];
    assert_eq!(all.find("a").unwrap(), Some(Expectation::Rows { columns: Some(vec!["x".into(), "y".into()]), rows }));
    assert_eq!(
        all.find("b").unwrap(),
        Some(Expectation::Scalar { value: Value::Integer(-2_147_483_648), kind: "int".into(), tolerance: 0.0 })
    );
    assert_eq!(all.find("c").unwrap(), Some(Expectation::Error("overflow".into())));
    assert_eq!((all.find("d").unwrap(), all.find("../e").unwrap(), all.len()), (None, None, 4));
    assert!(matches!(all.find("e").unwrap(), Some(Expectation::Scalar { value: Value::Null, .. })));
}

#[test]
fn a_csv_of_copy_to_has_quotes_around_everything() {
    let csv = "x,EXPR$1,a\n\"1\",\"say \"\"hi\"\",\nthere\",\"{1 | NULL}\"\n\"\\N\",\"\",\"NULL\"\n";
    let Expectation::Rows { columns, rows } = find(&[("q#2.csv", csv)], "q#2") else { panic!() };
    assert_eq!(columns.unwrap(), ["x", "EXPR$1", "a"]);
    let value = |text: &str| Value::Printed(text.to_owned());
    assert_eq!(rows[0], [value("1"), value("say \"hi\",\nthere"), value("{1 | NULL}")]);
    assert_eq!(rows[1], [Value::Null, value(""), value("NULL")]);
}

#[test]
fn a_packed_csv_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut packer = GzEncoder::new(std::fs::File::create(folder.path().join("q.csv.gz")).unwrap(), flate2::Compression::fast());
    packer.write_all(b"x\n\"1\"\n").unwrap();
    packer.finish().unwrap();
    let found = Expectations::open(folder.path(), TextForm::default()).unwrap().find("q").unwrap().unwrap();
    assert_eq!(found, Expectation::Rows { columns: Some(vec!["x".into()]), rows: printed(&[&["1"]]) });
}

#[test]
fn heavysql_prints_a_header_rows_and_around_them_what_is_no_result() {
    let text = "User admin connected to database heavyai\nx|y\n1|a, b\nNULL|{1, 2}\n2 rows returned.\nExecution time: 3 ms, Total time: 4 ms\nUser admin disconnected from database heavyai\n";
    let Expectation::Rows { columns, rows } = find(&[("q.txt", text)], "q") else { panic!() };
    assert_eq!((columns.unwrap(), rows), (vec!["x".to_owned(), "y".to_owned()], printed(&[&["1", "a, b"], &["NULL", "{1, 2}"]])));
    assert_eq!(find(&[("q.txt", "No rows returned.\n")], "q"), Expectation::Rows { columns: None, rows: vec![] });
    assert_eq!(find(&[("q.txt", "x|y\nNo rows returned.\n")], "q").rows(), Some(0));
    assert_eq!(
        find(&[("q.txt", "EXPR$0\n5\n")], "q"),
        Expectation::Rows { columns: Some(vec!["EXPR$0".into()]), rows: printed(&[&["5"]]) }
    );
}

#[test]
fn another_delimiter_is_taken_where_only_it_fits_or_as_told() {
    let Expectation::Rows { rows, .. } = find(&[("q.txt", "x\ty\n1\ta, b\n")], "q") else { panic!() };
    assert_eq!(rows, printed(&[&["1", "a, b"]]));
    let folder = folder(&[("q.txt", "x#y\n1#2\n")]);
    let told = Expectations::open(folder.path(), TextForm { delimiter: Some('#') }).unwrap().find("q").unwrap().unwrap();
    assert_eq!(told, Expectation::Rows { columns: Some(vec!["x".into(), "y".into()]), rows: printed(&[&["1", "2"]]) });
}

#[test]
fn parquet_brings_its_types() {
    let folder = tempfile::tempdir().unwrap();
    let columns: [(&str, ArrayRef); 3] = [
        ("x", Arc::new(Int32Array::from(vec![Some(1), None]))),
        ("t", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("f", Arc::new(Float64Array::from(vec![Some(0.5), None]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(folder.path().join("q.parquet")).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let found = Expectations::open(&folder.path().join("q.parquet"), TextForm::default()).unwrap().find("q").unwrap().unwrap();
    let Expectation::Rows { columns, rows } = found else { panic!() };
    assert_eq!(columns.unwrap(), ["x", "t", "f"]);
    assert_eq!(
        rows,
        [vec![Value::Integer(1), Value::Text("a".into()), Value::Real(0.5)], vec![Value::Null, Value::Text("b".into()), Value::Null],]
    );
}

#[test]
fn what_cannot_be_read_names_file_line_and_remedy() {
    let heavysql = fails(&[("q.txt", "x|y\n1|2\n1|2|3\n")], "q");
    assert!(heavysql.contains("q.txt:3: the line has 3 fields, the header 2") && heavysql.contains("COPY TO"), "{heavysql}");
    assert!(fails(&[("q.txt", "x\na\nb\n1 rows returned.\n")], "q").contains("q.txt:4: the file says 1 rows, it has 2"));
    assert!(fails(&[("q.txt", "")], "q").contains("empty"));
    assert!(fails(&[("q.csv", "x,y\n\"1\",\"2\"\n\"1\"\n")], "q").contains("q.csv:3: the line has 1 fields, the header 2"));
    assert!(fails(&[("q.csv", "")], "q").contains("empty"));
    assert!(fails(&[("q.parquet", "PAR")], "q").contains("no Parquet"));
    assert!(fails(&[("e.jsonl", "{\"id\":\"q\",\"rows\":[]}\n{\"id\":")], "q").contains("e.jsonl:2"));
    assert!(fails(&[("e.jsonl", "{\"id\":\"q\"}")], "q").contains("none of `rows`"));
    assert!(fails(&[("e.jsonl", "{\"rows\":[]}")], "q").contains("no `id`"));
    assert!(fails(&[("e.jsonl", "{\"id\":\"q\",\"rows\":[[1],[1,2]]}")], "q").contains("row 2 has 2 values"));
    assert!(fails(&[("e.jsonl", "{\"id\":\"q\",\"rows\":[[{}]]}")], "q").contains("object"));
    assert!(fails(&[("q.csv", "x\n"), ("q.txt", "x\n")], "q").contains("two results for the id q"));
    let folder = folder(&[("q.xlsx", "")]);
    assert!(Expectations::open(&folder.path().join("q.xlsx"), TextForm::default()).is_err());
    assert!(Expectations::open(&folder.path().join("none"), TextForm::default()).is_err());
}
