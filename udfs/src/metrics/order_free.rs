//! Metrics in which the order of rows does not matter.

use super::arguments::{CAP, CAPITAL, COUNT_ZEROS, MAR, PERIODS, PNL, POPULATION, R, RISK_FREE, THRESHOLD, X};
use super::ratio;
use crate::constants::Constants;
use crate::metric::{Example, Expected, Family, Metric, ResultKind, Sample};
use crate::states::{Compute, Downside, HigherMoments, LowerPartial, State, WinLoss};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "total_return",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Compounded return of the whole series.",
        formula: "prod(1+r) - 1",
        unit: "fraction",
        null_when: "no rows",
        arguments: &[R],
        result: ResultKind::Double,
        example: Example { call: "total_return(ret)", over: Sample::Returns, expected: Expected::Number(0.03970268023391) },
        compute: Compute::Product(|p, _| Some(p.gain())),
    },
    Metric {
        name: "cagr",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Compounded return a year.",
        formula: "prod(1+r)^(P/n) - 1",
        unit: "fraction a year",
        null_when: "no rows, or more than everything was lost",
        arguments: &[R, PERIODS],
        result: ResultKind::Double,
        example: Example { call: "cagr(ret)", over: Sample::Returns, expected: Expected::Number(2.4090914489527213) },
        compute: Compute::Product(|p, c| annual_growth(p.value(), p.ln(), p.tally().n(), c)),
    },
    Metric {
        name: "volatility",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Annualised standard deviation.",
        formula: "s * sqrt(P)",
        unit: "unit of x a year (per period with P = 1), 0 for a constant series",
        null_when: "fewer than two rows",
        arguments: &[X, PERIODS],
        result: ResultKind::Double,
        example: Example { call: "volatility(ret)", over: Sample::Returns, expected: Expected::Number(0.2649528259898354) },
        compute: Compute::Moments(|m, c| Some(m.deviation()? * c.periods_per_year.sqrt())),
    },
    Metric {
        name: "downside_deviation",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Annualised root of the mean squared shortfall below a minimal return.",
        formula: "sqrt(sum(min(e,0)^2)/n) * sqrt(P), all n rows in the divisor",
        unit: "unit of x, >= 0",
        null_when: "no rows",
        arguments: &[X, MAR, PERIODS],
        result: ResultKind::Double,
        example: Example { call: "downside_deviation(ret)", over: Sample::Returns, expected: Expected::Number(0.12859821149611686) },
        compute: Compute::Downside(|p, c| Some(p.downside() * c.periods_per_year.sqrt())),
    },
    Metric {
        name: "sharpe_ratio",
        aliases: &["sharpe"],
        family: Family::OrderFree,
        summary: "Annualised mean excess return per unit of standard deviation.",
        formula: "(m - f)/s * sqrt(P)",
        unit: "ratio",
        null_when: "fewer than two rows, or a constant series",
        arguments: &[X, RISK_FREE, PERIODS],
        result: ResultKind::Double,
        example: Example { call: "sharpe_ratio(ret, 0.02)", over: Sample::Returns, expected: Expected::Number(4.680820406374647) },
        compute: Compute::Moments(|m, c| Some((m.mean() - c.period_rate()) / m.dispersion()? * c.periods_per_year.sqrt())),
    },
    Metric {
        name: "sortino_ratio",
        aliases: &["sortino"],
        family: Family::OrderFree,
        summary: "Annualised mean excess return per unit of downside deviation.",
        formula: "(m - f)/sqrt(sum(min(e,0)^2)/n) * sqrt(P)",
        unit: "ratio",
        null_when: "fewer than two rows, or no row below f",
        arguments: &[X, RISK_FREE, PERIODS],
        result: ResultKind::Double,
        example: Example { call: "sortino_ratio(ret)", over: Sample::Returns, expected: Expected::Number(9.797958971132712) },
        compute: Compute::Downside(sortino),
    },
    Metric {
        name: "omega_ratio",
        aliases: &["omega"],
        family: Family::OrderFree,
        summary: "Gains above a threshold per unit of shortfall below it.",
        formula: "sum(max(e,0))/sum(max(-e,0))",
        unit: "ratio, >= 0",
        null_when: "no rows, or no row below f",
        arguments: &[X, THRESHOLD, PERIODS],
        result: ResultKind::Double,
        example: Example { call: "omega_ratio(ret)", over: Sample::Returns, expected: Expected::Number(2.142857142857143) },
        compute: Compute::BothSides(|p, _| if p.falls_short() { ratio(p.above(), p.below()) } else { None }),
    },
    Metric {
        name: "skewness",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Skewness, bias-corrected or of the population.",
        formula: "g1*sqrt(n(n-1))/(n-2) with g1 = sqrt(n)*M3/M2^1.5; population: g1",
        unit: "number",
        null_when: "fewer than three rows, or a constant series",
        arguments: &[X, POPULATION],
        result: ResultKind::Double,
        example: Example { call: "skewness(pnl)", over: Sample::Pnl, expected: Expected::Number(0.013839411733235316) },
        compute: Compute::HigherMoments(|m, c| skewness(m, c.population)),
    },
    Metric {
        name: "kurtosis",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Excess kurtosis, bias-corrected or of the population.",
        formula: "((n+1)*g2+6)(n-1)/((n-2)(n-3)) with g2 = n*M4/M2^2 - 3; population: g2",
        unit: "number, 0 for a normal distribution",
        null_when: "fewer than four rows, or a constant series",
        arguments: &[X, POPULATION],
        result: ResultKind::Double,
        example: Example { call: "kurtosis(pnl)", over: Sample::Pnl, expected: Expected::Number(-0.8070959622423141) },
        compute: Compute::HigherMoments(|m, c| kurtosis(m, c.population)),
    },
    Metric {
        name: "win_rate",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Share of winning rows.",
        formula: "W+/(W+ + W-); with count_zeros: W+/n",
        unit: "fraction, 0 to 1",
        null_when: "no rows that count",
        arguments: &[X, COUNT_ZEROS],
        result: ResultKind::Double,
        example: Example { call: "win_rate(ret)", over: Sample::Returns, expected: Expected::Number(0.5714285714285714) },
        compute: Compute::WinLoss(|w, c| ratio(w.wins(), divisor(w, c))),
    },
    Metric {
        name: "profit_factor",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Sum of the wins per unit of losses.",
        formula: "S+/abs(S-)",
        unit: "ratio, >= 0",
        null_when: "no losing row",
        arguments: &[X],
        result: ResultKind::Double,
        example: Example { call: "profit_factor(ret)", over: Sample::Returns, expected: Expected::Number(2.142857142857143) },
        compute: Compute::WinLoss(|w, _| ratio(w.won(), w.lost().abs())),
    },
    Metric {
        name: "payoff_ratio",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Average win per unit of average loss.",
        formula: "avg_win/abs(avg_loss)",
        unit: "ratio, > 0",
        null_when: "no winning or no losing row",
        arguments: &[X],
        result: ResultKind::Double,
        example: Example { call: "payoff_ratio(ret)", over: Sample::Returns, expected: Expected::Number(1.6071428571428572) },
        compute: Compute::WinLoss(|w, _| payoff(w)),
    },
    Metric {
        name: "expectancy",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Average result of a winning or losing row.",
        formula: "(S+ + S-)/(W+ + W-); with count_zeros: (S+ + S-)/n",
        unit: "unit of x",
        null_when: "no rows that count",
        arguments: &[X, COUNT_ZEROS],
        result: ResultKind::Double,
        example: Example { call: "expectancy(pnl)", over: Sample::Pnl, expected: Expected::Number(9.285714285714286) },
        compute: Compute::WinLoss(|w, c| ratio(w.won() + w.lost(), divisor(w, c))),
    },
    Metric {
        name: "avg_win",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Average of the winning rows.",
        formula: "S+/W+",
        unit: "unit of x, > 0",
        null_when: "no winning row",
        arguments: &[X],
        result: ResultKind::Double,
        example: Example { call: "avg_win(pnl)", over: Sample::Pnl, expected: Expected::Number(56.25) },
        compute: Compute::WinLoss(|w, _| w.average_win()),
    },
    Metric {
        name: "avg_loss",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Average of the losing rows.",
        formula: "S-/W-",
        unit: "unit of x, < 0",
        null_when: "no losing row",
        arguments: &[X],
        result: ResultKind::Double,
        example: Example { call: "avg_loss(pnl)", over: Sample::Pnl, expected: Expected::Number(-53.333333333333336) },
        compute: Compute::WinLoss(|w, _| w.average_loss()),
    },
    Metric {
        name: "kelly_fraction",
        aliases: &["kelly"],
        family: Family::OrderFree,
        summary: "Fraction of capital that maximises growth.",
        formula: "k = p - (1-p)/payoff_ratio, p = win_rate; with cap: max(0, min(k, cap))",
        unit: "fraction of capital; may be negative without cap",
        null_when: "no winning or no losing row",
        arguments: &[X, CAP],
        result: ResultKind::Double,
        example: Example { call: "kelly_fraction(ret)", over: Sample::Returns, expected: Expected::Number(0.3047619047619048) },
        compute: Compute::WinLoss(kelly),
    },
    Metric {
        name: "roi",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Sum of the profits per unit of capital.",
        formula: "S/capital",
        unit: "currency with capital = 1, else fraction",
        null_when: "no rows, or capital 0",
        arguments: &[PNL, CAPITAL],
        result: ResultKind::Double,
        example: Example { call: "roi(pnl, 1000)", over: Sample::Pnl, expected: Expected::Number(0.065) },
        compute: Compute::Total(|s, c| ratio(s.sum(), c.capital)),
    },
    Metric {
        name: "best",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Largest value.",
        formula: "max(x)",
        unit: "unit of x",
        null_when: "no rows",
        arguments: &[X],
        result: ResultKind::Double,
        example: Example { call: "best(ret)", over: Sample::Returns, expected: Expected::Number(0.03) },
        compute: Compute::Extremes(|e, _| Some(e.max())),
    },
    Metric {
        name: "worst",
        aliases: &[],
        family: Family::OrderFree,
        summary: "Smallest value.",
        formula: "min(x)",
        unit: "unit of x",
        null_when: "no rows",
        arguments: &[X],
        result: ResultKind::Double,
        example: Example { call: "worst(ret)", over: Sample::Returns, expected: Expected::Number(-0.02) },
        compute: Compute::Extremes(|e, _| Some(e.min())),
    },
];

