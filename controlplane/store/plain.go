package store

import (
	"time"

	"github.com/domicile-io/domicile/internal/plainjson"
	"github.com/domicile-io/domicile/policy"
)

// plain writes an object without reflection, for the kinds of rows and commands
// that nearly every change has; ok is false for all others.
func plain(v any) (content []byte, ok bool) {
	switch v := v.(type) {
	case Policy:
		return plainPolicy(make([]byte, 0, 2048), &v)
	case policy.ResidencyPolicy:
		return appendPolicy(make([]byte, 0, 2048), &v)
	case Tenant:
		return plainTenant(&v)
	case logRecord:
		return plainLog(&v)
	case wireCommand[Payload]:
		return plainCommand(&v)
	}
	return nil, false
}

// unplain reads an object that plain wrote. It is false for whatever encoding/json
// must read, and has then left something in into, which must be made anew.
func unplain(content []byte, into any) bool {
	r := plainjson.Read(content)
	switch v := into.(type) {
	case *Policy:
		readStoredPolicy(r, v)
	case *Tenant:
		readTenant(r, v)
	case *Token: // read for each call, and seldom written
		readToken(r, v)
	case *wireCommand[*PutPolicy]:
		v.Payload = new(PutPolicy)
		readStamp(r, &v.Stamp)
		readPutPolicy(r, v.Payload)
	case *wireCommand[*Batch]:
		v.Payload = new(Batch)
		readStamp(r, &v.Stamp)
		readBatch(r, v.Payload)
	case *wireCommand[*CreateTenant]:
		v.Payload = new(CreateTenant)
		readStamp(r, &v.Stamp)
		readCreateTenant(r, v.Payload)
	default:
		return false
	}
	return r.Done()
}

func appendTime(b []byte, name string, t time.Time) ([]byte, bool) {
	if t.Location() != time.UTC || t.Year() < 0 || t.Year() > 9999 {
		return b, false // encoding/json has more to say of those
	}
	b = append(append(b, name...), '"')
	return append(t.AppendFormat(b, time.RFC3339Nano), '"'), true
}

func readTime(r *plainjson.Reader) (t time.Time) {
	if t.UnmarshalText(r.Text()) != nil {
		r.Fail()
	}
	return t
}
