package store_test

import (
	"bytes"
	"testing"

	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/canary"
)

// Whoever logs what the region keeps logs [redacted].
func TestINV01_WhatIsKeptDoesNotPrint(t *testing.T) {
	const number = "+353867391846"
	for _, v := range []any{store.Query{}, store.Quarantined{}, store.Feed{}, store.Item{}, store.ItemPage{}, store.Unlinking{}, store.Owner{}, media.Segment{}, media.Upload{}} {
		if printed := canary.Printed(canary.Filled(v, number)); bytes.Contains(printed, []byte(number[1:])) {
			t.Errorf("%T prints what is in it:\n%s", v, printed)
		}
	}
	page := store.Page{Calls: []store.Call{{}}}
	page.Calls[0].Record.From.Raw = number
	if printed := canary.Printed(page); bytes.Contains(printed, []byte(number[1:])) {
		t.Errorf("a page prints what is in it:\n%s", printed)
	}
}
