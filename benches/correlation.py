#!/usr/bin/env python3
"""Figures of correlations.

    python benches/correlation.py [PART ...] [--strategies 25544] [--periods 82] [--terms 500] [--repeats 7] [--keep FOLDER]

Parts: pairs (correlation_pairs over whole tables), terms (many `corr(c1, c2)` in one SELECT over a table with a column for each strategy). None
means all. `--strategies`, `--periods` and `--terms` are those of `terms`.

Generates the data with the release binary (TRANCHEDB_BIN, else the target directory's release/tranchedb). Statements run in one session each,
ours through the prompt with \\timing, and the first one, which opens the table, is told apart. Peers run in the same call on the same wide
Parquet file: DuckDB in one connection, numpy on the values in memory. Everybody's answers must agree to 1e-9. Needs duckdb, numpy and pyarrow.
Prints one Markdown table: task, data, ours, peer, ratio.
"""
import argparse, json, pathlib, re, shutil, statistics, subprocess, sys, tempfile

import numpy as np

from measure import binary, peak_mb, print_heading, report, spread, timed

DUCKDB = """
import duckdb, json, sys, time
file, sql, repeats = sys.argv[1], open(sys.argv[2]).read(), int(sys.argv[3])
c = duckdb.connect(); c.execute("SET threads = 2; SET enable_progress_bar = false; SET parquet_metadata_cache = true")
spent = []
for _ in range(repeats):
    start = time.perf_counter()
    row = c.execute(sql.replace("TABLE", f"'{file}'")).fetchone()
    spent.append(time.perf_counter() - start)
print(json.dumps({"seconds": spent, "row": row}))
"""
NUMPY = """
import json, sys, time
import numpy as np, pyarrow.parquet as pq
file, names, repeats = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
table = pq.read_table(file, columns=names)
place = {name: i for i, name in enumerate(names)}
values = np.column_stack([table[name].to_numpy() for name in names])
spent = []
for _ in range(repeats):
    start = time.perf_counter()
    x = values[:, [place[name] for name in names]]
    x = x - x.mean(axis=0)
    row = (x[:, 1:].T @ x[:, 0]) / np.sqrt((x[:, 1:] ** 2).sum(axis=0) * (x[:, 0] ** 2).sum())
    spent.append(time.perf_counter() - start)
print(json.dumps({"seconds": spent, "row": row.tolist()}))
"""

NUMPY_PAIRS = """
import json, sys, time
import numpy as np
x, least = np.load(sys.argv[1]), float(sys.argv[2])
start = time.perf_counter()
a, b = np.nonzero(np.triu(np.abs(np.corrcoef(x)) >= least, 1))
print(json.dumps({"seconds": time.perf_counter() - start, "n": len(a)}))
"""


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="what to measure")
    p.add_argument("--strategies", type=int, default=25_544)
    p.add_argument("--periods", type=int, default=82)
    p.add_argument("--terms", type=int, default=500)
    p.add_argument("--repeats", type=int, default=7)
    p.add_argument("--keep", help="folder in which the tables stay for the next call")
    return p.parse_args()


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def json_rows(exe, database, statement):
    return json.loads(timed([exe, "--db", str(database), "--format", "json", "--quiet", "-c", statement])[1])


def generated(exe, database, a):
    """A strategy table `big` and its wide form as a file."""
    if not (database / "big").exists():
        timed([exe, "--db", str(database), "generate", "strategies", "--strategies", str(a.strategies), "--periods", str(a.periods), "--seed", "1", "--into", "big"])
    wide = database / "big_flat.parquet"
    if not wide.exists():
        timed([exe, "--db", str(database), "--quiet", "-c", f"COPY big_wide TO '{wide}'"])
    return wide


def session(exe, database, statement, repeats):
    """Seconds of each of `repeats` runs of a statement of one row in one session, as the prompt tells them."""
    text = "\\timing on\n" + (statement + ";\n") * repeats
    out = subprocess.run([exe, "--db", str(database)], input=text, capture_output=True, text=True)
    seconds = [float(found) for found in re.findall(r"^1 row, ([0-9.]+) s$", out.stdout, re.MULTILINE)]
    if len(seconds) != repeats:
        sys.exit(f"{len(seconds)} of {repeats} statements ran: {out.stderr[-400:]}")
    return seconds


def own_clock(program, *command):
    answer = json.loads(timed([sys.executable, "-c", program, *map(str, command)])[1])
    return answer["seconds"], answer["row"]


