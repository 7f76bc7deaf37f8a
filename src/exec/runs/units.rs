//! Ranges of strategies that are computed on their own.

use std::ops::Range;

use crate::storage::strategies_per_row_group;

/// Units that a query of a few strategies should have, so that several threads share the work of reading a page for each, ...
const LEAST_UNITS: usize = 4;

/// ... as long as each has this many runs.
const LEAST_UNIT_RUNS: usize = 32;

/// The rows of one strategy in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Number of the strategy among all selected ones.
    pub(super) strategy: u32,
    /// First row.
    pub(super) start: usize,
    /// Number of rows.
    pub(super) rows: u32,
}

/// A range of strategies, and where their rows lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) strategies: Range<usize>,
    pub(super) segments: Vec<Segment>,
}

/// The part of a unit in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Number of the file, in time order.
    pub(super) file: usize,
    /// Its runs, by their number in the file.
    pub(super) runs: Range<usize>,
}

/// Cuts `strategies` strategies into units; `selected` when they are chosen out of more, so that a unit reads pages instead of row groups.
/// `files` are the runs of each file, by strategy.
pub(super) fn cut(strategies: usize, selected: bool, files: &[&[Run]]) -> Vec<Unit> {
    let whole_groups = strategies_per_group(files);
    let width = if selected { whole_groups.min(share_of(strategies, files)) } else { whole_groups };
    let starts = (0..strategies).step_by(width);
    starts.map(|start| unit(start..(start + width).min(strategies), files)).collect()
}

/// As many as our files have in a row group: a unit of a whole table then reads whole row groups.
fn strategies_per_group(files: &[&[Run]]) -> usize {
    let longest = files.iter().flat_map(|runs| runs.iter()).map(|run| run.rows as usize).max();
    strategies_per_row_group(longest.unwrap_or(1)).max(1)
}

/// A few strategies shared out evenly.
fn share_of(strategies: usize, files: &[&[Run]]) -> usize {
    let runs: usize = files.iter().map(|runs| runs.len()).sum();
    strategies.div_ceil((runs / LEAST_UNIT_RUNS).clamp(1, LEAST_UNITS)).max(1)
}

fn unit(strategies: Range<usize>, files: &[&[Run]]) -> Unit {
    let segment = |(file, runs): (usize, &&[Run])| {
        let from = |strategy: usize| runs.partition_point(|run| (run.strategy as usize) < strategy);
        let runs = from(strategies.start)..from(strategies.end);
        (!runs.is_empty()).then_some(Segment { file, runs })
    };
    let segments = files.iter().enumerate().filter_map(segment).collect();
    Unit { strategies, segments }
}

/// The rows of runs as ranges, neighbours joined.
pub(super) fn row_ranges(runs: &[Run]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = vec![];
    for run in runs {
        let end = run.start + run.rows as usize;
        match ranges.last_mut() {
            Some(last) if last.end == run.start => last.end = end,
            _ => ranges.push(run.start..end),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(strategies: Range<u32>, rows: u32) -> Vec<Run> {
        strategies.clone().map(|strategy| Run { strategy, start: ((strategy - strategies.start) * rows) as usize, rows }).collect()
    }

    #[test]
    fn every_run_lies_in_exactly_one_unit() {
        let (early, late) = (runs(0..3000, 250), runs(500..2900, 252));
        let units = cut(3000, false, &[&early, &late]);
        assert!(units.len() >= 2, "{} units", units.len());
        for (file, all) in [&early, &late].into_iter().enumerate() {
            let parts = units.iter().flat_map(|unit| &unit.segments).filter(|segment| segment.file == file);
            let covered: Vec<usize> = parts.flat_map(|segment| segment.runs.clone()).collect();
            assert_eq!(covered, (0..all.len()).collect::<Vec<_>>());
        }
        for unit in &units {
            for segment in &unit.segments {
                let all = if segment.file == 0 { &early } else { &late };
                assert!(all[segment.runs.clone()].iter().all(|run| unit.strategies.contains(&(run.strategy as usize))));
            }
        }
    }

    #[test]
    fn small_tables_are_one_unit() {
        assert_eq!(cut(400, false, &[&runs(0..400, 100)]).len(), 1);
        assert!(cut(0, false, &[]).is_empty());
    }

    #[test]
    fn a_few_of_many_strategies_are_shared_out() {
        assert_eq!(cut(200, true, &[&runs(0..200, 100)]).len(), 4);
        assert_eq!(cut(8, true, &[&runs(0..8, 100)]).len(), 1);
    }

    #[test]
    fn neighbouring_runs_are_read_as_one_range() {
        let mut some = runs(0..4, 10);
        assert_eq!(row_ranges(&some), std::iter::once(0..40).collect::<Vec<_>>());
        some.remove(2);
        assert_eq!(row_ranges(&some), [0..20, 30..40]);
    }
}
