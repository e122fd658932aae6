{{/* What must be given. Every message says what to set; there is no default place. */}}
{{- define "domicile.check" -}}
{{- if not (or .Values.controlPlane.enabled .Values.dataPlane.enabled) }}{{ fail "say what this release is: --set controlPlane.enabled=true, or --set dataPlane.enabled=true" }}{{ end -}}
{{- if and .Values.controlPlane.enabled .Values.dataPlane.enabled }}{{ fail "a release is the control plane or one region: install the chart twice, in two namespaces" }}{{ end -}}
{{- $_ := required "region: name the region that this release stands in, such as --set region=ie1; there is no default" .Values.region -}}
{{- if not .Values.nodeSelector }}{{ fail "nodeSelector: name the machines of the region, such as topology.kubernetes.io/region; without it pods would be wherever there is room" }}{{ end -}}
{{- $_ := required "storageClassName: name the class whose disks are in the region; there is no default" .Values.storageClassName -}}
{{- $_ := required "rootPublicKey: give the operator root's public key, 64 hex digits" .Values.rootPublicKey -}}
{{- $_ := required "image.registry: name the registry of the region that the images were copied to" .Values.image.registry -}}
{{- if .Values.controlPlane.enabled -}}
{{- if not .Values.controlPlane.voters }}{{ fail "controlPlane.voters: name three or five voters and their Secrets" }}{{ end -}}
{{- if eq (mod (len .Values.controlPlane.voters) 2) 0 }}{{ fail "controlPlane.voters: an even number of voters survives no more than one less: name three or five" }}{{ end -}}
{{- $_ := required "controlPlane.bundleSecret: name the Secret with bundle.key and bundle.cert" .Values.controlPlane.bundleSecret -}}
{{- with .Values.controlPlane.config.region }}{{ if ne . $.Values.region }}{{ fail "controlPlane.config.region is not region: say it once, as region" }}{{ end }}{{ end -}}
{{- else -}}
{{- if not .Values.dataPlane.nodes }}{{ fail "dataPlane.nodes: name the region's nodes and their Secrets" }}{{ end -}}
{{- if not .Values.dataPlane.controlPlane }}{{ fail "dataPlane.controlPlane: name the voters, host:port of their gRPC listeners" }}{{ end -}}
{{- $_ := required "dataPlane.baseURL: give the https URL at which tenants reach this region" .Values.dataPlane.baseURL -}}
{{- $_ := required "dataPlane.country: give the region's country, two capital letters" .Values.dataPlane.country -}}
{{- if .Values.dataPlane.config.ingest_address }}{{ fail "dataPlane.config.ingest_address: say dataPlane.streams=true instead, which opens the port in Service and network policy as well" }}{{ end -}}
{{- with .Values.dataPlane.config.region }}{{ if ne . $.Values.region }}{{ fail "dataPlane.config.region is not region: say it once, as region" }}{{ end }}{{ end -}}
{{- if and (gt (len .Values.dataPlane.nodes) 1) (ne (dig "store" "kind" "local" .Values.dataPlane.config) "sql") }}{{ fail "dataPlane.nodes: several nodes need config.store.kind sql; each would keep records of its own" }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "domicile.part" -}}{{ if .Values.controlPlane.enabled }}controlplane{{ else }}dataplane{{ end }}{{- end -}}

{{- define "domicile.name" -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}

{{- define "domicile.selector" -}}
app.kubernetes.io/name: domicile
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ include "domicile.part" . }}
{{- end -}}

{{- define "domicile.labels" -}}
{{ include "domicile.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
domicile.io/region: {{ .Values.region }}
{{- end -}}

{{- define "domicile.image" -}}
{{- $digest := ternary .Values.image.controlPlaneDigest .Values.image.dataPlaneDigest .Values.controlPlane.enabled -}}
{{- printf "%s/domicile-%s" (trimSuffix "/" .Values.image.registry) (include "domicile.part" .) -}}
{{- if $digest }}@{{ $digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* What every pod has. */}}
{{- define "domicile.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 60
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: DoNotSchedule
    labelSelector:
      matchLabels: {{- include "domicile.selector" . | nindent 8 }}
{{- end -}}

{{- define "domicile.container" -}}
image: {{ include "domicile.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
startupProbe:
  httpGet: {path: /healthz, port: ops}
  periodSeconds: 2
  failureThreshold: 150
livenessProbe:
  httpGet: {path: /healthz, port: ops}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: ops}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}
