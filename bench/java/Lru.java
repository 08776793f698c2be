// SPDX-License-Identifier: MIT
// Lru.java: as ../lru.c, with a LinkedHashMap in order of access, whose
// entries are hash chain and order in one, as those of the program in C are.

import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.locks.ReentrantLock;

final class Lru {
    private static final int THREAD_COUNT = 2;
    private static final int LOAD_PERCENT = 90;
    private static final int ENTRY_BYTES = 48; // as the program in C counts it

    private static final class Cache {
        final ReentrantLock lock = new ReentrantLock();
        final LinkedHashMap<String, byte[]> entries;
        final long room;
        long bytes;

        Cache(long room) {
            this.room = room;
            entries = new LinkedHashMap<>((int) (room / 400), 0.75f, true);
        }

        void put(String key, byte[] value) {
            byte[] before = entries.put(key, value);
            bytes += value.length;
            bytes -= before != null ? before.length
                : -(ENTRY_BYTES + key.length() + 1);
            if (bytes > room) {
                evict();
            }
        }

        private void evict() {
            Iterator<Map.Entry<String, byte[]>> oldest =
                entries.entrySet().iterator();
            while (bytes > room) {
                Map.Entry<String, byte[]> entry = oldest.next();
                bytes -= ENTRY_BYTES + entry.getKey().length() + 1
                    + entry.getValue().length;
                oldest.remove();
            }
        }
    }

    private static final class Service {
        final Cache cache;
        final Bench.Random random;
        final Bench.Histogram latency = new Bench.Histogram();
        final long keyCount;
        long hitCount;
        long answer;

        Service(int index, long room) {
            cache = new Cache(room);
            random = new Bench.Random(100 + index);
            keyCount = room / 210;
        }

        byte[] makeValue() {
            long r = random.next();
            int doublings = Long.numberOfTrailingZeros((r >>> 32) | (1 << 6));
            int base = 64 << doublings;
            int bytes = base + (int) Long.remainderUnsigned(r, base);
            byte[] value = new byte[bytes];
            Arrays.fill(value, (byte) bytes);
            return value;
        }

        static long read(byte[] value) {
            byte expected = (byte) value.length;
            if (value[0] != expected || value[value.length / 2] != expected
                || value[value.length - 1] != expected) {
                throw Bench.fail("a cached value changed");
            }
            return value.length;
        }

        void step() {
            double u = random.unit();
            long number = (long) (u * u * u * keyCount);
            boolean isPut = random.below(4) == 0;
            String key = "session:" + number;

            cache.lock.lock();
            try {
                byte[] value = isPut ? null : cache.entries.get(key);
                if (value != null) {
                    hitCount++;
                    answer = Bench.mix(answer ^ read(value));
                } else {
                    cache.put(key, makeValue());
                }
            } finally {
                cache.lock.unlock();
            }
        }

        void fill() {
            while (cache.bytes < cache.room / 100 * LOAD_PERCENT) {
                String key = "session:" + random.below(keyCount);
                cache.put(key, makeValue());
            }
        }

        void serveClosedLoop(long operations) {
            long before = System.nanoTime();
            for (long i = 0; i < operations; i++) {
                step();
                long after = System.nanoTime();
                latency.add(after - before);
                before = after;
            }
        }

        void serveOpenLoop(long operations, long rate) {
            long begin = System.nanoTime();
            long now = begin;
            for (long i = 0; i < operations; i++) {
                long scheduled = begin + i * 1000000000 / rate;
                if (now < scheduled) {
                    Bench.sleepUntil(scheduled);
                }
                step();
                now = System.nanoTime();
                latency.add(now - scheduled);
            }
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        long room = ((long) Bench.argument(arguments, 0, 250) << 20) / THREAD_COUNT;
        long operations = Bench.argument(arguments, 1, 1500000);
        long rate = Bench.argument(arguments, 2, 0);

        CyclicBarrier filled = new CyclicBarrier(THREAD_COUNT);
        Service[] services = new Service[THREAD_COUNT];
        Thread[] threads = new Thread[THREAD_COUNT];
        for (int i = 0; i < THREAD_COUNT; i++) {
            Service service = services[i] = new Service(i, room);
            threads[i] = new Thread(() -> {
                service.fill();
                try {
                    filled.await();
                } catch (InterruptedException | BrokenBarrierException e) {
                    throw new IllegalStateException(e);
                }
                if (rate > 0) {
                    service.serveOpenLoop(operations, rate);
                } else {
                    service.serveClosedLoop(operations);
                }
            });
            threads[i].start();
        }
        Bench.Histogram latency = new Bench.Histogram();
        long answer = 0;
        long hits = 0;
        long entries = 0;
        for (int i = 0; i < THREAD_COUNT; i++) {
            threads[i].join();
            Service service = services[i];
            latency.merge(service.latency);
            answer = Bench.mix(answer ^ service.answer);
            answer = Bench.mix(answer ^ service.hitCount);
            answer = Bench.mix(answer ^ service.cache.entries.size());
            hits += service.hitCount;
            entries += service.cache.entries.size();
        }
        Bench.say(answer, ", \"p50_us\": %.2f, \"p99_us\": %.2f"
            + ", \"p999_us\": %.2f, \"p9999_us\": %.2f, \"max_us\": %.1f"
            + ", \"hit_percent\": %.1f, \"entries\": %d",
            latency.usAt(0.5), latency.usAt(0.99), latency.usAt(0.999),
            latency.usAt(0.9999), latency.maxUs(),
            100.0 * hits / (operations * THREAD_COUNT), entries);
    }
}
