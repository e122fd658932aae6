package chaos

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	mrand "math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

const (
	policyCount   = 40            // tenants whose policies are fought over
	firstKept     = 3_000_000_000 // seconds of retention; every change shortens it, because loosening waits for approval
	slugsAtOnce   = 3             // how many creates of one slug race
	regionOfTests = "ie1"
)

// objects are what clients read and write.
type objects struct {
	c       *clients
	tenants []*known
	regions []*known
	prefix  string // of slugs, so that a kept folder can be used again
	slugs   atomic.Int64

	mu   sync.Mutex
	keys []*known // keys that exist, as far as we know
}

// known is an object (a tenant's policy, a key, a region) with the state that somebody last saw, from which the next
// swap starts.
type known struct {
	name string
	mu   sync.Mutex
	etag string
	from string
	spec *controlv1.Region // of a region
}

func (x *known) seen(value, etag string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.from, x.etag = value, etag
}

func (x *known) last() (value, etag string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.from, x.etag
}

type operation func(ctx context.Context, client int, draw *mrand.Rand)

// prepareObjects makes the tenants, and begins each object's history with how it is.
func prepareObjects(ctx context.Context, c *clients, seed uint64) (*objects, error) {
	o := &objects{c: c, prefix: letters(seed%1_000_000) + letters(uint64(mrand.Uint32()))}
	c.objects = o
	draw := mrand.New(mrand.NewPCG(seed, 3))
	for i := range policyCount {
		var out *controlv1.Tenant
		req := &controlv1.CreateTenantRequest{Slug: o.slug("t", i), HomeRegion: regionOfTests, BillingCountry: "IE",
			Policy: rules(firstKept)}
		err := c.settle(ctx, draw, create, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
			out, err = controlv1.NewTenantServiceClient(cc).CreateTenant(c.w.authorized(ctx, "idempotency-key", uuidOf(seed, i)), req)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("create tenant %d: %w", i, err)
		}
		x := &known{name: out.GetId()}
		o.tenants = append(o.tenants, x)
		o.born("policy", x, output{value: strconv.Itoa(firstKept), etag: out.GetEtag()})
	}
	for _, name := range []string{"ie1", "us1"} {
		x := &known{name: name}
		err := c.settle(ctx, draw, read, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
			x.spec, err = controlv1.NewRegionServiceClient(cc).GetRegion(c.w.authorized(ctx), &controlv1.GetRegionRequest{Region: name})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read region %s: %w", name, err)
		}
		o.regions = append(o.regions, x)
		o.born("region", x, output{value: x.spec.GetBaseUrl(), etag: x.spec.GetEtag()})
	}
	return o, nil
}

// born records an object that exists as created, at the beginning of time.
func (o *objects) born(kind string, x *known, out output) {
	x.seen(out.value, out.etag)
	out.result = done
	o.c.h.add(-1, object(kind+"/"+x.name), 0, input{verb: create, value: out.value}, out)
}

// slug is the n-th of a kind. Slugs hold no long runs of digits.
func (o *objects) slug(kind string, n int) string {
	return o.prefix + "-" + kind + letters(uint64(n))
}

func letters(n uint64) string {
	out := []byte{byte('a' + n%26)}
	for n /= 26; n > 0; n /= 26 {
		out = append(out, byte('a'+n%26))
	}
	return string(out)
}

func uuidOf(seed uint64, i int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", seed, i))
	id, _ := uuid.FromBytes(sum[:16])
	return id.String()
}

