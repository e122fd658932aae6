package cli

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
)

// young answers as a control plane whose leader is new does: it has heard of cp2
// only when it is asked for members the third time.
func young(t *testing.T, never bool) *httptest.Server {
	t.Helper()
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer proto.Message = &controlv1.ListRegionsResponse{} // and of the other lists: none
		switch r.URL.Path {
		case "/v1/status":
			answer = &controlv1.ClusterStatus{Leader: "cp1", Voters: []*controlv1.Voter{{Id: "cp1"}, {Id: "cp2"}}}
		case "/v1/members":
			other := &controlv1.Member{Name: "cp2", Suffrage: "voter", Health: "unknown", JudgedInSeconds: 3}
			if asked.Add(1) >= 3 && !never {
				other.Health, other.JudgedInSeconds = "ok", 0
			}
			answer = &controlv1.ListMembersResponse{Members: []*controlv1.Member{{Name: "cp1", Suffrage: "voter", Leader: true, Health: "ok"}, other}}
		}
		raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(answer)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(raw)
	}))
	t.Cleanup(s.Close)
	return s
}

// Status says "nothing is wrong" of members that were heard, and of no others.
func TestStatusOfANewLeaderLooksAgain(t *testing.T) {
	var out, errs bytes.Buffer
	a := &app{out: screen.New(&out), err: screen.New(&errs)}
	h, err := a.known(context.Background(), &client.Control{BaseURL: young(t, false).URL})
	if err != nil {
		t.Fatal(err)
	}
	if a.showHealth(h); !h.Healthy && len(h.Findings) == 0 || h.Unheard > 0 || strings.Contains(out.String(), "not heard yet") {
		t.Errorf("once it was heard: %+v\n%s", h, out.String())
	}
	if n := strings.Count(errs.String(), "looks again, for 3 s at most"); n != 2 {
		t.Errorf("it looked again %d times:\n%s", n, errs.String())
	}

	out.Reset()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a.err = screen.New(stopper(cancel)) // as soon as it says that it looks again
	if h, err = a.known(ctx, &client.Control{BaseURL: young(t, true).URL}); err != nil {
		t.Fatal(err)
	}
	if a.showHealth(h); h.Healthy || strings.Contains(out.String(), "nothing is wrong") || !strings.Contains(out.String(), "member cp2 was not heard yet") {
		t.Errorf("before it was heard: %+v\n%s", h, out.String())
	}
}

// stopper ends a wait as soon as anything is said.
type stopper context.CancelFunc

func (s stopper) Write(p []byte) (int, error) {
	s()
	return len(p), nil
}
