//! The device against plain loops on the CPU. Runs where a card answers; skipped loudly elsewhere, which
//! `TRANCHEDB_REQUIRE_GPU=1` turns into a failure.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use tranchedb::gpu::twin::{self, Rows};
use tranchedb::gpu::{
    DevicePanel, Gpu, GpuError, HostPanel, Keep, Pair, PairsRequest, PanelShape, PanelUpload, Precision, Rank, Rectangle, Source, devices,
    pairs, product_rate,
};

const EVERYTHING: (f64, f64) = (f64::NEG_INFINITY, f64::NEG_INFINITY);

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn card() -> Option<Arc<Gpu>> {
    match Gpu::open(0) {
        Ok(gpu) => Some(gpu),
        Err(reason) => {
            let required = std::env::var_os("TRANCHEDB_REQUIRE_GPU").is_some_and(|required| required == "1");
            assert!(!required, "a GPU is required, but: {reason}");
            eprintln!("SKIPPED: {reason}");
            None
        }
    }
}

/// Unit vectors, the same in every run; every seventh row repeats an earlier one, every eleventh its negative.
struct Panel {
    values: Vec<f64>,
    columns: usize,
}

impl Panel {
    fn new(rows: usize, columns: usize) -> Self {
        let mut state = 11_u64;
        let mut values: Vec<f64> = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            let earlier = |back: usize, sign: f64, values: &[f64]| -> Vec<f64> {
                values[(row - back) * columns..(row - back + 1) * columns].iter().map(|x| sign * x).collect()
            };
            let made = if row >= 7 && row % 7 == 0 {
                earlier(5, 1.0, &values)
            } else if row >= 11 && row % 11 == 0 {
                earlier(3, -1.0, &values)
            } else {
                let raw: Vec<f64> = (0..columns)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
                    })
                    .collect();
                let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
                raw.into_iter().map(|x| x / norm).collect()
            };
            values.extend(made);
        }
        Self { values, columns }
    }

    fn row(&self, row: u32) -> &[f64] {
        &self.values[row as usize * self.columns..(row as usize + 1) * self.columns]
    }

    fn product(&self, row: u32, column: u32) -> f64 {
        self.row(row).iter().zip(self.row(column)).map(|(x, y)| x * y).sum()
    }

    fn upload(&self, gpu: &Arc<Gpu>, precision: Precision) -> DevicePanel {
        let shape = PanelShape { columns: self.columns, expected_rows: None, precision };
        let mut upload = PanelUpload::new(gpu, &shape).expect("room for a panel");
        for rows in self.values.chunks(self.columns * 773) {
            upload.push(rows).expect("an upload");
        }
        upload.finish().expect("an upload")
    }

    fn twin(&self, rectangle: &Rectangle, keep: &Keep) -> Vec<Pair> {
        let rows = Rows { values: &self.values, columns: self.columns };
        let mut found = vec![];
        let mut sink = |pairs: Vec<Pair>| {
            found.extend(pairs);
            ControlFlow::Continue(())
        };
        twin::pairs([rows, rows], rectangle, keep, 512, &mut sink).expect("the twin");
        found
    }
}

impl HostPanel for Panel {
    fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn copy_rows(&self, rows: Range<usize>, into: &mut [f64]) -> std::io::Result<()> {
        into.copy_from_slice(&self.values[rows.start * self.columns..rows.end * self.columns]);
        Ok(())
    }
}

fn triangle(rows: usize) -> Rectangle {
    Rectangle { rows: 0..rows, columns: 0..rows, triangle: true }
}

fn request<'a>(source: Source<'a>, rectangle: &Rectangle, keep: Keep, precision: Precision) -> PairsRequest<'a> {
    PairsRequest { left: source, right: source, rectangle: rectangle.clone(), keep, precision, limit_bytes: None }
}

fn found(gpu: &Arc<Gpu>, request: &PairsRequest<'_>) -> Vec<Pair> {
    let mut all = vec![];
    let mut sink = |pairs: Vec<Pair>| {
        all.extend(pairs);
        ControlFlow::Continue(())
    };
    pairs(gpu, request, &mut sink).expect("pairs");
    all
}

/// Pairs in the order of their places; the order in which tiles come depends on their size.
fn in_place(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort_unstable_by_key(|pair| (pair.row, pair.column));
    pairs
}

fn assert_same(found: &[Pair], expected: &[Pair], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((found.row, found.column), (expected.row, expected.column));
        assert!((found.value - expected.value).abs() <= tolerance, "{found:?} is not {expected:?}");
    }
}

