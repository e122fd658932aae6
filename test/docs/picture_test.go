package docs

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
)

// facts are what the picture tells, as a run of the demo says it. A fact that is
// not said, or differently in another run, fails the test.
var facts = map[string]*regexp.Regexp{
	"fed":       regexp.MustCompile(`ie1: FreeSWITCH, Kamailio, Asterisk and Twilio posted; (\d+) accepted`),
	"calls":     regexp.MustCompile(`harbour-ie shows (\d+) calls of 2026-03-14`),
	"more":      regexp.MustCompile(`ie1 took in (\d+) generated calls besides`),
	"sent":      regexp.MustCompile(`421 WRONG_REGION while (\d+) of the record's (?:\d+) bytes had been sent`),
	"bytes":     regexp.MustCompile(`421 WRONG_REGION while \d+ of the record's (\d+) bytes had been sent`),
	"crossed":   regexp.MustCompile(`(\d+) rows reached us1`),
	"people":    regexp.MustCompile(`rows reached us1: their class has (\d+) distinct callers`),
	"threshold": regexp.MustCompile(`distinct callers, and (\d+) are needed`),
	"stayed":    regexp.MustCompile(`(\d+) rows stayed in ie1`),
	"alone":     regexp.MustCompile(`ie1 stored a call and read it back, (all the same)`),
	"refused":   regexp.MustCompile(`(us1) still refuses the Irish tenant`),
	"checks":    regexp.MustCompile(`(Every check held)`),
}

// picture draws a run of the demo.
func picture(said string) ([]byte, error) {
	said = strings.Join(strings.Fields(said), " ") // the screen breaks lines
	f := map[string]string{}
	for _, name := range sorted(facts) {
		m := facts[name].FindStringSubmatch(said)
		if m == nil {
			return nil, fmt.Errorf("the demo no longer says %s: the picture cannot be drawn", facts[name])
		}
		f[name] = m[1]
	}
	var b strings.Builder
	b.WriteString(pictureHead)
	text := func(x, y int, class, format string, args ...any) {
		fmt.Fprintf(&b, `  <text x="%d" y="%d" class="%s">%s</text>`+"\n", x, y, class, html.EscapeString(fmt.Sprintf(format, args...)))
	}
	box := func(x, y, w, h int, class string) {
		fmt.Fprintf(&b, `  <rect x="%d" y="%d" width="%d" height="%d" rx="8" class="%s"/>`+"\n", x, y, w, h, class)
	}
	arrow := func(path, class string) { fmt.Fprintf(&b, `  <path d="%s" class="%s"/>`+"\n", path, class) }

	step := func(x, y int, class, number string) { // of the demo, before the text whose line begins at x and stands at y
		fmt.Fprintf(&b, `  <circle cx="%d" cy="%d" r="9" class="%s"/>`+"\n", x+9, y-5, class)
		text(x+9, y-1, "number mid", "%s", number)
	}

	box(230, 20, 540, 104, "plane")
	text(500, 48, "title mid", "control plane")
	text(500, 72, "mid", "three voters: rules and places, no personal data")
	step(256, 104, "quiet", "9")
	text(282, 104, "faint", "stopped whole: ie1 stored a call and read it back, %s", f["alone"])
	arrow("M380 124 L262 174", "line")
	arrow("M620 124 L738 174", "line")
	text(288, 148, "faint end", "signed rules")

	box(40, 176, 400, 184, "home")
	text(240, 204, "title mid", "region ie1 · boundary eu")
	step(60, 234, "done", "2")
	text(86, 234, "", "harbour-ie is at home here: %s records of", f["fed"])
	text(86, 254, "", "FreeSWITCH, Kamailio, Asterisk and Twilio")
	text(86, 274, "", "are %s calls; %s generated calls besides", f["calls"], f["more"])
	step(60, 306, "kept", "6")
	text(86, 306, "stay", "%s rows stay: too few callers to hide among", f["stayed"])
	step(60, 336, "quiet", "7")
	text(86, 336, "faint", "a ledger counts every connection")

	box(560, 176, 400, 184, "home")
	text(760, 204, "title mid", "region us1 · boundary us")
	text(580, 234, "", "received: pseudonyms, countries, the hour, a span")
	text(580, 254, "faint", "no number, no name, no exact time")
	step(580, 306, "wrong", "3")
	text(606, 306, "bad", "421 WRONG_REGION:")
	text(606, 326, "bad", "%s of %s bytes had been sent", f["sent"], f["bytes"])

	arrow("M440 250 L558 250", "go")
	step(456, 236, "done", "6")
	text(482, 236, "go", "%s rows", f["crossed"])
	text(499, 272, "faint mid small", "%s callers;", f["people"])
	text(499, 288, "faint mid small", "%s are needed", f["threshold"])

	box(40, 404, 250, 60, "outside")
	text(165, 429, "mid", "switches of harbour-ie")
	text(165, 449, "faint mid", "HTTPS, a key of ie1")
	arrow("M165 404 L165 362", "go")
	arrow("M290 434 L640 434 L640 363", "no")
	text(465, 426, "bad mid small", "the same record, sent to the wrong region")
	text(960, 456, "faint end", "one run of: domicile dev --demo")
	b.WriteString("</svg>\n")
	return []byte(b.String()), nil
}

