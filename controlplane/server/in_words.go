package server

import (
	"regexp"
	"strings"
)

const ofForm = "does not match regex pattern `"

// forms says in words what an expression of the proto files asks for.
var forms = map[string]string{
	"^[a-z]{2}[0-9]{1,2}$":                         "must be a region's id, such as ie1",
	"^([a-z]{2}[0-9]{1,2})?$":                      "must be a region's id, such as ie1",
	"^(none|[a-z]{2}[0-9]{1,2})$":                  "must be a region's id, such as ie1, or none",
	"^[A-Z]{2}$":                                   "must be two capital letters, such as IE",
	"^[a-z]{2,8}$":                                 "must be a boundary, such as eu: two to eight small letters",
	"^[a-z][a-z0-9-]{1,31}$":                       "must be two to 32 small letters, digits and hyphens, and begin with a letter",
	"^(TN[0-9a-f]{32}|[a-z][a-z0-9-]{1,31})$":      "must be a tenant's slug or id (TN…)",
	"^([0-9a-f]{64})?$":                            "must be 64 hex digits, small ones",
	"^[0-9a-f]{64}$":                               "must be 64 hex digits, small ones",
	"^(https://[a-z0-9.-]{1,100}(:[0-9]{1,5})?)?$": "must be https://HOST or https://HOST:PORT, nothing behind it",
}

var idForm = regexp.MustCompile(`^\^\(?([A-Z]{2})\[0-9a-f\]\{32\}\)?\??\$$`)

// inWords replaces an expression by what people call it, where that is known.
func inWords(message string) string {
	rest, ok := strings.CutPrefix(message, ofForm)
	pattern := strings.TrimSuffix(rest, "`")
	if !ok || pattern == rest {
		return message
	}
	if words := forms[pattern]; words != "" {
		return words
	}
	if m := idForm.FindStringSubmatch(pattern); m != nil {
		return "must be an id: " + m[1] + " and 32 hex digits, small ones"
	}
	return message
}
