//! Every trap of logs, SQL files and JSON lines.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::*;

const HEAD: &str = "2024-03-01T09:30:00.000123 I 4711 17 3 DBHandler.cpp:1555";

/// A successful `sql_execute`, whose text is quoted as the server does.
fn executed(match_id: u32, sql: &str, total_ms: u32) -> String {
    let sql = sql.replace('"', "\"\"");
    format!(
        "{HEAD} stdlog sql_execute {match_id} 131 heavyai admin 507-aBcD {{\"query_str\",\"client\",\"nonce\",\"execution_time_ms\",\"total_time_ms\"}} {{\"{sql}\",\"http:10.0.0.7\",\"\",\"118\",\"{total_ms}\"}}\n"
    )
}

fn file(folder: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

struct Found {
    queries: Vec<Query>,
    again: Vec<(String, Option<Timing>)>,
    summaries: Vec<FileSummary>,
}

fn read(files: &[PathBuf], filters: Filters) -> Result<Found, InputError> {
    let mut inputs = Inputs::open(files, filters)?;
    let (mut queries, mut again) = (Vec::new(), Vec::new());
    for entry in &mut inputs {
        match entry? {
            Entry::Query(query) => queries.push(*query),
            Entry::Again { id, timing } => again.push((id, timing)),
        }
    }
    Ok(Found { queries, again, summaries: inputs.summaries().to_vec() })
}

fn log(content: impl AsRef<[u8]>) -> Found {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "heavydb.INFO", content);
    read(&[path], Filters::default()).unwrap()
}

fn texts(found: &Found) -> Vec<&str> {
    found.queries.iter().map(|query| query.sql.as_str()).collect()
}

#[test]
fn a_record_gives_text_times_user_database_and_place() {
    let found = log(executed(20, "SELECT COUNT(*) FROM \"Trades\"", 129));
    let query = &found.queries[0];
    assert_eq!(query.sql, "SELECT COUNT(*) FROM \"Trades\"");
    assert_eq!((query.database.as_deref(), query.user.as_deref()), (Some("heavyai"), Some("admin")));
    assert_eq!((query.timings[0].total_ms, query.timings[0].execution_ms), (129.0, Some(118.0)));
    assert_eq!(query.timestamp.unwrap().to_string(), "2024-03-01 09:30:00.000123");
    assert_eq!((query.origin.line, query.kind, query.skip.clone()), (1, Kind::Query, None));
    assert_eq!(query.id, id_of("SELECT COUNT(*) FROM \"Trades\""));
}

#[test]
fn values_keep_commas_braces_line_ends_and_quotes() {
    let sql = "SELECT '},{ \"a\",\"b\"', \"x\"\nFROM t -- {\"\n\nWHERE a = ',\"'";
    let found = log(format!("{}{}", executed(1, sql, 5), executed(2, "SELECT 2", 6)));
    assert_eq!(texts(&found), [sql, "SELECT 2"]);
    assert_eq!(found.queries[1].origin.line, 5);
    assert_eq!(found.summaries[0].broken, 0);
}

#[test]
fn windows_line_ends_are_read() {
    let found = log(executed(1, "SELECT 1\r\nFROM t", 5).replace("\"}\n", "\"}\r\n"));
    assert_eq!(texts(&found), ["SELECT 1\r\nFROM t"]);
}

#[test]
fn a_line_in_a_text_that_looks_like_a_record_is_text() {
    let sql = format!("SELECT * FROM logs WHERE line = '\n{HEAD} stdlog sql_execute 9 1 a b c\n'");
    let found = log(format!("{}{}", executed(1, &sql, 5), executed(2, "SELECT 2", 6)));
    assert_eq!(texts(&found), [sql.as_str(), "SELECT 2"]);
}

#[test]
fn a_record_cut_off_in_a_text_is_counted_and_the_next_ones_are_read() {
    let cut = executed(1, "SELECT 'a", 5);
    let cut = &cut[..cut.find("'a").unwrap() + 2];
    let message = "2024-03-01T09:30:01.000000 W 4711 17 3 File.cpp:1 a message, no quotes\n  of two lines\n";
    let found = log(format!("{cut}\n{message}{}{}", executed(2, "SELECT 2", 6), executed(3, "SELECT 3", 6)));
    assert_eq!(texts(&found), ["SELECT 2", "SELECT 3"]);
    assert_eq!((found.summaries[0].broken, found.summaries[0].problems[0].line), (1, 1));
}

