package subject

import "strings"

// mask shows of another person's number its country code and its last two
// digits: enough to tell the bearer of the archive which of their calls it was,
// and no more than INV02 lets stand. A raw value shows nothing.
func mask(e164, callingCode, raw string) string {
	switch {
	case e164 != "":
		national := strings.TrimPrefix(strings.TrimPrefix(e164, "+"), callingCode)
		if len(national) < 6 {
			return "+" + callingCode + strings.Repeat("*", len(national))
		}
		return "+" + callingCode + strings.Repeat("*", len(national)-2) + national[len(national)-2:]
	case raw != "":
		return "***"
	}
	return ""
}
