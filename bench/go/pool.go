// SPDX-License-Identifier: MIT
// pool.go: as ../pool.c, with sync.Pool, and a channel for the bounded one.

package main

import (
	"os"
	"sync"
)

const (
	poolBurst      = 16
	poolRounds     = 90
	poolRoundCount = 200000
)

type poolBuffer struct {
	isOut uint64
	bytes [1024 - 8]byte
}

func (b *poolBuffer) begin() {
	if b.isOut != 0 {
		fail("an object is out twice")
	}
	b.isOut = 1
}

func (b *poolBuffer) end() {
	b.isOut = 0
}

func poolMeasure(run func()) float64 {
	best := 0.0
	for round := 0; round < poolRounds; round++ {
		began := nowNs()
		run()
		ns := float64(nowNs()-began) / poolRoundCount
		if round == 0 || ns < best {
			best = ns
		}
	}
	return best
}

func pool() {
	what := ""
	if len(os.Args) > 2 {
		what = os.Args[2]
	}
	threads := argument(2, 1)
	bounded := make(chan *poolBuffer, 8)
	for i := 0; i < cap(bounded); i++ {
		bounded <- &poolBuffer{}
	}
	cache := sync.Pool{New: func() interface{} { return &poolBuffer{} }}
	runs := map[string]func(){
		"bounded": func() {
			for i := 0; i < poolRoundCount; i++ {
				buffer := <-bounded
				buffer.begin()
				buffer.end()
				bounded <- buffer
			}
		},
		"cache": func() {
			for i := 0; i < poolRoundCount; i++ {
				buffer := cache.Get().(*poolBuffer)
				buffer.begin()
				buffer.end()
				cache.Put(buffer)
			}
		},
		"burst": func() {
			var buffers [poolBurst]*poolBuffer
			for i := 0; i < poolRoundCount/poolBurst; i++ {
				for j := range buffers {
					buffers[j] = cache.Get().(*poolBuffer)
					buffers[j].begin()
				}
				for _, buffer := range buffers {
					buffer.end()
					cache.Put(buffer)
				}
			}
		},
	}
	if runs[what] == nil || threads < 1 {
		fail("usage: pool bounded | cache THREADS | burst THREADS")
	}
	results := make([]float64, threads)
	var all sync.WaitGroup
	for i := range results {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			results[i] = poolMeasure(runs[what])
		}(i)
	}
	all.Wait()
	worst := 0.0
	for _, ns := range results {
		if ns > worst {
			worst = ns
		}
	}
	say(uint64(threads), `, "value": %.3f`, worst)
}
