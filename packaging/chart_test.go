package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	kyaml "sigs.k8s.io/yaml"
)

const chart = "../deploy/helm/domicile"

// helm runs the real one, which make helm builds.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program, err := filepath.Abs("../.build/peers/helm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("DOMICILE_NEED_HELM") != "" {
			t.Fatalf("helm is missing, and DOMICILE_NEED_HELM demands it (make helm): %v", err)
		}
		t.Skip("SKIPPED: helm is missing (make helm): the chart is not rendered here")
	}
	cmd := exec.Command(program, args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG=/dev/null")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return said.String() + string(out), err
	}
	return string(out), nil
}

// manifests of one release, by kind.
type manifests struct {
	sets     []*appsv1.StatefulSet
	services []*corev1.Service
	configs  []*corev1.ConfigMap
	networks []*networkingv1.NetworkPolicy
	budgets  []*policyv1.PodDisruptionBudget
	monitors []*monitoringv1.PodMonitor
	rules    []*monitoringv1.PrometheusRule
}

// render is what helm makes of a file in ci, each document decoded strictly into
// Kubernetes' own types: a field that does not exist, or of another type, is an error.
func render(t *testing.T, release, values string, more ...string) *manifests {
	t.Helper()
	out, err := helm(t, append([]string{"template", release, chart, "--namespace", "domicile-" + release, "-f", filepath.Join(chart, "ci", values)}, more...)...)
	if err != nil {
		t.Fatalf("helm template %s: %v\n%s", values, err, out)
	}
	m := &manifests{}
	for d := yaml.NewDecoder(strings.NewReader(out)); ; {
		var doc yaml.Node
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return m
		} else if err != nil {
			t.Fatalf("%s: %v\n%s", values, err, out)
		}
		text, err := yaml.Marshal(&doc)
		if err != nil {
			t.Fatal(err)
		}
		m.take(t, text)
	}
}

func (m *manifests) take(t *testing.T, text []byte) {
	t.Helper()
	var head struct{ APIVersion, Kind string }
	if err := kyaml.Unmarshal(text, &head); err != nil {
		t.Fatal(err)
	}
	switch head.APIVersion + " " + head.Kind {
	case "apps/v1 StatefulSet":
		m.sets = append(m.sets, strict[appsv1.StatefulSet](t, text))
	case "v1 Service":
		m.services = append(m.services, strict[corev1.Service](t, text))
	case "v1 ConfigMap":
		m.configs = append(m.configs, strict[corev1.ConfigMap](t, text))
	case "networking.k8s.io/v1 NetworkPolicy":
		m.networks = append(m.networks, strict[networkingv1.NetworkPolicy](t, text))
	case "policy/v1 PodDisruptionBudget":
		m.budgets = append(m.budgets, strict[policyv1.PodDisruptionBudget](t, text))
	case "monitoring.coreos.com/v1 PodMonitor":
		m.monitors = append(m.monitors, strict[monitoringv1.PodMonitor](t, text))
	case "monitoring.coreos.com/v1 PrometheusRule":
		m.rules = append(m.rules, strict[monitoringv1.PrometheusRule](t, text))
	default:
		t.Errorf("the chart makes a %s %s: secrets are never made by it, and whatever else needs a check here", head.APIVersion, head.Kind)
	}
}

func strict[T any](t *testing.T, text []byte) *T {
	t.Helper()
	v := new(T)
	if err := kyaml.UnmarshalStrict(text, v); err != nil {
		t.Errorf("%T: %v\n%s", v, err, text)
	}
	return v
}

func TestChartLints(t *testing.T) {
	for _, values := range []string{"controlplane.yaml", "ie1.yaml", "us1.yaml"} {
		if out, err := helm(t, "lint", "--strict", chart, "-f", filepath.Join(chart, "ci", values)); err != nil {
			t.Errorf("%s: %v\n%s", values, err, out)
		}
	}
}

// TestChartHasNoDefaultPlace takes away what must be given, one by one.
func TestChartHasNoDefaultPlace(t *testing.T) {
	for set, says := range map[string]string{
		"region=":                            "region: name the region",
		"nodeSelector=null":                  "nodeSelector: name the machines of the region",
		"storageClassName=":                  "storageClassName: name the class",
		"rootPublicKey=":                     "rootPublicKey: give",
		"image.registry=":                    "image.registry: name the registry of the region",
		"dataPlane.enabled=false":            "say what this release is",
		"controlPlane.enabled=true":          "two namespaces",
		"dataPlane.nodes=null":               "dataPlane.nodes: name",
		"dataPlane.baseURL=":                 "dataPlane.baseURL: give",
		"dataPlane.country=":                 "dataPlane.country: give",
		"dataPlane.config.region=ie1":        "dataPlane.config.region is not region",
		"dataPlane.config.ingest_address=:1": "dataPlane.streams=true instead",
		"dataPlane.config.store.kind=local":  "several nodes need config.store.kind sql",
		"dataPlane.regoin=ie1":               "additional properties 'regoin' not allowed",
		"region=IE_1":                        "region",
		"network.services[0].to=null":        "without to it would be everybody",
	} {
		out, err := helm(t, "template", "x", chart, "-f", filepath.Join(chart, "ci", "us1.yaml"), "--set", set)
		if err == nil || !strings.Contains(out, says) {
			t.Errorf("--set %s: %v, want a failure that says %q:\n%s", set, err, says, last(out))
		}
	}
	var given struct {
		Region, StorageClassName, RootPublicKey string
		NodeSelector                            map[string]string
		Image                                   struct{ Registry string }
	}
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := kyaml.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}
	if given.Region+given.StorageClassName+given.RootPublicKey+given.Image.Registry != "" || len(given.NodeSelector) > 0 {
		t.Errorf("values.yaml has a default place: %+v", given)
	}
	if out, err := helm(t, "template", "x", chart); err == nil || !strings.Contains(out, "say what this release is") {
		t.Errorf("without values: %v\n%s", err, last(out))
	}
}

