//! The rules of the dialect one by one, with values from HeavyDB's documentation, source and tests, run as a user would.
//!
//! Rows are separated by ` / `, columns by blanks. [`REFUSED`] demands a refusal, [`ERROR`] an error of the statement.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::prelude::SessionContext;
use datafusion_heavydb::dialect::rewrite;
use datafusion_heavydb::replay::render;
use datafusion_heavydb::replay::rows::Rows;
use datafusion_heavydb::tables::{Database, HeavySession};
use datafusion_heavydb::{Options, Refusal};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

const REFUSED: &str = "refused";
const ERROR: &str = "error";

const TABLES: &[&str] = &[
    "CREATE TABLE t (x INT, y SMALLINT, b BIGINT, f FLOAT, d DOUBLE, dd DECIMAL(10,2), s TEXT, s8 TEXT ENCODING DICT(8), \
     n TEXT ENCODING NONE, bo BOOLEAN, dt DATE, tm TIME, m TIMESTAMP(0), m_3 TIMESTAMP(3), m_9 TIMESTAMP(9), ti TINYINT)",
    "INSERT INTO t VALUES (7, 3, 9223372036854775807, 1.1, 2.2, 111.10, 'hello', 'a', '', 't', '2021-01-03', '07:00:00', \
     '2014-12-13 22:23:15', '2014-12-13 22:23:15.323', '2006-04-26 03:49:04.607435125', 127)",
    "INSERT INTO t VALUES (0, NULL, 5, -1.2, NULL, 222.20, '', '', NULL, 'f', NULL, NULL, NULL, NULL, NULL, -5)",
    "CREATE TABLE Caps (\"Date\" TEXT, Zone TEXT, x INT)",
    "INSERT INTO caps (\"date\", ZONE, X) VALUES ('2024-01-04', 'A', 1)",
];

