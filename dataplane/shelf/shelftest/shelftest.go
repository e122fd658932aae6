// Package shelftest is the suite that every shelf passes.
package shelftest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/dataplane/shelf"
)

// Buckets are those of the shelves that the suite is run on.
func Buckets() []shelf.Bucket { return []shelf.Bucket{"one", "two"} }

// Run runs the suite. open opens the shelf of a test; again opens the same one a
// second time, beside it or, when exclusive, after it was closed.
func Run(t *testing.T, open func(t *testing.T) (first shelf.Shelf, again func() shelf.Shelf), exclusive bool) {
	for name, test := range map[string]func(*testing.T, shelf.Shelf, func() shelf.Shelf){
		"order and prefixes":                 order,
		"all or nothing":                     atomic,
		"a transaction reads its own writes": ownWrites,
		"like a model":                       model,
		"format":                             format,
	} {
		t.Run(name, func(t *testing.T) {
			s, again := open(t)
			test(t, s, again)
		})
	}
	t.Run("what is committed stays", func(t *testing.T) {
		s, again := open(t)
		check(t, s.Update(func(tx shelf.Tx) error { return tx.Put("one", []byte("k"), []byte("v")) }))
		if exclusive {
			check(t, s.Close())
		}
		if got := get(t, again(), "one", "k"); got != "v" {
			t.Fatalf("read %q", got)
		}
	})
	t.Run("updates run alone", func(t *testing.T) {
		s, again := open(t)
		both := []shelf.Shelf{s, s}
		if !exclusive {
			both[1] = again()
		}
		alone(t, both)
	})
}

func order(t *testing.T, s shelf.Shelf, _ func() shelf.Shelf) {
	keys := []string{"a", "a/", "a/\x00", "a/1", "a/2\xff", "a/\xff", "a/\xff\xff", "a0", "b", "\xff", "\xff\xff"}
	check(t, s.Update(func(tx shelf.Tx) error {
		for i := range keys {
			k := keys[(i*7)%len(keys)]
			if err := tx.Put("one", []byte(k), []byte("v"+k)); err != nil {
				return err
			}
		}
		return tx.Put("two", []byte("a/1"), nil)
	}))
	for _, c := range []struct{ prefix, start, want string }{
		{"", "", "[a a/ a/\x00 a/1 a/2\xff a/\xff a/\xff\xff a0 b \xff \xff\xff]"},
		{"a/", "", "[a/ a/\x00 a/1 a/2\xff a/\xff a/\xff\xff]"},
		{"a/", "a/1", "[a/1 a/2\xff a/\xff a/\xff\xff]"},
		{"a/", "a/1\x00", "[a/2\xff a/\xff a/\xff\xff]"},
		{"a/", "0", "[a/ a/\x00 a/1 a/2\xff a/\xff a/\xff\xff]"},
		{"a/", "b", "[]"},
		{"\xff", "", "[\xff \xff\xff]"},
		{"c", "", "[]"},
	} {
		up := list(t, s, func(tx shelf.Tx, visit func(k, v []byte) error) error {
			return tx.Ascend("one", []byte(c.prefix), []byte(c.start), visit)
		})
		if fmt.Sprint(up) != c.want {
			t.Errorf("ascend %q from %q: %q", c.prefix, c.start, up)
		}
		if c.start != "" {
			continue
		}
		down := list(t, s, func(tx shelf.Tx, visit func(k, v []byte) error) error {
			return tx.Descend("one", []byte(c.prefix), visit)
		})
		for i := range down {
			if len(down) != len(up) || down[i] != up[len(up)-1-i] {
				t.Errorf("descend %q: %q", c.prefix, down)
				break
			}
		}
	}
	check(t, s.View(func(tx shelf.Tx) error {
		if v, err := tx.Get("two", []byte("a/1")); err != nil || v == nil || len(v) != 0 {
			t.Errorf("an empty value is %v, %v", v, err)
		}
		if n, err := tx.Count("one"); err != nil || n != len(keys) {
			t.Errorf("%d keys, %v", n, err)
		}
		n := 0
		err := tx.Ascend("one", nil, nil, func(_, _ []byte) error { n++; return shelf.ErrStop })
		if err != nil || n != 1 {
			t.Errorf("stopped after %d, %v", n, err)
		}
		return nil
	}))
}

