#!/usr/bin/env python3
"""Figures of import and generation: a wide CSV file against Polars, under memory limits, and the size of the files.

    python benches/import.py [--strategies 25000] [--periods 1000] [--repeats 5] [--large 100000x2520]

Drives the release binary (TRANCHEDB_BIN, else the target directory's release/tranchedb) on a CSV file it generates once. Polars runs in the same
call, in turn, on the same file: read_csv, unpivot, sort by strategy and date, write_parquet. Both are timed as whole processes. Row count and the sum of
every strategy are compared. --large adds the generation of a table of that size ('' leaves it out). Needs polars. Prints one Markdown table: task, data, ours, peer, ratio.
"""
import argparse, csv, io, math, pathlib, shutil, statistics, subprocess, sys, tempfile

from measure import binary, peak_mb, print_heading, report, spread, timed

POLARS = """
import polars as pl, sys
wide = pl.read_csv(sys.argv[1], try_parse_dates=True)
long = wide.unpivot(index=["Date", "Day"], variable_name="strategy", value_name="pnl")
long.sort("strategy", "Date").write_parquet(sys.argv[2], compression="zstd")
"""
MEMORY_LIMITS = ("512MB", "256MB", "128MB")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--strategies", type=int, default=25_000)
    p.add_argument("--periods", type=int, default=1_000)
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--large", default="100000x2520", help="strategies x periods of a table that is generated once; '' for none")
    return p.parse_args()


def generate(exe, strategies, periods, *target):
    return [exe, "generate", "strategies", "--strategies", str(strategies), "--periods", str(periods), "--seed", "1", *map(str, target)]


def import_into(exe, db, file, *options):
    shutil.rmtree(db, ignore_errors=True)
    return [exe, "--db", str(db), *options, "import", str(file), "--into", "s"]


def our_sums(exe, db):
    text = timed([exe, "--db", str(db), "--format", "csv", "--quiet", "-c", "SELECT strategy, count(*), sum(pnl) FROM s GROUP BY strategy"])[1]
    return {row[0]: (int(row[1]), float(row[2])) for row in list(csv.reader(io.StringIO(text)))[1:]}


def their_sums(file):
    import polars as pl
    groups = pl.scan_parquet(file).group_by("strategy").agg(pl.len(), pl.col("pnl").sum()).collect()
    return {name: (rows, total) for name, rows, total in groups.iter_rows()}


def compare(ours, theirs):
    same = ours.keys() == theirs.keys() and all(
        ours[name][0] == theirs[name][0] and math.isclose(ours[name][1], theirs[name][1], rel_tol=1e-9, abs_tol=1e-6) for name in ours)
    if not same:
        sys.exit("the imported rows differ from those of Polars")


def importing(exe, folder, a):
    """Median import against Polars, in turn, after one round that warms the file cache and compares the rows."""
    file, db, parquet = folder / "wide.csv", folder / "db", folder / "polars.parquet"
    timed(generate(exe, a.strategies, a.periods, "--csv", file))
    polars = [sys.executable, "-c", POLARS, str(file), str(parquet)]
    ours, theirs = [], []
    for turn in range(a.repeats + 1):
        o, t = timed(import_into(exe, db, file))[0], timed(polars)[0]
        if turn:
            ours.append(o)
            theirs.append(t)
        else:
            compare(our_sums(exe, db), their_sums(parquet))
    ratio = statistics.median(t / o for o, t in zip(ours, theirs))
    peaks = peak_mb(import_into(exe, db, file)), peak_mb(polars)
    data = f"{a.strategies:,} x {a.periods:,} CSV, {file.stat().st_size / 1e6:.0f} MB"
    report("import of a wide CSV", data, f"{spread(ours)}, peak {peaks[0]} MB", f"Polars {spread(theirs)}, peak {peaks[1]} MB", f"{ratio:.1f} x faster")
    unlimited = our_sums(exe, db)
    for limit in MEMORY_LIMITS:
        seconds = [timed(import_into(exe, db, file, "--memory-limit", limit))[0] for _ in range(a.repeats)]
        compare(our_sums(exe, db), unlimited)
        peak = peak_mb(import_into(exe, db, file, "--memory-limit", limit))
        report(f"the same with --memory-limit {limit}", data, f"{spread(seconds)}, peak {peak} MB")


def parquet_mb(db):
    return sum(f.stat().st_size for f in pathlib.Path(db).rglob("*.parquet")) / 1e6


def generating(exe, folder, a):
    """Generation of a table and the size of its files, without zeros and with 40 % of them."""
    db = folder / "generated"
    for zeros in ("0", "0.4"):
        command = [*generate(exe, a.strategies, a.periods, "--zeros", zeros, "--into", "s"), "--db", str(db)]
        seconds = []
        for _ in range(a.repeats):
            shutil.rmtree(db, ignore_errors=True)
            seconds.append(timed(command)[0])
        size = parquet_mb(db)
        shutil.rmtree(db)
        data = f"{a.strategies:,} x {a.periods:,}, {float(zeros):.0%} zeros"
        report("generation of a table", data, f"{spread(seconds)}, peak {peak_mb(command)} MB, {size:.1f} MB of Parquet")
        shutil.rmtree(db)


def generating_large(exe, folder, a):
    strategies, periods = map(int, a.large.split("x"))
    db = folder / "large"
    command = [*generate(exe, strategies, periods, "--into", "s"), "--db", str(db)]
    seconds = timed(command)[0]
    size = parquet_mb(db)
    shutil.rmtree(db)
    peak = peak_mb(command)
    shutil.rmtree(db)
    values = strategies * periods
    report("generation of a table", f"{strategies:,} x {periods:,}", f"{seconds:.3g} s, {seconds / values * 1e9:.0f} ns a value, peak {peak} MB, {size:.0f} MB of Parquet")


def main():
    a, exe = arguments(), binary()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tranchedb-bench-"))
    print_heading(exe, a.repeats)
    try:
        importing(exe, folder, a)
        generating(exe, folder, a)
        if a.large:
            generating_large(exe, folder, a)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
