package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/domicile-io/domicile/internal/kernel"
	"github.com/domicile-io/domicile/policy"
)

// pinWait is how long a command waits for another to have written its pin, which takes
// that some milliseconds.
const pinWait = 5 * time.Second

// save keeps the pin, joined with what other commands have kept since it was read. The
// file appears whole or not at all, and none appears that could not be read again. An
// error means: sign nothing.
func (p *pin) save(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("keep what is pinned: %w", err)
	}
	lock, err := lockPins(folder)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := p.join(folder); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode what is pinned: %w", err)
	}
	if raw = append(raw, '\n'); len(raw) > maxPinBytes { // a policy and its keys have a few KiB; the rest is padding
		return fmt.Errorf("what the control plane shows of tenant %s has more than %d bytes, too much to remember; %w", p.Tenant, maxPinBytes, errUnproven)
	}
	f, err := os.CreateTemp(folder, ".pin-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep what is pinned: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), pinPath(folder, p.Tenant))
	}
	if err != nil {
		return fmt.Errorf("keep what is pinned: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// join takes over what is kept now: another command may have pinned a key, or seen a
// later policy proven, while this one waited for an answer. A control plane chooses how
// long that takes, so what it showed here must hold against that policy, too.
func (p *pin) join(folder string) error {
	kept, err := readPin(folder, p.Tenant)
	if err != nil || kept == nil {
		return err
	}
	if kept.Cluster != p.Cluster || kept.Root != p.Root {
		return fmt.Errorf("another command has meanwhile pinned tenant %s to cluster %s and root %s; nothing was changed or signed: repeat this one", p.Tenant, kept.Cluster, kept.Root)
	}
	for _, k := range kept.Keys {
		if !slices.Contains(p.Keys, k) {
			p.Keys = append(p.Keys, k)
		}
	}
	slices.Sort(p.Keys)
	if kept.Proven == nil {
		return nil
	}
	if p.Proven == nil {
		p.Proven = kept.Proven
		return nil
	}
	if err := policy.VerifyRow(p.Cluster, p.root(), kept.Proven, p.Proven); err != nil {
		return fmt.Errorf("what the control plane shows for tenant %s does not hold against %s through another command: %w; repeat this one. If it stays so: %w", p.Tenant, kept.seen(), err, errUnproven)
	}
	return nil
}

// lockPins keeps other commands from writing pins until the file is closed.
func lockPins(folder string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(folder, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep what is pinned: %w", err)
	}
	for end := time.Now().Add(pinWait); ; time.Sleep(10 * time.Millisecond) {
		if err = kernel.Lock(f); err == nil {
			return f, nil
		}
		if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("keep what is pinned: another command has %s: %w; nothing was signed, repeat this one", f.Name(), err), f.Close())
		}
	}
}
