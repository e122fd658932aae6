package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// A region whose records are in a database has them here as files of rows, of the
// part Rows: a table's rows in the order of their keys, cut where the rows say so.
// A row that comes or goes so changes the file that it is in, and the others stay
// what they were: they are objects that are there already.

// RowsFormat is the format of snapshots of a database; their heads say it, so that
// a program that knows files only refuses them.
const RowsFormat = 3

// EachRow visits all rows of a database as it is at one moment, table after table,
// each in the order of its keys. The tables' names are of letters, digits and _.
type EachRow func(ctx context.Context, visit func(table string, key, value []byte) error) error

// Files of rows have at least rowsLeast bytes, about rowsMore more, and rowsMost and
// one row at most, the table's last one excepted.
const (
	rowsLeast = 1 << 20
	rowsMore  = 3 << 20
	rowsMost  = 16 << 20
)

// rowFiles makes files of rows.
type rowFiles struct {
	c     *creation
	table string
	n     int // of the table's file
	buf   []byte
}

// rows copies the database.
func (c *creation) rows(ctx context.Context) error {
	f := &rowFiles{c: c}
	err := c.src.Rows(ctx, func(table string, key, value []byte) error { return f.row(ctx, table, key, value) })
	if err != nil {
		return fmt.Errorf("copy the region's database: %w", err)
	}
	return f.end(ctx)
}

func (f *rowFiles) row(ctx context.Context, table string, key, value []byte) error {
	if table != f.table {
		if err := f.end(ctx); err != nil {
			return err
		}
		f.table, f.n = table, 0
	}
	f.buf = appendRow(f.buf, key, value)
	if len(f.buf) < rowsMost && (len(f.buf) < rowsLeast || !cuts(key, len(key)+len(value))) {
		return nil
	}
	return f.end(ctx)
}

// cuts decides by a row alone whether a file ends with it, so that cuts stay where
// they are when rows come and go elsewhere.
func cuts(key []byte, size int) bool {
	return uint64(crc32.ChecksumIEEE(key)) < uint64(size)<<32/rowsMore
}

// end saves what there is of a file.
func (f *rowFiles) end(ctx context.Context) error {
	if len(f.buf) == 0 {
		return nil
	}
	name := fmt.Sprintf("%s/%08d", f.table, f.n)
	saved, err := f.c.save(ctx, func(w io.Writer) error { _, err := w.Write(f.buf); return err })
	if err != nil {
		return fmt.Errorf("copy the region's database, %s: %w", name, err)
	}
	saved.Part, saved.Name = Rows, name
	f.n, f.buf = f.n+1, f.buf[:0]
	return f.c.add(saved)
}

func appendRow(b, key, value []byte) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
	return append(binary.AppendUvarint(b, uint64(len(value))), value...)
}

// readRows gives the rows of a file; they are parts of it.
func readRows(file []byte) (rows []Row, err error) {
	next := func() (b []byte) {
		n, size := binary.Uvarint(file)
		if size <= 0 || n > uint64(len(file)-size) {
			err = errors.New("its rows cannot be read")
			return nil
		}
		b, file = file[size:size+int(n):size+int(n)], file[size+int(n):]
		return b
	}
	for len(file) > 0 && err == nil {
		rows = append(rows, Row{Key: next(), Value: next()})
	}
	return rows, err
}

// extractRows hands the rows of a file on, once all of it was held against the list.
func (r *Repository) extractRows(ctx context.Context, f File, to RowTarget) error {
	if to == nil {
		return errors.New("the snapshot is of a region whose records are in a database: restore it with store.kind sql")
	}
	var whole bytes.Buffer
	if err := r.read(ctx, f, &whole); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	rows, err := readRows(whole.Bytes())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := to(ctx, tableOf(f.Name), rows); err != nil {
		return fmt.Errorf("put rows into the database: %w", err)
	}
	return r.step("rows")
}

func tableOf(name string) string {
	table, _, _ := strings.Cut(name, "/")
	return table
}
