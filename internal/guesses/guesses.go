// Package guesses bounds how many credentials that do not work somebody may show.
// Whoever listens asks it after a credential was found wanting, never before, so
// that nobody's guesses lock out who has a working one.
//
//	Limits   a share of refusals for each of many names: addresses, ids of keys
//	Address  what counts as one address
package guesses

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Options of Limits. The zero value has the defaults.
type Options struct {
	PerSecond  float64 // refusals a second of one name; 0: 20
	AtOnce     int     // refusals at once of a name that was quiet; 0: 400
	Remembered int     // names; the one that was quiet longest goes first; 0: 4096
}

// Limits counts refused credentials by name, in bounded memory: about 150 bytes
// for each name that is remembered. It is safe for concurrent use.
type Limits struct {
	o    Options
	seen *lru.Cache[string, *rate.Limiter]
}

// New makes limits.
func New(o Options) (*Limits, error) {
	o.PerSecond, o.AtOnce, o.Remembered = cmp.Or(o.PerSecond, 20), cmp.Or(o.AtOnce, 400), cmp.Or(o.Remembered, 4096)
	seen, err := lru.New[string, *rate.Limiter](o.Remembered)
	if err != nil {
		return nil, fmt.Errorf("limit guesses: %w", err)
	}
	return &Limits{o: o, seen: seen}, nil
}

// Allow takes one refusal from a name's share, and reports whether there was one.
func (l *Limits) Allow(name string) bool { return l.of(name).Allow() }

// Exhausted reports whether a name's share is used up, without taking from it.
func (l *Limits) Exhausted(name string) bool {
	have, ok := l.seen.Peek(name)
	return ok && have.TokensAt(time.Now()) < 1
}

func (l *Limits) of(name string) *rate.Limiter {
	fresh := rate.NewLimiter(rate.Limit(l.o.PerSecond), l.o.AtOnce)
	if have, ok, _ := l.seen.PeekOrAdd(name, fresh); ok {
		l.seen.Get(name) // it is not quiet
		return have
	}
	return fresh
}

// Address is what counts as one address: an IPv4 address, or of an IPv6 address
// the network of 64 bits, which one household has whole. All whose address cannot
// be read share one, "".
func Address(text string) string {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	if a = a.Unmap(); a.Is6() {
		network, err := a.WithZone("").Prefix(64)
		if err != nil {
			return ""
		}
		return network.String()
	}
	return a.String()
}
