package cli

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// regionLog is what the audit commands need to look at a region's log instead
// of the control plane's.
type regionLog struct {
	name string // --region
	key  string // --log-key
}

// openRegion is region without a key, for what needs none.
func (a *app) openRegion(name string) (*client.Region, error) {
	if _, err := policy.ParseRegionID(name); err != nil {
		return nil, usagef("--region must be a region's id, such as ie1")
	}
	base, err := a.need(a.regionURL, fmt.Sprintf("DOMICILE_%s_URL", strings.ToUpper(name)), "--region-url")
	if err != nil {
		return nil, err
	}
	hc, err := a.http()
	if err != nil {
		return nil, err
	}
	return &client.Region{BaseURL: base, HTTP: hc}, nil
}

// ownRegion is region, which must be the one that is named.
func (a *app) ownRegion(name string) (*client.Region, error) {
	r, err := a.region()
	if err != nil {
		return nil, err
	}
	if at, _, _, err := policy.ParseKeyString(r.Key); err != nil || string(at) != name {
		return nil, usagef("the key is of region %s and --region says %s", at, name)
	}
	return r, nil
}

// trusted says by what a region's log's key is believed.
type trusted string

const (
	byPin       trusted = "pinned"      // --log-key
	byAuthority trusted = "certificate" // a node of the region certified it, whose certificate the cluster's authority signed
	byNobody    trusted = "nobody"
)

// opened is a checkpoint of a region's log that was checked.
type opened struct {
	verify.Checkpoint
	key   verify.Key
	trust trusted
}

// open checks a checkpoint of a region's log: its signature, that it is of that
// region, and its key, by the one that is pinned or by the node's certificate.
func (a *app) openLog(c data.Checkpoint, o regionLog, at time.Time) (out opened, err error) {
	if out.key, err = verify.ParseKey(c.Key); err != nil {
		return out, err
	}
	_, region, ok := verify.RegionOf(out.key)
	if !ok || o.name != "" && region != o.name {
		return out, &verify.Finding{Kind: verify.BadSignature, Why: "the checkpoint is not of the log of region " + o.name}
	}
	out.trust = byNobody
	if o.key != "" {
		pinned, err := verify.ParseKey(o.key)
		if err != nil {
			return out, err
		}
		if !pinned.Public.Equal(out.key.Public) {
			return out, &verify.Finding{Kind: verify.BadSignature, Why: "the log's key is not the one given with --log-key"}
		}
		out.trust = byPin
	} else if roots, err := a.authority(); err != nil {
		return out, err
	} else if roots != nil {
		signature, err := base64.StdEncoding.DecodeString(c.Certificate)
		if err != nil {
			return out, &verify.Finding{Kind: verify.BadSignature, Why: "the certificate of the log's key is not base64"}
		}
		if err := verify.CertifiedByNode(out.key, signature, []byte(c.NodeCertificate), roots, at); err != nil {
			return out, err
		}
		out.trust = byAuthority
	}
	out.Checkpoint, err = verify.Open([]byte(c.Note), out.key)
	return out, err
}

