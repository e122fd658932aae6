package controlplane

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Options of Open. The zero value is good.
type Options struct {
	Logger *slog.Logger // nil discards
	Timing Timing       // zero fields take defaults
}

// Timing is every interval of a plane, so that tests and `domicile dev` need not wait.
type Timing struct {
	Heartbeat time.Duration // of Raft; default 1 s
	Election  time.Duration // of Raft; default 1 s
	Renew     time.Duration // between renewals of fresh_until to nodes; default 15 s
	FreshFor  time.Duration // what each renewal promises; default 60 s
}

// Plane is one running voter.
type Plane struct{}

// Status is what a plane says of itself without asking anybody.
type Status struct {
	Name     string
	Leader   bool   // whether this voter leads
	LeaderID string // "" while there is none
	Revision uint64 // of the local state
}

// Open starts one voter: state, Raft, gRPC, REST gateway, ops. It returns once
// the listeners are bound, which may be before a leader exists: see Ready.
func Open(ctx context.Context, cfg Config, opts Options) (*Plane, error) {
	return nil, errors.New("not wired yet")
}

// RESTURL is where people reach this voter: "https://host:port" with the bound port.
func (p *Plane) RESTURL() string { return "" }

// GRPCAddress is the bound gRPC address, "host:port".
func (p *Plane) GRPCAddress() string { return "" }

// OpsURL is "http://host:port" of metrics and health, or "" when there is none.
func (p *Plane) OpsURL() string { return "" }

// Ready reports whether the plane can answer: a leader is known, and the
// cluster is initialised. The error says what is missing.
func (p *Plane) Ready() error { return nil }

// Status says how the plane is.
func (p *Plane) Status() Status { return Status{} }

// Done is closed when the plane has stopped, by Close or by itself; Err then says why.
func (p *Plane) Done() <-chan struct{} { return nil }

// Err is nil while the plane runs and after Close.
func (p *Plane) Err() error { return nil }

// Close stops taking requests, waits for those in flight until ctx ends, hands
// leadership over, and closes the state.
func (p *Plane) Close(ctx context.Context) error { return nil }
