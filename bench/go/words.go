// SPDX-License-Identifier: MIT
// words.go: as ../words.c, with Go's strings and its map.

package main

import "strings"

const (
	wordsVocabulary = 150000
	wordBytesMax    = 24
)

func textHash(text string) uint64 {
	hash := uint64(14695981039346656037)
	for i := 0; i < len(text); i++ {
		hash = (hash ^ uint64(text[i])) * 1099511628211
	}
	return hash ^ (hash >> 29)
}

func wordRead(word []byte, r *random) []byte {
	u := r.unit()
	rank := uint64(u * u * u * u * wordsVocabulary)
	letters := mix(rank)
	length := 2 + int((letters>>60)%4)
	for rest := rank; rest > 0; rest /= 6 {
		length += 1 + int((letters>>59)%2)
	}
	if length > wordBytesMax-1 {
		length = wordBytesMax - 1
	}
	for i := 0; i < length; i++ {
		if i == 12 {
			letters = mix(letters)
		}
		word[i] = byte('a' + (letters&31)%26)
		letters >>= 5
	}
	if r.below(8) == 0 {
		word[0] -= 'a' - 'A'
	}
	return word[:length]
}

func words() {
	count := argument(1, 6000000)
	table := map[string]*uint64{}
	tally := func(text string) {
		if n := table[text]; n != nil {
			*n++
			return
		}
		n := uint64(1)
		table[text] = &n
	}
	r := randomFrom(11)
	var buffer [wordBytesMax]byte
	before := ""
	for i := 0; i < count; i++ {
		word := string(wordRead(buffer[:], &r))
		lower := strings.ToLower(word)
		if i%4 == 0 {
			tally(before + " " + lower)
		}
		tally(lower)
		before = lower
	}

	answer := mix(uint64(len(table)))
	total, folded := uint64(0), uint64(0)
	for text, n := range table {
		total += *n
		folded += mix(textHash(text) ^ *n)
	}
	if total != uint64(count)+(uint64(count)+3)/4 {
		fail("words were lost")
	}
	say(mix(answer^folded), `, "entries": %d`, len(table))
}
