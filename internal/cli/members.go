package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) membersCommand() *cobra.Command {
	return group("members", "Show who belongs to the control plane, and change it", a.membersList(), a.membersInvite(),
		a.memberChange("remove", "Remove a member: its program stops, and its certificate opens nothing any more",
			func(ctx context.Context, cp *client.Control, name string) (*controlv1.Member, error) {
				return cp.RemoveMember(ctx, name)
			}),
		a.memberChange("promote", "Let a non-voter vote, once it has been caught up for a while", verb("promote")),
		a.memberChange("demote", "Take the vote from a voter; it goes on answering reads", verb("demote")),
		a.membersReaddress(),
		a.memberChange("transfer-leadership", "Let a voter lead", verb("transferLeadership")))
}

func verb(v string) func(context.Context, *client.Control, string) (*controlv1.Member, error) {
	return func(ctx context.Context, cp *client.Control, name string) (*controlv1.Member, error) {
		return cp.ChangeMember(ctx, name, v)
	}
}

func (a *app) membersList() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "list", Short: "List the members, and how the leader hears of each", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			ms, err := cp.Members(ctx, filter)
			if err != nil {
				return err
			}
			return list(a, "members", ms.GetMembers(), func() { a.showMembers(ms.GetMembers()) })
		})})
}

func (a *app) showMembers(ms []*controlv1.Member) {
	rows := make([][]string, 0, len(ms))
	for _, m := range ms {
		suffrage := m.GetSuffrage()
		if m.GetLeader() {
			suffrage += ", leads"
		}
		disk := "-"
		if m.GetDiskSize() > 0 {
			disk = fmt.Sprintf("%d%%", 100*m.GetDiskFree()/m.GetDiskSize())
		}
		certificate := "-"
		if m.GetCertificateExpiresAt() != nil {
			certificate = fmt.Sprintf("%d d", int(time.Until(m.GetCertificateExpiresAt().AsTime()).Hours()/24))
		}
		rows = append(rows, []string{m.GetName(), suffrage, healthOf(m), number(m.GetBehind()), stamp(m.GetLastContact()),
			dash(m.GetBoundary()), number(m.GetVersion()), disk, certificate, m.GetGrpcAddress()})
	}
	a.out.Table([]string{"MEMBER", "SUFFRAGE", "HEALTH", "BEHIND", "LAST CONTACT", "BOUNDARY", "VERSION", "DISK FREE", "CERTIFICATE", "GRPC ADDRESS"}, rows)
}

// healthOf is a member's health in words.
func healthOf(m *controlv1.Member) string {
	if m.GetHealth() == "unknown" {
		return "not heard yet"
	}
	return m.GetHealth()
}

func (a *app) membersInvite() *cobra.Command {
	var in controlv1.InviteMemberRequest
	var lifetime time.Duration
	c := &cobra.Command{Use: "invite NAME", Short: "Issue a token with which one member may join once", Args: cobra.ExactArgs(1),
		Long: "Issues a token with which one member may join once. Put it into a file on the new machine, name that file in join.token_file of its configuration, and start it.",
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			in.Name, in.Lifetime = args[0], uint32(lifetime.Seconds())
			x, err := cp.InviteMember(ctx, &in)
			if err != nil {
				return err
			}
			return a.result(x, func() {
				a.out.Line("%s", x.GetToken())
				a.err.Line("next: start it with this token; domicile operations wait %s says when it has joined, and cancel takes the invitation back", x.GetOperation())
			})
		})}
	c.Flags().StringVar(&in.Suffrage, "suffrage", "voter", "what it is to be: voter or nonvoter")
	c.Flags().StringVar(&in.Region, "region", "", "the `region` in which it stands")
	c.Flags().DurationVar(&lifetime, "lifetime", time.Hour, "how long the token works, at most 24h")
	return c
}

