package intake

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzCursor compares the cursor with the standard library: it accepts exactly
// the valid JSON objects that are valid UTF-8 and hold no half surrogates, and
// reads the same texts.
func FuzzCursor(f *testing.F) {
	for _, s := range []string{
		`{}`, ` {"a":1} `, `{"a":"\ud83d\ude00","b":[true,false,null,-0.5e+7,{}]}`, `{"a":"\ud800"}`, `{"a":"\ud800\u0041"}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":-}`, `{"a":1e}`, `{"a":+1}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"` + "\n" + `"}`,
		`{"a"}`, `{"a":1,}`, `{,}`, `{"a":1}{`, `{"a":[1,]}`, `{"a":"\`, `[1]`, `"x"`, `1`, `nul`, "{\"\xff\":1}", `{"a":"\\\/\b\f\n\r\t\""}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := map[string]string{}
		err := parseObject(s, func(c *cursor, key string) error {
			if c.next() != '"' {
				return c.skip()
			}
			text, _, err := c.scalar()
			got[key] = text
			return err
		})
		if problem := Problem(""); err != nil && !errors.As(err, &problem) {
			t.Fatalf("the error is no problem: %v", err)
		}
		if deep(s) || strings.Contains(strings.ToLower(s), `\ud`) {
			return // the standard library repairs half surrogates and allows any depth
		}
		var want map[string]any
		wantOK := utf8.ValidString(s) && json.Unmarshal([]byte(s), &want) == nil && want != nil
		if (err == nil) != wantOK {
			t.Fatalf("accepted: %v, the standard library: %v, for %q", err == nil, wantOK, s)
		}
		if err != nil {
			return
		}
		for k, v := range want {
			if text, ok := v.(string); ok && got[k] != text {
				t.Fatalf("%q reads as %q, the standard library says %q", k, got[k], text)
			}
		}
	})
}

func deep(s string) bool { return strings.Count(s, "{")+strings.Count(s, "[") > MaxDepth }

func TestCursorRefusesDepthAndHalfSurrogates(t *testing.T) {
	skip := func(c *cursor, _ string) error { return c.skip() }
	for name, s := range map[string]string{
		"one level too many": `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`,
		"a high half alone":  `{"a":"\ud800"}`,
		"a low half alone":   `{"a":"\udc00"}`,
		"halves in disorder": `{"a":"\udc00\ud800"}`,
		"a half before text": `{"a":"\ud800\u0041"}`,
		"a half in a name":   `{"\ud800":1}`,
		"escape cut off":     `{"a":"\`,
		"text cut off":       `{"a":"\n`,
		"control in escaped": "{\"a\":\"\\n\x01\"}",
	} {
		if err := parseObject(s, skip); !errors.Is(err, ProblemJSON) {
			t.Errorf("%s: %v, want %q", name, err, ProblemJSON)
		}
	}
	if err := parseObject(`{"a":`+strings.Repeat("[", MaxDepth-1)+strings.Repeat("]", MaxDepth-1)+`}`, skip); err != nil {
		t.Errorf("the deepest that is allowed: %v", err)
	}
	if err := parseObject(`{"a":"\ud83d\uDE00"}`, skip); err != nil {
		t.Errorf("a whole pair: %v", err)
	}
}
