package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/api/client"
)

// asks are requests of one record each, made before the clock runs, as the peer's
// rows are; and connections that were open before, as the peer's pool has. What is
// left to the client is what a driver of PostgreSQL does: encrypted here, it writes
// bytes and reads an answer.
type asks struct {
	all  [][]byte
	next atomic.Int64
	free chan *wire
}

// wire is one connection, of one writer at a time.
type wire struct {
	*tls.Conn
	in *bufio.Reader
}

// prepareAsks makes count requests, and a connection for each of so many writers.
func prepareAsks(ctx context.Context, region *client.Region, count, writers int) (*asks, error) {
	base, err := url.Parse(region.BaseURL)
	if err != nil {
		return nil, err
	}
	transport, ok := region.HTTP.Transport.(*http.Transport)
	if !ok {
		return nil, errors.New("the cluster's client has no transport of its own")
	}
	a := &asks{free: make(chan *wire, writers)}
	var body []byte
	for range count {
		body = bytes.TrimSuffix(line(body[:0], serial.Add(1)), []byte("\n"))
		a.all = append(a.all, fmt.Appendf(nil, "POST /v1/calls HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			base.Host, region.Key, len(body), body))
	}
	config := transport.TLSClientConfig.Clone()
	config.NextProtos = nil
	dialer := tls.Dialer{Config: config}
	for range writers {
		conn, err := dialer.DialContext(ctx, "tcp", base.Host)
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		a.free <- &wire{conn.(*tls.Conn), bufio.NewReader(conn)}
	}
	return a, nil
}

func (a *asks) close() (err error) {
	for len(a.free) > 0 {
		err = errors.Join(err, (<-a.free).Close())
	}
	return err
}

// singles posts records one by one, each in a request of its own.
func (a *asks) singles(ctx context.Context, length time.Duration) (float64, int, error) {
	var done atomic.Int64
	took, err := load(ctx, cap(a.free), length, func(context.Context) (bool, error) {
		i := a.next.Add(1) - 1
		if i >= int64(len(a.all)) {
			return false, nil
		}
		w := <-a.free
		defer func() { a.free <- w }()
		status, err := w.ask(a.all[i])
		switch {
		case err != nil:
		case status == http.StatusCreated:
			done.Add(1)
		case status != http.StatusTooManyRequests: // which a node that is short of processors answers
			err = fmt.Errorf("answered %d", status)
		}
		return true, err
	})
	return rate(int(done.Load()), took), int(done.Load()), err
}

func (w *wire) ask(request []byte) (status int, err error) {
	if _, err := w.Write(request); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, errors.Join(err, res.Body.Close())
}

// singles is a turn of one's own.
func singles(ctx context.Context, region *client.Region, length time.Duration) (float64, error) {
	a, err := prepareAsks(ctx, region, preparedSingles, singleWriters)
	if err != nil {
		return 0, err
	}
	defer a.close()
	v, _, err := a.singles(ctx, length)
	return v, err
}

const preparedSingles = 100_000 // of each turn, as of the peer's rows
