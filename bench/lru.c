// SPDX-License-Identifier: MIT
// lru.c: what does a cache service with much live data pay, in time and in
// the latency of its slowest operations?
//
// Two threads serve requests, each on its own half of a cache. Keys are
// skewed: few are asked for most of the time. A quarter of the operations
// store a new value; a miss loads one and stores it; the least recently used
// entries go where room is short. Values have 64 bytes to 8 KiB, small ones
// most often. Each operation is timed into a histogram that was there before.
//
// Without a rate the loop is closed: the next request comes when the one
// before is served, and an operation that was held up delays others without
// that being counted. With one it is open: requests come at their times
// whether or not the service is ready, and each is counted from its time.
//
// Every half is driven by one thread alone, under its lock, so the answer
// does not depend on timing.
//
//   lru LIVE_MIB OPERATIONS_PER_THREAD [OPERATIONS_PER_THREAD_AND_SECOND]

#include "backend.h"
#include "measure.h"

#include <string.h>

enum { THREAD_COUNT = 2, KEY_BYTES = 32, LOAD_PERCENT = 90 };

struct entry {
    struct entry *chain; // the next of its bucket
    struct entry *newer;
    struct entry *older;
    char *key;
    unsigned char *value;
    uint32_t hash;
    uint32_t value_bytes;
};
TYPE(struct entry, chain, newer, older, key, value)

struct bucket {
    struct entry *first;
};
TYPE(struct bucket, first)

struct cache {
    pthread_mutex_t lock;
    struct bucket *buckets;
    uint32_t mask;
    struct entry *newest;
    struct entry *oldest;
    size_t bytes;      // of entries, keys and values
    size_t bytes_room; // how many there may be
    size_t entry_count;
};

struct service {
    pthread_t thread;
    struct cache cache;
    struct bench_random random;
    long operation_count;
    long rate; // operations a second, 0: one after the other
    uint64_t key_count;
    uint64_t hit_count;
    uint64_t answer;
    struct bench_histogram latency;
};

static struct service services[THREAD_COUNT];
static pthread_barrier_t all_filled;

static uint32_t key_hash(const char *key) {
    uint64_t hash = 14695981039346656037u;
    for (; *key != 0; key++) {
        hash = (hash ^ (unsigned char)*key) * 1099511628211u;
    }
    return (uint32_t)(hash ^ (hash >> 32));
}

static char *key_copy(const char *key) {
    size_t bytes = strlen(key) + 1;
    return memcpy(ALLOC_LEAF(bytes), key, bytes);
}

// "session:" and the number, as a service would spell it.
static void key_spell(char key[KEY_BYTES], uint64_t number) {
    char digits[24];
    int n = 0;
    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    memcpy(key, "session:", 8);
    for (int i = 0; i < n; i++) {
        key[8 + i] = digits[n - 1 - i];
    }
    key[8 + n] = 0;
}

static size_t entry_bytes(const struct entry *entry) {
    return sizeof *entry + strlen(entry->key) + 1 + entry->value_bytes;
}

static void entry_unlink(struct cache *cache, struct entry *entry) {
    if (entry->newer != NULL) {
        entry->newer->older = entry->older;
    } else {
        cache->newest = entry->older;
    }
    if (entry->older != NULL) {
        entry->older->newer = entry->newer;
    } else {
        cache->oldest = entry->newer;
    }
}

static void entry_link_newest(struct cache *cache, struct entry *entry) {
    entry->newer = NULL;
    entry->older = cache->newest;
    if (cache->newest != NULL) {
        cache->newest->newer = entry;
    } else {
        cache->oldest = entry;
    }
    cache->newest = entry;
}

static struct entry *cache_find(struct cache *cache, const char *key,
                                uint32_t hash) {
    struct entry *entry = cache->buckets[hash & cache->mask].first;
    while (entry != NULL &&
           (entry->hash != hash || strcmp(entry->key, key) != 0)) {
        entry = entry->chain;
    }
    return entry;
}

