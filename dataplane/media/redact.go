package media

import (
	"fmt"
	"io"
	"log/slog"
)

// What somebody said prints and logs as [redacted], whatever the verb, alone or
// inside another value.
const redacted = "[redacted]"

func redact(f fmt.State) { _, _ = io.WriteString(f, redacted) }

// Format prints [redacted].
func (Segment) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Segment) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Upload) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Upload) LogValue() slog.Value { return slog.StringValue(redacted) }
