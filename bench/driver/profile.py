# SPDX-License-Identifier: MIT
"""Where the processor's time goes: samples by perf, sorted by thread and by
the folder of Loam's source that a function is in."""

import collections
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from .running import RUN_LIMIT_S, Failure, Skip, last_line
from .tables import print_columns, shown

RATE = 1999  # samples a second of each thread's processor time

# The parts, in the order in which they are shown: first those of the program's
# threads, then those of the collector's, which are known by their names.
PARTS = (
    ("program", "program"),
    ("kernel", "its kernel"),
    ("allocating", "allocation"),
    ("helping", "stops, help"),
    ("marking", "marking"),
    ("collecting", "other"),
    ("collector_kernel", "its kernel"),
)
ALLOCATING = ("alloc", "heap", "api")
MALLOC = ("malloc", "free", "calloc", "realloc", "_int_", "sysmalloc",
          "systrim", "unlink_chunk", "tcache", "checked_request", "arena")


def functions_by_folder(build):
    """The folder of src in which each function of the library is defined."""
    folders = {}
    root = build / "src" / "CMakeFiles" / "loam_objects.dir"
    for path in sorted(root.glob("*/*.o")):
        listed = subprocess.run(["nm", "--defined-only", str(path)],
                                capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            _, kind, name = line.split(maxsplit=2)
            if kind in "tTwW":
                folders[name] = path.parent.name
    return folders


def part_of(thread, function, where, folders):
    is_collector = thread.startswith("loam-")
    if where.startswith("[") and not where.startswith("[vdso"):
        return "collector_kernel" if is_collector else "kernel"
    folder = folders.get(function) if "libloam" in where else None
    if is_collector:
        return "marking" if folder == "mark" else "collecting"
    if folder in ALLOCATING:
        return "allocating"
    if folder is not None:
        return "helping"
    if "libc.so" in where and function.startswith(MALLOC):
        return "allocating"
    return "program"


def profile_once(command, environment, _heap_file, build):
    """One run under perf, as run_once gives one; what it said includes the
    seconds of each part, and its value is all of them."""
    perf = shutil.which("perf")
    if perf is None:
        raise Skip("no perf here (Debian's linux-perf)")
    with tempfile.TemporaryDirectory(prefix="loam-bench-") as folder:
        data = pathlib.Path(folder) / "perf.data"
        begin = time.monotonic()
        ran = subprocess.run(
            [perf, "record", "-q", "-e", "cpu-clock", "-F", str(RATE), "-o",
             str(data), "--", *command], env={**os.environ, **environment},
            capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
        wall_s = time.monotonic() - begin
        if ran.returncode != 0 and not data.exists():
            raise Skip("perf may not sample here (kernel.perf_event_paranoid)")
        if ran.returncode != 0:
            raise Failure(f"exit status {ran.returncode}")
        said = last_line(ran.stdout)
        script = subprocess.run(
            [perf, "script", "-i", str(data), "-F", "comm,ip,sym,dso", "-G"],
            capture_output=True, text=True, check=True)
    seconds = seconds_of_parts(script.stdout, functions_by_folder(build))
    said["value"] = sum(seconds.values())
    said.update((f"{part}_s", seconds[part]) for part in seconds)
    return {"wall_s": wall_s, "cpu_s": said["value"], "peak_kb": 0,
            "said": said}


def profile_rows(session, workloads):
    """Seconds of processor time: a row a workload and backend."""
    rows = [["", "", *(title for _, title in PARTS), "all"]]
    for workload in workloads:
        for name, result in session.results[workload.name].items():
            rows.append([workload.title, name,
                         *(shown(result.get(f"{part}_s"))
                           for part, _ in PARTS), shown(result.get("value"))])
    return rows if len(rows) > 1 else None


def print_profile(session, workloads):
    """What of a processor's time goes where."""
    profiled = [w for w in workloads if w.family == "profile"]
    rows = profile_rows(session, profiled)
    skips = {session.skips[w.name] for w in profiled
             if w.name in session.skips}
    if rows or skips:
        print("\nwhere the processor's time goes, in seconds  [profile-...]")
    if rows:
        print_columns(rows)
    for skip in sorted(skips):
        print(f"  skipped: {skip}")


def seconds_of_parts(script, folders):
    """Of lines like `loam-marker  7f00c0de marker_run (/lib/libloam.so.0)`;
    a thread's name may hold blanks, an address has none."""
    samples = collections.Counter()
    for line in script.splitlines():
        text, _, where = line.rpartition(" (")
        words = text.split()
        if len(words) >= 3:
            samples[part_of(words[0], words[2], where.rstrip(")"),
                            folders)] += 1
    return {part: samples[part] / RATE for part, _ in PARTS}
