package feed

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
)

// What has come by the time that a node looks is taken with one sync, up to what is
// refused, and of that nothing.
func TestINV35_PushesThatHaveComeAreTakenTogether(t *testing.T) {
	w := newWorld(t)
	n, b := w.node(w.voter(mtls.ControlPlane)), w.book(3)
	f := n.open()
	if refused := f.handle(b.snapshot(1000)[0]); refused != nil {
		t.Fatal(refused)
	}
	d := func(i int) *controlv1.Push { return b.delta(nil, tenantRow(i, "ie1")) }
	pushes := []*controlv1.Push{d(20), d(21), b.sealed(&controlv1.Push{}), d(22)}
	renewed := b.revision
	wrong := d(23)
	wrong.Seal.Signature[3] ^= 1
	pushes = append(pushes, wrong, d(24))
	contacts := f.kept.Number
	taken, refused := f.take(pushes)
	if taken != 4 || refused != nil {
		t.Fatalf("%d were taken, and then %v", taken, refused)
	}
	if v := f.Current(); v.Revision != renewed || f.kept.Floor != renewed || f.kept.Number != contacts+1 {
		t.Fatalf("revision %d, contact %+v", v.Revision, f.kept)
	}
	if _, refused = f.take(pushes[4:]); refused == nil || refused.reason != badSignature {
		t.Fatalf("a push that is not signed: %v", refused)
	}
	if f.Current().Revision != renewed {
		t.Fatal("something of what was refused is served")
	}
	check(t, f.Close())
	again := n.open()
	if v := again.Current(); v == nil || v.Revision != renewed || again.replica.floor != renewed {
		t.Fatalf("started from the cache: %+v", again.Status())
	}
	for i := 20; i < 23; i++ {
		if _, ok := again.Current().Tenant(tenantID(i)); !ok {
			t.Errorf("tenant %d was lost", i)
		}
	}
}

// A group that cannot be kept is not taken: nothing of it is served or acknowledged.
func TestINV35_AGroupThatIsNotDurableIsNotServed(t *testing.T) {
	w := newWorld(t)
	n, b := w.node(w.voter(mtls.ControlPlane)), w.book(3)
	f := n.open()
	if refused := f.handle(b.snapshot(1000)[0]); refused != nil {
		t.Fatal(refused)
	}
	if refused := f.handle(b.delta(nil, tenantRow(8, "ie1"))); refused != nil { // the contact's file is open now
		t.Fatal(refused)
	}
	had := b.revision
	check(t, os.RemoveAll(n.o.Dir))
	_, refused := f.take([]*controlv1.Push{b.delta(nil, tenantRow(9, "ie1")), b.delta(nil, tenantRow(10, "ie1"))})
	if refused == nil || refused.reason != noStorage || f.Current().Revision != had || f.replica.good.view.Revision != had {
		t.Fatalf("%v, and revision %d is served", refused, f.Current().Revision)
	}
}

// A stream brings more than a node takes one by one; the last answer stands for all.
func TestAnAcknowledgementStandsForThoseBefore(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n, b := w.node(v), w.book(3)
	_, s := n.synced(v, b)
	first := s.nonce
	for i := range 60 {
		p := b.delta(nil, tenantRow(20+i, "ie1"))
		s.nonce++
		p.Nonce = s.nonce
		s.pushes <- p
	}
	for at := first; at < s.nonce; {
		m := <-s.answers
		ack := m.GetAck()
		if ack.GetNonce() <= at || ack.GetRevision() != ack.GetNonce()-first+1 {
			t.Fatalf("after %d came %v", at, m)
		}
		at = ack.GetNonce()
	}
}

// The two slots of a contact: what was being written when the power went leaves the
// one before, and what is damaged whole is an error.
func TestINV35_AContactIsWrittenBesideTheOneBefore(t *testing.T) {
	c, err := newCache(t.TempDir(), [32]byte{1}, "slots")
	check(t, err)
	for n := range uint64(5) {
		check(t, c.saveContact(contact{Number: 1 + n, Floor: 10 + n}))
		k, err := c.loadContact()
		if err != nil || k.Floor != 10+n || k.Number != 1+n {
			t.Fatalf("%+v, %v", k, err)
		}
	}
	path := filepath.Join(c.dir, contactFile)
	raw, err := os.ReadFile(path)
	check(t, err)
	for name, one := range map[string]struct {
		at    []int
		floor uint64 // 0: an error
	}{
		"the newest is torn": {[]int{slotSize + 40}, 13}, // number 5
		"the older is torn":  {[]int{40}, 14},
		"both":               {[]int{40, slotSize + 40}, 0},
		"a length":           {[]int{slotSize + 2}, 13},
	} {
		torn := bytes.Clone(raw)
		for _, at := range one.at {
			torn[at] ^= 1
		}
		k, err := c.openContact(torn)
		if k.Floor != one.floor || (err == nil) != (one.floor > 0) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
	moved := append(bytes.Clone(raw[slotSize:]), raw[:slotSize]...)
	if k, err := c.openContact(moved); err != nil || k.Floor != 14 {
		t.Errorf("slots are told by their numbers: %+v, %v", k, err)
	}
	// The former format, of one record, is read and then replaced.
	former := c.seal([]byte(`{"format":1,"floor":21,"at":"2026-11-28T20:00:00Z","fresh_until":"2026-11-28T20:01:00Z"}`), c.contactAdditional(formerContact))
	check(t, c.replaceFile(contactFile, former))
	k, err := c.loadContact()
	if err != nil || k.Floor != 21 {
		t.Fatalf("the former format: %+v, %v", k, err)
	}
	check(t, c.saveContact(contact{Number: k.Number + 1, Floor: 22}))
	if k, err := c.loadContact(); err != nil || k.Floor != 22 {
		t.Fatalf("%+v, %v", k, err)
	}
	c.close()
}

// Pushes that come while the cache is compacted are in the new file as well.
func TestWhatComesDuringACompactionIsCarriedOver(t *testing.T) {
	w := newWorld(t)
	n, b := w.node(w.voter(mtls.ControlPlane)), w.book(50)
	f := n.open()
	take := func(p *controlv1.Push) {
		t.Helper()
		if refused := f.handle(p); refused != nil {
			t.Fatal(refused)
		}
	}
	take(b.snapshot(1000)[0])
	for i := range 20 {
		take(b.changed(i, 50))
	}
	k := f.cache.beginCompaction(f.replica.good)
	take(b.changed(21, 50))
	k.run()
	take(b.delta(nil, tenantRow(70, "ie1")))
	take(b.delta([]string{"t/" + string(tenantID(3))}))
	was := f.cache.size
	check(t, k.err)
	check(t, f.cache.adopt(k))
	if f.cache.size >= was {
		t.Errorf("%d bytes of %d", f.cache.size, was)
	}
	take(b.delta(nil, tenantRow(71, "ie1")))
	hash := f.replica.good.hash
	check(t, f.Close())
	again := n.open()
	if v := again.Current(); v == nil || v.Revision != b.revision || again.replica.good.hash != hash {
		t.Fatalf("started from a cache that was carried over: %+v", again.Status())
	}
	// A snapshot that came meanwhile is what stays.
	f = again
	k = f.cache.beginCompaction(f.replica.good)
	b.revision++
	take(proto.Clone(b.snapshot(1000)[0]).(*controlv1.Push))
	if k.run(); k.err == nil {
		if err := f.cache.adopt(k); err == nil {
			t.Error("an older file took the place of a newer one")
		}
	}
	if _, err := os.Stat(n.cachePath() + ".compact"); err == nil {
		t.Error("the draft was left behind")
	}
}