/// Compounded growth a year from the product of the growth factors and its logarithm.
pub(super) fn annual_growth(product: f64, ln: f64, n: f64, c: &Constants) -> Option<f64> {
    if product < 0.0 {
        return None;
    }
    Some((ln * c.periods_per_year / n).exp_m1())
}

fn sortino(p: &LowerPartial<Downside>, c: &Constants) -> Option<f64> {
    if p.tally().rows < 2 || !p.falls_short() {
        return None;
    }
    Some(ratio(p.mean(), p.downside())? * c.periods_per_year.sqrt())
}

/// Skewness of at least three values that differ.
pub(super) fn skewness(m: &HigherMoments, population: bool) -> Option<f64> {
    let n = m.low().n();
    let m2 = Some(m.low().m2()).filter(|&m2| n >= 3.0 && m2 != 0.0)?;
    let g1 = n.sqrt() * m.m3() / (m2 * m2.sqrt());
    Some(if population { g1 } else { g1 * (n * (n - 1.0)).sqrt() / (n - 2.0) })
}

/// Excess kurtosis of at least four values that differ.
pub(super) fn kurtosis(m: &HigherMoments, population: bool) -> Option<f64> {
    let n = m.low().n();
    let m2 = Some(m.low().m2()).filter(|&m2| n >= 4.0 && m2 != 0.0)?;
    let g2 = n * m.m4() / (m2 * m2) - 3.0;
    Some(if population { g2 } else { ((n + 1.0) * g2 + 6.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0)) })
}

fn divisor(w: &WinLoss, c: &Constants) -> f64 {
    if c.count_zeros { w.rows() } else { w.wins() + w.losses() }
}

fn payoff(w: &WinLoss) -> Option<f64> {
    ratio(w.average_win()?, w.average_loss()?.abs())
}

fn kelly(w: &WinLoss, c: &Constants) -> Option<f64> {
    let won = ratio(w.wins(), w.wins() + w.losses())?;
    let k = won - ratio(1.0 - won, payoff(w)?)?;
    Some(c.cap.map_or(k, |cap| k.min(cap).max(0.0)))
}
