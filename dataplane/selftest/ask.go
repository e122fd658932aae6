package selftest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/domicile-io/domicile/api"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/policy"
)

const (
	declared   = 4096    // bytes of the body that never comes
	maxProblem = 1 << 16 // bytes of an answer that are looked at
)

// errTaken: the canary was let in, or its body asked for.
var errTaken = errors.New("the canary was not refused from its headers")

// post sends the headers of POST /v1/calls. It gives the refusal as an error of the
// domain; nil never.
func (p *Probe) post(ctx context.Context, credential string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wanted atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: func() {
		wanted.Store(true)
		cancel()
	}})
	body := &never{ended: ctx.Done(), closed: make(chan struct{})}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+p.address+"/v1/calls", body)
	if err != nil {
		return err
	}
	r.Host, r.ContentLength = p.host, declared
	r.Header.Set("Authorization", credential)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Expect", "100-continue")
	client, err := p.o.Door.HTTP(p.route(), p.config)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if wanted.Load() {
		if err == nil {
			_ = resp.Body.Close()
		}
		return fmt.Errorf("it was asked for its body (100 Continue): %w", errTaken)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		return fmt.Errorf("it was answered %d: %w", resp.StatusCode, errTaken)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return fmt.Errorf("the refusal broke off: %w", err)
	}
	var problem api.Problem
	if err := json.Unmarshal(text, &problem); err != nil {
		return errors.New("it was answered 421 without a problem that says why")
	}
	return &policy.Error{Reason: problem.Reason, Message: "refused", Metadata: problem.Metadata}
}

// stream opens a stream and sends no batch. It gives the refusal as an error of the
// domain; nil never.
func (p *Probe) stream(ctx context.Context, credential string) error {
	config := p.config.Clone()
	config.ServerName = "" // gRPC takes the authority
	cc, err := p.o.Door.GRPC(p.route(), p.address, config, grpc.WithAuthority(p.host))
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", credential)
	s, err := ingestv1.NewIngestServiceClient(cc).Stream(ctx)
	if err == nil {
		_, err = s.Recv() // one that is let in waits here until ctx ends
	}
	switch {
	case err == nil:
		return errTaken
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return api.FromGRPC(err)
}

// never is a body that gives nothing until it is closed or its request ends: the
// transport answers nobody before its reading has ended.
type never struct {
	ended  <-chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Read implements io.Reader.
func (n *never) Read([]byte) (int, error) {
	select {
	case <-n.closed:
	case <-n.ended:
	}
	return 0, io.ErrUnexpectedEOF
}

// Close implements io.Closer.
func (n *never) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}
