package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/mirror"
)

// docs serves what needs no credential: health, the OpenAPI document, a page that
// lists its operations without loading anything from anywhere, and the Terraform
// provider.
type docs struct{ page []byte }

type operation struct{ Method, Path, Summary string }

var docsPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Domicile control plane API</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
td,th{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top}code{font-size:.9em}</style>
<h1>Domicile control plane API</h1>
<p>Send <code>Authorization: Bearer</code> with a token. Errors are problem documents with a <code>reason</code> and a <code>request_id</code>.
The whole contract is at <a href="/openapi.json">/openapi.json</a>.</p>
<table><tr><th>Method<th>Path<th>What it does</tr>
{{range .}}<tr><td><code>{{.Method}}</code><td><code>{{.Path}}</code><td>{{.Summary}}</tr>
{{end}}</table></html>
`))

func newDocs() (*docs, error) {
	var doc struct {
		Paths map[string]map[string]struct{ Summary string }
	}
	if err := json.Unmarshal(controlv1.OpenAPI, &doc); err != nil {
		return nil, fmt.Errorf("read the embedded OpenAPI document: %w", err)
	}
	var list []operation
	for path, methods := range doc.Paths {
		for method, o := range methods {
			list = append(list, operation{Method: strings.ToUpper(method), Path: path, Summary: o.Summary})
		}
	}
	slices.SortFunc(list, func(a, b operation) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	var page bytes.Buffer
	if err := docsPage.Execute(&page, list); err != nil {
		return nil, fmt.Errorf("write the page of operations: %w", err)
	}
	return &docs{page: page.Bytes()}, nil
}

func (d *docs) handler(s *Server, rest http.Handler) http.Handler {
	open := map[string]http.HandlerFunc{
		"/healthz": func(w http.ResponseWriter, _ *http.Request) { answer(w, "text/plain; charset=utf-8", []byte("ok\n")) },
		"/readyz": func(w http.ResponseWriter, _ *http.Request) {
			if err := s.Ready(); err != nil {
				w.Header().Set("Content-Type", "text/plain; charset=utf-8")
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = w.Write([]byte(err.Error() + "\n"))
				return
			}
			answer(w, "text/plain; charset=utf-8", []byte("ready\n"))
		},
		"/openapi.json": func(w http.ResponseWriter, _ *http.Request) { answer(w, "application/json", controlv1.OpenAPI) },
		"/docs": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
			answer(w, "text/html; charset=utf-8", d.page)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, ok := open[r.URL.Path]
		terraform := s.mirror != nil && strings.HasPrefix(r.URL.Path, mirror.Prefix)
		switch {
		case !ok && !terraform:
			rest.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			routingProblem(w, r, http.StatusMethodNotAllowed)
		case terraform:
			s.mirror.ServeHTTP(w, r)
		default:
			h(w, r)
		}
	})
}

func answer(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body)
}
