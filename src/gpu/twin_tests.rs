//! The pipeline against plain loops, and the twins' arithmetic against exact values.

use std::ops::ControlFlow;

use super::super::tiles::Rank;
use super::*;

const COLUMNS: usize = 40;

/// Pseudo-random unit vectors; every seventh row repeats another, every eleventh its negative, one is NaN.
fn unit_rows(rows: usize) -> Vec<f64> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let mut values: Vec<f64> = vec![];
    for row in 0..rows {
        let copied: Option<Vec<f64>> = match row {
            _ if row > 0 && row % 7 == 0 => Some(values[(row - 5) * COLUMNS..(row - 4) * COLUMNS].to_vec()),
            _ if row > 0 && row % 11 == 0 => Some(values[(row - 3) * COLUMNS..(row - 2) * COLUMNS].iter().map(|x| -x).collect()),
            _ if row == 23 => Some(vec![f64::NAN; COLUMNS]),
            _ => None,
        };
        values.extend(copied.unwrap_or_else(|| {
            let raw: Vec<f64> = (0..COLUMNS).map(|_| next()).collect();
            let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
            raw.into_iter().map(|x| x / norm).collect()
        }));
    }
    values
}

/// All pairs of a rectangle by plain loops, in order.
fn expected(rows: Rows<'_>, rectangle: &Rectangle, keeps: impl Fn(f64) -> bool) -> Vec<(u32, u32)> {
    let mut pairs = vec![];
    for row in rectangle.rows.clone() {
        for column in rectangle.columns.clone().filter(|&column| !rectangle.triangle || row < column) {
            let product: f64 = rows.row(row).iter().zip(rows.row(column)).map(|(x, y)| x * y).sum();
            if keeps(product) {
                pairs.push((row as u32, column as u32));
            }
        }
    }
    pairs
}

