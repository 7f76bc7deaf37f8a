//! Broken texts into what reads texts: the rewriting, the splitting, statements, logs and expectations.
//!
//! A case is a number: the same number makes the same text, so that a failure can be run again. Nothing may panic; what the rewriting
//! accepts is SQL afterwards. Errors are fine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_heavydb::Options;
use datafusion_heavydb::dialect::{choices, features, rewrite, split};
use datafusion_heavydb::functions::functions;
use datafusion_heavydb::replay::expected::{Expectations, TextForm};
use datafusion_heavydb::replay::input::{Filters, Inputs, log_calls, normalise, redact};
use datafusion_heavydb::tables::{Database, HeavySession, Statement};

/// Above this a case is an error: no text is longer than some thousand bytes.
const CASE_LIMIT: Duration = Duration::from_secs(20);

const STATEMENTS: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS \"My t\" (a INT NOT NULL ENCODING FIXED(8), b TEXT ENCODING DICT(16), c DECIMAL(10,2) DEFAULT 1.5, SHARD KEY (a)) WITH (fragment_size=32, sort_column='a')",
    "INSERT INTO t (a, b) VALUES (1, 'it''s'), (-2.5e3, NULL), (CURRENT_DATE, {1, 2})",
    "COPY t FROM '/nowhere/*.csv' WITH (header='true', delimiter='\\t', nulls='NA')",
    "COPY (SELECT * FROM t WHERE s = 'a;b') TO '/nowhere/x.csv' WITH (quoted='false')",
    "ALTER TABLE t ADD COLUMN (x INT, y TEXT ENCODING NONE)",
    "ALTER TABLE t RENAME COLUMN a TO b, c TO d",
    "SHOW CREATE TABLE t",
    "SHOW FUNCTIONS DETAILS",
    "UPDATE t SET a = a + 1, b = CASE WHEN a > 1 THEN 'x' END WHERE rowid IN (SELECT rowid FROM u)",
    "DELETE FROM t WHERE a BETWEEN 1 AND 2",
    "CREATE OR REPLACE VIEW v AS SELECT x, COUNT(*) AS n FROM t GROUP BY x HAVING n > 1 ORDER BY 2 DESC NULLS LAST LIMIT 10 OFFSET 5",
    "CREATE TEMPORARY TABLE q AS SELECT * FROM t",
    "WITH a AS (SELECT DATE_TRUNC(month, ts) AS m FROM t) SELECT m, LAG(m, 1) OVER (PARTITION BY m ORDER BY m ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM a",
    "SELECT a.x, b.y FROM t a LEFT JOIN u b ON a.i = b.i AND a.s LIKE '%x[a-c]\\_%' ESCAPE '\\' WHERE NOT EXISTS (SELECT 1 FROM k WHERE k.i = a.i)",
    "SELECT i = ANY a, x IN (1, 2, NULL), TIMESTAMP(3) '2020-01-01 00:00:00.5' + INTERVAL '1' DAY FROM TABLE(generate_series(1, 10, 2)) -- end",
    "SELECT SUM(x) FILTER (WHERE y), a[1], ARRAY[1, 2], 'a' || 'b', $$text$$, \"Q\"\"uoted\" FROM t /* a /* nested */ comment */ FETCH FIRST 2 ROWS ONLY;",
    "SELECT CAST('1' AS TIMESTAMP(9)), TRY_CAST(x AS DECIMAL(18, 4)), EXTRACT(EPOCH FROM ts), POSITION('a' IN s), TRIM(BOTH ' ' FROM s), OVERLAY(s PLACING 'x' FROM 2 FOR 1)",
];

/// The table of [`INSERTS`].
const TABLE: &str = "CREATE TABLE t (a INT, b TEXT, c DECIMAL(10,2) DEFAULT 1.5, d TIMESTAMP(3), e INT[], f BOOLEAN, g DOUBLE, h TEXT ENCODING DICT(8) NOT NULL DEFAULT 'x')";

