package subject

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// Redaction takes one person out of the records of calls whose other party
// stays (docs/adr/0043).
//
// What stays is what the other party can claim as its own: its number, when the
// call was, which way it went, how long it took, how it ended, and the feed that
// told of it. What goes: the person's number, raw form, country and subject id;
// the caller's name when the person called; everything about the identity that
// was asserted (STIR); the native payload and its hash, references to
// recordings, the consent reference. The source's own ids of the call (SIP
// Call-IDs, tags, legs) become keyed tokens, because sources write hosts and
// numbers into them; the key is destroyed with the job. Any other text that
// still mentions the number is emptied.
type Redaction struct {
	subjects map[string]bool
	who      *target // nil when nobody knows the number any more
	mentions []mentions
	key      [32]byte // of the tokens; the job's, so that a job that goes on makes the same
}

// Fate decides on a call: it is dropped when nobody else is in it.
func (x *Redaction) Fate(c store.Call) store.Fate {
	from, to := x.is(&c.Record, c.Record.From), x.is(&c.Record, c.Record.To)
	switch {
	case from && (to || nobody(c.Record.To)), to && nobody(c.Record.From):
		return store.Drop
	}
	return store.Redact // also when only an earlier version names the person
}

// nobody reports whether a party is not there: it withheld its identity, or was
// erased itself.
func nobody(p record.Party) bool { return p.Anonymous() && p.Subject == "" }

// is reports whether a party of a record is the person: by its subject; or by its
// number, which an event that came after the number was let go has under another
// subject, although its call was there before.
func (x *Redaction) is(r *record.Record, p record.Party) bool {
	if p.Subject == "" {
		return false
	}
	return x.subjects[p.Subject] || x.who.has(r, p)
}

func (p *target) has(r *record.Record, party record.Party) bool {
	switch {
	case p == nil:
		return false
	case p.Instance != "":
		return party.E164 == "" && party.Raw == p.Raw && r.Key.Instance == p.Instance
	}
	if party.E164 != "" {
		return party.E164 == p.E164
	}
	return party.Raw == cmp.Or(p.E164, p.Raw)
}

// Apply redacts one version, event or view.
func (x *Redaction) Apply(r *record.Record) {
	from, to := x.is(r, r.From), x.is(r, r.To)
	if from {
		r.From, r.CallerName = record.Party{}, ""
	}
	if to {
		r.To = record.Party{}
	}
	r.STIR, r.ConsentRef, r.RecordingRefs = record.STIR{}, "", nil
	r.Native, r.NativeType, r.ContentHash, r.HashOfBytes = nil, "", [32]byte{}, false
	r.Key.NativeID, r.Key.Leg = x.token('n', r.Key.NativeID), x.token('l', r.Key.Leg)
	r.CallKey = x.token('n', r.CallKey) // often the native id: then it stays the same
	r.Key.Event = x.event(r.Key)
	for _, text := range []*string{&r.From.Raw, &r.To.Raw, &r.CallerName} {
		if x.mentioned(*text) {
			*text = ""
		}
	}
}

// event keeps of a Kamailio event what the fold asks for: its kind, and whether
// its method is INVITE. Twilio's sequence numbers are no identifiers.
func (x *Redaction) event(k record.Key) string {
	if k.Event == "" || k.Source == record.Twilio {
		return k.Event
	}
	kind := ""
	for _, known := range []string{"cdr", "acc/INVITE", "acc"} {
		if strings.HasPrefix(k.Event, known) {
			kind = known + "/"
			break
		}
	}
	return kind + x.token('e', k.Event)
}

// token replaces an identifier by one that tells nothing once the key is gone.
func (x *Redaction) token(use byte, s string) string {
	if s == "" {
		return ""
	}
	m := hmac.New(sha256.New, x.key[:])
	_, _ = m.Write([]byte{use})
	_, _ = io.WriteString(m, s)
	return "erased-" + hex.EncodeToString(m.Sum(nil)[:16])
}

func (x *Redaction) mentioned(text string) bool {
	if text == "" {
		return false
	}
	for _, m := range x.mentions {
		if m.in([]byte(text)) {
			return true
		}
	}
	return false
}

// within reports whether t lies in [since, until); a zero end is open.
func within(t, since, until time.Time) bool {
	return (since.IsZero() || !t.Before(since)) && (until.IsZero() || t.Before(until))
}
