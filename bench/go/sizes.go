// SPDX-License-Identifier: MIT
// sizes.go: as ../sizes.c. Nothing here can be taken for pointers, so all of
// it is bytes.

package main

const (
	sizesPageBytes = 4096
	sizesDoublings = 16
)

func sizeRandom(r *random) uint64 {
	n := r.next()
	base := uint64(16) << ((n >> 32) % sizesDoublings)
	return base + (n&0xffffffff)%base
}

func objectMark(size uint64) byte {
	return byte(size*167>>4 | 1)
}

func objectMake(size uint64) []byte {
	object := make([]byte, size)
	mark := objectMark(size)
	for at := uint64(15); at < size; at += sizesPageBytes {
		object[at] = mark
	}
	object[size-1] = mark
	return object
}

func objectCheck(object []byte) uint64 {
	size := uint64(len(object))
	mark := objectMark(size)
	for at := uint64(15); at < size; at += sizesPageBytes {
		if object[at] != mark {
			fail("an object changed")
		}
	}
	if object[size-1] != mark {
		fail("an object changed at its end")
	}
	return size
}

func sizes() {
	slotCount := argument(1, 2000)
	steps := argument(2, 200000)
	slots := make([][]byte, slotCount)
	r := randomFrom(13)
	answer, live := uint64(0), uint64(0)
	for i := 0; i < slotCount+steps; i++ {
		at := i
		if i >= slotCount {
			at = int(r.below(uint64(slotCount)))
		}
		if slots[at] != nil {
			size := objectCheck(slots[at])
			answer = mix(answer ^ size)
			live -= size
		}
		size := sizeRandom(&r)
		r.next() // in C: whether it may hold pointers
		slots[at] = objectMake(size)
		live += size
	}
	for _, object := range slots {
		answer = mix(answer ^ objectCheck(object))
	}
	resident := residentBytes()
	say(answer, `, "resident_over_live": %.2f, "live_mib": %.1f`,
		float64(resident)/float64(live), float64(live)/0x1p20)
}
