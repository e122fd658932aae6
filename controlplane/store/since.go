package store

// since has the protocol version from which on a kind of command exists, for
// kinds that came after the first release. A number here is forever.
var since = map[Kind]int{}

// Since is the protocol version that a cluster must have reached before a
// command of this kind may be proposed to it; at least 1.
func Since(k Kind) int { return max(1, since[k]) }
