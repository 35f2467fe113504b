"""The viewer of a result: zoom, layers, pixels, keys, and the heat map of any class."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

ZOOM = "parseFloat(document.getElementById('plane').style.width) / 160"
PLACE = "document.getElementById('plane').style.transform"


def inspected(page: Page) -> str:
    """The address of a freshly inspected cracked part of 160 x 128 pixels, which is then shown."""
    page.goto("/")
    page.get_by_role("button", name="Inspect sample: MT Crack 1").click()
    page.wait_for_url("**/inspections/*")
    page.wait_for_load_state("networkidle")
    return page.url


def until(page: Page, condition: str) -> None:
    """Wait for it; the page's own policy forbids ``wait_for_function``."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")


def shown(page: Page, layer: str) -> bool:
    return page.locator(f"#layer-{layer}").is_visible()


def test_the_picture_is_enlarged_moved_and_read_by_keys(page: Page) -> None:
    inspected(page)
    whole = page.evaluate(ZOOM)
    page.locator("#stage").focus()
    for _ in range(3):
        page.keyboard.press("+")
    assert page.evaluate(ZOOM) == pytest.approx(1.25**3 * whole, rel=0.01)
    expect(page.locator("#zoom-now")).to_have_text(f"{round(100 * page.evaluate(ZOOM))} %")
    page.keyboard.press("Shift+ArrowRight")
    first = page.locator("#readout").inner_text()
    page.keyboard.press("Shift+ArrowRight")
    second = page.locator("#readout").inner_text()
    spoken = re.compile(r"x (\d+) · y (\d+) · RGB \d+, \d+, \d+ · heat [01]\.\d\d")
    before, after = spoken.fullmatch(first), spoken.fullmatch(second)
    assert before and after and int(after[1]) == int(before[1]) + 1 and after[2] == before[2]
    expect(page.locator("#read-aloud")).to_have_text(second)
    page.keyboard.press("0")
    assert page.evaluate(ZOOM) == pytest.approx(whole)
    assert (
        page.evaluate("getComputedStyle(document.getElementById('original')).imageRendering") == "pixelated"
    )


def test_the_wheel_zooms_where_it_points_and_a_drag_moves(page: Page) -> None:
    inspected(page)
    page.locator("#stage").scroll_into_view_if_needed()
    area = page.locator("#stage").bounding_box()
    assert area
    at = area["x"] + 0.25 * area["width"], area["y"] + 0.25 * area["height"]
    page.mouse.move(*at)
    page.mouse.click(*at)  # the viewer has the focus
    pixel = re.compile(r"x \d+ · y \d+")
    below = pixel.search(page.locator("#readout").inner_text())
    page.mouse.wheel(0, -300)
    expect(page.locator("#stage")).to_have_class(re.compile("zoomed"))
    page.mouse.move(at[0] + 1, at[1])
    page.mouse.move(*at)
    still = pixel.search(page.locator("#readout").inner_text())
    assert below and still and below[0] == still[0]
    place = page.evaluate(PLACE)
    page.mouse.down()
    page.mouse.move(at[0] + 40, at[1] + 30, steps=3)
    page.mouse.up()
    assert page.evaluate(PLACE) != place
    page.mouse.dblclick(*at)
    expect(page.locator("#stage")).not_to_have_class(re.compile("zoomed"))


def test_the_wheel_scrolls_the_page_unless_the_viewer_is_meant(page: Page) -> None:
    inspected(page)
    page.evaluate("scrollTo({ top: 400, behavior: 'instant' })")
    area = page.locator("#stage").bounding_box()
    assert area
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] - 20)
    page.mouse.wheel(0, -200)
    until(page, "scrollY < 400")
    expect(page.locator("#stage")).not_to_have_class(re.compile("zoomed"))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -50)
    page.keyboard.up("Control")
    expect(page.locator("#stage")).to_have_class(re.compile("zoomed"))
    before = page.evaluate(ZOOM)
    page.mouse.wheel(0, -100)  # enlarged already
    until(page, f"{ZOOM} > {before}")


def test_a_picture_smaller_than_the_stage_is_shown_pixel_by_pixel(page: Page) -> None:
    inspected(page)
    assert page.evaluate(ZOOM) > 1, "the picture is small"
    page.keyboard.press("1")
    expect(page.locator("#zoom-now")).to_have_text("100 %")
    assert page.evaluate(ZOOM) == 1
    page.set_viewport_size({"width": 900, "height": 700})
    page.wait_for_timeout(300)
    assert page.evaluate(ZOOM) == 1
    page.keyboard.press("0")
    fitted = page.evaluate(ZOOM)
    page.set_viewport_size({"width": 1440, "height": 900})
    until(page, f"{ZOOM} !== {fitted}")  # the whole picture stays whole


