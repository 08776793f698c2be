# SPDX-License-Identifier: MIT
"""What we set out to reach. A figure that is reached is as small as its limit
or smaller."""

from .catalog import CORES, JAVAS, PAUSE_SIZES_MIB, WORKLOADS
from .tables import print_columns, shown

WORKLOAD_NAMES = [workload.name for workload in WORKLOADS
                  if workload.unit is None]


class Target:
    def __init__(self, what, limit, reach):
        self.what = what
        self.limit = limit
        self.reach = reach


def ratio(what, limit, workload, against, figure="wall_s"):
    return Target(what, limit, lambda session: session.ratio(
        workload, "loam", against, figure))


def figure(what, limit, workload, name):
    return Target(what, limit, lambda session: session.figure(
        workload, "loam", name))


def pause_growth(session):
    """The longest pause of the largest heap, over the smallest's."""
    least, most = (session.figure(f"pause-{mib}", "loam", "pause_max_ms")
                   for mib in (PAUSE_SIZES_MIB[0], PAUSE_SIZES_MIB[-1]))
    return most / least if least and most else None


def at_limit(session):
    limited = session.figure("limited", "loam", "wall_s")
    free = session.figure("lru", "loam", "wall_s")
    return limited / free if limited and free else None


def worst_peak(against):
    def reach(session):
        ratios = [session.ratio(name, "loam", against, "peak_kb")
                  for name in WORKLOAD_NAMES]
        return max((each for each in ratios if each is not None), default=None)
    return reach


def marking(markers):
    """The time with this many markers, over the time with one. Up to 8 each
    must do 0.7 of one's work; more must at least cost nothing."""
    def reach(session):
        one = session.figure("micro-mark-shuffled-1", "loam", "value")
        many = session.figure(f"micro-mark-shuffled-{markers}", "loam", "value")
        return many / one if one and many else None
    limit = 1 / (0.7 * markers) if markers <= 8 else 1.0
    lacking = f" (wants {markers} cores)" if markers > CORES else ""
    return Target(f"marking, {markers} markers against 1: time{lacking}",
                  limit, reach)


TARGETS = [
    figure("LRU service, 250 MiB: longest pause, ms", 2, "lru", "pause_max_ms"),
    figure("LRU service, 250 MiB: 99 % of pauses, ms", 1, "lru",
           "pause_p99_ms"),
    Target("longest pause, largest heap against 64 MiB", 1.5, pause_growth),
    Target("LRU service at 1.2 of what is alive: wall against no limit", 1.43,
           at_limit),
    ratio("LRU service: wall against glibc", 1.15, "lru", "glibc"),
    ratio("LRU service, closed loop: 99.9 % latency against glibc", 1.2, "lru",
          "glibc", "p999_us"),
    ratio("LRU service, open loop: 99.9 % latency against glibc", 2,
          "open-loop", "glibc", "p999_us"),
    ratio("504 MiB list: wall against glibc", 0.9, "list", "glibc"),
    figure("504 MiB list: longest pause, ms", 2, "list", "pause_max_ms"),
    ratio("binary trees, 1 thread: wall against Java's best", 0.9,
          "binary-trees-1", JAVAS),
    ratio("binary trees, 2 threads: wall against Java's best", 0.9,
          "binary-trees-2", JAVAS),
    ratio("gcbench: wall against Java's best", 0.95, "gcbench", JAVAS),
    ratio("mutation of a large old list: wall against bdwgc", 0.22, "mutate",
          "bdwgc"),
    ratio("mutation of a large old list: wall against glibc", 0.75, "mutate",
          "glibc"),
    ratio("word frequencies: wall against Java's best", 0.97, "words", JAVAS),
    ratio("word frequencies: wall against glibc", 0.9, "words", "glibc"),
    ratio("mixed sizes: wall against Go", 0.6, "sizes", "go"),
    figure("fragmented and compacted: resident over live", 1.15, "fragment",
           "resident_over_live"),
    figure("minor collection, clean 512 MiB old heap, ms", 0.5, "minor-0",
           "value"),
    ratio("retain and release, unshared: against shared_ptr", 0.5,
          "counted-pair", "shared_ptr", "value"),
    ratio("chain of a million dies: against shared_ptr", 0.5, "counted-chain",
          "shared_ptr", "value"),
    figure("pause at 50,000 dirtied pages a second, 1 GiB, ms", 2,
           "dirty-50000", "value"),
    figure("from a weak reference to its object, ns", 2, "weak-get", "value"),
    figure("added pause, 1 million weak references and finalizers, ms", 1,
           "weak-pause", "value"),
    ratio("weak map against a plain hash table", 1.5, "weak-map", "glibc",
          "value"),
    figure("pool: lend and give back, ns", 20, "pool-bounded", "value"),
    ratio("cache: get and put against Go, 1 thread", 0.7, "pool-cache-1", "go",
          "value"),
    ratio("cache: get and put against Go, 2 threads", 0.7, "pool-cache-2",
          "go", "value"),
    Target("peak resident against glibc, worst workload", 1.5,
           worst_peak("glibc")),
    ratio("binary trees, 1 thread: wall against bdwgc", 0.30, "binary-trees-1",
          "bdwgc"),
    ratio("binary trees, 1 thread: wall against mimalloc", 1.00,
          "binary-trees-1", "mimalloc"),
    ratio("binary trees, 2 threads: wall against bdwgc", 0.25,
          "binary-trees-2", "bdwgc"),
    ratio("gcbench: wall against bdwgc", 0.28, "gcbench", "bdwgc"),
    ratio("LRU service: wall against bdwgc", 0.55, "lru", "bdwgc"),
    ratio("word frequencies: wall against bdwgc", 0.77, "words", "bdwgc"),
    ratio("mixed sizes: wall against bdwgc", 0.40, "sizes", "bdwgc"),
    figure("mixed sizes: resident over live", 1.50, "sizes",
           "resident_over_live"),
    ratio("allocate 32 B, fresh: against mimalloc", 0.50, "micro-fresh",
          "mimalloc", "value"),
    ratio("collect 1 GiB, 1 marker: against bdwgc", 0.50, "micro-full-1",
          "bdwgc", "value"),
    Target("peak resident against bdwgc, worst workload", 1.40,
           worst_peak("bdwgc")),
    *(marking(n) for n in (2, 4, 8, 16)),
]


def target_rows(session):
    rows = [["", "to reach", "reached", ""]]
    for target in TARGETS:
        reached = target.reach(session)
        if reached is None:
            verdict = "not measured"
        else:
            met = round(reached, 2) <= round(target.limit, 2)
            verdict = "met" if met else "MISSED"
        rows.append([target.what, f"<= {target.limit:.2f}", shown(reached),
                     verdict])
    return rows


def print_targets(session, with_unmeasured):
    rows = target_rows(session)
    if not with_unmeasured:
        rows = [row for row in rows if row[3] != "not measured"]
    if len(rows) == 1:
        return
    print("\ntargets")
    print_columns(rows)
