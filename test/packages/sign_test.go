package packages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// signing is a folder that was released, and a key to sign it with.
type signing struct {
	t        *testing.T
	dir, key string
}

func (s signing) sh(script string) (string, error) {
	s.t.Helper()
	c := exec.Command("bash", "-ec", script)
	c.Env = append(os.Environ(), "DIR="+s.dir, "KEY="+s.key)
	c.Dir = s.dir
	out, err := c.CombinedOutput()
	return string(out), err
}

func released(t *testing.T) signing {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: ssh-keygen is missing: nothing is signed here")
	}
	s := signing{t: t, dir: t.TempDir(), key: filepath.Join(t.TempDir(), "key")}
	if out, err := s.sh("echo a package > domicile_1.0.0_amd64.deb; sha256sum domicile_1.0.0_amd64.deb > SHA256SUMS"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", s.key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// checked is what the page tells whoever got a release to type.
func checked(t *testing.T) string {
	t.Helper()
	page := read(t, source(t, "docs", "operations", "install.md"))
	_, text, ok := strings.Cut(page, "```sh signature\n")
	text, _, ended := strings.Cut(text, "```")
	if !ok || !ended {
		t.Fatal("docs/operations/install.md does not say how a signature is checked")
	}
	return text
}

func TestChecksumsAreSignedByTheOperatorsKey(t *testing.T) {
	s := released(t)
	sign := source(t, "packaging", "sign.sh")
	if out, err := s.sh(sign + " $DIR"); err == nil || !strings.Contains(out, "KEY=") {
		t.Errorf("without a key: %v\n%s", err, out)
	}
	if out, err := s.sh(sign + " $DIR $KEY"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	trust := "printf 'releases@operator.example namespaces=\"domicile-release\" %s\\n' \"$(cat $KEY.pub)\" > allowed_signers\n"
	if out, err := s.sh(trust + checked(t)); err != nil {
		t.Errorf("what was signed is not believed: %v\n%s", err, out)
	}
	for what, change := range map[string]string{
		"a checksum is changed":         "sed -i s/^./0/ SHA256SUMS; ",
		"a file is changed":             "echo more >> domicile_1.0.0_amd64.deb; ",
		"another key signed":            "ssh-keygen -q -t ed25519 -N '' -f other; rm SHA256SUMS.sig; ssh-keygen -q -Y sign -f other -n domicile-release SHA256SUMS; ",
		"the key signed something else": "rm SHA256SUMS.sig; ssh-keygen -q -Y sign -f $KEY -n git SHA256SUMS; ",
	} {
		at := released(t)
		at.key = s.key
		if out, err := at.sh(sign + " $DIR $KEY; " + trust + change + "\n" + checked(t)); err == nil {
			t.Errorf("%s, and it is believed:\n%s", what, out)
		}
	}
	if out, err := s.sh("echo more >> domicile_1.0.0_amd64.deb; " + sign + " $DIR $KEY"); err == nil || !strings.Contains(out, "is not what SHA256SUMS says") {
		t.Errorf("what was changed is signed: %v\n%s", err, out)
	}
}
