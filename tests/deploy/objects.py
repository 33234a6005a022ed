"""Whether the objects of one kustomization fit together: what schemas cannot see. Used by check_deploy."""
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DAEMONS = ("millrace-coordinator", "millrace-worker")


def seconds(text):
    match = re.fullmatch(r"(\d+)(ms|s|m|h)?", str(text))
    if not match:
        raise ValueError(f"not a duration: {text}")
    return int(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, None: 1}[match[2]]


def pod_of(thing):
    return thing["spec"]["template"] if thing["kind"] in ("Deployment", "StatefulSet", "DaemonSet") else None


def selects(selector, labels):
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        if rule["operator"] == "In" and labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


class Objects:
    """What one kustomization builds, and what is wrong with it."""

    def __init__(self, things, readme):
        self.things = [thing for thing in things if thing]
        self.readme = readme
        self.problems = []
        self.pods = [(thing, pod_of(thing)) for thing in self.things if pod_of(thing)]

    def wrong(self, thing, text):
        self.problems.append(f"{thing['kind']} {thing['metadata']['name']}: {text}")

    def named(self, kind, name):
        return next((t for t in self.things if t["kind"] == kind and t["metadata"]["name"] == name), None)

    def of_kind(self, kind):
        return [thing for thing in self.things if thing["kind"] == kind]

    def chosen(self, selector):
        return [(t, pod) for t, pod in self.pods if selects(selector, pod["metadata"].get("labels", {}))]

    @staticmethod
    def ports(pod):
        return {p["name"]: p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", [])}

    def check(self):
        names = [(t["kind"], t["metadata"]["name"]) for t in self.things]
        for name in sorted({n for n in names if names.count(n) > 1}):
            self.problems.append(f"{name[0]} {name[1]} stands twice")
        namespaces = {t["metadata"].get("namespace") for t in self.things if t["kind"] != "Namespace"}
        if namespaces != {t["metadata"]["name"] for t in self.of_kind("Namespace")}:
            self.problems.append(f"objects lie in {sorted(map(str, namespaces))}, and not in the one namespace there is")
        for thing, pod in self.pods:
            self.check_pod(thing, pod)
        for service in self.of_kind("Service"):
            self.check_service(service)
        for policy in self.of_kind("NetworkPolicy"):
            self.check_policy(policy)
        for budget in self.of_kind("PodDisruptionBudget"):
            if len(self.chosen(budget["spec"]["selector"])) != 1:
                self.wrong(budget, "selects not exactly one workload")
        self.check_scaling()
        for monitor in self.of_kind("PodMonitor"):
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                chosen = self.chosen(monitor["spec"]["selector"])
                if len(chosen) < 2 or any(endpoint["port"] not in self.ports(pod) for _, pod in chosen):
                    self.wrong(monitor, f"port {endpoint['port']} is not one of each pod that it selects")
                self.check_secret(monitor, endpoint["authorization"]["credentials"]["name"],
                                  endpoint["authorization"]["credentials"]["key"])
        for rules in self.of_kind("PrometheusRule"):
            documented = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
            for metric in sorted(set(re.findall(r"\bmillrace_\w+", str(rules["spec"])))):
                if f"| `{metric}` |" not in documented:
                    self.wrong(rules, f"{metric} is no metric of ours")
        return self.problems

    def check_secret(self, thing, name, key):
        """Secrets are made by hand: the document must tell how, with every key."""
        made = re.search(rf"create secret generic {re.escape(name)} (.*?)(?:\n\n|\n```|\Z)", self.readme, re.S)
        if not made or not re.search(rf"--from-(file|literal)={re.escape(key)}(=|\s|$)", made[1]):
            self.wrong(thing, f"deploy/README.md does not tell how to make the secret {name} with its key {key}")

    def check_pod(self, thing, pod):
        spec, labels = pod["spec"], pod["metadata"].get("labels", {})
        if not selects(thing["spec"]["selector"], labels):
            self.wrong(thing, "its selector does not match its own pods")
        if len(self.chosen(thing["spec"]["selector"])) != 1:
            self.wrong(thing, "its selector matches pods of another workload")
        if not self.named("ServiceAccount", spec.get("serviceAccountName", "")):
            self.wrong(thing, "its service account does not exist")
        if thing["kind"] == "StatefulSet" and not self.named("Service", thing["spec"]["serviceName"]):
            self.wrong(thing, f"no service {thing['spec']['serviceName']}")
        for term in spec.get("affinity", {}).get("podAntiAffinity", {}).get(
                "requiredDuringSchedulingIgnoredDuringExecution", []) + spec.get("topologySpreadConstraints", []):
            if not selects(term["labelSelector"], labels):
                self.wrong(thing, "its spread does not select its own pods")
        volumes = {v["name"]: v for v in spec.get("volumes", [])}
        volumes.update({v["metadata"]["name"]: v for v in thing["spec"].get("volumeClaimTemplates", [])})
        for volume in volumes.values():
            if "configMap" in volume and not self.named("ConfigMap", volume["configMap"]["name"]):
                self.wrong(thing, f"no config map {volume['configMap']['name']}")
            for item in volume.get("secret", {}).get("items", []):
                self.check_secret(thing, volume["secret"]["secretName"], item["key"])
        context = spec.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            self.wrong(thing, "may run as root")
        for container in spec["containers"]:
            self.check_container(thing, pod, container, volumes)

    def check_container(self, thing, pod, container, volumes):
        inner = container.get("securityContext", {})
        if not inner.get("readOnlyRootFilesystem") or inner.get("allowPrivilegeEscalation") is not False \
                or inner.get("capabilities", {}).get("drop") != ["ALL"]:
            self.wrong(thing, "its root file system, privileges or capabilities are open")
        if not all(probe in container for probe in ("livenessProbe", "readinessProbe")):
            self.wrong(thing, "has not both probes")
        ports = self.ports(pod)
        for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz"), ("startupProbe", "/livez")):
            http = container.get(probe, {}).get("httpGet")
            if http and (http["port"] not in ports or http["path"] != path):
                self.wrong(thing, f"{probe} asks {http['path']} on port {http['port']}")
        mounted = {m["name"] for m in container.get("volumeMounts", [])}
        if mounted != set(volumes):
            self.wrong(thing, f"mounts {sorted(mounted)} of its volumes {sorted(volumes)}")
        known = {variable["name"] for variable in container.get("env", [])}
        for variable in container.get("env", []):
            secret = variable.get("valueFrom", {}).get("secretKeyRef")
            if secret:
                self.check_secret(thing, secret["name"], secret["key"])
        for word in container.get("args", []):
            for name in re.findall(r"\$\((\w+)\)", word):
                if name not in known:
                    self.wrong(thing, f"$({name}) is no variable of its")
        self.check_files(thing, pod, container)

    def check_files(self, thing, pod, container):
        """Files named in arguments and in configuration exist in the mounts; addresses and ports fit."""
        mounts = {m["mountPath"]: m["name"] for m in container.get("volumeMounts", [])}
        volumes = {v["name"]: v for v in pod["spec"].get("volumes", [])}
        files = {}
        for path, name in mounts.items():
            volume = volumes.get(name, {})
            if "configMap" in volume:
                config = self.named("ConfigMap", volume["configMap"]["name"])
                files.update({f"{path}/{key}": text for key, text in (config or {}).get("data", {}).items()})
            for item in volume.get("secret", {}).get("items", []):
                files[f"{path}/{item['path']}"] = None
        text = "\n".join(container.get("args", []) + [t for t in files.values() if t])
        for path in sorted(set(re.findall(r"(?<=[=: ])/(?:etc|run)/[\w./-]+", text))):
            if path not in files:
                self.wrong(thing, f"{path} is mounted nowhere")
        program = container.get("args", [""])[0]
        if program not in DAEMONS:
            return
        config = {}
        for word in container["args"]:
            if word.startswith("--config="):
                config = yaml.safe_load(files.get(word.split("=", 1)[1]) or "") or {}
        ports = self.ports(pod)
        http = str(config.get("http", "")).rpartition(":")[2]
        if http != str(ports.get("http")):
            self.wrong(thing, f"http listens on {http}, and its port is {ports.get('http')}")
        for name, option in (("peers", "listen"), ("events", "events")):
            if name in ports and not any(w.startswith(f"--{option}=") and w.endswith(f":{ports[name]}")
                                         for w in container["args"]):
                self.wrong(thing, f"nothing listens on the port {name}")
        for address in config.get("coordinator", []):
            self.check_address(thing, address)
        if program == "millrace-worker":
            self.check_drain(thing, pod, container, config)
            replicas = [t["spec"].get("replicas", 1) for t, p in self.pods
                        if t["kind"] == "StatefulSet" and p["spec"]["containers"][0].get("args", [""])[0] ==
                        "millrace-coordinator"]
            if len(config.get("coordinator", [])) != sum(replicas):
                self.wrong(thing, f"knows {len(config.get('coordinator', []))} of {sum(replicas)} coordinators")

    def check_drain(self, thing, pod, container, config):
        grace, drain = pod["spec"].get("terminationGracePeriodSeconds", 30), seconds(config.get("drain-grace", "30s"))
        if grace < drain + 15:  # kLeaveAfterKill and some
            self.wrong(thing, f"is given {grace} s to end and drains for {drain:g} s")
        hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
        if "kill -TERM 1" not in " ".join(hook) or "kill -0 1" not in " ".join(hook):
            self.wrong(thing, "its preStop does not drain it and wait")

    def check_address(self, thing, address):
        match = re.fullmatch(r"tcp://([\w-]+)-(\d+)\.([\w-]+):(\d+)", address)
        owner = self.named("StatefulSet", match[1]) if match else None
        service = self.named("Service", match[3]) if match else None
        if not owner or not service or owner["spec"]["serviceName"] != match[3] \
                or int(match[2]) >= owner["spec"].get("replicas", 1) \
                or int(match[4]) not in self.ports(owner["spec"]["template"]).values() \
                or int(match[4]) not in [p["port"] for p in service["spec"]["ports"]]:
            self.wrong(thing, f"{address} is nobody's address")

    def check_service(self, service):
        chosen = self.chosen({"matchLabels": service["spec"]["selector"]})
        if len(chosen) != 1:
            self.wrong(service, f"selects {len(chosen)} workloads")
        for _, pod in chosen:
            for port in service["spec"]["ports"]:
                target = port.get("targetPort", port["port"])
                if self.ports(pod).get(target, target) != port["port"] or \
                        target not in self.ports(pod) and target not in self.ports(pod).values():
                    self.wrong(service, f"port {port['port']} leads to {target}, which the pod has not")

    def check_policy(self, policy):
        spec = policy["spec"]
        chosen = self.chosen(spec["podSelector"])
        if len(chosen) != 1:
            self.wrong(policy, f"selects {len(chosen)} workloads")
        own = self.ports(chosen[0][1]) if chosen else {}
        for rule in spec.get("ingress", []):
            for port in rule.get("ports", []):
                if port["port"] not in own and port["port"] not in own.values():
                    self.wrong(policy, f"lets in to {port['port']}, which the pod has not")
            for peer in rule.get("from", []):
                self.check_peer(policy, peer)
        for rule in spec.get("egress", []):
            for peer in rule.get("to", []):
                for _, pod in self.check_peer(policy, peer):
                    for port in rule.get("ports", []):
                        if port["port"] not in self.ports(pod):
                            self.wrong(policy, f"lets out to {port['port']}, which the other has not")

    def check_peer(self, policy, peer):
        labels = peer.get("podSelector", {})
        client = "millrace/client" in labels.get("matchLabels", {})  # pods of the cluster's users
        chosen = self.chosen(labels) if labels else []
        if labels and not client and len(chosen) != 1:
            self.wrong(policy, f"names pods that are not there: {labels}")
        return chosen

    def check_scaling(self):
        bounds = []
        for scaler in self.of_kind("HorizontalPodAutoscaler") + self.of_kind("ScaledObject"):
            spec = scaler["spec"]
            target = self.named(spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"])
            if not target or "replicas" in target["spec"]:
                self.wrong(scaler, "has no target, or one whose replicas are fixed as well")
                continue
            bounds.append((spec.get("minReplicas", spec.get("minReplicaCount")),
                           spec.get("maxReplicas", spec.get("maxReplicaCount"))))
            container = target["spec"]["template"]["spec"]["containers"][0]
            if "cpu" not in container.get("resources", {}).get("requests", {}):
                self.wrong(scaler, "goes by a share of the processor that its target does not ask for")
            text = str(spec)
            if "millrace_demand" not in text or not re.search(r"'averageUtilization': 70|'value': '70'", text):
                self.wrong(scaler, "does not go by demand and 70 % of the processor")
            name = next(v["configMap"]["name"] for v in target["spec"]["template"]["spec"]["volumes"]
                        if "configMap" in v)
            slots = yaml.safe_load(self.named("ConfigMap", name)["data"]["worker.yaml"])["slots"]
            if not re.search(rf"'(averageValue|threshold)': '{slots}'", text):
                self.wrong(scaler, f"its demand a worker is not the {slots} slots of one")
        if len(bounds) > 1 or bounds and bounds[0] != (2, 20):
            self.problems.append(f"scaled by {len(bounds)} scalers between {bounds}")
