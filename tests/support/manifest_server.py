"""An API server that only shows what it is given: lists and objects by their paths, in pages, and what others may not read."""

import http.server
import json
import threading
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

PLACES = {
    "scaledobjects": "/apis/keda.sh/v1alpha1/scaledobjects",
    "clustertriggerauthentications": "/apis/keda.sh/v1alpha1/clustertriggerauthentications",
    "triggerauthentications": "/apis/keda.sh/v1alpha1/namespaces/demo/triggerauthentications",
    "kedadeployments": "/apis/apps/v1/deployments",
    "kedapods": "/api/v1/pods",
    "apiservices": "/apis/apiregistration.k8s.io/v1/apiservices",
    "namespaces": "/api/v1/namespaces",
    "prometheuses": "/apis/monitoring.coreos.com/v1/prometheuses",
    "servicemonitors": "/apis/monitoring.coreos.com/v1/servicemonitors",
    "podmonitors": "/apis/monitoring.coreos.com/v1/podmonitors",
    "horizontalpodautoscalers": "/apis/autoscaling/v2/namespaces/demo/horizontalpodautoscalers",
    "scaletarget": "/apis/apps/v1/namespaces/demo/deployments",
    "targetpods": "/api/v1/namespaces/demo/pods",
    "events": "/api/v1/namespaces/demo/events",
    "resourcequotas": "/api/v1/namespaces/demo/resourcequotas",
    "poddisruptionbudgets": "/apis/policy/v1/namespaces/demo/poddisruptionbudgets",
    "endpointslices": "/apis/discovery.k8s.io/v1/namespaces/keda/endpointslices",
    "networkpolicies": "/apis/networking.k8s.io/v1/namespaces/keda/networkpolicies",
}


class ManifestServer:
    """Serves on a real socket; `answers` maps a path to (status, what is sent)."""

    def __init__(self, objects):
        self.answers = {}
        self.asked = []
        self.page = 1000  # objects at a time, whatever is asked for
        for plural, place in PLACES.items():
            if plural in objects:
                self.answers[place] = 200, {"kind": "List", "items": objects[plural]}
        for namespace in ("demo", "keda"):
            own = [one for one in objects.get("services", ()) if one["metadata"]["namespace"] == namespace]
            self.answers[f"/api/v1/namespaces/{namespace}/services"] = 200, {"kind": "ServiceList", "items": own}
        kinds = [{"name": "deployments", "kind": "Deployment"}, {"name": "deployments/scale", "kind": "Scale"}]
        self.answers["/apis/apps/v1"] = 200, {"kind": "APIResourceList", "resources": kinds}
        scale = {"kind": "Scale", "status": {"selector": "app=llama"}}
        self.answers["/apis/apps/v1/namespaces/demo/deployments/llama/scale"] = 200, scale
        handler = type("Handler", (_Handler,), {"world": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, folder):
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(tree))
        return str(path)


class _Handler(http.server.BaseHTTPRequestHandler):
    world = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        split = urlsplit(self.path)
        path, query = unquote(split.path), parse_qs(split.query)
        self.world.asked.append((self.command, path))
        missing = {"kind": "Status", "code": 404, "message": "the server could not find the requested resource"}
        status, body = self.world.answers.get(path, (404, missing))
        if isinstance(body, dict) and "items" in body:
            begin = int(query.get("continue", ["0"])[0])
            end = begin + self.world.page
            more = str(end) if end < len(body["items"]) else ""
            body = {**body, "items": body["items"][begin:end], "metadata": {"continue": more}}
        sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)
