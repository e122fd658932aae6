package cli

import (
	"context"
	"fmt"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/audit/verify"
)

// auditPage is how many records are asked for at once.
const auditPage = 1000

// eachLeaf reads records from number start up to, and without, end, which a checkpoint
// covers, of those that meet a filter. The order, the numbers and the page tokens are the
// server's word: a *verify.Finding says where it broke it, and each page moves on, so that
// no answer can keep a reader for ever.
func eachLeaf(ctx context.Context, cp *client.Control, start, end uint64, filter string, take func(*controlv1.Leaf) error) error {
	r := leafReader{next: start, passed: start, end: end, all: filter == "", used: map[string]bool{}}
	for token := ""; r.more(); {
		page, err := cp.AuditLeaves(ctx, start, auditPage, token, filter)
		if err != nil {
			return err
		}
		for _, l := range page.GetLeaves() {
			if l.GetIndex() >= end && (!r.all || r.next == end) {
				return nil
			}
			if err := r.check(l); err != nil {
				return err
			}
			if err := take(l); err != nil {
				return err
			}
		}
		token = page.GetNextPageToken()
		if err := r.turn(token, len(page.GetLeaves())); err != nil {
			return err
		}
	}
	return nil
}

// leafReader is how far the pages of the log have come.
type leafReader struct {
	next   uint64 // the lowest number that the next record may have
	passed uint64 // up to which number the pages have come, if each is full
	end    uint64
	all    bool            // without a filter, each number must come
	used   map[string]bool // page tokens
}

// more says whether another page is due. With a filter a page may be empty, but the
// server has looked at auditPage records for it.
func (r *leafReader) more() bool {
	if r.all {
		return r.next < r.end
	}
	return r.passed < r.end
}

// check takes the next record's number, which must be that of the record itself.
func (r *leafReader) check(l *controlv1.Leaf) error {
	index := l.GetIndex()
	if leaf, err := verify.ParseLeaf([]byte(l.GetRecord())); err == nil && leaf.Index != index { // what cannot be read is whoever verifies to say
		return r.broken(verify.OutOfOrder, "the server gives a record as number %d that says of itself that it is number %d", index, leaf.Index)
	}
	switch {
	case index < r.next:
		return r.broken(verify.OutOfOrder, "the server gave record %d again, or out of order", index)
	case r.all && index > r.next:
		return r.broken(verify.OutOfOrder, "the server passed over record %d, and gave %d instead", r.next, index)
	}
	r.next = index + 1
	return nil
}

// turn goes on to the next page, by its token, after one of count records.
func (r *leafReader) turn(token string, count int) error {
	r.passed += auditPage
	switch {
	case !r.more():
		return nil
	case token == "":
		return r.broken(verify.Truncated, "the server ends its list before record %d, the last one that its checkpoint covers", r.end-1)
	case r.used[token]:
		return r.broken(verify.OutOfOrder, "the server gave a page token twice: its pages go in a circle")
	case r.all && count == 0:
		return r.broken(verify.Truncated, "the server gave an empty page and says that there are more")
	}
	r.used[token] = true
	return nil
}

func (r *leafReader) broken(kind verify.Kind, format string, args ...any) error {
	return &verify.Finding{Kind: kind, Index: r.next, Why: fmt.Sprintf(format, args...) +
		"; what it gave is not to be relied on: ask another voter for the same records (--control-url)"}
}
