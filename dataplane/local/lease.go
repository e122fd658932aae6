package local

import (
	"context"
	"errors"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/internal/kernel"
	"github.com/domicile-io/domicile/policy"
)

// bootTime is CLOCK_BOOTTIME: Go's own monotonic clock stops in suspend, and
// keys must not live longer because the machine slept.
func bootTime() time.Duration { return kernel.BootTime() + failpoint.Slept() }

// extend lets what is held live for policy.KeysFor from now on: the custodian
// has just confirmed the generation.
func (k *Keyring) extend() { k.until.Store(int64(k.o.Elapsed() + policy.KeysFor)) }

// expire drops what is held when its time is over. The caller holds k.mu.
func (k *Keyring) expire() {
	if k.held && int64(k.o.Elapsed()) >= k.until.Load() {
		k.drop()
		k.log.Error("the key service has been away too long; keys are dropped and requests refused until it is back", "held_for", policy.KeysFor.String(), "cause", text(k.away))
	}
}

// drop wipes what is held. What the language does not let us reach is said in
// docs/operations/keys.md: key schedules inside the standard library's ciphers,
// and copies that a garbage collector or a goroutine's stack left behind.
func (k *Keyring) drop() {
	k.held = false
	k.until.Store(0)
	k.dropTables()
	if k.names != nil {
		k.names.drop()
		k.names = nil
	}
	if k.sheet != nil {
		k.sheet.wipe()
	}
	k.cache.Purge()
}

func (k *Keyring) dropTables() {
	for birth, t := range k.tables {
		t.drop()
		delete(k.tables, birth)
	}
}

// watch asks the custodian again and again whether the generation is still there.
func (k *Keyring) watch(ctx context.Context) {
	t := time.NewTicker(k.o.Refresh)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			k.refresh(ctx)
		}
	}
}

// refresh asks the custodian for the current generation once. While it answers,
// what is held lives on; when it answers again after too long, it is opened anew.
func (k *Keyring) refresh(ctx context.Context) {
	k.mu.Lock()
	gen, token := k.sheet.generation, k.sheet.token
	k.mu.Unlock()
	asked := k.o.Elapsed()
	ctx, cancel := context.WithTimeout(ctx, custodianAnswer)
	defer cancel()
	key, err := k.custodian.Unwrap(ctx, gen, token, store.UseNode)
	defer clear(key[:])
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.sheet.generation != gen {
		return // a rotation went by; the next time asks for its generation
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return
		}
		if k.away == nil {
			k.log.Error("the key service does not answer; what is held lives on for a while", "custodian", k.custodian.Kind(), "held_for", policy.KeysFor.String(), "cause", err.Error())
		}
		k.away = &policy.Error{Reason: policy.NotReady, Cause: err, Message: "the key service does not answer; see the node's log"}
		k.expire()
		return
	}
	if k.away != nil {
		k.log.Info("the key service answers again", "custodian", k.custodian.Kind())
	}
	k.away = nil
	k.expire()
	if k.held {
		k.until.Store(int64(asked + policy.KeysFor))
		k.cache.Sweep(k.o.Elapsed())
		return
	}
	if err := k.unseal(key); err != nil {
		k.drop()
		k.away = err
		k.log.Error("the key service is back but the key table does not open", "cause", err.Error())
	}
}

// work rotates, finishes destructions, and keeps the copy equal.
func (k *Keyring) work(ctx context.Context) {
	t := time.NewTicker(k.o.Refresh)
	defer t.Stop()
	for {
		k.chores(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-k.wake:
		}
	}
}

// chores does once what work does again and again.
func (k *Keyring) chores(ctx context.Context) {
	if k.o.Copy != "" && (k.places.lag() != nil || k.verifyDue()) {
		k.verify()
	}
	k.rotating.Lock()
	defer k.rotating.Unlock()
	if why := k.due(); why != "" {
		if err := k.turn(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("keys were not rotated; it is tried again", "why", why, "cause", err.Error())
		}
		return
	}
	err := k.retireOld(ctx)
	if err != nil && ctx.Err() == nil && k.turns.pending(err) {
		k.log.Error("an old key generation is not destroyed; it is tried again", "cause", err.Error())
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
