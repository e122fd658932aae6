package iampolicy

import (
	"fmt"
	"strconv"
	"strings"
)

// operator is how a condition compares. One whose name says Not is true when the
// key is absent, and when none of its values matches; the others are false when it
// is absent. IfExists makes absence true.
type operator struct {
	not, ifExists bool
	match         func(has, want string) bool
}

var comparisons = map[string]func(has, want string) bool{
	"StringEquals": func(has, want string) bool { return has == want },
	"StringLike":   func(has, want string) bool { return like(has, want) },
	"ArnEquals":    arnLike,
	"ArnLike":      arnLike,
	"Bool":         strings.EqualFold,
	"NumericLessThan": func(has, want string) bool {
		return numbers(has, want, func(a, b float64) bool { return a < b })
	},
	"NumericEquals": func(has, want string) bool {
		return numbers(has, want, func(a, b float64) bool { return a == b })
	},
	"NumericGreaterThanEquals": func(has, want string) bool {
		return numbers(has, want, func(a, b float64) bool { return a >= b })
	},
}

func operatorOf(name string) (operator, error) {
	var o operator
	base, ifExists := strings.CutSuffix(name, "IfExists")
	o.ifExists = ifExists
	if strings.Contains(base, "Not") {
		o.not, base = true, strings.Replace(base, "Not", "", 1)
	}
	o.match = comparisons[base]
	if name != "Null" && (o.match == nil || o.not && !strings.HasPrefix(base, "String") && !strings.HasPrefix(base, "Arn")) {
		return o, fmt.Errorf("condition operator %q is not known here", name)
	}
	return o, nil
}

func numbers(has, want string, compare func(a, b float64) bool) bool {
	a, errA := strconv.ParseFloat(has, 64)
	b, errB := strconv.ParseFloat(want, 64)
	return errA == nil && errB == nil && compare(a, b)
}

// holds reports whether every condition of a statement is met: operators and keys
// are joined by "and", the values of a key by "or".
func (s Statement) holds(context map[string]string) bool {
	for name, keys := range s.Condition {
		for key, wants := range keys {
			has, there := context[key]
			if name == "Null" {
				if (wants[0] == "true") == there {
					return false
				}
				continue
			}
			o, err := operatorOf(name)
			if err != nil || !o.holds(has, there, wants) {
				return false
			}
		}
	}
	return true
}

func (o operator) holds(has string, there bool, wants []string) bool {
	if !there {
		return o.not || o.ifExists
	}
	for _, want := range wants {
		if o.match(has, want) {
			return !o.not
		}
	}
	return o.not
}

// like matches with * for any run of characters and ? for any one.
func like(s, pattern string) bool {
	for pattern != "" {
		switch c := pattern[0]; {
		case c == '*':
			pattern = pattern[1:]
			for i := 0; i <= len(s); i++ {
				if like(s[i:], pattern) {
					return true
				}
			}
			return false
		case s == "" || c != '?' && c != s[0]:
			return false
		}
		s, pattern = s[1:], pattern[1:]
	}
	return s == ""
}

// arnLike matches part by part: a * does not reach over a colon into the next.
func arnLike(has, want string) bool {
	h, w := strings.SplitN(has, ":", 6), strings.SplitN(want, ":", 6)
	if len(h) != 6 || len(w) != 6 {
		return want == "*"
	}
	for i := range h {
		if !like(h[i], w[i]) {
			return false
		}
	}
	return true
}
