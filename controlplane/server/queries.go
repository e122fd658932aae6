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
	method string
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
				method, at := http.MethodGet, rule.GetGet()
				if at == "" {
					method, at = http.MethodDelete, rule.GetDelete()
				}
				if at == "" {
					continue
				}
				q := query{method: method, path: regexp.MustCompile("^" + pathField.ReplaceAllString(regexp.QuoteMeta(at), "[^/:]+") + "$")}
				fields := methods.Get(k).Input().Fields()
				for n := range fields.Len() {
					if name := string(fields.Get(n).Name()); !strings.Contains(at, "{"+name+"}") {
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
	return slices.ContainsFunc(list, func(q query) bool {
		return q.method == r.Method && q.path.MatchString(r.URL.Path) && slices.Contains(q.params, name)
	})
}
