package docs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/twilio"
	"github.com/domicile-io/domicile/policy"
)

// Every path of the control plane's OpenAPI document; who may is what
// docs/permissions.md observed.
func TestReferenceOfTheControlPlanesREST(t *testing.T) {
	raw, err := os.ReadFile(repo + "api/control/v1/control.swagger.json")
	if err != nil {
		t.Fatal(err)
	}
	type operation struct {
		Summary, Description string
		Tags                 []string
		Parameters           []struct {
			Name, In string
			Required bool
		}
		Responses map[string]struct{ Description string }
	}
	var doc struct {
		Paths map[string]map[string]operation
		Tags  []struct{ Name, Description string }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	may := observed(t)
	sections := map[string][][]string{}
	for _, path := range sorted(doc.Paths) {
		for _, verb := range []string{"get", "post", "put", "patch", "delete"} {
			o, ok := doc.Paths[path][verb]
			if !ok {
				continue
			}
			call := strings.ToUpper(verb) + " " + path
			if len(o.Tags) != 1 || o.Summary == "" {
				t.Errorf("%s has no summary", call)
				continue
			}
			var takes []string
			for _, p := range o.Parameters {
				if p.In == "query" || p.In == "header" {
					takes = append(takes, code(p.Name))
				}
			}
			who := may[call]
			if who == "" {
				t.Errorf("docs/permissions.md does not say who may %s", call)
			}
			sections[o.Tags[0]] = append(sections[o.Tags[0]], []string{code(call), who, strings.TrimSpace(sentence(o.Summary) + " " + o.Description), strings.Join(takes, ", "), reasonsIn(o.Responses)})
		}
	}
	var b strings.Builder
	for _, tag := range doc.Tags {
		if rows := sections[tag.Name]; rows != nil {
			fmt.Fprintf(&b, "## %s\n\n%s\n\n%s\n", strings.TrimSuffix(tag.Name, "Service"), strings.Join(strings.Fields(tag.Description), " "), table([]string{"call", "who", "does", "takes", "its own reasons"}, rows))
		}
	}
	page(t, "rest-control-plane.md", "REST of the control plane",
		"From the OpenAPI document that each voter serves at `/openapi.json` (bodies and answers are there). JSON in `snake_case`, times in RFC 3339 UTC, a bearer token. Lists take `page_size` (≤ 1000) and `page_token`. [permissions.md](../permissions.md) is what each kind of caller got, path by path.\n\n"+
			"Beside its own reasons each call may answer `INVALID_ARGUMENT`, `UNAUTHENTICATED`, `PERMISSION_DENIED`, `OVERLOADED`, `UNAVAILABLE` and `INTERNAL`; [reasons.md](reasons.md) says what to do.", b.String())
}

// usual are the reasons that every call may have.
var usual = []string{"INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "OVERLOADED", "UNAVAILABLE", "INTERNAL"}

func reasonsIn(responses map[string]struct{ Description string }) string {
	var out []string
	for _, r := range responses {
		for _, w := range regexp.MustCompile(`\b[A-Z]+(_[A-Z]+)+\b|\bDESTROYED\b`).FindAllString(r.Description, -1) {
			if !slices.Contains(usual, w) {
				out = append(out, code(w))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

// observed reads, from docs/permissions.md, which roles got past authorization.
func observed(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(repo + "docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	for _, m := range regexp.MustCompile(`(?m)^\d+\. (.*)$`).FindAllStringSubmatch(string(raw), -1) {
		columns = append(columns, m[1])
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| [*]*([A-Za-z/]+)[*]* \\| (?:`([A-Z]+ [^`]+)`|–) \\| (.*) \\|$").FindAllStringSubmatch(string(raw), -1) {
		var who []string
		for i, cell := range strings.Split(m[3], " | ") {
			name := columns[i]
			if cell == "✓" && (strings.Contains(name, "_") || slices.Contains([]string{"operator", "auditor", "terraform", "no credential"}, name)) && !strings.Contains(name, "another") {
				who = append(who, strings.ReplaceAll(name, "no credential", "anybody"))
			}
		}
		slices.Sort(who)
		if who = slices.Compact(who); slices.Contains(who, "anybody") {
			who = []string{"anybody"}
		}
		call := m[2]
		if m[1] == "BackupService/CreateBackup" { // its answer is a file, which gRPC's gateway does not know
			call = "POST /v1/backups"
		}
		out[call] = cmp.Or(strings.Join(who, ", "), "nobody over REST")
	}
	return out
}

// Every path of a region, from the one table of its listener.
func TestReferenceOfARegionsREST(t *testing.T) {
	files := sources(t, "dataplane/server")
	handlers, bodies := map[string]string{}, map[string]*ast.FuncDecl{}
	each(files, func(_ *ast.File, f *ast.FuncDecl) {
		if f.Recv == nil { // of a method and a function of one name, the method counts
			if bodies[f.Name.Name] == nil {
				bodies[f.Name.Name] = f
			}
		} else if star, ok := f.Recv.List[0].Type.(*ast.StarExpr); ok && ident(star.X) == "exchange" {
			handlers[f.Name.Name], bodies[f.Name.Name] = words(f.Doc), f
		}
	})
	var ours, theirs [][]string
	each(files, func(_ *ast.File, lit *ast.CompositeLit) {
		row := map[string]ast.Expr{}
		for _, e := range lit.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				if id, ok := kv.Key.(*ast.Ident); ok {
					row[id.Name] = kv.Value
				}
			}
		}
		pattern, isRoute := row["pattern"]
		if !isRoute || row["serve"] == nil && row["public"] == nil {
			return
		}
		path := text(pattern)
		sum, foreign := pattern.(*ast.BinaryExpr)
		if foreign { // "GET " + account + "Calls.json"
			path = text(sum.X.(*ast.BinaryExpr).X) + twilio.Prefix + "Accounts/{account}/" + text(sum.Y)
		}
		handler := selected(cmp.Or(row["serve"], row["public"]))
		about := handlers[handler]
		if about == "" {
			t.Errorf("%s: its handler %s says not what it does: give it a comment", path, handler)
		}
		about = sentence(strings.TrimPrefix(about, handler+" "))
		who := "anybody"
		if row["action"] != nil {
			who = roles(t, selected(row["action"]))
		}
		cells := []string{code(path), who, about, named(bodies, handler)}
		if foreign {
			theirs = append(theirs, cells)
		} else {
			ours = append(ours, cells)
		}
	})
	if len(ours) < 45 || len(theirs) < 8 {
		t.Errorf("only %d and %d paths", len(ours), len(theirs))
	}
	head := []string{"call", "key of role", "does", "reasons that it names"}
	page(t, "rest-region.md", "REST of a region",
		"The table of a region's listener. A request goes to the region that the key names; elsewhere it is answered `421 WRONG_REGION` before its body is read. JSON in `snake_case`, times in RFC 3339 UTC; lists take `page_size` (≤ 1000) and `page_token`. A number never stands in a URL of ours. The fields are those of package [api/data](../../api/data).\n\n"+
			"Beside the reasons named here each call may answer `WRONG_REGION`, `UNAUTHENTICATED`, `PERMISSION_DENIED`, `NOT_FOUND`, `FEATURE_NOT_IN_REGION`, `POLICY_STALE`, `TENANT_FENCED`, `OVERLOADED`, `STORAGE_FULL`, `UNAVAILABLE` and `INTERNAL`; [reasons.md](reasons.md) says what to do.",
		table(head, ours)+"\n## Twilio's shape\n\nFor its client libraries; [how](../operations/twilio.md). What else that API has answers 501 in its own shape.\n\n"+table(head, theirs))
}

// selected is the last name of x.y or (*T).y.
func selected(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return ""
}

// roles asks the gate which roles of keys may do an action.
func roles(t *testing.T, action string) string {
	t.Helper()
	a, ok := map[string]gate.Action{"WriteRecords": gate.WriteRecords, "ReadRecords": gate.ReadRecords, "ReadLedger": gate.ReadLedger, "ReadSettings": gate.ReadSettings,
		"WriteSettings": gate.WriteSettings, "RunExports": gate.RunExports, "ReadReceived": gate.ReadReceived, "Erase": gate.Erase}[action]
	if !ok {
		t.Errorf("the action %s is new: name it in this test", action)
	}
	var out []string
	for _, r := range []policy.KeyRole{policy.RoleAdmin, policy.RoleIngest, policy.RoleReader, policy.RoleRecipient} {
		if (gate.Principal{Role: r}).May(a) == nil {
			out = append(out, string(r))
		}
	}
	return strings.Join(out, ", ")
}

// named are the reasons that a handler and what it calls in its package name,
// without those that every request can meet.
func named(bodies map[string]*ast.FuncDecl, handler string) string {
	names := map[string]string{"NotYet": "NOT_YET", "LegalHold": "LEGAL_HOLD", "Destroyed": "DESTROYED", "PayloadTooLarge": "PAYLOAD_TOO_LARGE", "UnsupportedMediaType": "UNSUPPORTED_MEDIA_TYPE",
		"InvalidArgument": "INVALID_ARGUMENT", "AlreadyExists": "ALREADY_EXISTS", "ETagMismatch": "ETAG_MISMATCH", "SnapshotGone": "SNAPSHOT_GONE", "ConsentRequired": "CONSENT_REQUIRED"}
	found, seen := map[string]bool{}, map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		f := bodies[name]
		if f == nil || f.Body == nil || seen[name] {
			return
		}
		seen[name] = true
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "policy" && names[n.Sel.Name] != "" {
					found[code(names[n.Sel.Name])] = true
				} else if ok && x.Name == "x" {
					visit(n.Sel.Name)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok {
					visit(id.Name)
				}
			}
			return true
		})
	}
	visit(handler)
	return strings.Join(sorted(found), ", ")
}
