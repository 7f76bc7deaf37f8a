//! Arbitrary bytes into every function of every table: as input values, as rows that leave a frame, and as partial results that no accumulator wrote.
//!
//! A case is a number: the same number makes the same calls, so that a failure can be run again. Nothing may panic, hang, or hold more
//! memory than its input explains; errors are fine. The driver keeps the engine's side of the contract (columns of one length, group
//! numbers below the total) and breaks everything else.
//!
//! Written by hand, because coverage-guided fuzzing needs a nightly compiler.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Date64Array, Float64Array, Int64Array, LargeBinaryArray, LargeListArray, RecordBatch,
    StringArray, TimestampNanosecondArray, TimestampSecondArray, new_null_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{SortOptions, cast};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs, ScalarUDFImpl};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{col, lit};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion_functions_finance::metric::Default as DefaultValue;
use datafusion_functions_finance::{Argument, Metric, MetricUdaf, Role, SCALARS, ScalarFunction, functions};

// The path, because the example takes this file in from its own folder.
#[path = "fuzz_window.rs"]
mod window;

use window::Window;

/// No case feeds more than some hundred rows, so that a state beyond this holds what its input does not explain.
const STATE_LIMIT_BYTES: usize = 16 << 20;
/// Far above what the driver and its libraries need.
const PROCESS_LIMIT_BYTES: u64 = 2 << 30;
const CASE_LIMIT: Duration = Duration::from_secs(20);

/// What a run found.
#[derive(Debug)]
pub(crate) struct Report {
    /// Cases that ran.
    pub(crate) cases: u64,
    /// The first case that failed, and how.
    pub(crate) failure: Option<(u64, String)>,
}

/// Runs cases from `first` on until the time is over or one fails.
pub(crate) fn run(time: Duration, first: u64) -> Report {
    let watch = Watch::start(first);
    let begin = Instant::now();
    let mut case = first;
    while begin.elapsed() < time {
        watch.enter(case);
        if let Err(message) = run_case(case) {
            return Report { cases: case - first + 1, failure: Some((case, message)) };
        }
        case += 1;
    }
    Report { cases: case - first, failure: None }
}

/// Runs one case.
pub(crate) fn run_case(case: u64) -> Result<(), String> {
    let begin = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| Calls::new(case).run()));
    let message = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    message?;
    if begin.elapsed() > CASE_LIMIT {
        return Err(format!("took {:?}", begin.elapsed()));
    }
    match resident_bytes() {
        Some(bytes) if case.is_multiple_of(64) && bytes > PROCESS_LIMIT_BYTES => Err(format!("the process holds {bytes} bytes")),
        _ => Ok(()),
    }
}

/// Memory of this process, where the system tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
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
            let mut since = (case.load(Ordering::Relaxed), Instant::now());
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200));
                let current = case.load(Ordering::Relaxed);
                if current != since.0 {
                    since = (current, Instant::now());
                }
                assert_hang(current, since.1.elapsed());
            }
        });
        watch
    }

    fn enter(&self, case: u64) {
        self.case.store(case, Ordering::Relaxed);
    }
}

