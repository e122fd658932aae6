package verify

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// isFinding fails a test whose error is not one that a command can act on.
func isFinding(t *testing.T, err error) {
	t.Helper()
	var f *Finding
	if err != nil && !errors.As(err, &f) {
		t.Fatalf("an error that is no finding: %v", err)
	}
}

// FuzzOpen: a note that was signed once opens only with the text that was signed.
func FuzzOpen(f *testing.F) {
	key, private := testKey(1, origin)
	good := []byte(testNote(key, private, goodText))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(goodText + "\n— other AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, note []byte) {
		c, err := Open(note, key)
		isFinding(t, err)
		if err == nil && (c.Origin != origin || c.Size != 3 || c.Root != (Hash{})) {
			t.Fatalf("a checkpoint that nobody signed: %+v", c)
		}
	})
}

// FuzzParseLeaf: a record has one form, so that nothing hides beside its fields.
func FuzzParseLeaf(f *testing.F) {
	for i := range uint64(3) {
		raw, err := json.Marshal(Leaf{Format: 1, Index: i, Time: time.Unix(int64(i), 0).UTC(), Actor: "bootstrap", Action: "policy.put",
			Resource: "ie1", Command: strings.Repeat("0", 64), Outcome: "applied"})
		if err != nil {
			f.Fatal(err)
		}
		if _, err := ParseLeaf(raw); err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(append(raw, ' '))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		l, err := ParseLeaf(record)
		isFinding(t, err)
		if again, e := json.Marshal(l); err == nil && (e != nil || string(again) != string(record)) {
			t.Fatalf("%q was read as %q, %v", record, again, e)
		}
	})
}

// FuzzReceipt gives the check whole receipts. Nobody signed a checkpoint for it,
// so none may hold.
func FuzzReceipt(f *testing.F) {
	key, _ := testKey(1, "domicile/CL00000000000000000000000000000001/region/ie1/log")
	f.Add([]byte(`{"statement":"{}","proof":{"checkpoint":{"note":""},"leaf":"","detail":"","hashes":[]},"records":[{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r Receipt
		if json.Unmarshal(raw, &r) != nil {
			return
		}
		_, _, err := r.Check(key)
		isFinding(t, err)
		if err == nil {
			t.Fatal("a receipt of no log holds")
		}
		_, _ = r.statement()
		_ = r.inLog(Checkpoint{Size: r.Index}, "")
		_ = r.opened(Statement{Count: uint64(len(r.Records))})
	})
}

// FuzzParseKey: what is read as a key is written as the same one.
func FuzzParseKey(f *testing.F) {
	f.Add("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		isFinding(t, err)
		if err == nil && (len(k.Public) != ed25519.PublicKeySize || !validName(k.Name)) {
			t.Fatalf("%q was read as %+v", text, k)
		}
	})
}
