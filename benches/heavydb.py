#!/usr/bin/env python3
"""The statements of a portfolio program that was written for HeavyDB, against DuckDB.

    python benches/heavydb.py [--strategies 25544] [--days 82] [--inserts 100000] [--queries 10000] [--repeats 3] [--keep FOLDER]

Writes the statements as the program sends them (one INSERT of all values, 500 correlations in a SELECT, fitness by nested WITH, one row an
INSERT), runs them in HeavyDB's dialect with the release binary (TRANCHEDB_BIN, else the target directory's release/tranchedb) and in DuckDB,
both with their tables in memory. Statements that load are timed as whole processes less an empty one, queries inside the process, from text
to rows. The fitness and the first correlation must agree with DuckDB's to nine digits. Then a server log of many different queries is
replayed, and the peak of memory is told. DuckDB is given the same texts, without HeavyDB's encodings. Needs duckdb.
"""
import argparse, json, pathlib, random, statistics, sys, tempfile, time

from measure import binary, peak_mb, print_heading, report, spread, timed

TABLE = "strategies_1722500000"
DUCKDB = """
import duckdb, json, statistics, sys, time
repeats, (files, queries) = int(sys.argv[1]), [names.split(",") for names in sys.argv[2:]]
c = duckdb.connect(); c.execute("SET threads = 2; SET enable_progress_bar = false")
loading, answers = {}, {}
for path in files:
    begin = time.perf_counter()
    for statement in open(path).read().split(";\\n"):
        if statement.strip(): c.execute(statement)
    loading[path] = time.perf_counter() - begin
for path in filter(None, queries):
    times, rows = [], []
    query = open(path).read()
    for _ in range(repeats):
        begin = time.perf_counter(); rows = c.execute(query).fetchall(); times.append(time.perf_counter() - begin)
    answers[path] = (statistics.median(times), rows[0][0])
print(json.dumps({"loading": loading, "answers": answers}, default=str))
"""


