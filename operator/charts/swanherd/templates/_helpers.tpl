{{- define "swanherd.name" -}}
{{- printf "%s-ovn-agent" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "swanherd.selector" -}}
app.kubernetes.io/name: swanherd
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: ovn-agent
{{- end -}}

{{- define "swanherd.labels" -}}
{{ include "swanherd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "swanherd.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "swanherd.probe" -}}
exec:
  command: {{ toJson .command }}
{{ toYaml .times }}
{{- end -}}
