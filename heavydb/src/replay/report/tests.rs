//! Rows, figures and the three forms of a report.

use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch};

use super::*;
use crate::replay::compare::{Rules, compare};
use crate::replay::expected::{Expectation, Value};
use crate::replay::rows::Rows;

fn outcome(id: &str, status: Status) -> Outcome {
    Outcome {
        id: id.to_owned(),
        status,
        our_rows: Some(1),
        expected_rows: Some(1),
        first_difference: None,
        logged_ms: vec![],
        our_ms: vec![],
        reason: None,
        rules: vec![],
        notes: vec![],
        features: vec!["window".to_owned()],
        origin: "a.sql:3".to_owned(),
        sql: format!("SELECT  '{id}' <&> \"x\""),
    }
}

fn report() -> Report {
    let mut report = Report::new("tranchedb 1");
    report.options.push(("setup".to_owned(), "password='pw'".to_owned()));
    report.push(Outcome {
        logged_ms: vec![100.0],
        our_ms: vec![9.0, 10.0, 500.0],
        rules: vec!["D2".into(), "LOG".into()],
        ..outcome("a", Status::Same)
    });
    report.push(Outcome { logged_ms: vec![90.0], our_ms: vec![10.0], ..outcome("b", Status::Same) });
    let verdict = Verdict::Differs(Difference::Rows { ours: 12, theirs: 11 });
    report.push(outcome("c", Status::Ran).with_verdict(verdict));
    report.push(outcome("d", Status::Ran).with_refusal("3.10: \u{1}geo"));
    report.push(outcome("e", Status::Ran).with_refusal("3.10: \u{1}geo"));
    report.push(outcome("f", Status::Ran).with_error("COPY s3_secret_key='topsecret' failed"));
    report.push(outcome("g", Status::Skipped));
    report.add_time("a", 120.0);
    report
}

fn text(report: &Report, form: Form) -> String {
    let mut text = Vec::new();
    report.write(form, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn the_summary_counts_and_averages() {
    let summary = report().summary();
    assert_eq!(summary.counts[&Status::Unsupported], 2);
    assert!((summary.pass_rate.unwrap() - 2.0 / 6.0).abs() < 1e-12);
    assert_eq!((summary.total_ms, summary.median_ms), (Some((200.0, 20.0)), Some((100.0, 10.0))));
    assert!((summary.speed_up.unwrap() - 99.0_f64.sqrt()).abs() < 1e-9, "11 and 9");
    assert_eq!(summary.reasons, [("3.10: \u{1}geo".to_owned(), 2)]);
    assert_eq!(summary.features, [("window".to_owned(), 6, 2)]);
    assert!(!report().passes(&[Status::Unsupported, Status::Error]));
    assert!(report().passes(&[Status::Unsupported, Status::Error, Status::Differs]));
}

#[test]
fn a_skipped_call_gives_way_to_the_query_that_ran() {
    let mut report = Report::new("t");
    report.push(outcome("a", Status::Skipped));
    report.push(outcome("a", Status::Same));
    report.push(Outcome { logged_ms: vec![4.0], ..outcome("a", Status::Skipped) });
    assert_eq!((report.outcomes().len(), report.outcomes()[0].status), (1, Status::Same));
}

#[test]
fn no_form_of_the_report_shows_a_secret() {
    for form in [Form::Table, Form::Json, Form::Junit] {
        let text = text(&report(), form);
        assert!(!text.contains("topsecret") && !text.contains("'pw'"), "{text}");
    }
}

#[test]
fn the_table_has_a_line_a_query_and_the_figures_below() {
    let text = text(&report(), Form::Table);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("a   same"), "{text}");
    assert!(
        lines[1].contains("1 / 1")
            && lines[1].contains("110.0    10.0      11.0")
            && lines[1].contains("D2 LOG")
            && lines[1].ends_with("SELECT 'a' <&> \"x\"")
    );
    for line in [
        "7 queries: 2 same, 1 differs, 2 unsupported, 1 error, 1 skipped",
        "pass rate 33.33 %",
        "speed-up 9.95 (geometric mean)",
        "     2  3.10: \u{1}geo",
        "     4 of 6  window",
    ] {
        assert!(lines.contains(&line), "{line}\n{text}");
    }
    assert!(text.contains("12 rows, expected 11") && text.contains("but no network"));
}

#[test]
fn json_is_one_object_with_every_query() {
    let json: serde_json::Value = serde_json::from_str(&text(&report(), Form::Json)).unwrap();
    assert_eq!((json["tool"].as_str(), json["dialect"].as_str()), (Some("tranchedb 1"), Some("heavydb")));
    assert_eq!(json["queries"].as_array().unwrap().len(), 7);
    assert_eq!((json["queries"][0]["logged_ms"].as_f64(), json["queries"][0]["speed_up"].as_f64()), (Some(110.0), Some(11.0)));
    assert_eq!(json["queries"][2]["first_difference"]["message"], "12 rows, expected 11");
    assert_eq!(json["summary"]["counts"]["unsupported"], 2);
}

#[test]
fn junit_counts_and_escapes() {
    let text = text(&report(), Form::Junit);
    assert!(text.contains("tests=\"7\" failures=\"1\" errors=\"1\" skipped=\"3\""), "{text}");
    assert!(text.contains("<testcase classname=\"a.sql\" name=\"c\" time=\"0.000000\"><failure message=\"12 rows, expected 11\">SELECT  'c' &lt;&amp;&gt; &quot;x&quot;</failure>"));
    assert!(text.contains("<skipped message=\"3.10: \u{fffd}geo\"/>"));
}

#[test]
fn an_explanation_shows_both_results_around_the_difference() {
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..100)) as _)]).unwrap();
    let ours = Rows::try_new(&batch.schema(), &[batch]).unwrap();
    let rows = (0..100).map(|n| vec![Value::Integer(if n == 50 { 7 } else { n })]).collect();
    let expectation = Expectation::Rows { columns: Some(vec!["n".to_owned()]), rows };
    let rules = Rules { order: crate::replay::compare::Order::Rows, ..Rules::default() };
    let Verdict::Differs(difference) = compare(&ours, &expectation, &rules) else { panic!() };
    let rewritten = [
        RewrittenLine { text: "SELECT ln(n)".to_owned(), rules: "LOG".to_owned() },
        RewrittenLine { text: "FROM t".to_owned(), rules: String::new() },
    ];
    let explanation = Explanation {
        id: "q",
        original: "SELECT LOG(n) FROM t",
        rewritten: &rewritten,
        plan: Some("Projection\n  Scan"),
        ours: Some(&ours),
        expectation: Some(&expectation),
        difference: Some(&difference),
    };
    let mut text = Vec::new();
    explanation.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("  LOG | SELECT ln(n)\n      | FROM t\n") && text.contains("    Scan"), "{text}");
    assert!(text.contains(">51  50 | >51  7") && text.contains("46   45") && !text.contains("\n  40 "), "{text}");
}
