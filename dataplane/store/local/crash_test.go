package local_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// childDir makes the test binary append to the store there until it is killed.
const childDir = "DOMICILE_TEST_APPEND_TO"

func TestMain(m *testing.M) {
	if os.Getenv(childDir) == "" {
		os.Exit(m.Run())
	}
	testing.Init()
	t := &testing.T{}
	appendForever(t, os.Getenv(childDir), os.Getenv("DOMICILE_TEST_FROM"))
}

// appendForever prints each acknowledgement; a line stands for a record that
// must survive.
func appendForever(t *testing.T, dir, from string) {
	s, _ := openAt(t, dir, nil)
	permit := storetest.Permit(t, storetest.TenantA, policy.Ingest)
	var first int
	fmt.Sscan(from, &first)
	var out sync.Mutex
	for w := range 4 {
		go func() {
			for n := first + w; ; n += 4 {
				// Each record twice: an answer may get lost and the sender tries again.
				for range 2 {
					got, err := s.Append(context.Background(), permit, []record.Record{storetest.Native(n)})
					if err != nil {
						fmt.Fprintln(os.Stderr, err)
						os.Exit(1)
					}
					out.Lock()
					fmt.Println("ack", n, got[0].ID)
					out.Unlock()
				}
			}
		}()
	}
	select {}
}

// TestINV33_KilledProcessLosesNothing kills a process that appends, again and
// again, and then finds each acknowledged record exactly once, under the id
// that was acknowledged. (A kill leaves the page cache: the power-cut test is
// the system suite's.)
func TestINV33_KilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]string{}
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("DOMICILE_TEST_FROM=%d", round*1000))
		cmd.Stderr = os.Stderr
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(pipe)
		for n := 0; lines.Scan(); n++ {
			if f := strings.Fields(lines.Text()); len(f) == 3 {
				if old, ok := acked["call-"+f[1]]; ok && old != f[2] {
					t.Fatalf("record %s was acknowledged as %s, then as %s", f[1], old, f[2])
				}
				acked["call-"+f[1]] = f[2]
			}
			if n == 300+50*round {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
	}
	if len(acked) < 300 {
		t.Fatalf("only %d records were acknowledged: the test shows nothing", len(acked))
	}
	s, _ := openAt(t, dir, nil)
	found := map[string]int{}
	for _, c := range listAll(t, s, store.Query{PageSize: 1000}) {
		id := c.Record.Key.NativeID
		if found[id]++; acked[id] != "" && acked[id] != c.ID {
			t.Errorf("%s was acknowledged as %s and is %s", id, acked[id], c.ID)
		}
	}
	for id := range acked {
		if found[id] != 1 {
			t.Errorf("%s was acknowledged and is there %d times", id, found[id])
		}
	}
}

func listAll(t *testing.T, s store.Store, q store.Query) (out []store.Call) {
	t.Helper()
	for {
		p, err := s.List(context.Background(), storetest.Permit(t, storetest.TenantA, policy.View), q)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p.Calls...)
		if q.PageToken = p.NextPageToken; q.PageToken == "" {
			return out
		}
	}
}
