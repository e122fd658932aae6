package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// Origin names the control plane's log of a cluster. It is the first line of
// each checkpoint and the name of the key that signs it.
func Origin(cluster string) string { return "domicile/" + cluster + "/control" }

// Checkpoint says what a log held when it had Size records. Two checkpoints of
// one size with different roots are a fork, which nobody can explain away.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
}

// Text is a checkpoint as C2SP tlog-checkpoint has it: origin, size and root,
// a line each. It holds no time: what it says stays true.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// Signer signs the checkpoints of one log.
type Signer struct {
	origin string
	key    string // verifier key, as signed notes write it
	hash   uint32
	sign   func([]byte) ([]byte, error)
}

// NewSigner makes a signer of a log's checkpoints. sign makes the Ed25519
// signature of a message by the key whose public half is given; the private
// half stays where it is.
func NewSigner(origin string, public ed25519.PublicKey, sign func(message []byte) ([]byte, error)) (*Signer, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("audit key has %d bytes, want %d", len(public), ed25519.PublicKeySize)
	}
	key, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		return nil, fmt.Errorf("audit key of %q: %w", origin, err)
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("audit key of %q: %w", origin, err)
	}
	return &Signer{origin: origin, key: key, hash: v.KeyHash(), sign: sign}, nil
}

// Origin of the log whose checkpoints it signs.
func (s *Signer) Origin() string { return s.origin }

// VerifierKey is the public key in the form of signed notes: name, key id and
// key, joined by "+".
func (s *Signer) VerifierKey() string { return s.key }

// Sign gives a signed checkpoint: a signed note with one signature.
func (s *Signer) Sign(size uint64, root Hash) ([]byte, error) {
	c := Checkpoint{Origin: s.origin, Size: size, Root: root}
	b, err := note.Sign(&note.Note{Text: c.Text()}, noteSigner{s})
	if err != nil {
		return nil, fmt.Errorf("sign audit checkpoint %d: %w", size, err)
	}
	return b, nil
}

// noteSigner is a Signer as the library wants it.
type noteSigner struct{ s *Signer }

var _ note.Signer = noteSigner{}

// Name implements note.Signer.
func (n noteSigner) Name() string { return n.s.origin }

// KeyHash implements note.Signer.
func (n noteSigner) KeyHash() uint32 { return n.s.hash }

// Sign implements note.Signer.
func (n noteSigner) Sign(message []byte) ([]byte, error) { return n.s.sign(message) }
