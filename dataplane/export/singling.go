package export

import (
	"slices"
	"sort"
	"strings"

	"github.com/domicile-io/domicile/dataplane/record"
)

// MaxRowsPerSubject bounds what one external subject contributes to a class in
// a window, so that a single frequent caller cannot shape what is released.
const MaxRowsPerSubject = 20

// Candidate is one row that would leave, with what the gate needs and the row
// must not carry: the external party's random subject id.
type Candidate struct {
	Row      record.Pseudonymised
	Class    string // every generalised field of the row, joined; what a recipient can group by
	External string // SU… of the external party (inbound: from; outbound: to); "" anonymous
}

// Suppression says that a class did not pass, and why.
type Suppression struct {
	Class    string `json:"class"`
	Rows     int    `json:"rows"`
	Subjects int    `json:"subjects"`
	Needed   int    `json:"needed"`
}

// SingleOut is the singling-out gate (contract §7): a class of rows passes when
// it holds at least needed = k + m distinct external subjects, so that a
// recipient who controls m of them still cannot tell fewer than k apart.
// Anonymous parties count for nothing and leave only with a class that passes
// without them. Beyond MaxRowsPerSubject a subject's rows are left out.
// Classes are ordered by name, and the rows of one by their pseudonyms: the order in
// which calls were acknowledged would tell a recipient that makes calls of its own
// when those of others were (invariant 17).
func SingleOut(candidates []Candidate, needed int) (released []record.Pseudonymised, suppressed []Suppression) {
	classes := map[string][]Candidate{}
	for _, c := range candidates {
		classes[c.Class] = append(classes[c.Class], c)
	}
	names := make([]string, 0, len(classes))
	for name := range classes {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		rows, subjects, over := bound(classes[name])
		if subjects < needed {
			suppressed = append(suppressed, Suppression{Class: name, Rows: len(classes[name]), Subjects: subjects, Needed: needed})
			continue
		}
		slices.SortFunc(rows, func(a, b record.Pseudonymised) int { return strings.Compare(a.Row(), b.Row()) })
		released = append(released, rows...)
		if over > 0 {
			suppressed = append(suppressed, Suppression{Class: name, Rows: over, Subjects: subjects, Needed: needed})
		}
	}
	return released, suppressed
}

// bound keeps at most MaxRowsPerSubject rows of each subject and counts the
// distinct subjects and the rows that were left out.
func bound(class []Candidate) (rows []record.Pseudonymised, subjects, over int) {
	seen := map[string]int{}
	for _, c := range class {
		seen[c.External]++
		if seen[c.External] > MaxRowsPerSubject {
			over++
			continue
		}
		rows = append(rows, c.Row)
	}
	subjects = len(seen)
	if _, anonymous := seen[""]; anonymous {
		subjects--
	}
	return rows, subjects, over
}

// external picks the party outside the tenant.
func external(r *record.Record) record.Party {
	if r.Direction == record.Outbound {
		return r.To
	}
	return r.From
}
