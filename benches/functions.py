#!/usr/bin/env python3
"""Figures of the financial functions: many groups, quantiles of many values, indicators over many series.

    python benches/functions.py [--repeats 5] [--scale 1.0]

Drives the release binary (TRANCHEDB_BIN, else the target directory's release/tranchedb) on Parquet files it writes itself. Peers run in
the same call, in turn, on the same files: DuckDB's SQL for the metrics, TA-Lib called for each group from Polars for the indicators.
Ours is timed as a whole process, a peer from after its imports. Answers are compared. Needs duckdb, polars, numpy, pyarrow and TA-Lib. Prints one Markdown table: task, data, ours, peer, ratio.
"""
import argparse, json, pathlib, shutil, statistics, sys, tempfile

import numpy as np, pyarrow as pa, pyarrow.parquet as pq

from measure import binary, peak_mb, print_heading, report, spread, timed

DUCKDB = """
import duckdb, json, sys, time
c = duckdb.connect(); c.execute("SET threads = 2; SET enable_progress_bar = false")
start = time.perf_counter()
row = c.execute(sys.argv[1]).fetchone()
print(json.dumps({"seconds": time.perf_counter() - start, "row": row}))
"""

# Sharpe, Sortino and the drawdown of the summed curve, as DuckDB's users write them.
DUCKDB_METRICS = """
WITH curve AS (SELECT g, d, x, sum(x) OVER (PARTITION BY g ORDER BY d) e FROM '{file}'),
     fall AS (SELECT g, x, e - greatest(0, max(e) OVER (PARTITION BY g ORDER BY d)) u FROM curve)
SELECT count(*), sum(a), sum(b), sum(c) FROM (
  SELECT g, avg(x) / stddev_samp(x) * sqrt(252) a,
         CASE WHEN count(*) FILTER (WHERE x < 0) > 0 THEN avg(x) / sqrt(sum(CASE WHEN x < 0 THEN x * x ELSE 0 END) / count(*)) * sqrt(252) END b,
         least(0, min(u)) c
  FROM fall GROUP BY g)
"""
OUR_METRICS = "SELECT count(*), sum(a), sum(b), sum(c) FROM (SELECT g, sharpe_ratio(x) a, sortino_ratio(x) b, max_drawdown_pnl(x ORDER BY d) c FROM '{file}' GROUP BY g)"

DUCKDB_QUANTILE = "SELECT count(*), sum(a) FROM (SELECT g, quantile_cont(x, 0.05) a FROM '{file}' GROUP BY g)"
OUR_QUANTILE = "SELECT count(*), sum(a) FROM (SELECT g, value_at_risk(x) a FROM '{file}' GROUP BY g)"

# One line per indicator: our call, TA-Lib's.
INDICATORS = {
    "sma": ("sma(x, 20) OVER w", "talib.SMA(x, 20)"),
    "ema": ("ema(x, 20) OVER w", "talib.EMA(x, 20)"),
    "rsi": ("rsi(x, 14) OVER w", "talib.RSI(x, 14)"),
    "bollinger_bands": ("bollinger_bands(x, 20, 2) OVER w", "talib.BBANDS(x, 20, 2, 2)[0]"),
}
POLARS = """
import polars as pl, talib, sys, json, time
def indicator(s):
    x = s.to_numpy()
    return pl.Series(CALL)
start = time.perf_counter()
out = pl.read_parquet(sys.argv[1])SORT.group_by("p", maintain_order=True).agg(pl.col("x").map_batches(indicator, return_dtype=pl.Float64)).explode("x")
row = [int(out["x"].is_not_nan().sum()), float(out["x"].fill_nan(None).sum())]
print(json.dumps({"seconds": time.perf_counter() - start, "row": row}))
"""


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--scale", type=float, default=1.0, help="share of the rows; 1.0 is 1,000,000 groups of 25, 25,000 of 1,000 and 200 series of 25,000")
    return p.parse_args()


def write(file, columns):
    pq.write_table(pa.table(columns), file, row_group_size=1 << 20, compression="zstd")
    return f"{len(next(iter(columns.values()))):,} rows, {file.stat().st_size / 1e6:.0f} MB"


