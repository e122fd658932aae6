package controlplane_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/server"
	"github.com/domicile-io/domicile/policy"
)

// The permission matrix: every method of the API's descriptors, called by every
// kind of principal, over gRPC and over REST, against a real voter. What the
// permission table allows must get past authorization; everything else is
// refused with exactly the reason that it should have and leaves nothing
// behind. What another tenant owns is answered like what does not exist.

// verdict is what a cell of the matrix shows.
type verdict string

const (
	allowed    verdict = "✓"
	noIdentity verdict = "401"
	forbidden  verdict = "403"
	absent     verdict = "404" // as absent: the tenant is another's
	noTLS      verdict = "TLS" // the connection is refused
	noREST     verdict = "–"   // the method has no REST form
)

func verdictOf(o outcome) verdict {
	switch {
	case o.broken:
		return noTLS
	case o.unbound:
		return noREST
	case o.reason == policy.Unauthenticated:
		return noIdentity
	case o.reason == policy.PermissionDenied:
		return forbidden
	case o.reason == policy.NotFound:
		return absent
	case o.reason == policy.Internal || o.reason == policy.InvalidArgument || o.reason == policy.NotReady || o.reason == policy.Overloaded:
		return verdict("!" + o.reason) // the call shows nothing of authorization: its entry in matrix_calls_test.go is wrong
	}
	return allowed
}

// due is what the permission table promises.
func due(row server.Row, p principal, scoped bool) verdict {
	switch {
	case p.foreignCA:
		return noTLS
	case p.certificate != "" && slices.Contains(row.Nodes, p.certificate):
		return allowed
	case p.certificate == "dp":
		return forbidden // whatever token it brings
	case len(row.Roles) == 0 && !row.Open:
		return forbidden // a method of nodes
	case row.Open:
		return allowed
	case p.role == "":
		return noIdentity
	case !slices.Contains(row.Roles, p.role):
		return forbidden
	case p.role == bootstrapRole && row.Write:
		return forbidden // none but the first two roles, which these calls do not ask for (TestBootstrapTokenMakesTheFirstCredential)
	case p.readOnly && row.Write:
		return forbidden
	case p.foreign && scoped, p.farAway && ofRegion[row.Method]:
		return absent
	}
	return allowed
}

// ofRegion are methods about one region, which does not exist for who is of another.
var ofRegion = map[string]bool{controlv1.NodeService_AdmitNode_FullMethodName: true, controlv1.NodeService_EvictNode_FullMethodName: true, controlv1.NodeService_PutNodeAdmission_FullMethodName: true,
	controlv1.RegionService_GetRegion_FullMethodName: true, controlv1.RegionService_PutRegion_FullMethodName: true,
	controlv1.RegionService_ListFeatures_FullMethodName: true, controlv1.CatalogueService_GetFeature_FullMethodName: true,
	controlv1.NodeService_GetNode_FullMethodName: true, controlv1.NodeService_GetNodeAdmission_FullMethodName: true}

func TestINV12_ThePermissionMatrix(t *testing.T) {
	w, issuer := newWorldOfLogins(t)
	rows := map[string]server.Row{}
	for _, r := range server.Rows() {
		rows[r.Method] = r
	}
	all := apiMethods(t)
	principals := append(w.principals(), w.strangers(issuer)...)
	m := newMatrix(principals)
	for _, method := range all {
		row, ok := rows[method.full]
		if !ok {
			t.Errorf("%s has no row in the permission table", method.full)
			continue
		}
		call, ok := calls[method.short]
		if !ok {
			t.Errorf("%s: nothing in matrix_calls_test.go says how to call it", method.short)
			continue
		}
		scoped := call.scoped(w)
		for _, p := range principals {
			m.set(method, row, p, w.cell(method, row, call, p, scoped))
		}
		if scoped {
			w.foreignLooksAbsent(method, call)
		}
	}
	for _, r := range rows { // each role of the table is somebody's
		for _, role := range r.Roles {
			if !slices.ContainsFunc(principals, func(p principal) bool { return p.role == role }) {
				t.Errorf("%s is for %s, and nobody here has that role", r.Method, role)
			}
		}
	}
	for name := range calls {
		if !slices.ContainsFunc(all, func(m apiMethod) bool { return m.short == name }) {
			t.Errorf("matrix_calls_test.go calls %s, which does not exist", name)
		}
	}
	if err := w.c.planes[0].Ready(); err != nil {
		t.Errorf("the voter is not well afterwards: %v", err)
	}
	t.Logf("%d methods × %d principals, %d calls\n%s", len(all), len(principals), w.sent, m.table())
	m.compare(t)
}

