package server

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// query is what the query of one path may hold, as the descriptors say.
type query struct {
	path   *regexp.Regexp
	params []string
}

var pathField = regexp.MustCompile(`\\\{([a-z_]+)\\\}`)

// newQueries reads every GET of the API. Only reads have parameters, and a name
// that a path does not know is a mistake that would silently filter nothing.
func newQueries() []query {
	var out []query
	protoregistry.GlobalFiles.RangeFilesByPackage("domicile.control.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for k := range methods.Len() {
				rule, _ := proto.GetExtension(methods.Get(k).Options(), annotations.E_Http).(*annotations.HttpRule)
				if rule.GetGet() == "" {
					continue
				}
				q := query{path: regexp.MustCompile("^" + pathField.ReplaceAllString(regexp.QuoteMeta(rule.GetGet()), "[^/:]+") + "$")}
				fields := methods.Get(k).Input().Fields()
				for n := range fields.Len() {
					if name := string(fields.Get(n).Name()); !strings.Contains(rule.GetGet(), "{"+name+"}") {
						q.params = append(q.params, name)
					}
				}
				out = append(out, q)
			}
		}
		return true
	})
	return out
}

// takes reports whether a request's query may hold a name.
func takes(list []query, r *http.Request, name string) bool {
	return r.Method == http.MethodGet && slices.ContainsFunc(list, func(q query) bool {
		return q.path.MatchString(r.URL.Path) && slices.Contains(q.params, name)
	})
}
