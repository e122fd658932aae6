package aws

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/domicile-io/domicile/dataplane/keytable"
	"github.com/domicile-io/domicile/dataplane/shelf/copied"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/postgres"
)

// dying is what a node that is another process is told.
type dying struct {
	Bucket             S3Config
	DSN, Anchors, Root string
	Point              string // at which it ends
	Times              int64  // that it comes there
}

const dyingEnv = "DOMICILE_TEST_DYING_NODE"

// known is a key that was handed out, as one line of the process that has it.
func known(id store.KeyID, key [32]byte) string {
	return fmt.Sprintf("KEY %d %d %x", id.Generation, id.Index, sha256.Sum256(key[:]))
}

// TestADyingNode is the other process of the test below: it draws keys and says each,
// until it kills itself.
func TestADyingNode(t *testing.T) {
	raw := os.Getenv(dyingEnv)
	if raw == "" {
		t.Skip("is run by TestINV33_AKilledNodeLeavesEveryKeyInTheCopy")
	}
	var d dying
	check(t, json.Unmarshal([]byte(raw), &d))
	v := &vaulted{library: &library{t: t, c: d.Bucket, dsn: d.DSN}, root: d.Root}
	anchors, err := v.database(d.Anchors).Shelf(t.Context(), "link")
	check(t, err)
	v.anchors = anchors
	var came atomic.Int64
	k := v.tableWith(func(o *copied.Options) {
		o.Step = func(at string) error {
			if at == d.Point && came.Add(1) == d.Times {
				check(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
				select {}
			}
			return nil
		}
	})
	for {
		id, key, err := k.Draw()
		check(t, err)
		fmt.Println(known(id, key))
	}
}

// Two nodes, each a process of its own, draw keys of one table; one is killed between
// its change's copy and the commit, or right after the commit. Every key that either
// handed out is in the copy, from which a lost database is put back, and the other goes on.
func TestINV33_AKilledNodeLeavesEveryKeyInTheCopy(t *testing.T) {
	for _, point := range []string{"put", "committed"} {
		t.Run(point, func(t *testing.T) {
			v := newVaulted(t)
			anchors := postgres.Database(t)
			s, err := v.database(anchors).Shelf(t.Context(), "link")
			check(t, err)
			v.anchors = s
			k := v.table()
			d, err := json.Marshal(dying{Bucket: v.c, DSN: v.dsn, Anchors: anchors, Root: v.root, Point: point, Times: 4})
			check(t, err)
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestADyingNode$", "-test.count=1")
			child.Env, child.Stderr = append(os.Environ(), dyingEnv+"="+string(d)), os.Stderr
			out, err := child.StdoutPipe()
			check(t, err)
			check(t, child.Start())
			all := map[string]store.KeyID{}
			mine := make(chan struct{})
			var work sync.WaitGroup
			work.Go(func() { drawUntil(t, k, all, mine) })
			theirs := map[string]store.KeyID{}
			for lines := bufio.NewScanner(out); lines.Scan(); {
				var id store.KeyID
				if n, _ := fmt.Sscanf(lines.Text(), "KEY %d %d", &id.Generation, &id.Index); n == 2 && strings.Count(lines.Text(), " ") == 3 {
					theirs[lines.Text()] = id
				}
			}
			err = child.Wait()
			close(mine)
			work.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the other node ended otherwise: %v", err)
			}
			if len(theirs) < 256 || len(all) == 0 {
				t.Fatalf("%d and %d keys were handed out: the test shows nothing", len(theirs), len(all))
			}
			for range 600 { // over what the other left half done
				id, key, err := k.Draw()
				check(t, err)
				all[known(id, key)] = id
			}
			from := v.fromCopy()
			for _, some := range []map[string]store.KeyID{theirs, all} {
				for line, id := range some {
					if key, err := from.Open(id); err != nil || known(id, key) != line {
						t.Fatalf("key %v of the copy: %v", id, err)
					}
				}
			}
			t.Logf("%d keys of the killed node and %d of the other are in the copy", len(theirs), len(all))
		})
	}
}

// drawUntil draws keys until it is told to end.
func drawUntil(t *testing.T, k *keytable.Table, all map[string]store.KeyID, end <-chan struct{}) {
	for {
		select {
		case <-end:
			return
		default:
		}
		id, key, err := k.Draw()
		if err != nil {
			t.Errorf("draw beside a node that dies: %v", err)
			return
		}
		all[known(id, key)] = id
	}
}
