//! Every indicator of the table on random series: against its definition computed naively, and row by row against whole and cut series.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::PartitionEvaluatorArgs;
use datafusion::logical_expr::{PartitionEvaluator, WindowUDF};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion_functions_finance::{INDICATORS, Indicator, IndicatorUdwf, Role};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

const CASES: u32 = 1_000;

/// Constants of a call.
#[derive(Debug, Clone)]
struct Options {
    n: usize,
    fast: usize,
    slow: usize,
    signal: usize,
    deviations: f64,
    ddof: usize,
    first: bool,
    plain: bool,
}

fn options() -> impl Strategy<Value = Options> {
    let lengths = (1_usize..9, 1_usize..6, 1_usize..6, 1_usize..5);
    (lengths, 0.0..4.0_f64, 0_usize..3, any::<bool>(), any::<bool>()).prop_map(
        |((n, fast, more, signal), deviations, ddof, first, plain)| Options {
            n,
            fast,
            slow: fast + more,
            signal,
            deviations,
            ddof: ddof.min(n - 1),
            first,
            plain,
        },
    )
}

/// Values made of random bits.
type Decode = fn(u64) -> Option<f64>;

/// Values of all sizes with repetitions, NULL and NaN; none infinite.
fn value(bits: u64) -> Option<f64> {
    let more = bits >> 8;
    match bits % 12 {
        0..=5 => Some((more % 100) as f64 / 8.0 - 6.25),
        6..=8 => Some((more % 3) as f64),
        9 => None,
        _ => Some([1e15, -1e-15, f64::NAN, 1e9 + 0.125, -0.0][(more % 5) as usize]),
    }
}

