// SPDX-License-Identifier: MIT
// main.go: the workloads as one writes them in Go.
//
// Each computes what the program in C of the same name computes, from the same
// random numbers, and prints the same answer. Where Go has something of its
// own for the work (maps, strings), that is what is used.
//
//	bench-go WORKLOAD ARGUMENT...

package main

import "os"

func main() {
	workloads := map[string]func(){
		"binary-trees": binaryTrees,
		"gcbench":      gcbench,
		"lru":          lru,
		"mutate":       mutate,
		"list":         list,
		"words":        words,
		"sizes":        sizes,
		"fragment":     fragment,
		"pool":         pool,
	}
	if len(os.Args) < 2 || workloads[os.Args[1]] == nil {
		fail("usage: bench-go WORKLOAD ARGUMENT...")
	}
	workloads[os.Args[1]]()
}
