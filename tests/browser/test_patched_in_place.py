"""What is patched in place while people look at it."""

from __future__ import annotations

import pytest
from visits import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_waits_for_its_place_never_replaces_what_is_newer(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/services")
    shown = await visit.ask("""async () => {
        const { show } = await import('/assets/js/live.js');
        const frame = () => new Promise(requestAnimationFrame);
        show(['older'], { name: 'late' });
        const place = document.createElement('div');
        place.id = 'live-late';
        document.body.append(place);
        show(['newer'], { name: 'late' });
        await frame();
        await frame();
        return place.textContent;
    }""")
    assert shown == "newer"


async def test_rows_that_somebody_points_at_wait_unless_others_are_asked_for(visitor: Visitor) -> None:
    visit = await visitor()
    await visit.go("/services")
    await visit.ask("""async () => {
        const { show } = await import('/assets/js/live.js');
        const place = document.createElement('div');
        place.id = 'live-rows';
        place.style.cssText = 'position: fixed; inset: 200px; z-index: 999';
        document.body.append(place);
        window.tell = (text, of) => {
            show([['div', { 'data-hold': of, style: 'height: 100px' }, [text]]], { name: 'rows' });
            return place.textContent;
        };
        window.tell('first', 'all');
    }""")
    await visit.page.mouse.move(240, 240)
    assert await visit.ask("tell('newer', 'all')") == "first"
    assert await visit.ask("tell('others', 'failed')") == "others"
    await visit.page.mouse.move(20, 20)
    assert await visit.ask("tell('newest', 'failed')") == "newest"