/// As [`value`], with infinities and values that overflow.
fn wild_value(bits: u64) -> Option<f64> {
    match bits >> 62 {
        0 => Some([f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1e308, 5e-324][(bits % 5) as usize]),
        1 => Some(f64::from_bits(bits.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        _ => value(bits),
    }
}

/// A row of three values.
fn row(bits: u64, decode: Decode) -> [Option<f64>; 3] {
    [0, 21, 42].map(|turn| decode(bits.rotate_left(turn)))
}

/// The constant that an option stands for.
fn constant(role: Role, options: &Options, indicator: &Indicator) -> Arc<dyn PhysicalExpr> {
    let number = |x: usize| lit(x as f64);
    match role {
        Role::Length => number(options.n),
        Role::FastLength => number(options.fast),
        Role::SlowLength => number(options.slow),
        Role::SignalLength => number(options.signal),
        Role::DegreesOfFreedom => number(options.ddof),
        Role::Deviations => lit(options.deviations),
        Role::Seed => lit(if options.first { "first" } else { "sma" }),
        Role::RsiMethod => lit(if options.plain { "cutler" } else { "wilder" }),
        Role::AtrMethod => lit(if options.plain { "simple" } else { "wilder" }),
        other => panic!("{}: {other:?}", indicator.name),
    }
}

/// The functions of the table; making one writes its documentation.
static FUNCTIONS: LazyLock<HashMap<&str, WindowUDF>> =
    LazyLock::new(|| INDICATORS.iter().map(|i| (i.name, WindowUDF::from(IndicatorUdwf::try_new(i).unwrap()))).collect());

fn evaluator(indicator: &'static Indicator, options: &Options) -> Box<dyn PartitionEvaluator> {
    let argument = |(i, argument): (usize, &datafusion_functions_finance::Argument)| -> Arc<dyn PhysicalExpr> {
        if argument.role.is_constant() { constant(argument.role, options, indicator) } else { Arc::new(Column::new(argument.name, i)) }
    };
    let exprs: Vec<_> = indicator.arguments.iter().enumerate().map(argument).collect();
    let fields: Vec<FieldRef> = indicator.arguments.iter().map(|a| Arc::new(Field::new(a.name, DataType::Float64, true)) as _).collect();
    FUNCTIONS[indicator.name].partition_evaluator_factory(PartitionEvaluatorArgs::new(&exprs, &fields, false, false)).unwrap()
}

/// The series of a call: `x`, or high, low and close.
fn columns(indicator: &Indicator, series: &[[Option<f64>; 3]]) -> Vec<ArrayRef> {
    let width = indicator.arguments.iter().filter(|a| !a.role.is_constant()).count();
    (0..width).map(|k| Arc::new(series.iter().map(|row| row[k]).collect::<Float64Array>()) as ArrayRef).collect()
}

/// The doubles of a result, one list for each field.
fn doubles(array: &ArrayRef) -> Vec<Vec<Option<f64>>> {
    let list = |array: &ArrayRef| array.as_primitive::<Float64Type>().iter().collect();
    match array.as_struct_opt() {
        Some(whole) => {
            assert_eq!(whole.null_count(), 0);
            whole.columns().iter().map(list).collect()
        }
        None => vec![list(array)],
    }
}

fn bits(lists: &[Vec<Option<f64>>]) -> Vec<Vec<Option<u64>>> {
    // Which NaN it is depends on the order of operands that the compiler chose.
    let bits = |x: f64| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() };
    lists.iter().map(|list| list.iter().map(|x| x.map(bits)).collect()).collect()
}

/// The whole series at once, row by row, and in pieces: the same bits.
fn same_in_every_way(indicator: &'static Indicator, options: &Options, inputs: &[ArrayRef], cut: usize) -> Vec<Vec<Option<f64>>> {
    let rows = inputs[0].len();
    let whole = doubles(&evaluator(indicator, options).evaluate_all(inputs, rows).unwrap());
    let mut single = evaluator(indicator, options);
    let one = |i: usize| single.evaluate(inputs, &(i..i + 1)).unwrap();
    let by_row: Vec<ScalarValue> = (0..rows).map(one).collect();
    if rows > 0 {
        let by_row = doubles(&ScalarValue::iter_to_array(by_row).unwrap());
        assert_eq!(bits(&by_row), bits(&whole), "{} row by row", indicator.name);
    }
    let (cut, mut pieces) = (cut.min(rows), evaluator(indicator, options));
    let mut joined = vec![vec![]; whole.len()];
    for (start, end) in [(0, cut), (cut, cut), (cut, rows)] {
        let piece: Vec<ArrayRef> = inputs.iter().map(|column| column.slice(start, end - start)).collect();
        let found = doubles(&pieces.evaluate_all(&piece, end - start).unwrap());
        joined.iter_mut().zip(found).for_each(|(all, more)| all.extend(more));
    }
    assert_eq!(bits(&joined), bits(&whole), "{} cut at {cut}", indicator.name);
    whole
}

fn mean(x: &[f64]) -> f64 {
    if x.iter().all(|v| v == &x[0]) { x[0] } else { x.iter().sum::<f64>() / x.len() as f64 }
}

fn deviation(x: &[f64], ddof: usize) -> f64 {
    if x.iter().all(|v| v == &x[0]) {
        return 0.0;
    }
    let m = mean(x);
    (x.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / (x.len() - ddof) as f64).sqrt()
}

/// `f` of the last `n` values.
fn rolling(x: &[f64], n: usize, f: impl Fn(&[f64]) -> f64) -> Vec<Option<f64>> {
    (0..x.len()).map(|i| (i + 1 >= n).then(|| f(&x[i + 1 - n..=i]))).collect()
}

/// A recursive average that starts at row `from` with the mean of `n` rows.
fn recursive(x: &[f64], from: usize, n: usize, after: impl Fn(f64, f64) -> f64) -> Vec<Option<f64>> {
    let mut out = vec![None; x.len()];
    let mut last = None;
    for i in (from + n - 1).min(x.len())..x.len() {
        last = Some(last.map_or_else(|| mean(&x[from..from + n]), |e| after(e, x[i])));
        out[i] = last;
    }
    out
}

fn exponential(n: usize) -> impl Fn(f64, f64) -> f64 {
    move |e, x| e + 2.0 / (n as f64 + 1.0) * (x - e)
}

fn wilder(n: usize) -> impl Fn(f64, f64) -> f64 {
    move |e, x| (e * (n as f64 - 1.0) + x) / n as f64
}

fn seeded(x: &[f64], n: usize, first: bool, after: impl Fn(f64, f64) -> f64) -> Vec<Option<f64>> {
    recursive(x, 0, if first { 1 } else { n }, after)
}

/// `values` behind `rows` rows without any.
fn delayed(rows: usize, values: Vec<Option<f64>>, len: usize) -> Vec<Option<f64>> {
    std::iter::repeat_n(None, rows).chain(values).take(len).collect()
}

fn strength(x: &[f64], o: &Options) -> Vec<Option<f64>> {
    let change: Vec<f64> = x.windows(2).map(|w| w[1] - w[0]).collect();
    let part = |sign: f64| -> Vec<f64> { change.iter().map(|c| if c.is_nan() { *c } else { (c * sign).max(0.0) }).collect() };
    let average = |x: &[f64]| if o.plain { rolling(x, o.n, mean) } else { recursive(x, 0, o.n, wilder(o.n)) };
    let index = |(gain, loss): (Option<f64>, Option<f64>)| {
        let (gain, loss) = (gain?, loss?);
        (gain + loss != 0.0).then(|| if loss == 0.0 { 100.0 } else { 100.0 * gain / (gain + loss) })
    };
    delayed(1, average(&part(1.0)).into_iter().zip(average(&part(-1.0))).map(index).collect(), x.len())
}

fn convergence(x: &[f64], o: &Options) -> Vec<Vec<Option<f64>>> {
    let (fast, slow) = if o.first {
        (seeded(x, o.fast, true, exponential(o.fast)), seeded(x, o.slow, true, exponential(o.slow)))
    } else {
        (recursive(x, o.slow - o.fast, o.fast, exponential(o.fast)), recursive(x, 0, o.slow, exponential(o.slow)))
    };
    let line: Vec<f64> = fast.iter().zip(&slow).filter_map(|(f, s)| Some((*f)? - (*s)?)).collect();
    let signal = seeded(&line, o.signal, o.first, exponential(o.signal));
    let before = x.len() - line.len();
    let shown: Vec<Option<f64>> = line.iter().zip(&signal).map(|(line, signal)| signal.map(|_| *line)).collect();
    let gap = line.iter().zip(&signal).map(|(line, signal)| signal.map(|s| line - s)).collect();
    [shown, signal, gap].map(|values| delayed(before, values, x.len())).into()
}

fn ranges(bars: &[[f64; 3]]) -> Vec<f64> {
    let range = |w: &[[f64; 3]]| {
        let ([high, low, _], close) = (w[1], w[0][2]);
        if [high, low, close].iter().any(|x| x.is_nan()) {
            return f64::NAN;
        }
        (high - low).max((high - close).abs()).max((low - close).abs())
    };
    bars.windows(2).map(range).collect()
}

/// Running `(level, peak)`; NaN once one was seen.
fn curve(x: &[f64], start: f64, add: impl Fn(f64, f64) -> f64, depth: impl Fn(f64, f64) -> f64) -> [Vec<Option<f64>>; 2] {
    let (mut level, mut peak) = (start, start);
    let step = |&x: &f64| {
        level = add(level, x);
        peak = if level > peak { level } else { peak };
        (Some(level), Some(depth(level, peak)))
    };
    let (levels, depths) = x.iter().map(step).unzip();
    [levels, depths]
}

/// The definition, over rows with all inputs present.
fn naive(name: &str, rows: &[[f64; 3]], o: &Options) -> Vec<Vec<Option<f64>>> {
    let x: Vec<f64> = rows.iter().map(|row| row[0]).collect();
    let wealth = || curve(&x, 1.0, |w, r| w * (1.0 + r), |w, h| w / h - 1.0);
    let currency = || curve(&x, 0.0, |e, x| e + x, |e, k| e - k);
    vec![match name {
        "sma" => rolling(&x, o.n, mean),
        "ema" => seeded(&x, o.n, o.first, exponential(o.n)),
        "rma" => seeded(&x, o.n, o.first, wilder(o.n)),
        "rsi" => strength(&x, o),
        "macd" => return convergence(&x, o),
        "bollinger_bands" => {
            let band = |side: f64| rolling(&x, o.n, move |w| mean(w) + side * o.deviations * deviation(w, o.ddof));
            return vec![rolling(&x, o.n, mean), band(1.0), band(-1.0)];
        }
        "true_range" => delayed(1, ranges(rows).into_iter().map(Some).collect(), rows.len()),
        "atr" => {
            let ranges = ranges(rows);
            let average = if o.plain { rolling(&ranges, o.n, mean) } else { recursive(&ranges, 0, o.n, wilder(o.n)) };
            delayed(1, average, rows.len())
        }
        "rolling_stddev" => rolling(&x, o.n, |w| deviation(w, o.ddof)),
        "locf" => x.iter().copied().map(Some).collect(),
        "equity" => wealth()[0].clone(),
        "equity_pnl" => currency()[0].clone(),
        "drawdown" => wealth()[1].clone(),
        "drawdown_pnl" => currency()[1].clone(),
        other => panic!("write down the definition of {other}"),
    }]
}

/// Puts the values of the present rows back between the others.
fn spread(values: Vec<Option<f64>>, present: &[bool], carry: bool) -> Vec<Option<f64>> {
    let mut next = values.into_iter();
    let mut last = None;
    let mut place = |here: &bool| {
        if *here {
            last = next.next().flatten();
            return last;
        }
        if carry { last } else { None }
    };
    present.iter().map(&mut place).collect()
}

/// How far an answer may be off: in units of the values that it depends on.
fn allowed(indicator: &Indicator, inputs: &[[f64; 3]], i: usize, o: &Options) -> f64 {
    let windowed = matches!(indicator.name, "sma" | "rolling_stddev" | "bollinger_bands") || (indicator.name == "atr" && o.plain);
    let from = if windowed { (i + 1).saturating_sub(o.n + 1) } else { 0 };
    let largest = inputs[from..=i].iter().flatten().filter(|x| !x.is_nan()).fold(0.0_f64, |a, x| a.max(x.abs()));
    match indicator.name {
        // Points. A gain of 1e15 leaves no more than that of the digits of what is small.
        "rsi" => 1e-9,
        // Of the answer, or of 1 where that is more.
        "equity" | "drawdown" => 1e-12,
        "equity_pnl" | "drawdown_pnl" => 1e-12 * largest * (i + 1) as f64,
        _ => 1e-11 * largest.max(1e-6),
    }
}

fn run(of: impl Fn(&Indicator) -> bool, test: impl Fn(&'static Indicator, &Options, Vec<[Option<f64>; 3]>, usize), decode: Decode) {
    for indicator in INDICATORS.iter().filter(|indicator| of(indicator)) {
        let series = prop::collection::vec(any::<u64>(), 0..60).prop_map(|rows| rows.into_iter().map(|bits| row(bits, decode)).collect());
        let mut runner = TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() });
        let case = |(options, series, cut): (Options, Vec<[Option<f64>; 3]>, usize)| {
            test(indicator, &options, series, cut);
            Ok(())
        };
        if let Err(failure) = runner.run(&(options(), series, 0_usize..60), case) {
            panic!("{}: {failure}", indicator.name);
        }
    }
}

