//! The table of window indicators. One entry is one SQL window function; adding a function is adding an entry.
//!
//! `f(...) OVER (PARTITION BY .. ORDER BY t)`: one pass in the order of `OVER`, memory for at most a few times `n` values, no look-ahead; a
//! frame clause has no effect. A row with a NULL in any input gives NULL and does not advance the state (`locf` apart); rows are counted
//! from 0 over the others. A NaN makes every value that depends on it NaN: windowed indicators recover after `n` rows, recursive ones do
//! not. Recursive averages start as in TA-Lib; `seed => 'first'` starts them at the first value.
//!
//! The symbols of the formulas are explained in [`mod@crate::reference`].
//!
//! # How they run
//!
//! DataFusion runs a window function of bounded memory row by row, with a `ScalarValue` for each, and everything else over whole inputs
//! held in memory. The first is slow, the second unbounded. So the functions offer both interfaces of DataFusion, and [`StreamIndicators`]
//! replaces the operator: [`IndicatorExec`] streams whole batches through the same arithmetic, with the memory of the states and one batch.
//! Rows that are not sorted by series and time yet are brought in order by [`crate::SeriesExec`], or by a sort where that declines.

mod arguments;
mod average;
mod curve;
mod exec;
mod indicator;
mod locf;
mod place;
mod range;
mod running;
mod settings;
mod udwf;
mod whole_files;
mod window;

pub use exec::IndicatorExec;
pub use indicator::{Indicator, IndicatorResult};
pub use place::StreamIndicators;
pub use udwf::IndicatorUdwf;
pub(crate) use udwf::check_call;

use arguments::{
    ATR_METHOD, CLOSE, DDOF_POPULATION, DDOF_SAMPLE, DEVIATIONS, FAST, HIGH, LOW, N, OBSERVATION, PNL, R, RSI_METHOD, SEED, SIGNAL, SLOW, X,
};
use average::{Average, Convergence, Exponential, Plain, Recursive, RelativeStrength, Wilder};
use curve::{CurrencyEquity, Depth, Equity};
use locf::LastObservation;
use range::{AverageTrueRange, TrueRange};
use running::{Running, Step, Stepping};
use settings::{Method, Seed, Settings};
use window::{Bands, RollingDeviation, RollingMean};

use crate::metric::{Example, Expected, Sample};
use crate::states::{Currency, Returns};

/// Fields of `macd`.
const MACD_FIELDS: &[&str] = &["macd", "signal", "histogram"];

/// Fields of `bollinger_bands`.
const BAND_FIELDS: &[&str] = &["middle", "upper", "lower"];