def profits(file, groups, periods):
    x = np.round(np.random.default_rng(1).normal(1, 50, groups * periods), 2)
    days = pa.array(np.tile(np.arange(19700, 19700 + periods, dtype=np.int32), groups)).cast(pa.date32())
    return write(file, {"g": np.repeat(np.arange(groups, dtype=np.int64), periods), "d": days, "x": x})


def prices(file, series, rows):
    x = 100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.001, (series, rows)), axis=1))
    return write(file, {"p": np.repeat(np.arange(series, dtype=np.int64), rows), "t": np.tile(np.arange(rows, dtype=np.int64), series), "x": x.ravel()})


def ours(exe, *statements):
    return [exe, "--threads", "2", "--format", "json", "--quiet"] + [part for sql in statements for part in ("-c", sql)]


def our_turn(command):
    """Seconds of the whole process, and the numbers of the first row."""
    seconds, text = timed(command)
    return seconds, [float(x) for x in json.loads(text)[0].values()]


def their_turn(command):
    """Seconds that the peer's program measured itself, and its numbers."""
    answer = json.loads(timed(command)[1])
    return answer["seconds"], [float(x) for x in answer["row"]]


def compare(task, data, our_command, peer, peer_command, repeats):
    """Both in turn, after one round that warms the file cache; their answers must agree."""
    rounds = [(our_turn(our_command), their_turn(peer_command)) for _ in range(repeats + 1)]
    (_, a), (_, b) = rounds[0]
    if not np.allclose(a, b, rtol=1e-9):
        sys.exit(f"{task}: ours {a}, {peer} {b}")
    mine, theirs = [o[0] for o, _ in rounds[1:]], [p[0] for _, p in rounds[1:]]
    ratio = statistics.median(t / o for o, t in zip(mine, theirs))
    peaks = peak_mb(our_command), peak_mb(peer_command)
    report(task, data, f"{spread(mine)}, peak {peaks[0]} MB", f"{peer} {spread(theirs)}, peak {peaks[1]} MB", f"{ratio:.1f} x faster")


def metrics(exe, folder, a):
    file = folder / "groups.parquet"
    data = profits(file, int(1_000_000 * a.scale), 25)
    duckdb = [sys.executable, "-c", DUCKDB, DUCKDB_METRICS.format(file=file)]
    compare("sharpe_ratio, sortino_ratio, max_drawdown_pnl by group", data, ours(exe, OUR_METRICS.format(file=file)), "DuckDB", duckdb, a.repeats)


def quantiles(exe, folder, a):
    file = folder / "values.parquet"
    data = profits(file, int(25_000 * a.scale), 1_000)
    duckdb = [sys.executable, "-c", DUCKDB, DUCKDB_QUANTILE.format(file=file)]
    compare("value_at_risk by group", data, ours(exe, OUR_QUANTILE.format(file=file)), "DuckDB quantile_cont", duckdb, a.repeats)


def indicators(exe, folder, a):
    file = folder / "prices.parquet"
    data = prices(file, 200, int(25_000 * a.scale))
    table = f"CREATE EXTERNAL TABLE bars STORED AS PARQUET WITH ORDER (p ASC NULLS LAST, t ASC NULLS LAST) LOCATION '{file}'"
    for name, (call, theirs) in INDICATORS.items():
        field = "v['upper']" if name == "bollinger_bands" else "v"
        for order, setup, source, sort in (("sorted file", [table], "bars", ""), ("order unknown", [], f"'{file}'", '.sort("p", "t")')):
            sql = f"SELECT count({field}), sum({field}) FROM (SELECT {call} AS v FROM {source} WINDOW w AS (PARTITION BY p ORDER BY t))"
            polars = [sys.executable, "-c", POLARS.replace("CALL", theirs).replace("SORT", sort), str(file)]
            compare(f"{name} by series, {order}", data, ours(exe, *setup, sql), "TA-Lib from Polars", polars, a.repeats)


def main():
    a, exe = arguments(), binary()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tranchedb-bench-"))
    print_heading(exe, a.repeats)
    try:
        metrics(exe, folder, a)
        quantiles(exe, folder, a)
        indicators(exe, folder, a)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