const INSERTS: &[&str] = &[
    "INSERT INTO t VALUES (1, 'it''s', 2.25, '2020-01-01 00:00:00.5', {1, NULL, 3}, 'true', -2.5e3, 'y'), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'z')",
    "INSERT INTO t (a, e, g) VALUES (1 + 1, ARRAY[1, 2], NULL), (-3, {}, 1e308), (CAST('4' AS INT), {4}, 0.1)",
    "insert into T(\"b\", d, f) values ('a;b', TIMESTAMP '2020-01-01 00:00:00', false), (LOWER('X'), NOW(), true) -- end",
    "INSERT INTO t (a, b) SELECT 1, 'x'",
];

static BASE: LazyLock<SessionState> = LazyLock::new(|| SessionContext::new().state());

const LOG: &str = "2024-03-01T09:30:00.000123 I 4711 17 3 DBHandler.cpp:1555 stdlog sql_execute 20 131 heavyai \"my user\" 507-aBcD {\"query_str\",\"client\",\"nonce\",\"execution_time_ms\",\"total_time_ms\"} {\"SELECT COUNT(*) FROM \"\"Trades\"\"\nWHERE a = '}'\",\"http:10.0.0.7\",\"\",\"118\",\"129\"}\n\
2024-03-01T09:30:01.000123 I 4711 17 3 DBHandler.cpp:1555 stdlog_begin sql_execute 21 0 heavyai admin 507-aBcD {\"query_str\"} {\"SELECT 1\"}\n\
2024-03-01T09:30:02.000123 I 4711 DBHandler.cpp:1555 stdlog connect 22 3    {\"client\"} {\"x\"}\n\
2024-03-01T09:30:02.500123 1 4711 17 3 DBHandler.cpp:1555 stdlog sql_execute_df 23 7 heavyai admin 507-aBcD {\"query_str\"} {\"COPY t FROM 's3://b' WITH (s3_secret_key='XXXXXXXX')\"}\n";

const EXPECTATIONS: &[(&str, &str)] = &[
    (
        "e.jsonl",
        "{\"id\":\"a\",\"columns\":[\"x\"],\"rows\":[[1],[null],[\"t\"],[[1,2]]]}\n{\"id\":\"b\",\"value\":1e5,\"type\":\"DOUBLE\",\"tol\":1e-5}\n{\"id\":\"c\",\"error\":\"x\"}\n",
    ),
    ("a.csv", "\"x\",\"y\"\n\"1\",\"\\N\"\n\"it\"\"s\",\"{1 | NULL}\"\n"),
    ("a.txt", "x|y\n1|NULL\n{1, 2}|true\n2 rows returned.\nExecution time: 3 ms, Total time: 4 ms\n"),
];

/// Pieces that mutations put into a text.
const PIECES: &[&str] = &[
    "'",
    "\"",
    "(",
    ")",
    ";",
    ",",
    "--",
    "/*",
    "*/",
    "$$",
    "{",
    "}",
    "[",
    "]",
    "\\",
    "\n",
    "\0",
    "é",
    "😀",
    "\u{feff}",
    "NULL",
    "SELECT ",
    " FROM ",
    "CASE ",
    " END ",
    " WHEN ",
    " THEN ",
    " OVER (",
    " IN (",
    " NOT ",
    "INTERVAL '",
    "DATE '",
    "TIMESTAMP(",
    "CAST(",
    " AS ",
    "1e999",
    "99999999999999999999",
    "-",
    "0x1F",
    "1.5.2",
    "::",
    "->",
    "<=>",
    ":",
    "@",
    "EXPR$0",
    "rowid",
    "LIKE '%",
    " ESCAPE '",
    " ANY ",
    " ALL ",
    "ARRAY[",
    "TABLE(",
    "WITH (",
    "VALUES (",
    "=",
    "2024-03-01T09:30:00.000123 I ",
    "stdlog ",
    "{\"query_str\"} {\"",
    "\"}",
    "\r\n",
    "\t",
    "|",
    "\\N",
    ":null",
    "[[",
    "]]",
];

