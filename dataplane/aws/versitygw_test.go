package aws

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/domicile-io/domicile/dataplane/aws/awstest"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// gateway is a running S3 server of another make, and its clients.
type gateway struct {
	t     *testing.T
	url   string
	ca    string
	login string
	dir   string

	server *awstest.Gateway
}

// clientFor is a client through a real door that declares destinations.
func clientFor(t *testing.T, class policy.EgressClass, ca string, destinations ...string) (*egress.Door, *egress.Client) {
	t.Helper()
	door, err := egress.New(egress.Options{Region: "ie1", Dir: t.TempDir(), Flush: time.Millisecond})
	check(t, err)
	t.Cleanup(func() { _ = door.Close() })
	for _, d := range destinations {
		check(t, door.Allow(class, egress.HostPort(d)))
	}
	raw, err := os.ReadFile(ca)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	client, err := door.HTTP(egress.Route{Class: class, Region: "ie1"}, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	check(t, err)
	return door, client
}

// tlsServer serves a handler, and writes down its CA and a login.
func tlsServer(t *testing.T, h http.Handler) (url, ca, login string) {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca, login = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "login.json")
	check(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	check(t, os.WriteFile(login, []byte(`{"Version":1,"AccessKeyId":"AKIX","SecretAccessKey":"s"}`), 0o600))
	return server.URL, ca, login
}

// startGateway starts the server for one region.
func startGateway(t *testing.T, region string) *gateway {
	t.Helper()
	g := awstest.NewGateway(t, region)
	return &gateway{t: t, url: g.URL, ca: g.CA, login: g.Login, dir: g.Dir, server: g}
}

func (g *gateway) config(region, bucket string) S3Config {
	return S3Config{Account: Account{Region: region, Endpoint: g.url, CredentialsFile: g.login, CA: g.ca}, Bucket: bucket, Compatible: true}
}

func (g *gateway) open(c S3Config) *S3 {
	g.t.Helper()
	_, client := clientFor(g.t, policy.LocalStore, c.CA, c.Destinations()...)
	b, err := NewS3(c, client)
	check(g.t, err)
	g.t.Cleanup(func() { _ = b.Close() })
	return b
}

func (g *gateway) bucket(region, name string) S3Config {
	g.t.Helper()
	c := g.config(region, name)
	_, err := g.open(c).client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(name),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}})
	check(g.t, err)
	return c
}

// TestBlobConformance runs the suite of every blob store against a real S3 server.
func TestBlobConformance(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:1") // nobody reads them
	t.Setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:1")
	t.Setenv("AWS_REGION", "us-east-1")
	g := startGateway(t, "eu-west-1")
	var mu sync.Mutex
	buckets := map[string]S3Config{}
	storetest.RunBlobs(t, func(t *testing.T, dir string) store.Blobs {
		mu.Lock()
		defer mu.Unlock()
		c, ok := buckets[dir]
		if !ok {
			c = g.bucket("eu-west-1", fmt.Sprintf("media-%d", len(buckets)))
			buckets[dir] = c
		}
		b := g.open(c)
		if v, err := b.Verify(context.Background(), ""); v != nil || err != nil {
			t.Fatalf("verify: %+v, %v", v, err)
		}
		return b
	})
}

// A bucket of another region, and a store that does not encrypt as it was told,
// take nothing in.
func TestINV03_S3StoreThatBreaksTheRulesTakesNothing(t *testing.T) {
	ctx := context.Background()
	g := startGateway(t, "eu-west-1")
	right := g.bucket("eu-west-1", "media")
	wrong := right
	wrong.Region = "us-east-1" // as a configuration might have it
	b := g.open(wrong)
	if v, err := b.Verify(ctx, ""); v == nil && err == nil {
		t.Error("a bucket of another region passes")
	}
	if _, err := b.Create(ctx, "a", bytes.NewReader([]byte("x"))); err == nil {
		t.Error("a bucket of another region takes a blob")
	}
	strict := right
	strict.Compatible, strict.KMSKey = false, "arn:aws:kms:eu-west-1:111122223333:key/0a0a0a0a-1111-2222-3333-444455556666"
	b = g.open(strict)
	_, err := b.Create(ctx, "a", bytes.NewReader([]byte("x"))) // versitygw passes over SSE-KMS without a word
	if !isReason(err, policy.NotReady) || !strings.Contains(err.Error(), "ENCRYPTION") {
		t.Errorf("a store that passed over SSE-KMS: %v", err)
	}
	if _, err := g.open(right).Stat(ctx, "a"); !isReason(err, policy.NotFound) {
		t.Errorf("the blob that was not encrypted is left: %v", err)
	}
	if b.Healthy() == nil {
		t.Error("it calls itself healthy")
	}
	if _, err := b.Create(ctx, "b", bytes.NewReader([]byte("x"))); !isReason(err, policy.NotReady) {
		t.Errorf("it goes on: %v", err)
	}
}

// redirecting is a client that answers for a bucket as S3 does when it is elsewhere
// or copied; what Amazon answers cannot be had from a server here.
type redirecting struct{ answers map[string]http.HandlerFunc }

func (r redirecting) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	for part, answer := range r.answers {
		if _, ok := q.URL.Query()[part]; ok || part == q.Method {
			answer(w, q)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

func xml(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, `<?xml version="1.0"?>`+body)
	}
}

