package power

import (
	"context"
	"fmt"
	"math/rand/v2"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
)

// streamer is a client that sends batches over one long stream, and opens another when
// that breaks. What it keeps of a batch that was not acknowledged is that it was sent.
type streamer struct {
	l        *load
	sequence uint64
	stream   grpc.BidiStreamingClient[ingestv1.StreamRequest, ingestv1.StreamResponse]
	close    func()
}

const streamAhead = 3 // batches that are sent before the first is acknowledged

// streamedBatch is a batch on its way.
type streamedBatch struct{ sequence, first, n int }

func (s *streamer) work(ctx context.Context, draw *rand.Rand) error {
	err := s.batches(ctx, draw)
	if err != nil && s.close != nil {
		s.close()
		s.close = nil
	}
	return err
}

func (s *streamer) batches(ctx context.Context, draw *rand.Rand) error {
	if s.close == nil {
		if err := s.open(ctx); err != nil {
			return err
		}
	}
	l := s.l
	var waits []streamedBatch
	for range streamAhead {
		n := 1 + draw.IntN(l.largest)
		first := l.round.take(n)
		calls := make([]data.NewCall, n)
		for i := range calls {
			calls[i] = l.book.call(l.round, first+i)
		}
		s.sequence++
		if err := s.stream.Send(&ingestv1.StreamRequest{Sequence: s.sequence, Records: lines(calls...)}); err != nil {
			return err
		}
		waits = append(waits, streamedBatch{int(s.sequence), first, n})
	}
	for _, b := range waits {
		if err := s.acknowledged(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *streamer) acknowledged(b streamedBatch) error {
	l := s.l
	out, err := s.stream.Recv()
	if err != nil {
		return err
	}
	stored := 0
	for _, o := range out.GetOutcomes() {
		if o.GetState() == ingestv1.OutcomeState_OUTCOME_STATE_STORED {
			stored++
		}
	}
	if int(out.GetSequence()) != b.sequence || stored != b.n {
		l.s.t.Errorf("round %d: new batch %d of %d is answered as batch %d, %d stored", l.round.n, b.sequence, b.n, out.GetSequence(), stored)
	}
	if err := l.book.note(b.n, "streamed %d %d+%d", l.round.n, b.first, b.n); err != nil {
		return err
	}
	l.round.acknowledge(b.first, b.n)
	return nil
}

func (s *streamer) open(ctx context.Context) error {
	trust, err := client.HTTPOptions{CAFile: s.l.s.Env.CAFile()}.TLS()
	if err != nil {
		return err
	}
	cc, err := grpc.NewClient("passthrough:///"+s.l.s.Env.IngestAddress("ie1"), grpc.WithTransportCredentials(credentials.NewTLS(trust)))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.l.region.Key))
	stop := context.AfterFunc(ctx, func() { _ = cc.Close() }) // when the load ends
	s.stream, err = ingestv1.NewIngestServiceClient(cc).Stream(ctx)
	s.close = func() { cancel(); stop(); _ = cc.Close() }
	if err != nil {
		s.close()
		s.close = nil
	}
	return err
}
