package audit

import (
	"encoding/json"
	"fmt"
	"regexp"
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
var (
	actorForm    = regexp.MustCompile(`^((PR|ND)[0-9a-f]{32}|bootstrap)$`)
	actionForm   = regexp.MustCompile(`^[a-z_]{1,20}\.[a-z_]{1,20}$`)
	resourceForm = regexp.MustCompile(`^([A-Z]{2}[0-9a-f]{32}|[a-z]{2}[0-9]{1,2}|[A-Z][A-Z0-9-]{1,31})$`)
	commandForm  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Encode gives a leaf's canonical bytes: JSON in the order of the fields,
// without white space. Format and Outcome are set here. An error means that a
// field does not have its closed form; it names the field and not its content.
func (l Leaf) Encode() ([]byte, error) {
	l.Format, l.Outcome, l.Time = LeafFormat, Applied, l.Time.UTC().Round(0)
	bad := ""
	switch {
	case !actorForm.MatchString(l.Actor):
		bad = "actor"
	case !actionForm.MatchString(string(l.Action)):
		bad = "action"
	case !resourceForm.MatchString(l.Resource):
		bad = "resource"
	case !commandForm.MatchString(l.Command):
		bad = "command"
	case l.Time.Year() < 1970 || l.Time.Year() > 9999:
		bad = "time"
	case l.Revision == 0:
		bad = "revision"
	}
	if bad != "" {
		return nil, fmt.Errorf("audit leaf: %s does not have the form that a leaf's %s has", bad, bad)
	}
	b, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("audit leaf: %w", err)
	}
	return b, nil
}
