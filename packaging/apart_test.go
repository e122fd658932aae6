package main

import (
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// end is one end of a connection: a pod, or an address outside.
type end struct {
	namespace string
	nsLabels  map[string]string
	labels    map[string]string
	address   string
}

// pod is the first pod of a release in the namespace that render gives it.
func (m *manifests) pod(region, address string) end {
	ns := m.networks[0].Namespace
	return end{namespace: ns, labels: m.sets[0].Spec.Template.Labels, address: address,
		nsLabels: map[string]string{"kubernetes.io/metadata.name": ns, "domicile.io/region": region}}
}

// enters says whether a release's policy lets a connection in, by the semantics of
// the API's documentation: the policy selects its pods, so nothing passes but what a
// rule allows.
func (m *manifests) enters(t *testing.T, from end, port string) bool {
	t.Helper()
	m.selects(t, networkingv1.PolicyTypeIngress)
	for _, r := range m.networks[0].Spec.Ingress {
		if m.port(r.Ports, port) && m.peer(r.From, from) {
			return true
		}
	}
	return false
}

func (m *manifests) leaves(t *testing.T, to end, port string) bool {
	t.Helper()
	m.selects(t, networkingv1.PolicyTypeEgress)
	for _, r := range m.networks[0].Spec.Egress {
		if m.port(r.Ports, port) && m.peer(r.To, to) {
			return true
		}
	}
	return false
}

// selects fails the test when the release's pods are not under its policy: then all passes.
func (m *manifests) selects(t *testing.T, kind networkingv1.PolicyType) {
	t.Helper()
	spec := m.networks[0].Spec
	for _, s := range m.sets {
		if !matches(&spec.PodSelector, s.Spec.Template.Labels) {
			t.Fatalf("pods of %s are under no policy: everything passes", s.Name)
		}
	}
	for _, k := range spec.PolicyTypes {
		if k == kind {
			return
		}
	}
	t.Fatalf("the policy says nothing of %s: everything passes", kind)
}

var numbers = map[string]int{"tenants": 8443, "peer": 7443, "ops": 9102, "rest": 9443, "grpc": 7001, "raft": 7002, "database": 5432, "dns": 53, "ssh": 22}

func (m *manifests) port(allowed []networkingv1.NetworkPolicyPort, name string) bool {
	if len(allowed) == 0 {
		return true
	}
	for _, p := range allowed {
		if p.Port == nil || *p.Port == intstr.FromString(name) || *p.Port == intstr.FromInt(numbers[name]) {
			return true
		}
	}
	return false
}

func (m *manifests) peer(allowed []networkingv1.NetworkPolicyPeer, other end) bool {
	if len(allowed) == 0 {
		return true
	}
	for _, p := range allowed {
		switch {
		case p.IPBlock != nil:
			if a, err := netip.ParseAddr(other.address); err == nil && netip.MustParsePrefix(p.IPBlock.CIDR).Contains(a) {
				return true
			}
		case p.NamespaceSelector == nil && other.namespace != m.networks[0].Namespace:
		case p.NamespaceSelector != nil && !matches(p.NamespaceSelector, other.nsLabels):
		case p.PodSelector != nil && !matches(p.PodSelector, other.labels):
		default:
			return true
		}
	}
	return false
}

func matches(s *metav1.LabelSelector, have map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(have))
}

// TestRegionsKeepApart asks the rendered policies who may speak with whom, of two
// regions in one cluster, a control plane, and addresses outside.
func TestRegionsKeepApart(t *testing.T) {
	cp, ie1, us1 := render(t, "cp", "controlplane.yaml"), render(t, "ie1", "ie1.yaml"), render(t, "us1", "us1.yaml")
	for name, m := range map[string]*manifests{"domicile-cp": cp, "domicile-ie1": ie1, "domicile-us1": us1} {
		for i := range m.networks {
			m.networks[i].Namespace = name // helm leaves it to the install
		}
	}
	irish, american, voter := ie1.pod("ie1", "10.1.7.5"), us1.pod("us1", "10.20.7.5"), cp.pod("de1", "10.3.0.5")
	stranger := end{address: "203.0.113.9"}
	for _, c := range []struct {
		what      string
		got, want bool
	}{
		{"an Irish switch reaches the Irish node", ie1.enters(t, end{address: "10.1.2.3"}, "tenants"), true},
		{"an American switch does not", ie1.enters(t, end{address: "10.20.2.3"}, "tenants"), false},
		{"nobody from outside does", ie1.enters(t, stranger, "tenants"), false},
		{"the American node does not reach Irish tenants' port", ie1.enters(t, american, "tenants"), false},
		{"nor the peer port, which Ireland opens to nobody", ie1.enters(t, american, "peer"), false},
		{"nor the operators' port", ie1.enters(t, american, "ops"), false},
		{"the Irish node reaches the American peer port", ie1.leaves(t, american, "peer") && us1.enters(t, irish, "peer"), true},
		{"but not American tenants' port", ie1.leaves(t, american, "tenants"), false},
		{"the American node reaches nothing Irish", us1.leaves(t, irish, "peer") || us1.leaves(t, irish, "tenants"), false},
		{"the Irish node does not reach the American database", ie1.leaves(t, end{address: "10.20.8.1"}, "database"), false},
		{"the American node does", us1.leaves(t, end{address: "10.20.8.1"}, "database"), true},
		{"the Irish node calls nobody outside", ie1.leaves(t, stranger, "tenants") || ie1.leaves(t, stranger, "ssh"), false},
		{"the Irish node reaches the voters", cp.enters(t, irish, "grpc"), true},
		{"but not their Raft port", cp.enters(t, irish, "raft"), false},
		{"voters reach each other's", cp.enters(t, voter, "raft") && cp.leaves(t, voter, "raft"), true},
		{"voters do not call regions", cp.leaves(t, irish, "peer") || cp.leaves(t, irish, "tenants") || cp.leaves(t, irish, "ops"), false},
		{"nor anybody outside", cp.leaves(t, stranger, "rest"), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}
