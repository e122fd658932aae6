package dataplane

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// subjectMedia shows erasures and archives of persons what calls have beside
// their records.
type subjectMedia struct{ node *Node }

// ask asks the gate. A person's archive is made also when the tenant itself may
// not look any more (04 §3), so that it processes rather than views.
func (m subjectMedia) ask(t policy.TenantID) media.Ask {
	return func(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
		if op == policy.View {
			op = policy.Process
		}
		return m.node.gate.Check(gate.Question{Tenant: t, Op: op, Class: class})
	}
}

// Any implements subject.Media.
func (m subjectMedia) Any(ctx context.Context, t policy.TenantID) (bool, error) {
	return m.node.media.Any(ctx, m.ask(t))
}

// Forget implements subject.Media.
func (m subjectMedia) Forget(ctx context.Context, t policy.TenantID, call string) (recordings, transcripts uint64, err error) {
	return m.node.media.ForgetCall(ctx, m.ask(t), call)
}

// mediaLine is a line of media.jsonl.
type mediaLine struct {
	ID        string    `json:"id"`
	Call      string    `json:"call_id"`
	Kind      string    `json:"kind"`
	File      string    `json:"file"`
	Bytes     int64     `json:"bytes,omitempty"`
	SHA256    string    `json:"sha256,omitempty"`
	Recording string    `json:"recording_id,omitempty"`
	Language  string    `json:"language,omitempty"`
	Millis    int64     `json:"duration_ms,omitempty"`
	Created   time.Time `json:"create_time"`
	Channels  int       `json:"channels,omitempty"`
}

// Each implements subject.Media.
func (m subjectMedia) Each(ctx context.Context, t policy.TenantID, call string, yield func(subject.Medium) error) error {
	ask := m.ask(t)
	for token := ""; ; {
		list, next, err := m.node.media.Recordings(ctx, ask, media.Query{Call: call, PageToken: token})
		if err != nil {
			return err
		}
		for _, r := range list {
			if err := yield(m.recording(ctx, ask, r)); err != nil {
				return err
			}
		}
		if token = next; token == "" {
			break
		}
	}
	for token := ""; ; {
		list, next, err := m.node.media.Transcripts(ctx, ask, media.Query{Call: call, PageToken: token})
		if err != nil {
			return err
		}
		for _, tr := range list {
			if err := yield(m.transcript(ctx, ask, tr)); err != nil {
				return err
			}
		}
		if token = next; token == "" {
			return nil
		}
	}
}

func (m subjectMedia) recording(ctx context.Context, ask media.Ask, r media.Recording) subject.Medium {
	name := "recordings/" + r.ID + "." + r.Format.Extension()
	return subject.Medium{Name: name, Kind: "recordings",
		Meta: mediaLine{ID: r.ID, Call: r.Call, Kind: "recording", File: name, Bytes: r.Size, SHA256: r.SHA256, Millis: r.Duration.Milliseconds(), Created: r.Created.UTC(), Channels: r.Channels},
		Open: func() (io.ReadCloser, error) {
			_, body, err := m.node.media.Open(ctx, ask, r.ID)
			return body, err
		}}
}

func (m subjectMedia) transcript(ctx context.Context, ask media.Ask, tr media.Transcript) subject.Medium {
	name := "transcripts/" + tr.ID + ".json"
	return subject.Medium{Name: name, Kind: "transcripts",
		Meta: mediaLine{ID: tr.ID, Call: tr.Call, Kind: "transcript", File: name, Created: tr.Created.UTC(), Recording: tr.Recording, Language: tr.Language},
		Open: func() (io.ReadCloser, error) {
			_, segments, err := m.node.media.Transcript(ctx, ask, tr.ID)
			if err != nil {
				return nil, err
			}
			raw, err := json.MarshalIndent(segments, "", "  ")
			return io.NopCloser(bytes.NewReader(raw)), err
		}}
}