#[test]
fn the_end_of_a_file_in_mid_record_is_counted() {
    let whole = executed(1, "SELECT 1", 5);
    for end in [10, 40, 70, 100, whole.len() - 10, whole.len() - 2] {
        let found = log(format!("{}{}", executed(0, "SELECT 0", 1), &whole[..end]));
        assert_eq!(texts(&found), ["SELECT 0"], "{end}");
        assert!(end < 60 || found.summaries[0].broken == 1, "{end}");
    }
}

#[test]
fn database_and_user_in_quotes_may_hold_blanks() {
    let line = executed(1, "SELECT 1", 5).replace("heavyai admin", "\"my db\" \"a \"\"b\"\"\"");
    let query = &log(line).queries[0];
    assert_eq!((query.database.as_deref(), query.user.as_deref()), (Some("my db"), Some("a \"b\"")));
}

#[test]
fn a_call_without_a_session_has_blanks_in_its_place() {
    let query = &log(executed(1, "SELECT 1", 5).replace("heavyai admin 507-aBcD ", "   ")).queries[0];
    assert_eq!((query.sql.as_str(), query.database.as_ref(), query.user.as_ref()), ("SELECT 1", None, None));
    let nothing = format!(
        "{HEAD} stdlog get_license_claims 25 21     \n{HEAD} stdlog ping 26 0\n{HEAD} stdlog get_version 27 0 heavyai admin 507-aBcD  \n"
    );
    let found = log(format!("{nothing}{}", executed(1, "SELECT 1", 5)));
    assert_eq!((texts(&found), found.summaries[0].broken), (vec!["SELECT 1"], 0));
}

#[test]
fn beginnings_carry_no_times_and_pair_with_their_ends() {
    let begin = |match_id: u32, sql: &str| {
        format!("{HEAD} stdlog_begin sql_execute {match_id} 0 heavyai admin 507-aBcD {{\"query_str\"}} {{\"{sql}\"}}\n")
    };
    let found = log(format!("{}{}{}{}", begin(1, "SELECT 1"), begin(2, "SELECT 2"), executed(1, "SELECT 1", 5), begin(2, "SELECT 3")));
    assert_eq!(texts(&found), ["SELECT 1", "SELECT 2", "SELECT 3"]);
    assert_eq!(found.queries[1].skip, Some(Skip::NeverEnded));
    assert_eq!(found.queries[2].skip, Some(Skip::NeverEnded));
}

#[test]
fn a_call_may_end_in_the_next_log() {
    let folder = tempfile::tempdir().unwrap();
    let begin = format!("{HEAD} stdlog_begin sql_execute 1 0 heavyai admin 507-aBcD {{\"query_str\"}} {{\"SELECT 1\"}}\n");
    let files = [file(&folder, "a.log", begin), file(&folder, "b.log", executed(1, "SELECT 1", 5))];
    let found = read(&files, Filters::default()).unwrap();
    assert_eq!((texts(&found), found.queries[0].skip.clone()), (vec!["SELECT 1"], None));
}

#[test]
fn a_failed_call_is_skipped_and_the_same_query_that_succeeds_is_run() {
    let failed = format!(
        "{HEAD} stdlog sql_execute 1 3 heavyai admin 507-aBcD {{\"query_str\",\"client\",\"nonce\"}} {{\"SELECT 1\",\"c\",\"\"}}\n"
    );
    let found = log(format!("{failed}{failed}{}{failed}{}", executed(2, "SELECT 1", 7), executed(3, "SELECT  1;", 9)));
    let skips: Vec<_> = found.queries.iter().map(|query| (query.id.clone(), query.skip.clone())).collect();
    assert_eq!(skips, [(id_of("SELECT 1"), Some(Skip::Failed)), (id_of("SELECT 1"), None)]);
    let again: Vec<Option<f64>> = found.again.iter().map(|(_, timing)| timing.map(|timing| timing.total_ms)).collect();
    assert_eq!(again, [None, None, Some(9.0)]);
    assert!(found.again.iter().all(|(id, _)| *id == id_of("SELECT 1")));
}

#[test]
fn arrow_clients_log_the_text_alone_and_their_time_is_the_duration() {
    let found = log(format!("{HEAD} stdlog sql_execute_df 1 44 heavyai admin 507-aBcD {{\"query_str\"}} {{\"SELECT 1\"}}\n"));
    assert_eq!((found.queries[0].timings[0].total_ms, found.queries[0].skip.clone()), (44.0, None));
}

