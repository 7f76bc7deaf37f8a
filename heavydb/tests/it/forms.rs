//! Forms of queries: what a user gets, or why it is refused.

use std::sync::Arc;

use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_heavydb::planner::GUARDS;
use datafusion_heavydb::replay::render;
use datafusion_heavydb::replay::rows::Rows;
use datafusion_heavydb::tables::{Database, HeavySession};
use datafusion_heavydb::{Options, Refusal};

const SETUP: &[&str] = &[
    "CREATE TABLE t (i INT, b BIGINT, s SMALLINT, f FLOAT, d DOUBLE, c DECIMAL(10,2), x TEXT, o BOOLEAN, dt DATE, ti TIME, ts TIMESTAMP(0), \
     ts3 TIMESTAMP(3), a INT[], ta TEXT[])",
    "INSERT INTO t VALUES (1, 10, 1, 1.5, 2.5, 1.25, 'a', 't', '2020-01-01', '01:02:03', '2020-01-01 00:00:00', '2020-01-01 00:00:00.5', \
     {1,2,3}, {'a','b'})",
    "INSERT INTO t VALUES (2, 20, 2, 2.5, -2.5, 2.50, 'b', 'f', '2020-02-01', '02:02:03', '2020-02-01 00:00:00', '2020-02-01 00:00:00.5', \
     {2,3}, {'b'})",
    "INSERT INTO t VALUES (3, 20, NULL, 2.5, 0.0, NULL, '3', NULL, '2020-02-01', NULL, NULL, NULL, {3}, {'c'})",
    "INSERT INTO t VALUES (NULL, NULL, 4, NULL, NULL, 12345678.90, NULL, 't', NULL, '03:00:00', '2021-01-01 00:00:00', \
     '2021-01-01 00:00:00', NULL, NULL)",
    "CREATE TABLE u (i INT, b BIGINT, x TEXT, d DOUBLE)",
    "INSERT INTO u VALUES (1, 100, 'a', 1.0), (2, 200, 'b', 2.0), (2, 300, 'c', 3.0), (NULL, 400, NULL, NULL)",
    "CREATE TABLE k (i INT NOT NULL, v INT)",
    "INSERT INTO k VALUES (1, 5), (2, 7), (4, 9)",
    "CREATE TABLE e (i INT, x TEXT)",
];

