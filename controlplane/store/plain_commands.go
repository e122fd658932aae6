package store

import (
	"encoding/base64"

	"github.com/domicile-io/domicile/internal/plainjson"
	"github.com/domicile-io/domicile/policy"
)

func appendStamp(b []byte, s *Stamp) (out []byte, ok bool) {
	if b, ok = appendTime(b, `{"stamp":{"now":`, s.Now); !ok {
		return nil, false
	}
	b = plainjson.AppendField(b, `,"actor":`, s.Actor)
	if s.IdempotencyKey != "" {
		b = plainjson.AppendField(b, `,"idempotency_key":`, s.IdempotencyKey)
	}
	if s.RequestHash != "" {
		b = plainjson.AppendField(b, `,"request_hash":`, s.RequestHash)
	}
	return append(b, '}'), true
}

func readStamp(r *plainjson.Reader, s *Stamp) {
	r.Want(`{"stamp":{"now":`)
	s.Now = readTime(r)
	r.Want(`,"actor":`)
	s.Actor = r.String()
	if r.Next(`,"idempotency_key":`) {
		s.IdempotencyKey = r.String()
	}
	if r.Next(`,"request_hash":`) {
		s.RequestHash = r.String()
	}
	r.Want(`}`)
}

func plainCommand(c *wireCommand[Payload]) (b []byte, ok bool) {
	switch p := c.Payload.(type) {
	case PutPolicy:
		if b, ok = appendStamp(make([]byte, 0, 2048), &c.Stamp); ok {
			b, ok = appendPutPolicy(b, &p)
		}
	case Batch:
		if b, ok = appendStamp(make([]byte, 0, 2048*len(p.Items)), &c.Stamp); ok {
			b, ok = appendBatch(b, &p)
		}
	}
	return append(b, '}'), ok
}

func appendPutPolicy(b []byte, p *PutPolicy) ([]byte, bool) {
	b = plainjson.AppendField(b, `,"payload":{"tenant":`, p.Tenant)
	b = plainjson.AppendField(b, `,"if_match":`, p.IfMatch)
	b, ok := appendPolicy(append(b, `,"policy":`...), &p.Policy)
	return append(b, '}'), ok
}

func appendBatch(b []byte, p *Batch) ([]byte, bool) {
	if p.Items == nil {
		return b, false
	}
	b = append(b, `,"payload":{"items":[`...)
	for i, item := range p.Items {
		if len(item.Command) == 0 || item.Tenant != "" || item.Refused != "" {
			return b, false
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = base64.StdEncoding.AppendEncode(append(b, `{"command":"`...), item.Command)
		b = append(b, `"}`...)
	}
	return append(b, "]}"...), true
}

func readBatch(r *plainjson.Reader, p *Batch) {
	r.Want(`,"payload":{"items":[`)
	p.Items = []BatchItem{}
	for first := true; !r.Failed() && !r.Next("]"); first = false {
		if !first {
			r.Want(",")
		}
		r.Want(`{"command":`)
		command, err := base64.StdEncoding.AppendDecode(nil, r.Text())
		if err != nil || len(command) == 0 {
			r.Fail()
		}
		r.Want("}")
		p.Items = append(p.Items, BatchItem{Command: command})
	}
	r.Want("}}")
}

func readPutPolicy(r *plainjson.Reader, p *PutPolicy) {
	r.Want(`,"payload":{"tenant":`)
	p.Tenant = policy.TenantID(r.String())
	r.Want(`,"if_match":`)
	p.IfMatch = r.String()
	r.Want(`,"policy":`)
	readPolicy(r, &p.Policy)
	r.Want("}}}")
}

func readCreateTenant(r *plainjson.Reader, p *CreateTenant) {
	r.Want(`,"payload":{"id":`)
	p.ID = policy.TenantID(r.String())
	r.Want(`,"slug":`)
	p.Slug = policy.Slug(r.String())
	r.Want(`,"home":`)
	p.Home = policy.RegionID(r.String())
	r.Want(`,"billing_country":`)
	p.BillingCountry = r.String()
	if r.Next(`,"policy":`) {
		p.Policy = new(policy.ResidencyPolicy)
		readPolicy(r, p.Policy)
		r.Want("}")
	}
	r.Want("}}")
}
