package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
)

func wantKind(t *testing.T, name string, err error, want Kind) {
	t.Helper()
	var f *Finding
	if errors.As(err, &f); err != nil && f == nil || f != nil && f.Kind != want || f == nil && want != "" {
		t.Errorf("%s: %v, want %q", name, err, want)
	}
}

// testNote signs any text as a note, well-formed or not.
func testNote(k Key, private ed25519.PrivateKey, text string) string {
	id := k.id()
	return text + "\n— " + k.Name + " " + base64.StdEncoding.EncodeToString(append(id[:], ed25519.Sign(private, []byte(text))...)) + "\n"
}

func testKey(seed byte, name string) (Key, ed25519.PrivateKey) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return Key{Name: name, Public: private.Public().(ed25519.PublicKey)}, private
}

const (
	origin   = "domicile/CL00000000000000000000000000000001/control"
	zeroRoot = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	goodText = origin + "\n3\n" + zeroRoot + "\n"
)

// A note and key of the Go checksum database, as its documentation prints them,
// read by code that has never seen the library: the formats are the public ones.
func TestKeyOfAnotherLogIsRead(t *testing.T) {
	const sumdb = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
	k, err := ParseKey(sumdb)
	if err != nil || k.Name != "sum.golang.org" || k.String() != sumdb {
		t.Errorf("%+v, %v", k, err)
	}
	for name, bad := range map[string]string{
		"other id":   strings.Replace(sumdb, "033de0ae", "033de0af", 1),
		"other name": strings.Replace(sumdb, "sum.", "sun.", 1),
		"other key":  strings.Replace(sumdb, "Ac4z", "Ac5z", 1),
		"other type": "x+00000000+" + base64.StdEncoding.EncodeToString(make([]byte, 33)),
		"short":      "x+00000000+AQ==",
		"no parts":   "x",
		"no name":    strings.TrimPrefix(sumdb, "sum.golang.org"),
		"space":      "a " + sumdb,
	} {
		_, err := ParseKey(bad)
		wantKind(t, name, err, BadSignature)
	}
}

