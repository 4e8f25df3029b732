"""Who may see what on the admin pages, by real requests, and real reviews by an API server."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from server.pages import get, pages
from server.world import Clock, client, ref, world
from support.kubernetes_server import Server

from scaler.server.access import REMEMBERED, Access
from scaler.sources.kubernetes.reviews import AccessReviews

TENANT, PLATFORM, STRANGER = "token-of-demo", "token-of-all", "token-of-nobody"


@pytest.fixture
def cluster():
    server = Server()
    server.tokens = {
        TENANT: {"username": "ana", "uid": "1", "groups": ["team"], "extra": {"scopes": ["a"]}},
        PLATFORM: {"username": "olu"},
    }
    server.grants = {("ana", "demo"), ("olu", "")}
    yield server
    server.close()


@asynccontextmanager
async def shown(cluster, tmp_path, clock=None):
    """The pages of a world with a workload in `demo` and one in `other`."""
    access = Access(AccessReviews(cluster.kubeconfig(tmp_path)), clock or Clock(), asyncio.to_thread)
    async with world() as w, client(w.address) as stub, pages(w, access=access) as url:
        for namespace in ("demo", "other"):
            await stub.IsActive(ref("llama", namespace=namespace))
        yield url


async def ask(url, token=None):
    page = await get(url, **({"Authorization": f"Bearer {token}"} if token else {}))
    return page.status, json.loads(page.text) if page.text.startswith("{") else page.text


async def test_a_tenant_sees_its_own_namespace_and_no_other(cluster, tmp_path):
    async with shown(cluster, tmp_path) as url:
        status, told = await ask(f"{url}/api/v1/explain/demo/llama", TENANT)
        assert (status, told["decisions"][0]["workload"]["namespace"]) == (200, "demo")
        for name in ("llama", "not-there"):
            status, told = await ask(f"{url}/api/v1/explain/other/{name}", TENANT)
            assert (status, told) == (403, {"error": "ana may not get scaledobjects.keda.sh in namespace other"})
        status, told = await ask(f"{url}/api/v1/explain/demo/lama", TENANT)
        assert status == 404
        assert "demo/llama" in told["error"]
        assert "other" not in told["error"]
        _, told = await ask(f"{url}/api/v1/decisions", TENANT)
        assert [one["namespace"] for one in told["decisions"]] == ["demo"]


async def test_who_may_get_them_everywhere_sees_all(cluster, tmp_path):
    async with shown(cluster, tmp_path) as url:
        _, told = await ask(f"{url}/api/v1/decisions", PLATFORM)
        assert {one["namespace"] for one in told["decisions"]} == {"demo", "other"}
        assert (await ask(f"{url}/api/v1/explain/other/llama", PLATFORM))[0] == 200
        assert (await ask(f"{url}/readyz?verbose", PLATFORM))[0] == 200
        assert (await ask(f"{url}/readyz?verbose", TENANT))[0] == 403, "it names workloads of all"


@pytest.mark.parametrize("token", [None, STRANGER, "x" * 20_000])
async def test_who_shows_no_good_token_sees_nothing_but_probes_and_metrics(cluster, tmp_path, token):
    async with shown(cluster, tmp_path) as url:
        for path in ("/api/v1/decisions", "/api/v1/explain/demo/llama", "/readyz?verbose"):
            page = await get(
                url + path, **({"Authorization": f"Bearer {token}"} if token and len(token) < 9000 else {})
            )
            assert (page.status, page.headers["WWW-Authenticate"]) == (401, "Bearer")
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await get(url + path)).status == 200


async def test_the_api_server_is_told_all_of_the_user_and_asked_once_in_a_while(cluster, tmp_path):
    clock = Clock()
    async with shown(cluster, tmp_path, clock) as url:
        for _ in range(3):
            await ask(f"{url}/api/v1/explain/demo/llama", TENANT)
        assert [len(cluster.asked(plural)) for plural in ("tokenreviews", "subjectaccessreviews")] == [1, 1]
        [asked] = cluster.asked("subjectaccessreviews")
        assert (asked["user"], asked["uid"], asked["groups"], asked["extra"]) == (
            "ana",
            "1",
            ["team"],
            {"scopes": ["a"]},
        )
        cluster.grants.clear()
        clock.now += REMEMBERED + 1
        assert (await ask(f"{url}/api/v1/explain/demo/llama", TENANT))[0] == 403, "a right that is taken away is gone"


@pytest.mark.parametrize("plural", ["tokenreviews", "subjectaccessreviews"])
async def test_where_nobody_can_say_nobody_sees_it(cluster, tmp_path, plural):
    cluster.refused[plural] = (403, "llm-scaler may not create it")
    async with shown(cluster, tmp_path) as url:
        status, told = await ask(f"{url}/api/v1/explain/demo/llama", TENANT)
        assert status == 503
        assert "whether you may see it is not known: 403: llm-scaler may not create it" in told["error"]
