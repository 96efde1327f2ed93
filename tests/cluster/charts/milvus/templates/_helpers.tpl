{{- define "milvus.fullname" -}}
{{- if contains "milvus" .Release.Name -}}{{ .Release.Name }}{{- else -}}{{ .Release.Name }}-milvus{{- end -}}
{{- end -}}

{{- define "milvus.matchLabels" -}}
app.kubernetes.io/name: milvus
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "milvus.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "milvus.matchLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/*
A Deployment of one Milvus role. Call with a dict: root (the top scope), component (label and name), values (the
role's values), command (words after "milvus run"), port (of its gRPC server).
*/}}
{{- define "milvus.deployment" -}}
{{- $root := .root -}}
{{- $fullname := include "milvus.fullname" $root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $fullname }}-{{ .component }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "milvus.labels" $root | nindent 4 }}
    component: {{ .component | quote }}
spec:
  {{- if ge (int .values.replicas) 0 }}
  replicas: {{ .values.replicas }}
  {{- end }}
  {{- if eq .component "mixcoord" }}
  strategy:
    type: Recreate
  {{- end }}
  selector:
    matchLabels:
      {{- include "milvus.matchLabels" $root | nindent 6 }}
      component: {{ .component | quote }}
  template:
    metadata:
      labels:
        {{- include "milvus.matchLabels" $root | nindent 8 }}
        component: {{ .component | quote }}
      annotations:
        checksum/config: {{ include (print $root.Template.BasePath "/config.yaml") $root | sha256sum }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with .values.terminationGracePeriodSeconds }}
      terminationGracePeriodSeconds: {{ . }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ $root.Values.image | quote }}
          imagePullPolicy: Never
          args:
            - /milvus/tools/run-helm.sh
            - milvus
            - run
            {{- range .command }}
            - {{ . }}
            {{- end }}
          env:
            - {name: DEPLOY_MODE, value: CLUSTER}
            - {name: METRICS_PORT, value: "9091"}
          ports:
            - {name: {{ .portName | default .component }}, containerPort: {{ .port }}, protocol: TCP}
            - {name: metrics, containerPort: 9091, protocol: TCP}
          # The official chart waits 90 s before the first probe; tests wait for readiness all the time.
          readinessProbe:
            httpGet: {path: /healthz, port: metrics}
            periodSeconds: 2
            failureThreshold: 3
          livenessProbe:
            tcpSocket: {port: metrics}
            initialDelaySeconds: 90
            periodSeconds: 30
            failureThreshold: 5
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          volumeMounts:
            - {name: milvus-config, mountPath: /milvus/configs/default.yaml, subPath: default.yaml, readOnly: true}
            - {name: milvus-config, mountPath: /milvus/configs/user.yaml, subPath: user.yaml, readOnly: true}
            - {name: milvus-data-disk, mountPath: /milvus/data}
      volumes:
        - name: milvus-config
          configMap:
            name: {{ $fullname }}
        - name: milvus-data-disk
          hostPath:
            path: {{ $root.Values.storage.hostPath }}
            type: DirectoryOrCreate
{{- end -}}

{{/* A headless Service that names the metrics ports of one role. */}}
{{- define "milvus.metricsService" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "milvus.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "milvus.labels" .root | nindent 4 }}
    component: {{ .component | quote }}
spec:
  type: ClusterIP
  clusterIP: None
  ports:
    - {name: metrics, protocol: TCP, port: 9091, targetPort: metrics}
  selector:
    {{- include "milvus.matchLabels" .root | nindent 4 }}
    component: {{ .component | quote }}
{{- end -}}
