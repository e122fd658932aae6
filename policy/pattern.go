package policy

// pattern is the form of a code: at least one character of a first alphabet, then
// others. It says what its expression says, and is matched by hand, because every
// voter asks it some thirty times for each change of a policy.
type pattern struct {
	expression  string // ^[first][rest]{least-1,most-1}$, for people; a test holds both together
	first, rest alphabet
	least, most int // characters in all; nothing at all is 0, and then first does not matter
}

// alphabet marks bytes.
type alphabet [256]bool

const (
	lowers   = "abcdefghijklmnopqrstuvwxyz"
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	decimals = "0123456789"
)

func newPattern(expression, first, rest string, least, most int) *pattern {
	return &pattern{expression: expression, first: alphabetOf(first), rest: alphabetOf(rest), least: least, most: most}
}

func alphabetOf(characters string) (a alphabet) {
	for i := range len(characters) {
		a[characters[i]] = true
	}
	return a
}

// MatchString reports whether s has the form.
func (p *pattern) MatchString(s string) bool {
	if len(s) < p.least || len(s) > p.most || s != "" && !p.first[s[0]] {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !p.rest[s[i]] {
			return false
		}
	}
	return true
}

// String is the expression.
func (p *pattern) String() string { return p.expression }
