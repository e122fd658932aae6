package record

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Everything personal prints as [redacted], whatever the verb, alone or inside
// another value, and refuses to become JSON: the wire forms are api/data's.
const redacted = "[redacted]"

var errNoJSON = errors.New("a record has no JSON form; convert it to the wire form of its audience")

func redact(f fmt.State) { _, _ = io.WriteString(f, redacted) }

// Format prints [redacted].
func (r Record) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (r Record) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON always fails.
func (r Record) MarshalJSON() ([]byte, error) { return nil, errNoJSON }

// Format prints [redacted].
func (p Party) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (p Party) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON always fails.
func (p Party) MarshalJSON() ([]byte, error) { return nil, errNoJSON }

// Format prints [redacted]: sources put hosts and numbers into their ids.
func (k Key) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON always fails.
func (k Key) MarshalJSON() ([]byte, error) { return nil, errNoJSON }

// Format prints [redacted].
func (s STIR) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (s STIR) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON always fails.
func (s STIR) MarshalJSON() ([]byte, error) { return nil, errNoJSON }

// Format prints [redacted].
func (p Pseudonymised) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (p Pseudonymised) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (k *PseudonymKey) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (k *PseudonymKey) LogValue() slog.Value { return slog.StringValue(redacted) }
