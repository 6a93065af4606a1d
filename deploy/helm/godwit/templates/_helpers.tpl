{{/* The names are fixed, because programs know each other by them (src/api/names.h): one installation a cluster. */}}
{{- define "godwit.labels" -}}
app.kubernetes.io/name: godwit
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "godwit.image" -}}
image: {{ .Values.image.name }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* For containers that only talk to the API server and to agents. */}}
{{- define "godwit.unprivileged" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Annotations of what exists while a release is being deleted, and no longer; rights (-1) come before who has them. */}}
{{- define "godwit.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