func TestS3VerifyFindsWhereTheBucketIs(t *testing.T) {
	ctx := context.Background()
	here := xml(`<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>`)
	alone := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>ReplicationConfigurationNotFoundError</Code></Error>`)
	}
	key := func(region string) http.HandlerFunc {
		return xml(`<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>arn:aws:kms:` + region + `:111122223333:key/abc</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`)
	}
	moved := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-amz-bucket-region", "us-west-2")
		w.Header().Set("Location", "https://127.0.0.1:1/")
		w.WriteHeader(http.StatusMovedPermanently)
	}
	for name, c := range map[string]struct {
		answers map[string]http.HandlerFunc
		want    Category
		cloud   string
	}{
		"right":           {map[string]http.HandlerFunc{"location": here, "replication": alone, "encryption": key("eu-west-1")}, "", "aws-eu-west-1"},
		"elsewhere":       {map[string]http.HandlerFunc{"location": xml(`<LocationConstraint>us-west-2</LocationConstraint>`), "replication": alone, "encryption": key("eu-west-1")}, Location, "aws-eu-west-1"},
		"in the classic":  {map[string]http.HandlerFunc{"location": xml(`<LocationConstraint/>`), "replication": alone, "encryption": key("eu-west-1")}, Location, "aws-eu-west-1"},
		"redirected":      {map[string]http.HandlerFunc{"location": moved, "replication": alone, "encryption": key("eu-west-1")}, Location, "aws-eu-west-1"},
		"head says so":    {map[string]http.HandlerFunc{"location": here, http.MethodHead: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("x-amz-bucket-region", "us-west-2") }, "replication": alone, "encryption": key("eu-west-1")}, Location, "aws-eu-west-1"},
		"replicated":      {map[string]http.HandlerFunc{"location": here, "replication": xml(`<ReplicationConfiguration><Role>r</Role><Rule><Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::other</Bucket></Destination></Rule></ReplicationConfiguration>`), "encryption": key("eu-west-1")}, Location, "aws-eu-west-1"},
		"not any more":    {map[string]http.HandlerFunc{"location": here, "replication": xml(`<ReplicationConfiguration><Role>r</Role><Rule><Status>Disabled</Status><Destination><Bucket>arn:aws:s3:::other</Bucket></Destination></Rule></ReplicationConfiguration>`), "encryption": key("eu-west-1")}, "", "aws-eu-west-1"},
		"key of another":  {map[string]http.HandlerFunc{"location": here, "replication": alone, "encryption": key("us-east-1")}, Encryption, "aws-eu-west-1"},
		"a PUT redirects": {map[string]http.HandlerFunc{"location": here, "replication": alone, "encryption": key("eu-west-1"), http.MethodPut: moved}, "", "aws-eu-west-1"},
		"region moved":    {map[string]http.HandlerFunc{"location": here, "replication": alone, "encryption": key("eu-west-1")}, Location, "aws-eu-central-1"},
	} {
		t.Run(name, func(t *testing.T) {
			server, ca, login := tlsServer(t, redirecting{c.answers})
			conf := S3Config{Account: Account{Region: "eu-west-1", Endpoint: server, CredentialsFile: login, CA: ca}, Bucket: "media",
				KMSKey: "arn:aws:kms:eu-west-1:111122223333:key/0a0a0a0a-1111-2222-3333-444455556666"}
			_, client := clientFor(t, policy.LocalStore, ca, conf.Destinations()...)
			b, err := NewS3(conf, client)
			check(t, err)
			v, err := b.Verify(ctx, c.cloud)
			check(t, err)
			if c.want == "" && v != nil || c.want != "" && (v == nil || v.Category != c.want || b.Healthy() == nil) {
				t.Errorf("found %+v, healthy: %v", v, b.Healthy())
			}
			if c.want == "" && c.answers[http.MethodPut] != nil {
				if _, err := b.Create(ctx, "a", bytes.NewReader([]byte("x"))); err == nil || b.Healthy() == nil {
					t.Errorf("a redirected PUT: %v, healthy: %v", err, b.Healthy())
				}
			}
		})
	}
}

func TestS3ConfigIsOfOneRegion(t *testing.T) {
	good := S3Config{Account: Account{Region: "eu-west-1", InstanceRole: true}, Bucket: "media", KMSKey: "arn:aws:kms:eu-west-1:111122223333:key/0a0a0a0a-1111-2222-3333-444455556666"}
	check(t, good.Check("media.s3"))
	for name, change := range map[string]func(*S3Config){
		"no region":            func(c *S3Config) { c.Region = "" },
		"no bucket":            func(c *S3Config) { c.Bucket = "" },
		"an access point":      func(c *S3Config) { c.Bucket = "arn:aws:s3:eu-west-1:111122223333:accesspoint/x" },
		"a multi-region one":   func(c *S3Config) { c.Bucket = "arn:aws:s3::111122223333:accesspoint/x.mrap" },
		"an alias":             func(c *S3Config) { c.Bucket = "x-s3alias" },
		"accelerate":           func(c *S3Config) { c.Endpoint = "https://s3-accelerate.amazonaws.com" },
		"global":               func(c *S3Config) { c.Endpoint = "https://x.accesspoint.s3-global.amazonaws.com" },
		"no key":               func(c *S3Config) { c.KMSKey = "" },
		"another region's key": func(c *S3Config) { c.KMSKey = strings.Replace(c.KMSKey, "eu-west-1", "us-east-1", 1) },
		"a multi-region key":   func(c *S3Config) { c.KMSKey = strings.Replace(c.KMSKey, "key/", "key/mrk-", 1) },
		"compatible without":   func(c *S3Config) { c.Compatible, c.KMSKey = true, "" },
		"in the clear":         func(c *S3Config) { c.Endpoint = "http://s3.eu-west-1.amazonaws.com" },
	} {
		c := good
		change(&c)
		if c.Check("media.s3") == nil {
			t.Errorf("%s passes", name)
		}
	}
}
