package canary

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/ascii85"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc64"
	"hash/fnv"
	"html"
	"mime/quotedprintable"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
)

// minForm is the shortest form that is searched for; shorter ones would be
// found by chance.
const minForm = 7

// Form is one way of writing a canary.
type Form struct {
	Name  string
	Bytes []byte
}

// Forms lists every way of writing value that the scan looks for. Names are the
// same for every value.
func Forms(value string) []Form {
	var out []Form
	add := func(name string, b []byte) {
		if len(b) >= minForm {
			out = append(out, Form{name, b})
		}
	}
	for name, text := range spellings(value) {
		add(name, []byte(text))
		encodings(name, []byte(text), add)
		hashes(name, []byte(text), add)
	}
	slices.SortFunc(out, func(a, b Form) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// spellings are what a program might make of a number or a name before it
// encodes it.
func spellings(value string) map[string]string {
	out := map[string]string{"plain": value}
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, value)
	if len(digits) >= minForm {
		out["digits"] = digits
		if len(digits) > 9 {
			out["national"] = "0" + digits[len(digits)-9:]
		}
		if len(digits) > 7 {
			out["last7"] = digits[len(digits)-7:]
		}
	}
	if lower := strings.ToLower(value); lower != value {
		out["lower"] = lower
	}
	return out
}

func encodings(name string, b []byte, add func(string, []byte)) {
	s := string(b)
	add(name+"/percent", []byte(url.QueryEscape(s)))
	add(name+"/percent-all", []byte(percentAll(b)))
	add(name+"/html", []byte(html.EscapeString(s)))
	add(name+"/json", jsonText(s))
	add(name+"/hex", []byte(hex.EncodeToString(b)))
	add(name+"/HEX", []byte(strings.ToUpper(hex.EncodeToString(b))))
	add(name+"/base32", []byte(strings.TrimRight(base32.StdEncoding.EncodeToString(b), "=")))
	add(name+"/quoted-printable", quoted(s))
	add(name+"/utf16le", wide(s, false))
	add(name+"/utf16be", wide(s, true))
	add(name+"/reversed", reversed(b))
	add(name+"/spaced", []byte(strings.Join(strings.Split(s, ""), " ")))
	for shift := range 3 { // base64 of a value inside other text, at each alignment
		add(fmt.Sprintf("%s/base64+%d", name, shift), inner64(base64.RawStdEncoding, b, shift))
		add(fmt.Sprintf("%s/base64url+%d", name, shift), inner64(base64.RawURLEncoding, b, shift))
	}
	a85 := make([]byte, ascii85.MaxEncodedLen(len(b)))
	add(name+"/ascii85", a85[:ascii85.Encode(a85, b)])
	add(name+"/rot13", []byte(strings.Map(rot13, s)))
}

func hashes(name string, b []byte, add func(string, []byte)) {
	m5, s1, s2, s224 := md5.Sum(b), sha1.Sum(b), sha256.Sum256(b), sha256.Sum224(b)
	s384, s5, s5256, k256 := sha512.Sum384(b), sha512.Sum512(b), sha512.Sum512_256(b), sha3.Sum256(b)
	f64 := fnv.New64a()
	f64.Write(b)
	crc := crc64.New(crc64.MakeTable(crc64.ECMA))
	crc.Write(b)
	mac := hmac.New(sha256.New, nil)
	mac.Write(b)
	for h, sum := range map[string][]byte{"md5": m5[:], "sha1": s1[:], "sha224": s224[:], "sha256": s2[:], "sha384": s384[:], "sha512": s5[:],
		"sha512-256": s5256[:], "sha3-256": k256[:], "fnv64a": f64.Sum(nil), "crc64": crc.Sum(nil), "hmac-empty": mac.Sum(nil)} {
		add(name+"/"+h, sum)
		add(name+"/"+h+"/hex", []byte(hex.EncodeToString(sum)))
		add(name+"/"+h+"/hex16", []byte(hex.EncodeToString(sum)[:16]))
		add(name+"/"+h+"/base64", []byte(base64.RawStdEncoding.EncodeToString(sum)))
	}
}

// inner64 is the part of a base64 text that does not depend on the bytes around
// the value when it begins shift bytes into a group of three.
func inner64(enc *base64.Encoding, b []byte, shift int) []byte {
	padded := append(make([]byte, shift), b...)
	text := enc.EncodeToString(padded)
	skip := []int{0, 2, 3}[shift]
	end := len(padded) / 3 * 4
	if end <= skip {
		return nil
	}
	return []byte(text[skip:end])
}

func percentAll(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, "%%%02X", c)
	}
	return s.String()
}

func jsonText(s string) []byte {
	var out strings.Builder
	for _, r := range s {
		if r < 128 {
			q, _ := json.Marshal(string(r))
			out.Write(q[1 : len(q)-1])
			continue
		}
		fmt.Fprintf(&out, `\u%04x`, r)
	}
	return []byte(out.String())
}

func quoted(s string) []byte {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return []byte(b.String())
}

func wide(s string, big bool) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			out = append(out, byte(u>>8), byte(u))
		} else {
			out = append(out, byte(u), byte(u>>8))
		}
	}
	return out
}

func reversed(b []byte) []byte {
	out := slices.Clone(b)
	slices.Reverse(out)
	return out
}

func rot13(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z':
		return 'a' + (r-'a'+13)%26
	case r >= 'A' && r <= 'Z':
		return 'A' + (r-'A'+13)%26
	case r >= '0' && r <= '9':
		return '0' + (r-'0'+5)%10
	}
	return r
}
