"""Whole processes timed, and their figures printed: what the benchmarks of this folder share."""
import os, platform, statistics, subprocess, sys, time


def binary():
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    for path in (os.environ.get("TRANCHEDB_BIN"), target + "/release/tranchedb"):
        if path and os.path.exists(path):
            return os.path.abspath(path)
    sys.exit("no release binary: cargo build --release, or set TRANCHEDB_BIN")


def timed(command):
    """(seconds, peak megabytes) of one process that must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}: {err.decode()[-400:]}")
    return seconds, out.decode()


def peak_mb(command):
    """Peak resident megabytes of one process, by the operating system's account of a child of a fresh interpreter."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); " \
           "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    return int(subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True).stdout)


def spread(values):
    return f"{statistics.median(values):.3g} s ({min(values):.3g} to {max(values):.3g})"


def report(task, data, ours, peer="", ratio=""):
    print(f"| {task} | {data} | {ours} | {peer} | {ratio} |", flush=True)


def print_heading(exe, repeats):
    """The circumstances, then the head of the table that `report` fills."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    print(f"{platform.machine()}, {os.cpu_count()} cores, {memory} GB, Python {platform.python_version()}; {timed([exe, '--version'])[1].strip()}; {repeats} repeats, medians (min to max)\n")
    print("| task | data | ours | peer | ratio |\n|---|---|---|---|---|")
