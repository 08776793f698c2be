// SPDX-License-Identifier: MIT
// Bench.java: what measure.h is to the programs in C, bit for bit.

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.locks.LockSupport;

final class Bench {
    private Bench() {
    }

    static IllegalStateException fail(String what) {
        return new IllegalStateException(what);
    }

    static void sleepUntil(long momentNs) {
        for (;;) {
            long left = momentNs - System.nanoTime();
            if (left <= 0) {
                return;
            }
            LockSupport.parkNanos(left);
        }
    }

    static long mix(long x) {
        x += 0x9e3779b97f4a7c15L;
        x = (x ^ (x >>> 30)) * 0xbf58476d1ce4e5b9L;
        x = (x ^ (x >>> 27)) * 0x94d049bb133111ebL;
        return x ^ (x >>> 31);
    }

    static final class Random {
        private long state;

        Random(long seed) {
            state = mix(seed) | 1;
        }

        long next() {
            long x = state;
            x ^= x >>> 12;
            x ^= x << 25;
            x ^= x >>> 27;
            state = x;
            return x * 0x2545f4914f6cdd1dL;
        }

        long below(long n) {
            return ((next() >>> 32) * n) >>> 32;
        }

        double unit() {
            return (next() >>> 11) * 0x1p-53;
        }
    }

    static final class Histogram {
        private final long[] counts = new long[64 * 32];
        private long total;
        private long maxNs;

        private static int bucket(long ns) {
            if (ns < 32) {
                return (int) ns;
            }
            int power = 63 - Long.numberOfLeadingZeros(ns);
            return (power - 4) * 32 + (int) ((ns >>> (power - 5)) & 31);
        }

        private static double bucketNs(int bucket) {
            if (bucket < 32) {
                return bucket;
            }
            int power = bucket / 32 + 4;
            return (double) ((long) (32 + bucket % 32) << (power - 5))
                + (double) ((1L << (power - 5)) >> 1);
        }

        void add(long ns) {
            counts[bucket(Math.max(ns, 0))]++;
            total++;
            maxNs = Math.max(maxNs, ns);
        }

        void merge(Histogram from) {
            for (int i = 0; i < counts.length; i++) {
                counts[i] += from.counts[i];
            }
            total += from.total;
            maxNs = Math.max(maxNs, from.maxNs);
        }

        double maxUs() {
            return maxNs / 1e3;
        }

        double usAt(double share) {
            long rank = (long) (share * total);
            long seen = 0;
            for (int i = 0; i < counts.length; i++) {
                seen += counts[i];
                if (seen > rank) {
                    return Math.min(bucketNs(i), maxNs) / 1e3;
                }
            }
            return maxUs();
        }
    }

    static long residentBytes() throws IOException {
        String[] fields = Files.readString(Path.of("/proc/self/statm")).split(" ");
        return Long.parseLong(fields[1]) * 4096;
    }

    static int argument(String[] arguments, int index, int otherwise) {
        return arguments.length > index ? Integer.parseInt(arguments[index])
            : otherwise;
    }

    /** Prints the last line; the pauses are in the JVM's log of safepoints. */
    static void say(long answer, String format, Object... more) {
        System.out.println(String.format("{\"answer\": \"%016x\"", answer)
            + String.format(Locale.ROOT, format, more) + "}");
    }
}
