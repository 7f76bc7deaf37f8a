//! Deterministic strategies of any number: every value is a function of (seed, strategy, period), so that any block can be computed in any
//! order, on any number of threads, with the same bits and without memory for the rest.
//!
//! Ordinals, from the first on: independent or grouped strategies, then the constant ones, then the duplicates, which repeat the first ones.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Datelike, NaiveDate, Weekday};
use datafusion::arrow::array::{ArrayRef, Date32Array, DictionaryArray, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{Field, Int32Type, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use serde::Serialize;

use super::periods::days_from_epoch;
use super::source::{StrategySource, check_block};
use crate::error::{Error, Result};

/// First day where none is asked for.
const DEFAULT_START: NaiveDate = match NaiveDate::from_ymd_opt(2015, 1, 1) {
    Some(date) => date,
    None => NaiveDate::MIN,
};
/// Last year of the calendar: later ones are not written with four digits.
const LAST_YEAR: i32 = 9999;
/// Market states of generated rows.
const REGIMES: &[&str] = &[
    "Bullish_Vol_Expansion",
    "Bullish_Trend",
    "Sideways_Calm",
    "Sideways_Violent",
    "Breakout_Mode",
    "Mean_Reverting",
    "Vol_Crush",
    "Bearish_Trend",
    "Bearish_Vol_Expansion",
    "Bearish_Panic",
    "Event_Driven",
    "Low_Liquidity",
];
/// Correlation of two strategies of one group, before tails and rounding.
const GROUP_CORRELATION: f64 = 0.7;
/// Minutes of a trading day, from 09:15 to 15:30, and where it begins.
const SESSION_MINUTES: u32 = 375;
const SESSION_START_MINUTE: u32 = 9 * 60 + 15;
/// A zone lasts five minutes at least.
const MOST_ZONES: u32 = SESSION_MINUTES / 5;
/// Hold times in minutes that strategy names state.
const HOLD_MINUTES: &[u32] = &[30, 60, 120, 180, 240];
/// Entry times, one per minute: the longest hold still ends by 15:30.
const ENTRIES: u32 = 135;
const STOPS: u32 = 150;
const TARGETS: u32 = 100;
/// Number of different names without a target, and of those with one.
const NAMES_WITHOUT_TARGET: u32 = ENTRIES * HOLD_MINUTES.len() as u32 * STOPS;
const NAMES_WITH_TARGET: u32 = NAMES_WITHOUT_TARGET * TARGETS;
/// One name in so many has no target, as long as there are such names.
const TARGETLESS_EVERY: u32 = 3;
/// Stride through either kind of names, without common factor with their numbers, so that neighbours look different.
const NAME_STRIDE: u64 = 7_368_787;
const MICROS_PER_MINUTE: i64 = 60_000_000;

/// What is to be generated, and where it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// Number of strategies.
    pub strategies: u32,
    /// Number of trading days.
    pub periods: u32,
    /// Same seed, same values.
    pub seed: u64,
    /// First day; days are weekdays from there on.
    pub start: NaiveDate,
    /// Share of values that are zero, 0 to 1.
    pub share_zeros: f64,
    /// Share of values that are NULL, 0 to 1.
    pub share_nulls: f64,
    /// Strategies whose value never changes.
    pub constant: u32,
    /// Strategies that repeat another one.
    pub duplicates: u32,
    /// Groups into which the other strategies fall and within which they correlate; 0 for none.
    pub groups: u32,
    /// Rows per day, each a zone with start, end and capital; 0 for one row per day without zone.
    pub zones: u32,
    /// Every row has a market regime, its confidence and a transition threshold. Zones bring them along.
    pub regimes: bool,
    /// Where it goes.
    pub target: Target,
    /// An existing file is replaced. Tables are never.
    pub overwrite: bool,
}

/// Where generated data goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A CSV file with a column per strategy.
    Csv(PathBuf),
    /// A Parquet file with a row per strategy and period.
    Parquet(PathBuf),
    /// A strategy table of the database.
    Table(String),
}

