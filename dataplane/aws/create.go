package aws

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// creatorKey names the metadata by which a creation knows its own blob again.
const creatorKey = "domicile-creator"

// creation is one attempt to create one blob. S3 says neither whether a request
// whose answer was lost was done, nor whether the object that forbids a repeated
// one is that request's own: the creator, a random word, says so.
type creation struct {
	name    string
	creator string
	source  counted
}

// Create implements store.Blobs. An answer that was lost is asked for again, so
// that a blob which is there is never reported as missing or as another's.
func (b *S3) Create(ctx context.Context, name string, r io.Reader) (store.BlobInfo, error) {
	if err := store.CheckBlobName(name); err != nil {
		return store.BlobInfo{}, err
	}
	n, err := b.create(ctx, name, r)
	if err != nil {
		return store.BlobInfo{}, err
	}
	return store.BlobInfo{Name: name, Size: n}, nil
}

// create is Create for any name; it answers the size.
func (b *S3) create(ctx context.Context, name string, r io.Reader) (int64, error) {
	if err := b.Healthy(); err != nil {
		return 0, err
	}
	c := &creation{name: name, creator: rand.Text(), source: counted{r: r}}
	echo, err := b.put(ctx, c)
	if err != nil {
		if echo, err = b.outcome(ctx, c, err); err != nil {
			return 0, err
		}
	}
	return c.source.n, b.echoed(ctx, name, echo)
}

// echoed holds what the store says of an object against what was demanded.
func (b *S3) echoed(ctx context.Context, name string, echo encryption) error {
	if b.c.Compatible || echo == b.demand() {
		return nil
	}
	v := b.violates(Encryption, BucketKey, "the store did not encrypt a blob under the KMS key that was demanded; nothing more is taken in")
	return errors.Join(v.err(), b.remove(context.WithoutCancel(ctx), name))
}

// encryption is what a store says of a blob's encryption.
type encryption struct{ kind, key string }

// demand is the encryption that a blob in Amazon's store must have.
func (b *S3) demand() encryption {
	return encryption{kind: string(types.ServerSideEncryptionAwsKms), key: b.c.KMSKey}
}

// put sends the blob, in parts if it is long.
func (b *S3) put(ctx context.Context, c *creation) (encryption, error) {
	in := &transfermanager.UploadObjectInput{Bucket: aws.String(b.c.Bucket), Key: aws.String(c.name), Body: &c.source, IfNoneMatch: aws.String("*"),
		ContentType: aws.String("application/octet-stream"), Metadata: map[string]string{creatorKey: c.creator}}
	if !b.c.Compatible {
		in.ServerSideEncryption, in.SSEKMSKeyID = tmtypes.ServerSideEncryptionAwsKms, aws.String(b.c.KMSKey)
	}
	out, err := b.upload.UploadObject(ctx, in)
	if err != nil {
		return encryption{}, err
	}
	return encryption{kind: string(out.ServerSideEncryption), key: aws.ToString(out.SSEKMSKeyID)}, nil
}

// outcome asks what became of a creation that failed with err: a store that refuses
// before it has read everything resets the connection, which looks like an
// outage, and one whose answer was lost refuses the repetition as a second blob.
func (b *S3) outcome(ctx context.Context, c *creation, err error) (encryption, error) {
	if c.source.err != nil {
		return encryption{}, c.source.err
	}
	why := b.explain(err)
	if !errors.Is(why, store.ErrBlobExists()) && !errors.Is(why, &policy.Error{Reason: policy.NotReady}) {
		return encryption{}, why
	}
	there, asked := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(b.c.Bucket), Key: aws.String(c.name)})
	switch {
	case asked != nil:
		return encryption{}, why
	case there.Metadata[creatorKey] != c.creator:
		return encryption{}, store.ErrBlobExists()
	case aws.ToInt64(there.ContentLength) != c.source.n:
		return encryption{}, fmt.Errorf("the region's blob store keeps %d bytes of a blob of %d: %w", aws.ToInt64(there.ContentLength), c.source.n, why)
	}
	return encryption{kind: string(there.ServerSideEncryption), key: aws.ToString(there.SSEKMSKeyId)}, nil
}

// counted counts what a source yields, and tells its errors from the network's.
type counted struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
