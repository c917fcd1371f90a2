{{- define "firstcall.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* A release may have dots in its name, a Service may not. */}}
{{- define "firstcall.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes in a release: the network policy's pods, the test's included. */}}
{{- define "firstcall.selector" -}}
app.kubernetes.io/name: {{ include "firstcall.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The agents alone. */}}
{{- define "firstcall.agents" -}}
{{ include "firstcall.selector" . }}
app.kubernetes.io/component: agent
{{- end -}}

{{/* Labels of an object, of (list $ (dict of its own)): each key once, and never another value of what selects. */}}
{{- define "firstcall.labels" -}}
{{- $ := first . -}}
{{- $labels := dict "app.kubernetes.io/part-of" "firstcall" "app.kubernetes.io/version" $.Chart.AppVersion "app.kubernetes.io/managed-by" $.Release.Service "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" | trunc 63) -}}
{{- range list $.Values.commonLabels (last .) (include "firstcall.selector" $ | fromYaml) -}}
{{- range $key, $value := . -}}{{- $_ := set $labels $key $value -}}{{- end -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{- define "firstcall.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "firstcall.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "firstcall.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with (.Values.global).imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^[^/]*[.:][^/]*/" $repository "") -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "firstcall.pullSecrets" -}}
{{- with concat (.Values.imagePullSecrets | default list) ((.Values.global).imagePullSecrets | default list) -}}
imagePullSecrets:
{{- range . }}
  - {{ if kindIs "string" . }}name: {{ . }}{{ else }}{{ toYaml . }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The claim of the store. */}}
{{- define "firstcall.claim" -}}
{{- default (include "firstcall.fullname" .) .Values.persistence.existingClaim -}}
{{- end -}}

{{/* With an agent or without. */}}
{{- define "firstcall.checkMonitors" -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor would scrape everything twice: enable one of them" -}}
{{- end -}}
{{- end -}}

{{/* What has no effect in a release without an agent, or not the one that is meant. */}}
{{- define "firstcall.checkWithoutAgent" -}}
{{- include "firstcall.checkMonitors" . -}}
{{- if and (or .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled) (not .Values.extraObjects) -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor have nothing to scrape: agent.enabled is false and there are no extraObjects; disable them" -}}
{{- end -}}
{{- if .Values.ingress.enabled -}}
{{- fail "ingress is the way to an agent's page, and agent.enabled is false: disable it, and write an Ingress for what extraObjects serve among them" -}}
{{- end -}}
{{- end -}}

{{/* What contradicts itself is said before anything is installed. */}}
{{- define "firstcall.check" -}}
{{- $sources := 0 -}}
{{- range list .Values.config .Values.existingConfig.configMap .Values.existingConfig.secret -}}
{{- if . -}}{{- $sources = add $sources 1 -}}{{- end -}}
{{- end -}}
{{- if eq (int $sources) 0 -}}
{{- fail "there is no configuration: give it in config (at least tenant.id and components), or name existingConfig.configMap or existingConfig.secret" -}}
{{- else if gt (int $sources) 1 -}}
{{- fail "there is more than one configuration: give only one of config, existingConfig.configMap and existingConfig.secret" -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "firstcall.fullname" .)) -}}
{{- fail (printf "no Service can be named %s: it begins with a letter and has letters in lower case, digits and hyphens; give one in fullnameOverride" (include "firstcall.fullname" .)) -}}
{{- end -}}
{{- include "firstcall.checkMonitors" . -}}
{{- if and .Values.azureWorkloadIdentity.enabled (not .Values.serviceAccount.create) (or .Values.azureWorkloadIdentity.clientId .Values.azureWorkloadIdentity.tenantId) -}}
{{- fail "azureWorkloadIdentity.clientId and tenantId are annotations of the ServiceAccount, and serviceAccount.create is false: annotate that ServiceAccount yourself, and leave them out" -}}
{{- end -}}
{{- if and .Values.vantage (not .Values.config) -}}
{{- fail "vantage has no effect on existingConfig: say it in that configuration, and leave it out" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host is missing: name the host under which people reach the page" -}}
{{- end -}}
{{- if .Values.config -}}
{{- $store := .Values.config.store | default dict -}}
{{- $url := $store.url | default "" -}}
{{- if eq .Values.store "sqlite" -}}
{{- if hasPrefix "postgres" $url -}}
{{- fail "config.store.url is a PostgreSQL: set store: postgres as well" -}}
{{- else if $store.url_file -}}
{{- fail "config.store.url_file is for a PostgreSQL: set store: postgres as well; with sqlite leave it out" -}}
{{- else if and $url (not (hasPrefix "sqlite:/var/lib/firstcall/" $url)) -}}
{{- fail "config.store.url must lie below sqlite:/var/lib/firstcall/, where the volume is: leave it out; for a PostgreSQL set store: postgres as well" -}}
{{- end -}}
{{- else -}}
{{- if not (or (hasPrefix "postgres" $url) (hasPrefix "${" $url) $store.url_file) -}}
{{- fail "store: postgres needs the database: give config.store.url (postgres://USER@HOST/DATABASE?sslmode=verify-full) or config.store.url_file" -}}
{{- end -}}
{{- if not (or .Values.vantage .Values.config.vantage) -}}
{{- fail "vantage is missing: with store: postgres name the place that these agents probe from, such as weu; replicas share it, agents elsewhere have another" -}}
{{- end -}}
{{- end -}}
{{- $listen := (.Values.config.web | default dict).listen -}}
{{- if and $listen (not (hasSuffix (printf ":%v" .Values.port) $listen)) -}}
{{- fail (printf "config.web.listen is %s, and port is %v: let them agree, or leave config.web.listen out" $listen .Values.port) -}}
{{- end -}}
{{- if and $listen (regexMatch "^(127\\.|localhost:|\\[::1\\])" $listen) (not .Values.probes.host) -}}
{{- fail (printf "config.web.listen is %s, which nobody reaches in a pod: leave it out" $listen) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The configuration with what the chart knows: where state is, where to listen, from where it probes, how people reach the page. */}}
{{- define "firstcall.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $store := $config.store | default dict -}}
{{- if and (eq .Values.store "sqlite") (not $store.url) -}}
{{- $_ := set $store "url" "sqlite:/var/lib/firstcall/firstcall.db" -}}
{{- else if and (eq .Values.store "postgres") (not $store.state_dir) -}}
{{- $_ := set $store "state_dir" "/var/lib/firstcall" -}}
{{- end -}}
{{- $_ := set $config "store" $store -}}
{{- $web := $config.web | default dict -}}
{{- if not $web.listen -}}
{{- $_ := set $web "listen" (printf ":%v" .Values.port) -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not $web.external_url) -}}
{{- $_ := set $web "external_url" (printf "%s://%s%s" (ternary "https" "http" (ne .Values.ingress.tlsSecret "")) .Values.ingress.host .Values.ingress.path) -}}
{{- end -}}
{{- $_ := set $config "web" $web -}}
{{- if and .Values.vantage (not $config.vantage) -}}
{{- $_ := set $config "vantage" .Values.vantage -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* A digest of the keys that are read at the start only. */}}
{{- define "firstcall.restart" -}}
{{- $config := include "firstcall.config" . | fromYaml -}}
{{- dict "tenant" $config.tenant.id "store" $config.store "vantage" $config.vantage "listen" $config.web.listen "web" $config.web.config_file | toJson | sha256sum | trunc 16 -}}
{{- end -}}

{{- define "firstcall.icmp" -}}
{{- $want := toString .Values.icmp.enabled -}}
{{- if and (not .Values.hostNetwork) (or (eq $want "true") (and (eq $want "auto") (contains "\"kind\":\"icmp\"" (toJson .Values.config)))) -}}yes{{- end -}}
{{- end -}}

{{/* Four fifths of the memory limit for Go's heap: SQLite and stacks take the rest. */}}
{{- define "firstcall.memory" -}}
{{- $limit := toString ((.Values.resources).limits).memory -}}
{{- $bytes := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "k" 1000 "M" 1000000 "G" 1000000000 "" 1 -}}
{{- $unit := regexFind "[A-Za-z]*$" $limit -}}
{{- if and (hasKey $bytes $unit) (regexMatch "^[0-9]" $limit) -}}
{{- printf "%dMiB" (divf (mulf (regexFind "^[0-9.]+(e[+]?[0-9]+)?" $limit) (get $bytes $unit) 0.8) 1048576 | floor | max 1 | int64) -}}
{{- end -}}
{{- end -}}

{{/* The id of the probe that helm test runs: tests.probe, else the first of config that uses no account, since a test pod does not know which were
refused and would try again until they are locked; one of kind icmp, which says little, where no other is. It is component, instance if any, name or
kind; "" where there is none. */}}
{{- define "firstcall.testProbe" -}}
{{- $ids := list -}}
{{- with .Values.config -}}
{{- range $component := .components -}}
{{- range $probe := $component.probes -}}
{{- $ids = append $ids (list (printf "%s/%s" $component.name (default $probe.kind $probe.name)) $probe) -}}
{{- end -}}
{{- range $instance := $component.instances -}}
{{- range $probe := $instance.probes -}}
{{- $ids = append $ids (list (printf "%s/%s/%s" $component.name $instance.name (default $probe.kind $probe.name)) $probe) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $id := .Values.tests.probe -}}
{{- $icmp := "" -}}
{{- range $ids -}}
{{- if not (or $id (regexMatch "\"[a-z_]*(user|password|token|secret|hash|identity|authorization)[a-z_]*\":" (toJson (index . 1) | lower))) -}}
{{- if ne (index . 1).kind "icmp" -}}
{{- $id = index . 0 -}}
{{- else if not $icmp -}}
{{- $icmp = index . 0 -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- default $icmp $id -}}
{{- end -}}

{{- define "firstcall.configFile" -}}
/etc/firstcall/{{ if .Values.config }}firstcall.yaml{{ else }}{{ .Values.existingConfig.key }}{{ end }}
{{- end -}}

{{/* Configuration, files and secrets in one volume, which changes as a whole. Of a file that several have the last one counts: no Secret's key replaces the configuration. */}}
{{- define "firstcall.configVolume" -}}
- name: config
  projected:
    defaultMode: 0440
    sources:
      {{- range .Values.secrets }}
      - secret:
          name: {{ tpl .secret $ | quote }}
          {{- with .optional }}
          optional: {{ . }}
          {{- end }}
          {{- with .items }}
          items:
            {{- range $key, $file := . }}
            - { key: {{ $key | quote }}, path: {{ $file | quote }} }
            {{- end }}
          {{- end }}
      {{- end }}
      {{- if or .Values.config .Values.files }}
      - configMap: { name: {{ include "firstcall.fullname" . }} }
      {{- end }}
      {{- with .Values.existingConfig.configMap }}
      - configMap: { name: {{ tpl . $ | quote }} }
      {{- end }}
      {{- with .Values.existingConfig.secret }}
      - secret: { name: {{ tpl . $ | quote }} }
      {{- end }}
{{- end -}}

{{/* What every container of the agent's image has. */}}
{{- define "firstcall.container" -}}
image: {{ include "firstcall.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- toYaml (.Values.securityContext | default dict) | nindent 2 }}
{{- $memory := include "firstcall.memory" . }}
{{- $url := printf "%s://%s:%v" (lower .Values.probes.scheme) (default "127.0.0.1" .Values.probes.host) .Values.port }}
{{- if eq $url "http://127.0.0.1:9797" }}{{ $url = "" }}{{ end }}
{{- range .Values.extraEnv }}
{{- if eq .name "GOMEMLIMIT" }}{{ $memory = "" }}{{ end }}
{{- if eq .name "FIRSTCALL_URL" }}{{ $url = "" }}{{ end }}
{{- end }}
{{- if or $memory $url .Values.extraEnv }}
env:
  {{- with $memory }}
  - { name: GOMEMLIMIT, value: {{ . }} }
  {{- end }}
  {{- with $url }}
  - { name: FIRSTCALL_URL, value: {{ . | quote }} } # where commands in the pod find the agent
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
resources: {{- toYaml (.Values.resources | default dict) | nindent 2 }}
volumeMounts:
  - { name: config, mountPath: /etc/firstcall, readOnly: true }
  - { name: state, mountPath: /var/lib/firstcall }
  - { name: tmp, mountPath: /tmp }
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What every pod has, the test's too. */}}
{{- define "firstcall.podSpec" -}}
serviceAccountName: {{ include "firstcall.serviceAccount" . | quote }}
automountServiceAccountToken: {{ .Values.serviceAccount.automountToken }}
enableServiceLinks: false
{{- with include "firstcall.pullSecrets" . }}
{{ . }}
{{- end }}
{{- $security := .Values.podSecurityContext | default dict }}
{{- $own := $security.sysctls | default list }}
{{- if and (include "firstcall.icmp" .) (not (contains "\"net.ipv4.ping_group_range\"" (toJson $own))) }}
{{- $security = merge (dict "sysctls" (prepend $own (dict "name" "net.ipv4.ping_group_range" "value" .Values.icmp.groupRange))) $security }}
{{- end }}
securityContext: {{- toYaml $security | nindent 2 }}
{{- if .Values.hostNetwork }}
hostNetwork: true
dnsPolicy: {{ default "ClusterFirstWithHostNet" .Values.dnsPolicy }}
{{- else if .Values.dnsPolicy }}
dnsPolicy: {{ .Values.dnsPolicy }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.tolerations (ne (toString .Values.nodeLossSeconds) "<nil>") }}
tolerations:
  {{- with .Values.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .Values.nodeLossSeconds }}
  - { key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: {{ . }} }
  - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: {{ . }} }
  {{- end }}
{{- end }}
{{- end -}}

{{/* Labels of a pod, of (list $ COMPONENT): none of the chart's version, which would replace pods. */}}
{{- define "firstcall.podLabels" -}}
{{- $ := first . -}}
{{- $labels := dict "app.kubernetes.io/part-of" "firstcall" -}}
{{- $identity := ternary (dict "azure.workload.identity/use" "true") dict $.Values.azureWorkloadIdentity.enabled -}}
{{- range list $.Values.commonLabels $.Values.podLabels $identity (include "firstcall.selector" $ | fromYaml) (dict "app.kubernetes.io/component" (last .)) -}}
{{- range $key, $value := . -}}{{- $_ := set $labels $key $value -}}{{- end -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* What the webhook of Azure workload identity reads of a pod; it goes before the ServiceAccount's. */}}
{{- define "firstcall.identity" -}}
{{- if .Values.azureWorkloadIdentity.enabled -}}
azure.workload.identity/service-account-token-expiration: {{ .Values.azureWorkloadIdentity.tokenExpiration | quote }}
{{- end -}}
{{- end -}}

{{/* A probe of the kubelet's: the given one, with the agent's address unless it has a handler of its own. */}}
{{- define "firstcall.probe" -}}
{{- $probe := .probe -}}
{{- if not (or $probe.exec $probe.tcpSocket $probe.httpGet $probe.grpc) -}}
{{- $get := dict "path" .path "port" "http" -}}
{{- if ne .values.scheme "HTTP" -}}{{- $_ := set $get "scheme" .values.scheme -}}{{- end -}}
{{- with .values.host -}}{{- $_ := set $get "host" . -}}{{- end -}}
{{- with .values.httpHeaders -}}{{- $_ := set $get "httpHeaders" . -}}{{- end -}}
{{- $probe = merge (dict "httpGet" $get) $probe -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}
