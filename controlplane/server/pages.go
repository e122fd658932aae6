package server

import (
	"encoding/base64"

	"github.com/domicile-io/domicile/policy"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// page reads a list's cursor: the id after which to go on, and how many.
func page(token string, size int32, kind policy.IDKind) (after string, limit int, err error) {
	limit = min(int(size), maxPage)
	if limit <= 0 {
		limit = defaultPage
	}
	if token == "" {
		return "", limit, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || !policy.ValidID(kind, string(raw)) {
		return "", 0, fieldError("page_token", "must be the next_page_token of the page before")
	}
	return string(raw), limit, nil
}

func pageToken(last string) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }
