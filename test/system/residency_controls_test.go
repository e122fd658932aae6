package system

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/domicile-io/domicile/internal/canary"
	"github.com/domicile-io/domicile/internal/postgres"
)

// database is the server that regions' records are in, and the folder of what lies beside.
type database struct {
	server *postgres.Server
	dir    string
}

// scan looks for canaries in everything that the server has on its disk, and then for
// one that is planted in a table of it: in the table's file, and in the log of the
// server. It has several rows, since the log's page headers cut one that meets them.
func (d *database) scan(t *testing.T, s *scan, scanner *canary.Scanner, planted string) {
	t.Helper()
	for _, dir := range []string{d.dir, d.server.DataDir()} {
		found, files, err := scanner.Tree(dir)
		check(t, err)
		s.judge(found)
		if files < 3 {
			t.Errorf("only %d files below %s", files, dir)
		}
	}
	dsn := d.server.Database(t)
	check(t, d.server.Run(t.Context(), dsn, "CREATE TABLE control AS SELECT '"+planted+"'::text AS v FROM generate_series(1, 20)", "CHECKPOINT"))
	for _, dir := range []string{"base", "pg_wal"} {
		found, _, err := scanner.Tree(filepath.Join(d.server.DataDir(), dir))
		if err != nil || len(found) == 0 {
			t.Errorf("a value planted in a table is not found in %s of the server (%v): the scan proves nothing about it", dir, err)
		}
	}
}

// controls prove that an empty scan means something: a slug that is allowed in
// the control plane is found in the Raft log, in its state and on the wire
// where bundles go; and in each kind of sink and of file, a planted value is found.
func (s *scan) controls(scanner *canary.Scanner, sinks []sink, files int) {
	planted := s.canaries["ie1 one from"]
	kinds := map[string]bool{}
	for _, k := range sinks {
		kinds[k.kind] = true
		spoiled := append(bytes.Clone(k.bytes[:len(k.bytes)/2]), planted...)
		if len(scanner.Bytes(k.name, append(spoiled, k.bytes[len(k.bytes)/2:]...))) == 0 {
			s.t.Errorf("a value planted in %s is not found", k.name)
		}
	}
	for _, kind := range []string{"received", "refusal", "metrics", "ledger", "control", "wire"} {
		if !kinds[kind] {
			s.t.Errorf("no sink of kind %s was scanned", kind)
		}
	}
	slugs := canary.NewScanner(map[string]string{"slug": homes[0].slug})
	found, _, err := slugs.Tree(filepath.Join(s.c.Env.Dir(), "controlplane"))
	check(s.t, err)
	if len(found) == 0 {
		s.t.Error("a slug is not found in the control plane's files: the scan cannot see into them")
	}
	if len(slugs.Bytes("wire", s.taps.all["ie1 to "+s.leader()].Heard())) == 0 {
		s.t.Error("a slug is not heard where bundles go: the taps hear nothing")
	}
	s.plantInFiles(scanner, planted, files)
}

// snapshotHolds says whether a voter's snapshot can be seen into.
func (s *scan) snapshotHolds(slugs *canary.Scanner) error {
	for _, v := range s.c.Env.Voters() {
		files, err := filepath.Glob(filepath.Join(s.c.Env.VoterConfig(v).DataDir, "*", "snapshots", "*", "state.bin"))
		if err != nil {
			return err
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err == nil && len(slugs.Bytes(f, raw)) > 0 {
				return nil
			}
		}
	}
	return errors.New("no snapshot has it")
}

func (s *scan) leader() string {
	status, err := s.c.Control("cp1").Status(s.ctx())
	check(s.t, err)
	return status.Leader
}

// plantInFiles copies one file of each kind aside, plants a value, and scans it.
func (s *scan) plantInFiles(scanner *canary.Scanner, planted string, files int) {
	kinds := map[string]string{}
	err := filepath.WalkDir(s.c.Env.Dir(), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(s.c.Env.Dir(), path)
			kinds[filepath.Dir(rel)+"/*"+filepath.Ext(path)] = path
		}
		return err
	})
	check(s.t, err)
	aside := s.t.TempDir()
	for kind, path := range kinds {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		check(s.t, err)
		content = append(append(bytes.Clone(content[:len(content)/3]), planted...), content[len(content)/3:]...)
		check(s.t, os.WriteFile(filepath.Join(aside, "copy"), content, 0o600))
		if found, _, err := scanner.Tree(aside); err != nil || len(found) == 0 {
			s.t.Errorf("a value planted in a file like %s is not found (%v)", kind, err)
		}
	}
	s.t.Logf("%d files scanned, %d kinds of file controlled", files, len(kinds))
	if files < 30 || len(kinds) < 10 {
		s.t.Errorf("only %d files of %d kinds: something was not there to be scanned", files, len(kinds))
	}
}
