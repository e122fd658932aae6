package docs

import (
	"regexp"
	"strings"
	"unicode"
)

// slug is the anchor that GitHub gives to a heading: lower case, spaces to
// hyphens, punctuation dropped.
func slug(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// fence is a fenced block of a page.
type fence struct {
	info, body string
	line       int
}

var opening = regexp.MustCompile("^( *)(```+)(.*)$")

// split takes a page apart: its prose, line by line with fenced blocks emptied,
// and the blocks.
func split(page string) (prose []string, blocks []fence) {
	var open *fence
	closing := ""
	for i, line := range strings.Split(page, "\n") {
		if open != nil {
			if strings.TrimSpace(line) == closing {
				blocks = append(blocks, *open)
				open = nil
			} else {
				open.body += line + "\n"
			}
			prose = append(prose, "")
			continue
		}
		if m := opening.FindStringSubmatch(line); m != nil {
			open, closing = &fence{info: strings.TrimSpace(m[3]), line: i + 1}, m[2]
			prose = append(prose, "")
			continue
		}
		prose = append(prose, line)
	}
	if open != nil {
		blocks = append(blocks, fence{info: "unclosed", line: open.line})
	}
	return prose, blocks
}
