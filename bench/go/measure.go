// SPDX-License-Identifier: MIT
// measure.go: what measure.h is to the programs in C, bit for bit.

package main

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func fail(what string) {
	fmt.Fprintln(os.Stderr, "bench:", what)
	os.Exit(1)
}

var clockStart = time.Now()

func nowNs() int64 {
	return int64(time.Since(clockStart))
}

// sleepUntilNs asks the kernel: time.Sleep rounds up to a millisecond.
func sleepUntilNs(moment int64) {
	for {
		left := moment - nowNs()
		if left <= 0 {
			return
		}
		t := syscall.NsecToTimespec(left)
		_ = syscall.Nanosleep(&t, nil)
	}
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

type random struct {
	state uint64
}

func randomFrom(seed uint64) random {
	return random{mix(seed) | 1}
}

func (r *random) next() uint64 {
	x := r.state
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	r.state = x
	return x * 0x2545f4914f6cdd1d
}

func (r *random) below(n uint64) uint64 {
	return ((r.next() >> 32) * n) >> 32
}

func (r *random) unit() float64 {
	return float64(r.next()>>11) * 0x1p-53
}

const bucketCount = 64 * 32

type histogram struct {
	counts [bucketCount]uint64
	total  uint64
	maxNs  int64
}

func bucketOf(ns uint64) int {
	if ns < 32 {
		return int(ns)
	}
	power := 63 - bits.LeadingZeros64(ns)
	return (power-4)*32 + int((ns>>(power-5))&31)
}

func bucketNs(bucket int) float64 {
	if bucket < 32 {
		return float64(bucket)
	}
	power := bucket/32 + 4
	return float64(uint64(32+bucket%32)<<(power-5)) +
		float64((uint64(1)<<(power-5))>>1)
}

func (h *histogram) add(ns int64) {
	if ns < 0 {
		ns = 0
	}
	h.counts[bucketOf(uint64(ns))]++
	h.total++
	if ns > h.maxNs {
		h.maxNs = ns
	}
}

func (h *histogram) merge(from *histogram) {
	for i, count := range from.counts {
		h.counts[i] += count
	}
	h.total += from.total
	if from.maxNs > h.maxNs {
		h.maxNs = from.maxNs
	}
}

func (h *histogram) at(share float64) float64 {
	rank := uint64(share * float64(h.total))
	seen := uint64(0)
	for i, count := range h.counts {
		seen += count
		if seen > rank {
			return math.Min(bucketNs(i), float64(h.maxNs))
		}
	}
	return float64(h.maxNs)
}

func residentBytes() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		fail(err.Error())
	}
	pages, err := strconv.ParseUint(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		fail(err.Error())
	}
	return pages * uint64(os.Getpagesize())
}

func argument(index int, otherwise int) int {
	if len(os.Args) <= index+1 {
		return otherwise
	}
	number, err := strconv.Atoi(os.Args[index+1])
	if err != nil {
		fail(err.Error())
	}
	return number
}

// The runtime's own histogram of all its stops. A pause counts as the upper
// end of its bucket, at most an eighth too much.
func pauses() string {
	samples := []metrics.Sample{
		{Name: "/gc/pauses:seconds"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples)
	histogram := samples[0].Value.Float64Histogram()
	total := uint64(0)
	for _, count := range histogram.Counts {
		total += count
	}
	longest, p99, sum, seen := 0.0, 0.0, 0.0, uint64(0)
	for i, count := range histogram.Counts {
		if count == 0 {
			continue
		}
		upper := histogram.Buckets[i+1]
		if math.IsInf(upper, 1) {
			upper = histogram.Buckets[i]
		}
		if float64(seen) <= 0.99*float64(total) {
			p99 = upper
		}
		seen += count
		sum += upper * float64(count)
		longest = upper
	}
	return fmt.Sprintf(`"pause_max_ms": %.4f, "pause_p99_ms": %.4f, `+
		`"pause_total_ms": %.1f, "collections": %d`,
		longest*1e3, p99*1e3, sum*1e3, samples[1].Value.Uint64())
}

// say prints the last line; more is formatted and holds members that each
// start with a comma.
func say(answer uint64, format string, more ...interface{}) {
	fmt.Printf(`{"answer": "%016x", %s%s}`+"\n", answer, pauses(),
		fmt.Sprintf(format, more...))
}
