// SPDX-License-Identifier: MIT
// lru.go: as ../lru.c, with Go's map in place of the buckets.

package main

import (
	"bytes"
	"math/bits"
	"runtime"
	"strconv"
	"sync"
)

const (
	lruThreads     = 2
	lruLoadPercent = 90
	lruEntryBytes  = 48 // as the program in C counts an entry
)

type lruEntry struct {
	newer, older *lruEntry
	key          string
	value        []byte
}

type lruCache struct {
	lock           sync.Mutex
	entries        map[string]*lruEntry
	newest, oldest *lruEntry
	bytes, room    int
}

type lruService struct {
	cache          lruCache
	random         random
	operationCount int
	rate           int
	keyCount       uint64
	hitCount       uint64
	answer         uint64
	latency        histogram
	key            []byte // what is asked for, spelled
}

func (e *lruEntry) bytes() int {
	return lruEntryBytes + len(e.key) + 1 + len(e.value)
}

func (c *lruCache) unlink(e *lruEntry) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		c.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		c.oldest = e.newer
	}
}

func (c *lruCache) linkNewest(e *lruEntry) {
	e.newer = nil
	e.older = c.newest
	if c.newest != nil {
		c.newest.newer = e
	} else {
		c.oldest = e
	}
	c.newest = e
}

func (c *lruCache) evict() {
	e := c.oldest
	if e == nil {
		fail("the cache is empty and full")
	}
	delete(c.entries, e.key)
	c.unlink(e)
	c.bytes -= e.bytes()
}

func valueMake(r *random) []byte {
	n := r.next()
	doublings := bits.TrailingZeros64((n >> 32) | 1<<6)
	base := uint64(64) << doublings
	size := base + n%base
	return bytes.Repeat([]byte{byte(size)}, int(size))
}

func (c *lruCache) put(e *lruEntry, key []byte, r *random) {
	if e != nil {
		c.bytes -= len(e.value)
		e.value = valueMake(r)
		c.bytes += len(e.value)
		c.unlink(e)
	} else {
		e = &lruEntry{key: string(key), value: valueMake(r)}
		c.entries[e.key] = e
		c.bytes += e.bytes()
	}
	c.linkNewest(e)
	for c.bytes > c.room {
		c.evict()
	}
}

func valueRead(value []byte) uint64 {
	expected := byte(len(value))
	if value[0] != expected || value[len(value)/2] != expected ||
		value[len(value)-1] != expected {
		fail("a cached value changed")
	}
	return uint64(len(value))
}

func (s *lruService) spell(number uint64) []byte {
	s.key = strconv.AppendUint(append(s.key[:0], "session:"...), number, 10)
	return s.key
}

func (s *lruService) step() {
	c := &s.cache
	u := s.random.unit()
	number := uint64(u * u * u * float64(s.keyCount))
	isPut := s.random.below(4) == 0
	key := s.spell(number)

	c.lock.Lock()
	e := c.entries[string(key)]
	if e != nil && !isPut {
		s.hitCount++
		s.answer = mix(s.answer ^ valueRead(e.value))
		c.unlink(e)
		c.linkNewest(e)
	} else {
		c.put(e, key, &s.random)
	}
	c.lock.Unlock()
}

func (s *lruService) fill() {
	c := &s.cache
	for c.bytes < c.room/100*lruLoadPercent {
		key := s.spell(s.random.below(s.keyCount))
		c.put(c.entries[string(key)], key, &s.random)
	}
}

func (s *lruService) serveClosedLoop() {
	before := nowNs()
	for i := 0; i < s.operationCount; i++ {
		s.step()
		after := nowNs()
		s.latency.add(after - before)
		before = after
	}
}

func (s *lruService) serveOpenLoop() {
	begin := nowNs()
	now := begin
	for i := 0; i < s.operationCount; i++ {
		scheduled := begin + int64(i)*1000000000/int64(s.rate)
		if now < scheduled {
			sleepUntilNs(scheduled)
		}
		s.step()
		now = nowNs()
		s.latency.add(now - scheduled)
	}
}

func lru() {
	liveMib := argument(1, 250)
	operations := argument(2, 1500000)
	rate := argument(3, 0)
	room := liveMib << 20 / lruThreads

	var services [lruThreads]lruService
	var filled, all sync.WaitGroup
	filled.Add(lruThreads)
	all.Add(lruThreads)
	for i := range services {
		s := &services[i]
		s.keyCount = uint64(room) / 210
		s.cache.entries = make(map[string]*lruEntry, room/400)
		s.cache.room = room
		s.random = randomFrom(100 + uint64(i))
		s.operationCount = operations
		s.rate = rate
		go func() {
			runtime.LockOSThread()
			s.fill()
			filled.Done()
			filled.Wait()
			if rate > 0 {
				s.serveOpenLoop()
			} else {
				s.serveClosedLoop()
			}
			all.Done()
		}()
	}
	all.Wait()

	var latency histogram
	var answer, hits uint64
	entries := 0
	for i := range services {
		s := &services[i]
		latency.merge(&s.latency)
		answer = mix(answer ^ s.answer)
		answer = mix(answer ^ s.hitCount)
		answer = mix(answer ^ uint64(len(s.cache.entries)))
		hits += s.hitCount
		entries += len(s.cache.entries)
	}
	say(answer, `, "p50_us": %.2f, "p99_us": %.2f, "p999_us": %.2f`+
		`, "p9999_us": %.2f, "max_us": %.1f, "hit_percent": %.1f`+
		`, "entries": %d`,
		latency.at(0.5)/1e3, latency.at(0.99)/1e3, latency.at(0.999)/1e3,
		latency.at(0.9999)/1e3, float64(latency.maxNs)/1e3,
		100*float64(hits)/float64(operations*lruThreads), entries)
}