#[test]
fn every_indicator_is_its_definition() {
    let test = |indicator: &'static Indicator, options: &Options, series: Vec<[Option<f64>; 3]>, cut: usize| {
        let returns = matches!(indicator.name, "equity" | "drawdown");
        let series: Vec<[Option<f64>; 3]> =
            if returns { series.iter().map(|row| row.map(|x| x.map(|x| (x % 7.0) / 10.0))).collect() } else { series };
        let inputs = columns(indicator, &series);
        let found = same_in_every_way(indicator, options, &inputs, cut);
        let whole_row = |row: &[Option<f64>; 3]| row[..inputs.len()].iter().all(Option::is_some);
        let present: Vec<bool> = series.iter().map(whole_row).collect();
        let rows: Vec<[f64; 3]> = series.iter().filter(|row| whole_row(row)).map(|row| row.map(|x| x.unwrap_or(0.0))).collect();
        // Only the columns that are inputs decide how exact an answer can be.
        let rows: Vec<[f64; 3]> =
            rows.into_iter().map(|row| std::array::from_fn(|k| if k < inputs.len() { row[k] } else { 0.0 })).collect();
        let scale: Vec<Option<f64>> = (0..rows.len()).map(|i| Some(allowed(indicator, &rows, i, options))).collect();
        let scale = spread(scale, &present, true);
        for (found, expected) in found.iter().zip(naive(indicator.name, &rows, options)) {
            let expected = spread(expected, &present, indicator.name == "locf");
            for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                let same = match (a, b) {
                    (None, None) => true,
                    (Some(a), Some(b)) if b.is_nan() => a.is_nan(),
                    (Some(a), Some(b)) if returns => (a - b).abs() <= scale[i].unwrap() * b.abs().max(1.0),
                    (Some(a), Some(b)) => (a - b).abs() <= scale[i].unwrap(),
                    _ => false,
                };
                assert!(same, "{} row {i}: {a:?} is not {b:?}, {found:?} {expected:?}", indicator.name);
                assert!(indicator.name == "locf" || a.is_none_or(|a| a != 0.0 || a.is_sign_positive()), "{}: -0.0", indicator.name);
            }
        }
    };
    run(|_| true, test, value);
}

