package store

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/domicile-io/domicile/internal/plainjson"
)

// plain writes an object without reflection, for the kinds of rows that nearly
// every change has; ok is false for all others. Policies are packed.
func plain(v any) (content []byte, ok bool) {
	switch v := v.(type) {
	case Policy:
		return packStored(&v)
	case Tenant:
		return plainTenant(&v)
	case logRecord:
		return plainLog(&v)
	}
	return nil, false
}

// unplain reads an object that plain wrote. It is false for whatever encoding/json
// must read, and has then left something in into, which must be made anew.
func unplain(content []byte, into any) bool {
	if v, ok := into.(*Policy); ok {
		return unpackStored(content, v)
	}
	r := plainjson.Read(content)
	switch v := into.(type) {
	case *Tenant:
		readTenant(r, v)
	case *Token: // read for each call, and seldom written
		readToken(r, v)
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

// appendOther appends what is rare by encoding/json.
func appendOther(b []byte, v any) ([]byte, bool) {
	content, err := json.Marshal(v)
	return append(b, content...), err == nil
}

// readOther reads what is rare by encoding/json, and refuses unknown fields.
func readOther(r *plainjson.Reader, into any) {
	d := json.NewDecoder(bytes.NewReader(r.Value()))
	d.DisallowUnknownFields()
	if r.Failed() || d.Decode(into) != nil {
		r.Fail()
	}
}
