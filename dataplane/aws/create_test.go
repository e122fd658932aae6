package aws

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// forgetful stands before the real store, lets every request through, and drops
// the connection instead of the answer to those that drops.
func forgetful(t *testing.T, g *gateway, drops func(*http.Request) bool) (endpoint, ca string) {
	t.Helper()
	target, err := url.Parse(g.url)
	check(t, err)
	raw, err := os.ReadFile(g.ca)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		ErrorLog:  log.New(io.Discard, "", 0),
		ModifyResponse: func(r *http.Response) error {
			if drops(r.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			}
			return nil
		},
	}
	endpoint, ca, _ = tlsServer(t, proxy)
	return endpoint, ca
}

// TestBlobOfALostAnswer: the store keeps a blob and its answer is lost. The
// repetition is refused as a second blob of that name, which it is not.
func TestBlobOfALostAnswer(t *testing.T) {
	g := startGateway(t, "eu-west-1")
	conf := g.bucket("eu-west-1", "media")
	var dropped atomic.Int32
	conf.Endpoint, conf.CA = forgetful(t, g, func(r *http.Request) bool {
		ends := r.Method == http.MethodPut && !r.URL.Query().Has("partNumber") || r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
		return ends && dropped.Add(1)%2 == 1
	})
	_, client := clientFor(t, policy.LocalStore, conf.CA, conf.Destinations()...)
	blobs, err := NewS3(conf, client)
	check(t, err)
	defer blobs.Close()
	ctx := context.Background()
	for i, size := range []int{10, 9 << 20} {
		name := "lost/" + string(rune('a'+i))
		before := dropped.Load()
		info, err := blobs.Create(ctx, name, bytes.NewReader(make([]byte, size)))
		if err != nil || info.Size != int64(size) {
			t.Errorf("%d bytes, their answer lost: %+v, %v", size, info, err)
		}
		if dropped.Load() == before {
			t.Fatal("no answer was dropped")
		}
		_, err = blobs.Create(ctx, name, bytes.NewReader([]byte("another's")))
		if wantErr := (&policy.Error{Reason: policy.AlreadyExists}); err == nil || !wantErr.Is(err) {
			t.Errorf("another blob of the name: %v", err)
		}
	}
}
