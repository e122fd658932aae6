package dataplane

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// categories of what may be wrong with a bucket.
var categories = []aws.Category{aws.Location, aws.Encryption}

// verifyTimeout bounds the questions to a bucket.
const verifyTimeout = 30 * time.Second

// openS3 declares where a bucket is and makes its client. Every connection is one of
// the door's, of the class that says what the bucket is for.
func openS3(c aws.S3Config, section string, door *egress.Door, class policy.EgressClass, region policy.RegionID) (*aws.S3, error) {
	for _, d := range c.Destinations() {
		if err := door.Allow(class, egress.HostPort(d)); err != nil {
			return nil, err
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		roots, err := mtls.LoadRoots(c.CA)
		if err != nil {
			return nil, fmt.Errorf("read %s.ca: %w", section, err)
		}
		config.RootCAs = roots
	}
	client, err := door.HTTP(egress.Route{Class: class, Region: region}, config)
	if err != nil {
		return nil, err
	}
	return aws.NewS3(c, client)
}

// bucket is one of the region's buckets under watch.
type bucket struct {
	node       *Node
	s3         *aws.S3
	of         string // what is in it
	violations *prometheus.GaugeVec

	mu    sync.Mutex
	found *aws.Violation // by the latest question that was answered
}

// violationsIn begins a gauge of what is against the rules: nothing yet.
func (n *Node) violationsIn(v *prometheus.GaugeVec) *prometheus.GaugeVec {
	n.registry.MustRegister(v)
	for _, c := range categories {
		v.WithLabelValues(string(c)).Set(0)
	}
	return v
}

// watch asks a bucket where it is, now and then hourly.
func (n *Node) watch(b *bucket) {
	n.buckets = append(n.buckets, b)
	_ = b.verify(context.Background())
}

// verify asks where the bucket is, and tells what is against the rules. An error says
// that it could not be asked, or what is against them.
func (b *bucket) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	cloud := ""
	if b.node.feed != nil {
		if view := b.node.feed.Current(); view != nil {
			if r, ok := view.Topology.Region(b.node.region()); ok {
				cloud = r.Cloud
			}
		}
	}
	v, err := b.s3.Verify(ctx, cloud)
	if err != nil {
		b.node.log.Warn("a bucket cannot be asked where it is; it is asked again", "of", b.of, "cause", err)
		return err
	}
	b.mu.Lock()
	b.found = v
	b.mu.Unlock()
	for _, cause := range aws.Causes {
		b.node.found.set(string(cause), b.node.anyBucket(cause))
	}
	for _, c := range categories {
		value := 0.0
		if v != nil && v.Category == c {
			value = 1
			b.node.log.Error("a bucket is against the rules; nothing more is taken in", "of", b.of, "category", string(c), "problem", v.Problem)
		}
		b.violations.WithLabelValues(string(c)).Set(value)
	}
	return b.s3.Healthy()
}

// anyBucket reports whether a rule is broken by any of the region's buckets.
func (n *Node) anyBucket(cause aws.Cause) bool {
	for _, b := range n.buckets {
		b.mu.Lock()
		holds := b.found != nil && b.found.Cause == cause
		b.mu.Unlock()
		if holds {
			return true
		}
	}
	return false
}
