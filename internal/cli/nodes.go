package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) nodesCommand() *cobra.Command {
	return group("nodes", "Show the regions' nodes, and decide which may serve", a.nodesList(), a.nodesShow(), a.nodesAdmit(), a.nodesEvict(), a.nodesAdmission())
}

func (a *app) nodesList() *cobra.Command {
	var region, state, filter string
	c := &cobra.Command{Use: "list", Short: "List every node that was ever seen", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			ns, err := cp.Nodes(ctx, region, state, filter)
			if err != nil {
				return err
			}
			return list(a, "nodes", ns, func() { a.showNodes(ns) })
		})}
	c.Flags().StringVar(&region, "region", "", "nodes of one `region` only")
	c.Flags().StringVar(&state, "state", "", "nodes in one `state` only: requested, admitted or evicted")
	return filtered(&filter, c)
}

func (a *app) showNodes(ns []*controlv1.Node) {
	if a.none(len(ns), "nodes", "start one with domicile-dataplane, or all with `domicile dev`") {
		return
	}
	rows := make([][]string, 0, len(ns))
	for _, n := range ns {
		rows = append(rows, []string{n.GetId(), n.GetRegion(), nodeState(n), number(n.GetAckedRevision()), pushes(n), outbox(n), stamp(n.GetLastContact()), n.GetAttestation()})
	}
	a.out.Table([]string{"NODE", "REGION", "STATE", "ACKED", "PUSHES", "OUTBOX", "LAST CONTACT", "ATTESTATION"}, rows)
}

// pushes is how many pushes a node has not answered, and for how long.
func pushes(n *controlv1.Node) string {
	if !n.GetConnected() {
		return "-"
	}
	return waits(n.GetUnansweredPushes(), n.GetUnansweredSeconds())
}

// outbox is how many transfers of its region wait, and for how long; - when it is not known.
func outbox(n *controlv1.Node) string {
	if n.GetOutbox() == nil {
		return "-"
	}
	return waits(n.GetOutbox().GetTransfers(), n.GetOutbox().GetWaitingSeconds())
}

func waits(n, seconds uint64) string {
	if n == 0 || seconds == 0 {
		return number(n)
	}
	return fmt.Sprintf("%d, %v", n, time.Duration(min(seconds, 1<<31))*time.Second)
}

func nodeState(n *controlv1.Node) string {
	switch {
	case n.GetState() != "admitted":
		return n.GetState()
	case n.GetConnected():
		return "connected"
	}
	return "not connected"
}

func (a *app) nodesShow() *cobra.Command {
	return &cobra.Command{Use: "show NODE", Aliases: []string{"get"}, Short: "Show one node, and what its attestation rests on", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			n, err := cp.Node(ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(n, func() { a.showNode(n) })
		})}
}

func (a *app) showNode(n *controlv1.Node) {
	fields := [][2]string{{"node", n.GetId()}, {"region", n.GetRegion()}, {"state", nodeState(n)}, {"attestation", n.GetAttestation()},
		{"first seen", stamp(n.GetFirstSeen())}, {"last contact", stamp(n.GetLastContact())}, {"acknowledged revision", number(n.GetAckedRevision())},
		{"unanswered pushes", pushes(n)}, {"outbox", outbox(n)},
		{"admitted", stamp(n.GetAdmitTime())}, {"changed by", n.GetChangedBy()}}
	if x := n.GetAdmission(); x != nil {
		fields = append(fields, [2]string{"root's word", x.GetLevel() + ", for the key " + x.GetKeySha256()[:16] + "…, from " + stamp(x.GetIssueTime()) + " until " + stamp(x.GetExpireTime())})
	}
	if n.GetInstance() != "" {
		fields = append(fields, [2]string{"cloud's word", n.GetInstance() + " of account " + n.GetAccount()})
	}
	if n.GetState() == "evicted" {
		fields = append(fields, [2]string{"evicted", stamp(n.GetEvictTime()) + ", " + n.GetReasonCode()})
	}
	a.out.Fields(fields...)
	switch n.GetState() {
	case "requested":
		a.err.Line("  next: domicile nodes admit %s", n.GetId())
	case "evicted":
		a.err.Line("  it is refused; to have its machine back, issue a certificate with another node id")
	}
}

