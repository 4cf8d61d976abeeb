{{- define "tidegate.labels" -}}
app.kubernetes.io/name: tidegate-controller
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tidegate
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tidegate.selector" -}}
app.kubernetes.io/name: tidegate-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tidegate.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The namespaces that count, the release's own among them; empty for all. */}}
{{- define "tidegate.namespaces" -}}
{{- if .Values.watchNamespaces -}}
{{- append .Values.watchNamespaces .Release.Namespace | uniq | sortAlpha | join "," -}}
{{- end -}}
{{- end -}}

{{/* What every pod of ours may do: nothing. */}}
{{- define "tidegate.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "tidegate.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What the controller may do in each namespace that counts. */}}
{{- define "tidegate.namespacedRules" -}}
# What users declare.
- apiGroups: [tidegate.dev]
  resources: [appeventtypes, customers, eventsubscriptions, eventgateways]
  verbs: [list, watch]
- apiGroups: [tidegate.dev]
  resources: [appeventtypes/status, customers/status, eventsubscriptions/status, eventgateways/status]
  verbs: [patch]
# What the controller itself makes of it.
- apiGroups: [tidegate.dev]
  resources: [upstreamsubscriptions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [tidegate.dev]
  resources: [upstreamsubscriptions/status]
  verbs: [update]
# Clusters that guard ownerReferences want this of whoever sets them.
- apiGroups: [tidegate.dev]
  resources: [appeventtypes/finalizers, customers/finalizers, eventgateways/finalizers]
  verbs: [update]
# Keys and fields that types, customers and sinks name; for each gateway the key of its last configuration, and the
# certificate authority that its pods trust.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
# The pods of gateways.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, patch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, create, patch, delete]
# What happened.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
