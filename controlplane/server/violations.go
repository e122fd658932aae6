package server

import (
	"sync"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// maxViolations bounds what is kept; the oldest goes first.
const maxViolations = 1000

// violations are kept in the leader's memory only and begin anew with a new
// leader. An open one is not opened twice.
type violations struct {
	mu   sync.Mutex
	open []*controlv1.Violation
}

// add opens a violation of a node. Category is one of the contract's closed list.
func (v *violations) add(category string, node policy.NodeID, revision uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, x := range v.open {
		if x.GetCategory() == category && x.GetResource() == string(node) && x.GetRevision() == revision {
			return
		}
	}
	id, err := draw(policy.KindViolation)
	if err != nil {
		return // without randomness nothing else works either
	}
	v.open = append(v.open, &controlv1.Violation{Id: id, State: "open", Category: category, Resource: string(node), Revision: revision,
		Commands: []string{"domicile nodes list", "domicile status"}})
	if len(v.open) > maxViolations {
		v.open = v.open[1:]
	}
}

func (v *violations) list() []*controlv1.Violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]*controlv1.Violation(nil), v.open...)
}
