//! How fast the GPU finds correlated pairs, against how fast it multiplies.
//!
//! `cargo run --release --example gpu_pairs -- ROWS COLUMNS [TOP] [f64|f32|tf32] [resident|streamed] [REPEATS] [LIMIT_MB]` makes ROWS
//! random series of COLUMNS periods (every thousandth is nearly the one before), uploads them, and prints the rate of
//! cuBLAS alone, the seconds of the TOP strongest pairs and of all pairs beyond 0.8, and what share of the rate they
//! reach. Every pair printed is checked against a product on the CPU.

#![expect(clippy::print_stdout, reason = "it reports on the terminal")]

use std::error::Error;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Instant;

use tranchedb::gpu::{
    DevicePanel, Gpu, HostPanel, Keep, Pair, PairsRequest, PanelShape, PanelUpload, Precision, Rank, Rectangle, Source, devices, pairs,
    product_rate,
};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Rows made and uploaded at once.
const CHUNK_ROWS: usize = 512;

/// Random unit vectors, each made from its number alone, so that they can be made again at any time.
#[derive(Clone, Copy)]
struct Series {
    rows: usize,
    columns: usize,
}

impl Series {
    fn fill(self, row: usize, into: &mut [f64]) {
        let near = row % 1000 == 999;
        draw(if near { row - 1 } else { row }, into);
        if near {
            let mut noise = vec![0.0; into.len()];
            draw(row, &mut noise);
            into.iter_mut().zip(&noise).for_each(|(x, noise)| *x += 0.01 * noise);
        }
        let mean = into.iter().sum::<f64>() / into.len() as f64;
        into.iter_mut().for_each(|x| *x -= mean);
        let norm = into.iter().map(|x| x * x).sum::<f64>().sqrt();
        into.iter_mut().for_each(|x| *x /= norm);
    }

    fn product(self, pair: &Pair) -> f64 {
        let [mut x, mut y] = [vec![0.0; self.columns], vec![0.0; self.columns]];
        self.fill(pair.row as usize, &mut x);
        self.fill(pair.column as usize, &mut y);
        x.iter().zip(&y).map(|(x, y)| x * y).sum()
    }
}

/// Numbers in [-0.5, 0.5) from a seed (SplitMix64).
fn draw(seed: usize, into: &mut [f64]) {
    let mut state = (seed as u64).wrapping_mul(0x2545_f491_4f6c_dd1d);
    for x in into {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *x = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
    }
}

impl HostPanel for Series {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn copy_rows(&self, rows: Range<usize>, into: &mut [f64]) -> std::io::Result<()> {
        use rayon::prelude::*;
        into.par_chunks_exact_mut(self.columns).zip(rows).for_each(|(into, row)| self.fill(row, into));
        Ok(())
    }
}

struct Arguments {
    series: Series,
    top: usize,
    precision: Precision,
    streamed: bool,
    repeats: usize,
    limit_bytes: Option<u64>,
}

fn arguments() -> Fallible<Arguments> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, otherwise: Option<usize>| match (given.get(place), otherwise) {
        (Some(text), _) => text.parse().map_err(|_| format!("'{text}' is not a number")),
        (None, Some(otherwise)) => Ok(otherwise),
        (None, None) => Err("usage: gpu_pairs ROWS COLUMNS [TOP] [f64|f32|tf32] [resident|streamed] [REPEATS] [LIMIT_MB]".to_owned()),
    };
    let precision = match given.get(3).map(String::as_str) {
        None | Some("f64") => Precision::F64,
        Some("f32") => Precision::F32,
        Some("tf32") => Precision::Tf32,
        Some(other) => return Err(format!("'{other}' is not f64, f32 or tf32").into()),
    };
    Ok(Arguments {
        series: Series { rows: number(0, None)?, columns: number(1, None)? },
        top: number(2, Some(1000))?,
        precision,
        streamed: given.get(4).is_some_and(|text| text == "streamed"),
        repeats: number(5, Some(3))?,
        limit_bytes: if given.len() > 6 { Some(number(6, None)? as u64 * 1_000_000) } else { None },
    })
}