// rules keep one class for a time and let nothing leave.
func rules(kept uint32) *controlv1.PolicyRules {
	return &controlv1.PolicyRules{Recipients: &controlv1.RecipientList{DenyAll: true},
		Classes: map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed", Retention: kept}}}
}

// draw chooses an operation.
func (o *objects) draw(draw *mrand.Rand) operation {
	switch n := draw.IntN(1000); {
	case n < 400:
		x := o.tenants[draw.IntN(len(o.tenants))]
		return func(ctx context.Context, id int, d *mrand.Rand) { o.readPolicy(ctx, id, d, x) }
	case n < 850:
		x := o.tenants[draw.IntN(len(o.tenants))]
		return func(ctx context.Context, id int, d *mrand.Rand) { o.swapPolicy(ctx, id, d, x) }
	case n < 910:
		slug := o.slug("s", int(o.slugs.Add(1)/slugsAtOnce))
		return func(ctx context.Context, id int, d *mrand.Rand) { o.createSlug(ctx, id, d, slug) }
	case n < 940:
		slug := o.slug("s", int(o.slugs.Load()/slugsAtOnce))
		return func(ctx context.Context, id int, d *mrand.Rand) { o.readSlug(ctx, id, d, slug) }
	case n < 965:
		return o.createKey
	case n < 990:
		return o.deleteKey
	case n < 997:
		x := o.regions[draw.IntN(len(o.regions))]
		return func(ctx context.Context, id int, d *mrand.Rand) { o.readRegion(ctx, id, d, x) }
	default: // seldom: a region's address is in every row of its tenants, so every watcher takes a snapshot
		x := o.regions[draw.IntN(len(o.regions))]
		return func(ctx context.Context, id int, d *mrand.Rand) { o.swapRegion(ctx, id, d, x) }
	}
}

// write is a request under an idempotency key. It is recorded, and one in
// repeatShare is sent once more: it must answer the same and change nothing.
func (o *objects) write(ctx context.Context, client int, draw *mrand.Rand, name object, in input, expected []policy.Reason,
	send func(ctx context.Context, cc *grpc.ClientConn) (output, error)) (out output, err error) {
	key := uuid.NewString()
	ctx = o.c.w.authorized(ctx, "idempotency-key", key)
	if in.match != "" {
		ctx = withPair(ctx, "if-match", strconv.Quote(in.match))
	}
	call := o.c.h.now()
	err = o.c.settle(ctx, draw, in.verb, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
		out, err = send(ctx, cc)
		return err
	})
	r, ok := o.c.outcome(string(in.verb)+" of "+string(name), err, expected...)
	if !ok {
		return out, err
	}
	out.result = r
	o.c.h.add(client, name, call, in, out)
	if r == done && draw.IntN(repeatShare) == 0 {
		o.again(ctx, draw, name, in, out, send)
	}
	return out, err
}

func (o *objects) again(ctx context.Context, draw *mrand.Rand, name object, in input, first output, send func(ctx context.Context, cc *grpc.ClientConn) (output, error)) {
	var second output
	err := o.c.settle(ctx, draw, in.verb, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
		second, err = send(ctx, cc)
		return err
	})
	if err == errUnknown || err == errNotDone {
		return
	}
	second.result = first.result
	if err != nil || second != first {
		o.c.complain("INV31: %s of %s was done as %+v, and sent again with the same key it answered %+v, %v", in.verb, name, first, second, err)
		return
	}
	o.c.repeats.Add(1)
}

// look is a linearizable read.
func (o *objects) look(ctx context.Context, client int, draw *mrand.Rand, name object, send func(ctx context.Context, cc *grpc.ClientConn) (output, error)) (output, bool) {
	var out output
	ctx = o.c.w.authorized(ctx)
	call := o.c.h.now()
	err := o.c.settle(ctx, draw, read, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
		call, out = o.c.h.now(), output{} // a read that was not answered did nothing
		out, err = send(ctx, cc)
		return err
	})
	r, ok := o.c.outcome("read of "+string(name), err, policy.NotFound)
	if !ok || r == unknown {
		return out, false
	}
	out.result = r
	if r == refused {
		out = output{result: refused}
	}
	o.c.h.add(client, name, call, input{verb: read}, out)
	return out, r == done
}

func newKeyID() string {
	id, err := policy.NewID(policy.KindKey, rand.Reader)
	if err != nil {
		panic(err)
	}
	return id
}

func secretHash() string {
	sum := sha256.Sum256([]byte(uuid.NewString()))
	return hex.EncodeToString(sum[:])
}
