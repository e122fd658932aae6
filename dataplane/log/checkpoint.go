package log

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// signed is the newest checkpoint.
type signed struct {
	head store.LogHead
	at   time.Time
	form data.Checkpoint
}

// fresh is for how long a checkpoint is shown again although the log may have
// grown: signing costs a sync.
const fresh = time.Second

// Checkpoint is a signed checkpoint of at least size leaves; 0 is a recent one.
func (l *Log) Checkpoint(ctx context.Context, size uint64) (data.Checkpoint, store.LogHead, error) {
	l.signing.Lock()
	defer l.signing.Unlock()
	s := &l.signed
	if s.form.Note != "" && s.head.Size >= size && (size > 0 || l.o.Now().Sub(s.at) < fresh) {
		return s.form, s.head, nil
	}
	head, err := l.o.Store.LogHead(ctx)
	if err != nil {
		return data.Checkpoint{}, head, err
	}
	switch {
	case !l.mine(head):
		return data.Checkpoint{}, head, policy.Errorf(policy.NotReady, "the region's log is being opened; try again in a moment")
	case head.Size < size:
		return data.Checkpoint{}, head, policy.Errorf(policy.NotFound, "the region's log has %d records", head.Size)
	case s.form.Note != "" && s.head == head:
		s.at = l.o.Now()
		return s.form, s.head, nil
	}
	form, err := l.sign(ctx, head)
	if err != nil {
		return data.Checkpoint{}, head, fmt.Errorf("sign a checkpoint of the region's log: %w", err)
	}
	*s = signed{head: head, at: l.o.Now(), form: form}
	return form, head, nil
}

// mine reports whether this node may sign a head: it was compared with the
// floor, and not replaced by something older since.
func (l *Log) mine(head store.LogHead) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return head.ID != "" && head.Key == hex.EncodeToString(l.public) && (l.floor.Log != head.ID || head.Size >= l.floor.Size) && head.Epoch >= l.floor.Epoch && l.compared.Load()
}

// sign makes the floor durable, and only then a signature. The caller holds l.signing.
func (l *Log) sign(ctx context.Context, head store.LogHead) (data.Checkpoint, error) {
	root, err := audit.Root(head.Size, l.sparse(ctx, nil, nil))
	if err != nil {
		return data.Checkpoint{}, err
	}
	next := floor{Log: head.ID, Epoch: head.Epoch, Size: head.Size, Root: hex.EncodeToString(root[:])}
	if err := next.save(l.o.Dir); err != nil {
		return data.Checkpoint{}, err
	}
	l.mu.Lock()
	l.floor = next
	l.mu.Unlock()
	signer, err := audit.NewSigner(l.origin(head), l.public, func(m []byte) ([]byte, error) { return ed25519.Sign(l.private, m), nil })
	if err != nil {
		return data.Checkpoint{}, err
	}
	note, err := signer.Sign(head.Size, root)
	if err != nil {
		return data.Checkpoint{}, err
	}
	signature, certificate, err := l.o.Certify(KeyStatement(l.o.Cluster, l.o.Region, l.o.Node, l.public))
	if err != nil {
		return data.Checkpoint{}, fmt.Errorf("certify the log's key: %w", err)
	}
	return data.Checkpoint{Note: string(note), Key: signer.VerifierKey(), Certificate: base64.StdEncoding.EncodeToString(signature), NodeCertificate: certificate}, nil
}

// KeyStatement is what a node signs to say that a key is its region's log's.
func KeyStatement(cluster string, region policy.RegionID, node policy.NodeID, public ed25519.PublicKey) []byte {
	return []byte("domicile region log key v1\n" + cluster + "\n" + string(region) + "\n" + string(node) + "\n" + hex.EncodeToString(public))
}
