package audit

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// LeafFormat is the version of a leaf's form. A new field takes a new format.
const LeafFormat = 1

// MaxLeaf is the size in bytes that no encoded leaf exceeds.
const MaxLeaf = 512

// Action is a code for what was done: a noun and a verb, such as "tenant.create".
type Action string

// Applied is the only outcome: a refused command changes nothing and has no leaf.
const Applied = "applied"

// Leaf is one state change. Its fields stand in the order of the encoding.
type Leaf struct {
	Format   int       `json:"format"`
	Index    uint64    `json:"index"` // in the log, from 0, dense
	Time     time.Time `json:"time"`  // UTC; stamped by the proposer, so not ordered when leaders' clocks differ
	Actor    string    `json:"actor"` // PR… or ND…, opaque; "bootstrap" for the cluster's first command
	Action   Action    `json:"action"`
	Resource string    `json:"resource"` // id of what was changed
	Revision uint64    `json:"revision"` // of the state after the change
	Command  string    `json:"command"`  // hex SHA-256 of the command's bytes in the Raft log
	Outcome  string    `json:"outcome"`
}

// The closed forms of a leaf's strings. None of them can hold a name, a mail
// address or a telephone number (invariant 29).
var resourceForm = regexp.MustCompile(`^([A-Z]{2}[0-9a-f]{32}|[a-z]{2}[0-9]{1,2}|[A-Z][A-Z0-9-]{1,31})$`)

const idDigits = 32

// hexID reports whether s is two capitals and 32 hex digits, the form that nearly
// every actor and resource has.
func hexID(s string) bool {
	return len(s) == 2+idDigits && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' && lowerHex(s[2:])
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isAction is ^[a-z_]{1,20}\.[a-z_]{1,20}$, written by hand because each change of each voter asks it.
func isAction(s string) bool {
	noun, verb, _ := strings.Cut(s, ".")
	return isWord(noun) && isWord(verb)
}

func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 20
}

// Encode gives a leaf's canonical bytes: JSON in the order of the fields,
// without white space. Format and Outcome are set here. An error means that a
// field does not have its closed form; it names the field and not its content.
func (l Leaf) Encode() ([]byte, error) {
	l.Format, l.Outcome, l.Time = LeafFormat, Applied, l.Time.UTC().Round(0)
	if err := l.check(); err != nil {
		return nil, err
	}
	return l.canonical(), nil
}

// check says which field does not have its closed form.
func (l Leaf) check() error {
	bad := ""
	switch {
	case !(hexID(l.Actor) && (l.Actor[:2] == "PR" || l.Actor[:2] == "ND")) && l.Actor != "bootstrap":
		bad = "actor"
	case !isAction(string(l.Action)):
		bad = "action"
	case !hexID(l.Resource) && !resourceForm.MatchString(l.Resource):
		bad = "resource"
	case len(l.Command) != 64 || !lowerHex(l.Command):
		bad = "command"
	case l.Time.UTC().Year() < 1970 || l.Time.UTC().Year() > 9999:
		bad = "time"
	case l.Revision == 0:
		bad = "revision"
	}
	if bad != "" {
		return fmt.Errorf("audit leaf: %s does not have the form that a leaf's %s has", bad, bad)
	}
	return nil
}

// canonical writes what encoding/json would; no string of a closed form needs an
// escape.
func (l Leaf) canonical() []byte {
	b := make([]byte, 0, MaxLeaf)
	b = strconv.AppendInt(append(b, `{"format":`...), int64(l.Format), 10)
	b = strconv.AppendUint(append(b, `,"index":`...), l.Index, 10)
	b = l.Time.AppendFormat(append(b, `,"time":"`...), time.RFC3339Nano)
	for _, field := range [][2]string{{`","actor":"`, l.Actor}, {`","action":"`, string(l.Action)}, {`","resource":"`, l.Resource}} {
		b = append(append(b, field[0]...), field[1]...)
	}
	b = strconv.AppendUint(append(b, `","revision":`...), l.Revision, 10)
	b = append(append(b, `,"command":"`...), l.Command...)
	b = append(append(b, `","outcome":"`...), l.Outcome...)
	return append(b, `"}`...)
}