/// The pairs of a call of [`pairs`], until `limit` calls of the sink, and how many calls there were.
fn collected(panels: [Rows<'_>; 2], rectangle: &Rectangle, keep: &Keep, tile: usize, limit: usize) -> (Vec<Pair>, usize) {
    let (mut all, mut calls) = (vec![], 0);
    let mut sink = |pairs: Vec<Pair>| {
        all.extend(pairs);
        calls += 1;
        if calls < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    pairs(panels, rectangle, keep, tile, &mut sink).unwrap();
    (all, calls)
}

fn places(pairs: &[Pair]) -> Vec<(u32, u32)> {
    pairs.iter().map(|pair| (pair.row, pair.column)).collect()
}

fn triangle(rows: usize) -> Rectangle {
    Rectangle { rows: 0..rows, columns: 0..rows, triangle: true }
}

#[test]
fn every_pair_outside_the_bounds_comes_once() {
    let values = unit_rows(100);
    let rows = Rows { values: &values, columns: COLUMNS };
    for rectangle in [triangle(100), Rectangle { rows: 3..50, columns: 40..99, triangle: false }] {
        for (above, below) in [(0.3, -0.3), (0.3, f64::NEG_INFINITY), (f64::INFINITY, -0.2), (2.0, -2.0)] {
            let keep = Keep::Outside { above, below };
            for tile in [16, 33, 64, 128] {
                let (mut found, _) = collected([rows, rows], &rectangle, &keep, tile, usize::MAX);
                found.sort_by_key(|pair| (pair.row, pair.column));
                assert_eq!(places(&found), expected(rows, &rectangle, |c| c >= above || c <= below), "{keep:?} in tiles of {tile}");
            }
        }
    }
}

#[test]
fn more_survivors_than_there_is_room_for_are_all_handed_over() {
    let values = unit_rows(60);
    let rows = Rows { values: &values, columns: COLUMNS };
    for keep in [Keep::All, Keep::Outside { above: -0.1, below: -0.2 }] {
        let (mut found, _) = collected([rows, rows], &triangle(60), &keep, 32, usize::MAX);
        found.sort_by_key(|pair| (pair.row, pair.column));
        let criterion = Criterion::of(&keep).unwrap();
        assert_eq!(places(&found), expected(rows, &triangle(60), |c| criterion.keeps(c, 0.0)));
        assert!(found.iter().all(|pair| pair.row != 23 && pair.column != 23), "NaN is never handed over");
    }
}

#[test]
fn tiles_come_in_order_and_each_is_sorted() {
    let values = unit_rows(64);
    let rows = Rows { values: &values, columns: COLUMNS };
    let mut tiles = vec![];
    let keep = Keep::Outside { above: 0.2, below: -0.2 };
    let mut sink = |pairs: Vec<Pair>| {
        assert!(pairs.is_sorted_by_key(|pair| (pair.row, pair.column)));
        tiles.extend(pairs.first().map(|pair| (pair.row / 16, pair.column / 16)));
        ControlFlow::Continue(())
    };
    pairs([rows, rows], &triangle(64), &keep, 16, &mut sink).unwrap();
    assert!(tiles.is_sorted() && tiles.len() == 10, "{tiles:?}");
}

#[test]
fn the_strongest_are_those_of_a_full_sort() {
    let values = unit_rows(120);
    let rows = Rows { values: &values, columns: COLUMNS };
    let (mut all, _) = collected([rows, rows], &triangle(120), &Keep::All, 32, usize::MAX);
    for by in [Rank::Magnitude, Rank::Highest, Rank::Lowest] {
        all.sort_by(|a, b| by.of(b.value).total_cmp(&by.of(a.value)).then((a.row, a.column).cmp(&(b.row, b.column))));
        for count in [0, 1, 5, 100, 3_000, usize::MAX] {
            let keep = Keep::Strongest { count, by, outside: (f64::NEG_INFINITY, f64::NEG_INFINITY) };
            for tile in [16, 128] {
                let (found, _) = collected([rows, rows], &triangle(120), &keep, tile, usize::MAX);
                assert_eq!(found, all[..count.min(all.len())], "{count} by {by:?} in tiles of {tile}");
            }
        }
    }
}

#[test]
fn the_strongest_keep_to_the_bounds() {
    let values = unit_rows(80);
    let rows = Rows { values: &values, columns: COLUMNS };
    let keep = Keep::Strongest { count: 40, by: Rank::Lowest, outside: (0.1, -0.4) };
    let (found, _) = collected([rows, rows], &triangle(80), &keep, 32, usize::MAX);
    assert_eq!(found.len(), 40);
    assert!(found.iter().all(|pair| pair.value >= 0.1 || pair.value <= -0.4));
}

#[test]
fn ties_beyond_the_room_of_a_lane_go_to_the_smaller_indices() {
    let mut row = [0.0; COLUMNS];
    row[0] = 1.0;
    let values = row.repeat(40);
    let rows = Rows { values: &values, columns: COLUMNS };
    let keep = Keep::Strongest { count: 5, by: Rank::Highest, outside: (f64::NEG_INFINITY, f64::NEG_INFINITY) };
    let (found, _) = collected([rows, rows], &triangle(40), &keep, 16, usize::MAX);
    assert_eq!(places(&found), [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]);
}

#[test]
fn a_broken_sink_stops_the_work() {
    let values = unit_rows(128);
    let rows = Rows { values: &values, columns: COLUMNS };
    assert_eq!(collected([rows, rows], &triangle(128), &Keep::All, 16, 1).1, 1);
    let none = Keep::Outside { above: 2.0, below: -2.0 };
    assert_eq!(collected([rows, rows], &triangle(128), &none, 16, 3), (vec![], 3), "tiles without survivors count");
}

#[test]
fn identical_rows_give_exactly_one() {
    let values = unit_rows(100);
    let rows = Rows { values: &values, columns: COLUMNS };
    let (found, _) = collected([rows, rows], &triangle(100), &Keep::Outside { above: 1.0, below: -1.0 }, 32, usize::MAX);
    let value = |row, column| found.iter().find(|pair| (pair.row, pair.column) == (row, column)).map(|pair| pair.value);
    assert_eq!(value(2, 7), Some(1.0));
    assert_eq!(value(8, 11), Some(-1.0));
}

#[test]
fn a_refined_product_is_exact_where_the_plain_one_is_not() {
    // Unit vectors at an angle of 1e-7: the cosine is 1 - 5e-15.
    let angle: f64 = 1e-7;
    let (x, y) = ([1.0, 0.0], [angle.cos(), angle.sin()]);
    let error = |c: f64| ((1.0 - c) - angle * angle / 2.0).abs();
    assert!(error(refined(0.9999, &x, &y)) <= 1.2e-16);
}

#[test]
fn metrics_agree_with_exact_values() {
    let values: Vec<f64> = (0..1000).map(|i| f64::from((i * 37) % 101) - 50.0).collect();
    let exact: i64 = (0..1000_i64).map(|i| (i * 37) % 101 - 50).sum();
    let squares: i64 = (0..1000_i64).map(|i| ((i * 37) % 101 - 50).pow(2)).sum();
    let metrics = series_metrics(&values);
    assert_eq!(metrics.sum, exact as f64);
    let m2 = squares as f64 - (exact * exact) as f64 / 1000.0;
    assert!((metrics.m2 - m2).abs() <= 1e-15 * m2, "{} is not {m2}", metrics.m2);
    let (mut equity, mut peak, mut deepest) = (0_i64, 0_i64, 0_i64);
    for i in 0..1000_i64 {
        equity += (i * 37) % 101 - 50;
        peak = peak.max(equity);
        deepest = deepest.min(equity - peak);
    }
    assert_eq!(metrics.max_drawdown, deepest as f64);
}

#[test]
fn metrics_keep_their_digits_far_from_zero() {
    let values: Vec<f64> = (0..10_001).map(|i| 1e9 + f64::from(i - 5_000) * 1e-3).collect();
    let metrics = series_metrics(&values);
    // The values are rounded to 2^-23, of which the deviations keep their share.
    let exact: f64 =
        values.iter().map(|x| (x - 1e9) * (x - 1e9)).sum::<f64>() - values.iter().map(|x| x - 1e9).sum::<f64>().powi(2) / 10_001.0;
    assert!((metrics.m2 - exact).abs() <= 1e-9 * exact, "{} is not {exact}", metrics.m2);
    assert!((metrics.mean - 1e9).abs() <= 1e-6);
}

#[test]
fn metrics_of_special_series() {
    let none = series_metrics(&[f64::NAN, f64::NAN]);
    assert!(none.count == 0 && none.sum.is_nan() && none.max_drawdown.is_nan());
    let constant = series_metrics(&[0.1; 252]);
    assert_eq!((constant.mean, constant.m2, constant.min, constant.max, constant.max_drawdown), (0.1, 0.0, 0.1, 0.1, 0.0));
    let cancelled = series_metrics(&[1.0, 1e100, 1.0, -1e100]);
    assert_eq!(cancelled.sum, 2.0);
    let losing = series_metrics(&[-1.0, -2.0, 5.0, -4.0]);
    assert_eq!(losing.max_drawdown, -4.0);
    assert_eq!(series_metrics(&[-3.0]).max_drawdown, -3.0, "the peak starts at 0");
}

#[test]
fn a_rectangle_beyond_the_rows_is_refused() {
    let values = unit_rows(4);
    let rows = Rows { values: &values, columns: COLUMNS };
    let refused = pairs([rows, rows], &triangle(5), &Keep::All, 16, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(GpuError::Shape(_))));
}