/// Every window indicator, in the order of the catalogue.
pub const INDICATORS: &[Indicator] = &[
    Indicator {
        name: "sma",
        aliases: &[],
        summary: "Simple moving average.",
        formula: "mean of the last n values",
        unit: "unit of x",
        null_when: "fewer than n rows so far",
        arguments: &[X, N],
        result: IndicatorResult::Double,
        example: over_bars(
            "sma(close, 3)",
            &[
                None,
                None,
                Some(11.0),
                Some(11.333333333333334),
                Some(11.0),
                Some(11.0),
                Some(11.666666666666666),
                Some(12.333333333333334),
                Some(13.0),
                Some(13.666666666666666),
            ],
        ),
        start: |s| single(Plain(RollingMean::new(s.n))),
    },
    Indicator {
        name: "ema",
        aliases: &[],
        summary: "Exponential moving average.",
        formula: "e = e' + 2/(n+1) * (x - e'), from the mean of the first n values; seed 'first': from the first value",
        unit: "unit of x",
        null_when: "fewer than n rows so far; seed 'first': only where x is NULL",
        arguments: &[X, N, SEED],
        result: IndicatorResult::Double,
        example: over_bars(
            "ema(close, 3)",
            &[None, None, Some(11.0), Some(11.0), Some(10.5), Some(11.25), Some(12.125), Some(12.0625), Some(13.03125), Some(14.015625)],
        ),
        start: |s| single(Plain(Recursive::<Exponential>::new(s.n, s.seed))),
    },
    Indicator {
        name: "rma",
        aliases: &[],
        summary: "Wilder's moving average.",
        formula: "e = (e'*(n-1) + x)/n, from the mean of the first n values; seed 'first': from the first value",
        unit: "unit of x",
        null_when: "fewer than n rows so far; seed 'first': only where x is NULL",
        arguments: &[X, N, SEED],
        result: IndicatorResult::Double,
        example: over_bars(
            "rma(close, 3)",
            &[
                None,
                None,
                Some(11.0),
                Some(11.0),
                Some(10.666666666666666),
                Some(11.11111111111111),
                Some(11.74074074074074),
                Some(11.82716049382716),
                Some(12.551440329218106),
                Some(13.367626886145406),
            ],
        ),
        start: |s| single(Plain(Recursive::<Wilder>::new(s.n, s.seed))),
    },
    Indicator {
        name: "rsi",
        aliases: &[],
        summary: "Relative strength index: the share of gains in all changes.",
        formula: "100*G/(G+L), G and L averages of the gains and losses of the changes: rma ('wilder') or mean of the last n ('cutler')",
        unit: "points, 0 to 100",
        null_when: "fewer than n+1 rows so far, or neither gains nor losses",
        arguments: &[X, N, RSI_METHOD],
        result: IndicatorResult::Double,
        example: over_bars(
            "rsi(close, 3)",
            &[
                None,
                None,
                None,
                Some(66.66666666666667),
                Some(44.44444444444444),
                Some(72.22222222222223),
                Some(79.79797979797979),
                Some(56.630824372759854),
                Some(76.8199233716475),
                Some(82.81860134895278),
            ],
        ),
        start: |s| match s.method {
            Method::Wilder => single(RelativeStrength::new(wilder(s))),
            Method::Plain => single(RelativeStrength::new(RollingMean::new(s.n))),
        },
    },
    Indicator {
        name: "macd",
        aliases: &[],
        summary: "Moving average convergence divergence: difference of two exponential averages, its average, and what is between these.",
        formula: "macd = ema(x, fast) - ema(x, slow), both from row slow-1 (the fast one from the mean of rows slow-fast to slow-1); \
                  signal = ema(macd, signal); histogram = macd - signal",
        unit: "unit of x",
        null_when: "fewer than slow+signal-1 rows so far (all fields); seed 'first': only where x is NULL",
        arguments: &[X, FAST, SLOW, SIGNAL, SEED],
        result: IndicatorResult::Fields(MACD_FIELDS),
        example: Example {
            call: "macd(close, 3, 5, 2)",
            over: Sample::Bars,
            expected: Expected::FieldRows(
                "macd",
                &[
                    None,
                    None,
                    None,
                    None,
                    None,
                    Some(0.3),
                    Some(0.45),
                    Some(0.25833333333333336),
                    Some(0.4847222222222222),
                    Some(0.6460648148148148),
                ],
            ),
        },
        start: |s| Stepping::boxed(Convergence::new([s.fast, s.slow, s.signal], s.seed), MACD_FIELDS),
    },
    Indicator {
        name: "bollinger_bands",
        aliases: &[],
        summary: "Simple moving average with a band of k deviations on both sides.",
        formula: "middle = m, upper = m + k*s, lower = m - k*s, s of the last n values with divisor n - ddof",
        unit: "unit of x",
        null_when: "fewer than n rows so far (all fields)",
        arguments: &[X, N, DEVIATIONS, DDOF_POPULATION],
        result: IndicatorResult::Fields(BAND_FIELDS),
        example: Example {
            call: "bollinger_bands(close, 5, 2)",
            over: Sample::Bars,
            expected: Expected::FieldRows(
                "upper",
                &[
                    None,
                    None,
                    None,
                    None,
                    Some(12.296662954709577),
                    Some(12.696662954709575),
                    Some(13.639607805437114),
                    Some(13.639607805437114),
                    Some(14.85329983228432),
                    Some(15.53238075793812),
                ],
            ),
        },
        start: |s| Stepping::boxed(Bands { rolling: RollingDeviation::new(s.n, s.ddof), deviations: s.deviations }, BAND_FIELDS),
    },
    Indicator {
        name: "true_range",
        aliases: &[],
        summary: "Range of a period, the gap from the close before counted.",
        formula: "max(high - low, abs(high - c), abs(low - c)), c the close of the row before",
        unit: "unit of the prices, >= 0",
        null_when: "the first row",
        arguments: &[HIGH, LOW, CLOSE],
        result: IndicatorResult::Double,
        example: over_bars(
            "true_range(high, low, close)",
            &[None, Some(1.5), Some(1.25), Some(1.5), Some(1.5), Some(2.5), Some(1.5), Some(1.5), Some(2.5), Some(1.25)],
        ),
        start: |_| single(TrueRange::default()),
    },
    Indicator {
        name: "atr",
        aliases: &[],
        summary: "Average true range.",
        formula: "rma ('wilder') or mean of the last n ('simple') of true_range, from its first value",
        unit: "unit of the prices, >= 0",
        null_when: "fewer than n+1 rows so far",
        arguments: &[HIGH, LOW, CLOSE, N, ATR_METHOD],
        result: IndicatorResult::Double,
        example: over_bars(
            "atr(high, low, close, 3)",
            &[
                None,
                None,
                None,
                Some(1.4166666666666667),
                Some(1.4444444444444444),
                Some(1.7962962962962963),
                Some(1.6975308641975309),
                Some(1.631687242798354),
                Some(1.921124828532236),
                Some(1.697416552354824),
            ],
        ),
        start: |s| match s.method {
            Method::Wilder => single(AverageTrueRange::new(wilder(s))),
            Method::Plain => single(AverageTrueRange::new(RollingMean::new(s.n))),
        },
    },
    Indicator {
        name: "rolling_stddev",
        aliases: &[],
        summary: "Standard deviation of the last n values.",
        formula: "sqrt(sum((x - m)^2)/(n - ddof)), exactly 0 where the last n values are equal",
        unit: "unit of x, >= 0",
        null_when: "fewer than n rows so far",
        arguments: &[X, N, DDOF_SAMPLE],
        result: IndicatorResult::Double,
        example: over_bars(
            "rolling_stddev(close, 3)",
            &[
                None,
                None,
                Some(1.0),
                Some(0.5773502691896257),
                Some(1.0),
                Some(1.0),
                Some(1.5275252316519468),
                Some(0.5773502691896257),
                Some(1.0),
                Some(1.5275252316519468),
            ],
        ),
        start: |s| single(RollingDeviation::new(s.n, s.ddof)),
    },
    Indicator {
        name: "locf",
        aliases: &[],
        summary: "Last observation carried forward: the last value so far that is not NULL.",
        formula: "the value of the last row, up to this one, that has one",
        unit: "unit and type of x",
        null_when: "no value so far",
        arguments: &[OBSERVATION],
        result: IndicatorResult::AsGiven,
        example: over_bars(
            "locf(nullif(close, 12))",
            &[Some(10.0), Some(11.0), Some(11.0), Some(11.0), Some(10.0), Some(10.0), Some(13.0), Some(13.0), Some(14.0), Some(15.0)],
        ),
        start: |_| Box::new(LastObservation::default()),
    },
    Indicator {
        name: "equity",
        aliases: &[],
        summary: "Equity curve of returns: compounded wealth, from 1 before the first row.",
        formula: "W_t = prod(1+r)",
        unit: "multiple of the start",
        null_when: "r is NULL",
        arguments: &[R],
        result: IndicatorResult::Double,
        example: Example {
            call: "equity(ret)",
            over: Sample::Drawdowns,
            expected: Expected::Rows(&[
                Some(1.05),
                Some(0.945),
                Some(0.9639),
                Some(0.934983),
                Some(1.04718096),
                Some(1.0890681984),
                Some(1.078177516416),
            ]),
        },
        start: |_| single(Equity::default()),
    },
    Indicator {
        name: "equity_pnl",
        aliases: &[],
        summary: "Equity curve of currency profits: their running sum, from 0 before the first row.",
        formula: "E_t = sum(pnl)",
        unit: "currency",
        null_when: "pnl is NULL",
        arguments: &[PNL],
        result: IndicatorResult::Double,
        example: Example {
            call: "equity_pnl(pnl)",
            over: Sample::Pnl,
            expected: Expected::Rows(&[Some(-30.0), Some(70.0), Some(20.0), Some(45.0), Some(45.0), Some(-35.0), Some(25.0), Some(65.0)]),
        },
        start: |_| single(CurrencyEquity::default()),
    },
    Indicator {
        name: "drawdown",
        aliases: &[],
        summary: "Drawdown curve of returns: how far compounded wealth is below its peak.",
        formula: "W_t/H_t - 1",
        unit: "fraction of the peak, <= 0",
        null_when: "r is NULL",
        arguments: &[R],
        result: IndicatorResult::Double,
        example: Example {
            call: "drawdown(ret)",
            over: Sample::Drawdowns,
            expected: Expected::Rows(&[Some(0.0), Some(-0.1), Some(-0.082), Some(-0.10954), Some(-0.0026848), Some(0.0), Some(-0.01)]),
        },
        start: |_| single(Depth::<Returns>::default()),
    },
    Indicator {
        name: "drawdown_pnl",
        aliases: &[],
        summary: "Drawdown curve of currency profits: how far their sum is below its peak.",
        formula: "E_t - K_t",
        unit: "currency, <= 0",
        null_when: "pnl is NULL",
        arguments: &[PNL],
        result: IndicatorResult::Double,
        example: Example {
            call: "drawdown_pnl(pnl)",
            over: Sample::Pnl,
            expected: Expected::Rows(&[
                Some(-30.0),
                Some(0.0),
                Some(-50.0),
                Some(-25.0),
                Some(-25.0),
                Some(-105.0),
                Some(-45.0),
                Some(-5.0),
            ]),
        },
        start: |_| single(Depth::<Currency>::default()),
    },
];

