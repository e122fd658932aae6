package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Service is a listener of every member, e.g. "raft" or "grpc".
type Service string

// edge is who dials whose which service.
type edge struct {
	from, to string
	service  Service
}

// Mesh is a link for each ordered pair of members and each service.
type Mesh struct {
	members []string
	links   map[edge]*Link

	mu   sync.Mutex // of draw
	draw *rand.Rand
}

// NewMesh opens all links. target says where a member's service listens.
func NewMesh(members []string, services []Service, seed uint64, target func(member string, s Service) string) (*Mesh, error) {
	m := &Mesh{members: members, links: map[edge]*Link{}, draw: rand.New(rand.NewPCG(seed, 1))}
	for _, from := range members {
		for _, to := range members {
			for _, s := range services {
				if from == to {
					continue
				}
				l, err := NewLink(target(to, s), m.jitter)
				if err != nil {
					return nil, errors.Join(err, m.Close())
				}
				m.links[edge{from, to, s}] = l
			}
		}
	}
	return m, nil
}

func (m *Mesh) jitter(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.draw.Int64N(int64(most)))
}

// Address is where from dials to's service.
func (m *Mesh) Address(from, to string, s Service) (string, error) {
	l, ok := m.links[edge{from, to, s}]
	if !ok {
		return "", fmt.Errorf("no link from %s to %s of %s", from, to, s)
	}
	return l.Address(), nil
}

// Shape says what happens to what one member says to another, whoever has
// dialled whom.
type Shape func(from, to string) Rule

// Impose puts a shape in force.
func (m *Mesh) Impose(s Shape) {
	for e, l := range m.links {
		l.Set(s(e.from, e.to), s(e.to, e.from))
	}
}

// Heal lets everything through again; what was held goes on.
func (m *Mesh) Heal() { m.Impose(func(string, string) Rule { return Rule{} }) }

// Reset ends all connections between members.
func (m *Mesh) Reset() {
	for _, l := range m.links {
		l.Reset()
	}
}

// Counts of all links together.
func (m *Mesh) Counts() (c Counts) {
	for _, l := range m.links {
		c = c.add(l.Counts())
	}
	return c
}

// Close ends all links.
func (m *Mesh) Close() error {
	var all []error
	for _, l := range m.links {
		all = append(all, l.Close())
	}
	return errors.Join(all...)
}

// Split blocks everything between groups, both ways. A member of no group
// hears and is heard by nobody.
func Split(groups ...[]string) Shape {
	of := map[string]int{}
	for i, g := range groups {
		for _, member := range g {
			of[member] = i + 1
		}
	}
	return func(from, to string) Rule {
		return Rule{Blocked: of[from] == 0 || of[from] != of[to]}
	}
}

// Cut blocks everything between two members, both ways; all others hear both.
func Cut(a, b string) Shape {
	return func(from, to string) Rule {
		return Rule{Blocked: (from == a && to == b) || (from == b && to == a)}
	}
}

// Mute blocks what a member says; it still hears everybody.
func Mute(member string) Shape {
	return func(from, _ string) Rule { return Rule{Blocked: from == member} }
}

// Deafen blocks what is said to a member; everybody still hears it.
func Deafen(member string) Shape {
	return func(_, to string) Rule { return Rule{Blocked: to == member} }
}

// Everywhere is one rule for all.
func Everywhere(r Rule) Shape { return func(string, string) Rule { return r } }

// Ring lets each member hear its two neighbours only, in the order given. With
// three members, where all are neighbours, the first two do not hear each other.
func Ring(members []string) Shape {
	if len(members) <= 3 {
		return Cut(members[0], members[1])
	}
	at := map[string]int{}
	for i, member := range members {
		at[member] = i
	}
	return func(from, to string) Rule {
		apart := (at[from] - at[to] + len(members)) % len(members)
		return Rule{Blocked: apart != 1 && apart != len(members)-1}
	}
}
