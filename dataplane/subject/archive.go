package subject

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Format is what a manifest says of itself.
const Format = "domicile subject export 1"

const schema = "calls.jsonl: one call a line, as the subject took part in it (SubjectCall); the other party's number is masked. " +
	"recordings/ and transcripts/: what was recorded of those calls, as it was taken in, with a line each in media.jsonl. manifest.json: this, with the SHA-256 of every other part."

// Medium is one recording or transcript on its way into an archive. Open gives
// its bytes; the caller closes them.
type Medium struct {
	Name string // "recordings/RE….wav"
	Kind string // "recordings" or "transcripts"
	Meta any    // a line of media.jsonl
	Open func() (io.ReadCloser, error)
}

// Export writes everything that is attributed to a person as a zip: calls as
// JSON lines, recordings and transcripts as files, and last a manifest. It
// streams, so that its size is bounded by nothing here; after an error the
// archive is incomplete and has no manifest.
func (s *Service) Export(ctx context.Context, t policy.TenantID, w Who, withoutMedia bool, out io.Writer) error {
	if err := s.audited(ctx); err != nil {
		return err
	}
	if _, err := s.permit(t, policy.Erase, policy.CallRecord); err != nil { // both rights hold, and fail, together (04 §3)
		return err
	}
	permit, err := s.permit(t, policy.Process, policy.CallRecord)
	if err != nil {
		return err
	}
	owners, err := s.owners(ctx, t, w)
	if err != nil {
		return err
	}
	owners = slices.DeleteFunc(owners, func(o store.Owner) bool { return len(o.Subjects()) == 0 })
	if err := one(owners, w); err != nil {
		return err
	}
	if len(owners) == 0 {
		return policy.Errorf(policy.NotFound, "nothing is kept of this number; quarantined payloads cannot be attributed to anybody, see GET /v1/quarantine")
	}
	if err := s.tellOfExport(ctx, t, owners, withoutMedia); err != nil {
		return err
	}
	a := &archive{zip: zip.NewWriter(out), now: s.now().UTC(), manifest: data.Manifest{Format: Format, Tenant: string(t), Region: string(s.o.Region),
		Created: s.now().UTC(), Owners: OwnerForms(owners), Schema: schema, Counts: map[string]int{"calls": 0}}}
	if err := s.writeCalls(ctx, permit, a, owners); err != nil {
		return err
	}
	if s.o.Media != nil && !withoutMedia {
		if err := s.writeMedia(ctx, permit, t, a, owners); err != nil {
			return err
		}
	}
	return a.close()
}

func (s *Service) writeCalls(ctx context.Context, permit policy.Permit, a *archive, owners []store.Owner) error {
	p, err := a.part("calls.jsonl", zip.Deflate)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p)
	err = s.eachOf(ctx, permit, owners, func(c store.Call, is func(record.Party) bool) error {
		a.manifest.Counts["calls"]++
		return enc.Encode(s.callForm(&c, is))
	})
	if err != nil {
		return fmt.Errorf("export calls: %w", err)
	}
	a.end(p)
	return nil
}

// eachOf visits the calls of owners once each.
func (s *Service) eachOf(ctx context.Context, permit policy.Permit, owners []store.Owner, visit func(store.Call, func(record.Party) bool) error) error {
	ids := map[string]bool{}
	for _, o := range owners {
		for _, id := range o.Subjects() {
			ids[id] = true
		}
	}
	seen := map[string]bool{}
	for _, o := range owners {
		err := s.each(ctx, permit, o, func(c store.Call) error {
			if len(owners) > 1 {
				if seen[c.ID] {
					return nil
				}
				seen[c.ID] = true
			}
			return visit(c, func(p record.Party) bool { return ids[p.Subject] })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// callForm shows a call to one of its parties. What the source wrote of the
// other, and the native payload, in which both stand, are left out.
func (s *Service) callForm(c *store.Call, is func(record.Party) bool) data.SubjectCall {
	r := &c.Record
	f := data.SubjectCall{ID: c.ID, Role: "earlier version", Direction: string(r.Direction), Status: string(r.Status),
		Start: known(r.Start), Ring: known(r.Ring), Answer: known(r.Answer), End: known(r.End),
		DurationMS: r.Duration.Milliseconds(), BillsecMS: r.Billsec.Milliseconds(), ConsentRef: r.ConsentRef,
		Source: string(r.Key.Source), Versions: c.Versions, Listed: c.ListedAt.UTC(), Ingested: c.IngestedAt.UTC()}
	own, other := r.To, r.From
	switch from, to := is(r.From), is(r.To); {
	case from && to:
		f.Role, own, other = "both", r.From, record.Party{}
	case from:
		f.Role, own, other = "caller", r.From, r.To
	case to:
		f.Role = "callee"
	default:
		own, other = record.Party{}, record.Party{}
	}
	f.Number, f.Raw = own.E164, own.Raw
	f.Other, f.OtherCC = s.masked(other), other.Country
	if f.Role == "caller" || f.Role == "both" {
		f.Name = r.CallerName
		if r.STIR != (record.STIR{}) {
			f.STIR = &data.STIR{Attest: r.STIR.Attest, OrigID: r.STIR.OrigID, Verstat: r.STIR.Verstat, SPC: r.STIR.SPC}
		}
	}
	return f
}

func (s *Service) masked(p record.Party) string {
	code := ""
	if p.E164 != "" {
		code = s.o.CallingCode(p.E164)
	}
	return mask(p.E164, code, p.Raw)
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (s *Service) writeMedia(ctx context.Context, permit policy.Permit, t policy.TenantID, a *archive, owners []store.Owner) error {
	var lines []any
	err := s.eachOf(ctx, permit, owners, func(c store.Call, _ func(record.Party) bool) error {
		return s.o.Media.Each(ctx, t, c.ID, func(m Medium) error {
			p, err := a.part(m.Name, zip.Store) // compressed or sealed already
			if err != nil {
				return err
			}
			body, err := m.Open()
			if err != nil {
				return err
			}
			_, err = io.Copy(p, body)
			if closeErr := body.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				return err
			}
			a.manifest.Counts[m.Kind]++
			lines = append(lines, m.Meta)
			a.end(p)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("export media: %w", err)
	}
	p, err := a.part("media.jsonl", zip.Deflate)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	a.end(p)
	return nil
}

// archive is a zip being written, and what its manifest will say.
type archive struct {
	zip      *zip.Writer
	now      time.Time
	manifest data.Manifest
}

// part is one file of the archive; what is written is hashed.
type part struct {
	io.Writer
	name string
	sum  hash.Hash
	n    int64
}

func (p *part) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	p.sum.Write(b[:n])
	p.n += int64(n)
	return n, err
}

func (a *archive) part(name string, method uint16) (*part, error) {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: a.now})
	if err != nil {
		return nil, err
	}
	return &part{Writer: w, name: name, sum: sha256.New()}, nil
}

func (a *archive) end(p *part) {
	a.manifest.Parts = append(a.manifest.Parts, data.ManifestPart{Name: p.name, Bytes: p.n, SHA256: hex.EncodeToString(p.sum.Sum(nil))})
}

// close writes the manifest: an archive that has none is not whole.
func (a *archive) close() error {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: "manifest.json", Method: zip.Deflate, Modified: a.now})
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(a.manifest); err != nil {
		return err
	}
	return a.zip.Close()
}
