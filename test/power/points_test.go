package power

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// moment is a failpoint, and what of a node's life it falls into.
type moment struct {
	name string
	kind string
	most int // it is armed for one of its first so many times
}

// moments are all failpoints of the source but pebble's, which stand below.
var moments = []moment{
	{"store/write", "write", 60}, {"store/sync", "sync", 60}, {"store/acknowledge", "acknowledgement", 60},
	{"rewrite/write", "rewrite", 6}, {"rewrite/sync", "rewrite", 6}, {"rewrite/synced", "rewrite", 6},
	{"merge/write", "merge", 6}, {"merge/sync", "merge", 6}, {"merge/synced", "merge", 6},
	{"destroy/keys", "rewrite", 8}, {"destroy/noted", "rewrite", 8},
	{"recovery/begin", "recovery", 1}, {"recovery/replayed", "recovery", 1}, {"recovery/end", "recovery", 1},
	{"keys/block", "keys", 2}, {"keys/block synced", "keys", 2}, {"keys/marked", "keys", 10}, {"keys/written", "keys", 10}, {"keys/rename", "keys", 4},
	{"keys/planned", "rotation", 2}, {"keys/created", "rotation", 2}, {"keys/carried", "rotation", 2}, {"keys/ready", "rotation", 2},
	{"keys/committed", "rotation", 2}, {"keys/overwritten", "rotation", 2}, {"keys/destroyed", "rotation", 2},
	{"folder/sync", "folder sync", 12},
	{"blob/sync", "blob", 3}, {"blob/link", "blob", 3},
	{"ledger/write", "erasure", 3}, {"ledger/sync", "erasure", 3},
	{"erase/intent", "erasure", 3}, {"erase/payloads", "erasure", 3}, {"erase/unlink", "erasure", 3}, {"erase/calls", "erasure", 3}, {"erase/quarantine", "erasure", 3}, {"erase/forget", "erasure", 3}, {"erase/executed", "erasure", 3},
	{"erased/intent", "erasure", 3}, {"erased/payloads", "erasure", 3}, {"erased/unlink", "erasure", 3}, {"erased/page", "erasure", 3}, {"erased/calls", "erasure", 3}, {"erased/quarantine", "erasure", 3}, {"erased/forget", "erasure", 3}, {"erased/executed", "erasure", 3},
	{"feed/rename", "policy cache", 1}, {"feed/contact", "policy cache", 1},
}

// engine are operations of pebble. While a node starts they are recovery; later
// they are flushes, compactions (the merging of what is small) and the log.
var engine = []moment{
	{"pebble/write log", "engine", 40}, {"pebble/sync log", "engine", 40}, {"pebble/create log", "engine", 2},
	{"pebble/write sst", "merge", 12}, {"pebble/sync sst", "merge", 3}, {"pebble/create sst", "merge", 3},
	{"pebble/write manifest", "merge", 6}, {"pebble/sync manifest", "merge", 6}, {"pebble/create manifest", "merge", 1},
	{"pebble/create marker", "merge", 2}, {"pebble/sync folder", "folder sync", 6}, {"pebble/remove log", "merge", 2}, {"pebble/remove sst", "merge", 2},
}

var (
	literal = regexp.MustCompile(`failpoint\.At\("([^"]+)"\)`)
	built   = regexp.MustCompile(`failpoint\.At\("([^"]+)" \+ `)
)

// A failpoint that no test arms is not a test; a name that the source does not
// have is none either.
func TestEveryFailpointIsCut(t *testing.T) {
	var names, prefixes []string
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || path == "../../test") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		raw, err := os.ReadFile(path)
		for _, m := range literal.FindAllSubmatch(raw, -1) {
			names = append(names, string(m[1]))
		}
		for _, m := range built.FindAllSubmatch(raw, -1) {
			prefixes = append(prefixes, string(m[1]))
		}
		return err
	})
	check(t, err)
	if len(names) < 15 || len(prefixes) < 3 {
		t.Fatalf("the source was not found: %v %v", names, prefixes)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(moments, func(m moment) bool { return m.name == name })
	}
	for _, name := range names {
		if !has(name) {
			t.Errorf("failpoint %q is in the source and not in moments", name)
		}
	}
	for _, m := range moments {
		known := slices.Contains(names, m.name) || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(m.name, p) })
		if !known {
			t.Errorf("moment %q is not in the source", m.name)
		}
	}
}