/// The indicator called `name`, by its own name or an alias, in any case.
pub fn find_indicator(name: &str) -> Option<&'static Indicator> {
    INDICATORS.iter().find(|i| std::iter::once(&i.name).chain(i.aliases).any(|known| known.eq_ignore_ascii_case(name)))
}

const fn over_bars(call: &'static str, expected: &'static [Option<f64>]) -> Example {
    Example { call, over: Sample::Bars, expected: Expected::Rows(expected) }
}

fn single<const IN: usize>(step: impl Step<IN, 1>) -> Box<dyn Running> {
    Stepping::boxed(step, &[])
}

fn wilder(settings: &Settings) -> impl Average {
    Recursive::<Wilder>::new(settings.n, Seed::Mean)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::metric::Default;

    #[test]
    fn columns_come_first_then_required_constants() {
        for indicator in INDICATORS {
            let place = |a: &crate::Argument| (a.role.is_constant(), a.default != Default::Required);
            assert!(indicator.arguments.iter().map(place).is_sorted(), "{}", indicator.name);
            let names: HashSet<_> = indicator.arguments.iter().map(|a| a.name).collect();
            assert_eq!(names.len(), indicator.arguments.len(), "{}", indicator.name);
        }
    }

    #[test]
    fn signatures_show_defaults() {
        assert_eq!(find_indicator("EMA").unwrap().signature(), "ema(x, n [, seed = 'sma']) OVER (ORDER BY time)");
        assert_eq!(
            find_indicator("macd").unwrap().signature(),
            "macd(x [, fast = 12 [, slow = 26 [, signal = 9 [, seed = 'sma']]]]) OVER (ORDER BY time)"
        );
    }
}
