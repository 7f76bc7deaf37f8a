//! Statements of the dialect over tables in memory and real files.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use datafusion::prelude::SessionContext;
use datafusion_heavydb::replay::render;
use datafusion_heavydb::replay::rows::Rows;
use datafusion_heavydb::tables::{Database, HeavySession, quoted_if_needed};
use datafusion_heavydb::{Options, Refusal};
use tempfile::TempDir;

/// Rows as text: columns by blanks, rows by ` / `; `ok` and the note of a statement without rows; an error as its message.
async fn answer(session: &HeavySession, sql: &str) -> String {
    let outcome = async {
        let outcome = session.run(sql).await?;
        let Some(frame) = outcome.rows else { return Ok(format!("ok {}", outcome.note.unwrap_or_default())) };
        let schema = frame.schema().as_arrow().clone();
        let rows = Rows::try_new(&schema, &frame.collect().await?).unwrap();
        let line = |row| (0..rows.width()).map(|column| render::cell(&rows.cell(row, column))).collect::<Vec<_>>().join(" ");
        Ok::<_, datafusion::error::DataFusionError>((0..rows.len()).map(line).collect::<Vec<_>>().join(" / "))
    };
    match outcome.await {
        Ok(text) => text.trim_end().to_owned(),
        Err(error) if Refusal::of(&error).is_some() => format!("refused: {}", Refusal::of(&error).unwrap()),
        Err(error) => format!("error: {}", error.strip_backtrace()),
    }
}

