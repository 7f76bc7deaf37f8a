#!/usr/bin/env python3
"""Figures of the foundation: import, start, many tables, crash safety, and what other engines read from our files.

    python benches/foundation.py [--strategies 25544] [--periods 82] [--repeats 5] [--kills 50]

Drives the release binary (TRANCHEDB_BIN, else the target directory's release/tranchedb) on data it generates itself.
Peers run in the same call on the same files: pandas with pyarrow for the import; DuckDB, Polars and the deltalake package
for reading. Prints one Markdown table: task, data, ours, peer, ratio.
"""
import argparse, csv, io, pathlib, random, shutil, signal, statistics, subprocess, sys, tempfile, time

from measure import binary, peak_mb, print_heading, report, spread, timed


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--strategies", type=int, default=25544)
    p.add_argument("--periods", type=int, default=82)
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--kills", type=int, default=50)
    return p.parse_args()


PANDAS = """
import sys, pandas as pd
wide = pd.read_csv(sys.argv[1])
long = wide.melt(id_vars=["Date", "Day"], var_name="strategy", value_name="pnl")
long.to_parquet(sys.argv[2], compression="zstd")
"""


def wide_csv(exe, folder, strategies, periods):
    file = folder / f"wide-{strategies}.csv"
    subprocess.run([exe, "generate", "strategies", "--strategies", str(strategies), "--periods", str(periods), "--seed", "1", "--csv", str(file)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return file


def importing(exe, folder, file, a):
    """Median import against pandas' read_csv + melt + to_parquet, in turn."""
    ours, theirs = [], []
    for run in range(a.repeats + 1):
        db = folder / f"import-{run}"
        o = timed([exe, "--db", str(db), "import", str(file), "--into", "s"])[0]
        shutil.rmtree(db)
        t = timed([sys.executable, "-c", PANDAS, str(file), str(folder / "pandas.parquet")])[0]
        if run:
            ours.append(o)
            theirs.append(t)
    ratios = [t / o for o, t in zip(ours, theirs)]
    peak = peak_mb([exe, "--db", str(folder / "peak"), "import", str(file), "--into", "s"])
    data = f"{a.strategies} x {a.periods} CSV, {file.stat().st_size / 1e6:.0f} MB"
    report("import of a wide CSV", data, f"{spread(ours)}, peak {peak} MB", f"pandas {spread(theirs)}", f"{statistics.median(ratios):.1f} x faster")


def starting(exe, a):
    report("`-c 'select 1'`", "no database", spread([timed([exe, "-c", "select 1"])[0] for _ in range(a.repeats * 4)]))


def many_tables(exe, folder, a):
    """A database of 200 tables opened and listed, against an empty one."""
    db = folder / "many"
    text = "".join(f"CREATE TABLE t{i} AS SELECT {i} AS x;\n" for i in range(200))
    script = folder / "many.sql"
    script.write_text(text)
    timed([exe, "--db", str(db), "-f", str(script)])
    listing = lambda place: timed([exe, "--db", str(place), "--format", "csv", "-c", "SHOW TABLES"])
    rows = len(listing(db)[1].splitlines()) - 1
    many = [listing(db)[0] for _ in range(a.repeats)]
    empty = [listing(folder / "none")[0] for _ in range(a.repeats)]
    more = statistics.median(many) - statistics.median(empty)
    report("open and list the tables", f"{rows} tables", f"{spread(many)}: {more * 1000:.0f} ms more than with none")


def state(exe, db):
    return timed([exe, "--db", str(db), "--format", "csv", "--quiet", "-c", "SELECT count(*), sum(pnl) FROM s"])[1]


def killing(exe, folder, a):
    """kill -9 at random moments of an import of later periods: the old or the new version, and the import goes through afterwards."""
    first, later = folder / "first.csv", folder / "later.csv"
    for file, start in ((first, "2015-01-01"), (later, "2030-01-01")):
        subprocess.run([exe, "generate", "strategies", "--strategies", "2000", "--periods", "250", "--seed", "3", "--start", start, "--csv", str(file)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before, after = folder / "before", folder / "after"
    timed([exe, "--db", str(before), "import", str(first), "--into", "s"])
    shutil.copytree(before, after)
    seconds = timed([exe, "--db", str(after), "import", str(later), "--into", "s"])[0]
    old, new = state(exe, before), state(exe, after)
    counts = {"old": 0, "new": 0, "torn": 0}
    chance = random.Random(7)
    for _ in range(a.kills):
        db = folder / "killed"
        shutil.copytree(before, db)
        process = subprocess.Popen([exe, "--db", str(db), "import", str(later), "--into", "s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.random() * seconds * 1.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = state(exe, db)
        kind = {old: "old", new: "new"}.get(now, "torn")
        if kind == "old":
            timed([exe, "--db", str(db), "import", str(later), "--into", "s"])
            kind = "old" if state(exe, db) == new else "torn"
        counts[kind] += 1
        shutil.rmtree(db)
    report("kill -9 in mid-import, then import again", f"{a.kills} random moments", ", ".join(f"{n} {k}" for k, n in counts.items()))


def other_readers(exe, folder, file):
    """Every row as DuckDB, Polars and the deltalake package read it, against ours."""
    import duckdb, polars as pl
    from deltalake import DeltaTable
    db = folder / "readers"
    timed([exe, "--db", str(db), "import", str(file), "--into", "s"])
    text = timed([exe, "--db", str(db), "--format", "csv", "-c", "SELECT date, strategy, pnl FROM s ORDER BY strategy, date"])[1]
    ours = [(d, s, float(p) if p else None) for d, s, p in list(csv.reader(io.StringIO(text)))[1:]]
    files = [str(f) for f in (db / "s").rglob("*.parquet")]
    key = lambda row: (row[1], row[0])
    readers = {
        "duckdb": lambda: [(str(d), s, p) for d, s, p in duckdb.sql(f"SELECT date, strategy, pnl FROM read_parquet({files})").fetchall()],
        "polars": lambda: [(str(d), s, p) for d, s, p in pl.scan_parquet(files).select("date", "strategy", "pnl").collect().rows()],
        "deltalake": lambda: [(str(r["date"]), r["strategy"], r["pnl"]) for r in pa_rows(DeltaTable(str(db / "s")))],
    }
    ours.sort(key=key)
    for name, read in readers.items():
        rows = sorted(read(), key=key)
        report("rows read back", f"{len(ours)} rows", "equal" if rows == ours else "DIFFER", name)


def pa_rows(table):
    import pyarrow as pa
    return pa.table(table.to_pyarrow_dataset().to_table(columns=["date", "strategy", "pnl"])).to_pylist()


def main():
    a, exe = arguments(), binary()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tranchedb-bench-"))
    print_heading(exe, a.repeats)
    try:
        file = wide_csv(exe, folder, a.strategies, a.periods)
        starting(exe, a)
        importing(exe, folder, file, a)
        many_tables(exe, folder, a)
        killing(exe, folder, a)
        other_readers(exe, folder, wide_csv(exe, folder, 500, a.periods))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
