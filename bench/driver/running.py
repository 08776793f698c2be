# SPDX-License-Identifier: MIT
"""Running the programs, and what came of it."""

import collections
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import threading
import time

RUN_LIMIT_S = 600


class Failure(Exception):
    """A run that gave no result."""


class Skip(Exception):
    """A run that this machine's kernel has no means for."""


def shell_line(command, environment):
    settings = [f"{name}={value}" for name, value in environment.items()]
    return " ".join(settings + command)


# ---- The JVM ----------------------------------------------------------------

SAFEPOINT = re.compile(r'Safepoint "(\w+)".* Total: +(\d+) ns')


def safepoint_pauses(log):
    """The stops that a JVM wrote to its log, as the programs in C tell theirs.
    All of them count, whoever asked for them, save the one at the end, which
    shows that the log is what we take it for."""
    try:
        found = SAFEPOINT.findall(pathlib.Path(log).read_text())
    except OSError:
        return {}
    if not found:
        return {}
    stops = sorted(int(ns) / 1e6 for name, ns in found
                   if name not in ("Exit", "Halt"))
    if not stops:
        return {"pause_max_ms": 0, "pause_p99_ms": 0, "pause_total_ms": 0}
    return {
        "pause_max_ms": stops[-1],
        "pause_p99_ms": stops[int(0.99 * (len(stops) - 1))],
        "pause_total_ms": sum(stops),
    }