// cell makes the same call over both transports and gives what both say.
func (w *world) cell(method apiMethod, row server.Row, call matrixCall, p principal, scoped bool) verdict {
	w.c.t.Helper()
	want := due(row, p, scoped)
	target := w.mine
	if p.foreign {
		target = w.other
	}
	var got verdict
	for _, transport := range []transport{overGRPC, overREST} {
		if strings.HasPrefix(method.short, "LongRunningService/") {
			w.idle() // what an allowed call began changes the state behind the next one
		}
		before := w.state()
		o := transport(w, method, call, p, target)
		w.sent++
		v := verdictOf(o)
		expected := want
		if v == noREST {
			if method.rule != nil {
				w.c.t.Errorf("%s as %s: REST knows no such path", method.short, p.name)
			}
			continue
		}
		if o.rest {
			expected = restDue(want, row, p)
		}
		if v != expected {
			w.c.t.Errorf("%s as %s over %s: %s (%s), want %s", method.short, p.name, o.transport(), v, o.text, expected)
		}
		if v != allowed && w.state() != before {
			w.c.t.Errorf("%s as %s over %s was refused and changed the state", method.short, p.name, o.transport())
		}
		if p.ofTenant {
			w.leaks(method, p, o)
		}
		if got == "" {
			got = v
		}
	}
	return got
}

// restDue: a certificate means nothing to REST, whose listener only checks that
// one that is shown is ours. What counts there is the token.
func restDue(want verdict, row server.Row, p principal) verdict {
	switch {
	case p.certificate == "" || p.foreignCA:
		return want
	case row.Open:
		return allowed
	case p.role == "":
		return noIdentity
	case slices.Contains(row.Roles, p.role):
		return allowed
	}
	return forbidden
}

// leaks looks for the other tenant in an answer to a principal of this one (INV10).
func (w *world) leaks(method apiMethod, p principal, o outcome) {
	w.c.t.Helper()
	for _, s := range w.other.names() {
		if strings.Contains(string(o.body), s) {
			w.c.t.Errorf("%s as %s over %s: the answer holds %s of another tenant", method.short, p.name, o.transport(), s)
		}
	}
}

// foreignLooksAbsent compares, byte for byte, what a tenant's principal gets for
// another tenant's object and for one that never was (INV11).
func (w *world) foreignLooksAbsent(method apiMethod, call matrixCall) {
	w.c.t.Helper()
	for _, p := range w.people {
		for _, transport := range []transport{overGRPC, overREST} {
			for _, pair := range [][2]fixture{{w.other, w.nobody}, {w.other.bySlug(), w.nobody.bySlug()}} {
				foreign, none := transport(w, method, call, p, pair[0]), transport(w, method, call, p, pair[1])
				w.sent += 2
				if foreign.unbound {
					continue
				}
				if a, b := foreign.comparable(), none.comparable(); a != b {
					w.c.t.Errorf("%s as %s over %s: foreign and absent differ\n%s\n%s", method.short, p.name, foreign.transport(), a, b)
				}
			}
		}
	}
}

// state is what must not change: revision and hash of everything replicated.
func (w *world) state() string {
	w.c.t.Helper()
	s := w.c.planes[0].State()
	hash, _, err := s.StateHash()
	if err != nil {
		w.c.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", s.Revision(), hash)
}
