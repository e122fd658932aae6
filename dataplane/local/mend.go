package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// mended is what one comparison of table and copy found.
type mended struct {
	at      time.Time // UTC; zero: none yet
	files   int
	fixed   int // units that one place had and the other had not, or damaged
	corrupt int // units that are damaged in both
}

// mender makes the two places equal, unit by unit: a unit that is whole beats
// one that is not, a destroyed one beats a live one, and what one place has and
// the other lacks is copied. Two that are whole and differ: the main place's,
// unless the copy has the newer sheet.
type mender struct {
	p          *places
	lock       sync.Locker // held for one piece at a time
	preferCopy bool
	mended
}

const mendPiece = 1 << 20 // a multiple of every unit

type noLock struct{}

func (noLock) Lock()   {}
func (noLock) Unlock() {}

// meet makes the places equal before anything is opened. Where the copy cannot
// be read the main place goes on alone.
func (k *Keyring) meet() error {
	if k.o.Copy == "" || k.places.behind != nil {
		return nil
	}
	main, err := newest(k.o.Dir)
	other, err2 := newest(k.o.Copy)
	if err != nil && (err2 != nil || other == nil) {
		return err
	}
	if err2 != nil && !errors.Is(err2, errChanged) {
		k.places.behind = err2
		return nil
	}
	if !sameRing(main, other) {
		return fmt.Errorf("%s holds the copy of another keyring: give this one a folder of its own", k.o.Copy)
	}
	m := &mender{p: k.places, lock: noLock{}}
	if other != nil && (main == nil || other.generation > main.generation) {
		m.preferCopy = true
		k.log.Warn("the key table is missing or older than its copy; it is restored from there", "generation", other.generation)
	}
	if err := m.all(k.o.Now()); err != nil {
		if m.preferCopy {
			return err
		}
		k.places.behind = err
		return nil
	}
	k.verified = m.mended
	return nil
}

func (k *Keyring) verifyDue() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.o.Now().Sub(k.verified.at) >= k.o.VerifyEvery
}

// verify compares the places while the keyring is in use, and brings a copy
// that fell behind up again.
func (k *Keyring) verify() {
	k.rotating.Lock()
	defer k.rotating.Unlock()
	was := k.places.lag()
	if was != nil {
		k.mu.Lock()
		err := k.places.resume()
		k.mu.Unlock()
		if err != nil {
			return
		}
	}
	m := &mender{p: k.places, lock: &k.mu}
	if err := m.all(k.o.Now()); err != nil {
		k.places.fallBehind(err)
		return
	}
	k.mu.Lock()
	k.verified = m.mended
	k.mu.Unlock()
	if was != nil {
		k.log.Info("the copy of the key table is whole again", "mended", m.fixed)
	} else if m.fixed > 0 || m.corrupt > 0 {
		k.log.Warn("the key table and its copy were not equal", "mended", m.fixed, "damaged_in_both", m.corrupt)
	}
}

