package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/internal/cli"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// TestAHungDiskEndsTheVoter lets no write to one of the leader's files come back:
// its state, or its Raft log. It must stop by itself, another must lead and answer,
// and status must name it. A leader whose state hangs would otherwise go on beating,
// commit, and answer nobody.
func TestAHungDiskEndsTheVoter(t *testing.T) {
	if why := needsStrace(nil); why != "" {
		t.Skipf("SKIPPED, NOT TESTED: %s: %s", t.Name(), why)
	}
	for what, pattern := range map[string]string{"state": "state.db", "Raft log": "raft/log/*"} {
		t.Run(strings.ReplaceAll(what, " ", "_"), func(t *testing.T) { hang(t, pattern) })
	}
}

func hang(t *testing.T, pattern string) {
	dir := t.TempDir()
	c, err := testcluster.Open(t.Context(), testcluster.Options{Dir: dir, Bin: bin, Only: testcluster.ControlPlane})
	check(t, err)
	t.Cleanup(func() { check(t, c.Close()) })
	leader := leads(t, c)
	other := "cp1"
	if leader == other {
		other = "cp2"
	}
	files, err := filepath.Glob(filepath.Join(c.Env.VoterConfig(leader).DataDir, pattern))
	check(t, err)
	if len(files) == 0 {
		t.Fatalf("%s has no %s", leader, pattern)
	}
	p := c.Process(leader)
	s, err := chaos.Hang(t.Context(), p.PID(), filepath.Join(dir, "strace.out"), files...)
	check(t, err)
	t.Cleanup(func() { check(t, s.End()) }) // a voter that still hangs could not be closed
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	writes := make(chan error, 1)
	go func() { // something to write
		_, err := c.Control(leader).CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: "while-it-hangs", HomeRegion: "ie1", BillingCountry: "IE"})
		writes <- err
	}()
	// As in a disk's queue, the hanging call outlives its process, which keeps its
	// sockets open; the others must do without being told.
	said := func() string {
		log, err := os.ReadFile(p.Log())
		check(t, err)
		return string(log)
	}
	for !strings.Contains(said(), "the disk does not answer") {
		select {
		case <-ctx.Done():
			t.Fatalf("%s goes on although its disk hangs", leader)
		case <-time.After(50 * time.Millisecond):
		}
	}
	noticed := time.Since(began)
	_, err = c.Control(other).CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: "after-it-hung", HomeRegion: "ie1", BillingCountry: "IE"})
	check(t, err)
	again := time.Since(began)
	<-writes
	text := ""
	for end := time.Now().Add(30 * time.Second); !strings.Contains(text, "member "+leader+" is silent"); {
		if time.Now().After(end) {
			t.Fatalf("status does not name %s:\n%s", leader, text)
		}
		text = statusOf(t, c, other)
	}
	check(t, s.End())
	how, err := p.WaitEnd(ctx)
	check(t, err)
	if how == nil {
		t.Errorf("%s ended as if nothing were wrong", leader)
	}
	t.Logf("%s noticed after %v, writes went on after %v, it ended with %v; status says:\n%s", leader, noticed.Round(time.Millisecond), again.Round(time.Millisecond), how, text)
	check(t, p.Start())
	check(t, p.WaitReady(ctx))
}

// leads is who leads, by what a voter says of itself.
func leads(t *testing.T, c *testcluster.Cluster) string {
	t.Helper()
	for range 200 {
		if st, err := c.Control("cp1").Status(t.Context()); err == nil && st.GetLeader() != "" {
			return st.GetLeader()
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("nobody leads")
	return ""
}

// statusOf is what a person reads, by one voter's word, with what JSON says of it.
func statusOf(t *testing.T, c *testcluster.Cluster, voter string) string {
	t.Helper()
	run := func(more ...string) string {
		var out bytes.Buffer
		args := append([]string{"--control-url", c.Env.VoterURL(voter), "--token", c.Env.Token(), "--ca", c.Env.CAFile(), "status"}, more...)
		_ = cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
		return out.String()
	}
	var machine struct {
		Findings []struct{ What string } `json:"findings"`
	}
	if err := json.Unmarshal([]byte(run("-o", "json")), &machine); err != nil {
		return fmt.Sprint("no JSON: ", err)
	}
	return run()
}
