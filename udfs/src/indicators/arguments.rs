//! Arguments shared by many indicators.

use crate::constants::Role;
use crate::metric::{Argument, Default};

const fn series(name: &'static str, doc: &'static str) -> Argument {
    Argument { name, role: Role::Series, default: Default::Required, doc }
}

pub(super) const X: Argument = series("x", "Prices, or any other values.");
pub(super) const R: Argument = series("r", "Simple returns of one period (0.01 is +1 %).");
pub(super) const PNL: Argument = series("pnl", "Profit or loss of each period, in currency.");
pub(super) const HIGH: Argument = series("high", "Highest price of each period.");
pub(super) const LOW: Argument = series("low", "Lowest price of each period.");
pub(super) const CLOSE: Argument = series("close", "Last price of each period.");

pub(super) const OBSERVATION: Argument =
    Argument { name: "x", role: Role::AnySeries, default: Default::Required, doc: "Values with gaps." };

pub(super) const N: Argument =
    Argument { name: "n", role: Role::Length, default: Default::Required, doc: "Number of rows looked back over." };

pub(super) const FAST: Argument =
    Argument { name: "fast", role: Role::FastLength, default: Default::Number(12.0), doc: "Rows of the faster average." };

pub(super) const SLOW: Argument =
    Argument { name: "slow", role: Role::SlowLength, default: Default::Number(26.0), doc: "Rows of the slower average." };

pub(super) const SIGNAL: Argument =
    Argument { name: "signal", role: Role::SignalLength, default: Default::Number(9.0), doc: "Rows of the average of the difference." };

pub(super) const DEVIATIONS: Argument =
    Argument { name: "k", role: Role::Deviations, default: Default::Required, doc: "Half the width of the band in deviations." };

pub(super) const SEED: Argument = Argument {
    name: "seed",
    role: Role::Seed,
    default: Default::Text("sma"),
    doc: "What the average starts from: the mean of the first n values, or the first value without warm-up.",
};

pub(super) const RSI_METHOD: Argument = Argument {
    name: "method",
    role: Role::RsiMethod,
    default: Default::Text("wilder"),
    doc: "How gains and losses are averaged: recursively as rma, or as the mean of the last n changes.",
};

pub(super) const ATR_METHOD: Argument = Argument {
    name: "method",
    role: Role::AtrMethod,
    default: Default::Text("wilder"),
    doc: "How ranges are averaged: recursively as rma, or as the mean of the last n.",
};

const DDOF_DOC: &str = "Taken from n in the divisor of the variance: 0 for the population, 1 for a sample.";

pub(super) const DDOF_POPULATION: Argument =
    Argument { name: "ddof", role: Role::DegreesOfFreedom, default: Default::Number(0.0), doc: DDOF_DOC };

pub(super) const DDOF_SAMPLE: Argument =
    Argument { name: "ddof", role: Role::DegreesOfFreedom, default: Default::Number(1.0), doc: DDOF_DOC };
