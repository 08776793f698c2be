# SPDX-License-Identifier: MIT
"""What is measured, and on what."""

import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CORES = len(os.sched_getaffinity(0))
MEMORY_MIB = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def memory_available_mib():
    for line in open("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return MEMORY_MIB


# ---- Backends ---------------------------------------------------------------


class Backend:
    """One way of managing memory, in C: a program a workload. `markers` is the
    setting that says how many threads mark, for those that have one, `limits`
    those that limit the heap."""

    def __init__(self, name, collects=False, markers=None, limits=()):
        self.name = name
        self.collects = collects
        self.markers = markers
        self.limits = limits

    def can_limit(self, workload):
        return workload.limit_bytes is None or bool(self.limits)

    def command(self, build, workload, arguments):
        """How this backend runs a workload, or None if it was not built."""
        program = build / "bench" / f"{workload.program}-{self.name}"
        if not os.access(program, os.X_OK) or not self.can_limit(workload):
            return None
        return [str(program), *arguments]

    def environment(self, workload):
        settings = {}
        if workload.limit_bytes is not None:
            settings = {name: str(workload.limit_bytes)
                        for name in self.limits}
        if workload.markers is not None and self.markers is not None:
            settings[self.markers] = str(workload.markers)
        return {**settings, **workload.settings}


PORTED = ("binary-trees", "gcbench", "lru", "mutate", "list", "words", "sizes",
          "fragment", "pool")


class Go(Backend):
    """One program, whose first argument says which workload."""

    def __init__(self):
        super().__init__("go", collects=True, limits=("GOMEMLIMIT",))

    def command(self, build, workload, arguments):
        program = build / "bench" / "bench-go"
        if workload.program not in PORTED or not os.access(program, os.X_OK):
            return None
        return [str(program), workload.program, *arguments]


class Java(Backend):
    """One of the JVM's collectors, by its own defaults, which let the heap grow
    to a quarter of the machine's memory; where that is less than two and a half
    times what is alive, it may grow to that. The JVM writes every stop of the
    program to a log. A collector that this JVM lacks has no rows."""

    def __init__(self, name, collector):
        super().__init__(f"java-{name}", collects=True)
        self.option = f"-XX:+Use{collector}"
        self.is_there = None
        # ZGC maps its heap in three places, and the kernel's count of resident
        # memory has each page once for every place.
        self.heap_file = "java_heap" if name == "zgc" else None

    def probe(self):
        if self.is_there is None:
            java = shutil.which("java")
            self.is_there = java is not None and subprocess.run(
                [java, self.option, "-version"], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=60).returncode == 0
        return self.is_there

    def command(self, build, workload, arguments):
        name = "".join(part.capitalize()
                       for part in workload.program.split("-"))
        classes = build / "bench" / "java"
        if workload.program not in PORTED or not self.probe() or not (
                classes / f"{name}.class").exists() or not (
                self.can_limit(workload)):
            return None
        options = []
        wanted_mib = workload.live_mib * 5 // 2 + 256
        if wanted_mib > MEMORY_MIB // 4:
            options.append(f"-Xmx{wanted_mib}m")
        return ["java", self.option, *options, "-cp", str(classes), name,
                *arguments]


BACKENDS = [
    Backend("glibc"),
    Backend("mimalloc"),
    Backend("bdwgc", collects=True, markers="GC_MARKERS"),
    Go(),
    Java("g1", "G1GC"),
    Java("parallel", "ParallelGC"),
    Java("zgc", "ZGC"),
    Java("shenandoah", "ShenandoahGC"),
    Backend("kernel"),
    Backend("shared_ptr"),
    Backend("gobject"),
    Backend("cpython"),
    Backend("loam", collects=True, markers="LOAM_MARKERS",
            limits=("LOAM_HEAP_MAX", "LOAM_SOFT_LIMIT")),
]

JAVAS = [backend.name for backend in BACKENDS if isinstance(backend, Java)]

# ---- Workloads --------------------------------------------------------------


class Workload:
    """A program, its arguments, and what else than time and memory its table
    shows. One with a unit is a row of a table of small things, that of its
    family: its `value` is the result. `quick` are the arguments for a look
    whether all is well."""

    def __init__(self, name, title, arguments=(), program=None, more=(),
                 unit=None, collectors_only=False, markers=None, quick=None,
                 live_mib=0, rounds_max=None, limit_bytes=None, family=None,
                 backends=None, settings=None):
        self.name = name
        self.title = title
        self.program = program or name
        self.family = family or self.program
        self.backends = backends  # None: all
        self.settings = settings or {}
        self.arguments = [str(argument) for argument in arguments]
        self.quick = None if quick is None else [str(each) for each in quick]
        self.more = more
        self.unit = unit
        self.collectors_only = collectors_only
        self.markers = markers
        self.live_mib = live_mib
        self.rounds_max = rounds_max
        self.limit_bytes = limit_bytes

    def is_for(self, backend):
        if self.backends is not None and backend.name not in self.backends:
            return False
        return backend.collects or not self.collectors_only

    def lacks(self):
        """Why this machine cannot run it, or None."""
        needed_mib = self.live_mib * 5 // 2 + 1024
        available_mib = memory_available_mib()
        if needed_mib <= available_mib:
            return None
        return (f"it wants {needed_mib} MiB of memory and "
                f"{available_mib} MiB are free")


def micro(name, title, unit, *arguments, program="micro", **options):
    return Workload(f"{program}-{name}", title, arguments, program=program,
                    unit=unit, **options)


LATENCY = ("p50_us", "p99_us", "p999_us", "p9999_us", "max_us")
MARKER_COUNTS = [n for n in (1, 2, 4, 8, 16) if n <= CORES]
PAUSE_SIZES_MIB = (64, 512, 2048, 8192)
DIRTY_RATES = (0, 10000, 50000, 200000)
DIRTY_SHARES = (0, 1, 10, 100, 500, 1000)


def pause_row(live_mib):
    """The cache service, long enough to allocate half of what is alive."""
    size = f"{live_mib} MiB" if live_mib < 1024 else f"{live_mib >> 10} GiB"
    return Workload(f"pause-{live_mib}", f"LRU cache service, {size} live",
                    (live_mib, max(500000, live_mib * 1500)), program="lru",
                    more=LATENCY, collectors_only=True, live_mib=live_mib,
                    rounds_max=3 if live_mib < 2048 else 1,
                    quick=(live_mib, 50000) if live_mib == 64 else None)


WHOLE = [
    Workload("binary-trees-1", "binary trees, depth 19, 1 thread", (19, 1),
             program="binary-trees", quick=(14, 1), live_mib=100),
    Workload("binary-trees-2", "binary trees, depth 19, 2 threads", (19, 2),
             program="binary-trees", quick=(14, 2), live_mib=100),
    Workload("gcbench", "gcbench: short-lived trees beside long-lived data",
             quick=(), live_mib=100),
    Workload("lru", "LRU cache service, 250 MiB live, 2 threads, closed loop",
             (250, 1500000), more=LATENCY, quick=(20, 50000), live_mib=250),
    # 306.6 MB are alive at the end, as Loam rounds sizes up.
    Workload("limited", "the same, in 1.2 times what is alive", (250, 1500000),
             program="lru", more=LATENCY, quick=(200, 50000), live_mib=250,
             limit_bytes=368000000),
    Workload("open-loop", "the LRU service, 100,000 operations a second and thread",
             (250, 600000, 100000), program="lru", more=LATENCY,
             quick=(20, 20000, 100000), live_mib=250),
    Workload("mutate", "mutation of a 170 MiB list in random places",
             (170, 400000), quick=(10, 20000), live_mib=170),
    Workload("list", "mutation of a 504 MiB list beside short-lived nodes",
             (504, 10000000), quick=(10, 300000), live_mib=504),
    Workload("words", "word frequencies, 6 million words", (6000000,),
             quick=(200000,), live_mib=100),
    Workload("sizes", "sizes of 16 B to 1 MiB, random lifetimes",
             (2000, 200000), more=("resident_over_live",), quick=(500, 5000),
             live_mib=150),
    Workload("fragment", "most of 1 GiB dies in random places, then compaction",
             (1024,), more=("resident_over_live", "compact_ms"), quick=(40,),
             live_mib=1024),
    *(pause_row(live_mib) for live_mib in PAUSE_SIZES_MIB),
]

# Those of which more is asked: where the processor's time goes, and what they
# take while the program's threads have one core and a collector's the others.
LOOKED_INTO = [w for w in WHOLE if w.name in ("lru", "mutate", "list", "words")]


def looked_into(family, workload, backends, **options):
    return Workload(f"{family}-{workload.name}", workload.title,
                    workload.arguments, program=workload.program, unit="s",
                    family=family, backends=backends,
                    live_mib=workload.live_mib,
                    quick=workload.quick if workload.name == "words" else None,
                    **options)


WORKLOADS = [
    *WHOLE,
    *(looked_into("profile", workload, ("glibc", "loam"), rounds_max=1)
      for workload in LOOKED_INTO),
    *(looked_into("one-core", workload, ("glibc", "bdwgc", "loam"),
                  settings={"BENCH_ONE_CORE": "1"})
      for workload in LOOKED_INTO),
    *(micro(str(rate), f"longest pause, 1 GiB live, {rate:,} pages a second",
            "ms", 1024, rate, 8, program="dirty", live_mib=1024,
            collectors_only=True,
            quick=(32, rate, 1) if rate == 50000 else None)
      for rate in DIRTY_RATES),
    *(micro(str(share), f"minor collection, 512 MiB old, {share / 10:g} % of "
            "its pages dirty", "ms", 512, share, 21, program="minor",
            live_mib=512, quick=(32, share, 5) if share == 10 else None)
      for share in DIRTY_SHARES),
    micro("bounded", "lend an object of a pool and give it back", "ns",
          "bounded", program="pool", collectors_only=True, quick=("bounded",)),
    *(micro(f"{what}-{n}", f"{title}, {n} thread{'s' * (n > 1)}", "ns", what, n,
            program="pool", collectors_only=True,
            quick=(what, n) if n == 2 else None)
      for what, title in (("cache", "get an object of a cache and put it back"),
                          ("burst", "the same, 16 objects at a time"))
      for n in (1, 2)),
    micro("pair", "retain and release, an object of the thread's own", "ns",
          "pair", program="counted"),
    micro("everyone", "retain and release, two threads the same object", "ns",
          "everyone", program="counted"),
    micro("chain", "last release of a chain of a million, an object", "ns",
          "chain", program="counted", quick=("chain",)),
    micro("held", "the longest that a thread was held up, of one on each "
          "processor for 10 s", "ms", "held", 10, program="machine",
          quick=("held", 1)),
    micro("often", "held up for more than a millisecond, times a second", "/s",
          "often", 10, program="machine"),
    micro("huge", "first touch of a page of 2 MiB, median", "us", "huge",
          program="machine", live_mib=256),
    micro("huge-worst", "the slowest of 128 of them", "us", "huge-worst",
          program="machine", live_mib=256),
    micro("small", "first touch of 2 MiB in pages of 4 KiB, median", "us",
          "small", program="machine", live_mib=256),
    micro("arm", "arm written pages, a MiB", "us", "arm", program="track",
          quick=("arm",), live_mib=512),
    micro("arm-again", "arm armed pages, a MiB", "us", "arm-again",
          program="track", live_mib=512),
    *(micro(f"scan-{share}", f"scan and arm, {share / 10:g} % of pages dirty, "
            "a MiB", "us", "scan", share, program="track", live_mib=512,
            quick=("scan", share) if share == 10 else None)
      for share in DIRTY_SHARES),
    micro("first-store", "first store to an armed page", "ns", "first-store",
          program="track", live_mib=512),
    micro("arm-again-huge", "arm armed pages of 2 MiB, a MiB", "us",
          "arm-again", "huge", program="track", live_mib=512),
    micro("scan-0-huge", "scan clean pages of 2 MiB, a MiB", "us", "scan", 0,
          "huge", program="track", live_mib=512),
    micro("split", "first store to an armed page of 2 MiB", "ns", "split",
          program="track", live_mib=512),
    micro("later-store", "later store to a page", "ns", "later-store",
          program="track", live_mib=512),
    micro("mprotect", "first store, by mprotect and a signal", "ns", "mprotect",
          program="track", live_mib=512),
    micro("fresh", "allocate 32 B, fresh memory", "ns", "fresh",
          quick=("fresh",)),
    micro("empty", "allocate 32 B, emptied blocks", "ns", "empty"),
    micro("fragmented", "allocate 32 B, half-full blocks", "ns", "fragmented"),
    micro("batch", "make and drop 32 B, a thousand at a time", "ns", "batch"),
    micro("scope", "the same in a scope of memory, where there is one", "ns",
          "scope", quick=("scope",)),
    micro("mark-ordered", "collect, an object, in order", "ns", "mark-ordered",
          collectors_only=True),
    micro("mark-ordered-1", "the same, 1 marker", "ns", "mark-ordered",
          collectors_only=True, markers=1),
    micro("mark-shuffled", "collect, an object, shuffled", "ns",
          "mark-shuffled", collectors_only=True),
    *(micro(f"mark-shuffled-{n}", f"the same, {n} marker{'s' * (n > 1)}", "ns",
            "mark-shuffled", collectors_only=True, markers=n)
      for n in MARKER_COUNTS),
    micro("get", "from a weak reference to its object", "ns", "get",
          program="weak", collectors_only=True, quick=("get",)),
    micro("pause", "added pause, 1 million weak references and finalizers",
          "ms", "pause", 1000000, program="weak", collectors_only=True,
          quick=("pause", 10000)),
    micro("map", "map of 1 million objects, set and find an entry", "ns",
          "map", 1000000, program="weak", quick=("map", 10000)),
    micro("full", "collect 1 GiB live", "ms", "full", collectors_only=True),
    micro("full-1", "the same, 1 marker", "ms", "full", collectors_only=True,
          markers=1),
    micro("interior", "inside address to object", "ns", "interior",
          collectors_only=True),
    *(micro(f"stop-{n}", f"empty collection, {n} threads", "us", "stop", n,
            collectors_only=True, quick=("stop", n) if n == 2 else None)
      for n in (2, 16, 64)),
]