#[expect(clippy::print_stderr, reason = "nothing else can report a case that never returns")]
fn assert_hang(case: u64, elapsed: Duration) {
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
        (self.bits() % n.max(1) as u64) as usize
    }

    /// True once in `n`.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn double(&mut self) -> f64 {
        const SPECIAL: [f64; 14] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            2.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            f64::EPSILON,
            1.8446744073709552e19,
            -9.3e18,
        ];
        match self.below(4) {
            0 => f64::from_bits(self.bits()),
            1 => self.pick(&SPECIAL),
            2 => self.below(41) as f64 * 0.005 - 0.1,
            _ => self.below(9) as f64,
        }
    }

    fn integer(&mut self) -> i64 {
        match self.below(4) {
            0 => self.bits() as i64,
            1 => self.pick(&[i64::MIN, i64::MAX, 0, -1]),
            _ => self.below(50) as i64 - 5,
        }
    }

    fn option<T>(&mut self, value: T) -> Option<T> {
        (!self.once_in(6)).then_some(value)
    }

    fn values<T>(&mut self, rows: usize, mut value: impl FnMut(&mut Self) -> T) -> Vec<Option<T>> {
        (0..rows)
            .map(|_| {
                let value = value(self);
                self.option(value)
            })
            .collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.pick(&[0, 1, 4, 5, 8, 9, 16, 17, 40]);
        (0..length).map(|_| self.bits() as u8).collect()
    }

    fn text(&mut self) -> String {
        let length = self.pick(&[0, 1, 2, 33, 70]);
        (0..length).map(|_| self.pick(&['a', 'b', '\0', '\u{10FFFF}', 'é'])).collect()
    }

    /// A column of any of the types that the driver knows.
    fn column(&mut self, data_type: &DataType, rows: usize) -> ArrayRef {
        let (before, after) = (self.below(3), self.below(3));
        let whole = self.whole_column(data_type, before + rows + after);
        whole.slice(before, rows)
    }

    fn whole_column(&mut self, data_type: &DataType, rows: usize) -> ArrayRef {
        match data_type {
            DataType::Float64 => Arc::new(Float64Array::from(self.values(rows, Self::double))),
            DataType::Int64 => Arc::new(Int64Array::from(self.values(rows, Self::integer))),
            DataType::Date32 => Arc::new(Date32Array::from(self.values(rows, |s| s.integer() as i32))),
            DataType::Date64 => Arc::new(Date64Array::from(self.values(rows, Self::integer))),
            DataType::Timestamp(TimeUnit::Second, _) => Arc::new(TimestampSecondArray::from(self.values(rows, Self::integer))),
            DataType::Timestamp(..) => Arc::new(TimestampNanosecondArray::from(self.values(rows, Self::integer))),
            DataType::Boolean => Arc::new(BooleanArray::from(self.values(rows, |s| s.once_in(2)))),
            DataType::Utf8 => Arc::new(StringArray::from(self.values(rows, Self::text))),
            DataType::LargeBinary => {
                let values = self.values(rows, Self::bytes);
                Arc::new(LargeBinaryArray::from_iter(values))
            }
            DataType::LargeList(item) => {
                let lengths: Vec<usize> = (0..rows).map(|_| self.pick(&[0, 1, 2, 3, 5, 7, 8, 9, 11, 13, 40])).collect();
                let child = self.column(item.data_type(), lengths.iter().sum());
                let valid = (0..rows).map(|_| !self.once_in(8)).collect::<Vec<_>>();
                let item = Arc::new(Field::new_list_field(item.data_type().clone(), true));
                Arc::new(LargeListArray::new(item, OffsetBuffer::from_lengths(lengths), child, Some(NullBuffer::from(valid))))
            }
            DataType::Dictionary(..) => {
                let text = self.whole_column(&DataType::Utf8, rows);
                cast(&text, data_type).unwrap_or_else(|_| new_null_array(data_type, rows))
            }
            other => new_null_array(other, rows),
        }
    }
}

fn key_types() -> Vec<DataType> {
    vec![
        DataType::Date32,
        DataType::Int64,
        DataType::Float64,
        DataType::Utf8,
        DataType::Boolean,
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
    ]
}

fn date_types() -> Vec<DataType> {
    vec![DataType::Date32, DataType::Date64, DataType::Timestamp(TimeUnit::Second, None), DataType::Timestamp(TimeUnit::Nanosecond, None)]
}

/// The calls of one case.
struct Calls {
    source: Source,
}

impl Calls {
    fn new(case: u64) -> Self {
        Self { source: Source(case) }
    }

    fn run(&mut self) -> Result<(), String> {
        if self.source.once_in(20) {
            return self.scalar();
        }
        if self.source.once_in(8) {
            return Window::new(&mut self.source)?.run(&mut self.source);
        }
        let metrics: Vec<&'static Metric> = functions().collect();
        let metric = self.source.pick(&metrics);
        let target = Target::new(metric, &mut self.source);
        match self.source.below(4) {
            0 => target.plain(&mut self.source, false),
            1 => target.plain(&mut self.source, true),
            _ => target.grouped(&mut self.source),
        }
    }