func (a *app) nodesAdmit() *cobra.Command {
	var region, admission string
	c := &cobra.Command{Use: "admit NODE [--admission FILE]", Short: "Admit a node, with the root's word or without", Args: cobra.ExactArgs(1),
		Long: `Without --admission the node is declared: its certificate's authority says where it stands. With the
file of ` + "`domicile trust admit-node`" + ` it is operator_signed. A node that has not come yet needs --region.
One that was evicted comes back by this alone; the root's word must be newer than the eviction.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			in := &controlv1.AdmitNodeRequest{Node: args[0], Region: region}
			if admission != "" {
				f, err := readAdmission(admission)
				if err != nil {
					return err
				}
				if string(f.Node) != args[0] {
					return usagef("%s is about %s, not about %s", admission, f.Node, args[0])
				}
				in.Region = string(f.Region)
				in.Admission = &controlv1.Admission{Level: f.Level.String(), KeySha256: f.KeySHA256, IssueTime: &timestamppb.Timestamp{Seconds: f.IssuedAt},
					ExpireTime: &timestamppb.Timestamp{Seconds: f.NotAfter}, Signature: control.SignatureOf(f.Signature)}
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			etag := ""
			if n, err := cp.Node(ctx, args[0]); err == nil {
				etag = n.GetEtag()
			}
			n, err := cp.AdmitNode(ctx, in, etag)
			if err != nil {
				return err
			}
			return a.result(n, func() { a.showNode(n) })
		})}
	c.Flags().StringVar(&region, "region", "", "its `region`, for a node that has not come yet")
	c.Flags().StringVar(&admission, "admission", "", "`file` of domicile trust admit-node")
	return c
}

func (a *app) nodesEvict() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "evict NODE --reason REASON", Short: "End a node's streams at once and refuse it from now on", Args: cobra.ExactArgs(1),
		Long: `Reasons: COMPROMISED, LOST, REPLACED, DECOMMISSIONED. The node gets no bundle any more: within a
minute it exports nothing. What it holds it goes on serving to its own tenants for up to 24 hours, so
take its listener away too.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			if reason == "" {
				return usagef("--reason is missing: COMPROMISED, LOST, REPLACED or DECOMMISSIONED")
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			n, err := cp.EvictNode(ctx, &controlv1.EvictNodeRequest{Node: args[0], ReasonCode: reason})
			if err != nil {
				return err
			}
			return a.result(n, func() { a.showNode(n) })
		})}
	c.Flags().StringVar(&reason, "reason", "", "`why`: COMPROMISED, LOST, REPLACED or DECOMMISSIONED")
	return c
}

func (a *app) nodesAdmission() *cobra.Command {
	var mode string
	c := &cobra.Command{Use: "admission REGION [--mode MODE]", Short: "Show or set how a region takes nodes", Args: cobra.ExactArgs(1),
		Long: `automatic: a node with a right certificate is admitted as it comes, at level declared (the default).
explicit: it waits until a person admits it. Nodes that are admitted stay.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			now, err := cp.NodeAdmission(ctx, args[0])
			if err == nil && mode != "" {
				now, err = cp.PutNodeAdmission(ctx, &controlv1.PutNodeAdmissionRequest{Region: args[0], Mode: mode}, now.GetEtag())
			}
			if err != nil {
				return err
			}
			return a.result(now, func() {
				a.out.Fields([2]string{"region", now.GetRegion()}, [2]string{"nodes are admitted", now.GetMode()})
			})
		})}
	c.Flags().StringVar(&mode, "mode", "", "`mode`: automatic or explicit")
	return c
}
