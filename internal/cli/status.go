package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// quiet is how long a node may be silent before status calls it lost: the
// freshness after which it stops exporting.
const quiet = 60 * time.Second

// health is what status found, and its JSON form.
type health struct {
	Healthy  bool      `json:"healthy"`
	Findings []finding `json:"findings"`

	Leader   string `json:"leader,omitempty"`
	Revision uint64 `json:"revision"`
	Voters   int    `json:"voters"`
	Nodes    int    `json:"nodes"`
	Pending  int    `json:"pending_changes"`
	Unheard  int    `json:"unheard_seconds,omitempty"` // for so long at most some member's health is not known

	Members []*controlv1.Member `json:"members,omitempty"`
}

// finding is one thing that is wrong or waits, why it matters, and what to type.
type finding struct {
	What string `json:"what"`
	Why  string `json:"why"`
	Type string `json:"type,omitempty"`
	Bad  bool   `json:"bad"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "Say what is wrong, why it matters, and what to type", Args: cobra.NoArgs,
		Long: "Says what is wrong, why it matters, and what to type. Exits 0 when nothing is wrong, 1 when something is.\nWhile a leader is new it has not heard every member; status looks again until it has, and says so.",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			cp.Patience = 0
			h, err := a.known(ctx, cp)
			if errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
				h, err = unavailable(ctx, cp, err), nil
			}
			if err != nil {
				return err
			}
			if err := a.plain(h, func() { a.showHealth(h) }); err != nil {
				return err
			}
			if !h.Healthy {
				return errSaid
			}
			return nil
		})}
}

// longestLook bounds how long status looks again while a leader is new.
const longestLook = 20 * time.Second

// known examines until the health of every member is known: a leader that is new
// has heard nobody, and for seconds nothing can be said of the others.
func (a *app) known(ctx context.Context, cp *client.Control) (*health, error) {
	for end := time.Now().Add(longestLook); ; {
		h, err := examine(ctx, cp)
		if err != nil || h.Unheard == 0 || time.Now().After(end) {
			return h, err
		}
		a.err.Line("not every member was heard yet: looks again, for %d s at most", h.Unheard)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return h, nil // what is known so far
		}
	}
}

// unavailable is what status says when the control plane cannot be asked.
func unavailable(ctx context.Context, cp *client.Control, err error) *health {
	h := &health{Findings: []finding{}}
	const meanwhile = "policies cannot change; regions go on taking in and showing their own tenants' calls, and their exports stop after 60 s"
	var e *policy.Error
	if errors.As(err, &e) && e.Metadata["request_id"] != "" {
		h.add(true, "the control plane answers at "+cp.BaseURL+" but has no leader", meanwhile,
			"start the voters that are down: a majority must run; this one said: "+e.Message)
		h.unreached(ctx, cp)
		return h
	}
	h.add(true, "the control plane does not answer at "+cp.BaseURL, meanwhile,
		"check the address (--control-url, DOMICILE_CONTROL_URL), then start its voters; on this machine: domicile dev")
	return h
}

// unreached names the voters that the one we ask does not reach. It answers that
// by itself, so that it works while nobody leads.
func (h *health) unreached(ctx context.Context, cp *client.Control) {
	st, err := cp.Status(ctx)
	if err != nil {
		return // what is wrong has been said
	}
	h.Revision, h.Voters, h.Leader = st.GetRevision(), len(st.GetVoters()), st.GetLeader()
	reached := 0
	for _, v := range st.GetVoters() {
		if v.GetReached() != "no" {
			reached++
			continue
		}
		h.add(true, "voter "+v.GetId()+" does not answer "+st.GetAnsweredBy()+" (Raft at "+v.GetRaftAddress()+")", "it is down, hangs, or the network between the two is cut",
			"on its machine: is domicile-controlplane running? The last line of its log says why it ended; if it runs, look at the network from "+st.GetAnsweredBy())
	}
	if h.Leader == "" && reached > h.Voters/2 {
		h.add(true, "a majority of voters answers, and elects nobody", "an election takes a second or two; if this stays, they do not reach each other's Raft ports",
			"look for raft in the voters' logs, and at the way between their Raft addresses: domicile members list")
	}
}

// examine asks everything that a status needs. What may not be asked is left out.
func examine(ctx context.Context, cp *client.Control) (*health, error) {
	st, err := cp.Status(ctx)
	if err != nil {
		return nil, err
	}
	h := &health{Leader: st.GetLeader(), Revision: st.GetRevision(), Voters: len(st.GetVoters()), Findings: []finding{}}
	ms, err := cp.Members(ctx)
	if err != nil {
		return nil, err
	}
	h.members(ms)
	h.Members = ms.GetMembers()
	if err := h.nodes(ctx, cp); err != nil {
		return nil, err
	}
	vs, err := cp.Violations(ctx, "open")
	if err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotYet}) {
		return nil, err
	}
	for _, v := range vs {
		next := ""
		if len(v.GetCommands()) > 0 {
			next = v.GetCommands()[0]
		}
		if v.GetState() == "open" {
			h.add(true, "violation "+v.GetId()+" "+v.GetCategory()+" at "+v.GetResource(), "it was seen "+number(v.GetCount())+" times ("+v.GetCause()+"), last at "+stamp(v.GetLastSeen()), next)
		}
	}
	cs, err := cp.Changes(ctx, "pending")
	if err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotYet}) {
		return nil, err
	}
	h.Pending = len(cs)
	for _, c := range cs {
		h.add(false, "change "+c.GetId()+" waits for approval", "it would loosen the policy of "+c.GetTenant(), "domicile changes get "+c.GetId())
	}
	h.Healthy = h.Unheard == 0
	for _, f := range h.Findings {
		h.Healthy = h.Healthy && !f.Bad
	}
	return h, nil
}

func (h *health) add(bad bool, what, why, next string) {
	h.Findings = append(h.Findings, finding{What: what, Why: why, Type: next, Bad: bad})
}

// nodes compares the active regions with the nodes that are heard of.
func (h *health) nodes(ctx context.Context, cp *client.Control) error {
	rs, err := cp.Regions(ctx)
	if err != nil {
		return err
	}
	ns, err := cp.Nodes(ctx, "", "")
	if err != nil {
		return err
	}
	h.Nodes = len(ns)
	heard, seen, toldOf := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, n := range ns {
		recent := n.GetConnected() || (n.GetLastContact() != nil && time.Since(n.GetLastContact().AsTime()) < quiet)
		seen[n.GetRegion()] = true
		heard[n.GetRegion()] = heard[n.GetRegion()] || recent
		h.queues(n, toldOf)
	}
	for _, r := range rs {
		if r.GetLifecycle() == policy.Active.String() && !heard[r.GetId()] {
			h.silent(r.GetId(), seen[r.GetId()])
		}
	}
	return nil
}

// silent says that nobody serves an active region. One of which no node was ever
// seen may be no region of this operator's: the catalogue of a new cluster has three.
func (h *health) silent(region string, seen bool) {
	if !seen {
		h.add(true, "no node of "+region+" was ever seen", "the region is active, so that tenants may be placed there, and nobody serves them",
			"start its node; if you do not serve "+region+": domicile regions put "+region+" --stage draining")
		return
	}
	h.add(true, "no node of "+region+" is connected", "a node that has had a bundle serves its tenants from it, and its exports stop after 60 s; one that has had none serves nobody",
		"look at the log of the region's node; check that it reaches the voters' gRPC addresses")
}

// How long something may wait before status speaks of it.
const (
	longUnanswered = 20 // seconds: a node answers when it has made a push durable, and is cut off after 60
	longWaiting    = 300
)

// queues says what waits for or at a node; the nodes of a region share one outbox.
func (h *health) queues(n *controlv1.Node, told map[string]bool) {
	if s := n.GetUnansweredSeconds(); s >= longUnanswered {
		h.add(true, "node "+n.GetId()+" of "+n.GetRegion()+" has not answered "+number(n.GetUnansweredPushes())+" pushes for "+number(s)+" s",
			"what changes does not reach it, and it is cut off after 60 s", "look at its disk and its log; domicile nodes show "+n.GetId())
	}
	if x := n.GetOutbox(); x.GetWaitingSeconds() >= longWaiting && !told[n.GetRegion()] {
		told[n.GetRegion()] = true
		h.add(false, number(x.GetTransfers())+" transfers of "+n.GetRegion()+" have waited for "+number(x.GetWaitingSeconds())+" s", "a recipient's region does not take them, or policy holds them; nothing is lost meanwhile",
			"there, with a tenant's key: domicile transfers, and look at the log of the node of "+n.GetRegion()+" for exporter")
	}
}

func (a *app) showHealth(h *health) {
	if h.Voters > 0 { // else nobody could be asked
		a.out.Fields([2]string{"leader", dash(h.Leader)}, [2]string{"voters", number(h.Voters)}, [2]string{"policy revision", number(h.Revision)},
			[2]string{"nodes", number(h.Nodes)}, [2]string{"pending changes", number(h.Pending)})
		a.out.Line("")
		if len(h.Members) > 0 { // else the leader could not be asked
			a.showMembers(h.Members)
			a.out.Line("")
		}
	}
	for _, f := range h.Findings {
		if f.Bad {
			a.out.Fail("%s", f.What)
		} else {
			a.out.Note("%s", f.What)
		}
		a.out.Para("      ", f.Why)
		if f.Type != "" {
			a.out.Para("      ", "→ "+f.Type)
		}
	}
	if h.Healthy {
		a.out.Check("nothing is wrong")
	}
}
