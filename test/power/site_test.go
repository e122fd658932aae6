package power

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/testcluster"
)

const startLimit = 60 * time.Second

// site is three voters and one node of ie1, whose data_dir is a volume of its own.
type site struct {
	*testcluster.Cluster
	t       *testing.T
	dir     string
	volume  *chaos.Volume // nil: an ordinary folder
	data    string        // the node's data_dir
	witness string        // what a failpoint writes
	slept   string        // how long the machine is said to have slept
	node    *testcluster.Process
}

// siteOptions are what a test asks of its site.
type siteOptions struct {
	volume  int64 // bytes of the volume; 0: an ordinary folder
	regions []string
	edit    func(*dev.Environment, *dataplane.Config) error
}

func openSite(t *testing.T, o siteOptions) *site {
	t.Helper()
	usedBin = true
	programs, err := bin()
	check(t, err)
	dir, err := os.MkdirTemp("", "dmpower") // short, for the administration socket's path
	check(t, err)
	s := &site{t: t, dir: dir, data: filepath.Join(dir, "v", "d"), witness: filepath.Join(dir, "witness"), slept: filepath.Join(dir, "slept")}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if o.volume > 0 {
		if os.Geteuid() != 0 {
			t.Skip("SKIPPED: a volume of its own needs root and loop devices")
		}
		if s.volume, err = chaos.NewVolume(imageIn(t, dir), filepath.Join(dir, "v"), o.volume); err != nil {
			t.Skipf("SKIPPED: no volume of its own: %v", err)
		}
		t.Cleanup(func() {
			if err := s.volume.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if o.regions == nil {
		o.regions = []string{"ie1"}
	}
	s.Cluster, err = testcluster.Open(context.Background(), testcluster.Options{Dir: filepath.Join(dir, "c"), Bin: programs, Regions: o.regions,
		ExportInterval: 200 * time.Millisecond, ExportWindow: 2 * time.Second,
		EditRegion: func(env *dev.Environment, c *dataplane.Config) error {
			if c.Region == "ie1" {
				c.DataDir, c.Keys.RotateSpacing, c.MergeAfter = s.data, time.Second, time.Millisecond
			}
			if o.edit != nil {
				return o.edit(env, c)
			}
			return nil
		}})
	check(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.node = s.Process("ie1")
	return s
}

// imageIn is where the volume's blocks are: in memory, where that can be. What a cut
// takes away is what ext4 has not written to them.
func imageIn(t *testing.T, dir string) string {
	if d, err := os.MkdirTemp("/dev/shm", "dmpower"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(d) })
		dir = d
	}
	return filepath.Join(dir, "volume.img")
}

// place makes a tenant at home in ie1, and a key of role admin for it.
func (s *site) place(slug string, rules *controlv1.PolicyRules) (*controlv1.Tenant, *client.Region) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	control := s.Control("cp1")
	tenant, err := control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: "ie1", BillingCountry: "IE", Policy: rules})
	check(s.t, err)
	key, err := control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: slug, Region: "ie1", Role: "admin"})
	check(s.t, err)
	return tenant, s.Region("ie1", key.Secret)
}

// arm makes the next start of the node end the n-th time it comes to a failpoint.
func (s *site) arm(name, do string, n int) {
	s.t.Helper()
	if err := os.Remove(s.witness); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	env := []string{"DOMICILE_FAILPOINT_SLEPT=" + s.slept}
	if name != "" {
		env = append(env, "DOMICILE_FAILPOINT="+name+"#"+strconv.Itoa(n), "DOMICILE_FAILPOINT_DO="+do,
			"DOMICILE_FAILPOINT_VOLUME="+filepath.Dir(s.data), "DOMICILE_FAILPOINT_WITNESS="+s.witness)
	}
	s.node.Environ(env...)
}

// fired reports whether the armed failpoint was reached.
func (s *site) fired() bool {
	_, err := os.Stat(s.witness)
	return err == nil
}

// start starts the node and waits until it is ready; an error says that it ended before.
func (s *site) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if err := s.node.Start(); err != nil {
		return err
	}
	return s.node.WaitReady(ctx)
}

// reap waits for a node that is ending by itself.
func (s *site) reap() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	_, err := s.node.WaitEnd(ctx)
	return err
}

// admin asks the node's administration socket.
func (s *site) admin(ctx context.Context, method, path string) error {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.data, dataplane.AdminSocket))
	}}}
	q, err := http.NewRequestWithContext(ctx, method, "http://node"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// takeFile reads a file and removes it.
func takeFile(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return string(raw), os.Remove(path)
}

// tail is the end of the node's log.
func (s *site) tail() string {
	raw, err := os.ReadFile(s.node.Log())
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-3000):])
}
