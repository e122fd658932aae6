package feed

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/policy"
)

// Most rows of a large bundle are tenants whose policies are equal but for
// tenant and revision. Decoding each policy would cost many times what the rest
// of the row does, so its text is cut out, and equal text is decoded once. What
// is not exactly as the control plane's encoder writes it is decoded whole.

// wireTenant is a tenant's row with its policy apart.
type wireTenant struct {
	row        policy.Row // strictly decoded, without the policy
	text       []byte     // the policy's object; nil: none
	head, tail []byte     // of text, without tenant and revision
	revision   uint64
}

// split takes a tenant's row apart; false when it must be decoded whole.
func split(body []byte) (w wireTenant, ok bool) {
	from, to := member(body, `"policy":{`)
	if from < 0 {
		return w, false
	}
	shell := append(append(make([]byte, 0, len(body)-(to-from)), body[:from]...), body[to:]...)
	var err error
	if w.row, err = bundle.Decode(shell); err != nil || w.row.Tenant == nil || w.row.Tenant.Policy != nil || w.row.Tenant.Signers != nil {
		return w, false
	}
	w.text = body[from+len(`,"policy":`) : to]
	const revision = `,"revision":`
	rest, found := bytes.CutPrefix(w.text, []byte(`{"tenant":"`+string(w.row.Tenant.ID)+`",`))
	at := bytes.Index(rest, []byte(revision))
	if !found || at < 0 {
		return w, false
	}
	digits := rest[at+len(revision):]
	end := bytes.IndexByte(digits, ',')
	if end < 1 || end > 20 {
		return w, false
	}
	n, err := strconv.ParseUint(string(digits[:end]), 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != string(digits[:end]) {
		return w, false
	}
	w.head, w.tail, w.revision = rest[:at], digits[end:], n
	return w, true
}

// member finds a member, with the comma before it, of the object within a row's
// object: where it begins and ends, or -1. It knows JSON only as far as it must
// not to be misled by what stands inside strings or deeper.
func member(b []byte, name string) (from, to int) {
	depth := 0
	from = -1
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			if from < 0 && depth == 2 && i > 0 && b[i-1] == ',' && bytes.HasPrefix(b[i:], []byte(name)) {
				from = i - 1
			}
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; from >= 0 && depth == 2 {
				return from, i + 1
			}
		}
	}
	return -1, -1
}

// whole decodes the policy; false when its text is not what the encoder writes,
// so that equal text would not be proof of equal policies.
func (w *wireTenant) whole() bool {
	d := json.NewDecoder(bytes.NewReader(w.text))
	d.DisallowUnknownFields()
	var p policy.ResidencyPolicy
	if d.Decode(&p) != nil {
		return false
	}
	again, err := json.Marshal(p)
	if err != nil || !bytes.Equal(again, w.text) {
		return false
	}
	w.row.Tenant.Policy = &p
	return true
}