func TestOpen(t *testing.T) {
	k, private := testKey(1, origin)
	witness, witnessKey := testKey(2, "witness.example")
	other, otherKey := testKey(3, origin)
	good := testNote(k, private, goodText)
	cosigned := good + strings.SplitAfter(testNote(witness, witnessKey, goodText), "\n\n")[1]
	extended := testNote(k, private, goodText+"an extension\n")
	for name, n := range map[string]string{"good": good, "cosigned": cosigned, "extended": extended} {
		c, err := Open([]byte(n), k)
		if err != nil || c != (Checkpoint{Origin: origin, Size: 3}) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	foreign, foreignKey := testKey(1, "domicile/CL00000000000000000000000000000002/control")
	for name, c := range map[string]struct {
		note string
		key  Key
		want Kind
	}{
		"size changed":        {strings.Replace(good, "\n3\n", "\n4\n", 1), k, BadSignature},
		"signed by another":   {testNote(other, otherKey, goodText), k, BadSignature},
		"same id, other key":  {good, Key{Name: origin, Public: slices.Clone(other.Public)}, BadSignature},
		"witness only":        {testNote(witness, witnessKey, goodText), k, BadSignature},
		"of another log":      {testNote(foreign, foreignKey, goodText), foreign, BadSignature},
		"one bad of two":      {good + strings.SplitAfter(testNote(k, otherKey, goodText), "\n\n")[1], k, BadSignature},
		"no signature":        {goodText + "\n", k, BadNote},
		"no empty line":       {goodText, k, BadNote},
		"not text":            {strings.Replace(good, origin, origin+"\x00", 1), k, BadNote},
		"not UTF-8":           {strings.Replace(good, origin, origin+"\xff", 1), k, BadNote},
		"carriage returns":    {strings.ReplaceAll(good, "\n", "\r\n"), k, BadNote},
		"no last line break":  {strings.TrimSuffix(good, "\n"), k, BadNote},
		"hyphen for dash":     {strings.Replace(good, "—", "-", 1), k, BadNote},
		"too long":            {good + strings.Repeat("— x AAAAAAA=\n", 10_000), k, BadNote},
		"too many signatures": {good + strings.Repeat("— x AAAAAAA=\n", 100), k, BadNote},
		"empty":               {"", k, BadNote},
		"no root":             {testNote(k, private, origin+"\n3\n"), k, BadNote},
		"no origin":           {testNote(k, private, "\n3\n"+zeroRoot+"\n"), k, BadNote},
		"size with a zero":    {testNote(k, private, origin+"\n03\n"+zeroRoot+"\n"), k, BadNote},
		"size below zero":     {testNote(k, private, origin+"\n-3\n"+zeroRoot+"\n"), k, BadNote},
		"size too large":      {testNote(k, private, origin+"\n9223372036854775808\n"+zeroRoot+"\n"), k, BadNote},
		"short root":          {testNote(k, private, origin+"\n3\nAAAA\n"), k, BadNote},
		"loose base64":        {testNote(k, private, origin+"\n3\n"+strings.TrimSuffix(zeroRoot, "A=")+"B=\n"), k, BadNote},
	} {
		_, err := Open([]byte(c.note), c.key)
		wantKind(t, name, err, c.want)
	}
}

// INV26: no single flipped bit of a checkpoint is taken for the checkpoint.
func TestINV26_EveryFlippedBitOfACheckpointIsFound(t *testing.T) {
	k, private := testKey(1, origin)
	good := []byte(testNote(k, private, goodText))
	for i := range good {
		for bit := range 8 {
			bad := slices.Clone(good)
			bad[i] ^= 1 << bit
			if c, err := Open(bad, k); err == nil {
				t.Fatalf("byte %d, bit %d: opened as %+v", i, bit, c)
			}
		}
	}
}

func TestCertified(t *testing.T) {
	root, rootPrivate := testKey(9, "")
	k, _ := testKey(1, origin)
	const cluster = "CL00000000000000000000000000000001"
	// The statement's bytes, once more by hand.
	statement := "domicile bundle key v1\n" + cluster + "\n8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
	certificate := ed25519.Sign(rootPrivate, []byte(statement))
	wantKind(t, "good", Certified(k, cluster, certificate, root.Public), "")
	wantKind(t, "other cluster", Certified(k, "CL00000000000000000000000000000002", certificate, root.Public), BadSignature)
	wantKind(t, "other root", Certified(k, cluster, certificate, k.Public), BadSignature)
	other, _ := testKey(2, origin)
	wantKind(t, "other key", Certified(other, cluster, certificate, root.Public), BadSignature)
	wantKind(t, "no root", Certified(k, cluster, certificate, nil), BadSignature)
	wantKind(t, "no key", Certified(Key{Name: origin}, cluster, certificate, root.Public), BadSignature)
}

func TestParseLeafRefuses(t *testing.T) {
	const good = `{"format":1,"index":7,"time":"2026-01-02T03:04:05Z","actor":"bootstrap","action":"cluster.init","resource":"CL00000000000000000000000000000001","revision":8,"command":"0000000000000000000000000000000000000000000000000000000000000007","outcome":"applied"}`
	if l, err := ParseLeaf([]byte(good)); err != nil || l.Index != 7 {
		t.Fatal(l, err)
	}
	for name, c := range map[string][2]string{
		"another format":  {`"format":1`, `"format":2`},
		"a field more":    {`{`, `{"note":"x",`},
		"a field twice":   {`"index":7`, `"index":6,"index":7`},
		"other case":      {`"index"`, `"Index"`},
		"white space":     {`,`, `, `},
		"another order":   {`"format":1,"index":7`, `"index":7,"format":1`},
		"an escape":       {`bootstrap`, `bootstr\u0061p`},
		"a name":          {`"bootstrap"`, `"Aoife Kelly"`},
		"not UTC":         {`05Z`, `05+01:00`},
		"another outcome": {`applied`, `refused`},
		"a bad resource":  {`"CL0`, `"cl0`},
		"a bad command":   {`0007`, `000x`},
		"a bad action":    {`cluster.init`, `cluster`},
		"a float":         {`"index":7`, `"index":7.0`},
		"nothing":         {good, ``},
		"too long":        {`bootstrap`, strings.Repeat("b", 600)},
		"more after it":   {`"applied"}`, `"applied"}{}`},
	} {
		_, err := ParseLeaf([]byte(strings.Replace(good, c[0], c[1], 1)))
		wantKind(t, name, err, BadRecord)
	}
}
