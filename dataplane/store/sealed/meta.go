package sealed

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// checkMeta writes the store's own rows at first, and compares them later.
func (s *Store) checkMeta() error {
	mac := hmac.New(sha256.New, s.indexKey[:])
	mac.Write([]byte("domicile index check"))
	want := []struct {
		name  string
		value []byte
		wrong string
	}{
		{"m/schema", binary.BigEndian.AppendUint32(nil, schema), "it was written by another version of the program"},
		{"m/region", []byte(s.region), "it belongs to another region"},
		{"m/index-check", mac.Sum(nil), "the keyring is not the one that its indexes were made with: put the right keyring back"},
	}
	turn, err := s.engine.Begin([16]byte{}, WriteTurn) // of nodes that start at once, one writes
	if err != nil {
		return err
	}
	defer turn.End()
	b := s.engine.NewBatch()
	first, err := s.get(kindMeta, []byte(want[0].name))
	if err != nil {
		return err
	}
	for _, w := range want {
		got, err := s.get(kindMeta, []byte(w.name))
		if err != nil {
			return err
		}
		if got == nil && first == nil {
			if err := b.Set([]byte(w.name), w.value); err != nil {
				return err
			}
			continue
		}
		if !bytes.Equal(got, w.value) {
			return fmt.Errorf("row %s is not as expected: %s", w.name, w.wrong)
		}
	}
	if first != nil {
		return b.Close()
	}
	if err := turn.Commit(b, turn.Standing()); err != nil {
		return err
	}
	// A new folder's first log is of an older format, without the offsets that the
	// local engine's check of logs needs. Settling begins another.
	return errors.Join(b.Wait(), b.Close(), s.engine.Settle(true))
}
