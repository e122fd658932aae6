package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/domicile-io/domicile/controlplane/recovery"
	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// RecoverOptions of Recover. Logger may be left out.
type RecoverOptions struct {
	Statement recovery.Statement
	Approvals []recovery.Approval
	TokenFile string       // where the new operator's token is written; must not exist
	Now       time.Time    // stamped
	Logger    *slog.Logger // nil discards
}

// Recovered says what Recover did.
type Recovered struct {
	Cluster   string   `json:"cluster"`
	Survivor  string   `json:"survivor"`
	Epoch     uint64   `json:"cluster_epoch"`
	Revision  uint64   `json:"revision"`
	Operator  string   `json:"operator"` // principal of the new token; "" when an earlier run has written it
	TokenFile string   `json:"token_file"`
	Signed    []string `json:"signed"` // principals
	Statement string   `json:"statement_sha256"`
}

// survivor is a stopped voter that is about to be recovered.
type survivor struct {
	cfg   Config
	own   known
	store *store.Store
	end   replica.End
}

func openSurvivor(cfg Config, log *slog.Logger) (*survivor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	own, err := ofStopped(cfg)
	if err != nil {
		return nil, err
	}
	v := &survivor{cfg: cfg, own: own}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, raftFolder)); err != nil {
		return nil, fmt.Errorf("this voter has no Raft log: %w; only a voter that has its data can be recovered, else restore a backup", err)
	}
	// The state first: its lock says whether a process still runs on these files.
	if v.store, err = store.Open(store.Options{Path: filepath.Join(cfg.DataDir, stateFile), Logger: log}); err != nil {
		return nil, fmt.Errorf("open the state: %w; stop the voter first", err)
	}
	if err := v.read(log); err != nil {
		return nil, errors.Join(err, v.store.Close())
	}
	return v, nil
}

func (v *survivor) read(log *slog.Logger) (err error) {
	folder := filepath.Join(v.cfg.DataDir, raftFolder)
	if err := replica.Reload(folder, v.store, log); err != nil {
		return err
	}
	if v.end, err = replica.ReadEnd(folder, log); err != nil {
		return err
	}
	c, err := v.store.Cluster()
	if absent(err) && v.end.Index > 0 {
		return nil // the log begins with the cluster, which a power cut took out of the state: epoch 1
	}
	if err == nil && c.ID != v.own.voter.Identity.Cluster {
		err = errors.New("the state is of another cluster than this voter's certificate")
	}
	return err
}

// others are the members that are about to be given up.
func (v *survivor) others() (out []replica.Voter) {
	for _, m := range v.end.Members {
		if m.Name == v.cfg.Name {
			continue
		}
		for _, c := range v.cfg.Voters { // the configuration knows where they moved
			if c.Name == m.Name {
				m.Address = c.RaftAddress
			}
		}
		out = append(out, m)
	}
	return out
}

// mustBeAlone refuses while enough other voters answer to be a quorum with us:
// then nothing is lost, and giving them up would lose what they have.
func (v *survivor) mustBeAlone(ctx context.Context) error {
	others := v.others()
	answers := make([]bool, len(others))
	var all errgroup.Group
	for i, m := range others {
		all.Go(func() error { answers[i] = replica.Answers(ctx, m.Address, v.own.voter); return nil })
	}
	_ = all.Wait() // none fails
	up := []string{}
	for i, m := range others {
		if answers[i] {
			up = append(up, m.Name)
		}
	}
	members, quorum := len(others)+1, (len(others)+1)/2+1
	if len(up)+1 >= quorum && members > 1 {
		return fmt.Errorf("voters %v answer, and with this one they are a quorum (%d of %d): nothing is lost; start this voter, and see `domicile status`", up, quorum, members)
	}
	return nil
}

func (v *survivor) isMember() error {
	if !slices.ContainsFunc(v.end.Members, func(m replica.Voter) bool { return m.Name == v.cfg.Name }) {
		return fmt.Errorf("voter %s has no vote in the cluster as its log knows it: recover one that has", v.cfg.Name)
	}
	return nil
}