/// A session with the tables of the queries.
pub(crate) async fn session(partitions: usize) -> HeavySession {
    let base = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
    let session = HeavySession::new(&base.state(), &Arc::new(Database::default()), &Options::default());
    for statement in SETUP {
        session.run(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    session
}

/// Rows as text: columns by blanks, rows by ` / `; `refused: ...` and `error: ...` otherwise.
pub(crate) async fn answer(session: &HeavySession, sql: &str) -> String {
    let outcome = async {
        let (plan, _) = session.plan(sql).await?;
        let frame = session.context().execute_logical_plan(plan).await?;
        let schema = frame.schema().as_arrow().clone();
        let rows = Rows::try_new(&schema, &frame.collect().await?).expect("readable rows");
        let line = |row| (0..rows.width()).map(|column| render::cell(&rows.cell(row, column))).collect::<Vec<_>>().join(" ");
        Ok::<_, datafusion::error::DataFusionError>((0..rows.len()).map(line).collect::<Vec<_>>().join(" / "))
    };
    outcome.await.unwrap_or_else(|error| match Refusal::of(&error) {
        Some(refusal) => format!("refused: {refusal}"),
        None => format!("error: {}", error.strip_backtrace()),
    })
}

/// Queries and their answers; a refusal by a part of its message after `refused:`.
const FORMS: &[(&str, &str)] = &[
    // Types that meet in a choice.
    ("SELECT CASE WHEN o THEN i ELSE d END FROM t ORDER BY t.i", "1.0 / -2.5 / 0.0 / NULL"),
    ("SELECT q.v / 2 FROM (SELECT i, CASE WHEN o THEN i ELSE d END AS v FROM t) q ORDER BY q.i", "0.5 / -1.25 / 0.0 / NULL"),
    ("SELECT CASE WHEN o THEN f ELSE c END FROM t ORDER BY t.i", "1.5 / 2.5 / NULL / NULL"),
    (
        "SELECT COALESCE(c, i), COALESCE(b, f, d), COALESCE(x, 'none') FROM t ORDER BY t.i",
        "1.25 10.0 a / 2.50 20.0 b / 3.00 20.0 3 / 12345678.90 NULL none",
    ),
    ("SELECT COALESCE(i, 1.5) / 2 FROM t ORDER BY t.i", "0.5 / 1.0 / 1.5 / 0.7"),
    ("SELECT CASE i WHEN 1 THEN 'one' WHEN 2 THEN x END FROM t ORDER BY t.i", "one / b / NULL / NULL"),
    ("SELECT CASE WHEN i - 1 = 0 THEN 0.5 ELSE 10 / (i - 1) END FROM t WHERE i IS NOT NULL ORDER BY i", "0.5 / 10.0 / 5.0"),
    ("SELECT dt + CASE WHEN o THEN INTERVAL '1' DAY ELSE INTERVAL '2' DAY END FROM t WHERE i = 2", "2020-02-03"),
    ("SELECT NULLIF(i, 2), NULLIF(x, 'a'), NULLIF(c, 1.25) FROM t WHERE i < 3 ORDER BY i", "1 NULL NULL / NULL b 2.50"),
    ("SELECT GREATEST(i, 2), LEAST(d, i), GREATEST(x, 'b') FROM t WHERE i < 3 ORDER BY i", "2 1.0 b / 2 -2.5 b"),
    ("SELECT CASE WHEN o THEN dt ELSE ts END FROM t", "refused: t.dt, t.ts"),
    ("SELECT CASE WHEN o THEN ts ELSE ts3 END FROM t", "refused: t.ts, t.ts3"),
    ("SELECT COALESCE(dt, '2020-01-01') FROM t", "refused: t.dt"),
    ("SELECT NULLIF(x, 3) FROM t", "refused: t.x"),
    ("SELECT COUNT_IF(i) FROM t", "refused: t.i"),
    ("SELECT COUNT(*) FROM t WHERE dt < TIMESTAMP(6) '2274-10-25 19:21:56.000000000' AND ts < DATE '2900-01-01'", "2"),
    ("SELECT COUNT(*) FROM (VALUES (DATE '2900-01-01')) AS v(d) WHERE d > TIMESTAMP(9) '2200-01-01 00:00:00.000000001'", "1"),
    ("SELECT ts = dt, ts3 > dt FROM t WHERE i < 3 ORDER BY i", "true true / true true"),
    // Names.
    ("SELECT i / 10 AS i, COUNT(*) FROM t GROUP BY i HAVING i > 0", ""),
    ("SELECT i / 10 AS i, COUNT(*) FROM t GROUP BY i HAVING COUNT(*) > 0 AND i > 0", "0 1 / 0 1 / 0 1"),
    ("SELECT x, SUM(i) AS i FROM t GROUP BY x HAVING i > 1 ORDER BY i", "b 2 / 3 3"),
    ("SELECT b / 10 AS b, COUNT(*) FROM t GROUP BY b ORDER BY 2, 1", "1 1 / NULL 1 / 2 2"),
    ("SELECT i % 2 AS q, COUNT(*) FROM t GROUP BY q ORDER BY q", "0 1 / 1 2 / NULL 1"),
    ("SELECT -i AS i FROM t ORDER BY i + 1", "-3 / -2 / -1 / NULL"),
    ("SELECT x, i FROM t ORDER BY 2 DESC NULLS LAST", "3 3 / b 2 / a 1 / NULL NULL"),
    ("SELECT EXPR$0 FROM (SELECT i + 1 FROM t WHERE i = 1)", "2"),
    ("SELECT expr$1 FROM (VALUES (1, 'a'), (2, 'b')) ORDER BY 1", "a / b"),
    ("SELECT p FROM (SELECT i, b FROM u) AS z(p, q) WHERE q = 100", "1"),
    ("SELECT * FROM (SELECT i, i FROM u WHERE i = 1)", "1 1"),
    // Rows by number.
    ("SELECT i FROM t ORDER BY i LIMIT 2 OFFSET 1", "2 / 3"),
    ("SELECT i FROM t ORDER BY i OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY", "2 / 3"),
    ("SELECT i FROM t ORDER BY i FETCH FIRST ROW ONLY", "1"),
    ("SELECT i FROM t ORDER BY i FETCH FIRST 1 ROW WITH TIES", "refused: FETCH"),
    ("SELECT i FROM t ORDER BY i DESC", "NULL / 3 / 2 / 1"),
    ("SELECT i FROM t ORDER BY i NULLS FIRST", "NULL / 1 / 2 / 3"),
    ("SELECT DISTINCT b, i FROM t ORDER BY 2, 1", "10 1 / 20 2 / 20 3 / NULL NULL"),
    // Rows that LIMIT leaves inside.
    ("SELECT COUNT(*) FROM (SELECT i FROM t LIMIT 2)", "2"),
    ("SELECT SUM(i) FROM (SELECT i FROM t LIMIT 10)", "6"),
    ("SELECT SUM(i) FROM (SELECT i FROM t ORDER BY i LIMIT 2)", "3"),
    ("SELECT SUM(i) FROM (SELECT i FROM t LIMIT 2)", "refused: LIMIT inside the query"),
    ("SELECT SUM(i) FROM (SELECT i FROM t ORDER BY i OFFSET 2)", "3"),
    ("SELECT SUM(b) FROM (SELECT i, b FROM t ORDER BY b LIMIT 2)", "30"),
    ("SELECT SUM(i) FROM (SELECT i, b FROM t ORDER BY b LIMIT 2)", "refused: LIMIT inside the query"),
    ("SELECT COUNT(*) FROM t WHERE i IN (SELECT i FROM u LIMIT 1)", "refused: LIMIT inside the query"),
    ("SELECT i FROM t WHERE i = (SELECT i FROM u ORDER BY i DESC NULLS LAST LIMIT 1)", "2"),
    ("SELECT COUNT(*) FROM t WHERE EXISTS (SELECT i FROM u LIMIT 1)", "4"),
    // Groups of every type.
    ("SELECT f, COUNT(*) FROM t GROUP BY f ORDER BY 1", "1.5 1 / 2.5 2 / NULL 1"),
    ("SELECT o, COUNT(*) FROM t GROUP BY o ORDER BY 1", "false 1 / true 2 / NULL 1"),
    ("SELECT ts, COUNT(*) FROM t GROUP BY ts ORDER BY 1 LIMIT 1", "2020-01-01 00:00:00 1"),
    (
        "SELECT COUNT(DISTINCT x), COUNT(DISTINCT b), COUNT(DISTINCT f), COUNT(DISTINCT o), COUNT(DISTINCT dt), COUNT(DISTINCT c) FROM t",
        "3 2 2 2 2 3",
    ),
    // Table functions.
    ("SELECT generate_series FROM TABLE(generate_series(1, 10, 3))", "1 / 4 / 7 / 10"),
    ("SELECT g.generate_series * 2 FROM generate_series(1, 2) AS g", "2 / 4"),
    ("SELECT g.v FROM TABLE(generate_series(5, 1, -2)) AS g(v)", "5 / 3 / 1"),
    ("SELECT COUNT(*) FROM TABLE(generate_series(5, 1))", "0"),
    ("SELECT * FROM TABLE(generate_series(1, 5, 0))", "refused: GENERATE_SERIES"),
    ("SELECT * FROM TABLE(generate_random_strings(3, 4))", "refused: GENERATE_RANDOM_STRINGS"),
    ("SELECT UNNEST(a) FROM t", "refused: UNNEST"),
    // Arrays.
    (
        "SELECT i = ANY a, NOT (2.5 < ANY a), x = ANY ta FROM t ORDER BY t.i",
        "true false true / true false true / true false false / false true false",
    ),
    ("SELECT 3 <= ALL a, i <> ANY(a) FROM t WHERE i > 0 ORDER BY i", "false true / false true / true false"),
    ("SELECT 2 > ALL a FROM t", "refused: ALL of a NULL array"),
    ("SELECT i = ANY ta FROM t", "refused: ANY"),
    // Sets.
    ("SELECT i IN (SELECT i FROM u) FROM t ORDER BY t.i", "true / true / NULL / NULL"),
    ("SELECT i NOT IN (SELECT i FROM e) FROM t ORDER BY t.i", "true / true / true / true"),
    ("SELECT i FROM t WHERE i NOT IN (SELECT i FROM u)", ""),
    ("SELECT i FROM t WHERE i NOT IN (SELECT i FROM u WHERE i IS NOT NULL)", "3"),
    ("SELECT COUNT(*) FROM t WHERE (i IN (SELECT i FROM u)) IS NULL", "2"),
    ("SELECT COUNT(*) FROM t WHERE (i NOT IN (SELECT i FROM u)) IS NOT TRUE", "4"),
    ("SELECT COUNT(*) FROM t WHERE i IN (SELECT i FROM u) OR b = 20", "3"),
    ("SELECT CASE WHEN i IN (SELECT i FROM u) THEN 'in' ELSE 'out' END AS q, COUNT(*) FROM t GROUP BY q ORDER BY q", "in 2 / out 2"),
    ("SELECT SUM(CASE WHEN i IN (SELECT i FROM u) THEN 1 ELSE 0 END) FROM t", "2"),
    ("SELECT COUNT(*) FROM t JOIN u ON t.i = u.i AND t.i IN (SELECT i FROM k)", "3"),
    ("SELECT COUNT(*) FROM t LEFT JOIN u ON t.i IN (SELECT i FROM k)", "10"),
    ("SELECT COUNT(*) FROM t WHERE i IN (SELECT i FROM u WHERE i IN (SELECT i FROM k))", "2"),
    ("SELECT COUNT(*) FROM t WHERE i NOT IN (1, 2, NULL)", "0"),
    ("SELECT COUNT(*) FROM t WHERE i NOT IN (SELECT generate_series FROM TABLE(generate_series(2, 200)))", "1"),
    (
        "SELECT COUNT(*) FROM t WHERE (i IN (SELECT generate_series FROM TABLE(generate_series(1, 1)))) = TRUE OR i IN (SELECT generate_series FROM TABLE(generate_series(3, 9)))",
        "2",
    ),
    ("SELECT COUNT(*) FROM t WHERE b / (-d * 0) > 1", "error: Execution error: division by zero"),
    ("SELECT CAST(dt AS TEXT FORMAT 'YYYY') FROM t", "refused: CAST"),
    ("SELECT * FROM generate_series(1, 10, step => 2)", "refused: GENERATE_SERIES"),
    ("SELECT i & 1 FROM t", "refused: &"),
    ("SELECT 2.5::INT FROM t", "refused: 2.5::INT"),
    ("SELECT SAFE_CAST(x AS INT) FROM t", "refused: SAFE_CAST"),
    ("SELECT 0x1F FROM t", "refused: "),
    ("SELECT E'a' FROM t", "refused: "),
    ("SELECT 'a' 'b' FROM t", "refused: an alias in single quotes"),
    ("SELECT ~i FROM t", "refused: ~"),
    ("SELECT i FROM t WHERE x ~ 'a'", "refused: ~"),
    ("SELECT NOW() = CURRENT_TIMESTAMP, CURRENT_DATE = CAST(NOW() AS DATE) FROM e", ""),
    // Subqueries that depend on the outer row.
    ("SELECT i FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.i = t.i) ORDER BY i", "3 / NULL"),
    ("SELECT i FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.i < t.i) ORDER BY i", "2 / 3"),
    ("SELECT CASE WHEN EXISTS (SELECT 1 FROM u WHERE u.i = t.i) THEN 1 ELSE 0 END FROM t ORDER BY t.i", "1 / 1 / 0 / 0"),
    ("SELECT i, (SELECT COUNT(*) FROM u WHERE u.i = t.i) FROM t ORDER BY i", "1 1 / 2 2 / 3 0 / NULL 0"),
    ("SELECT i, (SELECT COUNT(*) FROM u WHERE u.i < t.i) FROM t ORDER BY i", "1 0 / 2 1 / 3 3 / NULL 0"),
    ("SELECT i, 1 + (SELECT SUM(b) FROM u WHERE u.i <= t.i) FROM t ORDER BY i", "1 101 / 2 601 / 3 601 / NULL NULL"),
    ("SELECT i, (SELECT SUM(u.b + t.i) FROM u WHERE u.i = t.i) FROM t ORDER BY i", "1 101 / 2 504 / 3 NULL / NULL NULL"),
    ("SELECT i FROM t WHERE b = (SELECT MAX(b) FROM t z WHERE z.i >= t.i) ORDER BY i", "2 / 3"),
    ("SELECT t.i, (SELECT MAX(u.b) FROM u WHERE u.i = t.i OR u.i IS NULL) FROM t ORDER BY 1", "1 400 / 2 400 / 3 400 / NULL 400"),
    ("SELECT t.i, (SELECT MAX(u.b) FROM u JOIN k ON u.i = k.i WHERE k.v > t.i) FROM t ORDER BY 1", "1 300 / 2 300 / 3 300 / NULL NULL"),
    ("SELECT (SELECT MAX(v1.v) FROM k v1 WHERE v1.v < t.b) AS g FROM t JOIN u ON t.i = u.i", "9 / 9 / 9"),
    ("SELECT MAX((SELECT MAX(b) FROM u WHERE u.i = t.i)) FROM t", "300"),
    ("SELECT COUNT(*) FROM t GROUP BY (SELECT MAX(b) FROM u WHERE u.i = t.i) ORDER BY 1", "1 / 1 / 2"),
    ("SELECT x, SUM(i) FROM t GROUP BY x HAVING SUM(i) >= (SELECT MIN(i) FROM u WHERE u.x = t.x) ORDER BY x", "a 1 / b 2"),
    ("SELECT i, (SELECT b FROM u WHERE u.i = t.i) FROM t", "refused: a subquery that depends on the outer row"),
    (
        "SELECT CASE WHEN i IN (SELECT i FROM u WHERE u.x = t.x) THEN 1 ELSE 0 END FROM t",
        "refused: a subquery that depends on the outer row",
    ),
    // Windows.
    ("SELECT x, SUM(i), SUM(SUM(i)) OVER (ORDER BY x) FROM t GROUP BY x ORDER BY x", "3 3 3 / a 1 4 / b 2 6 / NULL NULL 6"),
    ("SELECT i, ROW_NUMBER() OVER (ORDER BY i) / 2 FROM t ORDER BY i", "1 0 / 2 1 / 3 1 / NULL 2"),
    ("SELECT * FROM (SELECT i, ROW_NUMBER() OVER (ORDER BY i) AS rn FROM t) WHERE rn <= 2 ORDER BY 1", "1 1 / 2 2"),
    ("SELECT COUNT_IF(o) OVER (ORDER BY i), SUM_IF(i, o) OVER (ORDER BY i) FROM t ORDER BY t.i", "1 1 / 1 1 / 1 1 / 2 1"),
    ("SELECT SUM(i) OVER w FROM t WINDOW w AS (ORDER BY i)", "refused: SUM(i) OVER w"),
    // NULLs of each column count for that column's average alone.
    ("SELECT COVAR_POP(d, c), COVAR_SAMP(d, c), COVAR_SAMP(c, d) FROM t WHERE i <= 3", "-1.5625 -1.5625 -3.125"),
    ("SELECT CORR(d, d) FROM t WHERE i = 1", "NULL"),
];

#[tokio::test]
async fn forms_have_heavydbs_answers() {
    let session = session(2).await;
    let mut failures = Vec::new();
    for (sql, wanted) in FORMS {
        let found = answer(&session, sql).await;
        let right = match wanted.strip_suffix(' ').unwrap_or(wanted) {
            message if message.starts_with("refused:") || message.starts_with("error:") => found.starts_with(message),
            rows => found == rows,
        };
        if !right {
            failures.push(format!("{sql}\n    wanted {wanted}\n    found  {found}"));
        }
    }
    assert!(failures.is_empty(), "{} forms differ\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn every_guard_refuses_its_example() {
    let session = session(2).await;
    for guard in GUARDS {
        let found = answer(&session, guard.example).await;
        assert!(found.starts_with("refused:"), "{}: {}\n    {found}", guard.id, guard.example);
    }
}

/// Many terms over one table are planned on a way of their own, which must not be seen in the answers.
#[tokio::test]
async fn many_aggregates_are_the_same_as_few() {
    let session = session(2).await;
    let functions =
        ["CORR(d, w)", "AVG(d)", "STDDEV(w)", "MIN(d)", "MAX(w)", "COUNT(d)", "SUM(w)", "COVAR_POP(w, d)", "VAR_SAMP(d)", "CORR(i, d)"];
    for statement in [
        "CREATE TABLE m (i INT, d DOUBLE, \"W\" DOUBLE)",
        "INSERT INTO m VALUES (1, 2.5, -1.0), (2, NULL, 0.5), (3, 1e9, 1e-3), (NULL, -0.25, NULL), (5, 7.0, 8.0)",
        "CREATE TABLE n (i INT, d DOUBLE, w DOUBLE)",
    ] {
        session.run(statement).await.unwrap();
    }
    for (count, table) in [(9, "m"), (10, "m"), (9, "n")] {
        let terms: Vec<String> = (0..27).map(|term| format!("{} AS Term_{term}", functions[term % count])).collect();
        let many = answer(&session, &format!("SELECT {} FROM {table}", terms.join(", "))).await;
        let mut singles = Vec::new();
        for term in &terms {
            singles.push(answer(&session, &format!("SELECT {term} FROM {table}")).await);
        }
        assert_eq!(many, singles.join(" "), "{table}");
        let (plan, _) = session.plan(&format!("SELECT {} FROM {table}", terms.join(", "))).await.unwrap();
        assert!(plan.schema().field_names().iter().enumerate().all(|(term, name)| name.ends_with(&format!("Term_{term}"))), "{plan}");
        assert_eq!(plan.to_string().contains("Aggregate:"), count == 10, "{plan}");
    }
}

/// Rows that come one at a time are kept as few batches, in order.
#[tokio::test]
async fn rows_one_at_a_time_are_put_together() {
    let session = session(2).await;
    session.run("CREATE TABLE o (i INT, x TEXT)").await.unwrap();
    for row in 0..2_500 {
        session.run(&format!("INSERT INTO o VALUES ({row}, 'a text of more than twelve bytes {row}')")).await.unwrap();
    }
    let table = session.database().table("o").unwrap();
    assert_eq!(table.row_count(), 2_500);
    assert_eq!(answer(&session, "SELECT COUNT(*), COUNT(DISTINCT x), MAX(i) FROM o").await, "2500 2500 2499");
    assert_eq!(
        answer(&session, "SELECT x FROM o LIMIT 2").await,
        "a text of more than twelve bytes 0 / a text of more than twelve bytes 1"
    );
    let batches = table.batches().unwrap();
    assert_eq!(batches.len(), 1);
    assert!(batches[0].get_array_memory_size() < 1 << 20, "{}", batches[0].get_array_memory_size());
}

/// Rules that copy their operands must not copy copies without end. Plans so deep need more of the stack than a test has.
#[test]
fn nested_choices_end_in_a_refusal() {
    let deep = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let session = session(2).await;
            for (open, close) in [("GREATEST(", ", i)"), ("COALESCE(", ", i)"), ("NULLIF(", ", i)"), ("(", " BETWEEN 1 AND 2)")] {
                let sql = format!("SELECT {}i{} FROM t", open.repeat(30), close.repeat(30));
                let found = answer(&session, &sql).await;
                assert!(found.starts_with("refused: so long an expression"), "{open}: {found}");
            }
            let deep = format!("INSERT INTO t (a) VALUES ({}", "{".repeat(200_000));
            assert!(session.run(&deep).await.is_err());
        });
    };
    std::thread::Builder::new().stack_size(64 << 20).spawn(deep).unwrap().join().unwrap();
}

/// The numbers that stand for NULL in HeavyDB are no values of a table.
#[tokio::test]
async fn numbers_that_stand_for_null_are_not_stored() {
    let session = session(2).await;
    session.run("CREATE TABLE z (f FLOAT, d DOUBLE, c DECIMAL(5,2))").await.unwrap();
    for values in ["1.17549435e-38, 1.0, 1", "1.0, 2.2250738585072014e-308, 1"] {
        let error = session.run(&format!("INSERT INTO z VALUES ({values})")).await.unwrap_err();
        assert!(error.to_string().contains("stands for NULL"), "{error}");
    }
    let error = session.run("INSERT INTO z VALUES (1, 1, 1234.5)").await.unwrap_err();
    assert!(error.to_string().contains("1234.5"), "{error}");
    assert_eq!(answer(&session, "SELECT COUNT(*) FROM z").await, "0");
}
