package chaos

import (
	"context"
	"fmt"
	mrand "math/rand/v2"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func withPair(ctx context.Context, key, value string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, key, value)
}

func policyOutput(p *controlv1.Policy) output {
	kept := p.GetRules().GetClasses()["call_record"].GetRetention()
	return output{value: strconv.FormatUint(uint64(kept), 10), etag: p.GetEtag()}
}

func (o *objects) readPolicy(ctx context.Context, client int, draw *mrand.Rand, x *known) {
	out, ok := o.look(ctx, client, draw, object("policy/"+x.name), func(ctx context.Context, cc *grpc.ClientConn) (output, error) {
		p, err := controlv1.NewPolicyServiceClient(cc).GetPolicy(ctx, &controlv1.GetPolicyRequest{Tenant: x.name})
		return policyOutput(p), err
	})
	if ok {
		x.seen(out.value, out.etag)
	}
}

// swapPolicy shortens the retention that was last seen, by a drawn time.
func (o *objects) swapPolicy(ctx context.Context, client int, draw *mrand.Rand, x *known) {
	from, etag := x.last()
	kept, err := strconv.ParseUint(from, 10, 32)
	if err != nil {
		o.c.complain("policy of %s has retention %q", x.name, from)
		return
	}
	next := uint32(kept) - 1 - uint32(draw.IntN(1000))
	in := input{verb: swap, match: etag, from: from, value: strconv.FormatUint(uint64(next), 10)}
	out, err := o.write(ctx, client, draw, object("policy/"+x.name), in, []policy.Reason{policy.ETagMismatch}, func(ctx context.Context, cc *grpc.ClientConn) (output, error) {
		p, err := controlv1.NewPolicyServiceClient(cc).PutPolicy(ctx, &controlv1.PutPolicyRequest{Tenant: x.name, Rules: rules(next)})
		if err == nil && policyOutput(p).value != in.value {
			o.c.complain("policy of %s was set to %s and answered as %s", x.name, in.value, policyOutput(p).value)
		}
		return policyOutput(p), err
	})
	if err == nil {
		x.seen(in.value, out.etag)
		return
	}
	o.readPolicy(ctx, client, draw, x)
}

func (o *objects) createSlug(ctx context.Context, client int, draw *mrand.Rand, slug string) {
	_, _ = o.write(ctx, client, draw, object("slug/"+slug), input{verb: create}, []policy.Reason{policy.AlreadyExists}, func(ctx context.Context, cc *grpc.ClientConn) (output, error) {
		t, err := controlv1.NewTenantServiceClient(cc).CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: "us1", BillingCountry: "US"})
		return output{value: t.GetId(), etag: t.GetEtag()}, err
	})
}

func (o *objects) readSlug(ctx context.Context, client int, draw *mrand.Rand, slug string) {
	o.look(ctx, client, draw, object("slug/"+slug), func(ctx context.Context, cc *grpc.ClientConn) (output, error) {
		t, err := controlv1.NewTenantServiceClient(cc).GetTenant(ctx, &controlv1.GetTenantRequest{Tenant: slug})
		return output{value: t.GetId(), etag: t.GetEtag()}, err
	})
}

// A key's name is its tenant and its id, because requests need both.

func (o *objects) createKey(ctx context.Context, client int, draw *mrand.Rand) {
	x := o.tenants[draw.IntN(len(o.tenants))]
	id, hash := newKeyID(), secretHash()
	out, err := o.write(ctx, client, draw, object("key/"+id), input{verb: create, value: x.name}, nil, func(ctx context.Context, cc *grpc.ClientConn) (output, error) {
		k, err := controlv1.NewKeyServiceClient(cc).CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: x.name, Region: regionOfTests, Role: "ingest", KeyId: id, SecretSha256: hash})
		return output{value: k.GetTenant(), etag: k.GetEtag()}, err
	})
	if err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keys = append(o.keys, &known{name: id, from: out.value, etag: out.etag})
}

