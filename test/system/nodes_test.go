package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// second is the client of the region's other node that a client of the first is.
func second(c *testcluster.Cluster, r *client.Region) *client.Region {
	return c.Region(dev.SecondName("ie1"), r.Key)
}

// relay sends batches to one of several nodes, and the same batch to the next when
// a node did not acknowledge it.
type relay struct {
	nodes        []*client.Region
	mu           sync.Mutex
	acknowledged map[string]bool
}

func (l *relay) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

func (l *relay) run(ctx context.Context, writer int, stop <-chan struct{}) {
	at := writer
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-stop:
			return
		default:
		}
		var body bytes.Buffer
		var ids []string
		for i := range crashBatch {
			id := fmt.Sprintf("w%d-b%d-r%d", writer, n, i)
			ids = append(ids, id)
			line, _ := json.Marshal(data.NewCall{NativeID: id, From: fmt.Sprintf("+35386%07d", 1000+writer), To: "+35315551234", Direction: "inbound", Status: "completed"})
			body.Write(append(line, '\n'))
		}
		for ctx.Err() == nil {
			counts, err := l.nodes[at%len(l.nodes)].Batch(ctx, client.Upload{Body: bytes.NewReader(body.Bytes())})
			if err == nil && counts.Accepted+counts.Duplicates == crashBatch {
				break
			}
			at++ // the other may have it already
		}
		l.mu.Lock()
		for _, id := range ids {
			l.acknowledged[id] = true
		}
		l.mu.Unlock()
	}
}

// everything counts what is stored by id, as one node lists it.
func everything(ctx context.Context, t *testing.T, r *client.Region) map[string]int {
	t.Helper()
	stored := map[string]int{}
	check(t, r.AllCalls(ctx, client.Filter{PageSize: 1000}, func(call data.Call) error { stored[call.NativeID]++; return nil }))
	return stored
}

// Either of two nodes may die at any moment under load: the other goes on, what
// was acknowledged by either is there, once, and both say the same.
func TestINV33KillOfOneOfTwoNodesLosesNothing(t *testing.T) {
	c := start(t, testcluster.Options{Second: []string{"ie1"}, EditRegion: inDatabases(t)})
	_, first := place(t, c, "acme-ie", "ie1", "IE", nil)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	load := &relay{nodes: []*client.Region{first, second(c, first)}, acknowledged: map[string]bool{}}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range crashWriters {
		all.Go(func() { load.run(ctx, w, stop) })
	}
	more := func(what string) {
		t.Helper()
		before := load.count()
		until(t, 60*time.Second, what, func() error {
			if n := load.count() - before; n < 10*crashBatch {
				return fmt.Errorf("only %d records acknowledged", n)
			}
			return nil
		})
	}
	for _, victim := range []string{"ie1", dev.SecondName("ie1"), "ie1"} {
		more("load")
		check(t, c.Process(victim).Kill())
		more("load without " + victim)
		check(t, c.Process(victim).Start())
		check(t, c.Process(victim).WaitReady(ctx))
	}
	close(stop)
	all.Wait()
	stored, other := everything(ctx, t, first), everything(ctx, t, second(c, first))
	for id := range load.acknowledged {
		if stored[id] != 1 || other[id] != 1 {
			t.Errorf("%s is there %d times, and %d times at the other node", id, stored[id], other[id])
		}
	}
	if len(stored) != len(other) {
		t.Errorf("one node lists %d calls, the other %d", len(stored), len(other))
	}
	t.Logf("%d records acknowledged over 3 kills, %d stored", len(load.acknowledged), len(stored))
}

// Exports leave once, whichever node judges and sends them, and whichever dies.
func TestINV33NodesOfARegionExportOnce(t *testing.T) {
	c := start(t, testcluster.Options{Second: []string{"ie1"}, EditRegion: inDatabases(t), ExportInterval: 200 * time.Millisecond, ExportWindow: 2 * time.Second})
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	home, there := exporting(ctx, t, c, "acme-ie", exportRecipient)
	other := second(c, home)
	sendClass(ctx, t, home, "first")
	until(t, 60*time.Second, "first transfer", func() error { return delivered(ctx, other, there, 1) })
	for i, victim := range []string{"ie1", dev.SecondName("ie1")} {
		alive := []*client.Region{other, home}[i]
		sendClass(ctx, t, alive, fmt.Sprint("round-", i))
		check(t, c.Process(victim).Kill())
		until(t, 90*time.Second, "the transfer without "+victim, func() error {
			if _, err := alive.RunExports(ctx); err != nil { // also asked for by hand, on a node that may not have the lease
				return err
			}
			return delivered(ctx, alive, there, i+2)
		})
		check(t, c.Process(victim).Start())
		check(t, c.Process(victim).WaitReady(ctx))
	}
	for _, node := range []*client.Region{home, other} {
		check(t, delivered(ctx, node, there, 3))
	}
}