#[test]
fn functions_without_a_plain_query_are_skipped_and_others_are_no_statements() {
    let lines = [
        "stdlog sql_validate 1 2 heavyai admin 507-aBcD {\"query_str\"} {\"SELECT 1\"}",
        "stdlog render_vega 2 2 heavyai admin 507-aBcD {\"nonce\"} {\"x\"}",
        "stdlog connect 3 308 heavyai admin 356-PMdU {\"client\",\"roles\"} {\"http:localhost:41314\",\"super\"}",
        "stacked_times sql_execute 1 total time 3 ms\n  a 1 - total time 2 ms",
    ];
    let found = log(lines.map(|line| format!("{HEAD} {line}\n")).concat());
    assert_eq!(
        found.queries.iter().map(|query| query.skip.clone().unwrap().to_string()).collect::<Vec<_>>(),
        ["sql_validate has no plain query", "render_vega has no plain query"]
    );
    assert_eq!(found.summaries[0].broken, 0);
}

#[test]
fn what_the_log_hides_is_not_run() {
    let found = log([
        executed(1, "COPY t FROM 's3://x' WITH (s3_secret_key='XXXXXXXX')", 1),
        executed(2, "CREATE USER u (password='XXXXXXXX')", 1),
        executed(3, "SELECT * FROM t WHERE password = 'XXXXXXXX'", 1),
        executed(4, "SELECT * FROM t WHERE name = 'XXXXXXXX'", 1),
    ]
    .concat());
    let skips: Vec<bool> = found.queries.iter().map(|query| query.skip == Some(Skip::Hidden)).collect();
    assert_eq!(skips, [true, true, true, false]);
}

#[test]
fn old_releases_have_neither_request_nor_thread() {
    let found = log(executed(1, "SELECT 1", 5).replace("4711 17 3 DBHandler", "4711 MapDHandler"));
    assert_eq!((texts(&found), found.summaries[0].broken), (vec!["SELECT 1"], 0));
}

#[test]
fn the_same_query_counts_anew_after_a_change() {
    let found = log([
        executed(1, "SELECT 1", 5),
        executed(2, "SELECT  1 ;", 6),
        executed(3, "INSERT INTO t VALUES (1)", 1),
        executed(4, "SELECT 1", 7),
        executed(5, "SELECT 1", 8),
        executed(6, "SHOW TABLES", 1),
        executed(7, "SELECT 1", 9),
        executed(8, "DROP TABLE t", 1),
        executed(9, "SELECT 1", 10),
    ]
    .concat());
    let id = id_of("SELECT 1");
    let ids: Vec<String> = found.queries.iter().filter(|query| query.kind == Kind::Query).map(|query| query.id.clone()).collect();
    assert_eq!(ids, [id.clone(), format!("{id}#2"), format!("{id}#3")]);
    let again: Vec<&str> = found.again.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(again, [id.clone(), format!("{id}#2"), format!("{id}#2")]);
}

#[test]
fn packed_logs_are_read_and_an_archive_cut_off_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..2000).map(|n| executed(n, &format!("SELECT {n}, {}", n.wrapping_mul(2_654_435_761)), 5)).collect();
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    let whole = read(&[file(&folder, "heavydb.INFO.gz", &packed)], Filters::default()).unwrap();
    assert_eq!((whole.queries.len(), whole.summaries[0].broken), (2000, 0));
    let cut = read(&[file(&folder, "cut.gz", &packed[..packed.len() / 2])], Filters::default()).unwrap();
    assert!(cut.queries.len() < 2000 && !cut.queries.is_empty());
    assert!(cut.summaries[0].ends_early && !whole.summaries[0].ends_early);
    assert!(cut.summaries[0].problems.iter().any(|problem| problem.what.contains("the rest of the file cannot be read")));
}

#[test]
fn a_record_that_is_not_utf8_is_counted_with_its_line() {
    let mut content = executed(1, "SELECT 1", 5).into_bytes();
    content.extend(executed(2, "SELECT 'ZZ'", 5).replace("ZZ", "@").bytes().map(|byte| if byte == b'@' { 0xe4 } else { byte }));
    content.extend(executed(3, "SELECT 3", 5).bytes());
    let found = log(content);
    assert_eq!(texts(&found), ["SELECT 1", "SELECT 3"]);
    assert_eq!(found.summaries[0].problems, [Problem { line: 2, what: "the record is not UTF-8".to_owned() }]);
}

