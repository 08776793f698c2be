// SPDX-License-Identifier: MIT
// list.go: as ../list.c.

package main

type listNode struct {
	next            *listNode
	position, value uint64
}

const (
	listNodeBytes = 24 // as in C
	listChain     = 16
)

func listBuild(nodeCount uint64) *listNode {
	var list *listNode
	for i := nodeCount; i > 0; {
		i--
		list = &listNode{list, i, mix(i)}
	}
	return list
}

func chainVisit(value uint64) uint64 {
	var chain *listNode
	for i := uint64(0); i < listChain; i++ {
		chain = &listNode{chain, i, value + i}
	}
	sum := uint64(0)
	for node := chain; node != nil; node = node.next {
		sum += node.value ^ node.position
	}
	return sum
}

func listMutate(list *listNode, steps int, r *random) {
	at := list
	for i := 0; i < steps; i++ {
		value := chainVisit(r.next())
		for count := 1 + r.below(4); count > 0; count-- {
			at = at.next
			if at == nil {
				at = list
			}
		}
		if old := at.next; old != nil {
			at.next = &listNode{old.next, old.position, value}
		}
	}
}

func list() {
	liveMib := argument(1, 504)
	steps := argument(2, 10000000)
	nodeCount := uint64(liveMib) << 20 / listNodeBytes
	r := randomFrom(17)
	list := listBuild(nodeCount)
	listMutate(list, steps, &r)
	answer, position := uint64(0), uint64(0)
	for node := list; node != nil; node = node.next {
		if node.position != position {
			fail("the list is out of order")
		}
		position++
		answer = mix(answer ^ node.value)
	}
	if position != nodeCount {
		fail("the list lost nodes")
	}
	say(answer, "")
}
