package store

import (
	"time"

	"github.com/domicile-io/domicile/policy"
)

// packCommand writes a command behind its header; ok is false for one that is
// written as JSON.
func packCommand(header []byte, c *Command) (out []byte, ok bool) {
	switch v := c.Payload.(type) {
	case PutPolicy:
		p := packer{b: append(make([]byte, 0, 512), header...)}
		p.stamp(&c.Stamp)
		packText(&p, v.Tenant)
		packText(&p, v.IfMatch)
		p.policy(&v.Policy)
		return p.b, !p.bad
	case Batch:
		size := 256
		for _, item := range v.Items {
			size += len(item.Command) + 64
		}
		p := packer{b: append(make([]byte, 0, size), header...)}
		p.stamp(&c.Stamp)
		p.items(v.Items)
		return p.b, !p.bad
	}
	return nil, false
}

// unpackCommand reads what packCommand wrote behind the header. Items of a batch
// alias body.
func unpackCommand(k Kind, body []byte) (c Command, ok bool) {
	switch k {
	case KindPutPolicy:
		u := unpacker{rest: string(body)}
		c.Stamp = u.stamp()
		p := PutPolicy{Tenant: policy.TenantID(u.text()), IfMatch: u.text()}
		u.policy(&p.Policy)
		c.Payload = p
		return c, u.done()
	case KindBatch:
		u := unpacker{rest: string(body)}
		c.Stamp = u.stamp()
		c.Payload = Batch{Items: u.items(body)}
		return c, u.done()
	}
	return c, false
}

func (p *packer) stamp(s *Stamp) {
	p.signed(s.Now.Unix())
	p.number(uint64(s.Now.Nanosecond()))
	packText(p, s.Actor)
	packText(p, s.IdempotencyKey)
	packText(p, s.RequestHash)
}

func (u *unpacker) stamp() Stamp {
	seconds, nanoseconds := u.signed(), u.number()
	if nanoseconds >= uint64(time.Second) {
		u.fail()
		nanoseconds = 0
	}
	return Stamp{Now: time.Unix(seconds, int64(nanoseconds)).UTC(), Actor: u.text(), IdempotencyKey: u.text(), RequestHash: u.text()}
}

func (p *packer) items(items []BatchItem) {
	if items == nil {
		p.number(0)
		return
	}
	p.number(uint64(len(items)) + 1)
	for _, item := range items {
		p.bytes(item.Command)
		packText(p, item.Tenant)
		packText(p, item.Refused)
	}
}

// items of a batch; body is what u reads, as bytes.
func (u *unpacker) items(body []byte) []BatchItem {
	n, has := u.length()
	if !has {
		return nil
	}
	items := make([]BatchItem, 0, min(n, MaxBatch))
	for range n {
		size := u.number()
		if size > uint64(len(u.rest)) {
			u.fail()
			return nil
		}
		at := len(body) - len(u.rest)
		var item BatchItem
		if size > 0 {
			item.Command = body[at : at+int(size) : at+int(size)]
		}
		u.rest = u.rest[size:]
		item.Tenant, item.Refused = u.text(), policy.Reason(u.text())
		items = append(items, item)
	}
	return items
}
