package dataplane

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// MediaConfig is the section `media` of a node's configuration: where recordings
// are. Without it they are in the folder media of data_dir.
type MediaConfig struct {
	S3     *aws.S3Config `yaml:"s3"`     // one bucket of the region
	Folder string        `yaml:"folder"` // with store.kind sql: a folder that every node of the region shares
}

// Check names every setting that is malformed.
func (c MediaConfig) Check() error {
	if c.S3 == nil {
		return nil
	}
	return c.S3.Check()
}

// categories of what may be wrong with a bucket.
var categories = []aws.Category{aws.Location, aws.Encryption}

// verifyTimeout bounds the questions to a bucket.
const verifyTimeout = 30 * time.Second

// openBlobs opens the folder or the bucket of recordings. A bucket is asked where
// it is; if that cannot be asked now, or the answer is against the rules, the
// node starts all the same, because records need no bucket.
func (n *Node) openBlobs() (store.Blobs, error) {
	violations := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "domicile_media_violation",
		Help: "1 while the bucket of recordings is against the rules: then it takes nothing in."}, []string{"category"})
	n.registry.MustRegister(violations)
	for _, c := range categories {
		violations.WithLabelValues(string(c)).Set(0)
	}
	c := n.cfg.Media.S3
	if c == nil {
		if n.cfg.Media.Folder != "" {
			return local.OpenBlobs(n.cfg.Media.Folder)
		}
		return local.OpenBlobs(filepath.Join(n.cfg.DataDir, mediaDir))
	}
	for _, d := range c.Destinations() {
		if err := n.door.Allow(policy.LocalStore, egress.HostPort(d)); err != nil {
			return nil, err
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		roots, err := mtls.LoadRoots(c.CA)
		if err != nil {
			return nil, fmt.Errorf("read media.s3.ca: %w", err)
		}
		config.RootCAs = roots
	}
	client, err := n.door.HTTP(egress.Route{Class: policy.LocalStore, Region: n.region()}, config)
	if err != nil {
		return nil, err
	}
	blobs, err := aws.NewS3(*c, client)
	if err != nil {
		return nil, err
	}
	n.bucket = &bucket{node: n, s3: blobs, violations: violations}
	n.bucket.verify(context.Background())
	return blobs, nil
}

// bucket is the region's bucket under watch.
type bucket struct {
	node       *Node
	s3         *aws.S3
	violations *prometheus.GaugeVec
}

// verify asks where the bucket is, at the start and hourly.
func (b *bucket) verify(ctx context.Context) {
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
		b.node.log.Warn("the bucket of recordings cannot be asked where it is; it is asked again", "cause", err)
		return
	}
	for _, cause := range aws.Causes {
		b.node.found.set(string(cause), v != nil && v.Cause == cause)
	}
	for _, c := range categories {
		value := 0.0
		if v != nil && v.Category == c {
			value = 1
			b.node.log.Error("the bucket of recordings is against the rules; nothing more is taken in", "category", string(c), "problem", v.Problem)
		}
		b.violations.WithLabelValues(string(c)).Set(value)
	}
}

// memory is how many bytes a recording on its way holds, at most: for a bucket,
// the parts that are sent at once and the one that is being filled.
func (c MediaConfig) memory() int64 {
	if c.S3 == nil {
		return 0 // frames
	}
	return 3 * aws.PartSize
}