// all makes every file equal, sheets last: a sheet must not be where its tables
// are not.
func (m *mender) all(now time.Time) error {
	seen := map[string]bool{}
	for _, dir := range []string{m.p.main, m.p.copy} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if unitOf(e.Name()) >= 0 {
				seen[e.Name()] = true
			}
		}
	}
	list := make([]string, 0, len(seen))
	for name := range seen {
		list = append(list, name)
	}
	slices.SortFunc(list, func(a, b string) int {
		if sa, sb := strings.HasPrefix(a, "sheet-"), strings.HasPrefix(b, "sheet-"); sa != sb {
			if sa {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	for _, name := range list {
		if err := m.one(name); err != nil {
			return fmt.Errorf("compare %s with its copy: %w", name, err)
		}
	}
	m.files, m.at = len(list), now.UTC()
	return nil
}

// unitOf is the size of what is written at once in a file; 0: the whole file;
// -1: the file is not the table's.
func unitOf(name string) int {
	switch {
	case strings.HasSuffix(name, ".new"):
		return -1
	case strings.HasPrefix(name, "table-"):
		return entrySize
	case strings.HasPrefix(name, "names-"):
		return nameEntry
	case name == generationsFile:
		return slotSize
	case strings.HasPrefix(name, "sheet-"), name == historyFile:
		return 0
	}
	return -1
}

func (m *mender) one(name string) error {
	unit := unitOf(name)
	if unit == 0 {
		return m.whole(name)
	}
	a, b, err := m.openBoth(name)
	if err != nil || a == nil {
		return err
	}
	defer a.Close()
	defer b.Close()
	for at := int64(0); ; at += mendPiece {
		end, err := m.piece(a, b, at, unit, name)
		if err != nil {
			return err
		}
		if end {
			break
		}
	}
	return errors.Join(syncDir(m.p.main), syncDir(m.p.copy))
}

// openBoth opens a file in both places and makes it where it is not; nil: it
// was removed meanwhile.
func (m *mender) openBoth(name string) (a, b *os.File, err error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	_, err = os.Stat(filepath.Join(m.p.main, name))
	_, err2 := os.Stat(filepath.Join(m.p.copy, name))
	if errors.Is(err, os.ErrNotExist) && errors.Is(err2, os.ErrNotExist) {
		return nil, nil, nil
	}
	if a, err = os.OpenFile(filepath.Join(m.p.main, name), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, nil, err
	}
	if b, err = os.OpenFile(filepath.Join(m.p.copy, name), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// piece makes one stretch of two files equal, and reports whether it was the last.
func (m *mender) piece(a, b *os.File, at int64, unit int, name string) (bool, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	one, err := readPiece(a, at)
	if err != nil {
		return false, err
	}
	two, err := readPiece(b, at)
	if err != nil {
		return false, err
	}
	last := len(one) < mendPiece && len(two) < mendPiece
	if bytes.Equal(one, two) {
		return last, nil
	}
	n := (max(len(one), len(two)) + unit - 1) / unit * unit
	one, two = append(one, make([]byte, n-len(one))...), append(two, make([]byte, n-len(two))...)
	var wroteA, wroteB bool
	for i := 0; i < n; {
		size := unit
		if strings.HasPrefix(name, "table-") && at == 0 && i == 0 {
			size = tableHead
		}
		ua, ub := one[i:min(i+size, n)], two[i:min(i+size, n)]
		if !bytes.Equal(ua, ub) {
			switch m.choose(ua, ub, name) {
			case 1:
				if _, err := b.WriteAt(ua, at+int64(i)); err != nil {
					return false, err
				}
				wroteB = true
				m.fixed++
			case 2:
				if _, err := a.WriteAt(ub, at+int64(i)); err != nil {
					return false, err
				}
				wroteA = true
				m.fixed++
			default:
				m.corrupt++
			}
		}
		i += size
	}
	if wroteA {
		err = datasync(a)
	}
	if wroteB {
		err = errors.Join(err, datasync(b))
	}
	return last, err
}

func readPiece(f *os.File, at int64) ([]byte, error) {
	b := make([]byte, mendPiece)
	n, err := f.ReadAt(b, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// choose says which of two units that differ is right: 1, 2, or 0 for neither.
func (m *mender) choose(a, b []byte, name string) int {
	okA, okB := unitWhole(a, name), unitWhole(b, name)
	switch {
	case okA && okB:
		switch {
		case unitDestroyed(a, name):
			return 1
		case unitDestroyed(b, name), m.preferCopy:
			return 2
		}
		return 1
	case okA:
		return 1
	case okB:
		return 2
	}
	return 0
}

func unitWhole(u []byte, name string) bool {
	if len(u) == tableHead && strings.HasPrefix(name, "table-") {
		return string(u[:7]) == tableMagic && allZero(u[tableDirty+1:])
	}
	return whole(u) && !allZero(u)
}

// unitDestroyed reports whether a unit says that what it held is destroyed. A
// head that says so has the mark of a table to be written anew.
func unitDestroyed(u []byte, name string) bool {
	switch {
	case name == generationsFile:
		return u[slotState] == destroyed
	case len(u) == tableHead && strings.HasPrefix(name, "table-"):
		return u[tableDirty] != 0
	case strings.HasPrefix(name, "table-"):
		return bytes.Equal(u, destroyedMark)
	}
	return false
}

// whole makes a file that is written at once equal in both places.
func (m *mender) whole(name string) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	a, errA := os.ReadFile(filepath.Join(m.p.main, name))
	b, errB := os.ReadFile(filepath.Join(m.p.copy, name))
	for _, err := range []error{errA, errB} {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if bytes.Equal(a, b) && errA == nil && errB == nil || errA != nil && errB != nil {
		return nil
	}
	okA, okB := errA == nil && wholeFile(a, name), errB == nil && wholeFile(b, name)
	switch {
	case okA && (!okB || !m.preferCopy):
		m.fixed++
		return writeWhole(filepath.Join(m.p.copy, name), a)
	case okB:
		m.fixed++
		return writeWhole(filepath.Join(m.p.main, name), b)
	}
	m.corrupt++
	return nil
}

func wholeFile(b []byte, name string) bool {
	if name == historyFile {
		return json.Valid(b)
	}
	_, _, err := sheetHead(b)
	return err == nil
}
