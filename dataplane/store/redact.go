package store

import (
	"fmt"
	"io"
	"log/slog"
)

// What holds personal data or a secret prints and logs as [redacted], whatever the
// verb, alone or inside another value; a Call does by its Record.
const redacted = "[redacted]"

func redact(f fmt.State) { _, _ = io.WriteString(f, redacted) }

// Format prints [redacted].
func (Query) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Query) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Quarantined) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Quarantined) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Feed) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Feed) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Item) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Item) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Unlinking) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Unlinking) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Owner) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Owner) LogValue() slog.Value { return slog.StringValue(redacted) }
