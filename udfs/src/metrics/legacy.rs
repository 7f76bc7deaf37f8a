//! The replaced system's numbers, with its own rules: NULL counts as a zero row, zeros count in `T`, drawdowns are positive, and the
//! zero cases hold even where they are infinite.
//!
//! `T` rows including NULL, `R` their sum, `sd0` population deviation, `wp = W+/T`, `A = R*P/T`.

use super::arguments::{PERIODS, PNL};
use crate::constants::Constants;
use crate::metric::{Example, Expected, Family, Metric, ResultKind, Sample};
use crate::states::{Compute, LegacyLosses, LegacySegment, Moments, WinLoss};

/// Drawdowns below this were no drawdown to the replaced system's fitness.
const LEAST_DRAWDOWN: f64 = 1e-6;

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "legacy_max_drawdown",
        aliases: &[],
        family: Family::LegacyPath,
        summary: "Largest fall of the cumulative profit from its peak; the first peak is the first value, so a first loss is no drawdown.",
        formula: "max(K_t - E_t), K_t = max(E_1..E_t)",
        unit: "currency, >= 0",
        null_when: "no rows; 0 when never down",
        arguments: &[PNL],
        result: ResultKind::Double,
        example: Example { call: "legacy_max_drawdown(pnl ORDER BY day)", over: Sample::Pnl, expected: Expected::Number(105.0) },
        compute: Compute::LegacySegment(|s, _| Some(s.depth())),
    },
    Metric {
        name: "legacy_win_percentage",
        aliases: &[],
        family: Family::Legacy,
        summary: "Share of winning rows among all rows.",
        formula: "W+/T",
        unit: "fraction, 0 to 1",
        null_when: "no rows",
        arguments: &[PNL],
        result: ResultKind::Double,
        example: Example { call: "legacy_win_percentage(pnl)", over: Sample::Pnl, expected: Expected::Number(0.5) },
        compute: Compute::WinLoss(|w, _| Some(w.wins() / w.rows())),
    },
    Metric {
        name: "legacy_profit_factor",
        aliases: &[],
        family: Family::Legacy,
        summary: "Sum of the wins per unit of losses.",
        formula: "S+/abs(S-); without a losing row +inf",
        unit: "ratio, may be +inf",
        null_when: "no rows",
        arguments: &[PNL],
        result: ResultKind::Double,
        example: Example { call: "legacy_profit_factor(pnl)", over: Sample::Pnl, expected: Expected::Number(1.40625) },
        compute: Compute::WinLoss(|w, _| Some(if w.losses() == 0.0 { f64::INFINITY } else { w.won() / w.lost().abs() })),
    },
    Metric {
        name: "legacy_expectancy",
        aliases: &[],
        family: Family::Legacy,
        summary: "Expected result of a row by the replaced system's rule.",
        formula: "wp*avg_win - (1-wp)*abs(avg_loss), a missing average is 0; all zero: 0",
        unit: "currency",
        null_when: "no rows",
        arguments: &[PNL],
        result: ResultKind::Double,
        example: Example { call: "legacy_expectancy(pnl)", over: Sample::Pnl, expected: Expected::Number(1.4583333333333333) },
        compute: Compute::WinLoss(|w, _| Some(expectancy(w))),
    },
    Metric {
        name: "legacy_sharpe",
        aliases: &[],
        family: Family::Legacy,
        summary: "Annualised mean per unit of population deviation.",
        formula: "A/(sd0*sqrt(P)); constant: 0",
        unit: "ratio",
        null_when: "no rows",
        arguments: &[PNL, PERIODS],
        result: ResultKind::Double,
        example: Example { call: "legacy_sharpe(pnl)", over: Sample::Pnl, expected: Expected::Number(2.302813727730617) },
        compute: Compute::Moments(|m, c| Some(sharpe(m, c))),
    },
    Metric {
        name: "legacy_sortino",
        aliases: &[],
        family: Family::Legacy,
        summary: "Annualised mean per unit of the losing rows' population deviation.",
        formula: "A/(sd0 of the losing rows*sqrt(P)); no loss: 0; all losses equal: inf with the sign of A",
        unit: "ratio, may be infinite",
        null_when: "no rows, or all losses equal and A = 0",
        arguments: &[PNL, PERIODS],
        result: ResultKind::Double,
        example: Example { call: "legacy_sortino(pnl)", over: Sample::Pnl, expected: Expected::Number(6.2770139879773375) },
        compute: Compute::LegacyLosses(sortino),
    },
    Metric {
        name: "legacy_fitness",
        aliases: &[],
        family: Family::LegacyPath,
        summary: "Profit per unit of drawdown, with the replaced system's rule for no drawdown.",
        formula: "dd = legacy_max_drawdown; dd > 1e-6: R/dd, else R > 0: R*100, R < 0: R*10, R = 0: 0",
        unit: "ratio (currency without a drawdown)",
        null_when: "no rows",
        arguments: &[PNL],
        result: ResultKind::Double,
        example: Example { call: "legacy_fitness(pnl ORDER BY day)", over: Sample::Pnl, expected: Expected::Number(0.6190476190476191) },
        compute: Compute::LegacySegment(|s, _| Some(fitness(s))),
    },
];

fn expectancy(w: &WinLoss) -> f64 {
    let won = w.wins() / w.rows();
    won * w.average_win().unwrap_or(0.0) - (1.0 - won) * w.average_loss().unwrap_or(0.0).abs()
}

fn sharpe(m: &Moments, c: &Constants) -> f64 {
    let deviation = m.population_deviation();
    if deviation == 0.0 { 0.0 } else { m.mean() * c.periods_per_year / (deviation * c.periods_per_year.sqrt()) }
}

fn sortino(s: &LegacyLosses, c: &Constants) -> Option<f64> {
    let annual = s.mean() * c.periods_per_year;
    if s.losses().n() == 0.0 {
        return Some(0.0);
    }
    let deviation = s.losses().population_deviation();
    if deviation == 0.0 {
        return (annual != 0.0).then(|| f64::INFINITY.copysign(annual));
    }
    Some(annual / (deviation * c.periods_per_year.sqrt()))
}

fn fitness(s: &LegacySegment) -> f64 {
    let (sum, depth) = (s.sum(), s.depth());
    if depth > LEAST_DRAWDOWN {
        sum / depth
    } else if sum > 0.0 {
        sum * 100.0
    } else {
        sum * 10.0
    }
}