impl GenerateRequest {
    /// Plain strategies: no zeros, NULLs, constants, duplicates, groups, zones or regimes.
    pub fn new(strategies: u32, periods: u32, seed: u64, target: Target) -> Self {
        Self {
            strategies,
            periods,
            seed,
            start: DEFAULT_START,
            share_zeros: 0.0,
            share_nulls: 0.0,
            constant: 0,
            duplicates: 0,
            groups: 0,
            zones: 0,
            regimes: false,
            target,
            overwrite: false,
        }
    }

    /// The command that makes the same values, without its target.
    pub fn command(&self) -> String {
        let Self { strategies, periods, seed, start, share_zeros, share_nulls, .. } = self;
        let mut text = format!("generate strategies --strategies {strategies} --periods {periods} --seed {seed} --start {start}");
        for (flag, share) in [("zeros", *share_zeros), ("nulls", *share_nulls)] {
            if share > 0.0 {
                text.push_str(&format!(" --{flag} {share}"));
            }
        }
        for (flag, count) in [("constant", self.constant), ("duplicates", self.duplicates), ("groups", self.groups), ("zones", self.zones)]
        {
            if count > 0 {
                text.push_str(&format!(" --{flag} {count}"));
            }
        }
        if self.regimes {
            text.push_str(" --regimes");
        }
        text
    }

    fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::Usage(text));
        if self.strategies == 0 || self.periods == 0 {
            return refuse("at least one strategy and one period are needed".into());
        }
        if self.strategies > NAMES_WITH_TARGET {
            return refuse(format!("{} strategies are more than there are names ({NAMES_WITH_TARGET})", self.strategies));
        }
        if self.zones > MOST_ZONES {
            return refuse(format!("{} zones are more than fit a day ({MOST_ZONES})", self.zones));
        }
        if !(0.0..=1.0).contains(&self.share_zeros) || !(0.0..=1.0).contains(&self.share_nulls) || self.share_zeros + self.share_nulls > 1.0
        {
            return refuse(format!(
                "shares of zeros {} and NULLs {} are fractions and add up to 1 at most",
                self.share_zeros, self.share_nulls
            ));
        }
        let special = u64::from(self.constant) + u64::from(self.duplicates);
        if special > u64::from(self.strategies) || (self.duplicates > 0 && special == u64::from(self.strategies)) {
            return refuse(format!(
                "{} constant and {} duplicate strategies leave none of {} to repeat",
                self.constant, self.duplicates, self.strategies
            ));
        }
        Ok(())
    }
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GenerateReport {
    /// File or table.
    pub target: String,
    /// Strategies.
    pub strategies: u64,
    /// Periods: days, or days times zones.
    pub periods: u64,
    /// Rows of a strategy table: strategies times periods.
    pub rows: u64,
    /// Length of the file in bytes; none for a table.
    pub bytes: Option<u64>,
    /// Version of the table that holds the rows; none for a file.
    pub version: Option<i64>,
    /// Time it took.
    pub seconds: f64,
}

impl GenerateReport {
    /// Report about a source that was written where the request says.
    pub fn of(source: &dyn StrategySource, request: &GenerateRequest, elapsed: Duration) -> Self {
        let (strategies, periods) = (source.strategies().len() as u64, source.periods().num_rows() as u64);
        let (target, bytes) = match &request.target {
            Target::Table(name) => (name.clone(), None),
            Target::Csv(path) | Target::Parquet(path) => (path.display().to_string(), std::fs::metadata(path).ok().map(|m| m.len())),
        };
        Self { target, strategies, periods, rows: strategies * periods, bytes, version: None, seconds: elapsed.as_secs_f64() }
    }
}

/// Generated strategies as a source.
#[derive(Debug)]
pub struct GeneratedStrategies {
    request: GenerateRequest,
    names: Vec<String>,
    periods: RecordBatch,
    /// What the market does to every strategy, by period.
    drift: Vec<f64>,
}

