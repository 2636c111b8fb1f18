"""The Pair tab in a real browser: typed into, clicked, driven by keys, on a wide page and a phone, light and dark."""

import re

import pytest
from app_server import SCREENSHOTS, needs_browser, screenshot, serving, tiny_reward_models, visiting

from normbt_lab.data.pairs import PreferencePair
from normbt_lab.model import load_reward_model
from normbt_lab.scoring import score_pairs

pytestmark = needs_browser

QUESTION = ("What is 2 + 2?", "It is 4.", "It is 5, I think.")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny_reward_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def address(folders):
    with serving("--model", folders["bt"], "--compare", folders["plain"], "--model", folders["broken"]) as url:
        yield url


def write(page, prompt=None, chosen=None, rejected=None):
    for name, text in (("prompt", prompt), ("chosen", chosen), ("rejected", rejected)):
        if text is not None:
            page.locator(f"#pair-{name} textarea").fill(text)


def press_score(page):
    wait_for_score(page, page.locator("#pair-score").click)


def wait_for_score(page, action):
    """Do it, and wait until the pair is scored: the address then changes, after all else."""
    before = page.url
    action()
    page.wait_for_function("before => location.href !== before", arg=before)


def opened(page):
    """The page once the pair it opened with is scored and drawn, and the reference pairs are there."""
    page.wait_for_selector("#pair-diff .tokens")
    page.wait_for_selector("#pair-plane-1 .main-svg")
    page.wait_for_function("document.querySelector('#pair-progress').innerText.trim() === ''")
    return page


def message(page):
    return page.locator("#pair-message")


def points(page, plane=1):
    """How many points a plane draws, lines and texts aside."""
    return page.locator(f"#pair-plane-{plane} .scatterlayer .points path").count()


def test_what_is_typed_is_scored_and_its_numbers_are_those_of_the_library(address, folders):
    with visiting(address) as page:
        opened(page)
        write(page, *QUESTION)
        press_score(page)
        (expected,) = score_pairs(load_reward_model(folders["bt"]), [PreferencePair(*QUESTION)])
        page.get_by_text(f"{expected.reward_difference:+.3f}").first.wait_for()
        assert message(page).locator(".verdict").count() == 2
        assert page.locator("#pair-diff mark").count() > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize(("width", "mode"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_page_fits_wide_and_narrow_windows_light_and_dark(address, width, mode):
    with visiting(address, width, mode) as page:
        opened(page)
        for name in ("plane-1", "plane-2", "along", "layers"):
            page.locator(f"#pair-{name}").scroll_into_view_if_needed()
            page.wait_for_selector(f"#pair-{name} .main-svg")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert points(page) > 40  # the reference pairs
        ink = page.evaluate("getComputedStyle(document.querySelector('#pair-plane-1 .xtitle')).fill")
        is_bright = sum(map(int, re.findall(r"\d+", ink)[:3])) > 3 * 128
        assert is_bright == (mode == "dark")
        screenshot(page, f"pair-{width}-{mode}")


def test_an_edit_leaves_a_trail_and_swapping_turns_the_preference_around(address):
    with visiting(address) as page:
        opened(page)
        write(page, *QUESTION)
        press_score(page)
        before = message(page).inner_text()
        drawn = page.locator("#pair-plane-1 .scatterlayer .lines path").count()
        write(page, chosen="It is 4!")
        press_score(page)
        page.wait_for_function(
            "lines => document.querySelectorAll('#pair-plane-1 .scatterlayer .lines path').length > lines", arg=drawn
        )
        screenshot(page, "pair-trail")
        write(page, chosen=QUESTION[1])
        press_score(page)
        wait_for_score(page, page.locator("#pair-swap").click)
        assert page.locator("#pair-chosen textarea").input_value() == QUESTION[2]
        sides = re.findall(r"prefers (chosen|rejected)", before)
        turned = re.findall(r"prefers (chosen|rejected)", message(page).inner_text())
        assert sides and all(a != b for a, b in zip(sides, turned, strict=True))


def test_an_example_fills_the_texts_and_is_scored(address):
    with visiting(address) as page:
        opened(page)
        wait_for_score(page, page.get_by_role("button", name="paper, Figure 7: prime factor").click)
        assert "isPrime(j)" in page.locator("#pair-chosen textarea").input_value()
        assert page.locator("#pair-diff mark").all_inner_texts() == ["j", "n"]
        screenshot(page, "pair-figure-7")


def test_a_link_reopens_the_pair_and_its_models(address):
    with visiting(address) as page:
        opened(page)
        write(page, *QUESTION)
        press_score(page)
        link, numbers = page.url, page.locator("#pair-numbers").inner_text()
    with visiting(link) as page:
        opened(page)
        assert page.locator("#pair-rejected textarea").input_value() == QUESTION[2]
        assert page.locator("#pair-numbers").inner_text() == numbers


def test_a_link_to_a_model_that_is_not_here_says_so_and_scores_with_those_that_are(address):
    with visiting(f"{address}/#prompt=q&chosen=yes&rejected=no&model=/etc/passwd") as page:
        opened(page)
        assert page.locator("#pair-chosen textarea").input_value() == "yes"
        assert message(page).locator(".verdict").count() == 2
        assert "no model '/etc/passwd' on this page" in page.locator("#pair-remark").inner_text()
        write(page, chosen="another")
        press_score(page)
        page.wait_for_function("document.querySelector('#pair-remark').innerText.trim() === ''")


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"chosen": ""}, "The chosen answer is empty"),
        ({"prompt": "  "}, "The prompt is empty"),
    ],
)
def test_an_empty_field_is_said_in_the_page_and_nothing_is_lost(address, texts, says):
    with visiting(address) as page:
        opened(page)
        numbers = page.locator("#pair-numbers").inner_text()
        write(page, **texts)
        page.locator("#pair-score").click()
        page.get_by_text(says).wait_for()
        assert page.locator("#pair-numbers").inner_text() == numbers
        assert page.locator("#pair-rejected textarea").input_value()


