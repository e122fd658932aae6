package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/domicile-io/domicile/internal/plainjson"
	"github.com/domicile-io/domicile/policy"
)

// A policy is read and written several times for each change, on every voter, so
// its form has a reader and a writer of its own. Both are bound to encoding/json:
// see package plainjson.

var (
	classNames       = plainjson.NamesOf[policy.DataClass]()
	egressNames      = plainjson.NamesOf[policy.EgressClass]()
	modeNames        = plainjson.NamesOf[policy.Mode]()
	effectNames      = plainjson.NamesOf[policy.Effect]()
	unavailableNames = plainjson.NamesOf[policy.Unavailable]()
	attestationNames = plainjson.NamesOf[policy.Attestation]()

	// In the order in which encoding/json writes the keys of a map.
	sortedClasses = byText(classNames, policy.DataClasses())
	sortedEgress  = byText(egressNames, policy.EgressClasses())
)

func byText[T ~uint8](names *plainjson.Names[T], all []T) []T {
	return slices.SortedFunc(slices.Values(all), func(a, b T) int { return cmp.Compare(names.Text(a), names.Text(b)) })
}

// appendPolicy appends the bytes that encoding/json writes of p. ok is false for a
// policy that encoding/json must write (or refuse), and then b is worth nothing.
func appendPolicy(b []byte, p *policy.ResidencyPolicy) (out []byte, ok bool) {
	b = plainjson.AppendField(b, `{"tenant":`, p.Tenant)
	b = plainjson.AppendField(b, `,"home_region":`, p.HomeRegion)
	b = plainjson.AppendField(b, `,"boundary":`, p.Boundary)
	b = plainjson.AppendUint(b, `,"home_epoch":`, p.HomeEpoch)
	b = plainjson.AppendUint(b, `,"revision":`, p.Revision)
	b = plainjson.AppendField(b, `,"contracting_entity":`, p.ContractingEntity)
	if b, ok = appendMap(append(b, `,"classes":`...), classNames, sortedClasses, p.Classes, appendClass); !ok {
		return b, false
	}
	if b, ok = unavailableNames.Append(b, `,"on_region_unavailable":`, p.OnUnavailable); !ok {
		return b, false
	}
	if b, ok = appendMap(append(b, `,"egress":`...), egressNames, sortedEgress, p.Egress, appendEgress); !ok {
		return b, false
	}
	b = strconv.AppendBool(append(b, `,"recipients":{"deny_all":`...), p.Recipients.DenyAll)
	if len(p.Recipients.List) > 0 {
		if b, ok = appendOther(append(b, `,"list":`...), p.Recipients.List); !ok {
			return b, false
		}
	}
	b = appendAccess(append(b, `},"access":`...), p.Access)
	if len(p.Consent) > 0 {
		if b, ok = appendOther(append(b, `,"consent":`...), p.Consent); !ok {
			return b, false
		}
	}
	b = plainjson.AppendInt(b, `,"max_policy_staleness":`, p.MaxStaleness)
	if b, ok = attestationNames.Append(b, `,"min_attestation":`, p.MinAttestation); !ok {
		return b, false
	}
	b = strconv.AppendBool(append(b, `,"allow_region_change":`...), p.AllowRegionChange)
	if len(p.Signatures) > 0 {
		if b, ok = appendOther(append(b, `,"signatures":`...), p.Signatures); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// appendOther appends what is rare by encoding/json.
func appendOther(b []byte, v any) ([]byte, bool) {
	content, err := json.Marshal(v)
	return append(b, content...), err == nil
}

// appendMap appends a map with keys of a closed list, given in order.
func appendMap[K ~uint8, V any](b []byte, names *plainjson.Names[K], order []K, m map[K]V, one func([]byte, V) ([]byte, bool)) ([]byte, bool) {
	if m == nil {
		return b, false
	}
	b = append(b, '{')
	written := 0
	for _, k := range order {
		v, has := m[k]
		if !has {
			continue
		}
		if written > 0 {
			b = append(b, ',')
		}
		var ok bool
		if b, ok = names.Append(b, "", k); !ok {
			return b, false
		}
		b = append(b, ':')
		if b, ok = one(b, v); !ok {
			return b, false
		}
		written++
	}
	return append(b, '}'), written == len(m)
}

func appendClass(b []byte, c policy.ClassRule) (out []byte, ok bool) {
	b, ok = modeNames.Append(b, `{"mode":`, c.Mode)
	b = plainjson.AppendInt(b, `,"retention":`, c.Retention)
	if c.RedactProfile != "" {
		b = plainjson.AppendField(b, `,"redact_profile":`, c.RedactProfile)
	}
	return append(b, '}'), ok
}

func appendEgress(b []byte, e policy.EgressRule) (out []byte, ok bool) {
	b, ok = effectNames.Append(b, `{"effect":`, e.Effect)
	if e.PerDay != 0 {
		b = plainjson.AppendUint(b, `,"per_day":`, e.PerDay)
	}
	if e.Basis != "" {
		b = plainjson.AppendField(b, `,"basis":`, e.Basis)
	}
	return append(b, '}'), ok
}

func appendAccess(b []byte, a policy.AccessRule) []byte {
	b = plainjson.AppendField(b, `{"approval":`, a.Approval)
	b = append(b, `,"allowed_reasons":`...)
	if a.AllowedReasons == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, '[')
		for i, reason := range a.AllowedReasons {
			if i > 0 {
				b = append(b, ',')
			}
			b = plainjson.AppendString(b, reason)
		}
		b = append(b, ']')
	}
	b = plainjson.AppendField(b, `,"approver_boundary":`, a.ApproverBoundary)
	b = plainjson.AppendInt(b, `,"max_duration":`, a.MaxDuration)
	b = plainjson.AppendField(b, `,"scope_width":`, a.ScopeWidth)
	return append(b, '}')
}

