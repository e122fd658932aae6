package data

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/internal/canary"
)

// personal are the types that hold personal data, themselves or in what they hold.
var personal = []any{Party{}, Call{}, NewCall{}, Calls{}, Search{}, Quarantined{}, Quarantine{}, FeedSettings{}, STIR{},
	SubjectRef{}, SubjectExport{}, SubjectReassign{}, HoldRequest{}, Hold{}, Holds{}, SubjectCall{},
	Segment{}, NewTranscript{}, Transcript{}, Transcripts{}, TranscriptSearch{}, TranscriptMatch{}, SegmentMatch{}, TranscriptMatches{}}

// plain are the types that hold ids, counts and codes only.
var plain = strings.Fields(`Recording Recordings Created Counts Rollup Rollups Replay Replayed Egress EgressLedger Transfer Transfers PseudonymRow Received ExportRun Suppressed
	Upload SimulateRequest Simulation SimulatedFlow Tally SimulatedReason Owner Owners HoldRelease Certificate ErasureCounts Signature Certificates Manifest ManifestPart
	Checkpoint LogLeaf LogLeaves LogProof LogConsistency Receipt ReceiptPart`)

func TestINV01_WhatIsPersonalDoesNotPrint(t *testing.T) {
	const number = "+353867391846"
	for _, v := range personal {
		full := canary.Filled(v, number)
		if printed := canary.Printed(full); bytes.Contains(printed, []byte(number[1:])) {
			t.Errorf("%T prints what is in it:\n%s", v, printed)
		}
		if raw, err := json.Marshal(full); err != nil || !bytes.Contains(raw, []byte(number[1:])) {
			t.Errorf("%T has lost its wire form: %v", v, err)
		}
	}
	if !bytes.Contains(canary.Printed(canary.Filled(Created{}, number)), []byte(number)) {
		t.Error("the test finds nothing, even where it is")
	}
}

// A type without a verdict fails.
func TestEveryWireTypeIsPersonalOrPlain(t *testing.T) {
	known := map[string]bool{}
	for _, v := range personal {
		known[reflect.TypeOf(v).Name()] = true
	}
	for _, name := range plain {
		known[name] = true
	}
	for _, name := range structs(t) {
		if !known[name] {
			t.Errorf("%s is neither among the personal types nor among the plain ones; a personal one needs Format and LogValue in redact.go", name)
		}
	}
}

// structs are the names of the exported structs of this package.
func structs(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				if _, ok := spec.Type.(*ast.StructType); ok {
					names = append(names, spec.Name.Name)
				}
			}
			return true
		})
	}
	return names
}
