package dataplane

import (
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
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
	return c.S3.Check("media.s3")
}

// openBlobs opens the folder or the bucket of recordings. A bucket is asked where
// it is; if that cannot be asked now, or the answer is against the rules, the
// node starts all the same, because records need no bucket.
func (n *Node) openBlobs() (store.Blobs, error) {
	violations := n.violationsIn(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "domicile_media_violation",
		Help: "1 while the bucket of recordings is against the rules: then it takes nothing in."}, []string{"category"}))
	c := n.cfg.Media.S3
	if c == nil {
		if n.cfg.Media.Folder != "" {
			return local.OpenBlobs(n.cfg.Media.Folder)
		}
		return local.OpenBlobs(filepath.Join(n.cfg.DataDir, mediaDir))
	}
	blobs, err := openS3(*c, "media.s3", n.door, policy.LocalStore, n.region())
	if err != nil {
		return nil, err
	}
	n.watch(&bucket{node: n, s3: blobs, of: "recordings", violations: violations})
	return blobs, nil
}

// memory is how many bytes a recording on its way holds, at most: for a bucket,
// the parts that are sent at once and the one that is being filled.
func (c MediaConfig) memory() int64 {
	if c.S3 == nil {
		return 0 // frames
	}
	return 3 * aws.PartSize
}
