package packages_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// manual is the shell of one chapter of the page that operators follow.
func manual(t *testing.T, chapter string) string {
	t.Helper()
	_, text, found := strings.Cut(read(t, source(t, "docs", "operations", "install.md")), "\n## "+chapter+"\n")
	if !found {
		t.Fatalf("docs/operations/install.md has no chapter %q", chapter)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var script strings.Builder
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		script.WriteString(m[1])
	}
	if script.Len() == 0 {
		t.Fatalf("chapter %q has no shell", chapter)
	}
	return script.String()
}

// format is one kind of package.
type format struct {
	name, glob               string
	install, upgrade, remove string // commands; the package is /package
	purge                    string
	program                  string
}

var formats = []format{
	{name: "deb", glob: "*.deb", install: "dpkg --install /package", upgrade: "dpkg --install /package", remove: "dpkg --remove domicile", purge: "dpkg --purge domicile", program: "dpkg"},
	{name: "rpm", glob: "*.rpm", install: "rpm --install --nodeps --nosignature /package", upgrade: "rpm --upgrade --replacepkgs --nodeps --nosignature /package", remove: "rpm --erase --nodeps domicile", program: "rpm"},
}

// TestPackages installs each kind as the page says, lets the units run under
// systemd with all that they forbid, places a tenant, upgrades, and removes.
func TestPackages(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			needProgram(t, f.program)
			pkg := artifact(t, f.glob)
			s := boot(t, func(root string) { link(t, pkg, filepath.Join(root, "package")) })
			s.sh("test ! -e /usr/bin/domicile-controlplane") // else this machine's own would be tested
			s.sh(f.install)
			if out, err := s.try("systemctl", "is-enabled", "domicile-controlplane", "domicile-dataplane"); err == nil || strings.Contains(out, "enabled\n") {
				t.Errorf("installing enabled a unit: %s", out)
			}
			s.sh("gzip -dc /usr/share/man/man1/domicile-tenants-create.1.gz | grep -q SYNOPSIS && gzip -dc /usr/share/man/man8/domicile-dataplane.8.gz | grep -q migrate-store")
			s.follow(manual(t, "One machine, to try it"))
			s.serves()
			s.confined()
			s.sh("set -e; before=$(systemctl show -p MainPID domicile-controlplane); " + f.upgrade + "; test \"$before\" = \"$(systemctl show -p MainPID domicile-controlplane)\"")
			s.sh("systemctl restart domicile-controlplane domicile-dataplane")
			s.serves()
			s.sh(f.remove)
			if out, _ := s.try("systemctl", "is-active", "domicile-controlplane", "domicile-dataplane"); strings.Contains(out, "\nactive") || strings.HasPrefix(out, "active") {
				t.Errorf("a unit runs after the removal: %s", out)
			}
			s.sh("test ! -e /usr/bin/domicile-dataplane")
			if f.purge != "" {
				s.sh(f.purge)
			}
			s.sh("test -s /etc/domicile/dataplane/key.pem; test -s /etc/domicile/controlplane/credentials/bundle.key; test -d /var/lib/domicile-dataplane/keys; test -d /var/lib/domicile-controlplane; id domicile-dataplane")
			s.sh(f.install)
			s.sh("systemctl start domicile-controlplane domicile-dataplane")
			s.serves() // with the tenant that it had
		})
	}
}

// follow runs what a page says, with bash as an operator would, and keeps the variables.
func (s *scratch) follow(script string) {
	s.t.Helper()
	if out, err := s.try("bash", "-euc", script+"\nprintf 'export DOMICILE_CONTROL_URL=%s DOMICILE_CA=%s DOMICILE_TOKEN=%s\\n' \"$DOMICILE_CONTROL_URL\" \"$DOMICILE_CA\" \"$DOMICILE_TOKEN\" > /root/env\n"); err != nil {
		journal, _ := s.try("journalctl", "--no-pager", "-n", "60", "-u", "domicile-*")
		s.t.Fatalf("what the page says: %v\n%s\n%s", err, out, journal)
	}
}

// serves waits until both are ready and the tenant reads its records.
func (s *scratch) serves() {
	s.t.Helper()
	s.await("the tenant's records are answered", func() bool {
		_, err := s.try("sh", "-ec", `. /root/env
curl -sf http://127.0.0.1:9101/readyz; curl -sf http://127.0.0.1:9102/readyz; curl -sf http://127.0.0.1:9102/healthz
domicile tenants get clinic
DOMICILE_IE1_URL=https://127.0.0.1:8443 DOMICILE_KEY=$(cat /root/domicile/clinic.key) domicile records list`)
		return err == nil
	})
}

// confined asks the kernel, of each main process, whether the unit's settings hold.
func (s *scratch) confined() {
	s.t.Helper()
	for _, part := range []string{"controlplane", "dataplane"} {
		pid := strings.TrimSpace(s.run("systemctl", "show", "-p", "MainPID", "--value", "domicile-"+part))
		status := s.run("cat", "/proc/"+pid+"/status")
		uid := strings.TrimSpace(s.run("id", "-u", "domicile-"+part))
		for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000", "CapEff:\t0000000000000000", "Uid:\t" + uid + "\t" + uid} {
			if !strings.Contains(status, want) {
				s.t.Errorf("%s: the kernel does not say %q:\n%s", part, want, status)
			}
		}
		if limits := s.run("cat", "/proc/"+pid+"/limits"); !regexp.MustCompile(`Max core file size +0 +0`).MatchString(limits) {
			s.t.Errorf("%s could be dumped:\n%s", part, limits)
		}
		if out, err := s.try("nsenter", "--target", pid, "--mount", "touch", "/usr/planted"); err == nil || !strings.Contains(out, "Read-only") {
			s.t.Errorf("%s could write to /usr: %s %v", part, out, err)
		}
	}
}

// link puts a file into the scratch root without a copy where it can.
func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Link(from, to) == nil {
		return
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
