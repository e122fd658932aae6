package api

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

const tokenPrefix = "domicile-revision-1:"

// PolicyToken is the opaque X-Policy-Token of a revision. A read or a data call
// that carries it sees that revision or a later one (contract §5).
func PolicyToken(revision uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(tokenPrefix + strconv.FormatUint(revision, 10)))
}

// ParsePolicyToken reads a token; the error does not repeat it.
func ParsePolicyToken(token string) (revision uint64, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	number, ok := strings.CutPrefix(string(raw), tokenPrefix)
	if err != nil || !ok || len(token) > 64 {
		return 0, fmt.Errorf("policy token is malformed: send the X-Policy-Token of an earlier answer unchanged")
	}
	if revision, err = strconv.ParseUint(number, 10, 64); err != nil {
		return 0, fmt.Errorf("policy token is malformed: send the X-Policy-Token of an earlier answer unchanged")
	}
	return revision, nil
}
