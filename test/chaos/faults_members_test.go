package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/domicile-io/domicile/api"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/policy"
)

// memberFaults change who belongs to the cluster while some of it hears nothing
// of that. Each leaves three voters behind.
var memberFaults = []fault{{kind: "membership change in partition", run: changeMembers}}

// autopilot of the voters under test: two may be left while the third is away, a
// vote comes back soon, and nobody is removed for being silent for the length of a fault.
var autopilot = controlplane.Autopilot{Floor: 2, StableFor: 200 * time.Millisecond, KeepDead: true}

// settling is how long a change may take on a busy machine; an outage counts as
// one after 6 s of silence (members.Roll), so it must be longer.
const settling = 30 * time.Second

func changeMembers(n *nemesis) (string, error) {
	ways := []func(*nemesis) (string, error){demoteUnheard, deposeLeader, refuseTheQuorum, removeUnheard}
	if err := n.whole(); err != nil { // a voter that has never been heard of cannot be demoted
		return "", err
	}
	before := n.w.mesh.Counts()
	witness, err := ways[n.way%len(ways)](n)
	n.way++ // every way comes, also when there are few faults
	n.w.mesh.Heal()
	after := n.w.mesh.Counts()
	if after.Held == before.Held && after.Connections == before.Connections {
		witness = "" // nothing was kept from anybody
	}
	return witness, errors.Join(err, n.whole())
}

// demoteUnheard takes the vote from a follower that does not hear of it.
func demoteUnheard(n *nemesis) (string, error) {
	leader, err := n.w.leader(n.ctx)
	if err != nil {
		return "", err
	}
	others := n.w.others(leader)
	v := others[n.draw.IntN(len(others))]
	n.w.mesh.Impose(chaos.Split([]string{v}, n.w.others(v)))
	n.hold(50*time.Millisecond, time.Second)
	if err := n.demoted(v); err != nil {
		return "", err
	}
	n.hold(200*time.Millisecond, time.Second)
	return fmt.Sprintf("%s lost its vote while it heard nothing", v), nil
}

// deposeLeader asks a leader that reaches nobody to change the membership, which
// it must not acknowledge, and takes its vote through the one who follows it.
func deposeLeader(n *nemesis) (string, error) {
	was, err := n.w.leader(n.ctx)
	if err != nil {
		return "", err
	}
	n.w.mesh.Impose(chaos.Split([]string{was}, n.w.others(was)))
	err = n.member(was, time.Second, func(ctx context.Context, c controlv1.MemberServiceClient) error {
		_, err := c.DemoteMember(ctx, &controlv1.DemoteMemberRequest{Member: n.w.others(was)[n.draw.IntN(2)]})
		return err
	})
	if err == nil {
		return "", fmt.Errorf("INV30: %s reaches nobody and acknowledged a change of the membership", was)
	}
	err = n.member(was, time.Second, func(ctx context.Context, c controlv1.MemberServiceClient) error {
		_, err := c.TransferLeadership(ctx, &controlv1.TransferLeadershipRequest{Member: n.w.others(was)[n.draw.IntN(2)]})
		return err
	})
	if err == nil {
		return "", fmt.Errorf("%s reaches nobody and says that it handed leadership over", was)
	}
	if n.changed(was, 10*time.Second) == "" {
		return "", nil
	}
	if err := n.demoted(was); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s could change nothing alone, and lost leadership and vote while it heard nothing", was), nil
}

