package dataplane

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/domicile-io/domicile/policy"
)

// sendersFile remembers which senders sign, in purgesDir.
const sendersFile = "senders.json"

// senders are the tenants at home elsewhere that this region receives from and
// that sign. Whoever stole the control plane could order their end here: what was
// received would be destroyed on its word. So a sender that has ever shown its
// keys, which the pinned root has certified, ends only by an order that these
// keys signed. And whoever stole it could list a recipient's key of its own making:
// of a sender that has ever shown that it signs API keys, only signed ones count.
// It outlives the pair that brought it, and restarts.
type senders struct {
	path     string
	cluster  string
	root     ed25519.PublicKey
	demanded []string // ids of tenants that the configuration knows to sign
	known    atomic.Pointer[map[policy.TenantID]*policy.Signers]
}

func openSenders(dir, cluster string, root ed25519.PublicKey, demanded []string) (*senders, error) {
	s := &senders{path: filepath.Join(dir, sendersFile), cluster: cluster, root: root, demanded: demanded}
	known := map[policy.TenantID]*policy.Signers{}
	s.known.Store(&known)
	raw, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &known)
	}
	if err != nil {
		return nil, fmt.Errorf("read which senders sign: %w", err)
	}
	return s, nil
}

// learn notes the keys of senders in a bundle, durably before they count. What is
// not certified, or would take back what is known, is passed over.
func (s *senders) learn(pairs iter.Seq[*policy.InboundPair]) error {
	known := *s.known.Load()
	next := maps.Clone(known)
	for p := range pairs {
		if p.Signers != nil && s.holds(p.Tenant, p.Signers) == nil && !same(next[p.Tenant], p.Signers) {
			next[p.Tenant] = p.Signers
		}
	}
	if maps.EqualFunc(next, known, same) {
		return nil
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode which senders sign: %w", err)
	}
	if err := replaceDurably(s.path, raw); err != nil {
		return fmt.Errorf("keep which senders sign: %w", err)
	}
	s.known.Store(&next)
	return nil
}

// of is what is known of a sender; nil: nothing.
func (s *senders) of(tenant policy.TenantID) *policy.Signers { return (*s.known.Load())[tenant] }

// holds checks keys against the root and against those that are known.
func (s *senders) holds(tenant policy.TenantID, keys *policy.Signers) error {
	if err := keys.Verify(s.cluster, tenant, s.root); err != nil {
		return err
	}
	if had := s.of(tenant); had != nil {
		return keys.Extends(had)
	}
	return nil
}

// believe is nil when an order about a sender is to be carried out.
func (s *senders) believe(tenant policy.TenantID, order *policy.PurgeOrder, keys *policy.Signers) error {
	if keys == nil {
		if s.of(tenant) != nil || slices.Contains(s.demanded, string(tenant)) {
			return errors.New("the order to end a tenant that signs came without its keys: it is not believed")
		}
		return nil // it trusts the control plane
	}
	if err := s.holds(tenant, keys); err != nil {
		return fmt.Errorf("the order to end a tenant that signs is not believed: %w", err)
	}
	if err := keys.VerifyPurge(s.cluster, tenant, order.Signatures); err != nil {
		return fmt.Errorf("the order to end a tenant that signs is not believed: %w", err)
	}
	return nil
}

// admits is nil when a recipient's key that a pair lists counts. The pair's own word
// for the sender's keys counts where the root, and what is known, bear it out.
func (s *senders) admits(p *policy.InboundPair, id policy.KeyID) error {
	keys := s.of(p.Tenant)
	if p.Signers != nil && !same(keys, p.Signers) {
		if err := s.holds(p.Tenant, p.Signers); err == nil {
			keys = p.Signers
		} else if keys == nil {
			return fmt.Errorf("the sender's keys are not believed: %w", err)
		}
	}
	if keys == nil && slices.Contains(s.demanded, string(p.Tenant)) {
		return errors.New("the sender's signing keys were left out, and the configuration says that it signs")
	}
	if !keys.SignsKeys() {
		return nil
	}
	for _, k := range p.Keys {
		if k.ID == id {
			return keys.VerifyKey(s.cluster, k)
		}
	}
	return errors.New("the pair lists no such key")
}

func same(a, b *policy.Signers) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.SignsKeys() != b.SignsKeys() || a.SignsKeys() && *a.Keys != *b.Keys {
		return false
	}
	return a.Sequence == b.Sequence && slices.Equal(a.Tenant, b.Tenant) && slices.Equal(a.Approvers, b.Approvers) && slices.Equal(a.Withdrawn, b.Withdrawn)
}

// replaceDurably replaces a file as a whole, mode 0600, synced.
func replaceDurably(path string, contents []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".next", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".next", path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	return err
}
