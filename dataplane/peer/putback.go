package peer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Deletion is a request of a sending region to delete received rows, as backups
// keep it: a received.db that is put back has the rows again.
type Deletion struct {
	Stream []byte
	Rows   []byte // JSON: their pseudonyms
}

// PutBackInbox deletes from an inbox what was deleted since it was backed up, and
// what came from tenants that have ended. It counts the rows, and closes the shelf.
func PutBackInbox(s shelf.Shelf, keys store.Keys, region policy.RegionID, deletions []Deletion, ended []policy.TenantID) (rows uint64, err error) {
	sealer, err := store.NewSealer(keys, string(region), sealedAs)
	if err != nil {
		return 0, err
	}
	in, err := openInbox(s, sealer)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	for _, t := range ended {
		n, err := in.Purge(t)
		if err != nil {
			return rows, fmt.Errorf("end tenant %s: %w", t, err)
		}
		rows += n
	}
	for _, d := range deletions {
		if slices.Contains(ended, tenantOf(d.Stream)) {
			continue // everything of it is gone, and no note of it may come again
		}
		var list []string
		if err := json.Unmarshal(d.Rows, &list); err != nil {
			return rows, fmt.Errorf("read what was to be deleted: %w", err)
		}
		gone := map[string]bool{}
		for _, row := range list {
			gone[row] = true
		}
		n, err := in.forgetAnew(d.Stream, gone)
		if err != nil {
			return rows, err
		}
		rows += n
	}
	return rows, nil
}
