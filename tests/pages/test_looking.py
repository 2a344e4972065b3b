"""What every page is asked (`looking.axe`) finds what it is there to find."""

import pytest

from pages.looking import ALL_RULES, COLOUR_RULES, a_page, axe

pytestmark = pytest.mark.anyio
WRONG = """<html lang="en"><title>x</title><main><h1 style="color: #bbb; background: #fff">Pale</h1>
<button></button></main></html>"""


async def test_a_page_that_is_wrong_is_noticed(browser):
    async with a_page(browser) as looked:
        await looked.page.set_content(WRONG)
        assert {one["rule"] for one in await axe(looked.page, ALL_RULES)} == {"color-contrast", "button-name"}
        (pale,) = await axe(looked.page, COLOUR_RULES)
        assert (pale["rule"], pale["at"]) == ("color-contrast", [["h1"]])
        assert "#bbbbbb" in pale["why"], pale
