package intake

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/domicile-io/domicile/policy"
)

// errBroken: the JSON array broke off or something follows it.
var errBroken = errors.New("the array broke off")

// eachJSON yields every value of a body that is one object (on any number of
// lines), JSON lines, or one array. What it yields is trimmed and not yet known
// to be valid JSON. After errBroken the splitter still holds what is left.
func eachJSON(ctx context.Context, s *splitter, yield func(raw []byte) error) error {
	if s.peek() == '[' {
		return eachElement(ctx, s, yield)
	}
	// Sources and people pretty-print single objects; only a first object may
	// therefore have several lines. Were every one allowed to, a line that lost
	// its bracket would swallow the good lines after it.
	if s.peek() == '{' {
		if n := s.object(); n > 0 && s.blankAfter(n) {
			raw, _ := s.take(n, 0)
			if err := yield(raw); err != nil {
				return err
			}
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.more() {
			return s.failed()
		}
		raw, err := s.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := yield(bytes.TrimRight(raw, " \t\r")); err != nil {
			return err
		}
	}
}

// blankAfter reports whether only white space follows n bytes on their line.
func (s *splitter) blankAfter(n int) bool {
	for ; ; n++ {
		if s.start+n == s.end && !s.fill() {
			return s.failed() == nil
		}
		switch s.block[s.start+n] {
		case '\n':
			return true
		case ' ', '\t', '\r':
		default:
			return false
		}
	}
}

func eachElement(ctx context.Context, s *splitter, yield func(raw []byte) error) error {
	s.start++ // the bracket
	if s.peek() == ']' {
		s.start++
		return s.ended()
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.more() {
			return errors.Join(s.failed(), errBroken)
		}
		n, ok := s.element()
		if n > MaxItem {
			return errItemTooLong
		}
		if !ok {
			return errors.Join(s.failed(), errBroken)
		}
		raw, _ := s.take(n, 0)
		if err := yield(bytes.TrimRight(raw, " \t\r\n")); err != nil {
			return err
		}
		closing := s.block[s.start] == ']'
		s.start++
		if closing {
			return s.ended()
		}
	}
}

// ended checks that only white space is left.
func (s *splitter) ended() error {
	if s.more() {
		return errBroken
	}
	return s.failed()
}

// batchError is what the caller of a batch sees.
func batchError(err error) error {
	var refusal *policy.Error
	switch {
	case err == nil, errors.As(err, &refusal), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, errItemTooLong):
		return tooLarge()
	}
	return &policy.Error{Reason: policy.InvalidArgument, Cause: err,
		Message: "the batch broke off; what was counted is stored, send the rest or all of it again"}
}
