# SPDX-License-Identifier: MIT
"""The machine, and the record: one line of results.jsonl a row."""

import datetime
import json
import os
import platform
import subprocess

from .catalog import BACKENDS, CORES, MEMORY_MIB, ROOT, WORKLOADS
from .running import Result, Session


def machine_name():
    model = platform.machine()
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return (f"{model}, {CORES} cores, {MEMORY_MIB} MiB, "
            f"{platform.system()} {platform.release()}")


def commit_name():
    """The commit, with a + where the sources differ from it."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(ROOT), *arguments],
                              capture_output=True, text=True, check=True).stdout
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--",
                      "include", "src", "bench")
        return git("rev-parse", "--short=12", "HEAD").strip() + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def row_of(session, workload, name, result, is_quick):
    row = {"workload": workload.name, "backend": name}
    for field in Result.FIELDS:
        value = getattr(result, field)
        if value is not None:
            row[field] = round(value, 4) if isinstance(value, float) else value
    row["answer"] = " ".join(sorted(result.answers))
    row.update(result.more)
    if workload.unit is not None:
        row["unit"] = workload.unit
    figures = ("value",) if workload.unit else ("wall_s", "cpu_s", "peak_kb")
    for other in ("glibc", "mimalloc", "bdwgc"):
        for figure in figures:
            ratio = session.ratio(workload.name, name, other, figure)
            if ratio is not None:
                row[f"{figure.split('_')[0]}_vs_{other}"] = round(ratio, 4)
    if is_quick:
        row["quick"] = True
    return row


def record(session, workloads, build, machine, commit, is_quick):
    """Appends one line a row."""
    path = build / "bench" / "results.jsonl"
    now = datetime.datetime.now(datetime.timezone.utc)
    with open(path, "a") as file:
        for workload in workloads:
            for name, result in session.results[workload.name].items():
                row = row_of(session, workload, name, result, is_quick)
                row["commit"] = commit
                row["machine"] = machine
                row["load"] = round(os.getloadavg()[0], 1)
                row["time"] = now.isoformat(timespec="seconds")
                file.write(json.dumps(row) + "\n")
    return path


def recall(path):
    """The newest row of each workload and backend, as a session, and where
    they come from: machines, commits, days."""
    newest = {}
    with open(path) as file:
        for line in file:
            row = json.loads(line)
            if not row.get("quick"):
                newest[row["workload"], row["backend"]] = row
    session = Session()
    for workload in WORKLOADS:
        for backend in BACKENDS:
            row = newest.get((workload.name, backend.name))
            if row:
                session.results[workload.name][backend.name] = Result(
                    **{**row, "answers": row["answer"].split(), "more": row})
    rows = newest.values()
    origin = {
        "machine": sorted({row["machine"] for row in rows}),
        "commit": sorted({row["commit"] for row in rows}),
        "day": sorted({row["time"][:10] for row in rows}),
        "runs": sorted({row["runs"] for row in rows}),
    }
    return session, origin