// authority is what --ca names; nil when nothing does.
func (a *app) authority() (*x509.CertPool, error) {
	path, err := a.setting(a.ca, "DOMICILE_CA")
	if err != nil || path == "" {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(raw) {
		return nil, usagef("%s is no PEM file of certificates: correct --ca or DOMICILE_CA", path)
	}
	return roots, nil
}

// sayLogKey says by what the key of a region's log is believed.
func (a *app) sayLogKey(o opened) {
	switch o.trust {
	case byPin:
		a.out.Check("the log's key is the one given")
	case byAuthority:
		a.out.Check("the log's key is certified by a node of the region, whose certificate the cluster's authority signed")
	default:
		a.out.Note("the log's key came with the checkpoint and was not checked: give --log-key, or --ca of the cluster's authority")
	}
	a.out.Fields([2]string{"log", screen.Clean(o.Origin)}, [2]string{"records", number(o.Size)}, [2]string{"root", hex.EncodeToString(o.Root[:])}, [2]string{"key", screen.Clean(o.key.String())})
}

func (a *app) regionCheckpoint(ctx context.Context, o regionLog) error {
	r, err := a.openRegion(o.name)
	if err != nil {
		return err
	}
	c, err := r.LogCheckpoint(ctx)
	if err != nil {
		return err
	}
	at, err := a.openLog(c, o, time.Now())
	if err != nil {
		return a.finding(err)
	}
	return a.plain(c, func() { a.sayLogKey(at) })
}

// eachOwnLeaf reads the tenant's leaves from an index on, at most count (0: all).
func eachOwnLeaf(ctx context.Context, r *client.Region, start, count uint64, take func(data.LogLeaf) error) error {
	for left := count; ; {
		size := auditPage
		if count > 0 {
			size = int(min(left, auditPage))
		}
		page, err := r.LogLeaves(ctx, start, size)
		if err != nil {
			return err
		}
		for _, l := range page.Leaves {
			if err := take(l); err != nil {
				return err
			}
		}
		left -= min(left, uint64(len(page.Leaves)))
		if start = page.NextStart; start == 0 || count > 0 && left == 0 {
			return nil
		}
	}
}

func (a *app) regionList(ctx context.Context, o regionLog, start, count uint64) error {
	r, err := a.ownRegion(o.name)
	if err != nil {
		return err
	}
	out := data.LogLeaves{Leaves: []data.LogLeaf{}}
	if err := eachOwnLeaf(ctx, r, start, count, func(l data.LogLeaf) error { out.Leaves = append(out.Leaves, l); return nil }); err != nil {
		return err
	}
	c, err := r.LogCheckpoint(ctx)
	if err != nil {
		return err
	}
	at, err := a.openLog(c, o, time.Now())
	if err != nil {
		return a.finding(err)
	}
	out.Checkpoint, out.Size = &c, at.Size
	return a.plain(out, func() { a.showOwnLeaves(out.Leaves) })
}

func (a *app) showOwnLeaves(leaves []data.LogLeaf) {
	if a.none(len(leaves), "records", "the region's log says nothing of this tenant from --start on") {
		return
	}
	rows := make([][]string, 0, len(leaves))
	for _, l := range leaves {
		leaf, err := verify.ParseLeaf([]byte(l.Leaf))
		if err != nil {
			rows = append(rows, []string{number(l.Index), "?", "not readable: run domicile audit verify", "", ""})
			continue
		}
		rows = append(rows, []string{number(leaf.Index), when(leaf.Time), leaf.Action, leaf.Resource, screen.Clean(told(l.Detail))})
	}
	a.out.Table([]string{"INDEX", "TIME", "ACTION", "RESOURCE", "TELLS"}, rows)
}

// told is a leaf's detail without what every one has.
func told(detail string) string {
	var m map[string]any
	if json.Unmarshal([]byte(detail), &m) != nil {
		return "?"
	}
	delete(m, "salt")
	delete(m, "tenant")
	delete(m, "root")
	raw, err := json.Marshal(m)
	if err != nil || len(m) == 0 {
		return "-"
	}
	return string(raw)
}

func (a *app) regionProve(ctx context.Context, o regionLog, index uint64) error {
	r, err := a.ownRegion(o.name)
	if err != nil {
		return err
	}
	p, err := r.LogProof(ctx, index)
	if err != nil {
		return err
	}
	at, err := a.openLog(p.Checkpoint, o, time.Now())
	if err == nil {
		err = checkOwnLeaf(at.Checkpoint, index, p.LogLeaf, p.Hashes)
	}
	if err != nil {
		return a.finding(err)
	}
	return a.plain(p, func() {
		a.showOwnLeaves([]data.LogLeaf{p.LogLeaf})
		a.out.Check("the record is number %d of the %d that the checkpoint covers; %d hashes prove it", index, at.Size, len(p.Hashes))
		a.sayLogKey(at)
	})
}

// checkOwnLeaf checks a proof, and that the leaf commits to the detail shown.
func checkOwnLeaf(at verify.Checkpoint, index uint64, l data.LogLeaf, hashes []string) error {
	if err := checkProof(at, index, l.Leaf, hashes); err != nil {
		return err
	}
	leaf, err := verify.ParseLeaf([]byte(l.Leaf))
	if sum := sha256.Sum256([]byte(l.Detail)); err == nil && leaf.Command != hex.EncodeToString(sum[:]) {
		err = &verify.Finding{Kind: verify.Altered, Index: index, Why: "what is shown beside the record is not what it commits to"}
	}
	return err
}
