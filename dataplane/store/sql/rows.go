package sql

import (
	"bytes"
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// rows reads a range a page at a time: nothing is held open in the database, and
// each page is of its own moment.
type rows struct {
	read  reading
	kind  byte
	one   *span1 // of one tenant; nil: of all
	lower []byte
	upper []byte // exclusive
	page  []row
	at    int
	size  int // of the next page
	down  bool
	more  bool
	err   error
}

type row struct{ key, value []byte }

// querier is a pool of connections, or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// reading runs one reading; it may run it again.
type reading func(do func(ctx context.Context, q querier) error) error

// Pages grow: many readers want one row, or few.
const (
	firstPage = 16
	growth    = 4
	fullPage  = 1024
	framePage = 64 // rows of frames are large
)

// span1 is a range within one tenant; upper nil is open.
type span1 struct{ tenant, lower, upper []byte }

// within reports whether a range lies within one tenant.
func within(lower, upper []byte) (w span1, ok bool) {
	if len(lower) < 1+tenantSize {
		return w, false
	}
	prefix := lower[:1+tenantSize]
	w = span1{tenant: prefix[1:], lower: lower[1+tenantSize:]}
	if bytes.HasPrefix(upper, prefix) {
		w.upper = whole(upper[1+tenantSize:])
		return w, true
	}
	return w, bytes.Equal(upper, after(prefix))
}

// after is the first key that does not begin with prefix.
func after(prefix []byte) []byte {
	out := bytes.Clone(prefix)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}

func newRows(read reading, lower, upper []byte) *rows {
	r := &rows{read: read, kind: lower[0], lower: bytes.Clone(lower), upper: bytes.Clone(upper), at: -1}
	if w, ok := within(r.lower, r.upper); ok {
		r.one = &w
	}
	return r
}

// First implements sealed.Rows.
func (r *rows) First() bool {
	r.down, r.size = false, firstPage
	return r.load(nil)
}

// Last implements sealed.Rows.
func (r *rows) Last() bool {
	r.down, r.size = true, 1
	return r.load(nil)
}

// Next implements sealed.Rows; it follows First and itself.
func (r *rows) Next() bool { return r.move() }

// Prev implements sealed.Rows; it follows Last and itself.
func (r *rows) Prev() bool { return r.move() }

func (r *rows) move() bool {
	if !r.Valid() {
		return false
	}
	if r.at++; r.at < len(r.page) {
		return true
	}
	return r.more && r.load(r.page[len(r.page)-1].key)
}

// load reads the page behind a row, or the first.
func (r *rows) load(behind []byte) bool {
	statement, args := r.statement(behind)
	r.page, r.at = nil, 0
	err := r.read(func(ctx context.Context, q querier) error {
		r.page = r.page[:0]
		found, err := q.Query(ctx, statement, args...)
		if err != nil {
			return err
		}
		var tenant, key, value []byte
		_, err = pgx.ForEachRow(found, []any{&tenant, &key, &value}, func() error {
			whole := append(append(append(make([]byte, 0, 1+len(tenant)+len(key)), r.kind), tenant...), key...)
			r.page = append(r.page, row{whole, value})
			value = nil
			return nil
		})
		return err
	})
	r.more = len(r.page) == r.size
	limit := fullPage
	if r.kind == 'k' {
		limit = framePage
	}
	r.size = min(r.size*growth, limit)
	if r.err = err; err != nil {
		r.page = nil
	}
	return r.Valid()
}

// statement is the query of a page.
func (r *rows) statement(behind []byte) (string, []any) {
	text := "SELECT tenant, key, value FROM " + tables[r.kind] + " WHERE "
	var args []any
	arg := func(b []byte) string {
		args = append(args, whole(b))
		return "$" + strconv.Itoa(len(args))
	}
	lower, from := r.lower, " >= "
	upper := r.upper
	switch {
	case behind != nil && r.down:
		upper = behind
	case behind != nil:
		lower, from = behind, " > "
	}
	if r.one != nil {
		text += "tenant = " + arg(r.one.tenant) + " AND key" + from + arg(lower[1+tenantSize:])
		if behind != nil && r.down || r.one.upper != nil {
			text += " AND key < " + arg(upper[1+tenantSize:])
		}
	} else {
		tenant, rest := split(lower)
		text += "(tenant, key)" + from + "(" + arg(tenant) + ", " + arg(rest) + ")"
		if upper[0] == r.kind {
			tenant, rest = split(upper)
			text += " AND (tenant, key) < (" + arg(tenant) + ", " + arg(rest) + ")"
		}
	}
	direction := ""
	if r.down {
		direction = " DESC"
	}
	return text + " ORDER BY tenant" + direction + ", key" + direction + " LIMIT " + strconv.Itoa(r.size), args
}

// Valid implements sealed.Rows.
func (r *rows) Valid() bool { return r.at >= 0 && r.at < len(r.page) }

// Key implements sealed.Rows.
func (r *rows) Key() []byte { return r.page[r.at].key }

// ValueAndErr implements sealed.Rows.
func (r *rows) ValueAndErr() ([]byte, error) { return whole(r.page[r.at].value), nil }

// Error implements sealed.Rows.
func (r *rows) Error() error { return r.err }

// Close implements sealed.Rows.
func (r *rows) Close() error { return r.err }
