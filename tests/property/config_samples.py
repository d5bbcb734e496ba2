"""Manifests that use every field there is, to be bent by property tests."""

from __future__ import annotations

import yaml

SAMPLES = tuple(
    yaml.safe_load_all("""
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: one, "example.com/x": ""}, annotations: {note: "any: text"}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: catalog, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  type: ClusterIP
  clusterIP: 10.0.0.1
  sessionAffinity: None
  ports:
  - {name: http, port: 80, targetPort: 8080, protocol: TCP, appProtocol: http}
  - {name: grpc, port: 81, targetPort: grpc}
---
apiVersion: v1
kind: Service
metadata: {name: queue, namespace: shop, annotations: {networking.istio.io/exportTo: "., other"}}
spec: {selector: {app: queue}, clusterIP: None, publishNotReadyAddresses: true, trafficDistribution: PreferClose, ports: [{name: mongo, port: 27017}, {name: any, port: 90}]}
---
apiVersion: v1
kind: Secret
metadata: {name: web, namespace: shop}
type: kubernetes.io/tls
data: {tls.crt: "", tls.key: ""}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}, tlsDefaults: {ecdhCurves: [P-256]}, defaultConfig: {proxyHeaders: {server: {value: a}}}}"}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: db, namespace: shop}
spec: {address: 127.64.0.3, ports: {tcp: 6379}, labels: {app: db}, weight: 3, serviceAccount: db, locality: a/b/c, network: n}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vm, namespace: shop}
spec:
  metadata: {labels: {app: vm}, annotations: {note: x}}
  template: {ports: {http: 8080}, labels: {class: vm}, network: n, locality: a/b, weight: 2, serviceAccount: vm}
  probe:
    initialDelaySeconds: 1
    timeoutSeconds: 2
    periodSeconds: 3
    successThreshold: 4
    failureThreshold: 5
    httpGet: {path: /ready, port: 8080, host: 127.0.0.1, scheme: HTTP, httpHeaders: [{name: a, value: b}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: files, namespace: shop}
spec:
  hosts: [files.example.com]
  addresses: [10.1.2.3, 10.2.0.0/16, "2001:db8::/37"]
  ports: [{number: 80, name: http, protocol: GRPC-WEB}]
  location: MESH_INTERNAL
  resolution: STATIC
  exportTo: [".", other]
  subjectAltNames: ["spiffe://cluster.local/ns/shop/sa/files"]
  endpoints: [{address: "unix:///run/files.sock"}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wide, namespace: shop}
spec:
  hosts: ["*.wide.example.com"]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DYNAMIC_DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vms, namespace: shop}
spec:
  hosts: [vms.example.com]
  ports: [{number: 80, name: any}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop}
spec:
  hosts: [pay.example.com, "*.pay.example.com"]
  ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {tls: 9443}, labels: {zone: a}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog, namespace: shop}
spec:
  host: catalog
  exportTo: [.]
  workloadSelector: {matchLabels: {app: frontend}}
  trafficPolicy:
    loadBalancer:
      consistentHash:
        httpCookie: {name: user, path: /, ttl: 1h, attributes: [{name: SameSite, value: Strict}]}
        maglev: {tableSize: 65537}
      localityLbSetting:
        distribute: [{from: "one/a/*", to: {"one/a/*": 80, two: 20}}]
        failoverPriority: ["topology.kubernetes.io/region", version=v1]
        enabled: true
    connectionPool:
      tcp:
        maxConnections: 10
        connectTimeout: 30ms
        tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}
        maxConnectionDuration: 1h
        idleTimeout: 0s
      http:
        http1MaxPendingRequests: 1
        http2MaxRequests: 2
        maxRequestsPerConnection: 3
        maxRetries: 4
        idleTimeout: 1h
        h2UpgradePolicy: UPGRADE
        useClientProtocol: false
        maxConcurrentStreams: 5
        http2KeepAlive: {interval: 10s, timeout: 5s}
    outlierDetection:
      consecutiveErrors: 7
      splitExternalLocalOriginErrors: true
      consecutiveLocalOriginFailures: 1
      consecutiveGatewayErrors: 2
      consecutive5xxErrors: 3
      interval: 1s
      baseEjectionTime: 30s
      maxEjectionPercent: 50
      minHealthPercent: 10
      outlierDetectionHttpErrorCodes: [429, 503]
    tls: {mode: ISTIO_MUTUAL, sni: a.example.com, subjectAltNames: ["spiffe://cluster.local/ns/shop/sa/a"]}
    proxyProtocol: {version: V2}
    retryBudget: {percent: 12.5, minRetryConcurrency: 5, budgetInterval: 10s}
    portLevelSettings:
    - port: {number: 80}
      loadBalancer:
        simple: ROUND_ROBIN
        warmup: {duration: 10s, minimumPercent: 20, aggression: 1.5}
        localityLbSetting: {failover: [{from: one, to: two}]}
      tls: {mode: SIMPLE, credentialName: web, insecureSkipVerify: false}
    - port: {number: 81}
      loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 64}, warmupDurationSecs: 3s}
      tls: {mode: MUTUAL, clientCertificate: /a.pem, privateKey: /a.key, caCertificates: /ca.pem, caCrl: /crl.pem}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy:
      loadBalancer:
        zoneAwareLbSetting: {enabled: true, failover: [{from: one, to: two}], failoverPriority: [rack], minClusterSize: 2}
  - {name: v2, labels: {version: v2}, trafficPolicy: {tunnel: {protocol: CONNECT, targetHost: a.b, targetPort: 443}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["shop/*.example.com", "*"], name: main, bind: 127.0.0.1}
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [a.example.com]
    tls:
      mode: MUTUAL
      credentialNames: [web, other/web]
      caCertCredentialName: clients
      subjectAltNames: [a]
      verifyCertificateSpki: [MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=]
      verifyCertificateHash: [abababababababababababababababababababababababababababababababab]
      minProtocolVersion: TLSV1_2
      maxProtocolVersion: TLSV1_3
      cipherSuites: [AES128-SHA, fake]
      ecdhCurves: [X25519, P-384]
      insecureSkipVerify: true
  - port: {number: 443, name: files, protocol: HTTPS}
    hosts: [b.example.com]
    tls: {mode: MUTUAL, serverCertificate: /a, privateKey: /b, caCertificates: /c, caCrl: /d}
  - port: {number: 443, name: two, protocol: TLS}
    hosts: [c.example.com]
    tls: {mode: SIMPLE, tlsCertificates: [{serverCertificate: /a, privateKey: /b, caCertificates: /c}]}
  - port: {number: 8080, name: redirect, protocol: HTTP2}
    hosts: [d.example.com]
    tls: {httpsRedirect: true, mode: PASSTHROUGH}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: shop}
spec:
  hosts: [catalog, catalog.example.com]
  gateways: [mesh, ingress, istio-system/main]
  http:
  - name: main
    match:
    - name: one
      uri: {prefix: /v1}
      scheme: {exact: http}
      method: {regex: "GET|POST"}
      authority: {exact: catalog}
      headers: {x-user: {exact: a}, x-there: {}}
      queryParams: {q: {regex: "[a-z]+\\\\d*"}}
      port: 80
      gateways: [mesh]
      sourceLabels: {app: frontend}
      sourceNamespace: shop
      ignoreUriCase: true
      withoutHeaders: {x-not: {exact: b}, x-none: {regex: "*"}}
      statPrefix: main
    route:
    - destination: {host: catalog, subset: v1, port: {number: 80}}
      weight: 80
      headers: {response: {set: {x-version: v1}}}
    - destination: {host: catalog, subset: v2}
      weight: 20
    rewrite: {uri: /, authority: catalog}
    timeout: 1.5s
    retries:
      attempts: 3
      perTryTimeout: 500ms
      retryOn: "5xx,503"
      backoff: 25ms
      retryRemoteLocalities: true
      retryIgnorePreviousHosts: false
    corsPolicy:
      allowOrigins: [{exact: "https://a.test"}, {regex: ".*"}]
      allowOrigin: [b]
      allowMethods: [GET]
      allowHeaders: [x-a]
      exposeHeaders: [x-b]
      maxAge: 1h
      allowCredentials: true
      unmatchedPreflights: IGNORE
    fault:
      delay: {fixedDelay: 2s, percentage: {value: 0.5}, percent: 3}
      abort: {httpStatus: 503, percentage: {value: 10}}
    mirrors: [{destination: {host: catalog, subset: v2}, percentage: {value: 1}}]
    headers: {request: {set: {x-a: "%REQ(:path)%"}, add: {x-b: b}, remove: [x-c]}}
  - redirect: {uri: /new, authority: new.example.com, port: 8080, scheme: https, redirectCode: 308}
  - directResponse: {status: 200, body: {string: hello}}
  - directResponse: {status: 200, body: {bytes: aGVsbG8=}}
  - match: [{uri: {prefix: /old/}}]
    redirect: {prefixRewrite: /new/, derivePort: FROM_REQUEST_PORT}
  - rewrite: {uriRegexRewrite: {match: "/(a+)", rewrite: "/\\\\1"}}
    mirror: {host: catalog}
    mirrorPercent: 7
    route: [{destination: {host: catalog}}]
  - match: [{uri: {prefix: /delegated}}]
    delegate: {name: delegate, namespace: shop}
  - mirror: {host: catalog}
    mirrorPercentage: {value: 12.5}
    route: [{destination: {host: catalog}}]
  tcp:
  - match:
    - {port: 6379, sourceLabels: {app: a}, gateways: [mesh], sourceNamespace: shop, destinationSubnets: [10.0.0.0/8]}
    route: [{destination: {host: db}, weight: 1}]
  tls:
  - match: [{sniHosts: [catalog.example.com], port: 443, destinationSubnets: ["fd00::/8"], sourceNamespace: shop}]
    route: [{destination: {host: db}}]
  exportTo: [., office]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: delegate, namespace: shop}
spec:
  http: [{match: [{uri: {exact: /delegated/x}}], route: [{destination: {host: catalog}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: claims, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [ingress]
  http:
  - match:
    - headers: {"@request.auth.claims[a][b.c]": {exact: d}, "@request.auth.claims.e": {}}
      withoutHeaders: {"@request.auth.claims.f.g": {regex: "h+"}}
    route: [{destination: {host: catalog}}]
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: default, namespace: shop}
spec: {selector: {matchLabels: {app: catalog}}, concurrency: 2, environmentVariables: {TEAM: data}, image: {imageType: distroless}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec:
  workloadSelector: {labels: {app: frontend}}
  ingress:
  - port: {number: 8080, protocol: HTTP, name: web}
    bind: 127.0.0.1
    captureMode: NONE
    defaultEndpoint: 127.0.0.1:8080
    connectionPool: {tcp: {maxConnections: 5}}
    tls: {mode: SIMPLE, credentialName: web}
  inboundConnectionPool: {http: {http2MaxRequests: 5}}
  egress:
  - {port: {number: 80, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: [./*]}
  - {port: {number: 3128, protocol: HTTP_PROXY, name: proxy}, hosts: [./*]}
  - {hosts: [shop/catalog.shop.svc.cluster.local, "*/*.example.com", "~other/*"]}
  outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: catalog, port: {number: 80}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: limits, namespace: shop}
spec:
  workloadSelector: {labels: {app: catalog}}
  priority: -5
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      proxy: {proxyVersion: ^1.3, metadata: {NAMESPACE: shop}}
      listener:
        name: virtualInbound
        portNumber: 8080
        filterChain:
          sni: shop
          transportProtocol: tls
          applicationProtocols: istio
          destinationPort: 8080
          filter:
            name: envoy.filters.network.http_connection_manager
            subFilter: {name: envoy.filters.http.router}
    patch:
      operation: INSERT_BEFORE
      filterClass: AUTHZ
      value:
        name: envoy.filters.http.local_ratelimit
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          value: {stat_prefix: limits, token_bucket: {max_tokens: 4, fill_interval: 60s}}
  - applyTo: HTTP_ROUTE
    match:
      context: SIDECAR_OUTBOUND
      routeConfiguration:
        name: "80"
        portNumber: 80
        vhost: {name: catalog, domainName: catalog, route: {name: main, action: ROUTE}}
    patch: {operation: MERGE, value: {route: {timeout: 5s}}}
  - applyTo: CLUSTER
    match: {cluster: {service: catalog.shop.svc.cluster.local, subset: v1, portNumber: 80}}
    patch: {operation: MERGE, value: {connectTimeout: 1s, http2_protocol_options: {}}}
  - applyTo: LISTENER
    match: {listener: {listenerFilter: tls}}
    patch: {operation: REMOVE}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {selector: {matchLabels: {app: db}}, mtls: {mode: STRICT}, portLevelMtls: {"6379": {mode: DISABLE}}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: users, namespace: shop}
spec:
  selector: {matchLabels: {app: catalog}}
  jwtRules:
  - issuer: https://users.example.com
    audiences: [catalog]
    jwksUri: https://users.example.com/keys
    fromHeaders: [{name: x-token, prefix: "Token "}]
    fromParams: [token]
    fromCookies: [session]
    outputPayloadToHeader: x-payload
    outputClaimToHeaders: [{header: x-sub, claim: sub}]
    forwardOriginalToken: true
    timeout: 3s
    spaceDelimitedClaims: [roles]
  - {issuer: me, jwks: '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'}
  - {issuer: whom-to-ask}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: catalog, namespace: shop, annotations: {istio.io/dry-run: "true"}}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: ingress}]
  action: DENY
  rules:
  - from:
    - source: {principals: [cluster.local/ns/shop/sa/web], notPrincipals: ["*"], requestPrincipals: ["iss/*"]}
    - source: {notRequestPrincipals: ["*"], namespaces: ["shop*"], notNamespaces: [a]}
    - source: {serviceAccounts: [web, other/web], notServiceAccounts: [db], trustDomains: ["*.local"]}
    - source: {ipBlocks: [10.0.0.0/8], notIpBlocks: [10.0.0.1], remoteIpBlocks: ["::1"], notRemoteIpBlocks: ["::/0"]}
    to:
    - operation: {hosts: ["*.example.com"], notHosts: [a], ports: ["80"], notPorts: ["81"]}
    - operation: {methods: [GET], notMethods: [PUT], paths: ["/a/{*}/b/{**}"], notPaths: [/x*]}
    when:
    - {key: "request.headers[x-user]", values: ["a*"], notValues: ["*b"]}
    - {key: "request.auth.claims[realm][roles]", values: [admin]}
    - {key: "experimental.envoy.filters.network.mysql_proxy[db.table]", values: ["[update]"]}
    - {key: destination.port, notValues: ["80"]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: catalog, namespace: shop}
spec:
  selector: {matchLabels: {app: catalog}}
  metrics:
  - providers: [{name: prometheus}]
    reportingInterval: 5s
    overrides:
    - match: {metric: REQUEST_COUNT, mode: CLIENT}
      disabled: false
      tagOverrides:
        request_method: {value: "request.method == 'GET' ? 'read' : string(request.size)"}
        response_flags: {operation: REMOVE}
    - match: {customMetric: istio_request_bytes}
      disabled: false
  accessLogging:
  - match: {mode: SERVER}
    providers: [{name: envoy}]
    disabled: false
    filter: {expression: "response.code >= 400 || request.headers['x'].matches('[a-z]+')"}
  tracing:
  - match: {mode: CLIENT_AND_SERVER}
    providers: [{name: zipkin}]
    randomSamplingPercentage: 12.5
    disableSpanReporting: false
    customTags:
      a: {literal: {value: b}}
      c: {header: {name: x-c, defaultValue: none}}
      d: {environment: {name: HOME}}
      e: {formatter: {value: "%REQ(:METHOD)% of %PROTOCOL%"}}
    disableContextPropagation: false
    useRequestIdForTraceSampling: false
    enableIstioTags: true
""")
)
