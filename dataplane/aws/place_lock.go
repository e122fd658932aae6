package aws

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/domicile-io/domicile/dataplane/backup"
)

// Whoever changes a repository in a bucket leaves a mark, working/<owner>-<word>,
// and renews it. Then it looks at the marks of others: both do, so that of two who
// begin at once at least one sees the other. Ages are differences of the bucket's
// own times; nobody's clock counts.
const (
	marks      = "working"
	markEvery  = time.Minute
	markStale  = 10 * time.Minute
	markGiven  = markStale / 2 // without a renewal for so long, whoever has it stops
	markRemove = 10 * time.Second
)

// kept is nil while the lock is held as far as anybody knows, or was never taken.
func (p *Place) kept() error {
	if p.lost.Load() {
		return fmt.Errorf("the mark in the bucket could not be renewed for %s, so that another node may work on it", markGiven)
	}
	return nil
}

// Lock implements backup.Place. Who only reads needs none: what is removed under
// it is missing, and it says so.
func (p *Place) Lock(ctx context.Context, use backup.Use) (func() error, error) {
	if use == backup.Read {
		return nil, nil
	}
	name := marks + "/" + p.o.Owner + "-" + rand.Text()
	if err := p.Replace(ctx, name, nil); err != nil {
		return nil, err
	}
	remove := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), markRemove)
		defer cancel()
		return p.b.remove(ctx, name)
	}
	if err := p.alone(ctx, name); err != nil {
		return nil, errors.Join(err, remove())
	}
	p.lost.Store(false)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		p.renew(name, stop)
	}()
	return sync.OnceValue(func() error {
		close(stop)
		<-ended
		return remove()
	}), nil
}

// alone refuses while somebody else's mark is fresh, and removes what is stale.
func (p *Place) alone(ctx context.Context, name string) error {
	var mine time.Time
	var others []types.Object
	err := p.each(ctx, marks+"/", func(o types.Object) error {
		if aws.ToString(o.Key) == name {
			mine = aws.ToTime(o.LastModified)
		} else {
			others = append(others, o)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if mine.IsZero() {
		return errors.New("the bucket does not list what was just written to it: it is no store for backups")
	}
	for _, o := range others {
		at := aws.ToTime(o.LastModified)
		if !strings.HasPrefix(aws.ToString(o.Key), marks+"/"+p.o.Owner+"-") && mine.Sub(at) < markStale {
			return fmt.Errorf("another node works on it, or was killed at it %s ago: try again later, at most %s after it has ended", mine.Sub(at).Round(time.Second), markStale)
		}
		if err := p.b.remove(ctx, aws.ToString(o.Key)); err != nil {
			return err
		}
	}
	return nil
}

// renew keeps a mark fresh.
func (p *Place) renew(name string, stop <-chan struct{}) {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			ctx, cancel := context.WithTimeout(context.Background(), markEvery)
			asked := time.Now()
			if p.Replace(ctx, name, nil) == nil {
				renewed = asked
			}
			cancel()
			p.lost.Store(time.Since(renewed) > markGiven)
		}
	}
}
