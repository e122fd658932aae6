package instance_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/instance/instancetest"
)

const machine = "i-0123456789abcdef0"

func load(t *testing.T, c instance.Config) *instance.Authorities {
	t.Helper()
	a, err := instance.Load(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestADocumentOfTheRegionAndAccountCounts(t *testing.T) {
	ireland := instancetest.New(t, "eu-west-1")
	d, err := load(t, ireland.Config()).Verify(ireland.Document(machine), "aws-eu-west-1", time.Now())
	if err != nil || d.Instance != machine || d.Account != instancetest.Account || d.Region != "eu-west-1" {
		t.Fatalf("%+v %v", d, err)
	}
}

func TestDocumentsThatDoNotCount(t *testing.T) {
	ireland, virginia, stranger := instancetest.New(t, "eu-west-1"), instancetest.New(t, "us-east-1"), instancetest.New(t, "eu-west-1")
	both := ireland.Config()
	both.Certificates["us-east-1"] = virginia.File
	a := load(t, both)
	now := time.Now()
	good := ireland.Document(machine)
	flipped := bytes.Clone(good)
	flipped[bytes.Index(flipped, []byte(machine))+3] ^= 1
	sign := func(account, region string, at time.Time) []byte {
		return ireland.Sign(instancetest.JSON(machine, account, region, at), pkcs7.OIDDigestAlgorithmSHA256)
	}
	for name, c := range map[string]struct {
		der   []byte
		cloud string
		want  instance.Cause
	}{
		"another region's, properly signed":            {virginia.Document(machine), "aws-eu-west-1", instance.BadSignature},
		"ours, for a node of another region":           {good, "aws-us-east-1", instance.BadSignature},
		"another region's, signed by this one's key":   {sign(instancetest.Account, "us-east-1", now.Add(-time.Hour)), "aws-eu-west-1", instance.WrongRegion},
		"signed by a key that is not configured":       {stranger.Document(machine), "aws-eu-west-1", instance.BadSignature},
		"changed after it was signed":                  {flipped, "aws-eu-west-1", instance.BadSignature},
		"somebody else's account":                      {sign("210987654321", "eu-west-1", now.Add(-time.Hour)), "aws-eu-west-1", instance.WrongAccount},
		"started in the future":                        {sign(instancetest.Account, "eu-west-1", now.Add(time.Hour)), "aws-eu-west-1", instance.FutureStart},
		"without an instance":                          {ireland.Sign([]byte(`{"accountId":"123456789012","region":"eu-west-1"}`), pkcs7.OIDDigestAlgorithmSHA256), "aws-eu-west-1", instance.Malformed},
		"no JSON":                                      {ireland.Sign([]byte("hello"), pkcs7.OIDDigestAlgorithmSHA256), "aws-eu-west-1", instance.Malformed},
		"over SHA-1":                                   {ireland.Sign(instancetest.JSON(machine, instancetest.Account, "eu-west-1", now), pkcs7.OIDDigestAlgorithmSHA1), "aws-eu-west-1", instance.Malformed},
		"no PKCS #7":                                   {[]byte("nothing"), "aws-eu-west-1", instance.Malformed},
		"empty":                                        {nil, "aws-eu-west-1", instance.Malformed},
		"too long":                                     {make([]byte, instance.MaxBytes+1), "aws-eu-west-1", instance.Malformed},
		"a region of the cloud that nobody configured": {good, "aws-ap-southeast-2", instance.Unconfigured},
		"a region that is not in this cloud":           {good, "eu-west-1", instance.Unconfigured},
	} {
		if d, err := a.Verify(c.der, c.cloud, now); err == nil || instance.CauseOf(err) != c.want || d != (instance.Document{}) {
			t.Errorf("%s: %+v %v, want %s", name, d, err, c.want)
		}
	}
	if _, err := (*instance.Authorities)(nil).Verify(good, "aws-eu-west-1", now); instance.CauseOf(err) != instance.Unconfigured {
		t.Errorf("without authorities: %v", err)
	}
	if _, err := a.Verify(good, "aws-eu-west-1", now.Add(48*time.Hour)); instance.CauseOf(err) != instance.BadSignature {
		t.Errorf("by a certificate that has ended: %v", err)
	}
}

// A certificate that the document brings along is nobody's word.
func TestCertificatesInsideAreIgnored(t *testing.T) {
	ireland, stranger := instancetest.New(t, "eu-west-1"), instancetest.New(t, "eu-west-1")
	p, err := pkcs7.Parse(stranger.Document(machine))
	if err != nil || len(p.Certificates) != 1 || p.Verify() != nil {
		t.Fatalf("the stranger's document must verify by what it carries, or this test shows nothing: %v", err)
	}
	if _, err := load(t, ireland.Config()).Verify(stranger.Document(machine), "aws-eu-west-1", time.Now()); instance.CauseOf(err) != instance.BadSignature {
		t.Errorf("got %v", err)
	}
}

func TestConfigIsStrict(t *testing.T) {
	ireland := instancetest.New(t, "eu-west-1")
	if a, err := instance.Load(instance.Config{}); a != nil || err != nil {
		t.Errorf("nothing configured: %v %v", a, err)
	}
	text := filepath.Join(t.TempDir(), "text.pem")
	if err := os.WriteFile(text, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := func(region, file string) map[string]string { return map[string]string{region: file} }
	for want, c := range map[string]instance.Config{
		"go together":     {Certificates: files("eu-west-1", ireland.File)},
		"12 digits":       {Certificates: files("eu-west-1", ireland.File), Accounts: []string{"12345"}},
		"must map":        {Certificates: files("ie1", ireland.File), Accounts: []string{instancetest.Account}},
		"no such file":    {Certificates: files("eu-west-1", text+"x"), Accounts: []string{instancetest.Account}},
		"no PEM":          {Certificates: files("eu-west-1", text), Accounts: []string{instancetest.Account}},
		"RSA key of 2048": {Certificates: files("eu-west-1", instancetest.NewOf(t, "eu-west-1", 1024).File), Accounts: []string{instancetest.Account}},
	} {
		if _, err := instance.Load(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

// The metadata service gives base64 in lines of 64, without PEM's first and last.
func TestReadTakesWhatTheMetadataServiceGives(t *testing.T) {
	der := instancetest.New(t, "eu-west-1").Document(machine)
	text := base64.StdEncoding.EncodeToString(der)
	var lines []string
	for ; len(text) > 64; text = text[64:] {
		lines = append(lines, text[:64])
	}
	lines = append(lines, text)
	body := strings.Join(lines, "\n")
	for name, content := range map[string]string{"bare": body, "pem": "-----BEGIN PKCS7-----\n" + body + "\n-----END PKCS7-----\n", "der": string(der)} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := instance.Read(path); err != nil || !bytes.Equal(got, der) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := instance.Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func FuzzVerify(f *testing.F) {
	ireland := instancetest.New(f, "eu-west-1")
	a, err := instance.Load(ireland.Config())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ireland.Document(machine))
	f.Fuzz(func(t *testing.T, der []byte) {
		if d, err := a.Verify(der, "aws-eu-west-1", time.Now()); err == nil && d.Instance != machine {
			t.Fatalf("a document that nobody signed: %+v", d)
		}
	})
}