fn main() -> Fallible<()> {
    let asked = arguments()?;
    for device in devices()? {
        println!("{device:?}");
    }
    let start = Instant::now();
    let gpu = Gpu::open(0)?;
    println!("opened {} in {:.2} s, {:.1} GB free", gpu.name(), start.elapsed().as_secs_f64(), gpu.free_bytes()? as f64 / 1e9);
    println!("{} x {}, {:?}, top {}", asked.series.rows, asked.series.columns, asked.precision, asked.top);
    let resident = if asked.streamed { asked.series.rows.min(8192) } else { asked.series.rows };
    let panel = upload(&gpu, Series { rows: resident, ..asked.series }, asked.precision)?;
    let rate = product_rate(&panel, 20)?;
    println!("cuBLAS alone: {:.2} TFLOP/s", rate.per_second() / 1e12);
    let source = if asked.streamed { Source::Streamed(&asked.series) } else { Source::Resident(&panel) };
    let strongest = Keep::Strongest { count: asked.top, by: Rank::Magnitude, outside: (f64::NEG_INFINITY, f64::NEG_INFINITY) };
    for (name, keep) in [("strongest", strongest), ("beyond 0.8", Keep::Outside { above: 0.8, below: -0.8 })] {
        for _ in 0..asked.repeats {
            report(&gpu, &asked, source, name, keep, rate.per_second())?;
        }
    }
    if asked.precision == Precision::F64 && !asked.streamed {
        let start = Instant::now();
        let metrics = panel.metrics()?;
        println!("metrics of {} rows: {:.4} s", metrics.len(), start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn upload(gpu: &Arc<Gpu>, series: Series, precision: Precision) -> Fallible<DevicePanel> {
    let shape = PanelShape { columns: series.columns, expected_rows: Some(series.rows), precision };
    let mut upload = PanelUpload::new(gpu, &shape)?;
    let (mut making, mut sending) = (0.0, 0.0);
    let mut rows = vec![0.0; CHUNK_ROWS * series.columns];
    for first in (0..series.rows).step_by(CHUNK_ROWS) {
        let last = (first + CHUNK_ROWS).min(series.rows);
        let start = Instant::now();
        let part = &mut rows[..(last - first) * series.columns];
        series.copy_rows(first..last, part)?;
        making += start.elapsed().as_secs_f64();
        let start = Instant::now();
        upload.push(part)?;
        sending += start.elapsed().as_secs_f64();
    }
    let start = Instant::now();
    let panel = upload.finish()?;
    sending += start.elapsed().as_secs_f64();
    let gigabytes = panel.bytes() as f64 / 1e9;
    println!("made in {making:.2} s, uploaded {gigabytes:.2} GB in {sending:.2} s ({:.1} GB/s)", gigabytes / sending);
    Ok(panel)
}

fn report(gpu: &Arc<Gpu>, asked: &Arguments, source: Source<'_>, name: &str, keep: Keep, rate: f64) -> Fallible<()> {
    let rows = asked.series.rows;
    let request = PairsRequest {
        left: source,
        right: source,
        rectangle: Rectangle { rows: 0..rows, columns: 0..rows, triangle: true },
        keep,
        precision: asked.precision,
        limit_bytes: asked.limit_bytes,
    };
    let mut found: Vec<Pair> = vec![];
    let before = gpu.free_bytes()?;
    let mut least = before;
    let mut calls = 0_u64;
    let start = Instant::now();
    let mut sink = |pairs: Vec<Pair>| {
        found.extend(pairs);
        calls += 1;
        if calls == 1 {
            least = gpu.free_bytes().unwrap_or(before);
        }
        ControlFlow::Continue(())
    };
    pairs(gpu, &request, &mut sink)?;
    let seconds = start.elapsed().as_secs_f64();
    // Half of the matrix: every pair once.
    let needed = rows as f64 * rows as f64 * asked.series.columns as f64;
    let worst = found.iter().take(1000).map(|pair| (pair.value - asked.series.product(pair)).abs()).fold(0.0, f64::max);
    println!(
        "{name}: {seconds:.3} s, {} pairs, {:.2} TFLOP/s of the triangle = {:.0} % of cuBLAS, {:.2} GB of the device, worst error {worst:.1e}",
        found.len(),
        needed / seconds / 1e12,
        100.0 * needed / seconds / rate,
        before.saturating_sub(least) as f64 / 1e9
    );
    Ok(())
}