static void cache_evict(struct cache *cache) {
    struct entry *entry = cache->oldest;
    if (entry == NULL) {
        bench_fail("the cache is empty and full");
    }
    // clang's analyzer does not see that entry_unlink took the last one away.
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
    struct entry **at = &cache->buckets[entry->hash & cache->mask].first;
    while (*at != entry) {
        if (*at == NULL) {
            bench_fail("an entry is in no bucket");
        }
        at = &(*at)->chain;
    }
    *at = entry->chain;
    entry_unlink(cache, entry);
    // A stale word that is taken for a pointer to it should not keep all that
    // came after it.
    entry->chain = entry->newer = entry->older = NULL;
    cache->bytes -= entry_bytes(entry);
    cache->entry_count--;
    FREE_EXPLICIT(entry->key);
    FREE_EXPLICIT(entry->value);
    FREE_EXPLICIT(entry);
}

static void value_make(struct entry *entry, struct bench_random *random) {
    // 64 bytes doubled up to six times, and something in between; each
    // doubling is half as likely as the one before.
    uint64_t r = bench_random_next(random);
    unsigned doublings = (unsigned)__builtin_ctzll((r >> 32) | (1u << 6));
    uint32_t base = (uint32_t)64 << doublings;
    entry->value_bytes = base + (uint32_t)(r % base);
    entry->value = ALLOC_LEAF(entry->value_bytes);
    memset(entry->value, (int)(entry->value_bytes & 0xff), entry->value_bytes);
}

static void cache_put(struct cache *cache, struct entry *entry, const char *key,
                      uint32_t hash, struct bench_random *random) {
    if (entry != NULL) {
        cache->bytes -= entry->value_bytes;
        FREE_EXPLICIT(entry->value);
        value_make(entry, random);
        cache->bytes += entry->value_bytes;
        entry_unlink(cache, entry);
    } else {
        entry = NEW(struct entry);
        entry->key = key_copy(key);
        entry->hash = hash;
        value_make(entry, random);
        struct bucket *bucket = &cache->buckets[hash & cache->mask];
        entry->chain = bucket->first;
        bucket->first = entry;
        cache->bytes += entry_bytes(entry);
        cache->entry_count++;
    }
    entry_link_newest(cache, entry);
    while (cache->bytes > cache->bytes_room) {
        cache_evict(cache);
    }
}

static uint64_t value_read(const struct entry *entry) {
    unsigned char expected = (unsigned char)(entry->value_bytes & 0xff);
    if (entry->value[0] != expected ||
        entry->value[entry->value_bytes / 2] != expected ||
        entry->value[entry->value_bytes - 1] != expected) {
        bench_fail("a cached value changed");
    }
    return entry->value_bytes;
}

static void service_step(struct service *service) {
    struct cache *cache = &service->cache;
    double u = bench_random_unit(&service->random);
    uint64_t number = (uint64_t)(u * u * u * (double)service->key_count);
    int is_put = bench_random_below(&service->random, 4) == 0;
    char key[KEY_BYTES];
    key_spell(key, number);
    uint32_t hash = key_hash(key);

    pthread_mutex_lock(&cache->lock);
    struct entry *entry = cache_find(cache, key, hash);
    if (entry != NULL && !is_put) {
        service->hit_count++;
        service->answer = bench_mix(service->answer ^ value_read(entry));
        entry_unlink(cache, entry);
        entry_link_newest(cache, entry);
    } else {
        cache_put(cache, entry, key, hash, &service->random);
    }
    pthread_mutex_unlock(&cache->lock);
}

// Fills the cache with keys in random order.
static void service_fill(struct service *service) {
    struct cache *cache = &service->cache;
    while (cache->bytes < cache->bytes_room / 100 * LOAD_PERCENT) {
        char key[KEY_BYTES];
        key_spell(key,
                  bench_random_below(&service->random, service->key_count));
        uint32_t hash = key_hash(key);
        cache_put(cache, cache_find(cache, key, hash), key, hash,
                  &service->random);
    }
}