#[test]
fn a_device_reports_itself() {
    let Some(gpu) = card() else { return };
    let reports = devices().expect("devices");
    let report = &reports[0];
    assert!(report.usable(), "{report:?}");
    assert_eq!((report.index, report.name.as_str()), (0, gpu.name()));
    assert!(report.free_bytes.is_some_and(|free| free > 0 && free <= report.memory_bytes), "{report:?}");
    assert!(report.compute_capability >= (7, 0) && report.driver_version >= (12, 0), "{report:?}");
    let missing = Gpu::open(reports.len()).expect_err("one more than there are").to_string();
    assert!(missing.starts_with(&format!("no device {}: there ", reports.len())), "{missing}");
}

#[test]
fn every_product_agrees_with_the_cpu() {
    let Some(gpu) = card() else { return };
    for (rows, columns) in [(2, 2), (300, 37), (700, 82), (1100, 252)] {
        let host = Panel::new(rows, columns);
        let panel = host.upload(&gpu, Precision::F64);
        assert_eq!((panel.rows(), panel.columns()), (rows, columns));
        let whole = Rectangle { rows: 0..rows, columns: rows / 3..rows, triangle: false };
        for rectangle in [triangle(rows), whole] {
            let result = in_place(found(&gpu, &request(Source::Resident(&panel), &rectangle, Keep::All, Precision::F64)));
            assert_same(&result, &in_place(host.twin(&rectangle, &Keep::All)), 1e-12);
        }
    }
}

#[test]
fn selection_over_several_blocks_and_tiles_agrees_with_plain_loops() {
    let Some(gpu) = card() else { return };
    let (rows, bound) = (9_000, 0.78);
    let host = Panel::new(rows, 20);
    let panel = host.upload(&gpu, Precision::F64);
    let keep = Keep::Outside { above: bound, below: -bound };
    let result = in_place(found(&gpu, &request(Source::Resident(&panel), &triangle(rows), keep, Precision::F64)));
    let mut expected = vec![];
    for row in 0..rows as u32 {
        for column in row + 1..rows as u32 {
            let value = host.product(row, column);
            if value.abs() >= bound {
                expected.push(Pair { row, column, value });
            }
        }
    }
    assert_same(&result, &expected, 1e-12);
}

#[test]
fn identical_rows_give_exactly_one() {
    let Some(gpu) = card() else { return };
    let panel = Panel::new(500, 101).upload(&gpu, Precision::F64);
    let keep = Keep::Outside { above: 1.0, below: -1.0 };
    let result = found(&gpu, &request(Source::Resident(&panel), &triangle(500), keep, Precision::F64));
    let value = |row, column| result.iter().find(|pair| (pair.row, pair.column) == (row, column)).map(|pair| pair.value);
    assert_eq!((value(2, 7), value(8, 11)), (Some(1.0), Some(-1.0)));
}

#[test]
fn the_strongest_are_those_of_the_cpu() {
    let Some(gpu) = card() else { return };
    let rows = 1100;
    let host = Panel::new(rows, 64);
    let panel = host.upload(&gpu, Precision::F64);
    for by in [Rank::Magnitude, Rank::Highest, Rank::Lowest] {
        for (count, outside) in [(1, EVERYTHING), (1000, EVERYTHING), (300_000, EVERYTHING), (500, (0.2, -0.3)), (10_000_000, EVERYTHING)] {
            let keep = Keep::Strongest { count, by, outside };
            let expected = host.twin(&triangle(rows), &keep);
            // One large tile, and many small ones whose bound rises from one to the next.
            for limit_bytes in [None, Some(2_000_000)] {
                let asked = PairsRequest { limit_bytes, ..request(Source::Resident(&panel), &triangle(rows), keep, Precision::F64) };
                let result = found(&gpu, &asked);
                assert_eq!(result.len(), expected.len());
                // Ranks that differ by rounding may change places: each rank must be that of the CPU, each value its pair's.
                for (result, expected) in result.iter().zip(&expected) {
                    assert!((result.value.abs() - expected.value.abs()).abs() <= 1e-12, "{result:?} is not {expected:?}");
                    assert!((result.value - host.product(result.row, result.column)).abs() <= 1e-12, "{result:?}");
                }
            }
        }
    }
}