// refuseTheQuorum asks for a change after which no living majority would be left.
// Leadership can still be given to who hears.
func refuseTheQuorum(n *nemesis) (string, error) {
	leader, err := n.w.leader(n.ctx)
	if err != nil {
		return "", err
	}
	others := n.w.others(leader)
	away, near := others[0], others[1]
	if n.draw.IntN(2) == 0 {
		away, near = near, away
	}
	n.w.mesh.Impose(chaos.Split([]string{away}, n.w.others(away)))
	if err := n.health(away, "silent"); err != nil {
		return "", err
	}
	for _, name := range []string{near, leader} {
		if err := n.refused(name); err != nil {
			return "", err
		}
	}
	err = n.until("transfer leadership to "+near, func() error {
		return n.member(near, 3*time.Second, func(ctx context.Context, c controlv1.MemberServiceClient) error {
			_, err := c.TransferLeadership(ctx, &controlv1.TransferLeadershipRequest{Member: near})
			return err
		})
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("with %s away no vote of %s and %s could be taken, and %s came to lead", away, leader, near, near), nil
}

// refused waits for QUORUM_AT_RISK; a leader that changes meanwhile is no answer.
func (n *nemesis) refused(name string) error {
	return n.until("a refusal to demote "+name, func() error {
		err := n.leading(func(ctx context.Context, c controlv1.MemberServiceClient) error {
			_, err := c.DemoteMember(ctx, &controlv1.DemoteMemberRequest{Member: name})
			return err
		})
		switch {
		case err == nil:
			return final{fmt.Errorf("the vote of %s was taken though no living majority is left without it", name)}
		case api.AsError(api.FromGRPC(err)).Reason == policy.QuorumAtRisk:
			return nil
		}
		return err
	})
}

// removeUnheard removes a follower that does not hear of it. When it does, it ends
// with code 4; then it joins with a token and an empty folder.
func removeUnheard(n *nemesis) (string, error) {
	v, err := n.follower()
	if err != nil {
		return "", err
	}
	n.w.mesh.Impose(chaos.Split([]string{v}, n.w.others(v)))
	err = n.until("remove "+v, func() error {
		err := n.leading(func(ctx context.Context, c controlv1.MemberServiceClient) error {
			_, err := c.RemoveMember(ctx, &controlv1.RemoveMemberRequest{Member: v})
			return err
		})
		if err != nil && api.AsError(api.FromGRPC(err)).Reason == policy.NotFound {
			return nil // an answer was lost
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if err := n.suffrage(v, ""); err != nil {
		return "", err
	}
	n.w.mesh.Heal()
	ctx, cancel := context.WithTimeout(n.ctx, settling)
	defer cancel()
	how, err := n.w.Process(v).WaitEnd(ctx)
	if err != nil {
		return "", fmt.Errorf("the removed %s: %w", v, err)
	}
	var exit interface{ ExitCode() int }
	if !errors.As(how, &exit) || exit.ExitCode() != 4 {
		return "", fmt.Errorf("the removed %s ended with %v, want exit code 4", v, how)
	}
	if err := n.rejoin(v); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s was removed while it heard nothing, ended when told, and joined anew with a token", v), nil
}

// rejoin brings a removed member back as its runbook says.
func (n *nemesis) rejoin(v string) error {
	var token string
	err := n.until("invite "+v, func() error {
		return n.leading(func(ctx context.Context, c controlv1.MemberServiceClient) error {
			x, err := c.InviteMember(ctx, &controlv1.InviteMemberRequest{Name: v})
			token = x.GetToken()
			return err
		})
	})
	if err != nil {
		return err
	}
	config, file := n.w.config[v], filepath.Join(n.w.dir, v+"-join-token")
	config.Voters, config.Bootstrap, config.Join = nil, nil, &controlplane.Join{TokenFile: file}
	for _, other := range n.w.others(v) {
		config.Join.Members = append(config.Join.Members, config.Reach[other].GRPCAddress)
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(file, []byte(token), 0o600), os.WriteFile(n.w.Process(v).Config(), text, 0o600), os.RemoveAll(n.w.data[v])); err != nil {
		return err
	}
	return n.start(v)
}

// demoted takes a vote and sees it gone from what the leader lists.
func (n *nemesis) demoted(v string) error {
	err := n.until("demote "+v, func() error {
		return n.leading(func(ctx context.Context, c controlv1.MemberServiceClient) error {
			_, err := c.DemoteMember(ctx, &controlv1.DemoteMemberRequest{Member: v})
			return err
		})
	})
	if err != nil {
		return err
	}
	return n.suffrage(v, "nonvoter")
}

// whole gives everybody who is there a vote again, and waits until three vote,
// hear, and have caught up.
func (n *nemesis) whole() error {
	return n.until("three voters that are well", func() error {
		list, err := n.list()
		if err != nil {
			return err
		}
		var bad []error
		for _, v := range n.w.voters {
			m := list[v]
			if m != nil && m.GetWants() != "voter" {
				bad = append(bad, n.leading(func(ctx context.Context, c controlv1.MemberServiceClient) error {
					_, err := c.PromoteMember(ctx, &controlv1.PromoteMemberRequest{Member: v})
					return err
				}))
			}
			if m.GetSuffrage() != "voter" || m.GetHealth() != "ok" {
				bad = append(bad, fmt.Errorf("%s is %q, %q", v, m.GetSuffrage(), m.GetHealth()))
			}
		}
		return errors.Join(bad...)
	})
}

func (n *nemesis) suffrage(v, want string) error {
	return n.until(fmt.Sprintf("%s is %q", v, want), func() error {
		list, err := n.list()
		if got := list[v].GetSuffrage(); err == nil && got != want {
			err = fmt.Errorf("it is %q", got)
		}
		return err
	})
}

func (n *nemesis) health(v, want string) error {
	return n.until(fmt.Sprintf("%s is %s", v, want), func() error {
		list, err := n.list()
		if got := list[v].GetHealth(); err == nil && got != want {
			err = fmt.Errorf("it is %q", got)
		}
		return err
	})
}

// list is the leader's list of members by name.
func (n *nemesis) list() (map[string]*controlv1.Member, error) {
	out := map[string]*controlv1.Member{}
	err := n.leading(func(ctx context.Context, c controlv1.MemberServiceClient) error {
		list, err := c.ListMembers(ctx, &controlv1.ListMembersRequest{})
		for _, m := range list.GetMembers() {
			out[m.GetName()] = m
		}
		return err
	})
	return out, err
}

// leading asks the voter that leads now.
func (n *nemesis) leading(ask func(context.Context, controlv1.MemberServiceClient) error) error {
	leader, err := n.w.leader(n.ctx)
	if err != nil {
		return err
	}
	return n.member(leader, 6*time.Second, ask)
}

// member asks one voter.
func (n *nemesis) member(voter string, limit time.Duration, ask func(context.Context, controlv1.MemberServiceClient) error) error {
	ctx, cancel := context.WithTimeout(n.ctx, limit)
	defer cancel()
	return ask(n.w.authorized(ctx), controlv1.NewMemberServiceClient(n.w.conns[voter]))
}

// final is an error that trying again does not mend.
type final struct{ error }

// until tries until it works, at most for settling.
func (n *nemesis) until(what string, try func() error) error {
	for end := time.Now().Add(settling); ; {
		err := try()
		var stop final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &stop), n.ctx.Err() != nil, time.Now().After(end):
			return fmt.Errorf("%s: %w", what, err)
		}
		n.hold(30*time.Millisecond, 30*time.Millisecond)
	}
}