// A person is erased at one node while the other takes records in: nothing of
// them is found at either, and nothing of others is lost.
func TestErasureAtOneNodeWhileTheOtherIngests(t *testing.T) {
	c := start(t, testcluster.Options{Second: []string{"ie1"}, EditRegion: inDatabases(t)})
	_, first := place(t, c, "acme-ie", "ie1", "IE", nil)
	other := second(c, first)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	const person = "+353865550199"
	for i, node := range []*client.Region{first, other, first} {
		_, err := node.CreateCall(ctx, data.NewCall{NativeID: fmt.Sprint("person-", i), From: person, To: "+35315551234", Direction: "inbound", Status: "completed"})
		check(t, err)
	}
	load := &relay{nodes: []*client.Region{first}, acknowledged: map[string]bool{}}
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { load.run(ctx, 0, stop) })
	until(t, 60*time.Second, "load", func() error { return atLeast(load.count(), 4*crashBatch) })
	certificate, err := other.EraseSubject(ctx, data.SubjectRef{Number: person})
	check(t, err)
	until(t, 90*time.Second, "the erasure", func() error {
		got, err := first.Certificate(ctx, certificate.ID)
		if err == nil && got.State == "pending" {
			err = fmt.Errorf("it is at step %s (%s)", got.Step, got.Problem)
		}
		return err
	})
	close(stop)
	all.Wait()
	for _, node := range []*client.Region{first, other} {
		found, err := node.FindSubjects(ctx, data.SubjectRef{Number: person})
		if err == nil && len(found.Owners) > 0 || err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
			t.Errorf("the person is found: %+v, %v", found, err)
		}
		calls, err := node.SearchCalls(ctx, data.Search{Number: person})
		if err != nil || len(calls.Calls) != 0 {
			t.Errorf("%d calls of the person, %v", len(calls.Calls), err)
		}
		stored := everything(ctx, t, node)
		for id := range load.acknowledged {
			if stored[id] != 1 {
				t.Errorf("%s of another is there %d times", id, stored[id])
			}
		}
	}
}

func atLeast(n, want int) error {
	if n < want {
		return fmt.Errorf("%d of %d", n, want)
	}
	return nil
}

// One node of a region does its background work, and another takes over soon
// after its death.
func TestBackgroundWorkIsOneNodes(t *testing.T) {
	c := start(t, testcluster.Options{Second: []string{"ie1"}, EditRegion: inDatabases(t)})
	nodes := []string{"ie1", dev.SecondName("ie1")}
	leases := []string{"retention", "erasures", "sweep", "scrub", "exports"}
	until(t, 60*time.Second, "each lease at one node", func() error { return heldOnce(t, c, nodes, leases) })
	holder := nodes[0]
	if held(t, c, nodes[1], "retention") == 1 {
		holder = nodes[1]
	}
	check(t, c.Process(holder).Kill())
	rest := nodes[1]
	if holder == rest {
		rest = nodes[0]
	}
	until(t, 60*time.Second, "the other takes everything over", func() error { return heldOnce(t, c, []string{rest}, leases) })
	check(t, c.Process(holder).Start())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	check(t, c.Process(holder).WaitReady(ctx))
	check(t, heldOnce(t, c, nodes, leases))
	listed, err := c.Control("cp1").Nodes(ctx, "ie1", "")
	check(t, err)
	if len(listed) != len(nodes) {
		t.Errorf("the control plane lists %d nodes of ie1, want %d", len(listed), len(nodes))
	}
}

func heldOnce(t *testing.T, c *testcluster.Cluster, nodes, leases []string) error {
	for _, l := range leases {
		n := 0
		for _, node := range nodes {
			n += held(t, c, node, l)
		}
		if n > 1 {
			t.Fatalf("lease %s is held %d times", l, n)
		}
		if n == 0 {
			return fmt.Errorf("nobody has lease %s", l)
		}
	}
	return nil
}

// held reads a node's metrics.
func held(t *testing.T, c *testcluster.Cluster, node, name string) int {
	t.Helper()
	if strings.Contains(metrics(t, c, node), `domicile_lease_held{lease="`+name+`"} 1`) {
		return 1
	}
	return 0
}