class HeapFileWatch(threading.Thread):
    """Samples the resident memory of a process that maps a file in memory many
    times, and counts the file once."""

    def __init__(self, pid, name):
        super().__init__(daemon=True)
        self.pid = pid
        self.name = name
        self.peak_kb = 0
        self.is_over = threading.Event()

    def sample_kb(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        own_kb = sum(int(kb) for kb in
                     re.findall(r"^Rss(?:Anon|File): +(\d+) kB", status, re.M))
        folder = f"/proc/{self.pid}/fd"
        for number in os.listdir(folder):
            if self.name in os.readlink(f"{folder}/{number}"):
                return own_kb + os.stat(f"{folder}/{number}").st_blocks // 2
        return own_kb

    def run(self):
        while not self.is_over.wait(0.05):
            try:
                self.peak_kb = max(self.peak_kb, self.sample_kb())
            except OSError:
                pass  # it has just ended


# ---- One run ----------------------------------------------------------------


def wait_for(process, watch):
    """Its exit status, usage, time and output; it is killed at the limit."""
    begin = time.monotonic()
    limit = threading.Timer(RUN_LIMIT_S, process.kill)
    limit.start()
    if watch:
        watch.start()
    try:
        text = process.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        limit.cancel()
        if watch:
            watch.is_over.set()
            watch.join()
        process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage, time.monotonic() - begin, text


def last_line(text):
    try:
        said = json.loads(text.strip().splitlines()[-1])
        said["answer"]
    except (IndexError, ValueError, KeyError, TypeError):
        raise Failure("its last line is no result") from None
    if "skip" in said:
        raise Skip(said["skip"])
    return said


def run_once(command, environment, heap_file=None):
    """One run: its wall time, CPU time, peak memory, and what it said."""
    with tempfile.TemporaryDirectory(prefix="loam-bench-") as folder:
        log = None
        if command[0] == "java":
            log = os.path.join(folder, "safepoints")
            command = [command[0], "-Xlog:safepoint:file=" + log +
                       ":uptime:filecount=0", *command[1:]]
        process = subprocess.Popen(command, stdout=subprocess.PIPE,
                                   env={**os.environ, **environment})
        watch = HeapFileWatch(process.pid, heap_file) if heap_file else None
        code, usage, wall_s, text = wait_for(process, watch)
        if code != 0:
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            if wall_s >= RUN_LIMIT_S:
                how = f"no end after {RUN_LIMIT_S} s"
            raise Failure(how)
        said = last_line(text)
        if log:
            said.update(safepoint_pauses(log))
    return {
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_kb": watch.peak_kb if watch else usage.ru_maxrss,
        "said": said,
    }


# ---- Results ----------------------------------------------------------------


class Result:
    """What the runs of one workload on one backend came to: medians, and for
    the longest pause the longest of all runs."""

    FIELDS = ("wall_s", "wall_min_s", "wall_max_s", "cpu_s", "peak_kb", "runs",
              "pause_max_ms", "value_min", "value_max")

    def __init__(self, **fields):
        for name in self.FIELDS:
            setattr(self, name, fields.get(name))
        self.answers = set(fields.get("answers", ()))
        self.more = fields.get("more", {})

    @classmethod
    def of_runs(cls, runs):
        said = [run["said"] for run in runs]

        def figures(name):
            return [each[name] for each in said
                    if isinstance(each.get(name), (int, float))]

        more = {name: statistics.median(figures(name)) for name in said[0]
                if name != "pause_max_ms" and len(figures(name)) == len(runs)}
        walls = [run["wall_s"] for run in runs]
        return cls(
            runs=len(runs),
            wall_s=statistics.median(walls),
            wall_min_s=min(walls),
            wall_max_s=max(walls),
            cpu_s=statistics.median(run["cpu_s"] for run in runs),
            peak_kb=round(statistics.median(run["peak_kb"] for run in runs)),
            pause_max_ms=max(figures("pause_max_ms"), default=None),
            value_min=min(figures("value"), default=None),
            value_max=max(figures("value"), default=None),
            answers={each["answer"] for each in said},
            more=more,
        )

    def get(self, name):
        return getattr(self, name) if name in self.FIELDS else \
            self.more.get(name)


class Session:
    """All results, what was left out, and everything that went wrong."""

    def __init__(self):
        self.results = collections.defaultdict(dict)  # workload, backend
        self.skips = {}  # workload: why
        self.errors = []

    def get(self, workload, backend):
        return self.results.get(workload, {}).get(backend)

    def figure(self, workload, backend, figure):
        result = self.get(workload, backend)
        return None if result is None else result.get(figure)

    def ratio(self, workload, backend, against, figure):
        """One backend's figure over another's, or over the smallest of
        several."""
        ours = self.figure(workload, backend, figure)
        others = [against] if isinstance(against, str) else against
        theirs = [self.figure(workload, other, figure) for other in others]
        theirs = [each for each in theirs if each]
        return ours / min(theirs) if ours is not None and theirs else None


def run_workload(session, workload, backends, build, rounds, is_quick,
                 progress, run=run_once):
    """Every backend once, then again: drift is unkind to all alike."""
    arguments = workload.quick if is_quick else workload.arguments
    why = None if is_quick else workload.lacks()
    if why:
        session.skips[workload.name] = why
        return
    if workload.rounds_max:
        rounds = min(rounds, workload.rounds_max)
    runs = collections.defaultdict(list)
    given_up = set()
    for number in range(rounds):
        for backend in backends:
            if backend.name in given_up or not workload.is_for(backend):
                continue
            command = backend.command(build, workload, arguments)
            if command is None:
                continue
            environment = backend.environment(workload)
            progress(f"{workload.name} {backend.name} {number + 1}/{rounds}")
            try:
                ran = run(command, environment,
                          getattr(backend, "heap_file", None))
                if workload.unit == "s":
                    ran["said"].setdefault("value", ran["wall_s"])
                runs[backend.name].append(ran)
            except Skip as skip:
                given_up.add(backend.name)
                session.skips[workload.name] = str(skip)
            except Failure as failure:
                given_up.add(backend.name)
                session.errors.append(
                    f"{workload.name} on {backend.name}: {failure}. "
                    f"Again: {shell_line(command, environment)}")
    for name in [backend.name for backend in backends]:
        if runs[name] and name not in given_up:
            session.results[workload.name][name] = Result.of_runs(runs[name])
    check_answers(session, workload)


def check_answers(session, workload):
    """All runs of all backends must have computed the same."""
    answers = collections.defaultdict(list)
    for name, result in session.results[workload.name].items():
        for answer in result.answers:
            answers[answer].append(name)
    if len(answers) > 1:
        session.errors.append(
            f"{workload.name}: the answers differ: " +
            "; ".join(f"{answer} from {', '.join(names)}"
                      for answer, names in answers.items()))
