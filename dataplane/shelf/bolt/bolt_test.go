package bolt

import (
	"path/filepath"
	"testing"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
)

func TestShelfInAFile(t *testing.T) {
	shelftest.Run(t, func(t *testing.T) (shelf.Shelf, func() shelf.Shelf) {
		path := filepath.Join(t.TempDir(), "a.db")
		open := func() shelf.Shelf {
			s, err := Open(path, shelftest.Buckets())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
		return open(), open
	}, true)
}