async fn session(setup: &[&str]) -> HeavySession {
    let base = SessionContext::new();
    let session = HeavySession::new(&base.state(), &Arc::new(Database::default()), &Options::default());
    for statement in setup {
        session.run(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    session
}

/// Every statement gives what stands beside it; an error or refusal by a part of its text.
async fn expect(session: &HeavySession, cases: &[(&str, &str)]) {
    for (sql, wanted) in cases {
        let found = answer(session, sql).await;
        let fits = match wanted.split_once(": ") {
            Some((kind @ ("error" | "refused"), part)) => found.starts_with(kind) && found.contains(part),
            _ => found == *wanted,
        };
        assert!(fits, "{sql}\n  wanted {wanted}\n  found  {found}");
    }
}

fn file(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

const ALL_TYPES: &str = "CREATE TABLE t (b BOOLEAN, i INT, f FLOAT, d DOUBLE, n DECIMAL(6,2), s TEXT, o DATE, m TIMESTAMP(3), h TIME)";

#[tokio::test]
async fn copy_from_reads_every_type_and_null() {
    let folder = TempDir::new().unwrap();
    let text = "b,i,f,d,n,s,o,m,h\n\
        true,1,1.5,2.5e3,1234.567,\"a, \"\"b\"\"\",2020-02-30,2020-01-01T00:00:01.5Z,01:02:03\n\
        \\N,NULL,,x,,NULL,\\N,,\n\
        f, -7 , .5,-1,  2 , '' ,1/2/20,2020-01-01 00:00:00,\n";
    let path = file(&folder, "t.csv", text);
    let session = session(&[ALL_TYPES]).await;
    expect(
        &session,
        &[
            (
                &format!("COPY t FROM '{path}'"),
                "ok Loaded: 3 recs, Rejected: 0 recs; 1 values that are no numbers, dates or arrays are NULL or cut off, as in HeavyDB",
            ),
            (
                "SELECT * FROM t",
                "true 1 1.5 2500.0 1234.57 a, \"b\" 2020-03-01 2020-01-01 00:00:01.500 01:02:03 / \
                 NULL NULL NULL NULL NULL NULL NULL NULL NULL / \
                 false -7 0.5 -1.0 2.00 '' 2020-01-02 2020-01-01 00:00:00.000 NULL",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn rejected_rows_are_told_with_their_line() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "t.csv", "x,y\n1,a\n2\n3,b,c\n\n99999999999,d\n-2147483648,e\n\"4\"x,f\n5,g\n");
    let session = session(&["CREATE TABLE t (x INT, y TEXT)", "CREATE TABLE u (x INT NOT NULL, y TEXT)"]).await;
    let found = answer(&session, &format!("COPY t FROM '{path}'")).await;
    assert!(found.starts_with("ok Loaded: 2 recs, Rejected: 5 recs; "), "{found}");
    for part in ["t.csv:3: 1 values for 2 columns", "t.csv:4: 3 values", "t.csv:6: '99999999999'", "t.csv:8: a quote stands within a value"]
    {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert!(found.contains("t.csv:7: -2147483648 cannot be stored") || found.contains("1 more rejected"), "{found}");
    expect(
        &session,
        &[
            ("SELECT * FROM t", "1 a / 5 g"),
            (&format!("COPY t FROM '{path}' WITH (max_reject=4)"), "error: nothing was loaded"),
            ("SELECT COUNT(*) FROM t", "2"),
        ],
    )
    .await;
    let path = file(&folder, "u.csv", "NULL,a\n1,b\n");
    let found = answer(&session, &format!("COPY u FROM '{path}' WITH (header='false')")).await;
    assert!(found.contains("u.csv:1: NULL in column 'x', which is NOT NULL"), "{found}");
    expect(&session, &[("SELECT * FROM u", "1 b")]).await;
}

#[tokio::test]
async fn headers_are_told_from_values_and_map_by_name() {
    let folder = TempDir::new().unwrap();
    let plain = file(&folder, "plain.csv", "1,2.5\n2,3.5\n");
    let swapped = file(&folder, "swapped.csv", "V,Id\n2.5,1\n");
    let other = file(&folder, "other.csv", "number,value\n3,4.5\n");
    let session = session(&["CREATE TABLE t (id INT, v DOUBLE)", "CREATE TABLE s (a TEXT, b TEXT)"]).await;
    assert!(answer(&session, &format!("COPY t FROM '{plain}'")).await.contains("holds values and was loaded"));
    assert!(answer(&session, &format!("COPY t FROM '{swapped}'")).await.contains("taken by the names of its header"));
    expect(
        &session,
        &[
            ("SELECT * FROM t", "1 2.5 / 2 3.5 / 1 2.5"),
            ("TRUNCATE TABLE t", "ok"),
            (&format!("COPY t FROM '{other}'"), "ok Loaded: 1 recs, Rejected: 0 recs"),
            (&format!("COPY t FROM '{plain}' WITH (header='true')"), "ok Loaded: 1 recs, Rejected: 0 recs"),
            (&format!("COPY s FROM '{other}'"), "error: whether the first line is a header"),
            (&format!("COPY s FROM '{other}' WITH (header='false')"), "ok Loaded: 2 recs, Rejected: 0 recs"),
            ("SELECT * FROM t", "3 4.5 / 2 3.5"),
        ],
    )
    .await;
}

#[tokio::test]
async fn options_of_copy_from() {
    let folder = TempDir::new().unwrap();
    let tabs = file(&folder, "tabs.tsv", "1\t'it''s'\t[1;2;NULL]\n2\t-\t\n");
    let session = session(&["CREATE TABLE t (i INT, s TEXT, a INT[])", "CREATE TABLE x (i INT[2], s TEXT[])"]).await;
    let options = "delimiter='\\t', quote='''', escape='''', nulls='-', array_delimiter=';', array_marker='[]', header='f', threads=4";
    let arrays = file(&folder, "arrays.csv", "\"{1, 2}\",\"{a, \"\"b,c\"\",}\"\n{1},{}\n{3,x},NULL\n,{}\n");
    expect(
        &session,
        &[
            (&format!("COPY t FROM '{tabs}' WITH ({options})"), "ok Loaded: 2 recs, Rejected: 0 recs"),
            ("SELECT * FROM t", "1 it's {1, 2, NULL} / 2 NULL NULL"),
            ("SELECT COUNT(*) FROM x", "0"),
            (&format!("COPY t FROM '{tabs}' WITH (delimiter=',,')"), "error: option delimiter of COPY: it is one ASCII character"),
            (&format!("COPY t FROM '{tabs}' WITH (header='maybe')"), "error: option header of COPY"),
            (&format!("COPY t FROM '{tabs}' WITH (max_reject='x')"), "error: option max_reject"),
            (&format!("COPY t FROM '{tabs}' WITH (speed='high')"), "error: invalid option for COPY FROM: speed"),
            (&format!("COPY t FROM '{tabs}' WITH (source_type='geo_file')"), "refused: geo_file"),
            (&format!("COPY t FROM '{tabs}' WITH (raster_point_type='auto')"), "refused: raster_point_type"),
            (&format!("COPY t FROM '{tabs}' WITH (source_type='regex_parsed_file')"), "error: line_regex"),
            ("COPY t FROM 's3://bucket/t.csv'", "refused: only files of this machine"),
            ("COPY t FROM '/nowhere/*.csv'", "error: no file matches"),
            ("COPY nowhere FROM '/nowhere/*.csv'", "error: table 'nowhere' does not exist"),
        ],
    )
    .await;
    let found = answer(&session, &format!("COPY x FROM '{arrays}' WITH (header='false')")).await;
    assert!(found.starts_with("ok Loaded: 3 recs, Rejected: 1 recs"), "{found}");
    assert!(found.contains("arrays.csv:2: '{1}' has 1 elements"), "{found}");
    expect(&session, &[("SELECT * FROM x", "{1, 2} {a, b,c, NULL} / {3, NULL} NULL / NULL {}")]).await;
}

#[tokio::test]
async fn many_files_archives_and_their_order() {
    let folder = TempDir::new().unwrap();
    file(&folder, "in/b2.csv", "x\n2\n");
    file(&folder, "in/a10.csv", "x\n10\n");
    file(&folder, "in/deep/c1.csv", "x\n1\n");
    file(&folder, "in/note.txt", "no rows");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(b"\xef\xbb\xbfx\r\n7\r\n").unwrap();
    let gz = file(&folder, "x.csv.gz", packed.finish().unwrap());
    let zip = file(&folder, "x.zip", b"PK\x03\x04rest");
    let root = folder.path().display().to_string();
    let session = session(&["CREATE TABLE t (x INT)"]).await;
    expect(
        &session,
        &[
            (&format!("COPY t FROM '{root}/in/*.csv'"), "ok Loaded: 2 recs, Rejected: 0 recs"),
            ("SELECT x FROM t", "10 / 2"),
            ("TRUNCATE TABLE t", "ok"),
            (
                &format!(
                    "COPY t FROM '{root}/in' WITH (regex_path_filter='.*\\.csv', file_sort_order_by='regex_number', file_sort_regex='(\\d+)\\.csv')"
                ),
                "ok Loaded: 3 recs, Rejected: 0 recs",
            ),
            ("SELECT x FROM t", "1 / 2 / 10"),
            ("TRUNCATE TABLE t", "ok"),
            (&format!("COPY t FROM '{gz}'"), "ok Loaded: 1 recs, Rejected: 0 recs"),
            ("SELECT x FROM t", "7"),
            (&format!("COPY t FROM '{zip}'"), "refused: unzip"),
            (&format!("COPY t FROM '{root}/in/[ab]*.csv' WITH (file_sort_order_by='date_modified')"), "ok Loaded: 2 recs, Rejected: 0 recs"),
        ],
    )
    .await;
}

#[tokio::test]
async fn lines_by_a_regular_expression() {
    let folder = TempDir::new().unwrap();
    let log = file(&folder, "x.log", "2020-01-01 INFO started\nnonsense\n2020-01-02 WARN two\n  lines\n");
    let session = session(&["CREATE TABLE t (d DATE, l TEXT, m TEXT)"]).await;
    let options = "source_type='regex_parsed_file', line_regex='^(\\S+) (\\w+) (.*)$', line_start_regex='\\d{4}-'";
    expect(
        &session,
        &[
            (&format!("COPY t FROM '{log}' WITH ({options})"), "ok Loaded: 2 recs, Rejected: 0 recs"),
            ("SELECT * FROM t", "2020-01-01 INFO started\nnonsense / 2020-01-02 WARN two\n  lines"),
            ("TRUNCATE TABLE t", "ok"),
            (
                &format!("COPY t FROM '{log}' WITH (source_type='regex_parsed_file', line_regex='(\\S+) (INFO|WARN) (.*)')"),
                "ok Loaded: 4 recs, Rejected: 0 recs; 2 lines do not match line_regex and are rows of NULL, as in HeavyDB",
            ),
            (&format!("COPY t FROM '{log}' WITH (source_type='regex_parsed_file', line_regex='(.*)')"), "error: 1 groups"),
        ],
    )
    .await;
}

#[tokio::test]
async fn copy_to_writes_what_heavydb_writes_and_copy_from_reads_it() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().display().to_string();
    let session = session(&[
        "CREATE TABLE T1 (\"Date\" DATE, X INT, D DOUBLE, N DECIMAL(5,2), S TEXT, M TIMESTAMP(3), A DOUBLE[])",
        "INSERT INTO t1 VALUES ('2020-01-02', 1, 0.1, 1.5, 'say \"hi\"', '2020-01-01 00:00:00.25', {1, NULL}), (NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        "CREATE TABLE t2 (\"Date\" DATE, X INT, D DOUBLE, N DECIMAL(5,2), S TEXT, M TIMESTAMP(3), A DOUBLE[])",
    ])
    .await;
    let all = answer(&session, "SELECT * FROM t1").await;
    expect(&session, &[(&format!("COPY t1 TO '{root}/out.csv'"), &format!("ok 2 rows written to {root}/out.csv"))]).await;
    let written = fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert_eq!(
        written,
        "Date,X,D,N,S,M,A\n\
         \"2020-01-02\",\"1\",\"0.1\",\"1.5\",\"say \"\"hi\"\"\",\"2020-01-01T00:00:00.250Z\",\"{1.000000 | NULL}\"\n\
         \"\\N\",\"\\N\",\"\\N\",\"\\N\",\"\\N\",\"\\N\",\"NULL\"\n"
    );
    expect(
        &session,
        &[
            (format!("COPY t2 FROM '{root}/out.csv' WITH (array_delimiter='|')").as_str(), "ok Loaded: 2 recs, Rejected: 0 recs"),
            ("SELECT * FROM t2", all.as_str()),
            (
                &format!("COPY (SELECT x, s FROM t1 WHERE x = 1) TO '{root}/small.csv' WITH (header='false', quoted='f', delimiter=';', nulls='')"),
                &format!("ok 1 rows written to {root}/small.csv"),
            ),
            (
                &format!("COPY (SELECT x FROM t1) TO '{root}/x.csv' WITH (file_compression='gzip')"),
                &format!("ok 2 rows written to {root}/x.csv.gz"),
            ),
        ],
    )
    .await;
    assert_eq!(fs::read_to_string(folder.path().join("small.csv")).unwrap(), "1;say \"hi\"\n");
    expect(
        &session,
        &[
            (&format!("COPY (SELECT 1) TO '{root}/x.zip' WITH (file_compression='zip')"), "refused: gzip"),
            (&format!("COPY (SELECT 1) TO '{root}/x' WITH (file_type='geojson')"), "refused: geo"),
            (&format!("COPY (SELECT 1) TO '{root}/x' WITH (max_reject=1)"), "error: invalid option for COPY TO"),
            (&format!("COPY (SELECT 1) TO '{root}/none/x.csv'"), "error: writing"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_failed_copy_to_leaves_the_file_as_it_was() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "out.csv", "before");
    let session = session(&["CREATE TABLE t (x INT)", "INSERT INTO t VALUES (0)"]).await;
    expect(&session, &[(&format!("COPY (SELECT 1 / x FROM t) TO '{path}'"), "error: ivision by zero")]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[tokio::test]
async fn parquet_files() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().display().to_string();
    let plain = SessionContext::new();
    let sql = format!("COPY (SELECT 'a' AS s, 7 AS x UNION ALL SELECT NULL, 8) TO '{root}/x.parquet' STORED AS PARQUET");
    plain.sql(&sql).await.unwrap().collect().await.unwrap();
    let session = session(&["CREATE TABLE t (x INT, s TEXT)"]).await;
    expect(
        &session,
        &[
            (&format!("COPY t FROM '{root}/x.parquet' WITH (source_type='parquet_file')"), "ok Loaded: 2 recs, Rejected: 0 recs"),
            ("SELECT * FROM t ORDER BY x", "7 a / 8 NULL"),
            (&format!("CREATE FOREIGN TABLE f (s TEXT, x BIGINT) SERVER default_local_parquet WITH (file_path='{root}/x.parquet')"), "ok"),
            ("SELECT SUM(x) FROM f", "15"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_table_of_a_query_may_have_any_name_and_a_comment_at_its_end() {
    let session = session(&[]).await;
    for name in ["my t", "Select", "a\"b"] {
        let name = quoted_if_needed(name);
        expect(
            &session,
            &[
                (&format!("CREATE TABLE {name} AS (SELECT * FROM (SELECT 1 AS x -- one\n) AS q LIMIT 0)"), "ok"),
                (&format!("SELECT COUNT(x) FROM {name}"), "0"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn defaults_keep_their_quotes() {
    let session = session(&["CREATE TABLE t (x INT, s TEXT DEFAULT 'it''s ''é''' ENCODING NONE)"]).await;
    expect(&session, &[("INSERT INTO t (x) VALUES (1), (2 - 1)", "ok"), ("SELECT DISTINCT s FROM t", "it's 'é'")]).await;
    let shown = answer(&session, "SHOW CREATE TABLE t").await;
    assert!(shown.contains("DEFAULT 'it''s ''é'''"), "{shown}");
    expect(&session, &[("DROP TABLE t", "ok"), (&shown, "ok"), ("SHOW CREATE TABLE t", &shown)]).await;
}

#[tokio::test]
async fn expressions_go_into_their_columns_and_rows() {
    let session = session(&["CREATE TABLE t (a INT, b TEXT, c INT, d INT DEFAULT 5)"]).await;
    expect(
        &session,
        &[
            ("INSERT INTO t (c, b, a) VALUES (1 + 1, 'x', 3), (4, LOWER('Y'), 5 + 1), (7, 'z', 8)", "ok"),
            ("SELECT * FROM t ORDER BY a", "3 x 2 5 / 6 y 4 5 / 8 z 7 5"),
        ],
    )
    .await;
}

#[tokio::test]
async fn keys_are_not_shown_again() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "x.csv", "x\n1\n");
    let session = session(&[]).await;
    let refused = answer(&session, "CREATE SERVER s FOREIGN DATA WRAPPER delimited_file WITH (s3_secret_key='topsecret')").await;
    assert!(refused.contains("s3_secret_key") && !refused.contains("topsecret"), "{refused}");
    let made = format!(
        "CREATE FOREIGN TABLE f (x INT) SERVER default_local_delimited \
         WITH (file_path='{path}', header='true', s3_access_key='top''secret', s3_secret_key='topsecret')"
    );
    expect(&session, &[(&made, "ok"), ("SELECT x FROM f", "1")]).await;
    for sql in ["SHOW CREATE TABLE f", "SELECT ddl_statement FROM information_schema.tables WHERE table_name = 'f'"] {
        let shown = answer(&session, sql).await;
        assert!(shown.contains("S3_SECRET_KEY='XXXXXXXX'") && shown.contains("HEADER='true'"), "{shown}");
        assert!(!shown.contains("topsecret") && !shown.contains("top''secret"), "{shown}");
    }
}

#[tokio::test]
async fn foreign_tables_and_dataframes_show_files() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "x.csv", "x,s\n1,a\n");
    let root = folder.path().display().to_string();
    let session = session(&[]).await;
    expect(
        &session,
        &[
            (
                &format!("CREATE FOREIGN TABLE f (x INT, s TEXT) SERVER default_local_delimited WITH (file_path='{path}', header='true')"),
                "ok",
            ),
            (&format!("CREATE SERVER here FOREIGN DATA WRAPPER delimited_file WITH (storage_type='LOCAL_FILE', base_path='{root}')"), "ok"),
            ("CREATE FOREIGN TABLE g (x INT, s TEXT) SERVER here WITH (file_path='x.csv')", "ok"),
            (&format!("CREATE DATAFRAME d (x INT, s TEXT) FROM 'CSV:{path}'"), "ok"),
            ("SELECT f.x, g.s, d.s FROM f, g, d", "1 a a"),
            ("INSERT INTO f VALUES (2, 'b')", "error: foreign table"),
            ("DELETE FROM f", "error: foreign table"),
        ],
    )
    .await;
    file(&folder, "x.csv", "x,s\n1,a\n2,b\n");
    let shown = answer(&session, "SHOW CREATE TABLE f").await;
    assert!(
        shown.starts_with("CREATE FOREIGN TABLE f (\n  x INTEGER,\n  s TEXT ENCODING DICT(32))\nSERVER default_local_delimited\nWITH ("),
        "{shown}"
    );
    expect(
        &session,
        &[
            ("SELECT COUNT(*) FROM f", "1"),
            ("REFRESH FOREIGN TABLES f, g", "ok"),
            ("SELECT COUNT(*) FROM f", "2"),
            ("REFRESH FOREIGN TABLES nowhere", "error: does not exist"),
            ("CREATE SERVER s3 FOREIGN DATA WRAPPER odbc", "refused: odbc"),
            ("CREATE FOREIGN TABLE k (x INT) SERVER nowhere WITH (file_path='x')", "error: server 'nowhere'"),
            ("DROP SERVER here", "ok"),
            ("DROP FOREIGN TABLE g", "ok"),
        ],
    )
    .await;
    file(&folder, "x.csv", "x,s\nwrong,a,b\n");
    expect(&session, &[("REFRESH FOREIGN TABLES f", "error: x.csv:2: 3 values"), ("SELECT COUNT(*) FROM f", "2")]).await;
}

#[tokio::test]
async fn inserts_with_expressions_and_defaults() {
    let session = session(&["CREATE TABLE t (d DATE, x SMALLINT DEFAULT 7, s TEXT, a INT[])"]).await;
    expect(
        &session,
        &[
            ("INSERT INTO t VALUES ('2020-01-01', 1 + 2 * (3), UPPER('a,)') || 'b', {1, 2}), (CAST('2021-01-01' AS DATE), 5, NULL, NULL)", "ok"),
            ("INSERT INTO t (s) VALUES ('x')", "ok"),
            ("INSERT INTO t (s, x) SELECT s, 40000 - 39990 FROM t WHERE s = 'x'", "ok"),
            ("SELECT * FROM t", "2020-01-01 7 A,)b {1, 2} / 2021-01-01 5 NULL NULL / NULL 7 x NULL / NULL 10 x NULL"),
            ("INSERT INTO t (x) VALUES (1), (40000)", "error: 40000"),
            ("INSERT INTO t (x) VALUES (1), (20000 + 20000)", "error: "),
            ("INSERT INTO t (x, x) VALUES (1, 2)", "error: twice"),
            ("INSERT INTO t (y) VALUES (1)", "error: no column 'y'"),
            ("INSERT INTO t (x) VALUES (1, 2)", "error: more values"),
            ("INSERT INTO t (x) VALUES (1", "error: row 1"),
            ("INSERT INTO t (x) VALUES (1) x", "error: end of the statement"),
            ("INSERT INTO t (d) VALUES ('soon')", "error: 'soon'"),
            ("INSERT INTO nowhere VALUES (1)", "error: does not exist"),
            ("SELECT COUNT(*) FROM t", "4"),
        ],
    )
    .await;
}

#[tokio::test]
async fn values_that_a_column_cannot_hold_fail_the_statement_whole() {
    let session = session(&[
        "CREATE TABLE t (x INT, n DECIMAL(4,1), e BIGINT ENCODING FIXED(8), o DATE ENCODING DAYS(16), z INT NOT NULL DEFAULT 0)",
        "CREATE TABLE u (x BIGINT)",
        "INSERT INTO u VALUES (1), (3000000000)",
    ])
    .await;
    expect(
        &session,
        &[
            ("INSERT INTO t (x) VALUES (1), (-2147483648)", "error: range"),
            ("INSERT INTO t (z) VALUES (-2147483648)", "ok"),
            ("INSERT INTO t (n) VALUES (999.94), (1234.5)", "error: range"),
            ("INSERT INTO t (n) VALUES (999.94)", "ok"),
            ("INSERT INTO t (e) VALUES (-127), (127)", "ok"),
            ("INSERT INTO t (e) VALUES (-128)", "error: range"),
            ("INSERT INTO t (o) VALUES ('2060-01-01')", "error: range"),
            ("INSERT INTO t (z) VALUES (NULL)", "error: "),
            ("INSERT INTO t (x) SELECT x FROM u", "error: "),
            (&format!("INSERT INTO t (x) VALUES (2), ('{}')", "9".repeat(20)), "error: "),
            ("SELECT COUNT(*), MAX(n) FROM t", "4 999.9"),
        ],
    )
    .await;
}

#[tokio::test]
async fn options_of_create_table_are_checked() {
    let session = session(&[]).await;
    let cases: Vec<(String, &str)> = [
        ("fragment_size=75000000", "ok"),
        ("fragment_size=0", "error: FRAGMENT_SIZE"),
        ("fragment_size='many'", "error: FRAGMENT_SIZE"),
        ("page_size=-1", "error: PAGE_SIZE"),
        ("max_rollback_epochs=-1", "error: MAX_ROLLBACK_EPOCHS"),
        ("partitions='REPLICATED'", "ok"),
        ("partitions='some'", "error: SHARDED or REPLICATED"),
        ("vacuum='immediate'", "ok"),
        ("vacuum='never'", "error: IMMEDIATE or DELAYED"),
        ("sort_column='X'", "ok"),
        ("sort_column='y'", "error: 'y'"),
        ("shard_count=4", "error: SHARD KEY"),
        ("storage_type='GPU_HASH'", "ok"),
        ("COMPRESSION='LZ4'", "error: COMPRESSION"),
        ("use_shared_dictionaries='true'", "error: USE_SHARED_DICTIONARIES"),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, (option, wanted))| (format!("CREATE TABLE t{number} (x INT) WITH ({option})"), wanted))
    .collect();
    expect(&session, &cases.iter().map(|(sql, wanted)| (sql.as_str(), *wanted)).collect::<Vec<_>>()).await;
    expect(
        &session,
        &[
            ("CREATE TABLE k (x INT, SHARD KEY (x)) WITH (shard_count=4)", "ok"),
            ("CREATE TABLE k2 (x INT, SHARD KEY (y)) WITH (shard_count=4)", "error: no column 'y'"),
            ("CREATE TABLE k3 (x INT, SHARD KEY (x)) WITH (partitions='REPLICATED')", "error: REPLICATED"),
            ("CREATE TABLE k4 (x INT, rowid INT)", "refused: rowid"),
            ("CREATE TABLE k5 (x INT, X TEXT)", "refused: twice"),
            ("CREATE TABLE k6 (x TIMESTAMP(1))", "error: precision"),
            ("CREATE TABLE k7 (x INT DEFAULT 'a')", "error: 'a'"),
            ("CREATE TABLE k8 (x INT NOT NULL DEFAULT NULL)", "error: NOT NULL"),
            ("CREATE TABLE k9 ()", "error: expected"),
            ("CREATE TABLE c AS (SELECT 1 AS a, 'x' AS b) WITH (use_shared_dictionaries='false', fragment_size=5, sort_column='A')", "ok"),
            ("CREATE TABLE IF NOT EXISTS c AS SELECT 5 AS z", "ok"),
            ("SELECT * FROM c", "1 x"),
            ("CREATE TABLE c (x INT)", "error: already exists"),
            ("CREATE TABLE c2 AS SELECT 1 AS a WITH (nothing=1)", "error: "),
            ("CREATE TABLE c3 AS SELECT 1 AS a, 2 AS a", "ok"),
        ],
    )
    .await;
}

#[tokio::test]
async fn sort_column_sorts_what_is_written() {
    let session =
        session(&["CREATE TABLE t (x INT, s TEXT) WITH (sort_column='x')", "INSERT INTO t VALUES (3, 'c'), (1, 'a'), (NULL, 'n')"]).await;
    expect(
        &session,
        &[
            ("SELECT * FROM t", "NULL n / 1 a / 3 c"),
            ("SELECT rowid FROM t", "refused: rowid"),
            ("ALTER TABLE t ADD COLUMN y INT", "error: sort_column"),
            ("ALTER TABLE t DROP COLUMN x", "error: sort_column"),
            ("ALTER TABLE t RENAME COLUMN x TO z", "ok"),
            ("INSERT INTO t VALUES (2, 'b'), (0, 'z')", "ok"),
            ("SELECT s FROM t", "n / a / c / z / b"),
        ],
    )
    .await;
}

#[tokio::test]
async fn geometries_are_kept_and_not_used() {
    let session = session(&["CREATE TABLE g (x INT, p POINT)", "INSERT INTO g VALUES (1, 'POINT (1 2)')"]).await;
    expect(
        &session,
        &[
            ("SELECT x FROM g", "1"),
            ("SELECT COUNT(*) FROM g", "1"),
            ("SELECT * FROM g", "refused: column p of g"),
            ("SELECT x FROM g WHERE p IS NOT NULL", "refused: column p"),
            ("SELECT rowid, p FROM g", "refused: column p"),
            ("CREATE TABLE h AS SELECT * FROM g", "refused: column p"),
            ("UPDATE g SET x = 2 WHERE x = 1", "ok 1 rows updated"),
            ("ALTER TABLE g ADD COLUMN y INT DEFAULT 5", "ok"),
            ("SELECT x, y FROM g", "2 5"),
            ("ALTER TABLE g DROP COLUMN p", "ok"),
            ("SELECT * FROM g", "2 5"),
        ],
    )
    .await;
}

#[tokio::test]
async fn updates_and_deletes_with_subqueries() {
    let session = session(&[
        "CREATE TABLE t (id INT, v INT, d DATE, s TEXT)",
        "INSERT INTO t VALUES (1, 10, '2020-01-01', 'a'), (2, 0, '2020-01-02', 'b'), (3, 30, NULL, 'c')",
        "CREATE TABLE u (id INT, w INT)",
        "INSERT INTO u VALUES (1, 5), (3, 7), (9, 9)",
    ])
    .await;
    expect(
        &session,
        &[
            ("UPDATE t SET v = 100 / v WHERE v > 0", "ok 2 rows updated"),
            ("UPDATE t SET d = '2021-05-05', s = NULL WHERE id = 2", "ok 1 rows updated"),
            ("SELECT * FROM t", "1 10 2020-01-01 a / 2 0 2021-05-05 NULL / 3 3 NULL c"),
            ("UPDATE t SET v = v + 1000 WHERE id IN (SELECT id FROM u)", "ok 2 rows updated"),
            ("UPDATE t SET v = (SELECT MAX(w) FROM u) WHERE id = 2", "ok 1 rows updated"),
            ("SELECT id, v FROM t", "1 1010 / 2 9 / 3 1003"),
            (
                "UPDATE t SET v = (SELECT MAX(w) FROM u WHERE u.id = t.id) WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id)",
                "ok 2 rows updated",
            ),
            ("SELECT id, v FROM t", "1 5 / 2 9 / 3 7"),
            ("SELECT rowid FROM t", "0 / 1 / 2"),
            ("UPDATE t SET v = 1 / (v - 5)", "error: ivision by zero"),
            ("UPDATE t SET v = 99999999999", "error: "),
            ("UPDATE t SET nothing = 1", "error: no column 'nothing'"),
            ("SELECT id, v FROM t", "1 5 / 2 9 / 3 7"),
            ("DELETE FROM t WHERE id = (SELECT MAX(id) FROM t)", "ok 1 rows deleted"),
            ("DELETE FROM t WHERE d IS NULL", "ok 0 rows deleted"),
            ("SELECT rowid FROM t", "refused: rowid"),
            ("UPDATE t SET v = 1 WHERE id = 1", "ok 1 rows updated"),
            ("SELECT id, v FROM t", "1 1 / 2 9"),
            ("DELETE FROM t", "ok 2 rows deleted"),
            ("SELECT COUNT(*) FROM t", "0"),
            ("DELETE FROM t WHERE", "error: "),
        ],
    )
    .await;
}

#[tokio::test]
async fn tables_change_their_names_and_columns() {
    let session = session(&[
        "CREATE TABLE a (x INT)",
        "INSERT INTO a VALUES (1)",
        "CREATE TABLE b (y TEXT)",
        "INSERT INTO b VALUES ('12'), ('13')",
        "CREATE VIEW v AS SELECT y FROM b",
    ])
    .await;
    expect(
        &session,
        &[
            ("RENAME TABLE a TO b, b TO a", "ok"),
            ("SELECT y FROM a", "12 / 13"),
            ("RENAME TABLE a TO b", "error: exists already"),
            ("RENAME TABLE nowhere TO c", "error: does not exist"),
            ("RENAME TABLE a TO b, b TO a", "ok"),
            ("ALTER TABLE a RENAME TO C", "ok"),
            ("SHOW TABLES", "b / C"),
            ("ALTER TABLE c ADD COLUMN (d DOUBLE DEFAULT 1.5, e TEXT)", "ok"),
            ("ALTER TABLE c ADD f INT NOT NULL", "error: "),
            ("ALTER TABLE c ADD x INT", "error: already"),
            ("SELECT * FROM c", "1 1.5 NULL"),
            ("ALTER TABLE c RENAME COLUMN x TO \"Date\"", "ok"),
            ("SELECT \"date\" FROM c", "1"),
            ("ALTER TABLE c DROP COLUMN d, DROP COLUMN e", "ok"),
            ("ALTER TABLE c DROP COLUMN \"Date\"", "error: at least one"),
            ("ALTER TABLE c ALTER COLUMN \"Date\" TYPE TEXT", "ok"),
            ("SELECT \"date\" || 'x' FROM c", "1x"),
            ("ALTER TABLE b ALTER COLUMN y TYPE INT", "error: there is no CAST"),
            ("SELECT y FROM v", "12 / 13"),
            ("ALTER TABLE c SET max_rollback_epochs = 5, max_rows = 10", "ok"),
            ("ALTER TABLE c SET fragment_size = 5", "error: fragment_size"),
            ("ALTER TABLE c SET max_rows = 'x'", "error: MAX_ROWS"),
            ("CREATE VIEW IF NOT EXISTS v AS SELECT 1", "ok"),
            ("CREATE VIEW v AS SELECT 1", "error: already exists"),
            ("CREATE VIEW c AS SELECT 1", "error: already exists"),
            ("CREATE VIEW w (a) AS SELECT 1", "refused: columns of a view"),
            ("CREATE OR REPLACE VIEW v AS SELECT y || '!' FROM b", "ok"),
            ("SELECT * FROM v", "12! / 13!"),
            ("CREATE OR REPLACE VIEW v AS SELECT nothing FROM b", "error: "),
            ("SELECT * FROM v", "12! / 13!"),
            ("DROP TABLE v", "error: is a view"),
            ("DROP VIEW c", "error: is a table"),
            ("DROP TABLE c, nowhere", "error: 'nowhere' does not exist"),
            ("SELECT COUNT(*) FROM c", "1"),
            ("DROP TABLE IF EXISTS c, nowhere", "ok"),
            ("SELECT COUNT(*) FROM c", "error: "),
            ("DROP VIEW IF EXISTS v", "ok"),
            ("DROP VIEW v", "error: does not exist"),
        ],
    )
    .await;
}

#[tokio::test]
async fn shown_statements_make_the_same_table_again() {
    let session = session(&[
        "CREATE TEMPORARY TABLE T (\"Date\" TEXT NOT NULL ENCODING DICT(16), Zone TEXT ENCODING NONE, i BIGINT DEFAULT 5 ENCODING FIXED(16), \
         n DECIMAL(4,2), o DATE ENCODING DAYS(16), a INT[3], b TEXT[], m TIMESTAMP, h TIME, p POINT, \"a b\" DOUBLE, SHARD KEY (i)) \
         WITH (fragment_size=100, vacuum='immediate', shard_count=2, sort_column='i', max_rows=10)",
        "COMMENT ON TABLE t IS 'all */ types'",
        "COMMENT ON COLUMN t.zone IS 'where'",
        "CREATE VIEW V AS SELECT i FROM t",
    ])
    .await;
    let shown = answer(&session, "SHOW CREATE TABLE t").await;
    assert_eq!(
        shown,
        "CREATE TEMPORARY TABLE T /* all *\\/ types */ (\n  \"Date\" TEXT NOT NULL ENCODING DICT(16),\n  Zone TEXT ENCODING NONE /* where */,\n  \
         i BIGINT DEFAULT 5 ENCODING FIXED(16),\n  n DECIMAL(4,2) ENCODING FIXED(16),\n  o DATE ENCODING DAYS(16),\n  a INTEGER[3],\n  \
         b TEXT[] ENCODING DICT(32),\n  m TIMESTAMP(0),\n  h TIME,\n  p POINT,\n  \"a b\" DOUBLE,\n  SHARD KEY(i))\n\
         WITH (FRAGMENT_SIZE=100, MAX_ROWS=10, VACUUM='IMMEDIATE', SHARD_COUNT=2, SORT_COLUMN='i');"
    );
    expect(
        &session,
        &[
            ("SHOW CREATE TABLE v", "CREATE VIEW V AS SELECT i FROM t;"),
            ("COMMENT ON TABLE t IS NULL", "ok"),
            ("COMMENT ON COLUMN t.zone IS NULL", "ok"),
            ("COMMENT ON COLUMN t.nothing IS 'x'", "error: no column"),
        ],
    )
    .await;
    let shown = answer(&session, "SHOW CREATE TABLE t").await;
    expect(&session, &[("DROP TABLE t", "ok"), (&shown, "ok"), ("SHOW CREATE TABLE t", &shown)]).await;
}

#[tokio::test]
async fn shows_have_heavydbs_columns() {
    let session = session(&["CREATE TABLE One (x INT)", "INSERT INTO one VALUES (1)"]).await;
    for (sql, columns) in [
        ("SHOW TABLES", "table_name"),
        ("SHOW DATABASES", "Database,Owner"),
        ("SHOW FUNCTIONS", "Scalar UDF"),
        ("SHOW FUNCTIONS DETAILS", "name,signature,CPU,GPU,Runtime"),
        ("SHOW RUNTIME FUNCTIONS", "Runtime Scalar UDF"),
        ("SHOW TABLE FUNCTIONS", "Table UDF"),
        ("SHOW MODELS", "model_name"),
        ("SHOW SERVERS", "server_name,data_wrapper,created_at,options"),
        ("SHOW ROLES", "ROLES"),
        ("SHOW USER SESSIONS;", "session_id,login_name,client_address,db_name"),
    ] {
        let frame = session.run(sql).await.unwrap().rows.unwrap();
        let names: Vec<&str> = frame.schema().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names.join(","), columns, "{sql}");
    }
    let frame = session.run("SHOW TABLE DETAILS one").await.unwrap().rows.unwrap();
    assert_eq!(frame.schema().fields().len(), 20);
    let found = answer(&session, "SHOW TABLE DETAILS one").await;
    assert!(found.starts_with("1 One 1 false 0 4611686018427387904 32000000 3 0 0"), "{found}");
    expect(&session, &[("SHOW TABLE DETAILS two", "error: 'two'"), ("SHOW NOTHING", "error: SHOW lists")]).await;
}

#[tokio::test]
async fn information_schema_lists_tables_and_columns() {
    let session =
        session(&["CREATE TABLE Hardware_Info (\"Date\" TEXT, n DECIMAL(5,1))", "CREATE VIEW v AS SELECT n FROM hardware_info"]).await;
    expect(
        &session,
        &[
            ("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'hardware_info'", "0"),
            ("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'Hardware_Info'", "1"),
            ("SELECT table_name, table_type FROM information_schema.tables ORDER BY table_name", "Hardware_Info DEFAULT / v VIEW"),
            (
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'Hardware_Info' ORDER BY column_id",
                "Date TEXT / n DECIMAL(5,1)",
            ),
            ("SELECT column_name FROM information_schema.columns WHERE table_name = 'v'", "n"),
            ("SELECT * FROM information_schema.nothing", "error: "),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_a_server_has_is_noted_and_what_heavydb_refuses_is_refused() {
    let session = session(&["CREATE TABLE t (x INT)"]).await;
    for noted in [
        "CREATE USER u (password = 'x')",
        "CREATE ROLE r",
        "GRANT SELECT ON TABLE t TO r",
        "REVOKE ALL ON DATABASE heavyai FROM r",
        "CREATE DATABASE d",
        "DROP USER u",
        "ALTER SESSION SET EXECUTOR_DEVICE = 'CPU'",
        "ALTER SYSTEM CLEAR CPU MEMORY",
        "REASSIGN OWNED BY a TO b",
        "KILL QUERY '1-x'",
        "VALIDATE CLUSTER",
        "OPTIMIZE TABLE t WITH (VACUUM='true')",
    ] {
        let outcome = session.run(noted).await.unwrap_or_else(|error| panic!("{noted}: {error}"));
        assert!(outcome.note.is_some(), "{noted}");
    }
    expect(
        &session,
        &[
            ("CREATE INDEX i ON t (x)", "refused: indexes"),
            ("CREATE MODEL m OF TYPE linear_reg AS SELECT 1", "refused: machine learning"),
            ("DUMP TABLE t TO '/x'", "refused: COPY (SELECT"),
            ("RESTORE TABLE t FROM '/x'", "refused: COPY (SELECT"),
            ("SET memory_limit = 32GB", "error: no statement"),
            ("SELECT * FROM omnisci_tables", "error: "),
            ("OPTIMIZE TABLE nowhere", "error: does not exist"),
            ("TRUNCATE TABLE nowhere", "error: does not exist"),
            ("", "error: "),
            ("COPY", "error: "),
        ],
    )
    .await;
}

/// Whatever the bytes, COPY tells what is wrong or loads what it can.
#[tokio::test]
async fn no_bytes_make_copy_panic() {
    let folder = TempDir::new().unwrap();
    let session = session(&["CREATE TABLE t (x INT, s TEXT, a DOUBLE[], k TEXT[2], d DATE, f FLOAT, n DECIMAL(18,3))"]).await;
    let pieces =
        ["\"", ",", "\n", "{", "}", "1", "-", "e5", "\\N", "NULL", "\r", "é", "{1,2}", "0x1", "9999999999999999999999", "2020-01-01", "."];
    let mut state = 1_u64;
    for round in 0..300 {
        let mut text = Vec::new();
        for _ in 0..60 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pick = usize::try_from(state >> 33).unwrap();
            if pick % 97 == 0 { text.push(0xff) } else { text.extend_from_slice(pieces[pick % pieces.len()].as_bytes()) }
        }
        let path = file(&folder, "x.csv", &text);
        let header = if round % 2 == 0 { "header='false'" } else { "header='true'" };
        let found = answer(&session, &format!("COPY t FROM '{path}' WITH ({header})")).await;
        assert!(found.starts_with("ok Loaded") || found.starts_with("error"), "{found}");
    }
    assert!(Path::new(folder.path()).exists());
}
