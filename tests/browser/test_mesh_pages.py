"""Proxies, certificates and hosts that nobody declared, on the played mesh."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from fake_console import Stage
from visits import Visitor

from mesh_runtime.store.port import Change

pytestmark = pytest.mark.asyncio(loop_scope="session")

LATE = "shop/orders~8"
PASSED = "ext:Kubernetes/unknown/PassthroughCluster"
REFUSED = "ext:Kubernetes/unknown/BlackHoleCluster"
DECLARED = "ext:Kubernetes/shop/payments.example.com"
STYLE = "Meshscope.page.view.cy.getElementById('{}').style('{}')"


@pytest.fixture
def ended(stage: Stage) -> Iterator[None]:
    """Whatever happens, no root is being replaced afterwards."""
    yield
    control = stage.console.control
    control.replacing, control.waiting = False, ()
    control.authority.switch()
    control.authority.retire()


@pytest_asyncio.fixture(loop_scope="session")
async def forgotten(stage: Stage) -> AsyncIterator[None]:
    """Whatever happens, what is declared meanwhile is gone afterwards."""
    store = stage.console.store
    before = store.current.objects.keys()
    yield
    if declared := tuple(store.current.objects.keys() - before):
        await store.commit(Change(delete=declared, author="test"))


async def test_a_server_that_is_not_served_leads_to_its_gateway(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/proxies")
    note = visit.page.locator(".note.warn", has_text="there is no Secret shop/gone-tls")
    await note.get_by_role("link", name="Gateway shop/ingress").click()
    await visit.page.get_by_role("heading", name="ingress", level=1).wait_for()
    await visit.page.get_by_text("there is no Secret shop/gone-tls").wait_for()


async def test_a_gateways_page_says_where_it_listens_and_for_which_hosts(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/proxies")
    await visit.page.get_by_role("table", name="Proxies").get_by_role("link", name="shop/ingress").click()
    listens = visit.page.get_by_role("table", name="Listens on")
    await listens.get_by_role("cell", name="127.0.0.1:8080").wait_for()
    assert "80 HTTP" in await listens.inner_text()


async def test_what_a_proxy_was_given_is_read_and_searched_without_its_key(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/proxies")
    await visit.page.get_by_role("table", name="Proxies").get_by_role("link", name="shop/ingress").click()
    await visit.page.get_by_role("link", name="Secrets", exact=True).click()
    await visit.page.get_by_role("heading", name="Secrets").wait_for()
    shown = "document.querySelectorAll('main details').length"
    await visit.until(f"{shown} === 2")
    assert "PRIVATE KEY" not in await visit.page.locator("main").inner_html()
    await visit.page.get_by_placeholder("Search names and contents").fill("certificate_chain")
    await visit.page.get_by_role("region", name="default").get_by_text("BEGIN CERTIFICATE").wait_for()
    await visit.until(f"{shown} === 1")
    await visit.until("location.search === '?q=certificate_chain'")


async def test_an_address_of_nothing_that_a_proxy_was_given_says_so(visitor: Visitor, stage: Stage) -> None:
    gateway = next(one.instance_id for one in stage.console.control.status() if one.role == "gateway")
    visit = await visitor()
    await visit.go(f"/proxies/{gateway}/nonsense")
    await visit.page.get_by_role("heading", name="No proxy is given nonsense").wait_for()
    await visit.page.get_by_role("main").get_by_role("link", name="secrets").click()
    await visit.page.get_by_role("heading", name="Secrets").wait_for()
    await visit.go("/proxies/shop/nobody/secrets")
    await visit.page.get_by_role("heading", name="There is no such proxy now").wait_for()


async def test_a_certificate_shows_its_chain(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/certificates")
    await visit.page.get_by_role("link", name="shop/ingress").click()
    await visit.page.get_by_role("heading", name="Leaf").wait_for()
    await visit.page.get_by_role("heading", name="Root").wait_for()
    assert "spiffe://cluster.local/ns/shop/sa/played" in await visit.page.get_by_role("main").inner_text()


async def test_certificates_are_rotated_by_keyboard_and_only_after_a_question(visitor: Visitor, stage: Stage) -> None:
    before = stage.console.control.rotated
    visit = await visitor()
    await visit.go("/certificates")
    await visit.page.get_by_role("button", name="Rotate certificates").focus()
    await visit.page.keyboard.press("Enter")
    dialog = visit.page.get_by_role("dialog", name="Rotate all certificates?")
    await dialog.wait_for()
    await visit.page.keyboard.press("Escape")
    await dialog.wait_for(state="hidden")
    assert stage.console.control.rotated == before

    await visit.page.keyboard.press("Enter")
    await dialog.get_by_role("button", name="Rotate", exact=True).focus()
    await visit.page.keyboard.press("Enter")
    await visit.page.get_by_text("proxies acknowledged").wait_for()
    assert stage.console.control.rotated == before + 1


@pytest.mark.usefixtures("ended")
async def test_the_steps_of_a_new_root_are_shown_with_who_is_waited_for(visitor: Visitor, stage: Stage) -> None:
    control = stage.console.control
    control.waiting = (LATE,)
    visit = await visitor(color_scheme="light")
    await visit.go("/certificates")
    await visit.page.get_by_role("button", name="Replace the root").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Replace the root").click()
    step = visit.page.locator("[aria-current=step]")
    await step.get_by_text("Everybody trusts both roots").wait_for()
    await step.get_by_role("link", name=LATE).wait_for()
    await visit.until("document.querySelectorAll('table[aria-label=Roots] tbody tr').length === 2")
    assert await visit.violations_in_both_themes() == []

    control.authority.switch()
    await step.get_by_text("Everybody gets a certificate of the new root").wait_for()
    control.authority.retire()
    control.replacing = False
    await visit.page.get_by_text("The root has been replaced.").wait_for()
    await step.wait_for(state="hidden")


async def test_what_one_is_asked_before_a_rotation_is_accessible(visitor: Visitor) -> None:
    visit = await visitor(color_scheme="light")
    await visit.go("/certificates")
    await visit.page.get_by_role("button", name="Replace the root").click()
    await visit.page.get_by_role("dialog").wait_for()
    assert await visit.violations_in_both_themes() == []


async def test_declared_passed_on_and_refused_hosts_look_different(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph()
    nodes = (DECLARED, PASSED, REFUSED)
    icons = {str(await visit.ask(STYLE.format(node, "background-image"))) for node in nodes}
    colours = {str(await visit.ask(STYLE.format(node, "border-color"))) for node in nodes}
    assert (len(icons), len(colours)) == (3, 3)


@pytest.mark.usefixtures("forgotten")
async def test_hosts_that_are_refused_are_explained_and_can_be_declared(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.graph(f"/graph?sel={REFUSED}")
    panel = visit.page.locator("#live-graph-panel")
    await panel.get_by_text("The mesh refuses these requests.").wait_for()
    await panel.get_by_text("the host is unknown to the mesh").wait_for()
    await panel.get_by_text("meshscope logs inventory-v1 -n shop --proxy").wait_for()

    await panel.get_by_role("link", name="Declare a host").click()
    page = visit.page
    await page.get_by_role("textbox", name="Host").fill("api.example.org")
    await page.get_by_role("region", name="ServiceEntry").get_by_text("api.example.org").wait_for()
    assert await page.get_by_role("textbox", name="Namespace").input_value() == "shop"
    await page.get_by_role("button", name="Apply").click()
    await page.get_by_role("link", name="ServiceEntry api-example-org").click()
    await page.get_by_role("heading", name="api-example-org").wait_for()


async def test_a_wrong_host_is_refused_before_anything_is_written(visitor: Visitor, stage: Stage) -> None:
    before = stage.console.store.current.revision
    visit = await visitor()
    await visit.go("/config/new/ServiceEntry")
    await visit.page.get_by_role("textbox", name="Host").fill("not a host")
    await visit.page.get_by_role("alert").get_by_text("hosts").wait_for()
    assert await visit.page.get_by_role("button", name="Apply").is_disabled()
    assert stage.console.store.current.revision == before
