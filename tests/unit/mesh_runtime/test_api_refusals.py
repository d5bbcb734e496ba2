import pytest
from config_words import http, manifest, policy, route, rule, said, service, to, virtual_service


def entry(**fields):
    spec = {"hosts": ["pay.example.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}
    return manifest("ServiceEntry", "pay", spec | {"resolution": "DNS"} | fields)


PORT = {"number": 80, "name": "http", "protocol": "HTTP"}


def proxies(**fields):
    return {**manifest("ProxyConfig", "a", fields), "apiVersion": "networking.istio.io/v1beta1"}


def sidecar(**fields):
    return manifest("Sidecar", "a", fields)


def gateway(*servers, **fields):
    return manifest("Gateway", "ingress", {"selector": {"app": "ingress"}, "servers": list(servers)} | fields)


def server(number=80, name="http", protocol="HTTP", hosts=("*",)):
    return {"port": {"number": number, "name": name, "protocol": protocol}, "hosts": list(hosts)}


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        (virtual_service({}), "spec.http[0]", "one of route, redirect or directResponse is needed"),
        (
            virtual_service(route(to("a"), redirect={"uri": "/b"})),
            "spec.http[0]",
            "route and redirect exclude each other",
        ),
        (virtual_service({"route": []}), "spec.http[0].route", "is empty"),
        (virtual_service(route(to("a"), to("b"))), "spec.http[0].route", "the weights are all 0"),
        (virtual_service(route(to("a", weight=-1))), "spec.http[0].route[0].weight", "must be at least 0"),
        (virtual_service(route(to("a", weight=1.5))), "spec.http[0].route[0].weight", "must be a whole number"),
        (virtual_service(route(to("a", weight=True))), "spec.http[0].route[0].weight", "must be a whole number"),
        (virtual_service(route(to("*"))), "spec.http[0].route[0].destination.host", "is not one service"),
        (http(timeout="0s"), "spec.http[0].timeout", "above 0"),
        (http(timeout="1us"), "spec.http[0].timeout", "whole number of milliseconds"),
        (http(timeout="-5s"), "spec.http[0].timeout", "is not a duration"),
        (http(timeout="5 s"), "spec.http[0].timeout", "write it like 5s, 1h30m or 100ms"),
        (http(retries={"attempts": 0, "retryOn": "5xx"}), "spec.http[0].retries.attempts", "no retry is made"),
        (http(retries={"attempts": 1, "retryOn": "5xx,7xx"}), "spec.http[0].retries.retryOn", '"7xx" is neither'),
        (http(fault={}), "spec.http[0].fault", "injects nothing"),
        (
            http(fault={"abort": {"httpStatus": 600}}),
            "spec.http[0].fault.abort.httpStatus",
            "must be at most 599",
        ),
        (
            http(fault={"delay": {"fixedDelay": "1s", "percentage": {"value": 101}}}),
            "spec.http[0].fault.delay.percentage.value",
            "must be at most 100",
        ),
        (
            http(match=[{"uri": {"exact": "/", "prefix": "/"}}]),
            "spec.http[0].match[0].uri",
            "exact and prefix exclude each other",
        ),
        (
            http(match=[{"headers": {"a b": {"exact": "1"}}}]),
            'spec.http[0].match[0].headers["a b"]',
            "is not a header name",
        ),
        (
            http(match=[{"headers": {"a": {"regex": "(?=a)"}}}]),
            "spec.http[0].match[0].headers.a.regex",
            "has no lookaround",
        ),
        (
            http(headers={"request": {"set": {"a": "50% off"}}}),
            "spec.http[0].headers.request.set.a",
            "%% for a percent sign",
        ),
        *(
            (
                http(headers={"request": {"set": {"a": f"x%{command}%"}}}),
                "spec.http[0].headers.request.set.a",
                "no command",
            )
            for command in ("NOPE", "REQ", "REQ()", "REQ(a b)", "PROTOCOL(x)", "PROTOCOL:3", "FILTER_STATE(a:x)")
        ),
        (
            http(headers={"request": {"set": {"a": "b\nc"}}}),
            "spec.http[0].headers.request.set.a",
            "in one line",
        ),
        (
            http(mirror={"host": "a"}, mirrors=[{"destination": {"host": "b"}}]),
            "spec.http[0].mirrors",
            "cannot be combined with mirror",
        ),
        (virtual_service({"redirect": {}}), "spec.http[0].redirect", "redirects nowhere"),
        (
            virtual_service({"redirect": {"uri": "/a", "redirectCode": 300}}),
            "spec.http[0].redirect.redirectCode",
            "must be one of 301, 302, 303, 307, 308",
        ),
        (
            virtual_service({"redirect": {"uri": "/a"}, "rewrite": {"uri": "/b"}}),
            "spec.http[0].rewrite",
            "cannot be combined with redirect",
        ),
        (
            virtual_service({"directResponse": {"status": 99}}),
            "spec.http[0].directResponse.status",
            "must be at least 200",
        ),
        (virtual_service(), "spec", "has no rule"),
        (virtual_service(route(to("a")), hosts=[], gateways=["a"]), "spec.gateways", "without hosts"),
        (
            virtual_service({"delegate": {"name": "a"}}, hosts=[]),
            "spec.http[0].delegate",
            "a delegate cannot delegate",
        ),
        (virtual_service({"delegate": {"name": "a"}, "redirect": {"uri": "/"}}), "spec.http[0].redirect", "delegate"),
        (virtual_service(route(to("a")), hosts=["a.b.c", "*.b.c"]), "spec.hosts[0]", "lies within *.b.c"),
        (
            http(match=[{"headers": {"a": {"regex": "*"}}}]),
            "spec.http[0].match[0].headers.a.regex",
            "nothing to repeat",
        ),
        (
            http(match=[{"headers": {"@request.auth.claims.a": {"exact": "b"}}}]),
            "spec.http[0].match[0]",
            "only known at a gateway",
        ),
        (
            http(match=[{"headers": {"@request.auth.principal": {"exact": "b"}}}]),
            'spec.http[0].match[0].headers["@request.auth.principal"]',
            "is not a header name",
        ),
        (
            http(rewrite={"uriRegexRewrite": {"match": "/(a)", "rewrite": r"/\2"}}),
            "spec.http[0].rewrite.uriRegexRewrite.rewrite",
            "does not have",
        ),
        (
            http(rewrite={"authority": "b"}, headers={"request": {"set": {"Host": "c"}}}),
            "spec.http[0].rewrite.authority",
            "set by headers, too",
        ),
        (http(headers={"response": {"set": {"Host": "c"}}}), "spec.http[0].headers.response", "has no host"),
        (
            http(headers={"request": {"remove": ["Host"]}}),
            "spec.http[0].headers.request.remove[0]",
            "cannot be removed",
        ),
        (http(corsPolicy={"maxAge": "1500ms"}), "spec.http[0].corsPolicy.maxAge", "whole number of seconds"),
        (http(corsPolicy={"allowOrigins": [{}]}), "spec.http[0].corsPolicy.allowOrigins[0]", "is needed"),
        (
            http(fault={"delay": {"exponentialDelay": "1s"}}),
            "spec.http[0].fault.delay.exponentialDelay",
            "use fixedDelay",
        ),
        (http(fault={"abort": {"http2Error": "x"}}), "spec.http[0].fault.abort.http2Error", "no proxy of Istio"),
        (
            virtual_service({"redirect": {"port": 80, "derivePort": "FROM_REQUEST_PORT"}}),
            "spec.http[0].redirect",
            "exclude each other",
        ),
        (
            virtual_service({"match": [{"uri": {"exact": "/a"}}], "redirect": {"prefixRewrite": "/b"}}),
            "spec.http[0].match[0].uri",
            "is no prefix",
        ),
        (
            virtual_service({"directResponse": {"status": 200, "body": {"bytes": "a"}}}),
            "spec.http[0].directResponse.body.bytes",
            "is not base64",
        ),
        (virtual_service(route(to("a")), exportTo=["~"]), "spec.exportTo[0]", "write *, ."),
        (virtual_service(route(to("a")), exportTo=["*", "b"]), "spec.exportTo", "every namespace"),
        (
            virtual_service(tls=[{"match": [{"sniHosts": ["*-b.c"]}], "route": [to("a")]}]),
            "spec.tls[0].match[0].sniHosts[0]",
            "for a part of a label; write *. before a domain",
        ),
        (
            virtual_service(tls=[{"match": [{"sniHosts": ["b.c"]}], "route": [to("a")]}]),
            "spec.tls[0].match[0].sniHosts[0]",
            "none of the hosts",
        ),
        (
            virtual_service(tcp=[{"match": [{"destinationSubnets": ["10.0.0.0/40"]}], "route": [to("a")]}]),
            "spec.tcp[0].match[0].destinationSubnets[0]",
            "is not an IP network",
        ),
        (virtual_service(route(to("a")), hosts=["a", "a"]), "spec.hosts[1]", "is there twice"),
        (virtual_service(route(to("a")), hosts=["*"]), "spec.hosts[0]", "only allowed at a gateway"),
        (virtual_service(route(to("a")), gateways=["a/b/c"]), "spec.gateways[0]", "is not the name of a gateway"),
        (
            virtual_service(tcp=[{"route": [to("a"), to("b")]}]),
            "spec.tcp[0].route",
            "the weights are all 0",
        ),
        (rule("v1", "v1"), "spec.subsets[1].name", "is there twice"),
        (rule("V1"), "spec.subsets[0].name", "is not a DNS label"),
        (
            policy(loadBalancer={"localityLbSetting": {"distribute": [{"from": "a/*", "to": {"a": 70, "b": 20}}]}}),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to",
            "adds up to 90",
        ),
        (
            policy(loadBalancer={"localityLbSetting": {"failover": [{"from": "a", "to": "a"}]}}),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0].to",
            "is a as well",
        ),
        (
            policy(loadBalancer={"localityLbSetting": {"distribute": [{"from": "*/a", "to": {"a": 100}}]}}),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].from",
            "neither a locality nor a pattern",
        ),
        (
            policy(loadBalancer={"zoneAwareLbSetting": {}, "localityLbSetting": {}}),
            "spec.trafficPolicy.loadBalancer",
            "exclude each other",
        ),
        (
            policy(loadBalancer={"zoneAwareLbSetting": {"failoverPriority": ["topology.kubernetes.io/zone"]}}),
            "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failoverPriority[0]",
            "is preferred in any case",
        ),
        (policy(loadBalancer={"warmup": {}}), "spec.trafficPolicy.loadBalancer.warmup.duration", "is required"),
        (
            policy(loadBalancer={"simple": "FASTEST"}),
            "spec.trafficPolicy.loadBalancer.simple",
            "must be one of UNSPECIFIED, LEAST_CONN, RANDOM, PASSTHROUGH, ROUND_ROBIN, LEAST_REQUEST, not text (FASTEST)",
        ),
        (
            policy(loadBalancer={"consistentHash": {"useSourceIp": True, "maglev": {"tableSize": 9}}}),
            "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
            "9 is not a prime number",
        ),
        (
            policy(loadBalancer={"consistentHash": {}}),
            "spec.trafficPolicy.loadBalancer.consistentHash",
            "one of httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName is needed",
        ),
        (policy(tls={"mode": "MUTUAL"}), "spec.trafficPolicy.tls.clientCertificate", "mode MUTUAL needs it"),
        (
            policy(tls={"mode": "SIMPLE", "insecureSkipVerify": True, "subjectAltNames": ["a"]}),
            "spec.trafficPolicy.tls.insecureSkipVerify",
            "nothing is verified",
        ),
        (
            policy(tls={"mode": "SIMPLE", "credentialName": "a", "caCertificates": "/a"}),
            "spec.trafficPolicy.tls.credentialName",
            "excludes certificates in files",
        ),
        (
            policy(connectionPool={"http": {"useClientProtocol": True, "h2UpgradePolicy": "UPGRADE"}}),
            "spec.trafficPolicy.connectionPool.http.useClientProtocol",
            "excludes h2UpgradePolicy",
        ),
        (
            policy(outlierDetection={"consecutiveLocalOriginFailures": 1}),
            "spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures",
            "needs errors to be told apart",
        ),
        (
            policy(outlierDetection={"maxEjectionPercent": 101}),
            "spec.trafficPolicy.outlierDetection.maxEjectionPercent",
            "must be at most 100",
        ),
        (
            policy(portLevelSettings=[{"port": {"number": 80}}, {"port": {"number": 80}}]),
            "spec.trafficPolicy.portLevelSettings[1].port",
            "is there twice",
        ),
        (
            policy(tunnel={"targetHost": "a b", "targetPort": 1}),
            "spec.trafficPolicy.tunnel.targetHost",
            "is neither a DNS name nor an IP address",
        ),
        (gateway(), "spec.servers", "must not be empty"),
        (gateway(server(number=0)), "spec.servers[0].port.number", "must be at least 1"),
        (gateway(server(protocol="HTTPS")), "spec.servers[0].tls", "is needed for protocol HTTPS"),
        (gateway(server(), server(81)), "spec.servers[1].port.name", "is there twice"),
        (gateway(server(), server(name="b")), "spec.servers[1].hosts[0]", "served by servers[0] already"),
        (
            gateway(server() | {"tls": {"mode": "SIMPLE"}}),
            "spec.servers[0].tls.credentialName",
            "is needed for mode SIMPLE",
        ),
        (gateway(server(hosts=["A b/*"])), "spec.servers[0].hosts[0]", "is not a namespace"),
        (entry(resolution="NONE", endpoints=[{"address": "10.0.0.1"}]), "spec.endpoints", "NONE has no endpoints"),
        (entry(resolution="DYNAMIC_DNS"), "spec.hosts[0]", "DYNAMIC_DNS is for hosts with *"),
        (
            entry(hosts=["*.example.com"], resolution="DYNAMIC_DNS", endpoints=[{"address": "10.0.0.1"}]),
            "spec.endpoints",
            "by their names alone",
        ),
        (
            entry(resolution="DNS_ROUND_ROBIN", endpoints=[{"address": "a.example.com"}, {"address": "b.example.com"}]),
            "spec.endpoints",
            "one endpoint at most",
        ),
        (entry(addresses=["10.0.0.0/8"]), "spec.addresses[0]", "NONE or STATIC, not DNS"),
        (entry(addresses=["10.0.0.300"]), "spec.addresses[0]", "is not an IP network"),
        (entry(exportTo=["*", "shop"]), "spec.exportTo", "says all that there is to say"),
        (entry(exportTo=["A b"]), "spec.exportTo[0]", "is not a namespace"),
        (
            entry(endpoints=[{"address": "10.0.0.1"}], workloadSelector={"labels": {"app": "a"}}),
            "spec.endpoints",
            "exclude each other",
        ),
        (
            entry(hosts=["a.example.com", "b.example.com"], ports=[{"number": 1, "name": "tcp", "protocol": "TCP"}]),
            "spec.ports[0].protocol",
            "do not say which host they are for",
        ),
        (
            entry(ports=[{"number": 53, "name": "dns", "protocol": "UDP"}]),
            "spec.ports[0].protocol",
            "UDP does not go through the mesh",
        ),
        (
            entry(resolution="STATIC", endpoints=[{"address": "unix:///a", "ports": {"http": 1}}]),
            "spec.endpoints[0].ports",
            "a Unix socket has no ports",
        ),
        (
            entry(resolution="STATIC", endpoints=[{"address": "unix://a/"}]),
            "spec.endpoints[0].address",
            "is not the absolute path of a socket",
        ),
        (
            entry(resolution="STATIC", endpoints=[{"address": "a.example.com"}]),
            "spec.endpoints[0].address",
            "is not an IP address",
        ),
        (entry(hosts=["*.example.com"]), "spec.endpoints", "cannot be looked up"),
        (entry(hosts=["*"]), "spec.hosts[0]", "stands for every host"),
        (
            entry(endpoints=[{"address": "a.example.com", "ports": {"tcp": 1}}]),
            "spec.endpoints[0].ports.tcp",
            "its ports are http",
        ),
        (
            manifest("WorkloadEntry", "a", {"address": "10.0.0.1", "locality": "a/b/c/d"}),
            "spec.locality",
            "is not a locality",
        ),
        (manifest("WorkloadEntry", "a", {"labels": {"app": "a"}}), "spec.address", "is required"),
        (manifest("WorkloadGroup", "a", {}), "spec.template", "is required"),
        (
            manifest(
                "WorkloadGroup", "a", {"template": {}, "probe": {"httpGet": {"port": 1}, "exec": {"command": ["a"]}}}
            ),
            "spec.probe",
            "exclude each other",
        ),
        (
            manifest("WorkloadGroup", "a", {"template": {}, "probe": {"exec": {"command": []}}}),
            "spec.probe.exec.command",
            "must not be empty",
        ),
        (
            virtual_service(tcp=[{"match": [{"sourceSubnet": "10.0.0.0/8"}], "route": [to("catalog")]}]),
            "spec.tcp[0].match[0].sourceSubnet",
            "no proxy of Istio looks at it",
        ),
        (manifest("WorkloadEntry", "a", {"address": "a b"}), "spec.address", "neither an IP address nor a DNS name"),
        (
            manifest("PeerAuthentication", "a", {"mtls": {"mode": "strict"}}),
            "spec.mtls.mode",
            "must be one of UNSET, DISABLE, PERMISSIVE, STRICT",
        ),
        (
            manifest("PeerAuthentication", "a", {"portLevelMtls": {}}),
            "spec.portLevelMtls",
            "is empty; name a port, or remove it",
        ),
        (proxies(environmentVariables={"A=B": ""}), "spec.environmentVariables.A=B", "is not the name of a variable"),
        (proxies(environmentVariables={"LD_PRELOAD": "/a"}), "spec.environmentVariables.LD_PRELOAD", "system's loader"),
        (
            policy(loadBalancer={"backendUtilization": {}}),
            "spec.trafficPolicy.loadBalancer.backendUtilization",
            "no release of Istio looks at it; use simple: LEAST_REQUEST",
        ),
        (proxies(concurrency=-1), "spec.concurrency", "must be at least 0"),
        (manifest("Sidecar", "a", {}), "spec", "says nothing"),
        (sidecar(egress=[{"hosts": []}]), "spec.egress[0].hosts", "must not be empty"),
        (sidecar(egress=[{"hosts": ["catalog"]}]), "spec.egress[0].hosts[0]", "does not say of which namespace"),
        (sidecar(egress=[{"hosts": ["a b/*"]}]), "spec.egress[0].hosts[0]", "is not a namespace"),
        (sidecar(egress=[{"hosts": ["./a b"]}]), "spec.egress[0].hosts[0]", "is not a host"),
        (sidecar(egress=[{"hosts": ["./*"]}, {"hosts": ["./*"]}]), "spec.egress[0]", "move it to the end"),
        (sidecar(egress=[{"hosts": ["./*"], "bind": "127.0.0.1"}]), "spec.egress[0].bind", "needs a port"),
        (
            sidecar(egress=[{"hosts": ["./*"], "port": PORT, "bind": "unix:///a"}]),
            "spec.egress[0].bind",
            "proxies would take a socket from each other; leave it out",
        ),
        (
            sidecar(egress=[{"hosts": ["./*"], "port": PORT}] * 2),
            "spec.egress[1].port.number",
            "the port 80 is there twice",
        ),
        (
            sidecar(ingress=[{"port": PORT, "defaultEndpoint": "10.0.0.1:80"}]),
            "spec.ingress[0].defaultEndpoint",
            "is not a place of the workload itself; write 127.0.0.1:PORT",
        ),
        (sidecar(ingress=[{"port": PORT, "tls": {}}]), "spec.ingress[0].tls.mode", "PASSTHROUGH is for gateways"),
        (sidecar(egress=[{"hosts": ["~a b/*"]}]), "spec.egress[0].hosts[0]", "is not a namespace"),
        (
            sidecar(outboundTrafficPolicy={"egressProxy": {"host": "catalog", "port": {"number": 80}}}),
            "spec.outboundTrafficPolicy.egressProxy",
            "gets nothing where the mode is REGISTRY_ONLY",
        ),
        (
            sidecar(outboundTrafficPolicy={"mode": "ALLOW_ANY", "egressProxy": {"host": "catalog"}}),
            "spec.outboundTrafficPolicy.egressProxy.port",
            "is needed",
        ),
        (sidecar(outboundTrafficPolicy={"mode": "ANY"}), "spec.outboundTrafficPolicy.mode", "must be one of"),
        (service(ports=[]), "spec.ports", "is empty"),
        (service(ports=[{"port": 80}, {"port": 81}]), "spec.ports[0].name", "where there are several ports"),
        (service(ports=[{"port": 80, "targetPort": "A"}]), "spec.ports[0].targetPort", "is not a port name"),
        (
            service(ports=[{"port": 80, "protocol": "UDP"}]),
            "spec.ports[0].protocol",
            "UDP does not go through the mesh",
        ),
        (service(type="ExternalName"), "spec.externalName", "type ExternalName needs it"),
        (service(clusterIP="none"), "spec.clusterIP", "is not an IP address"),
        (service(selector={"app": "a b"}), "spec.selector", "is not a label value"),
        (service(selector=["app"]), "spec.selector", "must be a mapping, not a list"),
    ],
)
def test_what_istio_refuses_is_refused_at_its_place(data, path, words):
    assert words in said(data).get(path, f"nothing about {path} in {said(data)}")
