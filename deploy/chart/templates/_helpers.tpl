{{- define "smh-gateway.name" -}}
{{- if contains "smh-gateway" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-smh-gateway" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "smh-gateway.selector" -}}
app.kubernetes.io/name: smh-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "smh-gateway.labels" -}}
{{ include "smh-gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "smh-gateway.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* gateway.yaml as a tree. */ -}}
{{- define "smh-gateway.config" -}}
{{- $config := fromYaml .Values.gatewayYaml -}}
{{- if hasKey $config "Error" }}{{ fail (printf "gatewayYaml is not YAML: %s" $config.Error) }}{{ end -}}
{{- $config | toJson -}}
{{- end -}}

{{- /* A duration of gateway.yaml in whole seconds, rounded up. */ -}}
{{- define "smh-gateway.seconds" -}}
{{- if hasSuffix "ms" . -}}{{ div (add (trimSuffix "ms" . | int) 999) 1000 }}
{{- else if hasSuffix "s" . -}}{{ trimSuffix "s" . | int }}
{{- else if hasSuffix "m" . -}}{{ mul (trimSuffix "m" . | int) 60 }}
{{- else if hasSuffix "h" . -}}{{ mul (trimSuffix "h" . | int) 3600 }}
{{- else -}}{{ fail (printf "shutdown: `%s` is not a duration of seconds, minutes or hours" .) }}
{{- end -}}
{{- end -}}

{{- /* Or the last deletes are cut off. */ -}}
{{- define "smh-gateway.grace" -}}
{{- $shutdown := (include "smh-gateway.config" . | fromJson).shutdown | default dict -}}
{{- $delay := include "smh-gateway.seconds" ($shutdown.delay | default "2s") | int -}}
{{- $drain := include "smh-gateway.seconds" ($shutdown.drain | default "25s") | int -}}
{{- $grace := .Values.terminationGracePeriodSeconds | int -}}
{{- if le $grace (add $delay $drain | int) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and must be longer than shutdown.delay and drain together, which are %d s" $grace (add $delay $drain)) -}}
{{- end -}}
{{- $grace -}}
{{- end -}}

{{- /* The port of the admin listener, which central has on the pod's address. */ -}}
{{- define "smh-gateway.adminPort" -}}
{{- $address := ((include "smh-gateway.config" . | fromJson).admin | default dict).address | default "127.0.0.1:9901" -}}
{{- if or (hasPrefix "127." $address) (hasPrefix "[::1]" $address) -}}
{{- fail (printf "admin.address is %s: where nobody reaches it from outside of the pod. With mode central: 0.0.0.0:9901" $address) -}}
{{- end -}}
{{- regexFind "[0-9]+$" $address -}}
{{- end -}}

{{- /* The port of the first listener that has one. */ -}}
{{- define "smh-gateway.httpsPort" -}}
{{- $port := "" -}}
{{- range (include "smh-gateway.config" . | fromJson).listeners -}}
{{- if and .address .tls (not $port) }}{{ $port = regexFind "[0-9]+$" .address }}{{ end -}}
{{- end -}}
{{- required "mode central needs a listener with `address` and `tls`" $port -}}
{{- end -}}

{{- /* What the modes `sidecar` and `job` have in common: another container beside the gateway's. */ -}}
{{- define "smh-gateway.podBeside" -}}
{{- include "smh-gateway.podHead" . }}
{{- if .Values.sidecar.native }}
initContainers:
  - {{- include "smh-gateway.container" . | nindent 4 }}
    restartPolicy: Always
containers:
  - {{- toYaml .Values.sidecar.app | nindent 4 }}
{{- else }}
containers:
  - {{- include "smh-gateway.container" . | nindent 4 }}
  - {{- toYaml .Values.sidecar.app | nindent 4 }}
{{- end }}
{{- include "smh-gateway.volumes" . }}
{{- end -}}

{{- define "smh-gateway.podHead" -}}
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ include "smh-gateway.grace" . }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
{{- if eq .Values.mode "central" }}
{{- if .Values.central.journal.enabled }}
  fsGroup: 10932
  fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- else if .Values.sidecar.socket }}
  supplementalGroups: [10933]
{{- end }}
{{- end -}}