#[test]
fn files_that_are_no_inputs_are_errors_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |name: &str, content: &[u8]| read(&[file(&folder, name, content)], Filters::default()).err().unwrap().to_string();
    assert!(fails("x.log", b"[2023-08-31 08:33:55.348] console").contains("not recognised"));
    assert!(fails("empty", b"").contains("not recognised"));
    assert!(fails("u.sql", b"\xff\xfeS\0").contains("iconv"));
    assert!(fails("l.sql", b"SELECT 1;\nSELECT '\xe4';").contains("l.sql:2"));
    assert!(fails("q.sql", b"SELECT 1;\n\nSELECT 'a;\n").contains("q.sql:3: a text that starts with ' does not end"));
    assert!(fails("c.sql", b"/* SELECT 1;\n").contains("does not end"));
    assert!(fails("e.jsonl", b"{\"id\":\"a\",\"rows\":[]}").contains("--expected"));
    assert!(fails("b.jsonl", b"{\"id\":\"a\",\"sql\":\"x\"}\n{").contains("b.jsonl:2"));
    assert!(fails("n.jsonl", b"{\"sql\":\"x\"}").contains("no `id`"));
    assert!(fails("d.jsonl", b"{\"id\":\"a\",\"sql\":\"SELECT 1\"}\n{\"id\":\"a\",\"sql\":\"SELECT 2\"}").contains("the id a is taken"));
    assert!(Inputs::open([folder.path()], Filters::default()).is_err());
    assert!(Inputs::open([folder.path().join("none")], Filters::default()).is_err());
}

#[test]
fn statements_of_a_file_end_at_semicolons_outside_texts_and_comments() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "\u{feff}-- id: first\nSELECT ';', \"a;b\" -- c;d\n FROM t;;\n/* ; -- id: no */ INSERT INTO t VALUES ('it''s;'); SELECT /*+ cpu_mode */ 2\n;\n-- id: last\n\nSELECT 3";
    let found = read(&[file(&folder, "nightly.sql", sql)], Filters::default()).unwrap();
    let got: Vec<(&str, u64, &str)> =
        found.queries.iter().map(|query| (query.id.as_str(), query.origin.line, query.sql.as_str())).collect();
    assert_eq!(
        got,
        [
            ("first", 2, "SELECT ';', \"a;b\" -- c;d\n FROM t"),
            ("nightly:2", 4, "INSERT INTO t VALUES ('it''s;')"),
            ("nightly:3", 4, "SELECT /*+ cpu_mode */ 2"),
            ("last", 8, "SELECT 3"),
        ]
    );
}

#[test]
fn a_line_of_many_statements_is_read_once() {
    // Quadratic, this would take minutes.
    let count = 100_000;
    let sql = format!("{}-- id: last\nSELECT\n2; ;SELECT 3", "SELECT 1;".repeat(count));
    let mut statements = Statements::new(Lines::new(std::io::Cursor::new(sql.into_bytes())));
    let mut next = || statements.next_query(Path::new("t.sql")).unwrap().map(|query| (query.id, query.sql, query.origin.line));
    for _ in 0..count - 1 {
        next().unwrap();
    }
    assert_eq!(next().unwrap(), (format!("t:{count}"), "SELECT 1".to_owned(), 1));
    assert_eq!(next().unwrap(), ("last".to_owned(), "SELECT\n2".to_owned(), 2));
    assert_eq!(next().unwrap(), (format!("t:{}", count + 2), "SELECT 3".to_owned(), 3));
    assert_eq!(next(), None);
}

#[test]
fn json_lines_bring_their_order_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"id":"q","sql":"SELECT 1","ordered":false,"order_ties":true,"order_columns":[1,0],"server_flags":["null-div-by-zero"],"tags":[]}"#;
    let query = read(&[file(&folder, "q.jsonl", format!("\n{line}\n"))], Filters::default()).unwrap().queries.remove(0);
    assert_eq!((query.ordered, query.order_ties, query.order_columns, query.origin.line), (Some(false), true, vec![1, 0], 2));
    assert_eq!(query.server_flags, ["null-div-by-zero"]);
}

