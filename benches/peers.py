#!/usr/bin/env python3
"""Metrics of every strategy, against the engines that people would take instead.

    python benches/peers.py [--strategies 25000] [--periods 1000] [--repeats 5] [--large] [--keep FOLDER]

Generates one strategy table with the release binary (TRANCHEDB_BIN, else the target directory's release/tranchedb), then runs ours and each
peer in turn on its very files, several rounds: DuckDB, Polars, DataFusion without our operator, numpy over pyarrow. Ours and DataFusion are
timed as whole processes, the others from after their imports. A peer that takes more than a minute in all is run less often. The ten best must be the same ten for everyone. --large adds 100,000 x 2,520
(2.5 GB of disk and some minutes). With a build of `examples/decode.rs` (DECODE_BIN) also the bound: decoding the values and nothing else.
Needs duckdb, polars, numpy and pyarrow. Prints one Markdown table: task, data, ours, peer, ratio.
"""
import argparse, json, os, pathlib, shutil, statistics, sys, tempfile

import numpy as np

from measure import binary, peak_mb, print_heading, report, spread, timed

# A peer that has taken longer than this in all is not run again.
PATIENCE_SECONDS = 60

ORDER = {"sharpe_ratio": "DESC NULLS LAST", "max_drawdown_pnl": "ASC NULLS LAST"}
OURS = "SELECT strategy, {metric}(pnl) v FROM {table} GROUP BY strategy ORDER BY v {order} LIMIT 10"
TEN_METRICS = (
    "SELECT strategy, max_drawdown_pnl(pnl) v, roi(pnl, 100000), sharpe_ratio(pnl), sortino_ratio(pnl), calmar_ratio_pnl(pnl), win_rate(pnl), profit_factor(pnl), "
    "expectancy(pnl), kelly_fraction(pnl), value_at_risk(pnl, 0.95) FROM {table} GROUP BY strategy ORDER BY v ASC NULLS LAST LIMIT 10"
)

# Plain SQL, as written for an engine without financial functions.
PLAIN = {
    "sharpe_ratio": "SELECT strategy, avg(pnl) / stddev_samp(pnl) * sqrt(252) v FROM {source} GROUP BY strategy ORDER BY v DESC NULLS LAST LIMIT 10",
    "max_drawdown_pnl": """
        WITH curve AS (SELECT strategy, date, sum(pnl) OVER (PARTITION BY strategy ORDER BY date ROWS UNBOUNDED PRECEDING) e FROM {source}),
        fall AS (SELECT strategy, least(e - greatest(max(e) OVER (PARTITION BY strategy ORDER BY date ROWS UNBOUNDED PRECEDING), 0), 0) u FROM curve)
        SELECT strategy, min(u) v FROM fall GROUP BY strategy ORDER BY v ASC NULLS LAST LIMIT 10""",
}
DUCKDB = """
import duckdb, json, sys, time
c = duckdb.connect(); c.execute("SET threads = 2; SET enable_progress_bar = false")
start = time.perf_counter()
rows = c.execute(sys.argv[1]).fetchall()
print(json.dumps({"seconds": time.perf_counter() - start, "rows": rows}))
"""
POLARS = """
import polars as pl, json, sys, time
start = time.perf_counter()
lazy = pl.scan_parquet(sys.argv[1:], hive_partitioning=True)
equity = pl.col("pnl").cum_sum()
metric = {
    "sharpe_ratio": (pl.col("pnl").mean() / pl.col("pnl").std() * 252**0.5),
    "max_drawdown_pnl": (equity - pl.max_horizontal(equity.cum_max(), 0)).min().clip(None, 0),
}["METRIC"]
groups = lazy.group_by("strategy", maintain_order="METRIC" == "max_drawdown_pnl").agg(metric.alias("v")).sort("v", descending="METRIC" == "sharpe_ratio", nulls_last=True)
rows = groups.head(10).collect().rows()
print(json.dumps({"seconds": time.perf_counter() - start, "rows": rows}))
"""
NUMPY = """
import json, sys, time
import numpy as np, pyarrow.parquet as pq, pyarrow.compute as pc
start = time.perf_counter()
names = pq.read_table(sys.argv[1], columns=["strategy"], partitioning=None, read_dictionary=["strategy"])["strategy"]
names = pc.unique(names.combine_chunks().dictionary_decode() if hasattr(names, "combine_chunks") else names).to_pylist()
files = [pq.read_table(f, columns=["pnl"], partitioning=None)["pnl"].to_numpy().reshape(len(names), -1) for f in sys.argv[1:]]
x = np.hstack(files)
if "METRIC" == "sharpe_ratio":
    v = -x.mean(axis=1) / x.std(axis=1, ddof=1) * 252**0.5
else:
    curve = x.cumsum(axis=1)
    v = np.minimum((curve - np.maximum(np.maximum.accumulate(curve, axis=1), 0)).min(axis=1), 0)
best = np.argsort(v, kind="stable")[:10]
rows = [[names[i], -v[i] if "METRIC" == "sharpe_ratio" else v[i]] for i in best]
print(json.dumps({"seconds": time.perf_counter() - start, "rows": rows}, default=float))
"""


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--strategies", type=int, default=25_000)
    p.add_argument("--periods", type=int, default=1_000)
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--large", action="store_true", help="also 100,000 strategies x 2,520 periods, ours alone")
    p.add_argument("--keep", help="folder in which the tables stay for the next call")
    return p.parse_args()


