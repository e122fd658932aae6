package store

import (
	"github.com/domicile-io/domicile/internal/plainjson"
	"github.com/domicile-io/domicile/policy"
)

// Values of closed lists are their numbers, which are as fixed as their names:
// package policy adds to its lists and takes nothing away.
var (
	classNames       = plainjson.NamesOf[policy.DataClass]()
	egressNames      = plainjson.NamesOf[policy.EgressClass]()
	modeNames        = plainjson.NamesOf[policy.Mode]()
	effectNames      = plainjson.NamesOf[policy.Effect]()
	unavailableNames = plainjson.NamesOf[policy.Unavailable]()
	attestationNames = plainjson.NamesOf[policy.Attestation]()

	dataClasses   = policy.DataClasses()
	egressClasses = policy.EgressClasses()
)

// packStored gives a policy's row. Its etag comes first: it is asked for alone.
func packStored(v *Policy) (content []byte, ok bool) {
	p := packer{b: append(make([]byte, 0, 512), packedForm)}
	packText(&p, v.ETag)
	p.policy(&v.ResidencyPolicy)
	p.other(v.Signers, v.Signers != nil)
	return p.b, !p.bad
}

func unpackStored(content []byte, v *Policy) bool {
	u := unpacker{rest: string(content)}
	if u.byte() != packedForm {
		return false
	}
	v.ETag = u.text()
	u.policy(&v.ResidencyPolicy)
	u.other(&v.Signers)
	return u.done()
}

// storedETag is the etag of a packed row; "" for what is none.
func storedETag(content []byte) string {
	u := unpacker{rest: string(content)}
	if u.byte() != packedForm {
		return ""
	}
	return u.text()
}

func (p *packer) policy(v *policy.ResidencyPolicy) {
	packText(p, v.Tenant)
	packText(p, v.HomeRegion)
	packText(p, v.Boundary)
	p.number(v.HomeEpoch)
	p.number(v.Revision)
	packText(p, v.ContractingEntity)
	packMap(p, dataClasses, v.Classes, (*packer).class)
	packValue(p, unavailableNames, v.OnUnavailable)
	packMap(p, egressClasses, v.Egress, (*packer).egress)
	p.flag(v.Recipients.DenyAll)
	p.other(v.Recipients.List, len(v.Recipients.List) > 0)
	p.access(&v.Access)
	p.other(v.Consent, len(v.Consent) > 0)
	p.signed(int64(v.MaxStaleness))
	packValue(p, attestationNames, v.MinAttestation)
	p.flag(v.AllowRegionChange)
	p.other(v.Signatures, len(v.Signatures) > 0)
}

func (u *unpacker) policy(v *policy.ResidencyPolicy) {
	v.Tenant = policy.TenantID(u.text())
	v.HomeRegion = policy.RegionID(u.text())
	v.Boundary = policy.Boundary(u.text())
	v.HomeEpoch = u.number()
	v.Revision = u.number()
	v.ContractingEntity = u.text()
	v.Classes = unpackMap(u, classNames, (*unpacker).class)
	v.OnUnavailable = unpackValue(u, unavailableNames)
	v.Egress = unpackMap(u, egressNames, (*unpacker).egress)
	v.Recipients.DenyAll = u.flag()
	u.other(&v.Recipients.List)
	u.access(&v.Access)
	u.other(&v.Consent)
	v.MaxStaleness = policy.Seconds(u.signed())
	v.MinAttestation = unpackValue(u, attestationNames)
	v.AllowRegionChange = u.flag()
	u.other(&v.Signatures)
}

// packMap writes a map with keys of a closed list, given in ascending order.
func packMap[K ~uint8, V any](p *packer, order []K, m map[K]V, one func(*packer, V)) {
	if m == nil {
		p.number(0)
		return
	}
	p.number(uint64(len(m)) + 1)
	written := 0
	for _, k := range order {
		if v, has := m[k]; has {
			p.b = append(p.b, byte(k))
			one(p, v)
			written++
		}
	}
	p.bad = p.bad || written != len(m)
}

func unpackMap[K ~uint8, V any](u *unpacker, names *plainjson.Names[K], one func(*unpacker) V) map[K]V {
	n, has := u.length()
	if !has {
		return nil
	}
	m := make(map[K]V, min(n, names.Count()))
	for last := K(0); n > 0; n-- {
		k := unpackValue(u, names)
		if k <= last {
			u.fail()
			return nil
		}
		m[k], last = one(u), k
	}
	return m
}

func packValue[K ~uint8](p *packer, names *plainjson.Names[K], v K) {
	p.b = append(p.b, byte(v))
	p.bad = p.bad || names.Text(v) == ""
}

func unpackValue[K ~uint8](u *unpacker, names *plainjson.Names[K]) K {
	v := K(u.byte())
	if names.Text(v) == "" {
		u.fail()
	}
	return v
}

func (p *packer) class(c policy.ClassRule) {
	packValue(p, modeNames, c.Mode)
	p.signed(int64(c.Retention))
	packText(p, c.RedactProfile)
}

func (u *unpacker) class() policy.ClassRule {
	return policy.ClassRule{Mode: unpackValue(u, modeNames), Retention: policy.Seconds(u.signed()), RedactProfile: u.text()}
}

func (p *packer) egress(e policy.EgressRule) {
	packValue(p, effectNames, e.Effect)
	p.number(e.PerDay)
	packText(p, e.Basis)
}

func (u *unpacker) egress() policy.EgressRule {
	return policy.EgressRule{Effect: unpackValue(u, effectNames), PerDay: u.number(), Basis: u.text()}
}

func (p *packer) access(a *policy.AccessRule) {
	packText(p, a.Approval)
	if a.AllowedReasons == nil {
		p.number(0)
	} else {
		p.number(uint64(len(a.AllowedReasons)) + 1)
		for _, reason := range a.AllowedReasons {
			packText(p, reason)
		}
	}
	packText(p, a.ApproverBoundary)
	p.signed(int64(a.MaxDuration))
	packText(p, a.ScopeWidth)
}

func (u *unpacker) access(a *policy.AccessRule) {
	a.Approval = u.text()
	if n, has := u.length(); has {
		a.AllowedReasons = make([]string, n)
		for i := range a.AllowedReasons {
			a.AllowedReasons[i] = u.text()
		}
	}
	a.ApproverBoundary = policy.Boundary(u.text())
	a.MaxDuration = policy.Seconds(u.signed())
	a.ScopeWidth = u.text()
}
