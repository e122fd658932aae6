package server

// Limits of what a feed remembers of its latest pushes. A session that falls
// further behind gets one delta for everything that it missed.
const (
	maxTailPushes = 1024
	maxTailBytes  = 8 << 20
)

// tail is a feed's latest pushes, numbered without gaps. Sessions read it at
// their own pace, so that none of them is waited for and nothing is queued for
// any of them.
type tail struct {
	first  uint64 // number of pushes[0]
	pushes []pushed
	bytes  int
}

// pushed is one push that follows the revision from and leads to the revision
// to; the two are equal when it only renews.
type pushed struct {
	from, to uint64
	body     []byte // encoded, shared by all sessions
}

// end is the number of the push that comes next.
func (t *tail) end() uint64 { return t.first + uint64(len(t.pushes)) }

func (t *tail) add(p pushed) {
	t.pushes, t.bytes = append(t.pushes, p), t.bytes+len(p.body)
	for len(t.pushes) > maxTailPushes || (t.bytes > maxTailBytes && len(t.pushes) > 1) {
		t.bytes -= len(t.pushes[0].body)
		t.pushes[0] = pushed{}
		t.pushes, t.first = t.pushes[1:], t.first+1
	}
}

// at gives a push by number; false for one that is forgotten or still to come.
func (t *tail) at(number uint64) (pushed, bool) {
	if number < t.first || number >= t.end() {
		return pushed{}, false
	}
	return t.pushes[number-t.first], true
}

// reset forgets everything, so that every session must ask anew.
func (t *tail) reset() {
	t.first, t.pushes, t.bytes = t.end()+1, nil, 0
}
