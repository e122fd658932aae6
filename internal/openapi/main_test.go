package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/domicile-io/domicile/api"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

type described struct {
	Summary     string
	Description string
	Security    *[]any
	Responses   map[string]struct{ Description string }
}

func committed(t *testing.T) map[string]map[string]described {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]described
	}
	if err := json.Unmarshal(controlv1.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Paths
}

func TestTheCommittedDocumentIsFinished(t *testing.T) {
	again, err := finish(controlv1.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, controlv1.OpenAPI) {
		t.Error("finishing api/control/v1/control.swagger.json changes it: run make generate and commit the result")
	}
}

func TestTheDocumentHasEveryMethodWithARESTForm(t *testing.T) {
	paths, found := committed(t), 0
	protoregistry.GlobalFiles.RangeFilesByPackage("domicile.control.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for k := range methods.Len() {
				rule, _ := proto.GetExtension(methods.Get(k).Options(), annotations.E_Http).(*annotations.HttpRule)
				for verb, path := range map[string]string{"get": rule.GetGet(), "put": rule.GetPut(), "post": rule.GetPost(), "delete": rule.GetDelete(), "patch": rule.GetPatch()} {
					if path == "" {
						continue
					}
					found++
					if o := paths[path][verb]; o.Summary == "" || o.Description == "" {
						t.Errorf("%s %s (%s): want a summary and a description", verb, path, methods.Get(k).FullName())
					}
				}
			}
		}
		return true
	})
	if found < 60 {
		t.Errorf("only %d methods found: the walk is broken", found)
	}
	if paths[backupPath]["post"].Summary == "" {
		t.Error("the backup, which is routed by hand, is missing")
	}
}

func TestErrorsFollowFromHowAnOperationIsCalled(t *testing.T) {
	paths := committed(t)
	for _, c := range []struct {
		verb, path, status, reason string
		has                        bool
	}{
		{"get", "/v1/login", "401", "", false}, // needs no credential
		{"get", "/v1/whoami", "401", "UNAUTHENTICATED", true},
		{"get", "/v1/tenants", "404", "", false},
		{"get", "/v1/tenants/{tenant}", "404", "NOT_FOUND", true},
		{"get", "/v1/tenants/{tenant}", "412", "", false},
		{"put", "/v1/regions/{region}", "412", "ETAG_MISMATCH", true},
		{"put", "/v1/regions/{region}", "428", "", false}, // a new region has none
		{"put", "/v1/tenants/{tenant}/policy", "428", "IF_MATCH_REQUIRED", true},
		{"put", "/v1/tenants/{tenant}/policy", "409", "LOOSENING_NEEDS_APPROVAL", true},
		{"post", "/v1/tenants", "400", "REGION_REQUIRED", true},
		{"post", "/v1/tenants", "409", "IDEMPOTENCY_KEY_REUSED", true},
		{"post", backupPath, "409", "", false},
	} {
		r, ok := paths[c.path][c.verb].Responses[c.status]
		if ok != c.has || ok && !regexp.MustCompile(`\b`+c.reason+`\b`).MatchString(r.Description) {
			t.Errorf("%s %s: %s is %q, documented %v; want %q, %v", c.verb, c.path, c.status, r.Description, ok, c.reason, c.has)
		}
	}
}

func TestOnlyOpenOperationsNeedNoCredential(t *testing.T) {
	open := map[string]bool{"/v1/login": true, "/v1/audit/checkpoint": true} // TestINV12_EveryMethodHasARow has the same two
	for path, methods := range committed(t) {
		for verb, o := range methods {
			if (o.Security != nil) != open[path] {
				t.Errorf("%s %s: documented as open %v, want %v", verb, path, o.Security != nil, open[path])
			}
		}
	}
}

// A description that names a reason which the API does not have sends people
// looking for it.
func TestDescriptionsNameReasonsThatExist(t *testing.T) {
	for path, methods := range committed(t) {
		for verb, o := range methods {
			for _, word := range regexp.MustCompile(`\b[A-Z]+(_[A-Z]+)+\b`).FindAllString(o.Description, -1) {
				if !api.Known(policy.Reason(word)) {
					t.Errorf("%s %s names %s, which no problem document has as its reason", verb, path, word)
				}
			}
		}
	}
}
