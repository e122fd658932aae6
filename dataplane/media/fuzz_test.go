package media

import "testing"

// FuzzQuery: each phrase of a query is found in the text that it was taken from,
// and each of its words by the filter.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{`"cancel my order"`, `l'été "`, `""`, "日本 x", "a\u0301b \u2019"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		text := words(query)
		all := map[string]bool{}
		for _, w := range text {
			all[w] = true
		}
		sums := newFilter(all)
		for _, p := range parseQuery(query) {
			for _, w := range p {
				if !sums.has(w) {
					t.Fatalf("%q is not found by its own filter", w)
				}
			}
			if len(p) == 0 || !p.within(text) {
				t.Fatalf("%q is not in the text that it was taken from, %q", p, text)
			}
		}
	})
}