def test_layers_are_switched_faded_and_stay_so_on_the_next_part(page: Page) -> None:
    inspected(page)
    assert [shown(page, name) for name in ("heat", "boxes", "edges")] == [True, True, False]
    for key in "hbe":
        page.keyboard.press(key)
    assert [shown(page, name) for name in ("heat", "boxes", "edges")] == [False, False, True]
    slider = page.get_by_role("slider", name="Opacity of the heat map")
    slider.press("Home")
    expect(page.locator("#opacity-value")).to_have_text("0 %")
    assert page.evaluate("getComputedStyle(document.getElementById('layer-heat')).opacity") == "0"
    inspected(page)
    assert [shown(page, name) for name in ("heat", "boxes", "edges")] == [False, False, True]
    expect(page.locator("#opacity-value")).to_have_text("0 %")
    page.locator("a.frame").nth(2).click()
    assert [shown(page, name) for name in ("heat", "boxes", "edges")] == [False, True, False]
    expect(page.locator("#stage")).to_be_focused()


def test_any_class_is_explained_and_the_answer_comes_back(page: Page) -> None:
    inspected(page)
    filed = page.locator("#layer-heat").get_attribute("src")
    page.keyboard.press("c")
    expect(page.get_by_label("What speaks for …")).to_be_focused()
    page.get_by_label("What speaks for …").select_option("MT_Blowhole")
    expect(page.locator("#why-said")).to_have_text(re.compile(r"^Class map \(\d+ ms\)\. .*“Blowhole”"))
    assert page.locator("#layer-heat").evaluate("one => one.decode().then(() => one.src)") != filed
    page.get_by_label("What speaks for …").select_option("")
    expect(page.locator("#why-said")).to_contain_text("An explanation, not a measurement")
    expect(page.locator("#layer-heat")).to_have_attribute("src", re.compile(re.escape(str(filed))))
    busy = {"status": 503, "content_type": "application/problem+json", "body": '{"detail": "Come later."}'}
    page.route("**/explanations/*", lambda route: route.fulfill(**busy))
    page.get_by_label("What speaks for …").select_option("MT_Free")
    expect(page.locator("#why-said")).to_have_text("Come later.")


def test_keys_lead_to_neighbours_help_and_review_and_can_be_switched_off(page: Page) -> None:
    first = inspected(page)
    second = inspected(page)
    page.keyboard.press("p")
    page.wait_for_url(first)
    page.keyboard.press("n")
    page.wait_for_url(second)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Keys work on this page").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    page.keyboard.press("a")
    page.get_by_role("button", name="Keys").click()
    dialog.get_by_label("Keys work on this page").check()
    dialog.get_by_role("button", name="Close").click()
    page.keyboard.press("a")
    page.wait_for_url("**/review/*?answer=accept")
    expect(page.get_by_role("radio", name="Accept")).to_be_checked()


def test_keys_switched_off_stay_off_on_the_review_page_which_has_the_same_switch(page: Page) -> None:
    result = inspected(page)
    page.keyboard.press("?")
    page.get_by_label("Keys work on this page").uncheck()
    page.goto(result.replace("/inspections/", "/review/"))
    switch = page.get_by_label("Keys work on this page")
    expect(switch).not_to_be_checked()
    boxes = page.locator("#canvas .box")
    before = boxes.count()
    for key in "bha":
        page.keyboard.press(key)
    expect(page.get_by_role("radio", name="Accept")).not_to_be_checked()
    expect(page.get_by_label("Heat map")).not_to_be_checked()
    assert boxes.count() == before
    boxes.first.press("Delete")  # of the box that has the focus
    assert boxes.count() == before - 1
    switch.check()
    page.keyboard.press("a")
    expect(page.get_by_role("radio", name="Accept")).to_be_checked()
    page.get_by_role("link", name="The whole result").click()
    page.wait_for_url(result)
    page.keyboard.press("?")
    expect(switch).to_be_checked()
    switch.uncheck()
    page.go_back()
    expect(switch).not_to_be_checked()


def test_two_fingers_zoom_on_a_phone_and_the_page_fits(phone: Page) -> None:
    inspected(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    assert phone.evaluate("getComputedStyle(document.getElementById('stage')).touchAction") == "pan-y"
    before = phone.evaluate(ZOOM)
    phone.evaluate(
        """() => {
            const stage = document.getElementById("stage"), area = stage.getBoundingClientRect();
            stage.setPointerCapture = () => {};  // a made-up finger cannot be captured
            const touch = (type, pointerId, x) => stage.dispatchEvent(new PointerEvent(type, {
                pointerId, pointerType: "touch", bubbles: true, button: 0,
                clientX: area.left + x * area.width, clientY: area.top + area.height / 2 }));
            touch("pointerdown", 7, 0.4); touch("pointerdown", 8, 0.6);
            touch("pointermove", 7, 0.3); touch("pointermove", 8, 0.7);
            touch("pointerup", 7, 0.3); touch("pointerup", 8, 0.7);
        }"""
    )
    assert phone.evaluate(ZOOM) == pytest.approx(2 * before, rel=0.02)
    assert phone.evaluate("getComputedStyle(document.getElementById('stage')).touchAction") == "none"