def whole(command):
    """Seconds of a whole process that prints JSON rows, and the rows."""
    seconds, text = timed(command)
    return seconds, [list(row.values()) for row in json.loads(text)]


def own_clock(command):
    """Seconds that the peer's program measured itself, and the rows."""
    answer = json.loads(timed(command)[1])
    return answer["seconds"], answer["rows"]


def sql(exe, database, *statements):
    return [exe, "--db", str(database), "--threads", "2", "--format", "json", "--quiet"] + [part for text in statements for part in ("-c", text)]


def generate(exe, database, name, strategies, periods):
    table = database / name
    if not table.exists():
        timed([exe, "--db", str(database), "generate", "strategies", "--strategies", str(strategies), "--periods", str(periods), "--seed", "1", "--into", name])
    files = sorted(table.glob("year=*/*.parquet"))
    size = sum(f.stat().st_size for f in files)
    return [str(f) for f in files], f"{strategies:,} x {periods:,}, {strategies * periods / 1e6:.0f} M values, {size / 1e6:.0f} MB in {len(files)} files"


def peers(exe, database, metric, files):
    """Name, command and clock of each."""
    listed = "read_parquet([" + ", ".join(f"'{f}'" for f in files) + "], hive_partitioning = true)"
    folder = f"'{pathlib.Path(files[0]).parent.parent}/**/*.parquet'"
    python = lambda program, *arguments: [sys.executable, "-c", program.replace("METRIC", metric), *arguments]
    yield "DuckDB", python(DUCKDB, PLAIN[metric].format(source=listed)), own_clock
    yield "Polars", python(POLARS, *files), own_clock
    yield "DataFusion", sql(exe, database, PLAIN[metric].format(source=folder)), whole
    yield "numpy", python(NUMPY, *files), own_clock


def same(ours, theirs):
    return [row[0] for row in ours] == [row[0] for row in theirs] and np.allclose([row[1] for row in ours], [row[1] for row in theirs], rtol=1e-9)


def compare(exe, database, metric, files, data, repeats):
    """Ours and every peer in turn, after one round that warms the file cache."""
    command = sql(exe, database, OURS.format(metric=metric, table="s", order=ORDER[metric]))
    others = list(peers(exe, database, metric, files))
    whole(command)
    mine, pairs = [], {name: [] for name, *_ in others}
    for _ in range(repeats):
        seconds, rows = whole(command)
        mine.append(seconds)
        for name, other, clock in others:
            if sum(theirs for _, theirs in pairs[name]) > PATIENCE_SECONDS:
                continue
            spent, found = clock(other)
            pairs[name].append((seconds, spent))
            if not same(rows, found):
                sys.exit(f"{metric}: ours {rows}, {name} {found}")
    peak = peak_mb(command)
    for name, other, _ in others:
        theirs = [spent for _, spent in pairs[name]]
        ratio = statistics.median(spent / seconds for seconds, spent in pairs[name])
        runs = "" if len(theirs) == repeats else f", {len(theirs)} run" + "s" * (len(theirs) > 1)
        peaks = peak_mb(other) if sum(theirs) < PATIENCE_SECONDS else 0
        their_peak = f", peak {peaks} MB" if peaks else ""
        report(f"{metric} of all, the ten first", data, f"{spread(mine)}, peak {peak} MB", f"{name} {spread(theirs)}{runs}{their_peak}", f"{ratio:.1f} x faster")
    return statistics.median(mine)


