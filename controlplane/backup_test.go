package controlplane_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/controlplane/backup"
	"github.com/domicile-io/domicile/policy"
)

// backup takes a backup of a voter over REST.
func (c *cluster) backup(voter int, recipient string) (*backup.File, []byte) {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "https://"+c.configs[voter].RESTAddress+"/v1/backups", strings.NewReader(`{"recipients":["`+recipient+`"]}`))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/octet-stream" {
		c.t.Fatalf("%d %s %v: %.300s", resp.StatusCode, resp.Header.Get("Content-Type"), err, b)
	}
	f, err := backup.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := f.Check(c.root); err != nil {
		c.t.Fatal(err)
	}
	return f, b
}

func newRecipient(t *testing.T) (identityFile, recipient string) {
	t.Helper()
	file, recipient, err := backup.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "backup.key")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, recipient
}

type delayed struct {
	at    time.Time
	bytes []byte
}

// slowed passes connections on to a voter's Raft port, what is sent to it late.
func slowed(t *testing.T, to string, late time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			go func() { _, _ = io.Copy(near, far); _ = near.Close() }()
			queue := make(chan delayed, 4096)
			go func() {
				defer close(queue)
				for buffer := make([]byte, 64<<10); ; {
					n, err := near.Read(buffer)
					if err != nil {
						return
					}
					queue <- delayed{time.Now().Add(late), bytes.Clone(buffer[:n])}
				}
			}()
			go func() {
				defer far.Close()
				for d := range queue {
					<-time.After(time.Until(d.at))
					_, _ = far.Write(d.bytes)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A backup of a voter that lags would miss what somebody was told is done. Here
// one hears everything late, and is asked at once.
func TestINV30_ABackupOfALaggingVoterHoldsWhatWasAcknowledged(t *testing.T) {
	const lagging = 2
	c := prepare(t, 3)
	c.timing.Heartbeat = 3 * time.Second // or the lag would look like a loss
	address := slowed(t, c.configs[lagging].RaftAddress, 300*time.Millisecond)
	for i := range c.configs {
		if i != lagging {
			c.configs[i].Voters = slices.Clone(c.configs[i].Voters)
			c.configs[i].Voters[lagging].RaftAddress = address
		}
	}
	c.startAll()
	if c.leader() == lagging {
		c.stop(lagging) // hands leadership over
		c.start(lagging)
		c.ready()
	}
	identity, recipient := newRecipient(t)
	ids, err := backup.ReadIdentity(identity)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		before := c.planes[lagging].Status().Revision
		c.tenant(sprintf("round-%c", 'a'+n), "ie1")
		leader := c.leader()
		acknowledged := c.planes[leader].Status().Revision
		if c.planes[lagging].Status().Revision > before {
			t.Logf("round %d: the voter does not lag", n)
		}
		f, _ := c.backup(lagging, recipient)
		if f.Manifest.Revision < acknowledged || f.Manifest.Voter != c.configs[lagging].Name {
			t.Errorf("the backup of %s is at revision %d, and %d was acknowledged before", f.Manifest.Voter, f.Manifest.Revision, acknowledged)
		}
		if n == 3 {
			if err := f.Verify(t.TempDir(), ids, c.root); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestBackupRefusals(t *testing.T) {
	c := newCluster(t, 1)
	_, recipient := newRecipient(t)
	good := map[string]any{"recipients": []string{recipient}}
	c.want(c.do(0, "POST", "/v1/backups", good, headers{"Authorization": ""}), 401, policy.Unauthenticated)
	c.want(c.do(0, "POST", "/v1/backups", good, c.token("auditor", "")), 403, policy.PermissionDenied)
	c.want(c.do(0, "POST", "/v1/backups", map[string]any{}, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "POST", "/v1/backups", map[string]any{"recipients": []string{"plain"}}, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "POST", "/v1/backups", map[string]any{"recipient": recipient}, nil), 400, policy.InvalidArgument)
	if a := c.do(0, "GET", "/v1/backups", nil, nil); a.Status != 405 {
		t.Errorf("GET: %d", a.Status)
	}
	c.want(c.do(0, "POST", "/v1/backups?recipient="+recipient, good, nil), 400, policy.InvalidArgument)
}

func TestBackupsAreScheduled(t *testing.T) {
	c := prepare(t, 3)
	identity, recipient := newRecipient(t)
	folder := filepath.Join(t.TempDir(), "backups")
	c.configs[1].Backup = &controlplane.Backup{Recipients: []string{recipient}, Folder: folder, Interval: time.Minute, Keep: 3}
	c.startAll()
	var names []string
	eventually(t, func() error {
		found, err := filepath.Glob(filepath.Join(folder, "*.backup"))
		if err == nil && len(found) == 0 {
			err = os.ErrNotExist
		}
		names = found
		return err
	}, "no backup was taken")
	ids, err := backup.ReadIdentity(identity)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	f, err := backup.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(t.TempDir(), ids, c.root); err != nil || f.Manifest.Voter != "cp2" {
		t.Errorf("%+v, %v", f.Manifest, err)
	}
	// Backups on request are encrypted to the configured recipient as well.
	if _, b := c.backup(1, recipient); len(b) == 0 {
		t.Error("empty")
	}
}

func TestBackupConfiguration(t *testing.T) {
	c := prepare(t, 1)
	_, recipient := newRecipient(t)
	for name, bad := range map[string]controlplane.Backup{
		"backup.recipients": {Folder: "x"},
		"backup.interval":   {Recipients: []string{recipient}, Interval: time.Second},
		"backup.keep":       {Recipients: []string{recipient}, Keep: -1},
	} {
		cfg := c.configs[0]
		cfg.Backup = &bad
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