impl GeneratedStrategies {
    /// Strategies as requested; values are computed when they are read.
    ///
    /// # Errors
    /// [`Error::Usage`] for counts and shares that cannot be.
    pub fn try_new(request: &GenerateRequest) -> Result<Self> {
        request.check()?;
        let calendar = Calendar::try_new(request)?;
        Ok(Self {
            names: (0..request.strategies).map(strategy_name).collect(),
            drift: calendar
                .rows
                .iter()
                .map(|row| row.regime.map_or(0.0, |regime| 0.2 * (0.5 - regime as f64 / (REGIMES.len() - 1) as f64)))
                .collect(),
            periods: calendar.batch()?,
            request: request.clone(),
        })
    }

    /// The strategy whose values this one has.
    fn base(&self, ordinal: u32) -> u32 {
        let r = &self.request;
        let first_duplicate = r.strategies - r.duplicates;
        if ordinal < first_duplicate { ordinal } else { (ordinal - first_duplicate) % (first_duplicate - r.constant) }
    }

    fn is_constant(&self, base: u32) -> bool {
        let r = &self.request;
        base >= r.strategies - r.duplicates - r.constant
    }

    fn fill(&self, ordinal: u32, periods: Range<usize>, out: &mut [f64]) {
        let (r, base) = (&self.request, self.base(ordinal));
        let key = mix(r.seed ^ mix(u64::from(base) + 1));
        let scale = 300.0 + 900.0 * unit(mix(key ^ 1));
        if self.is_constant(base) {
            out.fill(cents(scale));
            return;
        }
        let mean = 0.2 * (unit(mix(key ^ 2)) - 0.45);
        let group = (r.groups > 0).then(|| mix(r.seed ^ mix((u64::from(base % r.groups) + 1) << 32)));
        for (out, period) in out.iter_mut().zip(periods) {
            let word = mix(key.wrapping_add((period as u64 + 1).wrapping_mul(STREAM_STEP)));
            let share = unit(mix(word));
            if share < r.share_nulls {
                *out = f64::NAN;
            } else if share < r.share_nulls + r.share_zeros {
                *out = 0.0;
            } else {
                let own = normal(unit(word));
                let shock = match group {
                    Some(group) => {
                        let common = normal(unit(mix(group.wrapping_add((period as u64 + 1).wrapping_mul(STREAM_STEP)))));
                        GROUP_CORRELATION.sqrt() * common + (1.0 - GROUP_CORRELATION).sqrt() * own
                    }
                    None => own,
                };
                // The cubic term gives the tails that trading results have.
                *out = cents(scale * (mean + self.drift[period] + shock * (0.8 + shock * shock / 15.0)));
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl StrategySource for GeneratedStrategies {
    fn periods(&self) -> &RecordBatch {
        &self.periods
    }

    fn strategies(&self) -> &[String] {
        &self.names
    }

    fn read_block(&self, ordinals: &[u32], periods: Range<usize>, out: &mut [f64]) -> Result<()> {
        check_block(self, ordinals, &periods, out)?;
        for (&ordinal, out) in ordinals.iter().zip(out.chunks_exact_mut(periods.len().max(1))) {
            self.fill(ordinal, periods.clone(), out);
        }
        Ok(())
    }
}

/// The rows of a generated calendar.
struct Calendar {
    rows: Vec<CalendarRow>,
    zones: u32,
    regimes: bool,
}

struct CalendarRow {
    date: NaiveDate,
    /// Zone, from 0.
    zone: u32,
    regime: Option<usize>,
    /// Random word of the row.
    word: u64,
}

impl Calendar {
    fn try_new(request: &GenerateRequest) -> Result<Self> {
        let weekdays = request.start.iter_days().filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun));
        let dates: Vec<NaiveDate> = weekdays.take_while(|date| date.year() <= LAST_YEAR).take(request.periods as usize).collect();
        if dates.len() < request.periods as usize {
            return Err(Error::Usage(format!("{} days from {} on go beyond the year {LAST_YEAR}", request.periods, request.start)));
        }
        let regimes = request.regimes || request.zones > 0;
        let row = |(day, date): (usize, &NaiveDate), zone: u32| {
            let word = mix(request.seed ^ mix((day as u64 + 1) << 8 | u64::from(zone)));
            CalendarRow { date: *date, zone, regime: regimes.then_some((word >> 7) as usize % REGIMES.len()), word }
        };
        let rows = dates.iter().enumerate().flat_map(|day| (0..request.zones.max(1)).map(move |zone| row(day, zone)));
        Ok(Self { rows: rows.collect(), zones: request.zones, regimes })
    }

    fn batch(&self) -> Result<RecordBatch> {
        let mut columns: Vec<(&str, ArrayRef)> =
            vec![("date", Arc::new(Date32Array::from_iter_values(self.rows.iter().map(|row| days_from_epoch(row.date)))))];
        if self.zones > 1 {
            columns.push(("slot", Arc::new(Int32Array::from_iter_values(self.rows.iter().map(|row| row.zone as i32 + 1)))));
        }
        columns.push(("day", self.texts(|row| row.date.format("%A").to_string())));
        if self.zones > 0 {
            columns.push(("zone", self.texts(|row| format!("Zone {}", row.zone + 1))));
            columns.push(("start_time", self.times(0)));
            columns.push(("end_time", self.times(1)));
        }
        if self.regimes {
            columns.push(("market_regime", self.texts(|row| REGIMES[row.regime.unwrap_or_default()].to_owned())));
            columns.push(("regime_confidence", self.numbers(|row| (55 + row.word % 41) as f64 / 100.0)));
            columns.push(("transition_threshold", self.numbers(|row| (300 + (row.word >> 16) % 451) as f64 / 1000.0)));
        }
        if self.zones > 0 {
            columns.push(("capital", self.numbers(|row| (1_000_000 + (row.word >> 32) % 121 * 25_000) as f64)));
        }
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), *name != "date")).collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| Error::Internal(format!("generated periods: {e}")))
    }

    fn texts(&self, text: impl Fn(&CalendarRow) -> String) -> ArrayRef {
        let texts: StringArray = self.rows.iter().map(|row| Some(text(row))).collect();
        Arc::new(texts.iter().collect::<DictionaryArray<Int32Type>>())
    }

    fn numbers(&self, number: impl Fn(&CalendarRow) -> f64) -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(self.rows.iter().map(number)))
    }

    /// Begin (0) or end (1) of each row's zone.
    fn times(&self, end: u32) -> ArrayRef {
        let time = |row: &CalendarRow| {
            let minute = SESSION_START_MINUTE + (row.zone + end) * SESSION_MINUTES / self.zones;
            (i64::from(days_from_epoch(row.date)) * 24 * 60 + i64::from(minute)) * MICROS_PER_MINUTE
        };
        Arc::new(TimestampMicrosecondArray::from_iter_values(self.rows.iter().map(time)))
    }
}

