package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
)

// Whoever revokes a basis reads whether anything may still leave, from where, and
// until when: nothing is called everywhere that is not.
func TestARevocationIsSaidAsFarAsItHasCome(t *testing.T) {
	end := timestamppb.New(time.Date(2026, 11, 29, 13, 24, 10, 0, time.UTC))
	node := []*controlv1.UnheardNode{{Node: "ND00000000000000000000000000000077", Region: "us1"}}
	const all, until, next = "every node of every region has confirmed it", "until 2026-11-29 13:24:10Z", "bases revoke BCR --enforce, after that time"
	for name, c := range map[string]struct {
		answer      *controlv1.RevokeBasisResponse
		words, nots []string
	}{
		"everywhere":      {&controlv1.RevokeBasisResponse{Distributed: true}, []string{all}, []string{"not everywhere", "next:"}},
		"not everywhere":  {&controlv1.RevokeBasisResponse{UnheardNodes: 1, Unheard: node, ExportsEndTime: end}, []string{"not everywhere", until, "ND00000000000000000000000000000077 of us1: no stream", next}, []string{all, "nothing leaves", "more"}},
		"more than named": {&controlv1.RevokeBasisResponse{UnheardNodes: 3, Unheard: node, ExportsEndTime: end}, []string{"not everywhere", "and 2 more"}, []string{all}},
		"stopped by time": {&controlv1.RevokeBasisResponse{Distributed: true, UnheardNodes: 1, Unheard: node, ExportsEndTime: end}, []string{"nothing leaves under it", "stop by themselves at 2026-11-29 13:24:10Z"}, []string{all, "not everywhere", "next:"}},
	} {
		var out bytes.Buffer
		c.answer.Basis = &controlv1.Basis{Id: "BCR"}
		(&app{err: screen.New(&out)}).showReach(c.answer)
		for _, w := range c.words {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: %q is not said in:\n%s", name, w, out.String())
			}
		}
		for _, w := range c.nots {
			if strings.Contains(out.String(), w) {
				t.Errorf("%s: %q is said in:\n%s", name, w, out.String())
			}
		}
	}
}