// PrepareRecovery makes the statement that two people must sign before this
// stopped voter goes on alone. It changes nothing. It refuses while a quorum
// answers.
func PrepareRecovery(ctx context.Context, cfg Config, now time.Time) (s recovery.Statement, err error) {
	v, err := openSurvivor(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, v.store.Close()) }()
	if err := errors.Join(v.isMember(), v.mustBeAlone(ctx)); err != nil {
		return s, err
	}
	s = recovery.Statement{Format: recovery.Format, Cluster: v.own.voter.Identity.Cluster, Survivor: cfg.Name, Lost: []string{}, LastIndex: v.end.Index, LastTerm: v.end.Term,
		Revision: v.store.Revision(), Epoch: policy.EpochOf(v.store.Revision()) + 1, Time: now.UTC().Truncate(time.Second)}
	for _, m := range v.others() {
		s.Lost = append(s.Lost, m.Name)
	}
	return s, s.Check()
}

// Recover makes this stopped voter the only member of its cluster, in a new
// cluster epoch, when two different people have signed exactly that. A run that
// was cut short is repeated with the same statement.
func Recover(ctx context.Context, cfg Config, o RecoverOptions) (r Recovered, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	v, err := openSurvivor(cfg, o.Logger)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, v.store.Close()) }()
	s := o.Statement
	if err := recovery.Verify(s, o.Approvals, v.own.root, o.Now); err != nil {
		return r, err
	}
	if s.Cluster != v.own.voter.Identity.Cluster || s.Survivor != cfg.Name {
		return r, fmt.Errorf("the statement is about voter %s of cluster %s, and this is %s of %s", s.Survivor, s.Cluster, cfg.Name, v.own.voter.Identity.Cluster)
	}
	if err := v.mustBeAlone(ctx); err != nil {
		return r, err
	}
	r = Recovered{Cluster: s.Cluster, Survivor: s.Survivor, Epoch: s.Epoch, TokenFile: o.TokenFile, Statement: s.SHA256()}
	for _, a := range o.Approvals {
		r.Signed = append(r.Signed, a.Officer.Principal)
	}
	command, operator, err := v.command(s, o)
	if err != nil {
		return r, err
	}
	if command != nil {
		r.Operator = operator
		if err := replica.Recover(filepath.Join(cfg.DataDir, raftFolder), v.store, cfg.own(), command, o.Logger); err != nil {
			return r, err
		}
	}
	if r.Revision = v.store.Revision(); policy.EpochOf(r.Revision) != s.Epoch {
		return r, fmt.Errorf("the state is in epoch %d and not in %d: do not start this voter, and restore a backup", policy.EpochOf(r.Revision), s.Epoch)
	}
	return r, nil
}

// command is the entry that begins the epoch: the one that an earlier run has
// appended, or a new one; nil when everything was done before.
func (v *survivor) command(s recovery.Statement, o RecoverOptions) (data []byte, operator string, err error) {
	if v.ours(v.end.Command, s) {
		return v.end.Command, "", nil
	}
	if v.end.Compacted && v.end.Index == s.LastIndex+1 && policy.EpochOf(v.store.Revision()) == s.Epoch {
		return nil, "", nil
	}
	if v.end.Index != s.LastIndex || v.end.Term != s.LastTerm {
		return nil, "", fmt.Errorf("the log ends at entry %d of term %d, and the statement says %d of %d: the voter has run since; make and sign a new statement", v.end.Index, v.end.Term, s.LastIndex, s.LastTerm)
	}
	tokens, err := firstTokens(o.TokenFile, o.Now)
	if err != nil {
		return nil, "", err
	}
	data, err = store.Encode(store.Command{Stamp: store.Stamp{Now: o.Now.UTC(), Actor: "bootstrap"}, Payload: store.RaiseEpoch{ClusterID: s.Cluster, Epoch: s.Epoch,
		Cause: store.CauseRecover, Source: s.SHA256(), Voter: s.Survivor, Tokens: tokens}})
	return data, tokens[0].Principal, err
}

// ours reports whether a log entry is the one that this statement's recovery
// appends.
func (v *survivor) ours(entry []byte, s recovery.Statement) bool {
	c, err := store.Decode(entry)
	if err != nil {
		return false
	}
	p, ok := c.Payload.(store.RaiseEpoch)
	return ok && p.Source == s.SHA256()
}