static void serve_closed_loop(struct service *service) {
    int64_t before = bench_now_ns();
    for (long i = 0; i < service->operation_count; i++) {
        service_step(service);
        int64_t after = bench_now_ns();
        bench_histogram_add(&service->latency, after - before);
        before = after;
    }
}

// A request that is early is waited for asleep, as a service waits; one that
// is late is served at once.
static void serve_open_loop(struct service *service) {
    int64_t begin = bench_now_ns();
    int64_t now = begin;
    for (long i = 0; i < service->operation_count; i++) {
        int64_t scheduled = begin + i * 1000000000 / service->rate;
        if (now < scheduled) {
            bench_sleep_until_ns(scheduled);
        }
        service_step(service);
        now = bench_now_ns();
        bench_histogram_add(&service->latency, now - scheduled);
    }
}

static void *service_run(void *argument) {
    struct service *service = argument;
    service_fill(service);
    pthread_barrier_wait(&all_filled);
    if (service->rate > 0) {
        serve_open_loop(service);
    } else {
        serve_closed_loop(service);
    }
    return NULL;
}

static void service_init(struct service *service, int index, size_t bytes,
                         long operation_count, long rate) {
    struct cache *cache = &service->cache;
    pthread_mutex_init(&cache->lock, NULL);
    // Nearly twice as many keys as entries find room.
    service->key_count = bytes / 210;
    uint32_t buckets = 1;
    while (buckets < bytes / 400) {
        buckets *= 2;
    }
    cache->buckets = NEW_ARRAY(struct bucket, buckets);
    cache->mask = buckets - 1;
    cache->bytes_room = bytes;
    service->random = bench_random_from(100 + (uint64_t)index);
    service->operation_count = operation_count;
    service->rate = rate;
}

int main(int argc, char **argv) {
    bench_start();
    long live_mib = bench_argument(argc, argv, 1, 250);
    long operations = bench_argument(argc, argv, 2, 1500000);
    long rate = bench_argument(argc, argv, 3, 0);
    if (live_mib < 1 || operations < 1 || rate < 0) {
        bench_fail("usage: lru LIVE_MIB OPERATIONS_PER_THREAD [RATE]");
    }
    pthread_barrier_init(&all_filled, NULL, THREAD_COUNT);
    for (int i = 0; i < THREAD_COUNT; i++) {
        service_init(&services[i], i, ((size_t)live_mib << 20) / THREAD_COUNT,
                     operations, rate);
    }
    for (int i = 0; i < THREAD_COUNT; i++) {
        if (pthread_create(&services[i].thread, NULL, service_run,
                           &services[i]) != 0) {
            bench_fail("no thread");
        }
    }
    static struct bench_histogram latency;
    uint64_t answer = 0;
    uint64_t hits = 0;
    size_t entries = 0;
    for (int i = 0; i < THREAD_COUNT; i++) {
        pthread_join(services[i].thread, NULL);
        bench_histogram_merge(&latency, &services[i].latency);
        answer = bench_mix(answer ^ services[i].answer);
        answer = bench_mix(answer ^ services[i].hit_count);
        answer = bench_mix(answer ^ services[i].cache.entry_count);
        hits += services[i].hit_count;
        entries += services[i].cache.entry_count;
    }
    bench_say(answer, bench_pauses(),
              ", \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f"
              ", \"p9999_us\": %.2f, \"max_us\": %.1f, \"hit_percent\": %.1f, "
              "\"entries\": %zu",
              bench_histogram_at(&latency, 0.5) / 1e3,
              bench_histogram_at(&latency, 0.99) / 1e3,
              bench_histogram_at(&latency, 0.999) / 1e3,
              bench_histogram_at(&latency, 0.9999) / 1e3,
              (double)latency.max_ns / 1e3,
              100.0 * (double)hits / ((double)operations * THREAD_COUNT),
              entries);
    return 0;
}