func (a *app) membersReaddress() *cobra.Command {
	var in controlv1.ReaddressMemberRequest
	c := &cobra.Command{Use: "readdress NAME --raft HOST:PORT --grpc HOST:PORT", Short: "Say where a member that does not run will be found", Args: cobra.ExactArgs(1),
		Long: `Says where a member that does not run will be found, so that the others look for it there as soon as it
starts. A member that runs announces its own addresses, which stand above these: change raft_address
and grpc_address, or advertise, in its configuration and start it again; nothing need be said here.`,
		Example: "  domicile members readdress cp2 --raft cp2.new.example:7001 --grpc cp2.new.example:7002",
		RunE: a.run(func(ctx context.Context, args []string) error {
			if in.RaftAddress == "" || in.GrpcAddress == "" {
				return usagef("give both --raft and --grpc, host:port each; domicile members list -o json has the present ones")
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			in.Member = args[0]
			m, err := cp.ReaddressMember(ctx, &in)
			if err != nil {
				return err
			}
			return a.result(m, func() {
				a.out.Fields([2]string{"member", m.GetName()}, [2]string{"raft address", m.GetRaftAddress()}, [2]string{"grpc address", m.GetGrpcAddress()}, [2]string{"health", m.GetHealth()})
				a.err.Line("next: start it there, with these addresses in its configuration; domicile members list says when it is heard")
			})
		})}
	c.Flags().StringVar(&in.RaftAddress, "raft", "", "where the other voters will reach it, `host:port`")
	c.Flags().StringVar(&in.GrpcAddress, "grpc", "", "where nodes and members will reach its services, `host:port`")
	return c
}

func (a *app) memberChange(name, short string, change func(context.Context, *client.Control, string) (*controlv1.Member, error)) *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{Use: name + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			m, err := change(ctx, cp, args[0])
			if err != nil {
				return err
			}
			if wait > 0 && m.GetOperation() != "" {
				op, err := a.await(ctx, cp, m.GetOperation(), wait)
				if err != nil {
					return err
				}
				return a.ended(op)
			}
			return a.result(m, func() {
				a.out.Fields([2]string{"member", m.GetName()}, [2]string{"suffrage", m.GetSuffrage()}, [2]string{"wants", m.GetWants()}, [2]string{"health", m.GetHealth()}, [2]string{"operation", m.GetOperation()})
			})
		})}
	if name != "transfer-leadership" {
		c.Flags().DurationVar(&wait, "wait", 0, "how long to wait until it is so; 0 answers as soon as it is decided")
	}
	return c
}

// members judges what the leader hears of the members.
func (h *health) members(ms *controlv1.ListMembersResponse) {
	boundaries, voters := map[string]int{}, 0
	for _, m := range ms.GetMembers() {
		if m.GetSuffrage() == "voter" {
			voters++
			boundaries[m.GetBoundary()]++
		}
		h.member(m)
	}
	for b, n := range boundaries {
		if b != "" && voters > 1 && n > voters/2 {
			h.add(false, fmt.Sprintf("%d of %d voters are in boundary %s", n, voters, b), "the loss of that boundary would be the loss of the control plane",
				"domicile members invite NAME --region REGION, for a region of another boundary")
		}
	}
}

// The bounds from which status complains.
const (
	lowDisk         = 10      // percent free
	roomyDisk       = 8 << 30 // bytes free that a voter, whose state is a few GiB at most, does not fill in days
	lastCertificate = 14 * 24 * time.Hour
)

func (h *health) member(m *controlv1.Member) {
	name := m.GetName()
	switch {
	case m.GetHealth() == "silent":
		since := stamp(m.GetLastContact())
		if m.GetLastContact() == nil {
			since = "this leader leads"
		}
		h.add(true, "member "+name+" is silent since "+since, "one more loss may cost the majority",
			"start it ("+dash(m.GetGrpcAddress())+"; its log says why it ended); if it is gone for good: domicile members invite NAME for a new one, then domicile members remove "+name)
	case m.GetHealth() == "unknown":
		h.Unheard = max(h.Unheard, int(m.GetJudgedInSeconds()), 1)
		h.add(false, "member "+name+" was not heard yet", fmt.Sprintf("the leader has not led for long; within %d s it hears it or calls it silent", m.GetJudgedInSeconds()), "")
	case m.GetHealth() == "behind":
		h.add(false, "member "+name+" is "+number(m.GetBehind())+" entries behind", "it cannot take over until it has caught up", "look at its disk and its network; its log says more")
	}
	if m.GetDiskSize() > 0 && 100*m.GetDiskFree()/m.GetDiskSize() < lowDisk && m.GetDiskFree() < roomyDisk {
		h.add(true, "the disk of member "+name+" is nearly full", "a voter whose disk is full stops", "make room on "+name+", or give it a larger disk")
	}
	if at := m.GetCertificateExpiresAt(); at != nil && time.Until(at.AsTime()) < lastCertificate {
		h.add(true, "the certificate of member "+name+" ends "+stamp(at), "then nobody talks to it", "domicile pki rotate, with the files of "+name)
	}
	if m.GetTrouble() == "disk" {
		h.add(true, "the disk of member "+name+" does not answer", "it stops by itself after ten seconds, so that another can lead", "look at the disk of "+name+" (dmesg); when it is well, start the voter, or replace it: domicile members invite NAME, then domicile members remove "+name)
	}
	if m.GetTrouble() == "certificate" {
		h.add(true, "the certificate files of member "+name+" are not usable", "it goes on with the last good ones", "look at its log, then issue them again: domicile pki issue")
	}
}
