package client_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/domicile-io/domicile/api/client"
)

// form is one REST form of the API: a verb and a path template.
type form struct{ verb, template string }

var fieldInPath = regexp.MustCompile(`\\\{[a-z_]+\\\}`)

func (f form) takes(verb, path string) bool {
	return f.verb == verb && regexp.MustCompile("^"+fieldInPath.ReplaceAllString(regexp.QuoteMeta(f.template), "[^/:]+")+"$").MatchString(path)
}

// forms reads the descriptors, and adds what the control plane routes by hand.
func forms(t *testing.T) []form {
	t.Helper()
	out := []form{{"POST", "/v1/backups"}, {"GET", "/readyz"}}
	protoregistry.GlobalFiles.RangeFilesByPackage("domicile.control.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for k := range methods.Len() {
				rule, _ := proto.GetExtension(methods.Get(k).Options(), annotations.E_Http).(*annotations.HttpRule)
				for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
					for verb, path := range map[string]string{"GET": r.GetGet(), "PUT": r.GetPut(), "POST": r.GetPost(), "DELETE": r.GetDelete(), "PATCH": r.GetPatch()} {
						if path != "" {
							out = append(out, form{verb, path})
						}
					}
				}
			}
		}
		return true
	})
	if len(out) < 70 {
		t.Fatalf("only %d forms found: the walk is broken", len(out))
	}
	return out
}

// verbs are what a method does that has one path for several forms.
var verbs = map[string][]string{"ChangeMember": {"promote", "demote", "transferLeadership"}}

func TestTheClientHasEveryMethodOfTheAPI(t *testing.T) {
	var mu sync.Mutex
	var seen []form
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, form{r.Method, r.URL.Path})
		mu.Unlock()
		_, _ = w.Write([]byte("{}"))
	}))
	defer s.Close()
	c := reflect.ValueOf(&client.Control{BaseURL: s.URL})
	for i := range c.NumMethod() {
		name, method := c.Type().Method(i).Name, c.Method(i)
		last := verbs[name]
		if last == nil {
			last = []string{""}
		}
		for _, verb := range last {
			mu.Lock()
			before := len(seen)
			mu.Unlock()
			out := method.Call(arguments(t, name, method.Type(), verb))
			if err, _ := out[len(out)-1].Interface().(error); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			mu.Lock()
			if len(seen) == before {
				t.Errorf("%s asked nothing", name)
			}
			mu.Unlock()
		}
	}
	all, called := forms(t), map[form]bool{}
	for _, request := range seen {
		known := false
		for _, f := range all {
			if f.takes(request.verb, request.template) {
				known, called[f] = true, true
			}
		}
		if !known {
			t.Errorf("the client calls %s %s, which the API does not have", request.verb, request.template)
		}
	}
	for _, f := range all {
		if !called[f] {
			t.Errorf("no method of client.Control calls %s %s", f.verb, f.template)
		}
	}
}

// arguments makes up one call: every string, also in messages, is something
// that a path can hold; the last string is verb where that is given.
func arguments(t *testing.T, name string, f reflect.Type, verb string) []reflect.Value {
	t.Helper()
	var in []reflect.Value
	for i := range f.NumIn() {
		switch p := f.In(i); {
		case p == reflect.TypeFor[context.Context]():
			in = append(in, reflect.ValueOf(t.Context()))
		case p == reflect.TypeFor[io.Writer]():
			in = append(in, reflect.ValueOf(io.Discard))
		case p.Implements(reflect.TypeFor[proto.Message]()):
			in = append(in, reflect.ValueOf(filled(reflect.New(p.Elem()).Interface().(proto.Message))))
		case p.Kind() == reflect.String && i == f.NumIn()-1 && verb != "":
			in = append(in, reflect.ValueOf(verb))
		case p.Kind() == reflect.String:
			in = append(in, reflect.ValueOf(strings.ToLower(name)).Convert(p))
		default:
			in = append(in, reflect.Zero(p))
		}
	}
	if f.IsVariadic() {
		in = in[:len(in)-1]
	}
	return in
}

func filled(m proto.Message) proto.Message {
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); f.Kind() == protoreflect.StringKind && f.Cardinality() != protoreflect.Repeated {
			m.ProtoReflect().Set(f, protoreflect.ValueOfString("x1"))
		}
	}
	return m
}
