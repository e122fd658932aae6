package server

import (
	"encoding/base64"
	"slices"

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
	after = lastOf(token)
	if !policy.ValidID(kind, after) {
		return "", 0, badPageToken()
	}
	return after, limit, nil
}

// cut gives one page of a list that is short enough to be in memory; without a
// page size it is as long as a page can be. The token names the last element.
func cut[T any](list []T, name func(T) string, req interface {
	GetPageSize() int32
	GetPageToken() string
}) (page []T, next string, err error) {
	if token := req.GetPageToken(); token != "" {
		i := slices.IndexFunc(list, func(x T) bool { return pageToken(name(x)) == token })
		if i < 0 {
			return nil, "", fieldError("page_token", "must be the next_page_token of the page before; when its last element is gone, begin again")
		}
		list = list[i+1:]
	}
	limit := int(req.GetPageSize())
	if limit <= 0 {
		limit = maxPage
	}
	if len(list) > limit {
		list = list[:limit]
		next = pageToken(name(list[limit-1]))
	}
	return list, next, nil
}

func pageToken(last string) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }

// lastOf is what pageToken was given; "" of what it did not make.
func lastOf(token string) string {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return ""
	}
	return string(raw)
}

func badPageToken() error {
	return fieldError("page_token", "must be the next_page_token of the page before")
}
