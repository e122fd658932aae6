package verify

import (
	"bytes"
	"encoding/json"
	"regexp"
	"time"
)

// maxRecord is the size in bytes beyond which nothing is a record.
const maxRecord = 512

// Leaf is what a record says. docs/audit.md explains its fields.
type Leaf struct {
	Format   int       `json:"format"`
	Index    uint64    `json:"index"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Action   string    `json:"action"`
	Resource string    `json:"resource"`
	Revision uint64    `json:"revision"`
	Command  string    `json:"command"`
	Outcome  string    `json:"outcome"`
}

var (
	actors    = regexp.MustCompile(`^(PR[0-9a-f]{32}|ND[0-9a-f]{32}|bootstrap)$`)
	actions   = regexp.MustCompile(`^[a-z_]{1,20}\.[a-z_]{1,20}$`)
	resources = regexp.MustCompile(`^([A-Z]{2}[0-9a-f]{32}|[a-z]{2}[0-9]{1,2}|[A-Z][A-Z0-9-]{1,31})$`)
	commands  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ParseLeaf reads a record strictly: closed forms, and exactly the bytes that
// its fields have, so that nothing hides in white space, in a field given twice
// or in one that nobody knows.
func ParseLeaf(record []byte) (Leaf, error) {
	var l Leaf
	bad := func(why string) (Leaf, error) { return Leaf{}, found(BadRecord, l.Index, "%s", why) }
	if len(record) > maxRecord {
		return bad("the record is longer than any can be")
	}
	d := json.NewDecoder(bytes.NewReader(record))
	d.DisallowUnknownFields()
	if d.Decode(&l) != nil {
		return bad("the record is not JSON of the known fields")
	}
	if again, err := json.Marshal(l); err != nil || !bytes.Equal(again, record) {
		return bad("the record is not written in its one canonical form")
	}
	switch {
	case l.Format != 1:
		return bad("the record has a format that this version does not know: use a newer one")
	case l.Time.Location() != time.UTC:
		return bad("the record's time is not UTC")
	case !actors.MatchString(l.Actor), !actions.MatchString(l.Action), !resources.MatchString(l.Resource), !commands.MatchString(l.Command):
		return bad("a field of the record does not have its closed form")
	case l.Outcome != "applied":
		return bad("the record's outcome is unknown")
	}
	return l, nil
}
