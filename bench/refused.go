package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/api/client"
)

const (
	wrongRegion   = "us1"
	refusedBody   = 1 << 30
	refusedOfEach = 17
)

// framings are the ways in which an upload says how long it is. Whoever asks whether to
// go on sends at once here, too, which is the worst that a client can do.
var framings = []string{
	fmt.Sprintf("Content-Length: %d", refusedBody),
	"Transfer-Encoding: chunked",
	fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue", refusedBody),
}

// refused sends uploads of 1 GiB to a region that is not the tenant's.
func (b *recordBench) refused(ctx context.Context) error {
	u, err := url.Parse(b.c.Env.RegionURL(wrongRegion))
	if err != nil {
		return err
	}
	trust, err := client.HTTPOptions{CAFile: b.c.Env.CAFile()}.TLS()
	if err != nil {
		return err
	}
	trust = trust.Clone()
	trust.ServerName, trust.NextProtos = u.Hostname(), []string{"http/1.1"}
	dialer := &tls.Dialer{Config: trust}
	var took, read []float64
	for i := range refusedOfEach * len(framings) {
		conn, err := dialer.DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return err
		}
		before, ok := readBy(b.c.Process(wrongRegion).PID())
		d, err := upload(conn, u.Host, b.region.Key, framings[i%len(framings)])
		if err != nil {
			return fmt.Errorf("a misdirected upload: %w", err)
		}
		after, there := readBy(b.c.Process(wrongRegion).PID())
		took = append(took, float64(d.Microseconds())/1000)
		if ok && there {
			read = append(read, float64(after-before)/1024)
		}
	}
	slices.Sort(took)
	what := fmt.Sprintf("misdirected uploads of 1 GiB (%d each with Content-Length, chunked, and with Expect: 100-continue), from the head to the 421: median; the longest %s ms", refusedOfEach, figure(took[len(took)-1]))
	b.limits = append(b.limits, limit{"P15", what, took[len(took)/2], "ms", 20, 5})
	if len(read) == 0 {
		fmt.Fprintln(os.Stderr, "bench: /proc/PID/io cannot be read, so P15's bytes are not measured")
		return nil
	}
	slices.Sort(read)
	what = fmt.Sprintf("the same, all that the node's process read from the head to the connection's end, head and its other work included: the most of all; median %s KiB", figure(read[len(read)/2]))
	b.limits = append(b.limits, limit{"P15", what, read[len(read)-1], "KiB", 64, 4})
	return nil
}

// upload sends a head and a body until the node has closed the connection, and says
// when the answer came.
func upload(conn net.Conn, host, key, framing string) (took time.Duration, err error) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return 0, err
	}
	block := bytes.Repeat([]byte("refused body, sixteen bytes more"), 1<<10)
	if strings.HasPrefix(framing, "Transfer") {
		block = fmt.Appendf(nil, "%x\r\n%s\r\n", len(block), block)
	}
	start := time.Now()
	if _, err := fmt.Fprintf(conn, "POST /v1/calls:batch HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", host, key, framing); err != nil {
		return 0, err
	}
	cut := make(chan bool, 1)
	go func() {
		for sent := 0; sent < refusedBody; sent += len(block) {
			if _, err := conn.Write(block); err != nil {
				cut <- !errors.Is(err, os.ErrDeadlineExceeded)
				return
			}
		}
		cut <- false
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	took = time.Since(start)
	if err != nil {
		return took, err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest {
		return took, fmt.Errorf("answered %d", res.StatusCode)
	}
	if !<-cut {
		return took, errors.New("the node did not end the connection")
	}
	return took, nil
}

// readBy is how much a process has read since its start, from files and connections.
func readBy(pid int) (n int64, ok bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid)) // proc_pid_io(5)
	if err != nil {
		return 0, false
	}
	for l := range strings.Lines(string(raw)) {
		if v, is := strings.CutPrefix(l, "rchar: "); is {
			n, err = strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
