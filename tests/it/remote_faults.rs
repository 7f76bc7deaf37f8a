//! Hundreds of reads and writes of databases in an object store that fails at random: the right answer or a clear error, never a short one,
//! never a hang; after a write that failed a table is the old or the new one.
//!
//! `TRANCHEDB_FAULT_CASES` is the number of cases (300), `TRANCHEDB_FAULT_SEED` what they follow from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tranchedb::config::TierConfig;
use tranchedb::{Engine, EngineConfig, Error};

use crate::server::{Call, Fault, KEY, SECRET, Server};
use crate::support::{legacy_csv, request, row, rows};

/// Databases that are worked on at the same time.
const LANES: usize = 8;
/// How long the store may be silent.
const TIMEOUT: Duration = Duration::from_millis(1000);
/// A silence that is too long.
const SILENCE: Duration = Duration::from_millis(2500);
/// What no case may take, its own retries and time-outs included.
const HANG: Duration = Duration::from_secs(120);

/// Small numbers that follow from a seed.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

/// What goes wrong during one case.
struct Plan {
    dice: Dice,
    /// One request in so many goes wrong.
    one_in: u64,
    /// Calls that always go wrong, so that sending again does not help.
    always: Option<(Call, Fault)>,
}

impl Plan {
    fn new(dice: &mut Dice) -> Self {
        let one_in = [3, 6, 20][dice.roll(3) as usize];
        let call = [Call::Get, Call::List, Call::Put, Call::Delete][dice.roll(4) as usize];
        let always = (dice.roll(4) == 0).then(|| (call, fault_of(dice, call)));
        Self { dice: Dice(dice.roll(u64::MAX)), one_in, always }
    }

    fn decide(&mut self, call: Call) -> Option<Fault> {
        match self.always {
            Some((always, fault)) if always == call => Some(fault),
            _ if self.dice.roll(self.one_in) == 0 => Some(fault_of(&mut self.dice, call)),
            _ => None,
        }
    }
}

fn fault_of(dice: &mut Dice, call: Call) -> Fault {
    let late = if dice.roll(8) == 0 { SILENCE } else { Duration::from_millis(30) };
    let faults = match call {
        Call::Get => &[Fault::Busy, Fault::Late(late), Fault::Short, Fault::Broken][..],
        Call::Head | Call::List => &[Fault::Busy, Fault::Late(late)],
        Call::Put | Call::Part | Call::Delete => &[Fault::Busy, Fault::Late(late), Fault::AnswerLost],
    };
    faults[dice.roll(faults.len() as u64) as usize]
}

/// What the tables of a database hold.
#[derive(Debug, Clone, PartialEq, Default)]
struct State {
    /// Values of the plain table.
    values: Vec<i64>,
    /// P&L of the strategy table.
    pnl: Vec<i64>,
    /// Universes of the tables under retention, and the number that the last save gave all their rows.
    saved: BTreeMap<u64, i64>,
}

/// Strategies of a save, those that keep their trades, and trades of each.
const SAVED: [i64; 3] = [4, 2, 3];

/// A query about a part of the state.
struct Question {
    sql: &'static str,
    answer: fn(&State) -> String,
}

const QUESTIONS: &[Question] = &[
    Question {
        sql: "SELECT count(*), coalesce(sum(x), 0) FROM t",
        answer: |s| format!("{}|{}", s.values.len(), s.values.iter().sum::<i64>()),
    },
    Question {
        sql: "SELECT count(*), CAST(sum(pnl) AS BIGINT) FROM s",
        answer: |s| format!("{}|{}", s.pnl.len(), s.pnl.iter().sum::<i64>()),
    },
    Question {
        sql: "SELECT (SELECT count(*) FROM metrics) AS a, (SELECT coalesce(sum(n_trades), 0) FROM metrics) AS b, \
              (SELECT count(*) FROM trades) AS c, (SELECT CAST(coalesce(sum(pnl_usd), 0) AS BIGINT) FROM trades) AS d",
        answer: |s| {
            let (universes, marks) = (s.saved.len() as i64, s.saved.values().sum::<i64>());
            let [strategies, kept, trades] = SAVED;
            format!("{}|{}|{}|{}", strategies * universes, strategies * marks, kept * trades * universes, kept * trades * marks)
        },
    },
];

/// One change, and the state after it.
enum Change {
    Sql(String),
    Import(std::path::PathBuf),
}

/// One database and what is known of it.
struct Lane<'a> {
    server: &'a Server,
    folder: &'a Path,
    number: usize,
    generation: u64,
    dice: Dice,
    engine: Engine,
    state: State,
    days: u64,
}

