// SPDX-License-Identifier: MIT
// fragment.go: as ../fragment.c.

package main

import (
	"bytes"
	"runtime/debug"
	"time"
)

type item struct {
	unused *item // as in C
	bytes  uint64
	value  uint64
}

type holder struct {
	item *item
	body []byte
}

const (
	itemBytes   = 24 // as in C
	holderBytes = 16
)

type holders struct {
	all  []holder
	live uint64
	r    random
}

func (h *holders) fill(doublings uint64) {
	for i := range h.all {
		if h.all[i].item != nil {
			continue
		}
		n := h.r.next()
		base := uint64(32) << ((n >> 32) % doublings)
		size := base + (n&0xffffffff)%base
		h.all[i].item = &item{nil, size, n}
		h.all[i].body = bytes.Repeat([]byte{byte(n)}, int(size))
		h.live += itemBytes + size
	}
}

func (h *holders) thin(ofFour uint64) {
	for i := range h.all {
		if h.all[i].item != nil && h.r.below(4) < ofFour {
			h.live -= itemBytes + h.all[i].item.bytes
			h.all[i] = holder{}
		}
	}
}

func fragment() {
	liveMib := argument(1, 256)
	count := uint64(liveMib) << 20 / 500
	h := &holders{all: make([]holder, count), r: randomFrom(19)}
	h.fill(6)
	h.thin(2)
	h.fill(4)
	h.thin(3)

	begin := time.Now()
	debug.FreeOSMemory()
	compact := time.Since(begin)
	resident := residentBytes()
	live := h.live + count*holderBytes
	answer := uint64(0)
	for _, each := range h.all {
		if each.item == nil {
			continue
		}
		expected := byte(each.item.value)
		if each.body[0] != expected ||
			each.body[each.item.bytes-1] != expected {
			fail("an object changed")
		}
		answer = mix(answer ^ each.item.value)
	}
	say(answer, `, "resident_over_live": %.2f, "live_mib": %.1f`+
		`, "compact_ms": %.1f`,
		float64(resident)/float64(live), float64(live)/0x1p20,
		compact.Seconds()*1e3)
}
