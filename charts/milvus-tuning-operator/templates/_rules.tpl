{{- /*
What the operator may do in a namespace that it watches. Deployments themselves are only read: their size goes through the
scale subresource, so no template, image or strategy can be changed. Nothing is ever deleted but its own plans; pods are
replaced by eviction alone, which a PodDisruptionBudget may refuse. The verb approve on plans is not here: the operator
proposes and carries out, and who may say yes is for people to decide.
*/ -}}
{{- define "operator.rules" -}}
# The objects it serves: its own status, annotations and finalizer.
- apiGroups: [milvustuning.io]
  resources: [milvustunings]
  verbs: [get, list, watch, patch, update]
- apiGroups: [milvustuning.io]
  resources: [milvustunings/status, milvustunings/finalizers]
  verbs: [get, patch, update]
# Its plans: what it proposes, their log, and those that are older than the time they are kept.
- apiGroups: [milvustuning.io]
  resources: [milvustuningplans]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [milvustuning.io]
  resources: [milvustuningplans/status]
  verbs: [get, patch, update]
# Targets of kind HelmRelease.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [get, patch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list]
# Targets of kind Milvus: server-side apply of single fields. Without the verb create none can come into being by it.
- apiGroups: [milvus.io]
  resources: [milvuses]
  verbs: [get, list, watch, patch]
- apiGroups: [milvus.io]
  resources: [milvusupgrades]
  verbs: [get, list]
# QueryNode pods; patch marks the one that leaves with its deletion cost.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, patch]
# Pods that are replaced for a key that Milvus reads at start.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
# Where Milvus and its etcd are.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list]
# Credentials that a MilvusTuning refers to, by name; secrets are never listed.
- apiGroups: [""]
  resources: [secrets]
  {{- with .Values.rbac.secretNames }}
  resourceNames: {{- toYaml . | nindent 4 }}
  {{- end }}
  verbs: [get]
# Other writers of the size, who make it stand back.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list]
# What it tells.
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