/// What a run found.
#[derive(Debug)]
pub(crate) struct Report {
    /// Cases that ran.
    pub(crate) cases: u64,
    /// The first case that failed, and how.
    pub(crate) failure: Option<(u64, String)>,
}

/// Runs cases from `first` on until the time is over or one fails. Files of the cases are written into `folder`.
pub(crate) fn run(time: Duration, first: u64, folder: &Path) -> Report {
    let watch = Watch::start(first);
    let begin = Instant::now();
    let mut case = first;
    while begin.elapsed() < time {
        watch.case.store(case, Ordering::Relaxed);
        if let Err(message) = run_case(case, folder) {
            return Report { cases: case - first + 1, failure: Some((case, message)) };
        }
        case += 1;
    }
    Report { cases: case - first, failure: None }
}

/// Runs one case.
pub(crate) fn run_case(case: u64, folder: &Path) -> Result<(), String> {
    let begin = Instant::now();
    let mut source = Source(case);
    let outcome = catch_unwind(AssertUnwindSafe(|| match source.below(9) {
        0 => read_log(&source.text(LOG), folder),
        1 => {
            let (name, text) = EXPECTATIONS[source.below(EXPECTATIONS.len())];
            read_expectations(name, &source.text(text), folder)
        }
        2 => {
            let seed = INSERTS[source.below(INSERTS.len())];
            insert(&String::from_utf8_lossy(&source.text(seed)))
        }
        _ => {
            let seed = source.statement();
            read_statement(&String::from_utf8_lossy(&source.text(&seed)))
        }
    }));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })?;
    if begin.elapsed() > CASE_LIMIT { Err(format!("took {:?}", begin.elapsed())) } else { Ok(()) }
}

fn read_statement(text: &str) -> Result<(), String> {
    for piece in split(text) {
        let _ = Statement::read(piece.text);
        let _ = features(piece.text);
    }
    let _ = (normalise(text), redact(text));
    let options = Options::default();
    let Ok(rewritten) = rewrite(text, &options) else { return Ok(()) };
    let _ = choices(text, &options);
    // Others are read by other readers than the parser's.
    if !matches!(rewritten.statement, datafusion::sql::sqlparser::ast::Statement::Query(_)) {
        return Ok(());
    }
    let shown = rewritten.statement.to_string();
    match Parser::parse_sql(&GenericDialect {}, &shown) {
        Ok(statements) if statements.len() == 1 => Ok(()),
        Ok(statements) => Err(format!("{text}\nbecomes {} statements: {shown}", statements.len())),
        Err(error) => Err(format!("{text}\nbecomes {shown}\n{error}")),
    }
}

/// Runs a statement over a table of its own. Most are an `INSERT`; what a mutation made of it reads no file.
fn insert(text: &str) -> Result<(), String> {
    if !text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("insert")) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let session = HeavySession::new(&BASE, &Arc::new(Database::default()), &Options::default());
        session.run(TABLE).await.map_err(|error| error.to_string())?;
        let count = async || -> Result<usize, String> {
            let frame = session.run("SELECT * FROM t").await.map_err(|error| error.to_string())?.rows;
            frame.ok_or("no rows")?.count().await.map_err(|error| error.to_string())
        };
        let inserted = session.run(text).await.is_ok();
        // What fails leaves nothing behind, and what is there can be read.
        match (inserted, count().await?) {
            (false, rows @ 1..) => Err(format!("{text}\nfails and leaves {rows} rows")),
            _ => Ok(()),
        }
    })
}

fn read_log(bytes: &[u8], folder: &Path) -> Result<(), String> {
    let file = written("heavydb.INFO", bytes, folder)?;
    if let Ok(calls) = log_calls(&file) {
        for call in calls {
            let _ = call;
        }
    }
    if let Ok(inputs) = Inputs::open([&file], Filters::default()) {
        for entry in inputs {
            if entry.is_err() {
                break;
            }
        }
    }
    Ok(())
}

