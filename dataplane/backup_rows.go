package dataplane

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/shelf"
	shelfsql "github.com/domicile-io/domicile/dataplane/shelf/sql"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	sqlstore "github.com/domicile-io/domicile/dataplane/store/sql"
)

// What a backup calls the rows that are not of the record store.
const (
	turnRows  = "turns"   // tenant → ingest time of its latest group
	shelfRows = "shelves" // shelf, bucket, key → value
)

// everyRow visits what the records' database holds, leases excepted: they are of the
// nodes that run.
func everyRow(s *sqlstore.Store) backup.EachRow {
	return func(ctx context.Context, visit func(table string, key, value []byte) error) (err error) {
		d, err := s.Dump(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		for _, kind := range sealed.Kinds() {
			rows := d.Rows(kind)
			for ok := rows.First(); ok; ok = rows.Next() {
				value, err := rows.ValueAndErr()
				if err == nil {
					err = visit(sqlstore.TableOf(kind), rows.Key(), value)
				}
				if err = errors.Join(err, ctx.Err()); err != nil {
					return err
				}
			}
			if err := rows.Error(); err != nil {
				return err
			}
		}
		err = d.Turns(func(tenant [16]byte, last int64) error {
			return visit(turnRows, tenant[:], binary.BigEndian.AppendUint64(nil, uint64(last)))
		})
		if err != nil {
			return err
		}
		return d.Shelves(func(r shelfsql.Row) error {
			return errors.Join(ctx.Err(), visit(shelfRows, shelfKey(r), r.Value))
		})
	}
}

// shelfKey names a row of a shelf: lengths of both names, the names, the key.
func shelfKey(r shelfsql.Row) []byte {
	return slices.Concat([]byte{byte(len(r.Shelf)), byte(len(r.Bucket))}, []byte(r.Shelf), []byte(r.Bucket), r.Key)
}

func readShelfKey(key []byte) (r shelfsql.Row, err error) {
	if len(key) < 2 || len(key) < 2+int(key[0])+int(key[1]) {
		return r, errors.New("a row of a shelf is malformed")
	}
	s, b := 2+int(key[0]), 2+int(key[0])+int(key[1])
	return shelfsql.Row{Shelf: string(key[2:s]), Bucket: shelf.Bucket(key[s:b]), Key: key[b:]}, nil
}

// rowTarget puts rows of a backup into a database that nobody uses.
func rowTarget(rows *sqlstore.Rows, records *shelfsql.DB) backup.RowTarget {
	tables := map[string]byte{}
	for _, kind := range sealed.Kinds() {
		tables[sqlstore.TableOf(kind)] = kind
	}
	return func(ctx context.Context, table string, list []backup.Row) error {
		switch kind, ok := tables[table]; {
		case ok:
			return putStoreRows(rows, kind, list)
		case table == turnRows:
			return putTurns(rows, list)
		case table == shelfRows:
			return putShelfRows(ctx, records, list)
		}
		return fmt.Errorf("the snapshot has rows of %q, which this program does not know: use the version that wrote it", table)
	}
}

func putStoreRows(rows *sqlstore.Rows, kind byte, list []backup.Row) error {
	batch := rows.NewBatch()
	for _, r := range list {
		if len(r.Key) == 0 || r.Key[0] != kind {
			return errors.New("a row stands in another table than it is of")
		}
		if err := batch.Set(r.Key, r.Value); err != nil {
			return err
		}
	}
	return rows.Write(batch)
}

func putTurns(rows *sqlstore.Rows, list []backup.Row) error {
	last := map[[16]byte]int64{}
	for _, r := range list {
		if len(r.Key) != 16 || len(r.Value) != 8 {
			return errors.New("a tenant's standing is malformed")
		}
		last[[16]byte(r.Key)] = int64(binary.BigEndian.Uint64(r.Value))
	}
	return rows.Stand(last)
}

func putShelfRows(ctx context.Context, records *shelfsql.DB, list []backup.Row) error {
	out := make([]shelfsql.Row, 0, len(list))
	for _, r := range list {
		row, err := readShelfKey(r.Key)
		if err != nil {
			return err
		}
		row.Value = r.Value
		out = append(out, row)
	}
	return records.PutRows(ctx, out)
}