/// A name in the grammar `SENSEX hhmm-hhmm SLa%[TPb%]`, different for every ordinal; a third of the first 300,000 has no target.
fn strategy_name(ordinal: u32) -> String {
    let targetless = ordinal.div_ceil(TARGETLESS_EVERY).min(NAMES_WITHOUT_TARGET);
    let has_target = !ordinal.is_multiple_of(TARGETLESS_EVERY) || ordinal / TARGETLESS_EVERY >= NAMES_WITHOUT_TARGET;
    let (index, names) =
        if has_target { (ordinal - targetless, NAMES_WITH_TARGET) } else { (ordinal / TARGETLESS_EVERY, NAMES_WITHOUT_TARGET) };
    let mut rest = (u64::from(index) * NAME_STRIDE % u64::from(names)) as u32;
    let mut digit = |base: u32| {
        let digit = rest % base;
        rest /= base;
        digit
    };
    let (stop, hold, entry) = (digit(STOPS) + 1, HOLD_MINUTES[digit(HOLD_MINUTES.len() as u32) as usize], digit(ENTRIES));
    let clock = |minute: u32| minute / 60 * 100 + minute % 60;
    let (from, to) = (clock(SESSION_START_MINUTE + entry), clock(SESSION_START_MINUTE + entry + hold));
    if has_target {
        format!("SENSEX {from:04}-{to:04} SL{stop}%TP{}%", digit(TARGETS) + 1)
    } else {
        format!("SENSEX {from:04}-{to:04} SL{stop}%")
    }
}