const pictureHead = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 482" role="img" font-family="ui-sans-serif, system-ui, -apple-system, 'Segoe UI', sans-serif" font-size="14">
  <!-- Generated from a run of the demo by make docs; a test runs it again and compares. Do not edit. -->
  <style>
    text { fill: #1f2933 } .title { font-weight: 600; font-size: 16px } .faint { fill: #66727f } .small { font-size: 12px }
    .mid { text-anchor: middle } .end { text-anchor: end } .bad { fill: #b42318 } .stay { fill: #8a5a00 } text.go { fill: #1a7f4b } text.number { fill: #ffffff; font-size: 12px; font-weight: 600 }
    .done { fill: #1a7f4b } .wrong { fill: #b42318 } .kept { fill: #8a5a00 } .quiet { fill: #66727f }
    .paper { fill: #ffffff; stroke: #d9dee3 } .plane { fill: #f3f0fb; stroke: #8f7fd0 } .home { fill: #eef6f1; stroke: #55a37a } .outside { fill: #f6f7f8; stroke: #9aa5b1 }
    path { fill: none; stroke-width: 2 } .line { stroke: #8f7fd0; stroke-dasharray: 5 4; marker-end: url(#v) } path.go { stroke: #1a7f4b; marker-end: url(#g) } .no { stroke: #b42318; stroke-dasharray: 6 4; marker-end: url(#r) }
  </style>
  <defs>
    <marker id="g" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><polygon points="0,0 10,5 0,10" fill="#1a7f4b"/></marker>
    <marker id="r" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><polygon points="0,0 10,5 0,10" fill="#b42318"/></marker>
    <marker id="v" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><polygon points="0,0 10,5 0,10" fill="#8f7fd0"/></marker>
  </defs>
  <rect x="1" y="1" width="998" height="480" rx="10" class="paper"/>
`

// A demo that says one fact less, or another number, is found.
func TestThePictureIsOfARun(t *testing.T) {
	run := "ie1: FreeSWITCH, Kamailio, Asterisk and Twilio posted; 7 accepted harbour-ie shows 6 calls of 2026-03-14 ie1 took in 200 generated calls besides 421 WRONG_REGION while 0 of the record's 9 bytes had been sent " +
		"180 rows reached us1: their class has 60 distinct callers, and 13 are needed 26 rows stayed in ie1 ie1 stored a call and read it back, all the same us1 still refuses the Irish tenant Every check held"
	first, err := picture(run)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := picture(strings.Replace(run, "180 rows", "181\nrows", 1)); err != nil || string(other) == string(first) {
		t.Errorf("another number gives the same picture: %v", err)
	}
	if _, err := picture(strings.Replace(run, "26 rows stayed", "all rows left", 1)); err == nil {
		t.Error("a fact that is not said was drawn")
	}
}
