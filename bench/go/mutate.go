// SPDX-License-Identifier: MIT
// mutate.go: as ../mutate.c.

package main

type payload struct {
	unused *payload // as in C, where it is there to be looked at
	value  uint64
}

type mutateNode struct {
	next     *mutateNode
	payload  *payload
	position uint64
}

const (
	mutateStride       = 64
	mutateStationBytes = mutateStride*(24+16) + 8 // as in C
)

func mutateNodeNew(next *mutateNode, position, value uint64) *mutateNode {
	return &mutateNode{next, &payload{nil, value}, position}
}

func mutateFrom(at *mutateNode, random uint64) {
	for i := 1; i < mutateStride; i++ {
		old := at.next
		if (random>>i)%2 == 0 {
			at.next = mutateNodeNew(old.next, old.position, random+uint64(i))
		} else {
			old.payload = &payload{nil, random + uint64(i)}
		}
		at = at.next
	}
}

func mutate() {
	liveMib := argument(1, 170)
	steps := argument(2, 400000)
	stationCount := uint64(liveMib) << 20 / mutateStationBytes
	stations := make([]*mutateNode, stationCount)
	nodeCount := stationCount * mutateStride

	var list *mutateNode
	for i := nodeCount; i > 0; {
		i--
		list = mutateNodeNew(list, i, mix(i))
		if i%mutateStride == 0 {
			stations[i/mutateStride] = list
		}
	}

	r := randomFrom(7)
	for i := 0; i < steps; i++ {
		at := r.below(stationCount)
		mutateFrom(stations[at], r.next())
	}

	answer, position := uint64(0), uint64(0)
	for node := list; node != nil; node = node.next {
		if node.position != position {
			fail("the list is out of order")
		}
		position++
		answer = mix(answer ^ node.payload.value)
	}
	if position != nodeCount {
		fail("the list lost nodes")
	}
	say(answer, "")
}
