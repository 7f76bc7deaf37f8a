//! Metrics of one series.

/// What a pass over the values of one series gives; NaN where there is nothing to tell.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct SeriesMetrics {
    /// Values that are not missing.
    pub count: u64,
    /// Their sum, compensated.
    pub sum: f64,
    /// Their mean; exactly the value where all are equal.
    pub mean: f64,
    /// Sum of squared deviations from the mean, in two passes; exactly 0 where all are equal.
    pub m2: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Largest loss of the running sum from its peak, which starts at 0; in the unit of the values, at most 0.
    pub max_drawdown: f64,
}

impl Default for SeriesMetrics {
    /// The metrics of no values at all.
    fn default() -> Self {
        let nothing = f64::NAN;
        Self { count: 0, sum: nothing, mean: nothing, m2: nothing, min: nothing, max: nothing, max_drawdown: nothing }
    }
}