#[test]
fn ties_go_to_the_smaller_indices() {
    let Some(gpu) = card() else { return };
    let values = Panel::new(1, 50).values.repeat(5000);
    let panel = Panel { values, columns: 50 }.upload(&gpu, Precision::F64);
    let keep = Keep::Strongest { count: 3, by: Rank::Highest, outside: EVERYTHING };
    let result = found(&gpu, &request(Source::Resident(&panel), &triangle(5000), keep, Precision::F64));
    let expected: Vec<Pair> = (1..4).map(|column| Pair { row: 0, column, value: 1.0 }).collect();
    assert_eq!(result, expected);
}

#[test]
fn rows_that_are_not_numbers_give_no_pairs() {
    let Some(gpu) = card() else { return };
    let mut host = Panel::new(400, 30);
    host.values[5 * 30 + 3] = f64::NAN;
    let panel = host.upload(&gpu, Precision::F64);
    let result = found(&gpu, &request(Source::Resident(&panel), &triangle(400), Keep::All, Precision::F64));
    assert_eq!(result.len(), 399 * 398 / 2);
    assert!(result.iter().all(|pair| pair.row != 5 && pair.column != 5));
}

#[test]
fn single_precision_agrees_as_far_as_it_can() {
    let Some(gpu) = card() else { return };
    let host = Panel::new(600, 252);
    for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Tf32, 5e-3)] {
        let panel = host.upload(&gpu, precision);
        let result = in_place(found(&gpu, &request(Source::Resident(&panel), &triangle(600), Keep::All, precision)));
        assert_same(&result, &in_place(host.twin(&triangle(600), &Keep::All)), tolerance);
        let keep = Keep::Strongest { count: 5000, by: Rank::Magnitude, outside: EVERYTHING };
        assert_eq!(found(&gpu, &request(Source::Resident(&panel), &triangle(600), keep, precision)).len(), 5000);
    }
}

#[test]
fn a_streamed_panel_gives_what_a_resident_one_gives() {
    let Some(gpu) = card() else { return };
    let host = Panel::new(3000, 64);
    let panel = host.upload(&gpu, Precision::F64);
    let keeps = [Keep::Outside { above: 0.4, below: -0.4 }, Keep::Strongest { count: 2000, by: Rank::Magnitude, outside: EVERYTHING }];
    for rectangle in [triangle(3000), Rectangle { rows: 100..2900, columns: 1000..3000, triangle: false }] {
        for keep in keeps {
            let resident = in_place(found(&gpu, &request(Source::Resident(&panel), &rectangle, keep, Precision::F64)));
            let streamed = Source::Streamed(&host);
            for (left, right) in [(streamed, streamed), (Source::Resident(&panel), streamed), (streamed, Source::Resident(&panel))] {
                // Windows of a few hundred rows: tiles of 256 rows take 1.6 MB, a row 512 bytes.
                for limit_bytes in [None, Some(2_300_000), Some(3_000_000)] {
                    let asked = PairsRequest { left, right, limit_bytes, ..request(streamed, &rectangle, keep, Precision::F64) };
                    assert_same(&in_place(found(&gpu, &asked)), &resident, 1e-12);
                }
            }
        }
    }
}

#[test]
fn too_little_memory_takes_smaller_tiles_and_then_says_so() {
    let Some(gpu) = card() else { return };
    let host = Panel::new(2000, 40);
    let panel = host.upload(&gpu, Precision::F64);
    let keep = Keep::Outside { above: 0.5, below: -0.5 };
    let asked = request(Source::Resident(&panel), &triangle(2000), keep, Precision::F64);
    let expected = in_place(found(&gpu, &asked));
    let small = PairsRequest { limit_bytes: Some(2_000_000), ..request(Source::Resident(&panel), &triangle(2000), keep, Precision::F64) };
    assert_same(&in_place(found(&gpu, &small)), &expected, 1e-12);
    let none = PairsRequest { limit_bytes: Some(1_000_000), ..asked };
    let mut sink = |_: Vec<Pair>| -> ControlFlow<()> { panic!("nothing was computed") };
    let refused = pairs(&gpu, &none, &mut sink).expect_err("no room");
    assert!(refused.is_out_of_memory(), "{refused}");
}

