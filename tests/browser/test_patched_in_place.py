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
