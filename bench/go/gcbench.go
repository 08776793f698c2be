// SPDX-License-Identifier: MIT
// gcbench.go: as ../gcbench.c.

package main

type gcNode struct {
	left, right *gcNode
	i, j        int32
}

const (
	gcStretchDepth   = 20
	gcLongLivedDepth = 18
	gcArrayCount     = 2000000
	gcDepthMin       = 4
	gcDepthMax       = 18
)

func gcPopulate(depth int, node *gcNode) {
	if depth <= 0 {
		return
	}
	node.left = &gcNode{}
	node.right = &gcNode{}
	gcPopulate(depth-1, node.left)
	gcPopulate(depth-1, node.right)
}

func gcBuild(depth int) *gcNode {
	if depth <= 0 {
		return &gcNode{}
	}
	left := gcBuild(depth - 1)
	right := gcBuild(depth - 1)
	return &gcNode{left: left, right: right}
}

func (n *gcNode) count() uint64 {
	if n == nil {
		return 0
	}
	return 1 + n.left.count() + n.right.count()
}

func gcSize(depth int) uint64 {
	return uint64(2)<<depth - 1
}

func (n *gcNode) expect(depth int) {
	if n.count() != gcSize(depth) {
		fail("a tree lost nodes")
	}
}

func gcTrees(depth int) uint64 {
	trees := 2 * gcSize(gcStretchDepth) / gcSize(depth)
	for i := uint64(1); i <= trees; i++ {
		tree := &gcNode{}
		gcPopulate(depth, tree)
		if i == trees {
			tree.expect(depth)
		}
	}
	for i := uint64(1); i <= trees; i++ {
		tree := gcBuild(depth)
		if i == trees {
			tree.expect(depth)
		}
	}
	return trees
}

func gcbench() {
	gcBuild(gcStretchDepth).expect(gcStretchDepth)

	longLived := &gcNode{}
	gcPopulate(gcLongLivedDepth, longLived)
	array := make([]float64, gcArrayCount)
	for i := 0; i < gcArrayCount/2; i++ {
		array[i] = 1.0 / float64(i+1)
	}

	answer := uint64(0)
	for depth := gcDepthMin; depth <= gcDepthMax; depth += 2 {
		answer = mix(answer ^ gcTrees(depth))
	}

	longLived.expect(gcLongLivedDepth)
	for i := 0; i < gcArrayCount/2; i++ {
		if array[i] != 1.0/float64(i+1) {
			fail("the array changed")
		}
	}
	say(mix(answer^longLived.count()), "")
}