#[test]
fn memory_is_given_back() {
    let Some(gpu) = card() else { return };
    let host = Panel::new(3000, 300);
    let round = || {
        let panel = host.upload(&gpu, Precision::F64);
        let keep = Keep::Strongest { count: 10, by: Rank::Magnitude, outside: EVERYTHING };
        found(&gpu, &request(Source::Resident(&panel), &triangle(3000), keep, Precision::F64));
    };
    round();
    let before = gpu.free_bytes().expect("free memory");
    (0..20).for_each(|_| round());
    // Twenty rounds that kept theirs would take 8 GB for good; other tests take memory too, but give it back.
    let back = (0..300).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        before.saturating_sub(gpu.free_bytes().expect("free memory")) < 1_000_000_000
    });
    assert!(back, "{before} bytes were free, {:?} are", gpu.free_bytes());
}

#[test]
fn a_broken_sink_stops_the_work() {
    let Some(gpu) = card() else { return };
    let panel = Panel::new(9000, 16).upload(&gpu, Precision::F64);
    let mut calls = 0;
    let mut sink = |_: Vec<Pair>| {
        calls += 1;
        ControlFlow::Break(())
    };
    pairs(&gpu, &request(Source::Resident(&panel), &triangle(9000), Keep::All, Precision::F64), &mut sink).expect("stopped");
    assert_eq!(calls, 1);
}

#[test]
fn queries_at_the_same_time_do_not_disturb_each_other() {
    let Some(gpu) = card() else { return };
    let panel = Panel::new(2500, 90).upload(&gpu, Precision::F64);
    let asked = || request(Source::Resident(&panel), &triangle(2500), Keep::Outside { above: 0.2, below: -0.2 }, Precision::F64);
    let alone = in_place(found(&gpu, &asked()));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| found(&gpu, &asked()))).collect();
        for thread in threads {
            // Where memory becomes short, some of them take smaller tiles: another order, and sums added up in another.
            assert_same(&in_place(thread.join().expect("no panic")), &alone, 1e-12);
        }
    });
}

#[test]
fn metrics_have_the_bits_of_the_cpu() {
    let Some(gpu) = card() else { return };
    let columns = 333;
    let mut host = Panel::new(5000, columns);
    for (place, value) in host.values.iter_mut().enumerate() {
        *value = if place % 17 == 3 { f64::NAN } else { (*value * 1e6).round() / 100.0 + 1e3 };
    }
    host.values[..columns].fill(f64::NAN);
    host.values[columns..2 * columns].fill(0.1);
    let metrics = host.upload(&gpu, Precision::F64).metrics().expect("metrics");
    assert_eq!(metrics.len(), 5000);
    for (row, metrics) in metrics.iter().enumerate() {
        let expected = twin::series_metrics(host.row(row as u32));
        let bits = |m: &tranchedb::gpu::SeriesMetrics| {
            [m.sum, m.mean, m.m2, m.min, m.max, m.max_drawdown].map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() })
        };
        assert_eq!((metrics.count, bits(metrics)), (expected.count, bits(&expected)), "row {row}");
    }
}

#[test]
fn arguments_that_do_not_fit_together_are_refused() {
    let Some(gpu) = card() else { return };
    let panel = Panel::new(100, 16).upload(&gpu, Precision::F64);
    let other = Panel::new(100, 17).upload(&gpu, Precision::F64);
    let refuse = |asked: &PairsRequest<'_>| {
        let refused = pairs(&gpu, asked, &mut |_| ControlFlow::Continue(())).expect_err("refused");
        assert!(matches!(refused, GpuError::Shape(_)), "{refused}");
    };
    let source = Source::Resident(&panel);
    refuse(&request(source, &triangle(101), Keep::All, Precision::F64));
    refuse(&request(source, &triangle(100), Keep::All, Precision::F32));
    refuse(&request(source, &triangle(100), Keep::Outside { above: f64::NAN, below: 0.0 }, Precision::F64));
    refuse(&PairsRequest { right: Source::Resident(&other), ..request(source, &triangle(100), Keep::All, Precision::F64) });
    let shape = PanelShape { columns: 4, expected_rows: Some(1), precision: Precision::F64 };
    let refused = PanelUpload::new(&gpu, &shape).expect("room").push(&[0.0; 6]).expect_err("one row and a half");
    assert!(matches!(refused, GpuError::Shape(_)), "{refused}");
}

#[test]
fn the_rate_of_products_is_measured() {
    let Some(gpu) = card() else { return };
    let panel = Panel::new(700, 90).upload(&gpu, Precision::F64);
    let rate = product_rate(&panel, 3).expect("a rate");
    assert_eq!(rate.operations, 3.0 * 2.0 * 700.0 * 700.0 * 90.0);
    assert!(rate.per_second().is_finite() && rate.per_second() > 0.0, "{rate:?}");
}