/// D1 to D8: numbers and empty texts.
const NUMBERS: &[(&str, &str)] = &[
    ("SELECT CAST(127.5 AS INT), CAST(-127.5 AS INT), CAST(2.5e0 AS BIGINT)", "128 -128 3"),
    ("SELECT CAST(127.5 AS TINYINT)", ERROR),
    ("SELECT CAST(b AS INT) FROM t", ERROR),
    ("SELECT dd / 3, x / 4.0, 1.0 * x / 3 FROM t", "37.03 1.7 2.3 / 74.06 0.0 0.0"),
    ("SELECT 7.0 / 2.0, 10.0 / 4, 2 * 3.5 / 7", "3.5 2.5 1.0"),
    ("SELECT 1.0 / 3", REFUSED),
    ("SELECT 2 * 1.0 / 3", REFUSED),
    ("SELECT CAST(1 AS DECIMAL(10,2)) / 3", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE f = 1.1", "1"),
    ("SELECT COUNT(*) FROM t WHERE f < -1.2", "0"),
    ("SELECT COUNT(*) FROM t WHERE f IN (1.1, 5.5)", "1"),
    ("SELECT COUNT(*) FROM t WHERE f BETWEEN 1.1 AND 1.1", "1"),
    ("SELECT COUNT(*) FROM t WHERE f = 1.1e0", "0"),
    ("SELECT COUNT(*) FROM t WHERE COALESCE(f, 1.1) = 1.1", "1"),
    ("SELECT COUNT(*) FROM t WHERE NULLIF(f, 1.1) IS NULL", "1"),
    ("SELECT COUNT(*) FROM t WHERE CASE WHEN x > 0 THEN 1.1 ELSE f END = 1.1", "1"),
    ("SELECT COUNT(*) FROM (SELECT 1.1 AS a UNION ALL SELECT f FROM t) WHERE a = 1.1", "2"),
    ("SELECT CASE WHEN x = 0 THEN 1 ELSE 2.5 END / 2 FROM t", "1.2 / 0.5"),
    ("SELECT GREATEST(x, 3.5) / 2 FROM t", "3.5 / 1.7"),
    ("SELECT a / 2 FROM (SELECT CASE WHEN x = 0 THEN 1 ELSE f END AS a FROM t) WHERE a = 1.1", "0.550000011920929"),
    ("SELECT f IS NOT DISTINCT FROM 1.1 FROM t", "true / false"),
    ("SELECT COUNT(*) FROM t WHERE dd = 111.1 AND dd = 111.1e0 AND dd > f", "1"),
    ("SELECT CASE WHEN x = 0 THEN 'a' ELSE 1 END FROM t", REFUSED),
    ("SELECT COALESCE(x, 'a') FROM t", REFUSED),
    ("SELECT x FROM t UNION ALL SELECT s FROM t", REFUSED),
    ("SELECT x FROM t UNION ALL SELECT 2.5", "7.0 / 0.0 / 2.5"),
    ("SELECT b + 1 FROM t", ERROR),
    ("SELECT x + 2147483647 FROM t", ERROR),
    ("SELECT 2147483647 + 1", ERROR),
    ("SELECT 2147483648 + 1", "2147483649"),
    ("SELECT COUNT(*) FROM t WHERE CASE WHEN x = 0 THEN 2147483647 ELSE 0 END + 1 = 5", ERROR),
    ("SELECT ti + 1 FROM t", "128 / -4"),
    ("SELECT ti + ti FROM t", ERROR),
    ("SELECT SUM(b) FROM t", ERROR),
    ("SELECT b * 1.0 FROM t", ERROR),
    ("SELECT -ti, -x, -dd, -d FROM t", "-127 -7 -111.10 -2.2 / 5 0 -222.20 NULL"),
    ("SELECT 9223372036854775808", REFUSED),
    ("SELECT 1234567890123456789.0", REFUSED),
    ("SELECT 0.1234567890123456789", REFUSED),
    ("SELECT 123456789012345678, 12345678901234567.5", "123456789012345678 12345678901234567.5"),
    ("SELECT x / 2, x % 4, -7 / 2, -7 % 3, MOD(7, 4) FROM t", "3 3 -3 -1 3 / 0 0 -3 -1 3"),
    ("SELECT dd % 3 FROM t", REFUSED),
    ("SELECT MOD(7.5, 2)", REFUSED),
    ("SELECT RANK() OVER (ORDER BY x) / 2 FROM t ORDER BY x", "0 / 1"),
    ("SELECT x / 0 FROM t", ERROR),
    ("SELECT x % 0 FROM t", ERROR),
    ("SELECT d / 0 FROM t", ERROR),
    ("SELECT f / 0 FROM t", ERROR),
    ("SELECT dd / 0 FROM t", ERROR),
    ("SELECT LOG(10)", "2.302585092994046"),
    ("SELECT LEFT('abc', 0) IS NULL", "true"),
    ("SELECT COUNT(*) FROM t WHERE s IS NULL", "1"),
    ("SELECT COUNT(*) FROM t WHERE s = ''", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE s8 <> ''", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE LOWER(s) = ''", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE s IN ('', 'hello')", REFUSED),
    ("SELECT s IS DISTINCT FROM '' FROM t", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE n = ''", "1"),
    ("SELECT CASE WHEN x = 0 THEN '' ELSE 'a' END IS NULL FROM t", "false / true"),
    ("SELECT ('' || '') IS NULL", "true"),
];

/// D6 behind conditions: nothing is divided for rows that a condition rules out.
const DIVISIONS: &[(&str, &str)] = &[
    ("SELECT COUNT(*) FROM t WHERE x <> 0 AND 7 / x = 1", "1"),
    ("SELECT COUNT(*) FROM t WHERE 7 / x = 1 AND x <> 0", "1"),
    ("SELECT COUNT(*) FROM t WHERE x = 0 OR 7 / x = 1", "2"),
    ("SELECT COUNT(*) FROM t WHERE NOT (x = 0 OR 7 / x > 1)", "1"),
    ("SELECT COUNT(*) FROM t WHERE x <> 0 AND y IS NOT NULL AND 7 / x = 1 AND 7 / y = 2", "1"),
    ("SELECT COUNT(*) FROM t WHERE x <> 0 AND (7 % x = 0 AND 14 / (7 / x) = 14)", "1"),
    ("SELECT x FROM t GROUP BY x HAVING x <> 0 AND 7 / x = 1", "7"),
    ("SELECT COUNT(*) FROM t a JOIN t b ON a.x = b.x AND a.x <> 0 AND 7 / b.x = 1", "1"),
    ("SELECT COUNT(*) FROM t a LEFT JOIN t b ON a.x = b.x AND b.x <> 0 AND 7 / b.x = 1", "2"),
    ("SELECT CASE WHEN x = 0 THEN 0 ELSE 7 / x END FROM t", "1 / 0"),
    ("SELECT SUM(CASE WHEN x <> 0 THEN 7 / x ELSE 0 END) FROM t", "1"),
    ("SELECT 7 / x FROM t WHERE x <> 0", "1"),
    ("SELECT COUNT(*) FROM t WHERE x > -1 AND 7 / x = 1", ERROR),
];

/// D16 to D19, D28: dates, times, intervals, booleans.
const MOMENTS: &[(&str, &str)] = &[
    ("SELECT CAST(TIMESTAMP(3) '2014-12-13 22:23:15.999' AS TIME)", "22:23:15"),
    ("SELECT CAST(2 AS TIMESTAMP(0)), CAST(2000 AS TIMESTAMP(3))", "1970-01-01 00:00:02 1970-01-01 00:00:02.000"),
    ("SELECT m = m_3, m_3 = m, m < m_3 FROM t WHERE x = 7", "true false true"),
    ("SELECT COUNT(*) FROM t WHERE m <> m_3", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE m IN (m_3)", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE m NOT IN (m_3)", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE m IN (SELECT m_3 FROM t)", REFUSED),
    ("SELECT COUNT(*) FROM t a JOIN t b ON a.m = b.m_3", REFUSED),
    ("SELECT COUNT(*) FROM t a JOIN t b ON a.m_3 > b.m", REFUSED),
    ("SELECT m IS NOT DISTINCT FROM m_3 FROM t", REFUSED),
    ("SELECT CASE WHEN x = 0 THEN m ELSE m_3 END FROM t", REFUSED),
    ("SELECT DATE '3/2/22', DATE '2022-02-30', DATE '02-March-22', DATE '2/Mar/2022'", "2022-03-02 2022-03-02 2022-03-02 2022-03-02"),
    ("SELECT TIMESTAMP '2014-12-13T22:23:15', TIMESTAMP '12/13/14 10:23:15 PM'", "2014-12-13 22:23:15 2014-12-13 22:23:15"),
    ("SELECT TIMESTAMP '1/Jan/1970:06:00:00 -0600', TIME '3:04:05 pm', TIME '150405'", "1970-01-01 12:00:00 15:04:05 15:04:05"),
    ("SELECT TIMESTAMP '2014-12-13'", ERROR),
    ("SELECT 2 * INTERVAL '1' DAY, INTERVAL '1' DAY / 2, INTERVAL '1' YEAR, INTERVAL 500 MILLISECOND", "172800000 43200000 12 500"),
    ("SELECT -(INTERVAL '1' DAY), -INTERVAL '2' MONTH", "-86400000 -2"),
    ("SELECT m + (-INTERVAL '1' DAY), dt + 2 * INTERVAL '1' MONTH FROM t WHERE x = 7", "2014-12-12 22:23:15 2021-03-03"),
    (
        "SELECT m + INTERVAL '500' MILLISECOND, m_3 + INTERVAL '1500' MILLISECOND FROM t WHERE x = 7",
        "2014-12-13 22:23:15 2014-12-13 22:23:16.323",
    ),
    ("SELECT m + CASE WHEN x = 7 THEN INTERVAL '1' DAY ELSE INTERVAL '2' DAY END FROM t WHERE x = 7", "2014-12-14 22:23:15"),
    ("SELECT INTERVAL '1' DAY + 1", REFUSED),
    ("SELECT tm + INTERVAL '1' HOUR FROM t", REFUSED),
    ("SELECT m - dt FROM t WHERE x = 7", "-191122605000"),
    ("SELECT m_3 - m_3 FROM t", ERROR),
    ("SELECT COUNT(*) FROM t WHERE bo = 'f'", "1"),
    ("SELECT COUNT(*) FROM t WHERE bo IN ('f', 'true')", "2"),
    ("SELECT CASE bo WHEN 't' THEN 1 ELSE 0 END FROM t", "1 / 0"),
    ("SELECT COUNT(*) FROM t WHERE m >= '2014-12-13 22:23:15' AND m BETWEEN '2014-12-13 22:23:15' AND '12/13/14 10:23:15 PM'", "1"),
    ("SELECT COUNT(*) FROM t WHERE tm = '07:00:00' AND tm IN ('7:00 AM') AND dt = '01/03/2021'", "1"),
    ("SELECT COUNT(*) FROM t WHERE bo = s", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE x = '7'", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE bo = 1", REFUSED),
    ("SELECT COUNT(*) FROM t WHERE dt IN (SELECT s FROM t)", REFUSED),
];

/// D21 to D31 and casts.
const NAMES_AND_TEXTS: &[(&str, &str)] = &[
    ("SELECT SUBSTRING('hello', 0, 3), SUBSTR('hello', -3, 2)", "hel ll"),
    ("SELECT GREATEST(NULL, 5), GREATEST(5, NULL), LEAST(2, 1)", "5 NULL 1"),
    ("SELECT \"DATE\", ZONE FROM CAPS", "2024-01-04 A"),
    ("SELECT a FROM (SELECT x AS a, x AS a FROM caps)", "1"),
    ("CREATE TABLE twice (A INT, \"a\" INT)", REFUSED),
    ("SELECT SUM(f), SUM(dd), AVG(dd), COUNT(*) FROM t", "-0.10000002384185791 333.30 166.65 2"),
    ("SELECT COUNT(*) FROM t WHERE x NOT IN (7, NULL)", "0"),
    ("SELECT COUNT(*) FROM t WHERE x NOT IN (SELECT y FROM t)", "0"),
    ("SELECT LENGTH('äb'), UPPER('äb')", "3 äB"),
    ("SELECT 1 || 'a', 1.25e0 || '', CAST(1.25 AS DECIMAL(5,2)) || '', true || ''", "1a 1.250000  1.25 true"),
    ("SELECT CAST(s AS INT) FROM t", REFUSED),
    ("SELECT TRY_CAST(s AS INT) FROM t", "NULL / NULL"),
    (
        "SELECT CAST('12' AS INT), CAST(DATE '2021-01-03' AS TIMESTAMP), CAST(m_3 AS TIMESTAMP(0)) FROM t WHERE x = 7",
        "12 2021-01-03 00:00:00 2014-12-13 22:23:15",
    ),
    ("SELECT x <=> 7 FROM t", REFUSED),
    ("SELECT x -> 7 FROM t", REFUSED),
    ("SELECT x FROM t UNION SELECT y FROM t", REFUSED),
    ("SELECT GREATEST(1, 2, 3)", REFUSED),
];

/// Syntax that the parser lacks.
const SYNTAX: &[(&str, &str)] = &[
    (
        "SELECT DATE_TRUNC(day, m), DATEADD(month, 1, m), DATEDIFF(day, dt, dt), DATEPART('y', m) FROM t WHERE x = 7",
        "2014-12-13 00:00:00 2015-01-13 22:23:15 0 347",
    ),
    ("SELECT TIMESTAMPADD(YEAR, 1, m), TIMESTAMPDIFF(HOUR, m, m), PG_EXTRACT(year, m) FROM t WHERE x = 7", "2015-12-13 22:23:15 0 2014"),
    ("SELECT EXTRACT('year' FROM m), EXTRACT(week_sunday FROM m), EXTRACT(EPOCH FROM m) FROM t WHERE x = 7", "2014 50 1418509395"),
    ("SELECT s REGEXP 'hel.*', s NOT REGEXP 'hel' FROM t WHERE x = 7", "true true"),
    ("SELECT s ILIKE 'HE%', PG_ILIKE(s, 'HE%') FROM t WHERE x = 7", "true true"),
    ("SELECT x = ANY(ARRAY[7, 8]), CARDINALITY({1, 2}) FROM t", "true 2 / false 2"),
    ("SELECT /*+ cpu_mode */ COUNT(*) FROM t;", "2"),
    ("SELECT x FROM (SELECT x FROM t) ORDER BY x OFFSET 1", "7"),
];

/// Every unit of `2014-12-13 22:23:15.323`, a Saturday: TRUNC, EXTRACT, ADD 1, DIFF from 2010-01-01.
const UNITS: &[(&str, [&str; 4])] = &[
    ("year", ["2014-01-01 00:00:00.000", "2014", "2015-12-13 22:23:15.323", "4"]),
    ("quarter", ["2014-10-01 00:00:00.000", "4", "2015-03-13 22:23:15.323", "19"]),
    ("month", ["2014-12-01 00:00:00.000", "12", "2015-01-13 22:23:15.323", "59"]),
    ("day", ["2014-12-13 00:00:00.000", "13", "2014-12-14 22:23:15.323", "1807"]),
    ("hour", ["2014-12-13 22:00:00.000", "22", "2014-12-13 23:23:15.323", "43390"]),
    ("minute", ["2014-12-13 22:23:00.000", "23", "2014-12-13 22:24:15.323", "2603423"]),
    ("second", ["2014-12-13 22:23:15.000", "15", "2014-12-13 22:23:16.323", "156205395"]),
    ("millisecond", ["2014-12-13 22:23:15.323", "15323", "2014-12-13 22:23:15.324", "156205395323"]),
    ("microsecond", ["2014-12-13 22:23:15.323", "15323000", "2014-12-13 22:23:15.323", "156205395323000"]),
    ("nanosecond", ["2014-12-13 22:23:15.323", "15323000000", "2014-12-13 22:23:15.323", "156205395323000000"]),
    ("week", ["2014-12-08 00:00:00.000", "50", "2014-12-20 22:23:15.323", "258"]),
    ("week_sunday", ["2014-12-07 00:00:00.000", "50", ERROR, "258"]),
    ("week_saturday", ["2014-12-13 00:00:00.000", "50", ERROR, "258"]),
    ("quarterday", ["2014-12-13 18:00:00.000", "4", ERROR, "7231"]),
    ("millennium", ["2001-01-01 00:00:00.000", ERROR, "3014-12-13 22:23:15.323", "0"]),
    ("century", ["2001-01-01 00:00:00.000", ERROR, "2114-12-13 22:23:15.323", "0"]),
    ("decade", ["2010-01-01 00:00:00.000", ERROR, "2024-12-13 22:23:15.323", "0"]),
    ("dow", [ERROR, "6", ERROR, ERROR]),
    ("isodow", [ERROR, "6", ERROR, ERROR]),
    ("doy", [ERROR, "347", ERROR, ERROR]),
    ("epoch", [ERROR, "1418509395", ERROR, ERROR]),
    ("dateepoch", [ERROR, "1418428800", ERROR, ERROR]),
];

/// DATEPART's letters of the same instant.
const LETTERS: &[(&str, &str)] = &[
    ("yy yyyy year", "2014"),
    ("qq q quarter", "4"),
    ("mm m month", "12"),
    ("dd d day", "13"),
    ("hh hour", "22"),
    ("mi n minute", "23"),
    ("ss s second", "15"),
    ("ms millisecond", "15323"),
    ("us frac_second", "15323000"),
    ("ns sql_tsi_frac_second", "15323000000"),
    ("ww w week sql_tsi_week", "50"),
    ("dq quarterday", "4"),
    ("weekday dw", "6"),
    ("dayofyear dy y", "347"),
];

async fn answer(session: &HeavySession, sql: &str) -> String {
    let outcome = async {
        let Some(frame) = session.run(sql).await?.rows else { return Ok(String::new()) };
        let schema = frame.schema().as_arrow().clone();
        let rows = Rows::try_new(&schema, &frame.collect().await?).unwrap();
        let line = |row| (0..rows.width()).map(|column| render::cell(&rows.cell(row, column))).collect::<Vec<_>>().join(" ");
        Ok::<_, DataFusionError>((0..rows.len()).map(line).collect::<Vec<_>>().join(" / "))
    };
    outcome.await.unwrap_or_else(|error| if Refusal::of(&error).is_some() { REFUSED.into() } else { format!("{ERROR}: {error}") })
}

async fn session() -> HeavySession {
    let session = HeavySession::new(&SessionContext::new().state(), &Arc::new(Database::default()), &Options::default());
    for statement in TABLES {
        session.run(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    session
}

async fn check(session: &HeavySession, cases: impl IntoIterator<Item = (String, &str)>) {
    let mut failures = Vec::new();
    for (sql, wanted) in cases {
        let found = answer(session, &sql).await;
        let same = found == wanted || wanted == ERROR && found.starts_with(ERROR);
        if !same {
            failures.push(format!("{sql}\n    wanted {wanted}\n    got    {found}"));
        }
    }
    assert!(failures.is_empty(), "{} fail\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn every_rule_has_its_values() {
    let session = session().await;
    for table in [NUMBERS, DIVISIONS, MOMENTS, NAMES_AND_TEXTS, SYNTAX] {
        check(&session, table.iter().map(|(sql, wanted)| ((*sql).to_owned(), *wanted))).await;
    }
}

#[tokio::test]
async fn every_unit_has_its_values() {
    let session = session().await;
    let forms =
        ["DATE_TRUNC('{}', m_3)", "EXTRACT({} FROM m_3)", "DATEADD('{}', 1, m_3)", "DATEDIFF('{}', TIMESTAMP '2010-01-01 00:00:00', m_3)"];
    for (unit, wanted) in UNITS {
        let queries = forms.iter().map(|form| format!("SELECT {} FROM t WHERE x = 7", form.replace("{}", unit)));
        check(&session, queries.zip(wanted.iter().copied())).await;
    }
    for (letters, wanted) in LETTERS {
        let queries = letters.split(' ').map(|letter| (format!("SELECT DATEPART('{letter}', m_3) FROM t WHERE x = 7"), *wanted));
        check(&session, queries).await;
    }
    let of_time = [("hour", "7"), ("minute", "0"), ("second", "0"), ("day", ERROR), ("week", ERROR), ("millisecond", ERROR)];
    check(&session, of_time.map(|(unit, wanted)| (format!("SELECT EXTRACT({unit} FROM tm) FROM t WHERE x = 7"), wanted))).await;
    let of_date = [
        ("month", "2021-01-01 00:00:00"),
        ("week", "2020-12-28 00:00:00"),
        ("week_sunday", "2021-01-03 00:00:00"),
        ("hour", "2021-01-03 00:00:00"),
    ];
    check(&session, of_date.map(|(unit, wanted)| (format!("SELECT DATE_TRUNC({unit}, dt) FROM t WHERE x = 7"), wanted))).await;
}

#[tokio::test]
async fn long_lists_compare_as_short_ones() {
    let session = session().await;
    let list = |first: &str, others: &str| format!("{first}{}", format!(", {others}").repeat(60));
    let many: String = (0..20_000).map(|number| format!(", {number}.5")).collect();
    let cases = [
        (format!("f IN ({})", list("1.1", "5.5")), "1"),
        (format!("f NOT IN ({})", list("1.1", "5.5")), "1"),
        (format!("dd IN ({})", list("111.1", "5.5")), "1"),
        (format!("dt IN ({})", list("'01/03/2021'", "'2022-02-30'")), "1"),
        (format!("bo IN ({})", list("'f'", "'t'")), "2"),
        (format!("m IN ({})", list("'12/13/14 10:23:15 PM'", "'2014-12-13 22:23:16'")), "1"),
        (format!("s IN ({})", list("''", "'hello'")), REFUSED),
        (format!("s IN ({})", list("1", "2")), REFUSED),
        (format!("x IN ({})", list("'1'", "'2'")), REFUSED),
        (format!("x NOT IN ({})", list("7", "NULL")), "0"),
        (format!("dd IN (111.1{many})"), "1"),
    ];
    check(&session, cases.map(|(condition, wanted)| (format!("SELECT COUNT(*) FROM t WHERE {condition}"), wanted))).await;
}

#[tokio::test]
async fn long_sums_are_those_of_their_terms_from_left_to_right() {
    let session = session().await;
    for sql in [
        "CREATE TABLE sums (i INTEGER, a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, f FLOAT)",
        "INSERT INTO sums VALUES (1, 1e16, 1.0, -1e16, 1.0, 0.5), (2, 1.0, NULL, 2.0, 3.0, 0.5), (NULL, 1.0, 2.0, 3.0, 4.0, 0.5)",
    ] {
        session.run(sql).await.unwrap();
    }
    let cases = [
        ("SELECT a + b + c + d + a FROM sums ORDER BY i", "1e16 / NULL / 11.0"),
        ("SELECT (a + b + c + d + 1) / 2 FROM sums ORDER BY i", "1.0 / NULL / 5.5"),
        ("SELECT a + b + c + d + i + f FROM sums ORDER BY i", "2.5 / NULL / NULL"),
        ("SELECT a + b + c + d + NULL FROM sums ORDER BY i", "NULL / NULL / NULL"),
        ("SELECT 1e0 + 2e0 + 3e0 + 4e0 + 5e0 FROM sums WHERE i = 1", "15.0"),
        ("SELECT a + (b + (c + (d + 1))) FROM sums ORDER BY i", "4.0 / NULL / 11.0"),
        ("SELECT COUNT(*) FROM sums WHERE a + b + c + d + a > 10", "2"),
        ("SELECT a + b + c + d + a AS s, COUNT(*) FROM sums GROUP BY a + b + c + d + a ORDER BY 2, 1", "11.0 1 / 1e16 1 / NULL 1"),
    ];
    check(&session, cases.map(|(sql, wanted)| (sql.to_owned(), wanted))).await;
}

#[tokio::test]
async fn own_meanings_are_among_the_rules() {
    let session = session().await;
    let rules = async |sql: &str| session.plan(sql).await.unwrap().1.join(" ");
    assert_eq!(rules("SELECT CORR(y, y), LOG(3.5e0), MAX(dd / 3) FROM t").await, "D3 D9 LOG D2");
    assert_eq!(rules("SELECT y / 2 AS q FROM t").await, "");
    assert_eq!(rules("SELECT MIN(y) AS m FROM t").await, "");
    assert_eq!(rules("SELECT CAST(d AS INT) AS n, SUM(y) AS s FROM t GROUP BY d").await, "CAST D30");
}

#[tokio::test]
async fn columns_have_the_names_that_heavydb_shows() {
    let session = session().await;
    let shown = async |sql: &str| -> String {
        let rows = session.run(sql).await.unwrap().rows.unwrap();
        rows.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown("SELECT * FROM caps").await, "Date Zone x");
    assert_eq!(
        shown("SELECT \"date\", zone AS \"Zed\", X + 1, ZONE, 2 AS Row_Count FROM CAPS LIMIT 1").await,
        "Date Zed EXPR$2 Zone Row_Count"
    );
    assert_eq!(shown("SELECT a.zone, b.zone FROM caps a, caps b ORDER BY 1").await, "Zone Zone0");
    session.run("CREATE TABLE o AS SELECT zone AS \"Kept\", x FROM caps").await.unwrap();
    assert_eq!(shown("SELECT * FROM O").await, "Kept x");
    session.run("CREATE TABLE unnamed AS SELECT zone, COUNT(*) FROM caps GROUP BY zone").await.unwrap();
    assert_eq!(shown("SELECT * FROM unnamed").await, "Zone EXPR$1");
    assert_eq!(shown("SELECT \"EXPR$1\", EXPR$1 + 1 AS x, expr$1 FROM unnamed WHERE EXPR$1 > 0").await, "EXPR$1 x EXPR$10");
    let many: Vec<String> = (0..600).map(|number| format!("Sensex_{number} DOUBLE")).collect();
    session.run(&format!("CREATE TABLE wide (\"Day\" TEXT, {})", many.join(", "))).await.unwrap();
    assert!(shown("SELECT * FROM wide LIMIT 1").await.starts_with("Day Sensex_0 Sensex_1 "));
    assert_eq!(shown("SELECT sensex_7, \"DAY\" FROM wide").await, "Sensex_7 Day");
}

#[test]
fn rewritten_texts_parse() {
    for table in [NUMBERS, DIVISIONS, MOMENTS, NAMES_AND_TEXTS, SYNTAX] {
        for (sql, _) in table {
            let Ok(rewritten) = rewrite(sql, &Options::default()) else { continue };
            let text = rewritten.statement.to_string();
            Parser::parse_sql(&GenericDialect {}, &text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}

#[tokio::test]
async fn tables_of_the_session_are_found_in_any_case() {
    let base = SessionContext::new();
    base.sql("CREATE TABLE \"Trades\" (\"Price\" DOUBLE, day_id INT) AS VALUES (1.5, 2)").await.unwrap();
    base.sql("CREATE TABLE \"Twice\" (x INT) AS VALUES (1)").await.unwrap();
    base.sql("CREATE TABLE \"TWICE\" (x INT) AS VALUES (1)").await.unwrap();
    base.sql("CREATE TABLE columns (\"A\" INT, a INT) AS VALUES (1, 2)").await.unwrap();
    let session = HeavySession::new(&base.state(), &Arc::new(Database::default()), &Options::default());
    let cases = [
        ("SELECT price, \"PRICE\" FROM trades", "1.5 1.5"),
        ("SELECT SUM(t.Price) FROM \"TRADES\" t WHERE Day_Id = 2", "1.5"),
        ("SELECT x FROM twice", REFUSED),
        ("SELECT a FROM columns", REFUSED),
        ("SELECT x FROM nothing", ERROR),
    ];
    check(&session, cases.map(|(sql, wanted)| (sql.to_owned(), wanted))).await;
    let rows = session.run("SELECT * FROM trades").await.unwrap().rows.unwrap();
    assert_eq!(rows.schema().fields()[0].name(), "Price");
}
