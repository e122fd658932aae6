package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

// reasonWord is how a reason stands in a comment of the protobuf sources.
var reasonWord = regexp.MustCompile(`\b[A-Z]+(_[A-Z]+)*\b`)

// complete adds to one operation what the generator does not know.
func complete(path, method string, o map[string]any) {
	if method != "get" && path != backupPath && !takes(o, "Idempotency-Key") {
		o["parameters"] = append(parameters(o), map[string]any{"name": "Idempotency-Key", "in": "header", "required": false, "type": "string", "format": "uuid",
			"description": "Drawn by the caller for each change: repeated with the same request, it gives the same answer and does nothing."})
	}
	responses := o["responses"].(map[string]any)
	byStatus := map[int][]string{}
	for _, r := range reasons(path, method, o) {
		status := api.MappingOf(r).HTTP
		byStatus[status] = append(byStatus[status], string(r))
	}
	for status, names := range byStatus {
		slices.Sort(names)
		responses[strconv.Itoa(status)] = map[string]any{
			"description": "A problem document (RFC 9457) with reason " + strings.Join(slices.Compact(names), " or ") + ".",
			"schema":      map[string]any{"$ref": "#/definitions/v1Problem"},
		}
	}
}

// reasons are those that an operation is documented to answer with. What every
// operation has follows from how it is called; what one alone has, its comment names.
func reasons(path, method string, o map[string]any) []policy.Reason {
	out := []policy.Reason{policy.InvalidArgument, policy.Overloaded, policy.Internal, policy.NotReady}
	if _, open := o["security"]; !open {
		out = append(out, policy.Unauthenticated, policy.PermissionDenied)
	}
	if strings.Contains(path, "{") {
		out = append(out, policy.NotFound)
	}
	for _, p := range parameters(o) {
		switch p := p.(map[string]any); {
		case p["in"] == "body":
			out = append(out, policy.PayloadTooLarge, policy.UnsupportedMediaType)
		case p["name"] == "If-Match" && p["required"] == true:
			out = append(out, policy.ETagMismatch, policy.IfMatchRequired)
		case p["name"] == "If-Match":
			out = append(out, policy.ETagMismatch)
		case p["name"] == "Idempotency-Key":
			out = append(out, policy.IdempotencyKeyReused, policy.AnswerNotKept, policy.OutcomeUnknown)
		}
	}
	text, _ := o["description"].(string)
	for _, word := range reasonWord.FindAllString(text, -1) {
		if r := policy.Reason(word); api.Known(r) {
			out = append(out, r)
		}
	}
	return out
}

func parameters(o map[string]any) []any {
	list, _ := o["parameters"].([]any)
	return list
}

func takes(o map[string]any, name string) bool {
	return slices.ContainsFunc(parameters(o), func(p any) bool { return p.(map[string]any)["name"] == name })
}