/// Step between the states of a stream of random words (golden ratio).
const STREAM_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A random word from a counter (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014: finaliser of SplitMix64).
fn mix(counter: u64) -> u64 {
    let mut word = counter.wrapping_add(STREAM_STEP);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// A word as a number above 0 and below 1.
fn unit(word: u64) -> f64 {
    ((word >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

/// Quantile of the normal distribution for 0 < p < 1, to about 7 digits (M. J. Wichura, algorithm AS 241, PPND7, 1988).
fn normal(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * (((59.109_374_720 * r + 159.291_132_02) * r + 50.434_271_938) * r + 3.387_132_717_9)
            / (((67.187_563_600 * r + 78.757_757_664) * r + 17.895_169_469) * r + 1.0);
    }
    let r = (-(if q < 0.0 { p } else { 1.0 - p }).ln()).sqrt();
    let tail = if r <= 5.0 {
        let r = r - 1.6;
        (((0.170_238_211_03 * r + 1.306_728_481_6) * r + 2.756_815_390_0) * r + 1.423_437_277_7)
            / ((0.120_211_329_75 * r + 0.737_001_642_50) * r + 1.0)
    } else {
        let r = r - 5.0;
        (((0.017_337_203_997 * r + 0.428_682_943_37) * r + 3.081_226_386_0) * r + 6.657_905_115_0)
            / ((0.012_258_202_635 * r + 0.241_978_942_25) * r + 1.0)
    };
    if q < 0.0 { -tail } else { tail }
}

/// An amount to two decimals; zero has no sign.
fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::parse_strategy_params;
    use crate::ingest::series::scan;
    use std::collections::HashSet;

    fn request() -> GenerateRequest {
        GenerateRequest::new(60, 250, 7, Target::Table("t".into()))
    }

    fn all(source: &dyn StrategySource) -> Vec<f64> {
        let (n, t) = (source.strategies().len(), source.periods().num_rows());
        let mut values = vec![0.0; n * t];
        source.read_block(&(0..n as u32).collect::<Vec<_>>(), 0..t, &mut values).unwrap();
        values
    }

    #[test]
    fn any_block_has_the_bits_of_the_whole() {
        let source = GeneratedStrategies::try_new(&GenerateRequest { share_nulls: 0.1, groups: 5, zones: 4, ..request() }).unwrap();
        let whole = all(&source);
        let mut block = vec![0.0; 2 * 30];
        source.read_block(&[41, 3], 90..120, &mut block).unwrap();
        for (at, strategy) in [(0, 41), (1, 3)] {
            for period in 0..30 {
                assert_eq!(block[at * 30 + period].to_bits(), whole[strategy * 1000 + 90 + period].to_bits());
            }
        }
        assert_ne!(
            whole[0].to_bits(),
            all(&GeneratedStrategies::try_new(&GenerateRequest { seed: 8, zones: 4, ..request() }).unwrap())[0].to_bits()
        );
    }

    #[test]
    fn shares_and_special_strategies_come_out_as_asked() {
        let source = GeneratedStrategies::try_new(&GenerateRequest {
            strategies: 400,
            share_zeros: 0.4,
            share_nulls: 0.1,
            constant: 3,
            duplicates: 7,
            ..request()
        })
        .unwrap();
        let facts = scan(&source).unwrap();
        let regular = 397.0 * 250.0;
        assert!((facts.zeros as f64 / regular - 0.4).abs() < 0.01, "{}", facts.zeros);
        assert!((facts.nulls as f64 / regular - 0.1).abs() < 0.005, "{}", facts.nulls);
        assert_eq!(facts.constant, [390, 391, 392]);
        assert_eq!(facts.identical, (0..7).map(|i| vec![i, 393 + i]).collect::<Vec<_>>());
        assert!(!facts.looks_like_levels);
    }

    #[test]
    fn groups_correlate_and_others_do_not() {
        let source = GeneratedStrategies::try_new(&GenerateRequest { strategies: 4, periods: 5_000, groups: 2, ..request() }).unwrap();
        let values = all(&source);
        let series = |s: usize| &values[s * 5_000..][..5_000];
        let correlation = |a: &[f64], b: &[f64]| {
            let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
            let (ma, mb) = (mean(a), mean(b));
            let dot = |x: &[f64], mx: f64, y: &[f64], my: f64| x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>();
            dot(a, ma, b, mb) / (dot(a, ma, a, ma) * dot(b, mb, b, mb)).sqrt()
        };
        assert!(correlation(series(0), series(2)) > 0.6);
        assert!(correlation(series(0), series(1)).abs() < 0.06);
    }

    #[test]
    fn amounts_have_two_decimals() {
        assert!(all(&GeneratedStrategies::try_new(&request()).unwrap()).iter().all(|v| (v * 100.0).round() / 100.0 == *v));
        assert_eq!(cents(-0.001).to_bits(), 0);
    }

    #[test]
    fn the_normal_quantile_meets_known_values() {
        for (p, z) in
            [(0.5, 0.0), (0.841_344_746_068_543, 1.0), (0.975, 1.959_963_984_540), (0.001, -3.090_232_306_168), (1e-12, -7.034_483_825)]
        {
            assert!((normal(p) - z).abs() < 2e-6 * (1.0 + f64::abs(z)), "{p}: {} not {z}", normal(p));
        }
    }

    #[test]
    fn names_are_unique_and_follow_the_grammar() {
        let names: Vec<String> = (0..400_000).map(strategy_name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert!(names.iter().all(|name| parse_strategy_params(name).len() >= 3), "{}", names[1]);
        let targetless = |some: &[String]| some.iter().filter(|name| !name.contains("TP")).count();
        assert_eq!((targetless(&names[..10]), targetless(&names)), (4, NAMES_WITHOUT_TARGET as usize));
        for names in [NAMES_WITHOUT_TARGET, NAMES_WITH_TARGET] {
            let (mut a, mut b) = (u64::from(names), NAME_STRIDE);
            while b != 0 {
                (a, b) = (b, a % b);
            }
            assert_eq!(a, 1, "the stride has a factor in common with the number of names");
        }
    }

    #[test]
    fn days_are_weekdays_and_zones_have_slots() {
        let plain = GeneratedStrategies::try_new(&request()).unwrap();
        assert_eq!(plain.periods().schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["date", "day"]);
        let zones = GeneratedStrategies::try_new(&GenerateRequest { zones: 4, ..request() }).unwrap();
        assert_eq!(zones.periods().num_rows(), 1000);
        let names: Vec<_> = zones.periods().schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names.join(","), "date,slot,day,zone,start_time,end_time,market_regime,regime_confidence,transition_threshold,capital");
    }

    #[test]
    fn counts_that_cannot_be_are_usage_errors() {
        let bad = [
            GenerateRequest { strategies: 0, ..request() },
            GenerateRequest { strategies: NAMES_WITH_TARGET + 1, ..request() },
            GenerateRequest { zones: 76, ..request() },
            GenerateRequest { share_zeros: 0.7, share_nulls: 0.4, ..request() },
            GenerateRequest { share_zeros: f64::NAN, ..request() },
            GenerateRequest { constant: 50, duplicates: 10, ..request() },
            GenerateRequest { periods: u32::MAX, strategies: 1, ..request() },
        ];
        for request in bad {
            assert!(matches!(GeneratedStrategies::try_new(&request), Err(Error::Usage(_))), "{request:?}");
        }
    }
}
