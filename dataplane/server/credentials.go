package server

import (
	"errors"
	"net"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/twilio"
	"github.com/domicile-io/domicile/internal/guesses"
	"github.com/domicile-io/domicile/policy"
)

// How many refused credentials may name one key, from wherever they come: far less
// than an address may show, because behind one address are many switches, and
// behind one key there is one secret.
const (
	keyRefusals       = 5   // a second
	keyRefusalsAtOnce = 100 // of a key that was quiet
)

// causeGuesses is the cause of an OVERLOADED that no admission and no quota is behind.
const causeGuesses = "credentials"

// trials bounds who tries credentials: by the address that they come from, and by
// the key that they name, known or not, so that many addresses do not have one
// key's secret to themselves.
type trials struct{ addresses, keys *guesses.Limits }

func newTrials() (trials, error) {
	addresses, err := guesses.New(guesses.Options{})
	if err != nil {
		return trials{}, err
	}
	keys, err := guesses.New(guesses.Options{PerSecond: keyRefusals, AtOnce: keyRefusalsAtOnce})
	return trials{addresses, keys}, err
}

// exceeded takes one refusal from both shares and names the one that is used up; "": none.
func (t trials) exceeded(address string, key policy.KeyID) string {
	by := ""
	if !t.addresses.Allow(address) {
		by = "address"
	}
	if key != "" && !t.keys.Allow(string(key)) && by == "" {
		by = "key"
	}
	return by
}

// authenticate says who asks. A credential that works is never held up by those
// that do not, wherever they come from. Whoever shows none guesses nothing.
func (x *exchange) authenticate() (gate.Principal, error) {
	return x.s.authenticate(x.credential(), x.r.RemoteAddr)
}

func (s *Server) authenticate(c gate.Credential, remote string) (gate.Principal, error) {
	who, err := s.o.Gate.Authenticate(c)
	var e *policy.Error
	if c.Key == "" || !errors.As(err, &e) || e.Reason != policy.Unauthenticated {
		return who, err
	}
	by := s.trials.exceeded(addressOf(remote), c.KeyID())
	if by == "" {
		return who, err
	}
	s.metrics.guesses.WithLabelValues(by).Inc()
	return gate.Principal{}, policy.Errorf(policy.Overloaded, "too many credentials that do not work came from this address, or name this key; working ones go on, others may try again in a moment").
		With("cause", causeGuesses)
}

// credential is what the request showed; more than one is none.
func (x *exchange) credential() gate.Credential {
	authorization := x.r.Header.Values("Authorization")
	if len(authorization) != 1 {
		return gate.Credential{}
	}
	c := gate.FromHeader(authorization[0])
	if twilio.Serves(x.r.URL.Path) {
		c.User = twilio.User(c.User)
	}
	return c
}

// addressOf is a connection's address as guesses are counted.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	return guesses.Address(host)
}
