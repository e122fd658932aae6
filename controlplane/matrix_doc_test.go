package controlplane_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/controlplane/server"
)

var rewrite = flag.Bool("rewrite", false, "write docs/permissions.md anew from what was observed")

const matrixDoc = "../docs/permissions.md"

// matrix is what was observed.
type matrix struct {
	columns []principal
	rows    []matrixRow
}

type matrixRow struct {
	method apiMethod
	row    server.Row
	cells  []verdict
}

func newMatrix(columns []principal) *matrix { return &matrix{columns: columns} }

func (m *matrix) set(method apiMethod, row server.Row, _ principal, v verdict) {
	if n := len(m.rows); n == 0 || m.rows[n-1].method.full != method.full {
		m.rows = append(m.rows, matrixRow{method: method, row: row})
	}
	last := &m.rows[len(m.rows)-1]
	last.cells = append(last.cells, v)
}

// table is the matrix as Markdown.
func (m *matrix) table() string {
	var b strings.Builder
	b.WriteString("| method | REST |")
	for i := range m.columns {
		fmt.Fprintf(&b, " %d |", i+1)
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" :-: |", len(m.columns)) + "\n")
	for _, r := range m.rows {
		rest := "–"
		if r.method.rule != nil {
			verb, path := r.method.verb()
			rest = "`" + verb + " " + path + "`"
		}
		name := r.method.short
		if r.row.Write {
			name = "**" + name + "**"
		}
		fmt.Fprintf(&b, "| %s | %s |", name, rest)
		for _, c := range r.cells {
			fmt.Fprintf(&b, " %s |", c)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (m *matrix) document() []byte {
	var b bytes.Buffer
	b.WriteString(`# Who may do what

Generated from what a real voter answered: every method of the API's descriptors, called by every kind of principal, over gRPC and over REST. Do not edit; after a change of the permission table run
` + "`go test ./controlplane -run ThePermissionMatrix -rewrite`" + ` and review the difference.

`)
	b.WriteString("✓ gets past authorization · 401 no working credential · 403 the role may not · 404 as absent: the object is another tenant's · TLS the connection is refused · writes in **bold**.\n" +
		"Certificates are of gRPC; to REST a certificate says nothing, and one of another cluster is refused with the connection. The test also compares, byte for byte, the answers for what is another tenant's and for what never was, " +
		"and looks that nothing refused changed revision or state hash.\n\n")
	for i, p := range m.columns {
		fmt.Fprintf(&b, "%d. %s\n", i+1, p.name)
	}
	b.WriteString("\n" + m.table())
	return b.Bytes()
}

// compare holds what was observed against the committed document.
func (m *matrix) compare(t *testing.T) {
	t.Helper()
	want := m.document()
	if *rewrite {
		if err := os.WriteFile(matrixDoc, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(matrixDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/permissions.md is not what was observed: run go test ./controlplane -run ThePermissionMatrix -rewrite, and review the difference")
	}
}
