//! The correlations of each series with all others, without their pairs.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::frame::{Block, Frame};
use super::measure::dot;
use super::select::Pair;

/// What is known of the correlations of one series.
#[derive(Debug, Clone, Copy)]
struct Summary {
    pairs: u64,
    sum: f64,
    least: f64,
    most: f64,
}

impl Default for Summary {
    fn default() -> Self {
        Self { pairs: 0, sum: 0.0, least: f64::INFINITY, most: f64::NEG_INFINITY }
    }
}

impl Summary {
    fn add(&mut self, value: f64) {
        self.pairs += 1;
        self.sum += value;
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }

    fn average(&self) -> Option<f64> {
        (self.pairs > 0).then(|| (self.sum / self.pairs as f64).clamp(-1.0, 1.0))
    }
}

/// The correlations of each series of a relation, by its number.
#[derive(Debug)]
pub(super) struct Summaries(Vec<Summary>);

impl Summaries {
    /// For so many series.
    pub(super) fn new(series: usize) -> Self {
        Self(vec![Summary::default(); series])
    }

    /// Bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        self.0.len() * size_of::<Summary>()
    }

    /// Adds pairs, each to both of its series.
    pub(super) fn add(&mut self, pairs: &[Pair]) {
        for pair in pairs {
            if let Some(value) = pair.value {
                self.0[pair.a as usize].add(value);
                self.0[pair.b as usize].add(value);
            }
        }
    }

    /// Averages alone, of series that lack no period: the mean of a row of the matrix is the product of a unit vector with the sum of all
    /// others, in time proportional to the series. A series without correlations counts nowhere.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn of_averages(frame: &Frame) -> Result<Self> {
        let blocks = 0..frame.block_count();
        let sums: Vec<Vec<f64>> =
            blocks.clone().into_par_iter().map(|block| Ok(sum_of(&*frame.block(block)?, frame))).collect::<Result<_>>()?;
        let mut all = vec![0.0; frame.periods()];
        for sum in &sums {
            all.iter_mut().zip(sum).for_each(|(all, value)| *all += value);
        }
        let varying = frame.complete.iter().filter(|&&series| frame.facts(series).varies).count() as u64;
        let of_block = |block: usize| Ok(averages(&*frame.block(block)?, frame, &all, varying));
        let averaged: Vec<Vec<(u32, Summary)>> = blocks.into_par_iter().map(of_block).collect::<Result<_>>()?;
        let mut summaries = Self::new(frame.panel().count());
        for (series, summary) in averaged.into_iter().flatten() {
            summaries.0[series as usize] = summary;
        }
        Ok(summaries)
    }

    /// A row per series.
    ///
    /// # Errors
    /// Columns that do not fit the schema.
    pub(super) fn batch(&self, names: &ArrayRef, schema: &SchemaRef) -> Result<RecordBatch> {
        let extreme = |of: fn(&Summary) -> f64| -> ArrayRef {
            Arc::new(self.0.iter().map(|one| Some(of(one)).filter(|value| value.is_finite())).collect::<Float64Array>())
        };
        let columns = vec![
            Arc::clone(names),
            Arc::new(self.0.iter().map(|one| one.pairs as i64).collect::<Int64Array>()) as ArrayRef,
            Arc::new(self.0.iter().map(Summary::average).collect::<Float64Array>()),
            extreme(|one| one.least),
            extreme(|one| one.most),
        ];
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

/// The sum of the rows of a block; constant series are zeros.
fn sum_of(block: &Block, frame: &Frame) -> Vec<f64> {
    let mut sum = vec![0.0; frame.periods()];
    for row in 0..block.series.len() {
        sum.iter_mut().zip(block.row(row, frame.periods())).for_each(|(sum, value)| *sum += value);
    }
    sum
}

fn averages(block: &Block, frame: &Frame, all: &[f64], varying: u64) -> Vec<(u32, Summary)> {
    let average = |(row, &series): (usize, &u32)| {
        let own = block.row(row, frame.periods());
        let pairs = if frame.facts(series).varies { varying.saturating_sub(1) } else { 0 };
        (series, Summary { pairs, sum: dot(own, all) - dot(own, own), ..Summary::default() })
    };
    block.series.iter().enumerate().map(average).collect()
}