def terms(exe, database, a):
    wide = generated(exe, database, a)
    listed = json_rows(exe, database, f"SELECT strategy FROM big GROUP BY strategy HAVING stddev(pnl) > 0 ORDER BY md5(strategy) LIMIT {a.terms + 1}")
    names = [row["strategy"] for row in listed]
    select = "SELECT " + ", ".join(f"corr({quoted(names[0])}, {quoted(name)}) AS corr_{i}" for i, name in enumerate(names[1:])) + " FROM TABLE"
    (database / "names.json").write_text(json.dumps(names))
    (database / "terms.sql").write_text(select)
    data = f"{len(names) - 1} terms over {a.strategies:,} columns x {a.periods} rows, {wide.stat().st_size / 1e6:.0f} MB as wide Parquet"
    others = [("DuckDB", *own_clock(DUCKDB, wide, database / "terms.sql", a.repeats)), ("numpy, values loaded", *own_clock(NUMPY, wide, database / "names.json", a.repeats))]
    for task, table in (("the wide view of a strategy table", "big_wide"), ("a wide Parquet file", "big_flat")):
        statement = select.replace("TABLE", table)
        row = list(json_rows(exe, database, statement)[0].values())
        first, *later = session(exe, database, statement, a.repeats + 1)
        report(f"corr terms, {task}, first statement", data, f"{first:.3g} s")
        ours = statistics.median(later)
        for name, seconds, found in others:
            if not np.allclose(row, found, rtol=0, atol=1e-9):
                sys.exit(f"{name} disagrees over {table} by {np.abs(np.array(row) - np.array(found)).max()}")
            theirs = statistics.median(seconds[1:] or seconds)
            report(f"corr terms, {task}, later statements", data, spread(later), f"{name} {spread(seconds[1:] or seconds)}", f"{theirs / max(ours, 1e-3):.2g} x")


def matrix(exe, database, strategies, periods):
    """A strategy table in groups of correlated strategies, and its values as numpy's."""
    name = f"m{strategies}x{periods}"
    if not (database / name).exists():
        timed([exe, "--db", str(database), "generate", "strategies", "--strategies", str(strategies), "--periods", str(periods), "--groups", "100", "--duplicates", "200", "--into", name])
    values = database / f"{name}.npy"
    if not values.exists():
        timed([exe, "--db", str(database), "--quiet", "-c", f"COPY (SELECT pnl FROM {name} ORDER BY strategy, date) TO '{values}.parquet'"])
        import pyarrow.parquet as pq
        np.save(values, pq.read_table(f"{values}.parquet")["pnl"].to_numpy().reshape(strategies, periods))
    return name, values, f"{strategies:,} x {periods:,}, {strategies * (strategies - 1) // 2:,} pairs"


def repeated(repeats, *runs):
    """Seconds of each of the runs, taken in turn."""
    spent = [[] for _ in runs]
    for _ in range(repeats):
        for run, seconds in zip(runs, spent):
            seconds.append(run())
    return spent


def pairs(exe, database, a):
    def ours(sql):
        return [exe, "--db", str(database), "--format", "json", "--quiet", "-c", sql]

    name, values, data = matrix(exe, database, 5000, 1000)
    count = f"SELECT count(*) AS n FROM correlation_pairs({name}, min_abs => 0.8)"
    join = f"SELECT count(*) AS n FROM (SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FROM {name} a JOIN {name} b USING (date) WHERE a.strategy < b.strategy GROUP BY 1, 2 HAVING abs(corr(a.pnl, b.pnl)) >= 0.8)"
    numpy = [sys.executable, "-c", NUMPY_PAIRS, str(values), "0.8"]
    mine, theirs = json.loads(timed(ours(count))[1])[0]["n"], json.loads(timed(numpy)[1])["n"]
    if abs(mine - theirs) > 2:
        sys.exit(f"{mine} pairs, numpy has {theirs}")
    peer = []
    first, joined, _ = repeated(a.repeats, lambda: timed(ours(count))[0], lambda: timed(ours(join))[0], lambda: peer.append(json.loads(timed(numpy)[1])["seconds"]) or 0)
    report(f"pairs with magnitude >= 0.8 ({mine:,}), whole process from the files", data, f"{spread(first)}, {peak_mb(ours(count))} MB", f"numpy.corrcoef and threshold, values loaded {spread(peer)}, {peak_mb(numpy)} MB", f"{statistics.median(peer) / statistics.median(first):.2g} x")
    report("the same by the self-join", data, spread(joined), "correlation_pairs", f"{statistics.median(first) / statistics.median(joined):.2g} x")

    for strategies, periods, task, sql in (
        (25_544, 82, "the 1,000 strongest", "SELECT count(*) AS n FROM correlation_pairs({t}, top => 1000)"),
        (25_544, 82, "average correlation of each strategy", "SELECT count(average_correlation) AS n FROM correlation_summary({t})"),
        (2_500, 82, "all pairs to Parquet", f"COPY (SELECT * FROM correlation_pairs({{t}})) TO '{database}/all.parquet'"),
    ):
        name, _, data = matrix(exe, database, strategies, periods)
        command = ours(sql.format(t=name))
        report(task + ", whole process", data, f"{spread(repeated(a.repeats, lambda: timed(command)[0])[0])}, {peak_mb(command)} MB")


# Every part by its name.
PARTS = {"pairs": pairs, "terms": terms}


def main():
    a, exe = arguments(), binary()
    database = pathlib.Path(a.keep or tempfile.mkdtemp(prefix="tranchedb-bench-"))
    try:
        import duckdb, pyarrow
        print(f"duckdb {duckdb.__version__}, numpy {np.__version__}, pyarrow {pyarrow.__version__}")
        print_heading(exe, a.repeats)
        for name in a.parts or PARTS:
            PARTS[name](exe, database, a)
    finally:
        if not a.keep:
            shutil.rmtree(database, ignore_errors=True)


if __name__ == "__main__":
    main()