#[test]
fn wild_values_give_the_same_bits_in_every_way_and_no_panic() {
    let test = |indicator: &'static Indicator, options: &Options, series: Vec<[Option<f64>; 3]>, cut: usize| {
        let inputs = columns(indicator, &series);
        same_in_every_way(indicator, options, &inputs, cut);
    };
    run(|_| true, test, wild_value);
}

/// What has left the window changes no bit more than rounding: the end of a series is what the end alone gives.
#[test]
fn windows_forget() {
    let test = |indicator: &'static Indicator, options: &Options, series: Vec<[Option<f64>; 3]>, cut: usize| {
        if series.len() < cut + 20 {
            return;
        }
        let tail: Vec<[Option<f64>; 3]> =
            series[cut..].iter().map(|row| row.map(|x| x.map(|x| if x.is_finite() { x % 50.0 } else { 1.0 }))).collect();
        let joined: Vec<[Option<f64>; 3]> = series[..cut].iter().copied().chain(tail.iter().copied()).collect();
        let end = |rows: &[[Option<f64>; 3]]| {
            let whole = evaluator(indicator, options).evaluate_all(&columns(indicator, rows), rows.len()).unwrap();
            doubles(&whole)[0].last().copied().flatten()
        };
        if tail.iter().filter(|row| row[0].is_some()).count() >= options.n {
            let (alone, after) = (end(&tail), end(&joined));
            let same = alone.zip(after).map_or(alone == after, |(a, b)| (a - b).abs() <= 1e-12 * 50.0);
            assert!(same, "{}: {alone:?} {after:?}", indicator.name);
        }
    };
    run(|indicator| ["sma", "rolling_stddev"].contains(&indicator.name), test, wild_value);
}
