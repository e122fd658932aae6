package sealed

import (
	"errors"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Schema is the schema that this build reads and writes.
const Schema = schema

// Row is one row as it lies in the store: sealed.
type Row struct{ Key, Value []byte }

// backupFrames tells what keeps backups which frames take the place of those whose
// keys are destroyed next.
func (t *tenant) backupFrames(chunks []*resealed) {
	if t.s.backup == nil {
		return
	}
	var rows []Row
	for _, c := range chunks {
		rows = append(append(rows, c.rows...), c.pointers...) // a backup of before may have the frames as they were
	}
	if len(rows) > 0 {
		t.s.backup(t.id, rows)
	}
}

// backupItem tells of a new version of an item. New recordings and what goes with
// them are left to the next snapshot, because their bytes are.
func (t *tenant) backupItem(item *store.Item) {
	if t.s.backup == nil || item.ID == "" {
		return
	}
	switch item.Kind {
	case store.HoldItem, store.CertificateItem, store.OwnershipItem:
	case store.UploadItem:
		return
	default:
		if item.Version == 1 {
			return
		}
	}
	key := itemKey(t.raw, item.Kind, item.ID)
	value, err := t.s.get(kindItem, key)
	if err == nil && value != nil { // else it has gone meanwhile
		t.s.backup(t.id, []Row{{key, value}})
	}
}

// Tenants lists the tenants that have rows here.
func (s *Store) Tenants() (out []policy.TenantID, err error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.working.Done()
	seen := map[policy.TenantID]bool{}
	for _, k := range tenantKinds {
		err := s.tenantsWith(k, func(id policy.TenantID) {
			if !seen[id] {
				seen[id] = true
				out = append(out, id)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tenantsWith visits the tenants that have rows of a kind.
func (s *Store) tenantsWith(k kind, visit func(policy.TenantID)) error {
	for lower := []byte{byte(k)}; lower != nil && lower[0] == byte(k); {
		rows, err := s.engine.Rows(lower, []byte{byte(k) + 1})
		if err != nil {
			return s.readError(k, err)
		}
		lower = nil
		if rows.First() && len(rows.Key()) >= 17 {
			visit(policy.TenantID(string(policy.KindTenant) + hexOf(rows.Key()[1:17])))
			lower = after(rows.Key()[:17])
		}
		if err := errors.Join(rows.Error(), rows.Close()); err != nil {
			return s.readError(k, err)
		}
	}
	return nil
}

// EachSealed visits every sealed value as whoever stole the store sees it: its
// row, the key and nonce that it names, and the value. Two values of one key and
// nonce would be the end of both (INV38).
func (s *Store) EachSealed(visit func(row []byte, keyAndNonce string, value []byte)) error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.working.Done()
	for _, k := range []kind{kindFrame, kindCover, kindRollup, kindInstance, kindFeed, kindQuarantine, kindItem} {
		err := s.scan(k, []byte{byte(k)}, func(key, value []byte) error {
			if len(value) < rowHeader {
				return nil
			}
			switch k {
			case kindFrame:
				visit(key, string(value[1:17])+string(key[25:27]), value)
			case kindCover:
				if len(key) != 27 {
					return nil
				}
				if _, n, ok := s.coverHeader(tenantRaw(key[1:17]), readPlace(key[17:]), value); ok {
					visit(key, string(value[1:n]), value)
				}
			case kindItem:
				visit(key, string(value[1:17]), value)
			default:
				visit(key, string(value[1:29]), value)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