impl<'a> Lane<'a> {
    async fn start(server: &'a Server, folder: &'a Path, number: usize, seed: u64) -> Self {
        let engine = engine(server, &location(number, 0), TIMEOUT).await;
        let dice = Dice(seed.wrapping_mul(31).wrapping_add(number as u64));
        let mut lane = Self { server, folder, number, generation: 0, dice, engine, state: State::default(), days: 0 };
        lane.set_up().await;
        lane
    }

    /// Makes the tables of a new database, without faults.
    async fn set_up(&mut self) {
        let patient = engine(self.server, &self.location(), Duration::from_secs(30)).await;
        for sql in [
            "CREATE TABLE t (x BIGINT)",
            "CREATE TABLE metrics (dataset VARCHAR NOT NULL, universe VARCHAR, strategy_name VARCHAR NOT NULL, lot_size DOUBLE, \
             n_trades BIGINT, sharpe_ratio DOUBLE, rank INT, trades_kept VARCHAR)",
            "CREATE TABLE trades (dataset VARCHAR NOT NULL, universe VARCHAR, strategy_name VARCHAR NOT NULL, lot_size DOUBLE, \
             trade_no INT NOT NULL, pnl_usd DOUBLE)",
            "ALTER TABLE metrics SET RETENTION (metric => 'sharpe_ratio', details => 'trades', top => 2)",
        ] {
            rows(&patient, sql).await;
        }
        self.state = State::default();
        let (change, state) = self.import();
        apply(&patient, &change).await.unwrap_or_else(|e| panic!("setting up: {e}"));
        self.state = state;
        self.engine = engine(self.server, &self.location(), TIMEOUT).await;
    }

    fn location(&self) -> String {
        location(self.number, self.generation)
    }

    fn import(&mut self) -> (Change, State) {
        self.days += 1;
        let date = chrono::NaiveDate::from_ymd_opt(2020, 1, 1).expect("a date") + chrono::Days::new(self.days);
        let values = [self.dice.roll(1000) as i64, self.dice.roll(1000) as i64];
        let name = format!("lane{}-{}.csv", self.number, self.days);
        let line = format!("{date},{},{}", values[0], values[1]);
        let path = legacy_csv(self.folder, &name, "Date,S1,S2", &[&line]);
        let mut state = self.state.clone();
        state.pnl.extend(values);
        (Change::Import(path), state)
    }

    fn change(&mut self) -> (Change, State) {
        let mut state = self.state.clone();
        let value = self.dice.roll(1000) as i64;
        let sql = match self.dice.roll(8) {
            0 | 1 => {
                state.values.push(value);
                format!("INSERT INTO t VALUES ({value})")
            }
            2 => {
                state.values.iter_mut().for_each(|x| *x += value);
                format!("UPDATE t SET x = x + {value}")
            }
            3 => {
                state.values.retain(|x| x % 3 != 0);
                "DELETE FROM t WHERE x % 3 = 0".to_owned()
            }
            4 => {
                let universe = self.dice.roll(3);
                state.saved.insert(universe, value);
                save(universe, value)
            }
            _ => return self.import(),
        };
        (Change::Sql(sql), state)
    }

    /// A read or a write while requests go wrong; whether it was right, or an error.
    async fn case(&mut self, plans: &Plans, number: usize) -> bool {
        let plan = Plan::new(&mut self.dice);
        let place = format!("case {number} of lane {} at {}", self.number, self.location());
        *plans[self.number].lock() = Some(plan);
        let began = Instant::now();
        let done = if self.dice.roll(2) == 0 { self.read(&place).await } else { self.write(plans, &place).await };
        *plans[self.number].lock() = None;
        assert!(began.elapsed() < HANG, "{place} took {:?}", began.elapsed());
        done
    }

    async fn read(&mut self, place: &str) -> bool {
        let question = &QUESTIONS[self.dice.roll(QUESTIONS.len() as u64) as usize];
        let is_cold = self.dice.roll(2) == 0;
        let read = async {
            if is_cold {
                self.engine.sql("SELECT cache_clear('memory'), cache_clear('decoded')").await?.collect().await?;
            }
            answer(&self.engine, question.sql).await
        };
        match within(read, place).await {
            Ok(found) => {
                assert_eq!(found, (question.answer)(&self.state), "{place}: {}", question.sql);
                true
            }
            Err(error) => {
                assert!(error.to_string().contains("s3://bucket/lane"), "{place}: no place in the message: {error}");
                false
            }
        }
    }