#[test]
fn filters_choose_by_time_database_user_and_id() {
    let folder = tempfile::tempdir().unwrap();
    let at = |day: u32, sql: &str| executed(day, sql, 1).replace("2024-03-01", &format!("2024-03-{day:02}"));
    let content =
        [at(1, "SELECT 1"), at(2, "SELECT 2"), at(3, "SELECT 3").replace("heavyai admin", "other bob"), at(4, "DROP TABLE t")].concat();
    let path = file(&folder, "heavydb.INFO", content);
    let with =
        |filters: Filters| texts(&read(std::slice::from_ref(&path), filters).unwrap()).iter().map(ToString::to_string).collect::<Vec<_>>();
    let moment = |text| Some(Filters::moment(text).unwrap());
    assert_eq!(
        with(Filters { since: moment("2024-03-02"), until: Some(Filters::moment_until("2024-03-02").unwrap()), ..Filters::default() }),
        ["SELECT 2"]
    );
    assert_eq!(with(Filters { database: Some("other".into()), ..Filters::default() }), ["SELECT 3"]);
    assert_eq!(with(Filters { user: Some("bob".into()), ..Filters::default() }), ["SELECT 3"]);
    let only = vec![format!("{}*", &id_of("SELECT 2")[..6])];
    assert_eq!(with(Filters { only, ..Filters::default() }), ["SELECT 2", "DROP TABLE t"]);
    assert!(Filters::moment("yesterday").is_err());
}

#[test]
fn calls_of_all_functions_can_be_listed() {
    let folder = tempfile::tempdir().unwrap();
    let connect =
        format!("{HEAD} stdlog connect 3 308 heavyai admin 356-PMdU {{\"client\",\"roles\"}} {{\"http:localhost:41314\",\"super\"}}\n");
    let path = file(&folder, "heavydb.INFO", format!("{connect}{}", executed(1, "SELECT 1", 5)));
    let calls: Vec<Call> = log_calls(&path).unwrap().map(Result::unwrap).collect();
    assert_eq!((calls[0].function.as_str(), calls[0].client.as_deref(), calls[0].is_ok()), ("connect", Some("http:localhost:41314"), true));
    assert_eq!((calls[1].total_ms, calls[1].session.as_str()), (Some(5.0), "507-aBcD"));
}

/// Where sqlparser's tokenizer ends statements: the texts between, without comments and blanks at their ends.
fn split_by_tokenizer(sql: &str) -> Option<usize> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().ok()?;
    let parts = tokens.split(|token| *token == Token::SemiColon);
    Some(parts.filter(|part| part.iter().any(|token| !matches!(token, Token::Whitespace(_)))).count())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_log_reader_panic(content in proptest::collection::vec(any::<u8>(), 0..400), at in 0_usize..250) {
        let mut bytes = executed(1, "SELECT 1", 5).into_bytes();
        let end = at.min(bytes.len());
        bytes.truncate(end);
        bytes.extend(content);
        bytes.push(b'\n');
        bytes.extend(executed(2, "SELECT 2", 5).bytes());
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "heavydb.INFO", bytes);
        if let Ok(mut inputs) = Inputs::open([path], Filters::default()) {
            for entry in &mut inputs { prop_assert!(entry.is_ok()); }
        }
    }

    #[test]
    fn no_signs_of_records_make_the_log_reader_panic_or_lose_the_last_record(pieces in proptest::collection::vec(prop_oneof![
        Just("\""), Just("\"\""), Just("{"), Just("}"), Just(","), Just("\n"), Just(" "), Just(HEAD), Just(" stdlog sql_execute 3 1 a b c "), Just("{\"query_str\"} {\"")
    ], 0..40)) {
        let content = format!("{}{}\n{}{}", executed(1, "SELECT 1", 5), pieces.concat(), executed(2, "SELECT 2", 5), executed(3, "SELECT 3", 5));
        let found = log(content);
        prop_assert!(texts(&found).contains(&"SELECT 1") && texts(&found).contains(&"SELECT 3"));
    }

    #[test]
    fn statements_end_where_the_tokenizer_says(pieces in proptest::collection::vec(prop_oneof![
        Just(";"), Just("'"), Just("\""), Just("`"), Just("--"), Just("/*"), Just("*/"), Just("\n"), Just(" "), Just("a"), Just("1"), Just("-"), Just("/")
    ], 0..30)) {
        let sql = pieces.concat();
        // To sqlparser `//` is an operator of another engine; HeavyDB has none.
        prop_assume!(!sql.contains("//"));
        if let Some(count) = split_by_tokenizer(&sql) {
            let mut statements = Statements::new(Lines::new(std::io::Cursor::new(sql.clone().into_bytes())));
            let mut found = 0;
            while let Ok(Some(_)) = statements.next_query(Path::new("t.sql")) { found += 1; }
            prop_assert_eq!(found, count, "{:?}", sql);
        }
    }
}
