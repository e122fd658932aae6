package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/policy"
)

// PlaceOptions of a place in a bucket. Bucket and Owner are required.
type PlaceOptions struct {
	Bucket *S3    // of the repository alone
	Owner  string // random, of the data_dir: its earlier marks are removed at once
	Spool  string // folder of what is on its way, sealed, without a name; "": the system's

	// Verify holds the bucket against the rules before each use; nil: Bucket.Verify.
	Verify func(ctx context.Context) error
}

// Place is a bucket as the place of a region's backups. A file appears with one
// request, or with the last of several, and with If-None-Match: it is whole, or
// there is none. It is locked once at a time.
type Place struct {
	o    PlaceOptions
	b    *S3
	lost atomic.Bool // the lock could not be renewed: somebody else may have it
}

var _ backup.Place = (*Place)(nil)

// NewPlace makes the place; it asks nobody yet.
func NewPlace(o PlaceOptions) *Place {
	if o.Verify == nil {
		o.Verify = func(ctx context.Context) error {
			v, err := o.Bucket.Verify(ctx, "")
			if v != nil {
				err = v.err()
			}
			return err
		}
	}
	return &Place{o: o, b: o.Bucket}
}

func (p *Place) String() string { return "bucket " + p.b.c.Bucket }

// Ready implements backup.Place.
func (p *Place) Ready(ctx context.Context) error { return p.o.Verify(ctx) }

// Tops implements backup.Place.
func (p *Place) Tops(ctx context.Context) (names []string, err error) {
	in := &s3.ListObjectsV2Input{Bucket: aws.String(p.b.c.Bucket), Delimiter: aws.String("/")}
	for {
		out, err := p.b.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, p.b.explain(err)
		}
		for _, f := range out.CommonPrefixes {
			if name := strings.TrimSuffix(aws.ToString(f.Prefix), "/"); name != marks {
				names = append(names, name)
			}
		}
		for _, o := range out.Contents {
			names = append(names, aws.ToString(o.Key))
		}
		if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
			return names, nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

// Lay implements backup.Place: a bucket has no folders.
func (p *Place) Lay(context.Context) error { return nil }

// spooled is a file on its way: on a disk of the node, because its name is the hash
// of its bytes and an object's name cannot be changed.
type spooled struct {
	p *Place
	f *os.File
}

// Stage implements backup.Place. A crash leaves nothing: the spool has no name.
func (p *Place) Stage(context.Context, backup.StageKind) (backup.Staged, error) {
	if err := errors.Join(p.b.Healthy(), p.kept()); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(p.o.Spool, "backup-*.tmp")
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		return nil, fmt.Errorf("make room for what is sent to the bucket: %w", err)
	}
	return &spooled{p, f}, nil
}

func (s *spooled) Write(b []byte) (int, error) { return s.f.Write(b) }

// Discard implements backup.Staged.
func (s *spooled) Discard() { _ = s.f.Close() }

// Settle implements backup.Staged.
func (s *spooled) Settle(ctx context.Context, name string) error {
	defer s.f.Close()
	_, err := s.f.Seek(0, io.SeekStart)
	if err := errors.Join(err, s.p.kept()); err != nil {
		return err
	}
	_, err = s.p.b.create(ctx, name, s.f)
	switch {
	case errors.Is(err, &policy.Error{Reason: policy.AlreadyExists}):
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	case err != nil:
		return fmt.Errorf("%w: %w", backup.ErrUnknown, err)
	}
	return nil
}

// Replace implements backup.Place: S3 replaces an object whole.
func (p *Place) Replace(ctx context.Context, name string, data []byte) error {
	if err := p.b.Healthy(); err != nil {
		return err
	}
	in := &s3.PutObjectInput{Bucket: aws.String(p.b.c.Bucket), Key: aws.String(name), Body: bytes.NewReader(data), ContentType: aws.String("application/octet-stream")}
	if !p.b.c.Compatible {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, aws.String(p.b.c.KMSKey)
	}
	out, err := p.b.client.PutObject(ctx, in)
	if err != nil {
		return p.b.explain(err)
	}
	return p.b.echoed(ctx, name, encryption{kind: string(out.ServerSideEncryption), key: aws.ToString(out.SSEKMSKeyId)})
}

// Open implements backup.Place.
func (p *Place) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	in, err := p.b.open(ctx, name, 0, -1)
	if errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return in, err
}

// List implements backup.Place.
func (p *Place) List(ctx context.Context, folder string, visit func(backup.Entry) error) error {
	return p.each(ctx, folder+"/", func(o types.Object) error {
		return visit(backup.Entry{Name: aws.ToString(o.Key), Size: aws.ToInt64(o.Size)})
	})
}

func (p *Place) each(ctx context.Context, prefix string, visit func(types.Object) error) error {
	in := &s3.ListObjectsV2Input{Bucket: aws.String(p.b.c.Bucket), Prefix: aws.String(prefix)}
	for {
		out, err := p.b.client.ListObjectsV2(ctx, in)
		if err != nil {
			return p.b.explain(err)
		}
		for _, o := range out.Contents {
			if err := visit(o); err != nil {
				return err
			}
		}
		if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
			return nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

// Remove implements backup.Place.
func (p *Place) Remove(ctx context.Context, name string) error {
	if err := p.kept(); err != nil {
		return err
	}
	return p.b.remove(ctx, name)
}

// Sync implements backup.Place: what S3 has answered is durable.
func (p *Place) Sync() error { return nil }

// uploadStaged is how old an upload in parts must be before it is taken for a crash's.
const uploadStaged = 24 * time.Hour

// Leftovers implements backup.Place: parts of uploads that were never ended.
func (p *Place) Leftovers(ctx context.Context, now time.Time) (out []backup.Leftover, err error) {
	in := &s3.ListMultipartUploadsInput{Bucket: aws.String(p.b.c.Bucket)}
	for {
		page, err := p.b.client.ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, p.b.explain(err)
		}
		for _, u := range page.Uploads {
			if now.Sub(aws.ToTime(u.Initiated)) < uploadStaged {
				continue
			}
			out = append(out, backup.Leftover{Clear: func(ctx context.Context) error {
				_, err := p.b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: in.Bucket, Key: u.Key, UploadId: u.UploadId})
				return p.b.explain(err)
			}})
		}
		if !aws.ToBool(page.IsTruncated) {
			return out, nil
		}
		in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
}
