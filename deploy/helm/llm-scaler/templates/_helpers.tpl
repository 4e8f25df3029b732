{{- define "name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "fullname" -}}
{{- $name := include "name" . }}
{{- $usual := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $usual .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "serviceAccount" -}}
{{- default (ternary (include "fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "selector" -}}
app.kubernetes.io/name: {{ include "name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/part-of: llm-scaler
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.additionalLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The head of an object: dict "root" $ "name" NAME "namespace" (optional) "labels" (optional) "annotations" (optional) */}}
{{- define "metadata" -}}
{{- $labels := merge (deepCopy (.labels | default dict)) (include "labels" .root | fromYaml) }}
{{- $annotations := merge (deepCopy (.annotations | default dict)) .root.Values.additionalAnnotations -}}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- toYaml $labels | nindent 4 }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "image" -}}
{{- $name := .Values.image.repository }}
{{- with .Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end }}
{{- if .Values.image.digest }}{{ $name }}@{{ .Values.image.digest }}{{ else }}{{ $name }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "serverSecret" -}}
{{- if .Values.certificates.secretName }}{{ .Values.certificates.secretName }}
{{- else if .Values.certificates.certManager.enabled }}{{ include "fullname" . }}-server{{ end }}
{{- end }}

{{- define "clientSecret" -}}
{{- if .Values.certificates.clientSecretName }}{{ .Values.certificates.clientSecretName }}
{{- else if .Values.certificates.certManager.enabled }}{{ include "fullname" . }}-client{{ end }}
{{- end }}

{{- define "formulasConfigMap" -}}
{{- if .Values.formulas.existingConfigMap }}{{ .Values.formulas.existingConfigMap }}
{{- else if .Values.formulas.files }}{{ include "fullname" . }}-formulas{{ end }}
{{- end }}

{{- define "namespaces" -}}
{{- $words := list }}
{{- range splitList "," .Values.watchNamespace }}{{ with trim . }}{{ $words = append $words . }}{{ end }}{{ end }}
{{- toJson $words }}
{{- end }}

{{- /* Hosts of scalerAddress that are this release. */}}
{{- define "hosts" -}}
{{- toJson (concat (list (printf "%s.%s" (include "fullname" .) .Release.Namespace)) .Values.scalerAddresses) }}
{{- end }}

{{- /* The settings file. */}}
{{- define "settings" -}}
{{- $own := dict "grpc" (dict "address" "0.0.0.0:6000") "admin" (dict "address" "0.0.0.0:8080") }}
{{- if include "serverSecret" . }}
{{- $files := "/etc/llm-scaler/tls" }}
{{- $tls := dict "cert" (printf "%s/tls.crt" $files) "key" (printf "%s/tls.key" $files) "clientCA" (printf "%s/ca.crt" $files) }}
{{- $_ := set $own.grpc "tls" $tls }}
{{- end }}
{{- if include "formulasConfigMap" . }}{{ $_ := set $own "formulas" "/etc/llm-scaler/formulas" }}{{ end }}
{{- if .Values.permissions.workloads }}
{{- $kubernetes := dict "enabled" "true" "scalerAddresses" (include "hosts" . | fromJsonArray) }}
{{- with include "namespaces" . | fromJsonArray }}{{ $_ := set $kubernetes "namespaces" . }}{{ end }}
{{- $_ := set $own "kubernetes" $kubernetes }}
{{- else }}
{{- $_ := set $own "kubernetes" (dict "enabled" "false") }}
{{- end }}
{{- toYaml (mergeOverwrite (deepCopy .Values.settings) $own) }}
{{- end }}
