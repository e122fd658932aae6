package record

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"sync"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Scope is what a pseudonym key is for. The same subject has unrelated
// pseudonyms in different scopes (INV14).
type Scope struct {
	Tenant    policy.TenantID
	Recipient policy.RecipientID
	Purpose   string
	Period    string // e.g. "2026-11"; its secret is destroyed when the recipient has purged
}

// PseudonymKey makes the pseudonyms of one scope. It is safe for concurrent use
// and prints [redacted]. There is no way to read the key out of it.
type PseudonymKey struct {
	scope Scope
	macs  sync.Pool // of hash.Hash: a keyed HMAC costs half when it is reused
}

// NewPseudonymKey derives the key of a scope from a home-only secret of 256
// random bits. The secret may be one per scope or one per tenant and period.
func NewPseudonymKey(secret [32]byte, scope Scope) (*PseudonymKey, error) {
	if secret == [32]byte{} || scope.Tenant == "" || scope.Recipient == "" || scope.Purpose == "" || scope.Period == "" {
		return nil, errors.New("make a pseudonym key: secret, tenant, recipient, purpose and period must all be given")
	}
	m := hmac.New(sha256.New, secret[:])
	part(m, "domicile pseudonym key 1")
	part(m, string(scope.Tenant))
	part(m, string(scope.Recipient))
	part(m, scope.Purpose)
	part(m, scope.Period)
	key := m.Sum(nil)
	k := &PseudonymKey{scope: scope}
	k.macs.New = func() any { return hmac.New(sha256.New, key) }
	return k, nil
}

// part writes a string with its length before it, so that no two lists of
// strings are the same bytes.
func part(h hash.Hash, s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}

// token is the PRF: HMAC-SHA-256 cut to 128 bits, in hex. The domain is one
// byte, so that domain and a random id fit one block of the hash.
func (k *PseudonymKey) token(domain byte, id string) string {
	if id == "" {
		return ""
	}
	m := k.macs.Get().(hash.Hash)
	defer k.macs.Put(m)
	m.Reset()
	var in [64]byte
	var sum [sha256.Size]byte
	m.Write(append(append(in[:0], domain), id...))
	return hex.EncodeToString(m.Sum(sum[:0])[:16])
}

// The domains of tokens: a call and a subject never share one.
const (
	domainCall    = 'c'
	domainSubject = 's'
)

// row is what crosses; its JSON is that of a received row.
type row struct {
	Row         string `json:"row"`
	From        string `json:"from"`
	To          string `json:"to"`
	FromCountry string `json:"from_country"`
	ToCountry   string `json:"to_country"`
	Direction   string `json:"direction"`
	Outcome     string `json:"outcome"`
	Hour        string `json:"hour"`
	Duration    string `json:"duration_bucket"`
	Source      string `json:"source_kind,omitempty"`
}

// Pseudonymised is a record as it may cross a border. Only Pseudonymise makes
// one that is not empty, and nothing can change it afterwards.
type Pseudonymised struct{ row row }

// Empty reports that Pseudonymise did not make p: it must not be sent.
func (p Pseudonymised) Empty() bool { return p.row.Row == "" }

// Tombstone is the transaction pseudonym of a call in the key's scope: what a
// recipient is told to delete when the call is erased. It tells nothing that the
// recipient did not have.
func (k *PseudonymKey) Tombstone(callID string) (string, error) {
	if !policy.ValidID(policy.KindCall, callID) {
		return "", errors.New("make a tombstone: it needs a valid call id")
	}
	return k.token(domainCall, callID), nil
}

// Row is the transaction pseudonym: the same for every version of a call.
func (p Pseudonymised) Row() string { return p.row.Row }

// Class is every generalised field, joined: what a recipient can group rows by.
func (p Pseudonymised) Class() string {
	r := &p.row
	return r.FromCountry + "|" + r.ToCountry + "|" + r.Direction + "|" + r.Outcome + "|" + r.Hour + "|" + r.Duration + "|" + r.Source
}