def write_statements(folder, strategies, days, inserts):
    """The files of statements, by name; DuckDB's have no encodings."""
    chance = random.Random(1)
    names = [f"SENSEX_{900 + i % 600}_{1000 + i // 600}_SL{i % 100}pct_{i}" for i in range(strategies)]
    portfolio = " + ".join(names[i * (strategies // 35)] for i in range(35))
    daily = f'WITH portfolio_daily AS (SELECT "Date" as day_id, ({portfolio}) / 35 as daily_return FROM {TABLE})'
    pairs = [(a, a + 1 + b) for a in range(20) for b in range(25)]
    rows = (
        f"('2024-{1 + day // 28:02}-{1 + day % 28:02}', 'Thursday', " + ", ".join(repr(chance.gauss(0, 500)) for _ in names) + ")" for day in range(days)
    )
    create = f'CREATE TABLE {TABLE} ("Date" TEXT{{0}}, "Day" TEXT{{0}}, ' + ", ".join(f"{name} DOUBLE" for name in names) + ");\n"
    single = "CREATE TABLE zones (strategy_id INTEGER, zone_name TEXT{0}, trading_date DATE, daily_returns DOUBLE, zone_weight DOUBLE);\n"
    texts = {
        "insert": f'INSERT INTO {TABLE} ("Date", "Day", ' + ", ".join(names) + ") VALUES " + ", ".join(rows) + ";\n",
        "limit": f"SELECT * FROM {TABLE} LIMIT 1;\n",
        "corr": "SELECT " + ", ".join(f"CORR({names[a]}, {names[b]}) as corr_{k}" for k, (a, b) in enumerate(pairs)) + f" FROM {TABLE};\n",
        "fitness": daily
        + ", portfolio_stats AS (SELECT AVG(daily_return) as mean_return, STDDEV(daily_return) as std_return FROM portfolio_daily)\n"
        "SELECT CASE WHEN std_return > 0 THEN mean_return / std_return * 100 ELSE 0 END as fitness_score FROM portfolio_stats;\n",
        "drawdown": daily
        + ", cumulative_returns AS (SELECT day_id, daily_return, SUM(daily_return) OVER (ORDER BY day_id) as cumulative_return FROM portfolio_daily),\n"
        "running_max AS (SELECT day_id, cumulative_return, MAX(cumulative_return) OVER (ORDER BY day_id) as running_maximum FROM cumulative_returns),\n"
        "drawdowns AS (SELECT day_id, running_maximum - cumulative_return as drawdown FROM running_max)\n"
        "SELECT -MAX(drawdown) as negative_max_drawdown FROM drawdowns;\n",
        "rows": "".join(f"INSERT INTO zones VALUES ({i}, 'Zone {i % 7}', '2024-01-04', {i}.05, 0.25);\n" for i in range(inserts)),
        "create": create.format(" ENCODING DICT(32)"),
        "create-duckdb": create.format(""),
        "zones": single.format(" ENCODING DICT(32)"),
        "zones-duckdb": single.format(""),
        "nothing": "SELECT 1;\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.sql").write_text(text)
    return {name: str(folder / f"{name}.sql") for name in texts}


def write_log(path, queries):
    """A server log of different queries over the zones."""
    names = '{"query_str","client","nonce","execution_time_ms","total_time_ms"}'
    with open(path, "w") as log:
        for i in range(queries):
            query = f"SELECT zone_name, COUNT(*), SUM(daily_returns) FROM zones WHERE strategy_id > {i} GROUP BY zone_name ORDER BY zone_name"
            log.write(
                f"2024-03-01T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}.000123 I 4711 {i} 3 DBHandler.cpp:1555 stdlog sql_execute {i} 131 "
                f'heavyai admin 507-aBcD {names} {{"{query}","http:10.0.0.7","","18","29"}}\n'
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("strategies", 25544), ("days", 82), ("inserts", 100_000), ("queries", 10_000), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--keep", type=pathlib.Path)
    given = parser.parse_args()
    exe, repeats = binary(), given.repeats
    folder = given.keep or pathlib.Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    sql = write_statements(folder, given.strategies, given.days, given.inserts)
    print_heading(exe, repeats)

    def run(*names):
        return [exe, "--dialect", "heavydb", *(part for name in names for part in ("-f", sql[name]))]

    def duckdb(files, queries):
        return json.loads(timed([sys.executable, "-c", DUCKDB, str(max(repeats, 5)), ",".join(files), ",".join(queries)])[1])

    def loading(task, data, before, after, peer):
        base = statistics.median(timed(run(*before))[0] for _ in range(repeats))
        ours = [timed(run(*after))[0] - base for _ in range(repeats)]
        report(task, data, f"{spread(ours)}, {peak_mb(run(*after))} MB", f"{peer:.3g} s", f"{peer / statistics.median(ours):.2g} x")

    wide = f"{given.strategies + 2:,} columns"
    queries = {"SELECT * LIMIT 1": "limit", "500 CORR in one SELECT": "corr", "fitness of 35": "fitness", "drawdown of 35": "drawdown"}
    peer = duckdb([sql["create-duckdb"], sql["insert"]], [sql[name] for name in queries.values()])
    rows = duckdb([sql["zones-duckdb"], sql["rows"]], [""])
    loading("CREATE TABLE", wide, ["nothing"], ["create"], peer["loading"][sql["create-duckdb"]])
    megabytes = pathlib.Path(sql["insert"]).stat().st_size / 1e6
    loading("one INSERT", f"{given.days} x {wide}, {megabytes:.0f} MB", ["create"], ["create", "insert"], peer["loading"][sql["insert"]])
    loading("one row an INSERT", f"{given.inserts:,} statements", ["zones"], ["zones", "rows"], rows["loading"][sql["rows"]])
    for task, name in queries.items():
        command = [exe, "replay", sql[name], "--setup", sql["create"], "--setup", sql["insert"], "--repeat", str(max(repeats, 5)), "--warmup", "1"]
        results = folder / "rows.jsonl"
        query = json.loads(timed([*command, "--report", "json", "--results", str(results)])[1])["queries"][0]
        first = json.loads(results.read_text().splitlines()[0])["rows"][0][0]
        seconds, expected = peer["answers"][sql[name]]
        if name != "limit" and abs(float(first) - float(expected)) > 1e-9 * abs(float(first)):
            sys.exit(f"{task}: ours {first}, DuckDB's {expected}")
        ours = query["our_ms"] / 1e3
        report(task, f"{given.days} x {wide}", f"{ours * 1e3:.3g} ms", f"{seconds * 1e3:.3g} ms", f"{seconds / ours:.2g} x")
    log = folder / "heavydb.INFO"
    write_log(log, given.queries)
    command = [exe, "replay", str(log), "--setup", sql["zones"], "--setup", str(folder / "some.sql"), "--repeat", "1", "--quiet", "-o", str(folder / "report.json")]
    (folder / "some.sql").write_text("".join(pathlib.Path(sql["rows"]).read_text().splitlines(keepends=True)[:1000]))
    begin = time.perf_counter()
    memory = peak_mb(command)
    report("replay of a log", f"{given.queries:,} different queries", f"{time.perf_counter() - begin:.3g} s, {memory} MB")


if __name__ == "__main__":
    main()
