package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/api"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/members"
	"github.com/domicile-io/domicile/controlplane/server"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/release"
	"github.com/domicile-io/domicile/policy"
)

// ErrRemoved is why a plane stops whose member was removed. To start it again
// helps nothing.
var ErrRemoved = errors.New("this member was removed from the cluster: to bring it back, move its data_dir away, invite it anew (domicile members invite) and start it with join")

// ErrOld is why a plane does not start, or stops: what the cluster holds may mean
// more than this program understands. To start it again helps nothing.
var ErrOld = errors.New("this program is too old for the cluster")

// Defaults of Autopilot and Timing.
const (
	defaultFloor     = 3
	defaultStableFor = 10 * time.Second
	defaultDeadAfter = 30 * time.Minute
	announceEvery    = 2 * time.Second
	announceTimeout  = 3 * time.Second
)

// membership is this plane's part in the cluster's membership: it joins, and then
// announces itself, until it is told that it was removed.
type membership struct {
	p          *Plane
	cfg        Config
	own        *mtls.Material
	log        *slog.Logger
	every      time.Duration
	directory  *members.Directory
	roll       *members.Roll
	stewarding *members.Steward

	conns map[string]*grpc.ClientConn // by address; of run alone
	turn  int                         // whom to ask next while no leader is known
}

func newMembership(cfg Config, opts Options, own *mtls.Material, p *Plane) *membership {
	seed, reach := map[string]members.Address{}, map[string]members.Address{}
	for _, v := range cfg.Voters {
		seed[v.Name] = members.Address{Raft: v.RaftAddress, GRPC: v.GRPCAddress}
	}
	for name, a := range cfg.Reach {
		reach[name] = members.Address{Raft: a.RaftAddress, GRPC: a.GRPCAddress}
	}
	every := cmp.Or(opts.Timing.Announce, announceEvery)
	return &membership{p: p, cfg: cfg, own: own, log: p.log, every: every, directory: members.NewDirectory(p.store, seed, reach),
		roll: members.NewRoll(every), conns: map[string]*grpc.ClientConn{}}
}

// steward makes what works while we lead.
func (m *membership) steward(cfg Config, r prometheus.Registerer) error {
	a := cfg.Autopilot
	rules := members.Rules{Floor: cmp.Or(a.Floor, defaultFloor), StableFor: cmp.Or(a.StableFor, defaultStableFor),
		DeadAfter: cmp.Or(a.DeadAfter, defaultDeadAfter), KeepVersion: a.KeepVersion}
	if a.KeepDead {
		rules.DeadAfter = 0
	}
	steps := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_control_membership_steps_total",
		Help: "Steps that this leader took to change the membership, by what it did."}, []string{"step"})
	m.stewarding = members.NewSteward(members.Options{Name: cfg.Name, Node: m.own.Identity.Node, Cluster: m.own.Identity.Cluster,
		Store: m.p.store, Replica: m.p.replica, Roll: m.roll, Rules: rules, Every: min(m.every, time.Second), Logger: m.log,
		Did: func(d members.Deed) { steps.WithLabelValues(string(d)).Inc() }})
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	for _, c := range []prometheus.Collector{steps,
		gauge("domicile_control_cluster_version", "Protocol version that the whole cluster has reached.", func() float64 { return float64(m.p.store.Members().Version()) }),
		gauge("domicile_control_protocol_version", "Protocol version that this program speaks.", func() float64 { return float64(ProtocolVersion()) }),
		gauge("domicile_control_voters", "Voters in Raft's configuration.", func() float64 { return float64(m.p.replica.Configuration().Voters()) }),
		gauge("domicile_control_voters_living", "Voters that this leader hears; 0 on followers.", m.living),
		gauge("domicile_control_boundary_majority", "1 while one boundary holds a majority of the voters, so that its loss is the loss of the cluster.", m.lopsided),
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics of the membership: %w", err)
		}
	}
	return nil
}

func (m *membership) living() (n float64) {
	if !m.p.replica.IsLeader() {
		return 0
	}
	v := m.stewarding.View()
	for _, s := range v.Config.Servers {
		if h := v.Health(s.Name); s.Votes && (h == members.OK || h == members.Behind) {
			n++
		}
	}
	return n
}

func (m *membership) lopsided() float64 {
	voters := map[policy.Boundary]int{}
	total := 0
	for _, s := range m.p.replica.Configuration().Servers {
		if !s.Votes {
			continue
		}
		total++
		if x, ok := m.p.store.Members().Find(store.MemberName(s.Name)); ok && x.Region != "" {
			voters[m.p.store.Topology().Boundary(x.Region)]++
		}
	}
	for b, n := range voters {
		if b != "" && n > total/2 {
			return 1
		}
	}
	return 0
}

// checkVersion refuses to run with a state that a newer program has changed.
func (m *membership) checkVersion() error {
	if reached := m.p.store.Members().Version(); reached > ProtocolVersion() {
		return fmt.Errorf("%w: this program speaks protocol version %d and the cluster has reached %d: install the release that the other members run", ErrOld, ProtocolVersion(), reached)
	}
	return nil
}

// admit refuses certificates of removed members at the Raft port.
func (m *membership) admit(who mtls.Identity) error {
	if x, ok := m.p.store.Members().Holder(who.Node); ok && x.RemovedAt != nil {
		return fmt.Errorf("member %s was removed", x.Name)
	}
	return nil
}

// run joins if need be, and then announces us until ctx ends.
func (m *membership) run(ctx context.Context) {
	defer func() {
		for _, c := range m.conns {
			_ = c.Close() // nothing is in flight any more
		}
	}()
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		leader := m.p.replica.LeaderChanged()
		if err := m.once(ctx); err != nil && ctx.Err() == nil {
			if fatal(err) {
				m.p.fail(err)
				return
			}
			m.log.Debug("this member could not announce itself, and tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-leader:
		case <-tick.C:
		}
	}
}

