package policy

import (
	"strings"
	"testing"
)

var (
	someKeyID  = KeyID("SK" + strings.Repeat("0a", 16))
	someSecret = strings.Repeat("9f", 32)
)

func TestKeyStringRoundTrip(t *testing.T) {
	whole := KeyString("ie1", someKeyID, someSecret)
	for _, s := range []string{whole, strings.ReplaceAll(whole, "_", "Z")} {
		region, id, secret, err := ParseKeyString(s)
		if err != nil || region != "ie1" || id != someKeyID || secret != someSecret {
			t.Errorf("got %q %q %v", region, id, err)
		}
	}
}

// Negative vectors: each is the valid key with one thing wrong.
func TestParseKeyStringRefuses(t *testing.T) {
	whole := KeyString("ie1", someKeyID, someSecret)
	cases := map[string]string{
		"empty":              "",
		"short":              "sk_",
		"other prefix":       "pk" + whole[2:],
		"other separator":    "sk-" + whole[3:],
		"mixed separators":   strings.Replace(whole, "_", "Z", 1),
		"no region":          "sk_" + whole[6:],
		"upper-case region":  strings.Replace(whole, "ie1", "IE1", 1),
		"upper-case hex":     strings.ToUpper(whole),
		"short id":           strings.Replace(whole, "0a", "", 1),
		"short secret":       whole[:len(whole)-1],
		"long secret":        whole + "0",
		"not hex":            whole[:len(whole)-1] + "g",
		"no secret":          whole[:len(whole)-65],
		"trailing space":     whole + " ",
		"a megabyte":         whole + strings.Repeat("0", 1<<20),
		"separator repeated": strings.Replace(whole, "_", "__", 1),
	}
	for name, s := range cases {
		_, _, _, err := ParseKeyString(s)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "9f9f") {
			t.Errorf("%s: the error repeats the key", name)
		}
	}
}

func FuzzParseKeyString(f *testing.F) {
	f.Add(KeyString("ie1", someKeyID, someSecret))
	f.Add("skZau1Z" + strings.Repeat("0", 32) + "Z" + strings.Repeat("f", 64))
	f.Add("sk_ie1_")
	f.Fuzz(func(t *testing.T, s string) {
		region, id, secret, err := ParseKeyString(s)
		if err != nil {
			return
		}
		if !ValidID(KindKey, string(id)) || len(secret) != keySecretLen {
			t.Fatalf("accepted a malformed key")
		}
		if again := KeyString(region, id, secret); again != s && again != strings.ReplaceAll(s, "Z", "_") {
			t.Fatalf("does not round-trip")
		}
	})
}

// The vector is of the contract: SHA-256 of the hex characters, not of the bytes they stand for.
func TestHashSecret(t *testing.T) {
	const want = "60e05bd1b195af2f94112fa7197a5c88289058840ce7c6df9693756bc6250f55"
	if got := HashSecret(strings.Repeat("0", 64)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
