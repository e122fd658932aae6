package media

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sort"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// A transcript is searched by its words, whatever their case and accents: they
// are compared after compatibility decomposition (Unicode Annex 15, NFKD)
// without marks, in lower case. An apostrophe is part of its word and left out.
// Ideographs and kana, which are written without spaces, are a word each.

// words divides a text.
func words(text string) []string {
	var out []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			out = append(out, word.String())
			word.Reset()
		}
	}
	for _, r := range norm.NFKD.String(text) {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
			end()
			out = append(out, string(r))
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			word.WriteRune(unicode.ToLower(r))
		case unicode.IsMark(r) || r == '\'' || r == '\u2019':
		default:
			end()
		}
	}
	end()
	return out
}

// filter is the distinct words of a transcript as sorted 32-bit hashes, four
// bytes each. It is sealed with what is known of the transcript, so the hash
// needs no key: nobody sees it who may not see the words. A word that is not in
// it is not in the transcript; one that is, most likely.
type filter []byte

func newFilter(all map[string]bool) filter {
	sums := make([]uint32, 0, len(all))
	for w := range all {
		sums = append(sums, wordHash(w))
	}
	slices.SortFunc(sums, cmp.Compare[uint32])
	sums = slices.Compact(sums)
	out := make(filter, 0, 4*len(sums))
	for _, s := range sums {
		out = binary.BigEndian.AppendUint32(out, s)
	}
	return out
}

func (f filter) has(word string) bool {
	want := wordHash(word)
	at := func(i int) uint32 { return binary.BigEndian.Uint32(f[4*i:]) }
	n := len(f) / 4
	i := sort.Search(n, func(i int) bool { return at(i) >= want })
	return i < n && at(i) == want
}

// wordHash is FNV-1a.
func wordHash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// phrase is words that stand beside each other in one segment.
type phrase []string

// parseQuery reads words, and phrases in double quotes. All must be found.
func parseQuery(query string) (out []phrase) {
	for i, piece := range strings.Split(query, `"`) {
		found := words(piece)
		if i%2 == 1 && len(found) > 0 {
			out = append(out, found)
			continue
		}
		for _, w := range found {
			out = append(out, phrase{w})
		}
	}
	return out
}

// within reports whether the phrase stands in a text's words.
func (p phrase) within(text []string) bool {
	for i := 0; i+len(p) <= len(text); i++ {
		if slices.Equal(text[i:i+len(p)], p) {
			return true
		}
	}
	return false
}
