package data

import (
	"fmt"
	"io"
	"log/slog"
)

// What holds personal data prints and logs as [redacted], whatever the verb, alone
// or inside another value: a program that logs an answer of a region would carry it
// out of the region. JSON is the wire and is not changed.
const redacted = "[redacted]"

func redact(f fmt.State) { _, _ = io.WriteString(f, redacted) }

// Format prints [redacted].
func (Party) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Party) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Call) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Call) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (NewCall) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (NewCall) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Search) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Search) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Quarantined) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Quarantined) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (FeedSettings) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (FeedSettings) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (SubjectRef) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (SubjectRef) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (HoldRequest) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (HoldRequest) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Hold) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Hold) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (SubjectCall) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (SubjectCall) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Segment) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Segment) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (NewTranscript) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (NewTranscript) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (Transcript) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (Transcript) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (TranscriptSearch) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (TranscriptSearch) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (SegmentMatch) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (SegmentMatch) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints [redacted].
func (STIR) Format(f fmt.State, _ rune) { redact(f) }

// LogValue logs [redacted].
func (STIR) LogValue() slog.Value { return slog.StringValue(redacted) }