func last(s string) string {
	return s[max(0, len(s)-800):]
}

func TestPodsAreConfined(t *testing.T) {
	for values, count := range map[string]int{"controlplane.yaml": 3, "ie1.yaml": 1, "us1.yaml": 2} {
		m := render(t, "rel", values)
		if len(m.sets) != count || len(m.budgets) != 1 || len(m.networks) != 1 {
			t.Fatalf("%s: %d sets, %d budgets, %d network policies", values, len(m.sets), len(m.budgets), len(m.networks))
		}
		for _, s := range m.sets {
			confined(t, values+" "+s.Name, s)
		}
	}
}

// confined demands what the "restricted" Pod Security Standard does, a read-only
// root, a place, and that removing leaves the volumes.
func confined(t *testing.T, name string, s *appsv1.StatefulSet) {
	t.Helper()
	pod, c := s.Spec.Template.Spec, s.Spec.Template.Spec.Containers[0]
	sc, psc := c.SecurityContext, pod.SecurityContext
	for what, ok := range map[string]bool{
		"one container":              len(pod.Containers) == 1 && len(pod.InitContainers) == 0,
		"runs as nobody":             psc != nil && *psc.RunAsNonRoot && *psc.RunAsUser == nobody && *psc.FSGroup == nobody,
		"system calls are filtered":  psc.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"read-only root":             sc != nil && *sc.ReadOnlyRootFilesystem && !*sc.AllowPrivilegeEscalation && sc.Privileged == nil,
		"no capability":              len(sc.Capabilities.Drop) == 1 && sc.Capabilities.Drop[0] == "ALL" && len(sc.Capabilities.Add) == 0,
		"no token of the cluster":    !*pod.AutomountServiceAccountToken,
		"nothing of the host":        !pod.HostNetwork && !pod.HostPID && !pod.HostIPC,
		"a place":                    pod.NodeSelector["topology.kubernetes.io/region"] != "" && *s.Spec.VolumeClaimTemplates[0].Spec.StorageClassName != "",
		"probes":                     c.StartupProbe.HTTPGet.Path == "/healthz" && c.LivenessProbe.HTTPGet.Path == "/healthz" && c.ReadinessProbe.HTTPGet.Path == "/readyz",
		"a limit of memory":          !c.Resources.Limits.Memory().IsZero(),
		"volumes stay":               s.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted == appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
		"a new configuration counts": len(s.Spec.Template.Annotations["domicile.io/config"]) == 64,
	} {
		if !ok {
			t.Errorf("%s: not so: %s", name, what)
		}
	}
	for _, v := range pod.Volumes {
		if v.HostPath != nil || v.Secret != nil && *v.Secret.DefaultMode != 0o440 {
			t.Errorf("%s: volume %s is of the host, or others may read it", name, v.Name)
		}
	}
	for _, e := range c.Env {
		if e.Value != "" {
			t.Errorf("%s: %s stands in the manifest", name, e.Name)
		}
	}
}

// TestStreamsHaveAPort asks for streams, and looks that the node listens, the Service
// leads there, and the network policy lets tenants' switches through; and that none of
// it is there when nobody asks.
func TestStreamsHaveAPort(t *testing.T) {
	for _, asked := range []bool{false, true} {
		m := render(t, "rel", "ie1.yaml", "--set", fmt.Sprintf("dataPlane.streams=%v", asked))
		listens, opened, led, let := false, false, false, false
		for _, c := range m.configs {
			listens = listens || strings.Contains(c.Data["dataplane.yaml"], "ingest_address: 0.0.0.0:9443")
		}
		for _, p := range m.sets[0].Spec.Template.Spec.Containers[0].Ports {
			opened = opened || p.Name == "streams" && p.ContainerPort == 9443
		}
		for _, s := range m.services {
			for _, p := range s.Spec.Ports {
				led = led || p.Port == 9443 && p.TargetPort.String() == "streams"
			}
		}
		for _, rule := range m.networks[0].Spec.Ingress {
			for _, p := range rule.Ports {
				let = let || p.Port.String() == "streams" && len(rule.From) == 1
			}
		}
		if listens != asked || opened != asked || led != asked || let != asked {
			t.Errorf("asked for streams: %v; the node listens: %v, the port is named: %v, the Service leads to it: %v, the network lets clients: %v", asked, listens, opened, led, let)
		}
	}
}

func TestAlarmsInTheChart(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("DOMICILE_NEED_PROMTOOL") != "" {
			t.Fatal("promtool is missing, and DOMICILE_NEED_PROMTOOL demands it")
		}
		t.Skip("SKIPPED: promtool is missing: the alarms in the chart are not checked")
	}
	m := render(t, "rel", "ie1.yaml")
	if len(m.rules) != 1 || len(m.monitors) != 1 || len(m.configs) != 2 {
		t.Fatalf("%d rules, %d monitors, %d config maps", len(m.rules), len(m.monitors), len(m.configs))
	}
	text, err := kyaml.Marshal(m.rules[0].Spec)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", file).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("SUCCESS")) {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
