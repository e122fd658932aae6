package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a note, in bytes and lines.
const (
	maxNote       = 64 << 10
	maxSignatures = 100
)

// ed25519Type marks Ed25519 keys in the C2SP signed-note format.
const ed25519Type = 1

// Key verifies the notes of one signer.
type Key struct {
	Name   string // of the signer; for a log's own key its origin
	Public ed25519.PublicKey
}

// id of the key: the first 4 bytes of SHA-256 over name, line break, type and key.
func (k Key) id() [4]byte {
	h := sha256.New()
	h.Write([]byte(k.Name + "\n"))
	h.Write([]byte{ed25519Type})
	h.Write(k.Public)
	return [4]byte(h.Sum(nil))
}

// ParseKey reads a key in the form NAME+ID+BASE64.
func ParseKey(text string) (Key, error) {
	name, rest, ok1 := strings.Cut(strings.TrimSpace(text), "+")
	id, value, ok2 := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(value)
	if !ok1 || !ok2 || err != nil || !validName(name) || len(raw) != 1+ed25519.PublicKeySize || raw[0] != ed25519Type {
		return Key{}, found(BadSignature, 0, "the key must be NAME+ID+BASE64 of an Ed25519 key, as C2SP signed-note writes it")
	}
	k := Key{Name: name, Public: raw[1:]}
	if want := k.id(); id != hex.EncodeToString(want[:]) {
		return Key{}, found(BadSignature, 0, "the key's id does not fit its name and value")
	}
	return k, nil
}

// String is the key in the form that ParseKey reads.
func (k Key) String() string {
	id := k.id()
	return k.Name + "+" + hex.EncodeToString(id[:]) + "+" + base64.StdEncoding.EncodeToString(append([]byte{ed25519Type}, k.Public...))
}

func validName(name string) bool {
	return name != "" && utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsSpace) < 0 && !strings.Contains(name, "+")
}

// Certified checks that the operator's root certified the key for a cluster:
// the same certificate that lets data planes trust the cluster's bundles.
func Certified(k Key, cluster string, certificate []byte, root ed25519.PublicKey) error {
	if len(root) != ed25519.PublicKeySize || len(k.Public) != ed25519.PublicKeySize {
		return found(BadSignature, 0, "the root key or the log's key is not an Ed25519 key")
	}
	statement := "domicile bundle key v1\n" + cluster + "\n" + hex.EncodeToString(k.Public)
	if !ed25519.Verify(root, []byte(statement), certificate) {
		return found(BadSignature, 0, "the log's key is not certified by this root for cluster %q", cluster)
	}
	return nil
}

// Checkpoint is what a log's keeper signed: its first Size records have Root.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
}

// Open reads a signed checkpoint and checks its signature by key, whose name
// must be the checkpoint's origin. Signatures of others, such as witnesses, are
// passed over.
func Open(note []byte, key Key) (Checkpoint, error) {
	text, lines, err := split(note)
	if err != nil {
		return Checkpoint{}, err
	}
	signed := false
	for _, line := range lines {
		name, signature, err := parseSignature(line)
		if err != nil {
			return Checkpoint{}, err
		}
		id := key.id()
		if name != key.Name || !bytes.Equal(signature[:4], id[:]) {
			continue
		}
		if len(key.Public) != ed25519.PublicKeySize || !ed25519.Verify(key.Public, text, signature[4:]) {
			return Checkpoint{}, found(BadSignature, 0, "the checkpoint was changed after it was signed, or another key signed it")
		}
		signed = true
	}
	if !signed {
		return Checkpoint{}, found(BadSignature, 0, "the checkpoint carries no signature of this key")
	}
	c, err := parseCheckpoint(string(text))
	if err == nil && c.Origin != key.Name {
		err = found(BadSignature, 0, "the checkpoint is of another log than the key")
	}
	return c, err
}

// split parts a note into its text, with its last line break, and its
// signature lines.
func split(note []byte) (text []byte, signatures []string, err error) {
	bad := func(why string) ([]byte, []string, error) { return nil, nil, found(BadNote, 0, "%s", why) }
	if len(note) > maxNote || !utf8.Valid(note) || bytes.ContainsFunc(note, func(r rune) bool { return r < ' ' && r != '\n' }) {
		return bad("the file is no signed note: it is too long or not plain text")
	}
	i := bytes.LastIndex(note, []byte("\n\n"))
	if i < 0 || !bytes.HasSuffix(note, []byte("\n")) || i+2 == len(note) {
		return bad("the file is no signed note: a text, an empty line and signatures are expected")
	}
	lines := strings.Split(strings.TrimSuffix(string(note[i+2:]), "\n"), "\n")
	if len(lines) > maxSignatures {
		return bad("the note carries too many signatures")
	}
	return note[:i+1], lines, nil
}

// parseSignature reads "— NAME BASE64"; the value begins with 4 bytes of key id.
func parseSignature(line string) (name string, signature []byte, err error) {
	rest, ok1 := strings.CutPrefix(line, "— ")
	name, value, ok2 := strings.Cut(rest, " ")
	signature, err = base64.StdEncoding.Strict().DecodeString(value)
	if !ok1 || !ok2 || err != nil || !validName(name) || len(signature) < 5 {
		return "", nil, found(BadNote, 0, "a signature line of the note is malformed")
	}
	return name, signature, nil
}

// parseCheckpoint reads origin, size and root. Lines after them are extensions
// that the signature covers and nobody here needs.
func parseCheckpoint(text string) (c Checkpoint, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 || lines[0] == "" {
		return c, found(BadNote, 0, "the note is no checkpoint: origin, size and root are expected")
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseUint(lines[1], 10, 63); err != nil || strconv.FormatUint(c.Size, 10) != lines[1] {
		return c, found(BadNote, 0, "the checkpoint's size is not a plain number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return c, found(BadNote, 0, "the checkpoint's root is not a hash in base64")
	}
	c.Root = Hash(root)
	return c, nil
}