def test_identical_answers_and_a_megabyte_of_text_are_explained(address):
    with visiting(address) as page:
        opened(page)
        write(page, "q", "the same", "the same")
        press_score(page)
        page.get_by_text("They lie at distance 0").first.wait_for()
        write(page, rejected="7 ? " * 250_000)
        page.locator("#pair-score").click()
        page.get_by_text("1,000,000 characters").first.wait_for()
        page.get_by_text("it was cut after").first.wait_for()
        page.wait_for_function("location.hash === ''")  # a pair too long for an address leaves it


def test_a_model_that_fails_to_load_says_why_and_the_other_still_answers(address):
    with visiting(address) as page:
        opened(page)
        page.locator("#pair-compare input").click()
        page.get_by_role("option", name="broken").click()
        page.locator("#pair-score").click()
        page.get_by_text("does not open as a sequence classifier").wait_for()
        assert message(page).locator(".verdict").count() == 1
        assert page.get_by_role("alert").count() == 1
        screenshot(page, "pair-broken-model")


def test_the_exact_gradient_comes_on_demand(address):
    with visiting(address) as page:
        opened(page)
        page.locator("#pair-measure").click()
        page.get_by_text("the gradient distance is").first.wait_for()
        page.wait_for_selector("#pair-exact-figure .main-svg")
        screenshot(page, "pair-exact")


def test_the_view_is_saved_as_a_picture_and_as_markdown_with_its_link(address, tmp_path):
    with visiting(address) as page:
        opened(page)
        write(page, *QUESTION)
        press_score(page)
        page.get_by_text(QUESTION[2]).first.wait_for()
        with page.expect_download() as saved:
            page.locator("#pair-png").click()
        saved.value.save_as(tmp_path / "pair.png")
        screenshot(page, "pair-card-page")
        picture = (tmp_path / "pair.png").read_bytes()
        (SCREENSHOTS / "pair-card.png").write_bytes(picture)
        assert picture.startswith(b"\x89PNG") and int.from_bytes(picture[16:20], "big") == 2400  # twice 1200 pixels
        with page.expect_download() as saved:
            page.locator("#pair-markdown").click()
        saved.value.save_as(tmp_path / "pair.md")
        card = (tmp_path / "pair.md").read_text()
        assert QUESTION[2] in card and f"[Open this pair]({page.url})" in card
        page.locator("#pair-link").click()
        assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_the_tab_works_without_a_mouse(address):
    with visiting(address) as page:
        opened(page)
        page.locator("#pair-prompt textarea").focus()
        page.keyboard.press("Control+A")
        page.keyboard.type(QUESTION[0])
        page.keyboard.press("Tab")
        page.keyboard.press("Control+A")
        page.keyboard.type(QUESTION[1])
        wait_for_score(page, lambda: page.keyboard.press("Shift+Enter"))
        reached = set()
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.closest('[id^=pair-]')?.id"))
        assert {"pair-rejected", "pair-model", "pair-compare", "pair-swap", "pair-score"} <= reached


def test_the_page_that_opens_without_arguments_has_both_shipped_models_and_is_the_one_in_the_readme():
    """Its picture is kept: copy runs/screenshots/readme.png to docs/figures/app.png when the page changes."""
    with serving() as url, visiting(url) as page:
        opened(page)
        names = [page.locator(f"#{name} input").input_value() for name in ("pair-model", "pair-compare")]
        assert names == ["BT", "NormBT"]
        page.wait_for_selector("#pair-plane-2 .main-svg")
        assert points(page) > 40  # the reference pairs come with the models
        page.set_viewport_size({"width": 1280, "height": 1500})
        page.wait_for_timeout(1000)  # figures follow the window
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / "readme.png")