// fatal errors are those that trying again does not mend.
func fatal(err error) bool {
	return errors.Is(err, ErrRemoved) || errors.Is(err, ErrOld) || errors.Is(err, errToken)
}

var errToken = errors.New("the cluster refused to let this member join")

func (m *membership) once(ctx context.Context) error {
	if err := m.checkVersion(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	if m.cfg.Join != nil && len(m.p.replica.Configuration().Servers) == 0 {
		return m.join(ctx)
	}
	to := m.whom()
	for range 2 { // one that does not lead may name who does
		next, err := m.announce(ctx, to)
		if err != nil || next == "" {
			return err
		}
		to = next
	}
	return nil
}

// whom gives the address to announce ourselves to: our own when we lead.
func (m *membership) whom() string {
	leader, ok := m.p.replica.Leader()
	if ok && leader == m.cfg.Name {
		return m.p.GRPCAddress()
	}
	if a, known := m.directory.Reached(leader); ok && known && a.GRPC != "" {
		return a.GRPC
	}
	var all []string
	for _, name := range m.directory.Names() {
		if a, ok := m.directory.Reached(name); ok && a.GRPC != "" && name != m.cfg.Name {
			all = append(all, a.GRPC)
		}
	}
	if m.cfg.Join != nil {
		all = append(all, m.cfg.Join.Members...)
	}
	if len(all) == 0 {
		return m.p.GRPCAddress()
	}
	m.turn++
	return all[m.turn%len(all)]
}

// to gives a connection to an address, with our own certificate.
func (m *membership) to(address string) (controlv1.MembershipServiceClient, error) {
	c, ok := m.conns[address]
	if !ok {
		var err error
		if c, err = server.Dial(address, m.own); err != nil {
			return nil, err
		}
		m.conns[address] = c
	}
	return controlv1.NewMembershipServiceClient(c), nil
}

// announce says to one member who and how we are; next is another to say it to.
func (m *membership) announce(ctx context.Context, to string) (next string, err error) {
	c, err := m.to(to)
	if err != nil {
		return "", err
	}
	st, own := m.p.replica.Status(), m.cfg.advertised()
	free, size := diskOf(m.cfg.DataDir)
	req := &controlv1.AnnounceRequest{Name: m.cfg.Name, RaftAddress: own.RaftAddress, GrpcAddress: own.GRPCAddress, Region: string(m.cfg.Region),
		Version: uint32(ProtocolVersion()), Release: release.Of().Version, AppliedIndex: st.Applied, Revision: m.p.store.Revision(),
		DiskFree: free, DiskSize: size, CertificateExpires: m.own.Expires().Unix()}
	if st.State != "Leader" && !st.LastContact.IsZero() {
		req.ContactAge = uint64(max(0, time.Since(st.LastContact).Milliseconds()))
	}
	switch {
	case m.p.writing() > slowDisk:
		req.Trouble = "disk"
	case m.own.Problem() != nil:
		req.Trouble = "certificate"
	}
	out, err := c.Announce(ctx, req)
	if err != nil {
		return "", m.refused(err)
	}
	switch out.GetState() {
	case controlv1.AnnounceResponse_STATE_REMOVED:
		return "", ErrRemoved
	case controlv1.AnnounceResponse_STATE_UNKNOWN:
		m.log.Warn("the cluster does not know this member: invite it (domicile members invite) and start it with join and an empty data_dir")
	case controlv1.AnnounceResponse_STATE_NOT_LEADER:
		if a, ok := m.directory.Reached(out.GetLeader()); ok && out.GetLeader() != "" && out.GetLeader() != m.cfg.Name {
			return a.GRPC, nil
		}
		if out.GetLeader() != m.cfg.Name {
			return out.GetLeaderAddress(), nil
		}
	}
	return "", nil
}

// refused sorts refusals: what an operator must see is logged, not retried in silence.
func (m *membership) refused(err error) error {
	e := api.AsError(api.FromGRPC(err))
	if e.Reason == policy.PermissionDenied || e.Reason == policy.AlreadyExists || e.Reason == policy.InvalidArgument {
		m.log.Error("the cluster refused what this member announces of itself", "err", e.Message, "fields", e.Fields)
	}
	return err
}

// join uses the invitation's token up. The token is not logged and not kept.
func (m *membership) join(ctx context.Context) error {
	raw, err := os.ReadFile(m.cfg.Join.TokenFile)
	if err != nil {
		return errors.Join(errToken, fmt.Errorf("join.token_file: %w", err))
	}
	own := m.cfg.advertised()
	req := &controlv1.JoinRequest{Token: strings.TrimSpace(string(raw)), Name: m.cfg.Name, RaftAddress: own.RaftAddress, GrpcAddress: own.GRPCAddress, Version: uint32(ProtocolVersion())}
	m.turn++
	to := m.cfg.Join.Members[m.turn%len(m.cfg.Join.Members)]
	for range 2 {
		c, err := m.to(to)
		if err != nil {
			return err
		}
		out, err := c.Join(ctx, req)
		if err != nil {
			switch e := api.AsError(api.FromGRPC(err)); e.Reason {
			case policy.PermissionDenied, policy.AlreadyExists, policy.InvalidArgument:
				return fmt.Errorf("%w: %s", errToken, e.Message)
			}
			return err
		}
		if out.GetJoined() {
			m.log.Info("this member has joined, and waits to be sent the state", "by", to)
			return nil
		}
		to = out.GetLeaderAddress()
	}
	return nil
}