fn read_expectations(name: &str, bytes: &[u8], folder: &Path) -> Result<(), String> {
    let file = written(name, bytes, folder)?;
    let is_table = name.starts_with("a.");
    let path = if is_table { folder } else { file.as_path() };
    if let Ok(expectations) = Expectations::open(path, TextForm::default()) {
        for id in ["a", "b", "c"] {
            let _ = expectations.find(id);
        }
    }
    std::fs::remove_file(&file).map_err(|error| error.to_string())
}

fn written(name: &str, bytes: &[u8], folder: &Path) -> Result<PathBuf, String> {
    let file = folder.join(name);
    std::fs::write(&file, bytes).map_err(|error| error.to_string())?;
    Ok(file)
}

/// Ends the process when a case hangs; a hanging case cannot end itself.
struct Watch {
    case: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Watch {
    fn start(first: u64) -> Self {
        let watch = Self { case: Arc::new(AtomicU64::new(first)), over: Arc::new(AtomicBool::new(false)) };
        let (case, over) = (Arc::clone(&watch.case), Arc::clone(&watch.over));
        std::thread::spawn(move || {
            let mut since = (first, Instant::now());
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200));
                let current = case.load(Ordering::Relaxed);
                if current != since.0 {
                    since = (current, Instant::now());
                }
                end_if_hanging(current, since.1.elapsed());
            }
        });
        watch
    }
}

#[expect(clippy::print_stderr, reason = "nothing else can report a case that never returns")]
fn end_if_hanging(case: u64, elapsed: Duration) {
    if elapsed > 3 * CASE_LIMIT {
        eprintln!("case {case} hangs: it has run for {elapsed:?}");
        std::process::exit(1);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Numbers without end from a case's number (splitmix64).
struct Source(u64);

impl Source {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.bits() % n.max(1) as u64).unwrap_or(0)
    }

    /// A statement to start from: examples of functions put together, or one of the list.
    fn statement(&mut self) -> String {
        let examples: Vec<&str> = functions().map(|function| function.example.sql).filter(|sql| !sql.is_empty()).collect();
        let example = |place: usize| examples.get(place).copied().unwrap_or("1");
        match self.below(3) {
            0 => STATEMENTS[self.below(STATEMENTS.len())].to_owned(),
            1 => {
                let (a, b, c) = (self.below(examples.len()), self.below(examples.len()), self.below(examples.len()));
                format!("SELECT {}, {} AS x FROM t WHERE {} > 1", example(a), example(b), example(c))
            }
            _ => {
                let place = self.below(examples.len());
                if example(place).starts_with("SELECT") { example(place).to_owned() } else { format!("SELECT {}", example(place)) }
            }
        }
    }

    /// A text after some mutations.
    fn text(&mut self, seed: &str) -> Vec<u8> {
        let mut bytes = seed.as_bytes().to_vec();
        for _ in 0..self.below(6) {
            self.mutate(&mut bytes);
        }
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        let short = to.min(from + 12);
        match self.below(9) {
            0 => drop(bytes.drain(from..short)),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let part = bytes[from..short].to_vec();
                drop(bytes.splice(to..to, part));
            }
            3 if from < bytes.len() => bytes[from] = self.below(256) as u8,
            4 => bytes.truncate(from),
            5 => {
                let piece = PIECES[self.below(PIECES.len())].repeat(1 << self.below(12));
                drop(bytes.splice(from..from, piece.into_bytes()));
            }
            6 => drop(bytes.splice(from..short, PIECES[self.below(PIECES.len())].bytes())),
            _ => drop(bytes.splice(from..from, PIECES[self.below(PIECES.len())].bytes())),
        }
    }
}

#[test]
fn broken_texts_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let report = run(Duration::from_secs(3), 0, folder.path());
    assert!(report.failure.is_none(), "{report:?}");
    assert!(report.cases > 100, "{report:?}");
}