    fn scalar(&mut self) -> Result<(), String> {
        let source = &mut self.source;
        let scalar = &SCALARS[source.below(SCALARS.len())];
        let function = ScalarFunction::try_new(scalar).map_err(|e| e.to_string())?;
        let rows = source.below(20);
        let count = 1 + source.below(3);
        let args: Vec<ColumnarValue> = (0..count)
            .map(|_| match source.below(8) {
                0 => ColumnarValue::Scalar(ScalarValue::Utf8(Some(source.text()))),
                1 => ColumnarValue::Array(source.column(&DataType::Int64, rows)),
                2 | 3 => ColumnarValue::Scalar(ScalarValue::Float64(Some(source.double()))),
                _ => ColumnarValue::Array(source.column(&DataType::Float64, rows)),
            })
            .collect();
        let field = |data_type: DataType| Arc::new(Field::new("argument", data_type, true));
        let call = ScalarFunctionArgs {
            arg_fields: args.iter().map(|arg| field(arg.data_type())).collect(),
            args,
            number_rows: rows,
            return_field: field(DataType::Float64),
            config_options: Arc::new(ConfigOptions::default()),
        };
        match function.invoke_with_args(call) {
            Ok(ColumnarValue::Array(found)) if found.len() != rows => Err(format!("{}: {} rows of {rows}", scalar.name, found.len())),
            Ok(found) => {
                let zero = |x: f64| x == 0.0 && x.is_sign_negative();
                let negative = match found {
                    ColumnarValue::Scalar(ScalarValue::Float64(x)) => x.is_some_and(zero),
                    other => other
                        .into_array(rows)
                        .map_err(|e| e.to_string())?
                        .as_any()
                        .downcast_ref::<Float64Array>()
                        .is_none_or(|column| column.iter().flatten().any(zero)),
                };
                if negative { Err(format!("{}: -0.0 or no DOUBLE", scalar.name)) } else { Ok(()) }
            }
            Err(_) => Ok(()),
        }
    }
}

/// One call of a metric with its columns.
struct Target {
    call: AggregateFunctionExpr,
    schema: SchemaRef,
}

impl Target {
    fn new(metric: &'static Metric, source: &mut Source) -> Self {
        let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
        let schema = Arc::new(Schema::new(vec![
            field("x", DataType::Float64),
            field("b", DataType::Float64),
            field("date", source.pick(&date_types())),
            field("t", source.pick(&[key_types(), date_types()].concat())),
            field("k", source.pick(&key_types())),
            field("l", source.pick(&key_types())),
        ]));
        let args = arguments(metric, &schema, source);
        let order = if metric.needs_order() { order(&schema, source) } else { vec![] };
        let udaf = MetricUdaf::try_new(metric).expect("an entry of the table");
        let udaf = if source.once_in(4) { udaf.in_time_order().unwrap_or(udaf) } else { udaf };
        let call = AggregateExprBuilder::new(Arc::new(udaf.into()), args).schema(Arc::clone(&schema)).order_by(order).alias("call");
        let distinct = metric.allows_distinct() && source.once_in(3);
        Self { call: call.with_distinct(distinct).build().expect("arguments of the right types"), schema }
    }

