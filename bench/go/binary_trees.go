// SPDX-License-Identifier: MIT
// binary_trees.go: as ../binary_trees.c.

package main

import "sync"

type tree struct {
	left, right *tree
}

func treeBuild(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{treeBuild(depth - 1), treeBuild(depth - 1)}
}

func (t *tree) count() uint64 {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

const treeDepthMin = 4

func binaryTrees() {
	depthMax := argument(1, 19)
	threads := argument(2, 1)
	stretch := treeBuild(depthMax + 1).count()
	longLived := treeBuild(depthMax)

	counts := make([][]uint64, threads)
	var all sync.WaitGroup
	for index := range counts {
		counts[index] = make([]uint64, depthMax+1)
		all.Add(1)
		go func(index int) {
			defer all.Done()
			for depth := treeDepthMin; depth <= depthMax; depth += 2 {
				trees := 1 << (depthMax - depth + treeDepthMin)
				for i := index; i < trees; i += threads {
					counts[index][depth] += treeBuild(depth).count()
				}
			}
		}(index)
	}
	all.Wait()

	answer := mix(stretch)
	for depth := treeDepthMin; depth <= depthMax; depth += 2 {
		trees := uint64(1) << (depthMax - depth + treeDepthMin)
		count := uint64(0)
		for _, of := range counts {
			count += of[depth]
		}
		if count != trees*(uint64(2)<<depth-1) {
			fail("a tree lost nodes")
		}
		answer = mix(answer ^ count)
	}
	kept := longLived.count()
	if kept != uint64(2)<<depthMax-1 {
		fail("the long-lived tree lost nodes")
	}
	say(mix(answer^kept), "")
}
