package members

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// membership makes rows through a real store, as commands make them.
func membership(t testing.TB, n int) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Path: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for i := range n {
		data, err := store.Encode(store.Command{Stamp: store.Stamp{Now: time.Unix(1, 0), Actor: "bootstrap"}, Payload: store.PutMember{Name: store.MemberName(name(i)),
			Node: policy.NodeID(fmt.Sprintf("ND%032x", i+1)), RaftAddress: name(i) + ":1", GRPCAddress: name(i) + ":2", Wants: store.Voter, Votes: true, Version: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := s.Apply([]store.Entry{{Index: uint64(i + 1), Term: 1, Data: data}}); err != nil || r[0].Err != nil {
			t.Fatal(err, r)
		}
	}
	return s
}

func name(i int) string { return fmt.Sprintf("cp%d", i+1) }

// Whatever is dead, for however long: no step removes so many that the floor or
// a living majority is lost, nor the leader, nor one that is alive.
func TestNoStepCostsTheQuorum(t *testing.T) {
	all := map[int]*store.Store{}
	for n := 1; n <= 7; n++ {
		all[n] = membership(t, n)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "voters")
		now := time.Unix(100_000, 0)
		v := View{Now: now, Self: name(0), Since: now.Add(-time.Duration(rapid.IntRange(0, 200).Draw(t, "leads for")) * time.Second), Patience: 3 * time.Second,
			Members: all[n].Members(), Heard: map[string]Heard{}, Silent: map[string]bool{},
			Rules: Rules{Floor: rapid.IntRange(1, 5).Draw(t, "floor"), DeadAfter: time.Minute, StableFor: time.Second}}
		for i := range n {
			v.Config.Servers = append(v.Config.Servers, replica.Server{Name: name(i), Address: name(i) + ":1", Votes: true})
			if ago := rapid.IntRange(-1, 200).Draw(t, "heard ago"); ago >= 0 {
				v.Heard[name(i)] = Heard{At: now.Add(-time.Duration(ago) * time.Second)}
			}
			v.Silent[name(i)] = rapid.Bool().Draw(t, "silent")
		}
		a := Step(v)
		if a.Do == Nothing {
			return
		}
		if a.Do != Bury {
			t.Fatalf("%+v", a)
		}
		living := 0
		for _, s := range v.Config.Servers {
			if s.Name != a.Name && v.alive(s.Name) {
				living++
			}
		}
		switch {
		case a.Name == v.Self, v.alive(a.Name), !v.Silent[a.Name]:
			t.Fatalf("%s is buried alive", a.Name)
		case n-1 < v.Rules.Floor:
			t.Fatalf("%d voters would be left of a floor of %d", n-1, v.Rules.Floor)
		case living <= (n-1)/2:
			t.Fatalf("%d of %d voters would live", living, n-1)
		}
	})
}

// A vote is given to who has been caught up long enough, and not before.
func TestVoteIsGrantedAfterAWhile(t *testing.T) {
	s := membership(t, 3)
	m, _ := s.Members().Find("cp3")
	p := m.Put()
	p.Wants, p.Votes = store.Voter, false
	data, err := store.Encode(store.Command{Stamp: store.Stamp{Now: time.Unix(2, 0), Actor: "bootstrap"}, Payload: p})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply([]store.Entry{{Index: 4, Term: 1, Data: data}}); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	v := View{Now: now, Self: "cp1", Since: now.Add(-time.Hour), Patience: 3 * time.Second, Members: s.Members(), Silent: map[string]bool{},
		Heard: map[string]Heard{"cp2": {At: now, Steady: now}}, Rules: Rules{Floor: 3, StableFor: 10 * time.Second},
		Config: replica.Configuration{Servers: []replica.Server{{Name: "cp1", Address: "cp1:1", Votes: true}, {Name: "cp2", Address: "cp2:1", Votes: true}, {Name: "cp3", Address: "cp3:1"}}}}
	young := v
	young.Since = now.Add(-time.Second)
	if h, in := young.Health("cp3"), young.JudgedIn("cp3"); h != Unknown || in != 2*time.Second {
		t.Errorf("one that this leader has not heard yet is %s for %v more", h, in)
	}
	if h, in := v.Health("cp3"), v.JudgedIn("cp3"); h != Silent || in != 0 {
		t.Errorf("one that this leader never heard is %s for %v more", h, in)
	}
	for steady, want := range map[time.Duration]Deed{0: Nothing, 9 * time.Second: Nothing, 10 * time.Second: Grant} {
		v.Heard["cp3"] = Heard{At: now, Steady: now.Add(-steady)}
		if a := Step(v); a.Do != want {
			t.Errorf("after %v: %+v, want %q", steady, a, want)
		}
	}
	v.Heard["cp3"] = Heard{At: now} // heard, and not caught up
	if a := Step(v); a.Do != Nothing {
		t.Errorf("one that is behind: %+v", a)
	}
}