func atomic(t *testing.T, s shelf.Shelf, _ func() shelf.Shelf) {
	broken := errors.New("broken")
	put := func(fail error) error {
		return s.Update(func(tx shelf.Tx) error {
			for i := range 600 {
				if err := tx.Put("one", fmt.Appendf(nil, "k%03d", i), []byte("v")); err != nil {
					return err
				}
			}
			return fail
		})
	}
	if err := put(broken); !errors.Is(err, broken) {
		t.Fatalf("answered %v", err)
	}
	if got := list(t, s, func(tx shelf.Tx, v func(k, v []byte) error) error { return tx.Ascend("one", nil, nil, v) }); len(got) != 0 {
		t.Fatalf("%d keys of a change that failed", len(got))
	}
	check(t, put(nil))
	if got := list(t, s, func(tx shelf.Tx, v func(k, v []byte) error) error { return tx.Ascend("one", nil, nil, v) }); len(got) != 600 {
		t.Fatalf("%d keys", len(got))
	}
	if err := s.Update(func(tx shelf.Tx) error { return tx.Put("one", nil, nil) }); err == nil {
		t.Fatal("an empty key was kept")
	}
}

func ownWrites(t *testing.T, s shelf.Shelf, _ func() shelf.Shelf) {
	check(t, s.Update(func(tx shelf.Tx) error {
		for i := range 300 {
			check(t, tx.Put("one", fmt.Appendf(nil, "p/%03d", i), []byte("v")))
		}
		check(t, tx.Put("one", []byte("p/000"), []byte("w")))
		check(t, tx.Delete("one", []byte("p/001")))
		v, err := tx.Get("one", []byte("p/000"))
		check(t, err)
		if string(v) != "w" {
			t.Errorf("read %q", v)
		}
		n, err := shelf.DeleteAll(tx, "one", []byte("p/"), nil)
		if err != nil || n != 299 {
			t.Errorf("deleted %d, %v", n, err)
		}
		return tx.Put("one", []byte("p/5"), []byte("x"))
	}))
	if got := list(t, s, func(tx shelf.Tx, v func(k, v []byte) error) error { return tx.Ascend("one", nil, nil, v) }); fmt.Sprint(got) != "[p/5]" {
		t.Fatalf("left: %q", got)
	}
}

// model does the same to a shelf and to a map.
func model(t *testing.T, s shelf.Shelf, _ func() shelf.Shelf) {
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{}
	for round := range 30 {
		failed := round%7 == 3
		next := map[string]string{}
		for k, v := range want {
			next[k] = v
		}
		err := s.Update(func(tx shelf.Tx) error {
			for range random.IntN(40) {
				key := fmt.Sprintf("%02d", random.IntN(60))
				if random.IntN(3) == 0 {
					delete(next, key)
					check(t, tx.Delete("one", []byte(key)))
					continue
				}
				next[key] = fmt.Sprint(round)
				check(t, tx.Put("one", []byte(key), []byte(next[key])))
			}
			if failed {
				return errors.New("no")
			}
			return nil
		})
		if failed != (err != nil) {
			t.Fatal(err)
		}
		if !failed {
			want = next
		}
		got := map[string]string{}
		check(t, s.View(func(tx shelf.Tx) error {
			return tx.Ascend("one", nil, nil, func(k, v []byte) error { got[string(k)] = string(v); return nil })
		}))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("round %d: %v, want %v", round, got, want)
		}
	}
}

func format(t *testing.T, s shelf.Shelf, _ func() shelf.Shelf) {
	check(t, shelf.Format(s, "it", 3))
	check(t, shelf.Format(s, "it", 3))
	if err := shelf.Format(s, "it", 4); err == nil {
		t.Fatal("another format was opened")
	}
}

// alone counts up in two shelves at once; no count may be lost.
func alone(t *testing.T, both []shelf.Shelf) {
	const each = 25
	var all sync.WaitGroup
	for _, s := range append(both, both...) {
		all.Go(func() {
			for range each {
				if err := s.Update(func(tx shelf.Tx) error {
					v, err := tx.Get("one", []byte("n"))
					if err != nil {
						return err
					}
					n := uint64(0)
					if len(v) == 8 {
						n = binary.BigEndian.Uint64(v)
					}
					return tx.Put("one", []byte("n"), binary.BigEndian.AppendUint64(nil, n+1))
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := get(t, both[0], "one", "n"); binary.BigEndian.Uint64([]byte(got)) != uint64(each*2*len(both)) {
		t.Fatalf("counted %x", got)
	}
}

func get(t *testing.T, s shelf.Shelf, b shelf.Bucket, key string) (out string) {
	t.Helper()
	check(t, s.View(func(tx shelf.Tx) error {
		v, err := tx.Get(b, []byte(key))
		out = string(v)
		return err
	}))
	return out
}

func list(t *testing.T, s shelf.Shelf, walk func(shelf.Tx, func(k, v []byte) error) error) (out []string) {
	t.Helper()
	check(t, s.View(func(tx shelf.Tx) error {
		return walk(tx, func(k, v []byte) error {
			if len(v) > 0 && v[0] == 'v' && !bytes.Equal(v[1:], k) && len(v) > 1 {
				t.Errorf("%q has the value of %q", k, v)
			}
			out = append(out, string(k))
			return nil
		})
	}))
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
