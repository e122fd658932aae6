package server

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
)

// methods walks every service of the control plane's API.
func methods(t *testing.T) map[string]protoreflect.MethodDescriptor {
	t.Helper()
	out := map[string]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("domicile.control.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				out["/"+string(s.FullName())+"/"+string(m.Name())] = m
			}
		}
		return true
	})
	if len(out) < 30 {
		t.Fatalf("only %d methods found: the walk is broken", len(out))
	}
	return out
}

func TestINV12_EveryMethodHasARow(t *testing.T) {
	all := methods(t)
	for name := range all {
		p, ok := permissions[name]
		if !ok {
			t.Errorf("%s has no row in the permission table", name)
		}
		if len(p.roles) == 0 && len(p.nodes) == 0 && !p.open {
			t.Errorf("%s may be called by nobody", name)
		}
		known := name == "/domicile.control.v1.AuditService/GetCheckpoint" || name == "/domicile.control.v1.LoginService/GetLogin"
		if p.open != known || p.open && (p.write || !p.local) {
			t.Errorf("%s: open to anybody %v, and only local reads of checkpoints and of how to log in may be", name, p.open)
		}
	}
	for name := range permissions {
		if _, ok := all[name]; !ok {
			t.Errorf("the permission table has a row for %s, which does not exist", name)
		}
	}
}

// A data plane reads its own region's bundle and posts proofs, and nothing else.
func TestINV12_CertificatesAloneMayDoNothingButSubscribe(t *testing.T) {
	for name, p := range permissions {
		voters := name == "/domicile.control.v1.BackupService/ConfirmRevision" || // a read of one number
			name == "/domicile.control.v1.LongRunningService/ReportOperation" || // how far a member's work is
			strings.HasPrefix(name, "/domicile.control.v1.MembershipService/") // what a member says to the leader
		subscribe := name == "/domicile.control.v1.DistributionService/Subscribe" ||
			name == "/domicile.control.v1.LifecycleService/ReportPurge" // a proof of its own node
		for _, r := range []mtls.Role{mtls.DataPlane, mtls.Gateway, mtls.ControlPlane} {
			admitted := p.admit(mtls.Identity{Role: r}) == nil
			if r == mtls.DataPlane && admitted != subscribe {
				t.Errorf("a data plane's certificate: %s admitted %v", name, admitted)
			}
			if r == mtls.Gateway && admitted == (subscribe || voters) || r == mtls.ControlPlane && admitted == subscribe {
				t.Errorf("certificate of role %s: %s admitted %v", r, name, admitted)
			}
		}
		if p.allow(caller{}) == nil {
			t.Errorf("%s is allowed without any role", name)
		}
		if p.write && len(p.roles) > 0 {
			for _, r := range []role{auditor, tenantReader} {
				if p.allow(caller{role: r}) == nil {
					t.Errorf("%s, a write, is allowed to %s", name, r)
				}
			}
		}
	}
}