    async fn write(&mut self, plans: &Plans, place: &str) -> bool {
        let (change, after) = self.change();
        let what = match &change {
            Change::Sql(sql) => sql.clone(),
            Change::Import(path) => path.display().to_string(),
        };
        let outcome = within(apply(&self.engine, &change), place).await;
        *plans[self.number].lock() = None;
        let patient = engine(self.server, &self.location(), Duration::from_secs(30)).await;
        let mut found = Vec::new();
        for question in QUESTIONS {
            found.push(row(&patient, question.sql).await);
        }
        let is = |state: &State| QUESTIONS.iter().zip(&found).all(|(question, found)| (question.answer)(state) == *found);
        let (is_before, is_after) = (is(&self.state), is(&after));
        match &outcome {
            Ok(()) => assert!(is_after, "{place}: {what} was told to be done: {found:?}, expected {after:?}"),
            Err(error) => {
                assert!(is_before || is_after, "{place}: {what} left {found:?}, neither {:?} nor {after:?}; {error}", self.state);
                assert!(is_before || !error.to_string().contains("nothing was written"), "{place}: {what} was written: {error}");
            }
        }
        if is_after {
            self.state = after;
        }
        if outcome.is_err() && what.starts_with("UPSERT") {
            // The next save would wait until the lease of the one that failed has run out.
            self.generation += 1;
            self.set_up().await;
        }
        outcome.is_ok()
    }
}

type Plans = Arc<[Mutex<Option<Plan>>; LANES]>;

fn location(lane: usize, generation: u64) -> String {
    format!("s3://bucket/lane{lane}-{generation}")
}

async fn engine(server: &Server, location: &str, timeout: Duration) -> Engine {
    let config = server.config(location);
    let tiers = TierConfig { origin_timeout: Some(timeout), ..config.tiers };
    Engine::with_config(EngineConfig { tiers, ..config }).await.unwrap_or_else(|e| panic!("{location}: {e}"))
}

async fn within<T>(work: impl Future<Output = Result<T, Error>>, place: &str) -> Result<T, Error> {
    tokio::time::timeout(HANG, work).await.unwrap_or_else(|_| panic!("{place} hangs"))
}

async fn apply(engine: &Engine, change: &Change) -> Result<(), Error> {
    match change {
        Change::Sql(sql) => drop(engine.sql(sql).await?.collect().await?),
        Change::Import(path) => drop(engine.import(&request(path, "s")).await?),
    }
    Ok(())
}

/// The single row of a query.
async fn answer(engine: &Engine, sql: &str) -> Result<String, Error> {
    use datafusion::arrow::util::display::array_value_to_string;
    let batches = engine.sql(sql).await?.collect().await?;
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("a row");
    let cells = batch.columns().iter().map(|column| array_value_to_string(column, 0).expect("printable"));
    Ok(cells.collect::<Vec<_>>().join("|"))
}

fn save(universe: u64, mark: i64) -> String {
    let [strategies, _, trades] = SAVED;
    let strategy = "'S' || CAST(s.value AS VARCHAR) AS strategy_name, 0.1 AS lot_size";
    let last = strategies - 1;
    format!(
        "UPSERT INTO metrics (SELECT 'D' AS dataset, 'u{universe}' AS universe, {strategy}, {mark} AS n_trades, \
         CAST(s.value AS DOUBLE) AS sharpe_ratio FROM generate_series(0, {last}) AS s), \
         trades (SELECT 'D' AS dataset, 'u{universe}' AS universe, {strategy}, t.value AS trade_no, {mark} AS pnl_usd \
         FROM generate_series(0, {last}) AS s CROSS JOIN generate_series(1, {trades}) AS t)"
    )
}

fn number_of(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Which lane an object belongs to.
fn lane_of(key: &str) -> Option<usize> {
    key.strip_prefix("lane")?.split('-').next()?.parse().ok().filter(|lane| *lane < LANES)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::print_stderr, reason = "the seed must be seen where the test fails")]
async fn random_faults_of_the_store_give_right_answers_or_errors() {
    let cases = number_of("TRANCHEDB_FAULT_CASES", 300) as usize;
    let seed = number_of("TRANCHEDB_FAULT_SEED", 20_240_611);
    eprintln!("TRANCHEDB_FAULT_SEED={seed} TRANCHEDB_FAULT_CASES={cases}");
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = folder.path().join("s3");
    std::fs::create_dir_all(store.join("bucket")).expect("bucket");
    let server = Server::start(&store, Some((KEY, SECRET))).await;
    let plans: Plans = Arc::default();
    let known = Arc::clone(&plans);
    server.go_wrong(move |call, key| known[lane_of(key)?].lock().as_mut()?.decide(call));
    let (server, files, plans) = (&server, folder.path(), &plans);
    let lanes = (0..LANES).map(|number| async move {
        let mut lane = Lane::start(server, files, number, seed).await;
        let mut right = 0;
        for case in 0..cases.div_ceil(LANES) {
            right += usize::from(lane.case(plans, case).await);
        }
        right
    });
    let right: usize = futures::future::join_all(lanes).await.into_iter().sum();
    let errors = cases.div_ceil(LANES) * LANES - right;
    eprintln!("{right} right answers, {errors} errors");
    assert!(right > cases / 4 && errors > cases / 20, "both must have been met: {right} right answers, {errors} errors");
}