{{- define "smh-gateway.container" -}}
{{- $central := eq .Values.mode "central" -}}
name: smh-gateway
image: {{ include "smh-gateway.image" . }}
{{- if ne .Values.image.pullPolicy "IfNotPresent" }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}
args: [serve, --config, /etc/smh-gateway/gateway.yaml]
{{- if $central }}
ports:
  - name: https
    containerPort: {{ include "smh-gateway.httpsPort" . }}
  - name: admin
    containerPort: {{ include "smh-gateway.adminPort" . }}
{{- end }}
# Each probe has one meaning, and none of them asks SMH.
startupProbe: # it has read its configuration and listens
  {{- include "smh-gateway.probe" (list $central "/livez" "health") | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 30
livenessProbe: # it still answers; if not, only a restart helps
  {{- include "smh-gateway.probe" (list $central "/livez" "health") | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe: # it can take deletes: it has its tokens and is not leaving
  {{- include "smh-gateway.probe" (list $central "/readyz" "health" "--ready") | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
resources:
{{- if .Values.resources }}
  {{- toYaml .Values.resources | nindent 2 }}
{{- else if $central }}
  requests: { cpu: 500m, memory: 128Mi }
  limits: { cpu: "2", memory: 256Mi }
{{- else }}
  requests: { cpu: 20m, memory: 40Mi }
  limits: { cpu: "1", memory: 96Mi }
{{- end }}
securityContext:
  runAsUser: 10932 # its own: in a pod with others, no other process is the same user
  runAsGroup: 10932
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
# Folders and never `subPath`: only in a folder does the kubelet replace a token or key that has changed.
volumeMounts:
  - name: config
    mountPath: /etc/smh-gateway
    readOnly: true
  - name: secrets
    mountPath: /run/secrets/smh
    readOnly: true
{{- if $central }}
  - name: tls
    mountPath: /run/secrets/tls
    readOnly: true
{{- if .Values.central.serviceAccountCallers }}
  - name: kubernetes
    mountPath: /run/secrets/kubernetes
    readOnly: true
{{- end }}
{{- if .Values.central.journal.enabled }}
  - name: journal
    mountPath: /var/lib/smh-gateway
{{- end }}
{{- else if .Values.sidecar.socket }}
  - name: socket
    mountPath: /run/smh-gateway
{{- end }}
{{- end -}}

{{- /* By the kubelet where it reaches the admin listener, else inside the container. */ -}}
{{- define "smh-gateway.probe" -}}
{{- if first . -}}
httpGet:
  path: {{ index . 1 }}
  port: admin
{{- else -}}
exec:
  command: [/usr/bin/smh-gateway, {{ slice . 2 | join ", " }}]
{{- end -}}
{{- end -}}

{{- define "smh-gateway.volumes" }}
volumes:
  - name: config
    configMap:
      name: {{ include "smh-gateway.name" . }}
  - name: secrets
    secret:
      secretName: {{ .Values.existingSecret }}
{{- if eq .Values.mode "central" }}
  - name: tls
    secret:
      secretName: {{ .Values.central.tls.secretName }}
{{- if .Values.central.serviceAccountCallers }}
  # What it takes to ask the API server for the keys of service account tokens: every service account may.
  - name: kubernetes
    projected:
      sources:
        - serviceAccountToken:
            expirationSeconds: 3600
            path: token
        - configMap:
            name: kube-root-ca.crt
            items:
              - key: ca.crt
                path: ca.crt
{{- end }}
{{- else if .Values.sidecar.socket }}
  - name: socket
    emptyDir:
      medium: Memory
      sizeLimit: 1Mi
{{- end }}
{{- end -}}
