package intake

import (
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
)

// digits is a pattern of digits as a table: of each state, where each digit leads. The
// number plans' patterns know nothing but digits, and two or three of them are asked for
// each number; a step here is a load, where package regexp follows a program.
type digits struct {
	next      [][10]uint16
	accepts   []bool
	otherwise *regexp.Regexp // for a pattern that is no such table
}

const (
	noState    = 0    // where nothing matches any more
	mostStates = 4096 // of one table; the largest of all plans has 281
)

// compileDigits makes the table of a pattern that a whole text must match, or, with
// prefix, that it must begin with.
func compileDigits(pattern string, prefix bool) *digits {
	d := &digits{}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err == nil {
		var prog *syntax.Prog
		if prog, err = syntax.Compile(parsed.Simplify()); err == nil && d.build(prog, prefix) {
			return d
		}
	}
	end := ")$"
	if prefix {
		end = ")"
	}
	return &digits{otherwise: regexp.MustCompile("^(?:" + pattern + end)}
}

// build follows all ways through a program at once: a state is the set of instructions
// that one can stand at. False: there is something in it that looks around, or it is
// too large.
func (d *digits) build(prog *syntax.Prog, prefix bool) bool {
	d.next, d.accepts = make([][10]uint16, 1), make([]bool, 1)
	known := map[string]uint16{}
	var sets [][]uint32
	state := func(from []uint32) (uint16, bool) {
		set, ok := closure(prog, from)
		if !ok || len(d.next) == mostStates {
			return 0, false
		}
		name := string(nameOf(set))
		if len(set) == 0 || known[name] != 0 {
			return known[name], true
		}
		n := uint16(len(d.next))
		known[name] = n
		accepts := slices.ContainsFunc(set, func(pc uint32) bool { return prog.Inst[pc].Op == syntax.InstMatch })
		d.next, d.accepts, sets = append(d.next, [10]uint16{}), append(d.accepts, accepts), append(sets, set)
		return n, true
	}
	if _, ok := state([]uint32{uint32(prog.Start)}); !ok {
		return false
	}
	for i := 0; i < len(sets); i++ {
		from := uint16(i + 1)
		for digit := range 10 {
			if prefix && d.accepts[from] { // what follows does not matter
				d.next[from][digit] = from
				continue
			}
			var to []uint32
			for _, pc := range sets[i] {
				if in := &prog.Inst[pc]; in.Op != syntax.InstMatch && in.MatchRune(rune('0'+digit)) {
					to = append(to, in.Out)
				}
			}
			n, ok := state(to)
			if !ok {
				return false
			}
			d.next[from][digit] = n
		}
	}
	return true
}

// closure is where one can stand without reading: before a rune, or at the end.
func closure(prog *syntax.Prog, from []uint32) (set []uint32, ok bool) {
	seen := map[uint32]bool{}
	stack := slices.Clone(from)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		switch in := &prog.Inst[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, in.Out)
		case syntax.InstEmptyWidth:
			return nil, false
		}
	}
	for pc := range seen {
		switch prog.Inst[pc].Op {
		case syntax.InstMatch, syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		default:
			delete(seen, pc)
		}
	}
	return slices.Sorted(maps.Keys(seen)), true
}

// nameOf tells sets of instructions apart.
func nameOf(set []uint32) (out []byte) {
	for _, pc := range set {
		out = append(out, byte(pc>>24), byte(pc>>16), byte(pc>>8), byte(pc))
	}
	return out
}

// match reports whether the pattern matches text.
func (d *digits) match(text string) bool {
	if d.otherwise != nil {
		return d.otherwise.MatchString(text)
	}
	at := uint16(1)
	for i := 0; i < len(text); i++ {
		digit := text[i] - '0'
		if digit > 9 {
			return false
		}
		if at = d.next[at][digit]; at == noState {
			return false
		}
	}
	return d.accepts[at]
}
