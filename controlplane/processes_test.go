package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// processes are the voters of a cluster as its operators run them: a process each,
// over the folders in which voters of this process have stood before.
type processes struct {
	c       *cluster
	program string
	run     []*process // nil: does not run
	logs    []string
}

type process struct {
	cmd   *exec.Cmd
	ended chan error // receives the end once
}

// becomeProcesses stops every voter and starts each as a process of the real program.
func (c *cluster) becomeProcesses() *processes {
	c.t.Helper()
	p := &processes{c: c, program: filepath.Join(c.t.TempDir(), "domicile-controlplane"), run: make([]*process, len(c.configs))}
	if err := testcluster.BuildVoter(c.t.Context(), p.program, controlplane.ProtocolVersion()); err != nil {
		c.t.Fatal(err)
	}
	for i := range c.configs {
		c.stop(i)
		c.configs[i].Raft = controlplane.Raft{Heartbeat: 300 * time.Millisecond}
		p.logs = append(p.logs, filepath.Join(c.t.TempDir(), c.configs[i].Name+".log"))
	}
	c.t.Cleanup(func() {
		for i := range p.run {
			p.kill(i)
			if err := testcluster.Races(p.logs[i]); err != nil {
				c.t.Errorf("voter %d: %v", i+1, err)
			}
		}
	})
	for i := range c.configs {
		p.start(i)
	}
	p.ready()
	return p
}

func (p *processes) start(i int) {
	p.c.t.Helper()
	text, err := yaml.Marshal(p.c.configs[i])
	config := filepath.Join(filepath.Dir(p.logs[i]), "voter.yaml")
	err = errors.Join(err, os.WriteFile(config, text, 0o600))
	log, err2 := os.OpenFile(p.logs[i], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err := errors.Join(err, err2); err != nil {
		p.c.t.Fatal(err)
	}
	defer log.Close()
	x := &process{cmd: exec.Command(p.program, "--config", config), ended: make(chan error, 1)}
	x.cmd.Stdout, x.cmd.Stderr = log, log
	if err := x.cmd.Start(); err != nil {
		p.c.t.Fatal(err)
	}
	go func() { x.ended <- x.cmd.Wait() }()
	p.run[i] = x
}

// ready waits until every voter serves, whoever leads.
func (p *processes) ready() {
	p.c.t.Helper()
	for i := range p.run {
		eventually(p.c.t, func() error {
			resp, err := http.Get("http://" + p.c.configs[i].OpsAddress + "/readyz")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return errStatus(resp.StatusCode)
			}
			return nil
		}, "voter %d is not ready: %s", i+1, p.logs[i])
	}
}

// kill ends a voter as a failure of its machine would. One that does not run is none.
func (p *processes) kill(i int) {
	if p.run[i] == nil {
		return
	}
	_ = p.run[i].cmd.Process.Kill() // it may have ended, which alive says
	<-p.run[i].ended
	p.run[i] = nil
}

func (p *processes) signal(i int, s syscall.Signal) {
	p.c.t.Helper()
	if err := p.run[i].cmd.Process.Signal(s); err != nil {
		p.c.t.Fatalf("send %v to voter %d: %v", s, i+1, err)
	}
}

// pause stops a voter in its tracks, and sees that the kernel says so.
func (p *processes) pause(i int) {
	p.c.t.Helper()
	p.signal(i, syscall.SIGSTOP)
	eventually(p.c.t, func() error {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.run[i].cmd.Process.Pid))
		if _, after, _ := strings.Cut(string(raw), ") "); err == nil && !strings.HasPrefix(after, "T") {
			return errors.New("it still runs")
		}
		return err
	}, "voter %d is not paused", i+1)
}

func (p *processes) resume(i int) { p.c.t.Helper(); p.signal(i, syscall.SIGCONT) }

// leader is who leads, as a voter says it by itself; "" nobody.
func (p *processes) leader(i int) (string, error) {
	a, err := p.c.try(i, "GET", "/v1/status", nil, nil)
	if err != nil {
		return "", err
	}
	if a.Status != http.StatusOK {
		return "", errStatus(a.Status)
	}
	return a.str("leader"), nil
}

