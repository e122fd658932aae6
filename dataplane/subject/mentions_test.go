package subject

import "testing"

func TestMentions(t *testing.T) {
	mobile := newMentions("+353867391846", "353", "")
	for _, text := range []string{"+353867391846", "00353867391846", "0867391846", "086 739 1846", "086-7391846", "(086) 739 18 46", "+353 (0)86 739.18.46", "86/739/1846",
		"From=%2B353867391846", "from=086%20739%201846&x", `{"n":"\u002b353867391846"}`, `"tel:+353\u0020867391846"`, "8\x006\x007\x003\x009\x001\x008\x004\x006\x00", "sip:+353867391846@sbc;user=phone",
		"x0867391846y", "086 739 1846", "086‑739‑1846", `tel:\/\/0867391846`, "100%0867391846", "20260314090867391846"} {
		if !mobile.in([]byte(text)) {
			t.Errorf("not found in %q", text)
		}
	}
	for _, text := range []string{"", "0867391847", "867391 84, 6", "086739,1846", "%zz", "8673918", "+353861111111"} {
		if mobile.in([]byte(text)) {
			t.Errorf("found in %q", text)
		}
	}
	extension := newMentions("", "", "1001")
	for text, want := range map[string]bool{"1001": true, `"src":"1001",`: true, "11001": false, "10010": false, "x1001": false, "sip:1001@pbx": true, "100 1": false} {
		if extension.in([]byte(text)) != want {
			t.Errorf("extension in %q: want %v", text, want)
		}
	}
	address := newMentions("", "", "Alice@Example.test")
	if !address.in([]byte(`<sip:alice@example.test>`)) || address.in([]byte("malice@example.test")) {
		t.Error("an address is not found, or found within another")
	}
}

func FuzzMentions(f *testing.F) {
	f.Add([]byte("%2B353\\u0020867391846"))
	m := newMentions("+353867391846", "353", "1001")
	f.Fuzz(func(t *testing.T, b []byte) {
		m.in(b) // nothing panics
		if !m.in(append(append([]byte{}, b...), ",086 739 1846,"...)) {
			t.Error("what stands before hides the number")
		}
	})
}

func TestMask(t *testing.T) {
	for _, c := range [][4]string{{"+353867391846", "353", "", "+353*******46"}, {"+14155550123", "1", "", "+1********23"}, {"", "", "1001", "***"}, {"", "", "", ""}, {"+35312345", "353", "", "+353*****"}, {"+3531234567", "353", "", "+353*****67"}} {
		if got := mask(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("mask(%q) = %q, want %q", c[0]+c[2], got, c[3])
		}
	}
}