    /// The columns of a batch that the engine hands over; `ordered` with the order keys.
    fn input(&self, rows: usize, ordered: bool, source: &mut Source) -> Vec<ArrayRef> {
        let columns = self.schema.fields().iter().map(|field| source.column(field.data_type(), rows)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("columns of the schema");
        let keys = self.call.order_bys().iter().map(|key| Arc::clone(&key.expr)).filter(|_| ordered);
        let exprs = self.call.expressions().into_iter().chain(keys);
        exprs.map(|e| e.evaluate(&batch).and_then(|v| v.into_array(rows)).expect("columns and literals")).collect()
    }

    /// A partial result that no accumulator wrote.
    fn forged(&self, rows: usize, source: &mut Source) -> Vec<ArrayRef> {
        let fields = self.call.state_fields().expect("fields of the state");
        let mut columns: Vec<ArrayRef> = fields.iter().map(|field| source.column(field.data_type(), rows)).collect();
        if source.once_in(20) {
            let at = source.below(columns.len());
            columns[at] = source.column(&DataType::Int64, rows);
        }
        columns
    }

    fn plain(&self, source: &mut Source, sliding: bool) -> Result<(), String> {
        let made = if sliding { self.call.create_sliding_accumulator() } else { self.call.create_accumulator() };
        let Ok(mut accumulator) = made else { return Ok(()) };
        for _ in 0..source.below(10) {
            self.step(accumulator.as_mut(), sliding, source)?;
        }
        self.check(accumulator.evaluate(), accumulator.size())
    }

    fn step(&self, accumulator: &mut dyn Accumulator, sliding: bool, source: &mut Source) -> Result<(), String> {
        let rows = source.pick(&[0, 1, 2, 7, 30]);
        // Errors are fine: only panics, wrong types and memory are looked for.
        let _ = match source.below(6) {
            0 | 1 => accumulator.update_batch(&self.input(rows, !sliding, source)),
            2 if accumulator.supports_retract_batch() => accumulator.retract_batch(&self.input(rows, !sliding, source)),
            2 | 3 => accumulator.merge_batch(&self.forged(rows, source)),
            4 => {
                let found = accumulator.evaluate();
                return self.check(found, accumulator.size());
            }
            _ => return self.merge_own(accumulator, source),
        };
        Ok(())
    }

    /// What the accumulator wrote itself goes back into it.
    fn merge_own(&self, accumulator: &mut dyn Accumulator, source: &mut Source) -> Result<(), String> {
        let Ok(state) = accumulator.state() else { return Ok(()) };
        let columns = state.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>>>().map_err(|e| e.to_string())?;
        self.check_state(&columns)?;
        if source.once_in(2) {
            accumulator.merge_batch(&columns).map_err(|e| format!("{}: its own state is refused: {e}", self.call.fun().name()))?;
        }
        Ok(())
    }

    fn check(&self, found: Result<ScalarValue>, size: usize) -> Result<(), String> {
        let name = self.call.fun().name();
        if size > STATE_LIMIT_BYTES {
            return Err(format!("{name}: its state says {size} bytes"));
        }
        match found {
            Ok(value) if &value.data_type() != self.call.field().data_type() => Err(format!("{name}: result is {}", value.data_type())),
            Ok(ScalarValue::Float64(Some(x))) if x == 0.0 && x.is_sign_negative() => Err(format!("{name}: result is -0.0")),
            _ => Ok(()),
        }
    }

    fn check_state(&self, columns: &[ArrayRef]) -> Result<(), String> {
        let fields = self.call.state_fields().map_err(|e| e.to_string())?;
        let fits = fields.len() == columns.len() && fields.iter().zip(columns).all(|(f, c)| f.data_type() == c.data_type());
        if fits { Ok(()) } else { Err(format!("{}: state of other types than declared", self.call.fun().name())) }
    }

    fn grouped(&self, source: &mut Source) -> Result<(), String> {
        let Ok(mut groups) = self.call.create_groups_accumulator() else { return Ok(()) };
        let mut total = 0;
        for _ in 0..source.below(10) {
            total = self.group_step(groups.as_mut(), total, source)?;
        }
        let found = groups.evaluate(EmitTo::All);
        self.check_groups(found, total, groups.size())
    }

    /// One call; the number of groups after it.
    fn group_step(&self, groups: &mut dyn GroupsAccumulator, total: usize, source: &mut Source) -> Result<usize, String> {
        let rows = source.pick(&[0, 1, 2, 7, 30]);
        let grown = (total + source.below(4)).max(1);
        let indices: Vec<usize> = (0..rows).map(|_| source.below(grown)).collect();
        let filter = source.once_in(2).then(|| BooleanArray::from(source.values(rows, |s| s.once_in(2))));
        let emitted = source.below(total + 1);
        match source.below(7) {
            0 | 1 => {
                let done = groups.update_batch(&self.input(rows, true, source), &indices, filter.as_ref(), grown);
                return Ok(if done.is_ok() { grown } else { self.lost(groups) });
            }
            2 | 3 => {
                let done = groups.merge_batch(&self.forged(rows, source), &indices, grown);
                return Ok(if done.is_ok() { grown } else { self.lost(groups) });
            }
            4 => {
                let state = groups.convert_to_state(&self.input(rows, true, source), filter.as_ref());
                if let Ok(columns) = state {
                    self.check_state(&columns)?;
                    if columns.iter().any(|column| column.len() != rows) {
                        return Err(format!("{}: converted {rows} rows to another number of states", self.call.fun().name()));
                    }
                }
            }
            5 => {
                let found = groups.evaluate(EmitTo::First(emitted));
                self.check_groups(found, emitted, groups.size())?;
                return Ok(total - emitted);
            }
            _ => {
                if let Ok(columns) = groups.state(EmitTo::First(emitted)) {
                    self.check_state(&columns)?;
                    if columns.iter().any(|column| column.len() != emitted) {
                        return Err(format!("{}: not a state for each group", self.call.fun().name()));
                    }
                    return Ok(total - emitted);
                }
            }
        }
        Ok(total)
    }

    /// An error ends a query; the accumulator is emptied, so that the case may go on.
    fn lost(&self, groups: &mut dyn GroupsAccumulator) -> usize {
        let _ = groups.evaluate(EmitTo::All);
        0
    }

    fn check_groups(&self, found: Result<ArrayRef>, expected: usize, size: usize) -> Result<(), String> {
        let Ok(column) = found else { return Ok(()) };
        if column.len() != expected {
            return Err(format!("{}: {} results for {expected} groups", self.call.fun().name(), column.len()));
        }
        for i in 0..column.len() {
            self.check(ScalarValue::try_from_array(&column, i), size)?;
        }
        Ok(())
    }
}

/// Valid arguments: columns for the series, literals for the constants.
fn arguments(metric: &'static Metric, schema: &SchemaRef, source: &mut Source) -> Vec<Arc<dyn PhysicalExpr>> {
    let column = |name: &str| col(name, schema).expect("a column of the schema");
    let mut args: Vec<Arc<dyn PhysicalExpr>> = vec![];
    for (i, argument) in metric.arguments.iter().enumerate() {
        if argument.default != DefaultValue::Required && source.once_in(4) {
            break;
        }
        args.push(match argument.role {
            Role::Series => column(if i == 0 { "x" } else { "b" }),
            Role::Time => column("t"),
            Role::Dates => column("date"),
            _ => lit(constant(argument, source)),
        });
    }
    args
}

/// An allowed value, extreme ones among them.
fn constant(argument: &Argument, source: &mut Source) -> ScalarValue {
    match argument.role {
        Role::Population | Role::CountZeros => ScalarValue::from(source.once_in(2)),
        Role::Method => ScalarValue::from(source.pick(&["historical", "parametric", "cornish_fisher"])),
        Role::Statistic => ScalarValue::from(source.pick(&["sharpe_ratio", "value_at_risk", "kurtosis", "profit_factor", "cagr", "roi"])),
        Role::Resamples => ScalarValue::from(100.0),
        Role::Confidence => ScalarValue::from(source.pick(&[0.95, 0.5, 1e-9, 0.999_999_999])),
        Role::Rate => ScalarValue::from(source.pick(&[0.0, 0.02, -0.999_999_999_999, 1e300])),
        Role::RandomSeed => ScalarValue::from(source.pick(&[0.0, -1.0, 9_007_199_254_740_992.0])),
        Role::Length | Role::FastLength | Role::SlowLength | Role::SignalLength => {
            ScalarValue::from(source.pick(&[1.0, 2.0, 3.0, 12.0, 1e9, 9_007_199_254_740_992.0]))
        }
        Role::DegreesOfFreedom => ScalarValue::from(source.pick(&[0.0, 1.0, 2.0])),
        Role::Deviations => ScalarValue::from(source.pick(&[0.0, 2.0, 1e300])),
        Role::Seed => ScalarValue::from(source.pick(&["sma", "first"])),
        Role::RsiMethod => ScalarValue::from(source.pick(&["wilder", "cutler"])),
        Role::AtrMethod => ScalarValue::from(source.pick(&["wilder", "simple"])),
        _ => ScalarValue::from(source.pick(&[1.0, 252.0, 0.25, 1e-300, 1e300])),
    }
}

fn order(schema: &SchemaRef, source: &mut Source) -> Vec<PhysicalSortExpr> {
    let keys = &["k", "l"][..source.below(3)];
    let mut key = |name: &str| PhysicalSortExpr {
        expr: col(name, schema).expect("a column of the schema"),
        options: SortOptions { descending: source.once_in(2), nulls_first: source.once_in(2) },
    };
    keys.iter().map(|name| key(name)).collect()
}

#[test]
fn arbitrary_bytes_are_survived() {
    let report = run(Duration::from_secs(2), 0);
    assert!(report.cases > 0);
    assert!(report.failure.is_none(), "{report:?}");
}
