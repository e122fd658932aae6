package canary

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

const number = "+353867391846"

// Every form that is searched for is found when it is there: an empty scan must
// mean something.
func TestINV02EveryFormIsFound(t *testing.T) {
	s := NewScanner(map[string]string{"number": number, "name": "Caoimhe Zqvx-Ó Murchú"})
	kinds := map[string]bool{}
	for _, value := range []string{number, "Caoimhe Zqvx-Ó Murchú"} {
		for _, f := range Forms(value) {
			kinds[f.Name] = true
			hay := append(append(bytes.Repeat([]byte{0, 1, 2, 'x'}, 100), f.Bytes...), "tail"...)
			if len(s.Bytes("hay", hay)) == 0 {
				t.Errorf("form %s is not found", f.Name)
			}
		}
	}
	if len(kinds) < 40 {
		t.Errorf("only %d forms", len(kinds))
	}
}

// The last seven digits of a number are brief, as they are, reversed and turned; nothing
// that is longer is, and nothing of a name.
func TestSevenDigitsAreBrief(t *testing.T) {
	s := NewScanner(map[string]string{"number": number, "name": "Caoimhe Zqvx-Ó Murchú"})
	for text, want := range map[string]bool{"7391846": true, "6481937": true, "2846391": true, "0867391846": false, "353867391846": false, "caoimhe zqvx-ó murchú": false} {
		brief, found := true, s.Bytes("text", []byte("<"+text+">"))
		for _, f := range found {
			brief = brief && f.Brief
		}
		if len(found) == 0 || brief != want {
			t.Errorf("%s: found %d times, brief: %v", text, len(found), brief)
		}
	}
}

func TestCompressedStretchesAreOpened(t *testing.T) {
	s := NewScanner(map[string]string{"number": number})
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write([]byte("caller " + number))
	w.Close()
	z, _ := zstd.NewWriter(nil)
	for name, b := range map[string][]byte{"gzip": gz.Bytes(), "zstd": z.EncodeAll([]byte("caller "+number), nil)} {
		if len(s.Bytes(name, append([]byte("head"), b...))) == 0 {
			t.Errorf("%s hides a canary", name)
		}
	}
}

func TestTreeLooksAtNamesAndContents(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clean"), []byte("nothing here"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewScanner(map[string]string{"number": number})
	if found, files, err := s.Tree(dir); err != nil || files != 1 || len(found) != 0 {
		t.Fatalf("%v %d %v", found, files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, number+".wav"), []byte{}, 0o600); err != nil {
		t.Fatal(err)
	}
	if found, _, _ := s.Tree(dir); len(found) == 0 {
		t.Fatal("a canary in a file's name is not found")
	}
}
