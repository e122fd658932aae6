package server

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Causes of ATTESTATION and ACCESS violations, beside those of package instance.
const (
	causeReplayed = "DOCUMENT_REPLAYED" // the document's machine is another node
	causeAdmitted = "ADMISSION_ENDED"   // the root's statement does not cover the certificate any more, or has ended
	causeEvicted  = "EVICTED_NODE"      // it came all the same
	causeWaiting  = "NOT_ADMITTED"      // it waits for a person
)

// standing is what a node proved on one connection.
type standing struct {
	node  store.Node
	level policy.Attestation
}

// stand judges a node that opens its stream: may it have the bundle, and for
// which level? Only what it proves on this very connection counts, not what it
// says of itself, nor what was proved on another: its certificate's chain
// against the root's statement, and the cloud's document that it shows here.
func (s distributionService) stand(ctx context.Context, id mtls.Identity, hello *controlv1.Hello) (standing, error) {
	machine, problem := s.machine(id, hello)
	n, err := s.store.Node(id.Node)
	if isReason(err, policy.NotFound) || (err == nil && n.Admits() && machine.Instance != "" && (n.Instance != machine.Instance || n.Level < policy.CloudSigned)) {
		n, problem, err = s.enter(ctx, id, machine, problem)
	}
	if err != nil {
		return standing{}, err
	}
	if err := s.admits(n, id); err != nil {
		return standing{}, err
	}
	st := standing{node: n, level: policy.Declared}
	if n.Admission != nil {
		holder := policy.Holder{Node: id.Node, Region: id.Region, Keys: peerKeys(ctx)}
		if err := n.Admission.Covers(holder, time.Now()); err == nil {
			st.level = policy.OperatorSigned
		} else if problem == "" {
			problem = causeAdmitted
		}
	}
	if machine.Instance != "" && machine.Instance == n.Instance {
		st.level = policy.CloudSigned
	}
	if problem != "" {
		s.log.Warn("a node did not prove what it tried to", "node", string(id.Node), "region", string(id.Region), "cause", problem, "level", st.level.String())
		s.hub.recorder.see(sighting{category: "ATTESTATION", cause: problem, resource: string(id.Node), revision: hello.GetLastRevision()})
	} else {
		s.hub.recorder.resolve("ATTESTATION", string(id.Node))
	}
	s.hub.recorder.resolve("ACCESS", string(id.Node))
	return st, nil
}

// machine verifies the cloud's document, if the node shows one; else the zero
// Document. The problem is why it does not count.
func (s distributionService) machine(id mtls.Identity, hello *controlv1.Hello) (d instance.Document, problem string) {
	if len(hello.GetInstanceDocument()) == 0 {
		return d, ""
	}
	region, err := s.store.Region(id.Region)
	if err == nil {
		d, err = s.instances.Verify(hello.GetInstanceDocument(), region.Cloud, time.Now())
	}
	if err != nil {
		return instance.Document{}, string(instance.CauseOf(err))
	}
	return d, ""
}

// enter notes a node that is new, or a machine that is. A machine that is
// another node's does not count, but the certificate still does.
func (s distributionService) enter(ctx context.Context, id mtls.Identity, m instance.Document, problem string) (store.Node, string, error) {
	n, err := s.register(ctx, id, m)
	if isReason(err, policy.AlreadyExists) {
		problem = causeReplayed
		n, err = s.register(ctx, id, instance.Document{})
	}
	return n, problem, err
}

func (s distributionService) register(ctx context.Context, id mtls.Identity, m instance.Document) (n store.Node, err error) {
	res, err := s.replica.Propose(ctx, store.Command{Stamp: store.Stamp{Now: time.Now().UTC(), Actor: string(id.Node)},
		Payload: store.RegisterNode{ID: id.Node, Region: id.Region, Instance: m.Instance, Account: m.Account}})
	if err == nil && res.Err != nil {
		err = res.Err
	}
	if err == nil {
		err = res.Decode(&n)
	}
	return n, err
}

// admits refuses a node that may not have its bundle, and says what to type.
func (s distributionService) admits(n store.Node, id mtls.Identity) error {
	see := func(cause string) {
		s.hub.recorder.see(sighting{category: "ACCESS", cause: cause, resource: string(id.Node)})
	}
	switch {
	case n.Region != id.Region:
		return policy.Errorf(policy.PermissionDenied, "this node id was admitted to another region than the certificate's; issue the certificate with an id of its own")
	case n.State == store.NodeEvicted:
		see(causeEvicted)
		return policy.Errorf(policy.PermissionDenied, "this node was evicted and is not served any more; give its machine a certificate with another node id, or admit this one anew: domicile nodes admit %s", n.ID)
	case !n.Admits():
		see(causeWaiting)
		return policy.Errorf(policy.PermissionDenied, "nodes of region %s are admitted by a person, and this one waits: domicile nodes admit %s", n.Region, n.ID)
	}
	return nil
}

// peerKeys are the hashes of the keys in the connection's verified chain.
func peerKeys(ctx context.Context) []string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil
	}
	return mtls.KeysOfConnection(info.State)
}

// Why a stream ends when its node's admission changes.
var (
	errEvicted = errors.New("the node was evicted")
	errStands  = errors.New("the node's admission changed")
)

// judge ends a session whose node's admission is not what it was when the
// session began: an evicted node for ever, another so that it subscribes anew.
func (h *hub) judge(s *session) {
	n, err := h.store.Node(s.stand.node.ID)
	switch {
	case err == nil && n.State == store.NodeEvicted:
		s.end(errEvicted)
	case err != nil || n.ETag != s.stand.node.ETag:
		s.end(errStands)
	}
}

// judgeAll looks at every session when who may subscribe has changed.
func (h *hub) judgeAll() {
	now := h.store.NodesRevision()
	if now == h.judged {
		return
	}
	h.judged = now
	h.mu.Lock()
	open := make([]*session, 0, len(h.sessions))
	for s := range h.sessions {
		open = append(open, s)
	}
	h.mu.Unlock()
	for _, s := range open {
		h.judge(s)
	}
}
