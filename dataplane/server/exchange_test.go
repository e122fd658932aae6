package server

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// deadlines counts what deadlines an answer got.
type deadlines struct {
	http.ResponseWriter
	set int
}

func (d *deadlines) SetWriteDeadline(time.Time) error { d.set++; return nil }

// net/http sets an answer's deadline when it has read the head: that is enough for
// whoever is answered at once, and too little for whose body took most of it.
func TestTheTimeOfABodyDoesNotCountAgainstItsAnswer(t *testing.T) {
	for took, want := range map[time.Duration]int{0: 0, 2 * quickly: 1} {
		d := &deadlines{ResponseWriter: httptest.NewRecorder()}
		x := &exchange{w: &answerWriter{ResponseWriter: d}, since: time.Now().Add(-took)}
		if err := x.answer(http.StatusOK, struct{}{}); err != nil {
			t.Fatal(err)
		}
		if d.set != want {
			t.Errorf("after %s the answer got %d deadlines, want %d", took, d.set, want)
		}
	}
}