func (o *objects) takeKey() *known {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.keys) == 0 {
		return nil
	}
	k := o.keys[0]
	o.keys = o.keys[1:]
	return k
}

// deleteKey revokes a key and looks whether it is gone.
func (o *objects) deleteKey(ctx context.Context, client int, draw *mrand.Rand) {
	k := o.takeKey()
	if k == nil {
		return
	}
	owner, etag := k.last()
	_, _ = o.write(ctx, client, draw, object("key/"+k.name), input{verb: remove, match: etag, from: owner}, nil, func(ctx context.Context, cc *grpc.ClientConn) (output, error) {
		_, err := controlv1.NewKeyServiceClient(cc).DeleteKey(ctx, &controlv1.DeleteKeyRequest{Tenant: owner, Key: k.name})
		return output{}, err
	})
	o.readKey(ctx, client, draw, owner, k.name)
}

func (o *objects) readKey(ctx context.Context, client int, draw *mrand.Rand, owner, id string) {
	o.look(ctx, client, draw, object("key/"+id), func(ctx context.Context, cc *grpc.ClientConn) (output, error) {
		k, err := controlv1.NewKeyServiceClient(cc).GetKey(ctx, &controlv1.GetKeyRequest{Tenant: owner, Key: id})
		return output{value: k.GetTenant(), etag: k.GetEtag()}, err
	})
}

func (o *objects) readRegion(ctx context.Context, client int, draw *mrand.Rand, x *known) {
	var spec *controlv1.Region
	out, ok := o.look(ctx, client, draw, object("region/"+x.name), func(ctx context.Context, cc *grpc.ClientConn) (output, error) {
		r, err := controlv1.NewRegionServiceClient(cc).GetRegion(ctx, &controlv1.GetRegionRequest{Region: x.name})
		spec = r
		return output{value: r.GetBaseUrl(), etag: r.GetEtag()}, err
	})
	if ok {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.from, x.etag, x.spec = out.value, out.etag, spec
	}
}

// swapRegion gives a region another address, which every region's bundle carries.
func (o *objects) swapRegion(ctx context.Context, client int, draw *mrand.Rand, x *known) {
	x.mu.Lock()
	from, etag, old := x.from, x.etag, x.spec
	x.mu.Unlock()
	spec := &controlv1.Region{Boundary: old.GetBoundary(), Country: old.GetCountry(), Cloud: old.GetCloud(), BackupRegion: old.GetBackupRegion(),
		Lifecycle: old.GetLifecycle(), BaseUrl: fmt.Sprintf("https://r%d.example:443", draw.Uint64())}
	in := input{verb: swap, match: etag, from: from, value: spec.GetBaseUrl()}
	_, _ = o.write(ctx, client, draw, object("region/"+x.name), in, []policy.Reason{policy.ETagMismatch}, func(ctx context.Context, cc *grpc.ClientConn) (output, error) {
		r, err := controlv1.NewRegionServiceClient(cc).PutRegion(ctx, &controlv1.PutRegionRequest{Region: x.name, Spec: spec})
		return output{value: r.GetBaseUrl(), etag: r.GetEtag()}, err
	})
	o.readRegion(ctx, client, draw, x)
}

// readAll reads every object once more: what was acknowledged must be there.
func (o *objects) readAll(ctx context.Context, draw *mrand.Rand) {
	for _, name := range o.c.h.objects() {
		kind, id, _ := strings.Cut(string(name), "/")
		switch kind {
		case "policy":
			o.readPolicy(ctx, -1, draw, &known{name: id})
		case "region":
			o.readRegion(ctx, -1, draw, &known{name: id})
		case "slug":
			o.readSlug(ctx, -1, draw, id)
		case "key":
			for _, op := range o.c.h.ops[name] { // its owner is the value that it was created with
				if in := op.Input.(input); in.verb == create {
					o.readKey(ctx, -1, draw, in.value, id)
					break
				}
			}
		}
	}
}