def alone(exe, database, task, data, statement, repeats):
    command = sql(exe, database, statement)
    seconds = [whole(command)[0] for _ in range(repeats + 1)][1:]
    report(task, data, f"{spread(seconds)}, peak {peak_mb(command)} MB")
    return statistics.median(seconds)


def bound(folder, data, drawdown, repeats):
    """The time to decode the values and do nothing with them."""
    program = os.environ.get("DECODE_BIN")
    if program:
        seconds = [float(line.split()[0]) for line in timed([program, str(folder), "2", str(repeats)])[1].splitlines()]
        report("the values decoded, nothing else", data, "", f"parquet crate, 2 threads, {spread(seconds)}", f"max_drawdown_pnl takes {drawdown / statistics.median(seconds):.1f} x as long")


def regimes(exe, database, repeats):
    if not (database / "zoned").exists():
        shape = ["--strategies", "25544", "--periods", "22", "--zones", "4", "--regimes", "--seed", "1"]
        timed([exe, "--db", str(database), "generate", "strategies", *shape, "--into", "zoned"])
    metrics = TEN_METRICS.replace("SELECT strategy,", "SELECT strategy, market_regime,").replace("GROUP BY strategy", "WHERE regime_confidence >= 0.5 GROUP BY strategy, market_regime")
    alone(exe, database, "ten metrics by strategy and market regime", "25,544 x 88 with zones and regimes, 2.2 M values", metrics.format(table="zoned"), repeats)


def large(exe, database, drawdown_per_value, repeats):
    _, data = generate(exe, database, "large", 100_000, 2_520)
    whole_table = OURS.format(metric="max_drawdown_pnl", table="large", order=ORDER["max_drawdown_pnl"])
    spent = alone(exe, database, "max_drawdown_pnl of all, the ten first", data, whole_table, repeats)
    report("the same per value", data, f"{spent / 252e6 / drawdown_per_value:.2f} x that of the smaller table")
    first = whole(sql(exe, database, "SELECT make_date(max(year), 1, 1) FROM large"))[1][0][0]
    year = whole_table.replace("FROM large", f"FROM large WHERE date >= '{first}'")
    alone(exe, database, "the same of the last year", data, year, repeats)
    name = whole([exe, "--db", str(database), "--format", "json", "--quiet", "-c", "SELECT min(strategy) FROM large"])[1][0][0]
    alone(exe, database, "all periods of one strategy", data, f"SELECT date, pnl FROM large WHERE strategy = '{name}' ORDER BY date", repeats)
    chosen = whole(sql(exe, database, "SELECT strategy FROM large GROUP BY strategy ORDER BY md5(strategy) LIMIT 35"))[1]
    names = ", ".join(f"'{row[0]}'" for row in chosen)
    curve = f"SELECT max_drawdown_pnl(p ORDER BY date) FROM (SELECT date, sum(pnl) p FROM large WHERE strategy IN ({names}) GROUP BY date)"
    alone(exe, database, "curve of 35 strategies and its drawdown", data, curve, repeats)


def main():
    a, exe = arguments(), binary()
    database = pathlib.Path(a.keep or tempfile.mkdtemp(prefix="tranchedb-bench-"))
    try:
        files, data = generate(exe, database, "s", a.strategies, a.periods)
        import duckdb, polars
        print(f"duckdb {duckdb.__version__}, polars {polars.__version__}, numpy {np.__version__}")
        print_heading(exe, a.repeats)
        compare(exe, database, "sharpe_ratio", files, data, a.repeats)
        drawdown = compare(exe, database, "max_drawdown_pnl", files, data, a.repeats)
        ten = alone(exe, database, "ten metrics at once", data, TEN_METRICS.format(table="s"), a.repeats)
        report("the same", data, f"{ten / drawdown:.1f} x the time of max_drawdown_pnl alone")
        bound(database / "s", data, drawdown, a.repeats)
        regimes(exe, database, a.repeats)
        if a.large:
            large(exe, database, drawdown / (a.strategies * a.periods), min(a.repeats, 3))
    finally:
        if not a.keep:
            shutil.rmtree(database, ignore_errors=True)


if __name__ == "__main__":
    main()