// MarshalJSON writes the row that crosses. An empty value is an error.
func (p Pseudonymised) MarshalJSON() ([]byte, error) {
	if p.Empty() {
		return nil, errors.New("marshal a pseudonymised row: it was not made by Pseudonymise")
	}
	return json.Marshal(p.row)
}

// Pseudonymise makes the row of a call that may cross under permit: pseudonyms
// for the call and its subjects, country for numbers, hour for times, a bucket
// for the duration; everything else is dropped. It refuses a permit that is not
// for exporting call records pseudonymised, a key of another scope, a call
// without an id (CA…), and everything while a field has no class.
func Pseudonymise(callID string, r *Record, k *PseudonymKey, permit policy.Permit) (Pseudonymised, error) {
	if err := mayCross(unclassified(), k, permit); err != nil {
		return Pseudonymised{}, err
	}
	if !policy.ValidID(policy.KindCall, callID) {
		return Pseudonymised{}, errors.New("pseudonymise a call: it has no valid call id")
	}
	return Pseudonymised{row{
		Row:         k.token(domainCall, callID),
		From:        k.token(domainSubject, r.From.Subject),
		To:          k.token(domainSubject, r.To.Subject),
		FromCountry: country(r.From.Country),
		ToCountry:   country(r.To.Country),
		Direction:   direction(r.Direction),
		Outcome:     outcome(r),
		Hour:        hour(r.Start),
		Duration:    Bucket(r.Billsec),
		Source:      source(r.Key.Source),
	}}, nil
}

// mayCross refuses an export as a whole; gaps are the fields without a class.
func mayCross(gaps []string, k *PseudonymKey, p policy.Permit) error {
	switch {
	case len(gaps) > 0:
		return policy.Errorf(policy.EgressDenied, "%d fields of a record have no class; class them in the field table first", len(gaps))
	case p.Empty(), p.Operation() != policy.Export, p.Class() != policy.CallRecord, p.Transform() != policy.Pseudonymise:
		return policy.Errorf(policy.EgressDenied, "the permit is not for exporting pseudonymised call records; ask for one with Decide")
	case k == nil, k.scope.Tenant != p.Tenant(), k.scope.Recipient != p.Recipient(), k.scope.Purpose != p.Purpose():
		return policy.Errorf(policy.EgressDenied, "the pseudonym key is not of the permit's tenant, recipient and purpose")
	}
	return nil
}

// country keeps two capitals and nothing else.
func country(s string) string {
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return ""
	}
	return s
}

func direction(d Direction) string {
	switch d {
	case Inbound, Outbound, Internal:
		return string(d)
	}
	return ""
}

func source(s SourceKind) string {
	switch s {
	case FreeSWITCH, Kamailio, Asterisk, Twilio, Native:
		return string(s)
	}
	return ""
}

func outcome(r *Record) string {
	if r.Answered() {
		return "answered"
	}
	return "not_answered"
}

func hour(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Truncate(time.Hour).Format(time.RFC3339)
}

// Answered reports whether somebody took the call: it has an answer time or
// billed time, or completed at a source that gives neither.
func (r *Record) Answered() bool {
	return !r.Answer.IsZero() || r.Billsec > 0 || r.Status == Completed
}

// buckets are upper limits, exclusive, and the names of what lies below them.
var buckets = []struct {
	below time.Duration
	name  string
}{{1, "0"}, {time.Minute, "0-1m"}, {5 * time.Minute, "1-5m"}, {15 * time.Minute, "5-15m"}, {time.Hour, "15-60m"}}

// Bucket generalises a duration: "0" for none, "0-1m" up to a minute (exclusive), … "60m+".
func Bucket(d time.Duration) string {
	for _, b := range buckets {
		if d < b.below {
			return b.name
		}
	}
	return "60m+"
}

// Buckets lists the names that Bucket gives, shortest first.
func Buckets() []string {
	out := make([]string, 0, len(buckets)+1)
	for _, b := range buckets {
		out = append(out, b.name)
	}
	return append(out, "60m+")
}