// readPolicy reads what appendPolicy wrote, up to but without the closing brace, so
// that a struct that embeds a policy can go on with its own fields.
func readPolicy(r *plainjson.Reader, p *policy.ResidencyPolicy) {
	r.Want(`{"tenant":`)
	p.Tenant = policy.TenantID(r.String())
	r.Want(`,"home_region":`)
	p.HomeRegion = policy.RegionID(r.String())
	r.Want(`,"boundary":`)
	p.Boundary = policy.Boundary(r.String())
	r.Want(`,"home_epoch":`)
	p.HomeEpoch = r.Uint()
	r.Want(`,"revision":`)
	p.Revision = r.Uint()
	r.Want(`,"contracting_entity":`)
	p.ContractingEntity = r.String()
	r.Want(`,"classes":`)
	p.Classes = readMap(r, classNames, readClass)
	r.Want(`,"on_region_unavailable":`)
	p.OnUnavailable = unavailableNames.Read(r)
	r.Want(`,"egress":`)
	p.Egress = readMap(r, egressNames, readEgress)
	r.Want(`,"recipients":{"deny_all":`)
	p.Recipients.DenyAll = r.Bool()
	if r.Next(`,"list":`) {
		readOther(r, &p.Recipients.List)
	}
	r.Want(`},"access":`)
	readAccess(r, &p.Access)
	if r.Next(`,"consent":`) {
		readOther(r, &p.Consent)
	}
	r.Want(`,"max_policy_staleness":`)
	p.MaxStaleness = policy.Seconds(r.Int())
	r.Want(`,"min_attestation":`)
	p.MinAttestation = attestationNames.Read(r)
	r.Want(`,"allow_region_change":`)
	p.AllowRegionChange = r.Bool()
	if r.Next(`,"signatures":`) {
		readOther(r, &p.Signatures)
	}
}

// readOther reads what is rare by encoding/json, and refuses unknown fields.
func readOther(r *plainjson.Reader, into any) {
	d := json.NewDecoder(bytes.NewReader(r.Value()))
	d.DisallowUnknownFields()
	if r.Failed() || d.Decode(into) != nil {
		r.Fail()
	}
}

func readMap[K ~uint8, V any](r *plainjson.Reader, names *plainjson.Names[K], one func(*plainjson.Reader) V) map[K]V {
	m := make(map[K]V, names.Count())
	r.Want("{")
	for first := true; !r.Failed() && !r.Next("}"); first = false {
		if !first {
			r.Want(",")
		}
		k := names.Read(r)
		r.Want(":")
		m[k] = one(r)
	}
	return m
}

func readClass(r *plainjson.Reader) (c policy.ClassRule) {
	r.Want(`{"mode":`)
	c.Mode = modeNames.Read(r)
	r.Want(`,"retention":`)
	c.Retention = policy.Seconds(r.Int())
	if r.Next(`,"redact_profile":`) {
		c.RedactProfile = r.String()
	}
	r.Want("}")
	return c
}

func readEgress(r *plainjson.Reader) (e policy.EgressRule) {
	r.Want(`{"effect":`)
	e.Effect = effectNames.Read(r)
	if r.Next(`,"per_day":`) {
		e.PerDay = r.Uint()
	}
	if r.Next(`,"basis":`) {
		e.Basis = r.String()
	}
	r.Want("}")
	return e
}

func readAccess(r *plainjson.Reader, a *policy.AccessRule) {
	r.Want(`{"approval":`)
	a.Approval = r.String()
	r.Want(`,"allowed_reasons":`)
	if !r.Next("null") {
		a.AllowedReasons = []string{}
		r.Want("[")
		for first := true; !r.Failed() && !r.Next("]"); first = false {
			if !first {
				r.Want(",")
			}
			a.AllowedReasons = append(a.AllowedReasons, r.String())
		}
	}
	r.Want(`,"approver_boundary":`)
	a.ApproverBoundary = policy.Boundary(r.String())
	r.Want(`,"max_duration":`)
	a.MaxDuration = policy.Seconds(r.Int())
	r.Want(`,"scope_width":`)
	a.ScopeWidth = r.String()
	r.Want("}")
}
