package intake

// Problem says why a payload is quarantined. The vocabulary is closed, so that
// a problem can be logged, listed and counted: it never repeats the payload.
type Problem string

func (p Problem) Error() string { return string(p) }

// The problems.
const (
	ProblemEmpty       Problem = "the body is empty"
	ProblemJSON        Problem = "not valid JSON"
	ProblemNotObject   Problem = "valid JSON but not an object"
	ProblemForm        Problem = "not a valid form"
	ProblemBase64      Problem = "the cdr value is not valid base64"
	ProblemEscape      Problem = "a percent-encoded value is broken"
	ProblemCSV         Problem = "not a valid CSV row"
	ProblemColumns     Problem = "the CSV row has too few or too many columns"
	ProblemLongRow     Problem = "the CSV row is longer than 65536 bytes"
	ProblemNoID        Problem = "the record has no identifier"
	ProblemTime        Problem = "a time cannot be read"
	ProblemNumber      Problem = "a count, duration or code is not a number in range"
	ProblemStatus      Problem = "the status is not one of the source's"
	ProblemText        Problem = "the text is not valid UTF-8"
	ProblemLongField   Problem = "a field is too long"
	ProblemKind        Problem = "neither an accounting record nor a call record"
	ProblemContent     Problem = "the record has unknown, missing or bad fields"
	ProblemUnsupported Problem = "the format is not one that this source sends"
)
