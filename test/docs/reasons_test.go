package docs

import (
	"fmt"
	"go/ast"
	"strconv"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

// Every reason of the vocabulary, its statuses from the one table, its meaning
// from the comment beside it; and every rule of a decision.
func TestReferenceOfReasons(t *testing.T) {
	var rows [][]string
	each(sources(t, "policy"), func(_ *ast.File, v *ast.ValueSpec) {
		if typ, ok := v.Type.(*ast.Ident); !ok || typ.Name != "Reason" || len(v.Values) != 1 {
			return
		}
		reason := policy.Reason(text(v.Values[0]))
		if !api.Known(reason) {
			t.Errorf("%s has no row in the table of package api", reason)
		}
		m := api.MappingOf(reason)
		means, next, ok := strings.Cut(words(v.Doc, v.Comment), ". ")
		if !ok || next == "" {
			t.Errorf("%s: its comment says not what it means and, in a second sentence, what to do next", reason)
		}
		again := "–"
		if m.RetryAfter > 0 {
			again = fmt.Sprintf("%d s", m.RetryAfter)
		}
		rows = append(rows, []string{`<a id="` + strings.ToLower(string(reason)) + `"></a>` + code(string(reason)), strconv.Itoa(m.HTTP), code(grpcName(m.GRPC.String())), again, sentence(means), sentence(next)})
	})
	if len(rows) < 30 {
		t.Errorf("only %d reasons", len(rows))
	}
	var rules [][]string
	for c := policy.RuleCode(1); c < 255; c++ {
		if strings.HasPrefix(c.String(), "UNKNOWN_RULE_") {
			continue
		}
		what := "permits, or makes a condition"
		if c.Denies() {
			what = "denies"
		}
		rules = append(rules, []string{code(c.String()), what, sentence(c.Explanation())})
	}
	page(t, "reasons.md", "Reasons of refusals",
		"Every error, of the control plane and of every region, is a problem document (RFC 9457) with one `reason` of this closed list, a `detail` that says what happened and what to do, and a `request_id` to quote. Over gRPC the reason stands in an `ErrorInfo` of domain `"+api.Domain+"`. An unknown reason is to be treated by its status.",
		table([]string{"reason", "HTTP", "gRPC", "retry after", "means", "next"}, rows)+
			"\n## Rules of a decision\n\nWhat `domicile explain` answers with, and why a region refused. A decision names every rule that it met, and one that denies is enough.\n\n"+
			table([]string{"rule", "effect", "says"}, rules))
}

// grpcName is a code as the wire writes it.
func grpcName(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}