// leading waits until all that run name one leader, and gives its index.
func (p *processes) leading() int {
	p.c.t.Helper()
	found := -1
	eventually(p.c.t, func() error {
		names := map[string]bool{}
		for i, x := range p.run {
			if x == nil {
				continue
			}
			name, err := p.leader(i)
			if err != nil {
				return err
			}
			names[name] = true
		}
		for i, config := range p.c.configs {
			if names[config.Name] && len(names) == 1 && p.run[i] != nil {
				found = i
				return nil
			}
		}
		return fmt.Errorf("leaders: %v", names)
	}, "no leader")
	return found
}

// handOver makes a voter lead, which is refused (503) for as long as it has not heard
// of everything.
func (p *processes) handOver(to int) {
	p.c.t.Helper()
	eventually(p.c.t, func() error {
		at := p.leading()
		if at == to {
			return nil
		}
		a := p.c.do(at, "POST", "/v1/members/"+p.c.configs[to].Name+":transferLeadership", map[string]any{}, nil)
		return errStatus(a.Status)
	}, "voter %d does not lead", to+1)
}

// alone leaves a voter without a quorum, and waits until it says that nobody leads.
// The others are paused, and the last of them killed.
func (p *processes) alone(i int) {
	p.c.t.Helper()
	others := (len(p.run) + i - 1) % len(p.run)
	for j := range p.run {
		switch {
		case j == i:
		case j == others:
			p.kill(j)
		default:
			p.pause(j)
		}
	}
	eventually(p.c.t, func() error {
		if name, err := p.leader(i); err != nil || name != "" {
			return fmt.Errorf("%q leads: %v", name, err)
		}
		return nil
	}, "voter %d has not noticed that it is alone", i+1)
}

// together brings back whom alone took away.
func (p *processes) together(i int) {
	p.c.t.Helper()
	for j, x := range p.run {
		switch {
		case x == nil:
			p.start(j)
		case j != i:
			p.resume(j)
		}
	}
	p.ready()
}

// unharmed sees that every voter still runs and that no log holds a secret, what a
// client sent, or a panic.
func (p *processes) unharmed(t *testing.T, secrets ...string) {
	t.Helper()
	for i, x := range p.run {
		if x == nil {
			continue
		}
		select {
		case err := <-x.ended:
			x.ended <- err
			t.Errorf("voter %d ended: %v", i+1, err)
		default:
		}
	}
	text := p.text()
	for _, s := range append(secrets, private, "353861234567", operatorToken, officerToken) {
		if strings.Contains(text, s) {
			t.Errorf("a log holds %q", s)
		}
	}
	if strings.Contains(text, "panic") {
		t.Error("a log speaks of a panic")
	}
}

// text is what every voter has logged.
func (p *processes) text() string {
	p.c.t.Helper()
	var all strings.Builder
	for _, name := range p.logs {
		raw, err := os.ReadFile(name)
		if err != nil {
			p.c.t.Fatal(err)
		}
		all.Write(raw)
	}
	return all.String()
}

// states ends every voter as an operator would, and gives revision and hash of what
// each holds.
func (p *processes) states() []string {
	p.c.t.Helper()
	var out []string
	for i := range p.run { // at once: who stops waits for somebody to lead
		p.signal(i, syscall.SIGTERM)
	}
	for i, x := range p.run {
		if err := <-x.ended; err != nil {
			p.c.t.Errorf("voter %d ended badly: %v", i+1, err)
		}
		p.run[i] = nil
		s, err := store.Open(store.Options{Path: filepath.Join(p.c.configs[i].DataDir, "state.db")})
		if err != nil {
			p.c.t.Fatal(err)
		}
		hash, _, err := s.StateHash()
		out = append(out, fmt.Sprintf("%d %s", s.Revision(), hash))
		if err := errors.Join(err, s.Close()); err != nil {
			p.c.t.Fatal(err)
		}
	}
	return out
}

// changing hands leadership on, again and again, until ctx ends, and gives how often
// the voters named another leader.
func (p *processes) changing(ctx context.Context) (witnessed int) {
	for ctx.Err() == nil {
		from := p.leading()
		next := p.c.configs[(from+1)%len(p.run)].Name
		if a, err := p.c.try(from, "POST", "/v1/members/"+next+":transferLeadership", map[string]any{}, nil); err != nil || a.Status != http.StatusOK {
			continue // lost in another change: it is asked again
		}
		if p.leading() != from {
			witnessed++
		}
	}
	return witnessed
}
