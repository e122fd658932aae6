package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/domicile-io/domicile/api/client"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/policy"
)

// Of the batches that a stream is cut into: so small that each is acknowledged soon,
// and a line that comes alone is sent when no other follows it.
const (
	streamBatch = 256 << 10
	streamPause = 20 * time.Millisecond
)

// streamed sends files one after the other over one stream.
func (im *importer) streamed(ctx context.Context, files []string) error {
	at, err := im.ingestAddress()
	if err != nil {
		return err
	}
	ca, err := im.app.setting(im.app.ca, "DOMICILE_CA")
	if err != nil {
		return err
	}
	trust, err := client.HTTPOptions{CAFile: ca}.TLS()
	if err != nil {
		return usagef("%v: correct --ca or DOMICILE_CA", err)
	}
	acks := &acknowledged{im: im, heard: make(chan struct{}, 1)}
	st, err := client.OpenStream(ctx, client.StreamOptions{Addresses: strings.Split(at, ","), Key: im.region.Key, TLS: trust, Acknowledged: acks.one})
	if err != nil {
		return err
	}
	for _, path := range files {
		if err = im.streamFile(ctx, st, acks, path); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
			break
		}
	}
	if err != nil {
		return err
	}
	err = st.Close(ctx)
	if n := st.Cuts(); n > 0 {
		im.app.err.Line("the connection was made again %d times", n)
	}
	return err
}

// ingestAddress is where the key's region takes streams.
func (im *importer) ingestAddress() (string, error) {
	region, _, _, err := policy.ParseKeyString(im.region.Key)
	if err != nil {
		return "", usagef("the key is not usable: %v", err)
	}
	return im.app.need(im.ingest, fmt.Sprintf("DOMICILE_%s_INGEST", strings.ToUpper(string(region))), "--ingest-address")
}

// acknowledged counts what is durable.
type acknowledged struct {
	im    *importer
	heard chan struct{}

	mu    sync.Mutex
	upTo  uint64
	bad   int // in quarantine, of all files
	sizes []int
}

func (a *acknowledged) one(out *ingestv1.StreamResponse) {
	im := a.im
	im.mu.Lock()
	for _, o := range out.GetOutcomes() {
		switch o.GetState() {
		case ingestv1.OutcomeState_OUTCOME_STATE_DUPLICATE:
			im.total.Duplicates++
		case ingestv1.OutcomeState_OUTCOME_STATE_QUARANTINED:
			im.total.Quarantined++
		default:
			im.total.Accepted++
		}
	}
	for _, r := range out.GetReceipts() {
		if n := len(im.total.Receipts); n == 0 || im.total.Receipts[n-1] != r {
			im.total.Receipts = append(im.total.Receipts, r)
		}
	}
	bad := im.total.Quarantined
	im.mu.Unlock()
	a.mu.Lock()
	a.upTo, a.bad = out.GetSequence(), bad
	if len(a.sizes) > 0 {
		_ = im.bar.Add(a.sizes[0])
		a.sizes = a.sizes[1:]
	}
	a.mu.Unlock()
	select {
	case a.heard <- struct{}{}:
	default:
	}
}

func (a *acknowledged) sent(size int) { a.mu.Lock(); a.sizes = append(a.sizes, size); a.mu.Unlock() }

func (a *acknowledged) state() (upTo uint64, bad int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.upTo, a.bad
}

// streamFile sends a file and, where it is to be removed, waits until all of it is
// durable.
func (im *importer) streamFile(ctx context.Context, st *client.Stream, acks *acknowledged, path string) error {
	in := im.app.in
	if encodingOf(path) != "" {
		return usagef("--stream takes files that are not compressed; leave --stream out, or unpack it")
	}
	var was os.FileInfo
	if path != stdin {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if was, err = f.Stat(); err != nil {
			return err
		}
		in = f
	}
	_, badBefore := acks.state()
	var last uint64
	if err := cut(ctx, in, func(batch []byte) (err error) {
		acks.sent(len(batch))
		last, err = st.Send(ctx, batch)
		return err
	}); err != nil {
		return err
	}
	im.mu.Lock()
	im.files++
	im.mu.Unlock()
	if !im.remove || path == stdin || last == 0 {
		return nil
	}
	for {
		upTo, bad := acks.state()
		if upTo >= last {
			if bad > badBefore {
				return nil
			}
			return im.removeRead(path, was)
		}
		select {
		case <-acks.heard:
		case <-time.After(time.Second): // the stream may have failed: the next Send or Close says so
			acks.sent(0)
			if _, err := st.Send(ctx, nil); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// cut gives whole lines in batches: full ones, and what there is when nothing more
// comes for a moment.
func cut(ctx context.Context, in io.Reader, send func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan []byte, 256)
	read := make(chan error, 1)
	go func() {
		defer close(lines)
		r := bufio.NewReaderSize(in, 64<<10)
		for {
			line, err := r.ReadBytes('\n')
			if len(bytes.TrimSpace(line)) > 0 {
				select {
				case lines <- line:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					read <- err
				}
				return
			}
		}
	}()
	var batch []byte
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		full := batch
		batch = nil
		return send(full)
	}
	for {
		var quiet <-chan time.Time
		if len(batch) > 0 {
			quiet = time.After(streamPause)
		}
		select {
		case line, ok := <-lines:
			if !ok {
				err := flush()
				select {
				case readErr := <-read:
					return errors.Join(err, readErr)
				default:
					return err
				}
			}
			if len(batch)+len(line) > streamBatch {
				if err := flush(); err != nil {
					return err
				}
			}
			batch = append(batch, line...)
		case <-quiet:
			if err := flush(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
