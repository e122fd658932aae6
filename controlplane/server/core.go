package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/controlplane/members"
	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/policy"
)

// core is what all services share.
type core struct {
	name      string // our name among the members
	directory *members.Directory
	steward   *members.Steward
	roll      *members.Roll
	cluster   string
	root      ed25519.PublicKey
	store     *store.Store
	replica   *replica.Replica
	hub       *hub
	instances *instance.Authorities
	log       *slog.Logger
	metrics   *metrics
	auth      *authenticator
}

// write stamps and proposes what plan makes, unless the request's idempotency
// key already had its effect: then that is the result, and plan, which may judge
// by a state that has moved on, is not asked. Refusals of the domain are errors.
func (c *core) write(ctx context.Context, req proto.Message, plan func() (store.Payload, error)) (store.Result, error) {
	stamp, err := c.stamp(ctx, req)
	if err != nil {
		return store.Result{}, err
	}
	return c.writeStamped(ctx, stamp, plan)
}

// writeStamped is write for a caller that needs the stamp in its plan.
func (c *core) writeStamped(ctx context.Context, stamp store.Stamp, plan func() (store.Payload, error)) (store.Result, error) {
	if res, seen, err := c.replayed(ctx, stamp); err != nil || seen {
		return res, err
	}
	payload, err := plan()
	if err != nil {
		// A refusal is a read: of a leader that was deposed and does not know it yet,
		// it may come from what was. So it counts once we are known to lead.
		if err := c.replica.VerifyLeader(ctx); err != nil {
			return store.Result{}, err
		}
		payload, err = plan()
	}
	if err != nil {
		// An earlier sending of this very request may have had its effect between
		// the look above and the plan, which then refuses because of that effect.
		if res, seen, err := c.replayed(ctx, stamp); err != nil || seen {
			return res, err
		}
		return store.Result{}, err
	}
	res, err := c.replica.Propose(ctx, store.Command{Stamp: stamp, Payload: payload})
	if err != nil {
		return store.Result{}, err
	}
	return res, c.settle(ctx, res)
}

// replayed finds what the request's idempotency key did before; seen is false
// when it is new, or there is none.
func (c *core) replayed(ctx context.Context, stamp store.Stamp) (res store.Result, seen bool, err error) {
	if stamp.IdempotencyKey == "" {
		return store.Result{}, false, nil
	}
	if res, seen, err = c.store.Replay(stamp); err == nil && seen {
		err = c.settle(ctx, res)
	}
	return res, seen, err
}

func (c *core) settle(ctx context.Context, res store.Result) error {
	if res.Err != nil {
		return res.Err
	}
	return c.answerAt(ctx, res.Revision)
}

// stamp fixes everything that applying a command must not make up.
func (c *core) stamp(ctx context.Context, req proto.Message) (store.Stamp, error) {
	call := callOf(ctx)
	s := store.Stamp{Now: time.Now().UTC(), Actor: call.principal}
	if s.Actor == "" { // a node, by its certificate
		s.Actor = string(call.node.Node)
	}
	key, err := incoming(ctx, mdIdempotency)
	if err != nil || key == "" {
		return s, err
	}
	if key = strings.ToLower(key); !store.IsUUID(key) {
		return s, fieldError("Idempotency-Key", "must be a UUID")
	}
	match, err := incoming(ctx, mdIfMatch)
	if err != nil {
		return s, err
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return s, fmt.Errorf("hash a request: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n", call.method, call.principal, match)
	h.Write(body)
	s.IdempotencyKey, s.RequestHash = key, hex.EncodeToString(h.Sum(nil))
	return s, nil
}

// tenant finds a tenant by id or slug. One that the caller may not see does not
// exist for them: same answer, same message.
func (c *core) tenant(ctx context.Context, ref string) (store.Tenant, error) {
	var t store.Tenant
	var err error
	if policy.ValidID(policy.KindTenant, ref) {
		t, err = c.store.Tenant(policy.TenantID(ref))
	} else {
		t, err = c.store.TenantBySlug(policy.Slug(ref))
	}
	if isReason(err, policy.NotFound) || (err == nil && !callOf(ctx).sees(t.ID, t.Home)) {
		return store.Tenant{}, notFound("tenant")
	}
	return t, err
}

// seesTenant reports whether a tenant that something names exists for the caller.
func (c *core) seesTenant(ctx context.Context, id policy.TenantID) (bool, error) {
	who := callOf(ctx)
	if who.tenant == "" && who.region == "" {
		return true, nil
	}
	t, err := c.store.Tenant(id)
	if isReason(err, policy.NotFound) {
		return false, nil
	}
	return err == nil && who.sees(t.ID, t.Home), err
}

// region finds a region. One that the caller may not see does not exist for them.
func (c *core) region(ctx context.Context, id string) (store.Region, error) {
	r, err := c.store.Region(policy.RegionID(id))
	if isReason(err, policy.NotFound) || (err == nil && !callOf(ctx).seesRegion(r.ID)) {
		return store.Region{}, notFound("region")
	}
	return r, err
}

// ifMatch is the etag that the caller read; required where something is changed.
func ifMatch(ctx context.Context) (string, error) {
	tag, err := optionalIfMatch(ctx)
	if err == nil && tag == "" {
		return "", policy.Errorf(policy.IfMatchRequired, "send If-Match with the etag that you read, so that nobody's change is overwritten unseen")
	}
	return tag, err
}

func optionalIfMatch(ctx context.Context) (string, error) {
	header, err := incoming(ctx, mdIfMatch)
	if err != nil {
		return "", err
	}
	return unquote(header)
}

// answerAt tells the caller which revision the answer shows.
func (c *core) answerAt(ctx context.Context, revision uint64) error {
	return setHeader(ctx, mdPolicyToken, api.PolicyToken(revision))
}

// tagged tells the caller the etag of what the answer shows.
func tagged(ctx context.Context, etag string) error {
	return setHeader(ctx, mdETag, strconv.Quote(etag))
}

// created makes the REST answer 201.
func created(ctx context.Context) error {
	return setHeader(ctx, mdStatus, strconv.Itoa(http.StatusCreated))
}

func setHeader(ctx context.Context, key, value string) error {
	if err := grpc.SetHeader(ctx, metadata.Pairs(key, value)); err != nil {
		return fmt.Errorf("set answer's %s: %w", key, err)
	}
	return nil
}

func draw(kind policy.IDKind) (string, error) { return policy.NewID(kind, rand.Reader) }

// secret draws 256 random bits as 64 hex characters.
func secret() (string, error) {
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", fmt.Errorf("draw a secret: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}
