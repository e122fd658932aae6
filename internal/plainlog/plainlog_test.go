package plainlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const number = "+353867391846"

type word string

type redacting struct{ Number string }

func (redacting) LogValue() slog.Value { return slog.StringValue("[redacted]") }

type outer struct{ Calls []redacting }

// A structure that holds a personal one is written by no handler, wherever in a
// line it stands.
func TestINV01_AStructureIsNotWritten(t *testing.T) {
	held := outer{[]redacting{{number}}}
	hide := map[string]func(*slog.Logger){
		"attribute": func(l *slog.Logger) { l.Info("m", "calls", held) },
		"pointer":   func(l *slog.Logger) { l.Info("m", "calls", &held) },
		"slice":     func(l *slog.Logger) { l.Info("m", "calls", []outer{held}) },
		"map":       func(l *slog.Logger) { l.Info("m", "calls", map[string]string{"n": number}) },
		"bytes":     func(l *slog.Logger) { l.Info("m", "calls", []byte(number)) },
		"with":      func(l *slog.Logger) { l.With("calls", held).Info("m") },
		"group":     func(l *slog.Logger) { l.Info("m", slog.Group("g", "calls", held)) },
		"in group":  func(l *slog.Logger) { l.WithGroup("g").Info("m", "calls", held) },
	}
	for name, log := range hide {
		var bare, guarded bytes.Buffer
		log(slog.New(slog.NewJSONHandler(&bare, nil)))
		log(slog.New(New(slog.NewJSONHandler(&guarded, nil))))
		if strings.Contains(guarded.String(), number[1:]) || !strings.Contains(guarded.String(), `"msg":"m"`) {
			t.Errorf("%s: %s", name, guarded.String())
		}
		if name != "bytes" && !strings.Contains(bare.String(), number[1:]) {
			t.Errorf("%s would not have been written without the handler: the test shows nothing: %s", name, bare.String())
		}
	}
}

func TestPlainValuesAreWritten(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(New(slog.NewTextHandler(&b, nil)))
	l.Info("m", "text", "a", "word", word("b"), "words", []word{"c", "d"}, "number", 7, "error", fmt.Errorf("e: %w", errors.New("f")), "nothing", nil, "own", redacting{number})
	const want = `text=a word=b words="[c d]" number=7 error="e: f" nothing="" own=[redacted]`
	if !strings.Contains(b.String(), want) {
		t.Errorf("got %s want %s", b.String(), want)
	}
	if l.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("the level of the handler behind is not asked")
	}
}
