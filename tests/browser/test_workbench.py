"""What a quality engineer does all day, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, Route, expect
from web_client import cracked, encoded, surface

from flawsight.i18n import percent


def inspected(page: Page) -> str:
    """The id of a freshly inspected cracked part."""
    page.goto("/")
    page.get_by_role("button", name="Inspect sample: MT Crack 1").click()
    page.wait_for_url("**/inspections/*")
    return page.url.rsplit("/", 1)[1]


def drawn(page: Page) -> list[dict[str, int]]:
    boxes: list[dict[str, int]] = page.evaluate("JSON.parse(document.getElementById('boxes').value)")
    return boxes


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place of the picture to another, given as shares of its sides."""
    area = page.locator("#canvas").bounding_box()
    assert area
    points = [(area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=5)
    page.mouse.up()


# --- review ---------------------------------------------------------------------------------------------


def test_a_box_is_drawn_moved_and_sized_by_mouse_and_filed(page: Page) -> None:
    number = inspected(page)
    page.goto(f"/review/{number}")
    page.locator("#editor").scroll_into_view_if_needed()
    before = drawn(page)
    drag(page, (0.7, 0.7), (0.9, 0.9))
    *kept, new = drawn(page)
    assert kept == before
    for key, expected in {"x1": 112, "y1": 89.6, "x2": 144, "y2": 115.2}.items():  # of 160 x 128 pixels
        assert abs(new[key] - expected) <= 1
    drag(page, (0.8, 0.8), (0.7, 0.8))
    moved = drawn(page)[-1]
    assert (
        abs(moved["x1"] - 96) <= 1
        and moved["y1"] == new["y1"]
        and moved["x2"] - moved["x1"] == new["x2"] - new["x1"]
    )
    drag(page, (moved["x2"] / 160, moved["y2"] / 128), (2.0, 2.0))  # far outside: the box ends at the edge
    assert (drawn(page)[-1]["x2"], drawn(page)[-1]["y2"]) == (160, 128)
    page.get_by_label("Your name").fill("A. Kern")
    page.get_by_label("Scrap").check()
    page.get_by_role("button", name="File", exact=True).click()
    page.wait_for_url("**/inspections/*")
    expect(page.locator(".answers")).to_contain_text("A. Kern")
    expect(page.locator(".answers")).to_contain_text("corrected · Scrap")


def test_the_keyboard_alone_draws_moves_sizes_and_removes_a_box(page: Page) -> None:
    page.goto(f"/review/{inspected(page)}")
    first = len(drawn(page))
    page.get_by_role("button", name="Add a box").press("Enter")
    box = drawn(page)[-1]
    assert len(drawn(page)) == first + 1
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    moved = drawn(page)[-1]
    assert (moved["x1"], moved["y1"]) == (box["x1"] + 2, box["y1"] + 2)
    page.keyboard.press("Shift+ArrowLeft")
    assert drawn(page)[-1]["x2"] == moved["x2"] - 2 and drawn(page)[-1]["x1"] == moved["x1"]
    expect(page.locator("#editor-said")).to_contain_text(f"Box {first + 1}, Crack")
    page.keyboard.press("Delete")
    assert len(drawn(page)) == first


def test_figures_can_be_typed_instead_of_dragged(page: Page) -> None:
    page.goto(f"/review/{inspected(page)}")
    page.get_by_label("Box 1, left, pixels").fill("7")
    page.get_by_label("Box 1, left, pixels").press("Tab")
    assert drawn(page)[0]["x1"] == 7


def test_tab_goes_on_from_a_typed_figure_to_the_next(page: Page) -> None:
    page.goto(f"/review/{inspected(page)}")
    while len(drawn(page)) < 5:
        page.get_by_role("button", name="Add a box").click()
    page.get_by_label("Box 5, left, pixels").click()
    page.keyboard.press("Control+A")
    page.keyboard.type("48")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Box 5, top, pixels")).to_be_focused()
    assert drawn(page)[4]["x1"] == 48
    page.get_by_label("Class of box 5").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Box 5, left, pixels")).to_be_focused()
    expect(page.get_by_label("Class of box 5")).to_have_value(str(drawn(page)[4]["class"]))


def test_typed_figures_are_shown_as_they_are_kept(page: Page) -> None:
    page.goto(f"/review/{inspected(page)}")
    left, right = (page.get_by_label(f"Box 1, {edge}, pixels") for edge in ("left", "right"))
    before = drawn(page)[0]["x2"]
    left.fill("900")  # of a picture 160 pixels wide: the edge stops at its rim and is the right one now
    left.press("Enter")
    assert (drawn(page)[0]["x1"], drawn(page)[0]["x2"]) == (before, 160)
    expect(left).to_be_focused()
    expect(left).to_have_value(str(before))
    expect(right).to_have_value("160")
    page.get_by_role("button", name="As the model said").click()
    assert drawn(page)[0]["x2"] == before
    expect(right).to_have_value(str(before))


def test_a_figure_that_is_being_typed_survives_a_resized_window(page: Page) -> None:
    page.goto(f"/review/{inspected(page)}")
    left = page.get_by_label("Box 1, left, pixels")
    left.fill("12")
    page.set_viewport_size({"width": 1000, "height": 600})
    page.wait_for_timeout(200)
    expect(left).to_have_value("12")
    left.press("Tab")
    assert drawn(page)[0]["x1"] == 12


def test_a_figure_not_yet_entered_counts_when_another_box_is_dragged(page: Page) -> None:
    page.goto(f"/review/{inspected(page)}")
    page.locator("#editor").scroll_into_view_if_needed()
    drag(page, (0.7, 0.7), (0.9, 0.9))
    count, other = len(drawn(page)), drawn(page)[-1]
    page.get_by_label("Box 1, left, pixels").fill("7")
    page.locator("#editor").scroll_into_view_if_needed()
    drag(page, (0.8, 0.8), (0.7, 0.8))
    assert drawn(page)[0]["x1"] == 7
    assert abs(drawn(page)[-1]["x1"] - (other["x1"] - 16)) <= 1
    assert page.locator("#canvas .box").count() == len(drawn(page)) == count


def test_a_figure_not_yet_entered_is_filed_by_the_keys(page: Page) -> None:
    number = inspected(page)
    page.goto(f"/review/{number}")
    page.get_by_label("Your name").fill("A. Kern")
    page.get_by_label("Box 1, left, pixels").press("Control+A")
    page.keyboard.type("3")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/inspections/*")
    (said,) = page.request.get(f"/api/v1/inspections/{number}/reviews").json()["reviews"]
    assert said["boxes"][0]["x1"] == 3


def test_a_finger_draws_a_box(phone: Page) -> None:
    phone.goto(f"/review/{inspected(phone)}")
    before = len(drawn(phone))
    phone.evaluate(
        """() => {
            const canvas = document.getElementById("canvas"), area = canvas.getBoundingClientRect();
            canvas.setPointerCapture = () => {};  // a made-up finger cannot be captured
            for (const [type, share] of [["pointerdown", 0.6], ["pointermove", 0.9], ["pointerup", 0.9]])
                canvas.dispatchEvent(new PointerEvent(type, {
                    pointerId: 7, pointerType: "touch", bubbles: true, button: 0,
                    clientX: area.left + share * area.width, clientY: area.top + share * area.height }));
        }"""
    )
    assert len(drawn(phone)) == before + 1
    assert phone.evaluate("getComputedStyle(document.getElementById('canvas')).touchAction") == "none"
    assert phone.evaluate("document.documentElement.scrollWidth") == 390


def test_verdict_and_class_follow_each_other(page: Page) -> None:
    page.goto(f"/review/{inspected(page)}")
    page.keyboard.press("a")
    expect(page.get_by_label("Accept")).to_be_checked()
    assert page.locator("#class option:checked").get_attribute("data-defect") == ""
    page.keyboard.press("r")
    assert page.locator("#class option:checked").get_attribute("data-defect") == "1"
    page.get_by_label("Class", exact=True).select_option("MT_Free")
    expect(page.get_by_label("Accept")).to_be_checked()


def test_an_accepted_part_is_filed_though_the_model_drew_boxes(page: Page) -> None:
    page.goto(f"/review/{inspected(page)}")
    page.keyboard.press("a")
    page.get_by_label("Your name").fill("A. Kern")
    page.get_by_label("Your name").press("Control+Enter")
    expect(page.get_by_role("status").first).to_contain_text("The answer was filed")


def test_a_defect_that_the_model_did_not_name_is_left_to_the_person(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Inspect sample: MT Free 2").click()
    page.wait_for_url("**/inspections/*")
    page.goto(page.url.replace("/inspections/", "/review/"))
    page.get_by_label("Your name").fill("A. Kern")
    page.keyboard.press("Tab")
    page.locator("h1").click()
    page.keyboard.press("r")
    classes = page.get_by_label("Class", exact=True)
    expect(classes).to_have_value("")
    expect(classes.locator("option:checked")).to_have_text("Choose the defect")
    page.get_by_role("button", name="Add a box").click()
    assert drawn(page)[0]["class"] == ""
    page.get_by_role("button", name="File", exact=True).click()  # which the browser does not send
    assert "/review/" in page.url and classes.evaluate("one => one.validity.valueMissing")
    classes.select_option("MT_Crack")
    assert drawn(page)[0]["class"] == "MT_Crack"
    page.locator("h1").click()
    page.keyboard.press("a")
    expect(classes).to_have_value("MT_Free")


def test_the_queue_is_walked_with_keys(page: Page) -> None:
    for _ in range(2):
        inspected(page)
    page.goto("/review?queue=all")
    page.get_by_role("link", name="Start with the least certain").click()
    page.wait_for_url(re.compile("/review/[0-9a-f]{32}"))
    first = page.url
    page.keyboard.press("n")
    page.wait_for_url(lambda address: address != first)
    page.keyboard.press("p")
    page.wait_for_url(first)


def test_boxes_that_are_not_filed_are_asked_about_and_are_there_on_coming_back(page: Page) -> None:
    asked, leaving = list[str](), list[bool]()

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        (dialog.accept if leaving else dialog.dismiss)()

    page.on("dialog", answer)
    page.goto(f"/review/{inspected(page)}?queue=all")
    page.keyboard.press("h")
    page.get_by_role("link", name="Queue", exact=True).click()  # nothing was changed, so nothing is asked
    page.wait_for_url("**/review?queue=all")
    page.go_back()
    here, before = page.url, drawn(page)
    page.get_by_role("button", name="Add a box").click()
    page.get_by_label("Rationale").fill("Torn")
    page.get_by_role("link", name="Queue", exact=True).click()
    page.wait_for_timeout(500)
    changed = drawn(page)
    assert asked == ["beforeunload"] and page.url == here and len(changed) == len(before) + 1
    leaving.append(True)
    page.get_by_role("link", name="Queue", exact=True).click()
    page.wait_for_url("**/review?queue=all")
    page.go_back()
    expect(page.get_by_label("Rationale")).to_have_value("Torn")
    assert drawn(page) == changed and page.locator("#canvas .box").count() == len(changed)
    page.get_by_label("Your name").fill("A. Kern")
    page.get_by_role("button", name="File", exact=True).click()
    page.wait_for_url("**/inspections/*")
    page.goto(here)
    assert drawn(page) == changed and len(asked) == 2, "what is filed is not asked about"


def test_another_language_keeps_the_boxes_and_asks_nothing(page: Page) -> None:
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    page.goto(f"/review/{inspected(page)}")
    page.get_by_role("button", name="Add a box").click()
    page.locator("#class").select_option("MT_Blowhole")
    page.get_by_label("Class of box 1").select_option("MT_Crack")
    page.get_by_label("Not a part").check()
    page.get_by_label("Rationale").fill("Torn")
    before = drawn(page)
    page.get_by_role("button", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.locator("#rationale")).to_have_value("Torn")
    assert drawn(page) == before and page.locator("#canvas .box").count() == len(before)
    assert len({box["class"] for box in before}) == 2
    expect(page.locator("input[value=unknown]")).to_be_checked()
    assert asked == []
    page.get_by_role("link", name="Verlauf").first.click()
    page.wait_for_url("**/history")
    assert asked == ["beforeunload"], "on any other way the browser asks as ever"


def test_the_queue_says_how_many_of_it_a_page_shows_and_is_walked_to_its_end(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawsight.web.review.QUEUE", 2)
    for _ in range(3):
        inspected(page)
    waiting = page.request.get("/api/v1/reviews/queue").json()["count"]
    page.goto("/review?queue=all")
    first = page.locator(".queue").inner_text()
    expect(page.locator(".queue li")).to_have_count(2)
    expect(page.get_by_text(f"2 of {waiting} are on this page.")).to_be_visible()
    expect(page.get_by_role("link", name="Previous page")).to_have_count(0)
    shown = 2
    while page.get_by_role("link", name="Next page").count():
        page.get_by_role("link", name="Next page").click()
        page.wait_for_load_state()
        assert page.locator(".queue").inner_text() != first
        shown += page.locator(".queue li").count()
    assert shown == waiting
    while page.get_by_role("link", name="Previous page").count():
        page.get_by_role("link", name="Previous page").click()
        page.wait_for_load_state()
    assert page.locator(".queue").inner_text() == first


# --- history --------------------------------------------------------------------------------------------


def test_a_filter_is_set_kept_in_the_address_and_exported(page: Page) -> None:
    inspected(page)
    page.goto("/history")
    page.get_by_text("Filters and order").click()
    page.get_by_label("Verdict").select_option("reject")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**/history?final=reject")
    expect(page.get_by_label("Verdict")).to_have_value("reject")
    assert page.locator(".history tbody tr").count() >= 1
    assert "accept" not in page.locator(".history tbody").inner_text().lower()
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    assert "reject" in Path(started.value.path()).read_text(encoding="utf-8-sig")


def test_history_and_review_fit_a_phone(phone: Page) -> None:
    inspected(phone)
    for address in ("/history", "/history?verdict=reject", "/review", "/history/retention"):
        phone.goto(address)
        assert phone.evaluate("document.documentElement.scrollWidth") == 390, address


def test_a_long_file_name_leaves_the_columns_of_the_history_as_they_were(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    columns = "[...document.querySelectorAll('.history th[scope=col]')].map((one) => one.offsetWidth)"
    widths = []
    for name in (f"{'long name ' * 4}.png", f"{'long name ' * 15}.png"):
        file = {"name": name, "mimeType": "image/png", "buffer": encoded(surface())}
        context = {"part_number": "MT-4711", "lot": "L-17"}
        assert page.request.post("/api/v1/inspections", multipart={"file": file, **context}).ok
        page.goto("/history?part=MT-4711")
        widths.append(page.evaluate(columns))
    assert widths[0] == widths[1]
    shown = page.get_by_title(name)
    expect(shown).to_have_text(name)  # whole, for whoever hears it
    assert shown.evaluate("one => one.clientWidth <= 240 && one.clientWidth < one.scrollWidth")
    assert shown.evaluate("one => getComputedStyle(one).textOverflow") == "ellipsis"


# --- context --------------------------------------------------------------------------------------------


def test_the_part_is_remembered_without_sending_anything(page: Page, cracked_file: Path) -> None:
    page.goto("/")
    page.locator("#context summary").click()
    page.get_by_label("Part number").fill("MT-4711")
    with page.expect_response(re.compile("/bench/context")):
        page.get_by_label("Part number").press("Enter")  # a scanner's Enter: on to the next field
    expect(page.get_by_label("Revision")).to_be_focused()
    page.reload()
    expect(page.locator("#context-now")).to_have_text("MT-4711")
    page.get_by_label("Photo of the part").set_input_files(cracked_file)
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")
    expect(page.locator(".part")).to_contain_text("MT-4711")


def test_what_is_typed_about_the_part_before_the_scripts_are_there_is_said_and_remembered(page: Page) -> None:
    late: list[Route] = []
    page.route("**/static/context.js*", lambda route: late.append(route))
    page.goto("/", wait_until="commit")
    page.locator("#context summary").click()
    page.get_by_label("Lot", exact=True).fill("L-early")
    page.get_by_label("Serial number", exact=True).focus()
    with page.expect_response(re.compile("/bench/context")):
        late.pop().continue_()
    expect(page.locator("#context-now")).to_contain_text("L-early")
    page.unroute("**/static/context.js*")
    page.reload()
    expect(page.get_by_label("Lot", exact=True)).to_have_value("L-early")


def one_serial(page: Page, count: int) -> None:
    """The bench names a serial number, and ``count`` photos are about to be sent."""
    page.goto("/")
    page.locator("#context summary").click()
    page.get_by_label("Serial number").fill("SER-1")
    page.get_by_label("Station").fill("Bench 3")
    page.get_by_label("Station").press("Tab")
    photos = [
        {"name": f"{n}.png", "mimeType": "image/png", "buffer": encoded(surface(160 + n))}
        for n in range(count)
    ]
    page.get_by_label("Photo of the part").set_input_files(photos)  # type: ignore[arg-type]
    page.get_by_role("button", name=f"Inspect {count} photos").click()


@pytest.mark.parametrize(
    ("choice", "serials"),
    [("Yes, all of SER-1", ["SER-1"] * 3), ("No, send them without a serial number", [""] * 3)],
)
def test_many_photos_with_one_serial_number_are_asked_about(
    page: Page, choice: str, serials: list[str]
) -> None:
    one_serial(page, 3)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Are these 3 photos pictures of one part?")
    dialog.get_by_role("button", name=choice).click()
    expect(page.locator("#batch-said")).to_contain_text("Finished, 3 of 3")
    listed = page.request.get("/api/v1/inspections").json()["inspections"][:3]
    assert [(one["serial"], one["station"]) for one in listed] == [(said, "Bench 3") for said in serials]
    expect(page.locator("#context-now")).to_have_text("Bench 3")


def test_the_question_about_one_serial_number_can_be_taken_back(page: Page) -> None:
    one_serial(page, 2)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#batch")).to_be_hidden()
    expect(page.get_by_label("Serial number")).to_have_value("SER-1")
    expect(page.get_by_role("button", name="Inspect 2 photos")).to_be_enabled()


def test_one_part_is_inspected_under_its_serial_number_and_the_next_is_not(
    page: Page, cracked_file: Path
) -> None:
    page.goto("/")
    page.locator("#context summary").click()
    page.get_by_label("Serial number").fill("SER-1")
    page.get_by_label("Photo of the part").set_input_files(cracked_file)
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")
    expect(page.locator(".part")).to_contain_text("SER-1")
    page.go_back()
    expect(page.get_by_label("Serial number")).to_have_value("")


def test_the_camera_asks_for_a_serial_number_a_part_unless_told_otherwise(page: Page) -> None:
    page.goto("/bench/camera")
    expect(page.locator("#shutter")).to_be_enabled()
    page.locator("#context summary").click()
    serial = page.get_by_label("Serial number", exact=True)
    serial.fill("SER-7")
    page.get_by_label("The next picture shows the same part").check()
    for count in (1, 2):
        page.locator("#shutter").click()
        expect(page.locator("#shots a")).to_have_count(count)
        expect(serial).to_have_value("SER-7")
        expect(page.locator("#shutter")).to_be_enabled()
    page.get_by_label("The next picture shows the same part").uncheck()
    page.locator("#shutter").click()
    expect(page.locator("#shots a")).to_have_count(3)
    expect(serial).to_have_value("")
    expect(page.locator("#context-now")).to_have_text("not said")


def test_a_serial_number_scanned_while_the_camera_waits_is_kept_for_the_next_part(page: Page) -> None:
    page.goto("/bench/camera")
    expect(page.locator("#shutter")).to_be_enabled()
    page.locator("#context summary").click()
    serial = page.get_by_label("Serial number", exact=True)
    serial.fill("SER-8")
    held: list[Route] = []
    page.route("**/api/v1/inspections", lambda route: held.append(route))
    page.locator("#shutter").click()
    while not held:
        page.wait_for_timeout(50)
    serial.fill("SER-9")
    held.pop().continue_()
    expect(page.locator("#shots a")).to_have_count(1)
    expect(page.locator("#shutter")).to_be_enabled()
    expect(serial).to_have_value("SER-9")
    assert page.request.get("/api/v1/inspections").json()["inspections"][0]["serial"] == "SER-8"


def test_another_language_keeps_what_was_typed(page: Page) -> None:
    page.goto("/lots/new")
    page.get_by_label("Lot number").fill("L-99")
    page.get_by_label("Lot size").fill("300")
    page.get_by_label("The parts are picked").select_option("other")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    for field, value in {"number": "L-99", "size": "300", "drawn": "other"}.items():
        expect(page.locator(f"#n-{field}")).to_have_value(value)
    expect(page.locator("#lot-plan table")).to_be_visible()  # as if it had been typed here


# --- many photos, paste, camera -------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos at two depths, one of them broken, and a text."""
    folder = tmp_path / "line 3"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(encoded(surface()))
    (folder / "b.png").write_bytes(encoded(cracked())[:200])
    (folder / "deep" / "c.png").write_bytes(encoded(cracked()))
    (folder / "notes.txt").write_text("not a photo")
    return folder


def test_a_folder_is_inspected_whole_though_one_photo_is_broken(page: Page, folder: Path) -> None:
    page.goto("/")
    page.locator("#folder").set_input_files(folder)
    expect(page.locator("#drop-hint")).to_have_text("3 photos, 1 other file left out")
    page.get_by_role("button", name="Inspect 3 photos").click()
    expect(page.locator("#batch-said")).to_have_text("Finished, 3 of 3: 1 reject, 1 accept, 1 failed")
    lines = page.locator("#batch-lines tr")
    expect(lines.filter(has_text="b.png")).to_contain_text("damaged or ends early")
    picture = lines.filter(has_text="c.png").locator("img")
    assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
    expect(page.locator("#recent li").first).to_contain_text(re.compile(r"[ac]\.png"))
    lines.filter(has_text="c.png").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("REJECT: Crack")


@pytest.mark.parametrize("language", ["English", "Deutsch"])
def test_a_line_of_results_says_what_the_history_says(page: Page, folder: Path, language: str) -> None:
    page.goto("/")
    page.get_by_role("button", name=language).click()
    page.wait_for_load_state()
    page.locator("#folder").set_input_files(folder)
    page.locator("#upload button[type=submit]").click()
    expect(page.locator("#batch-filed")).to_be_visible()  # once all of them are through
    lines = page.locator("#batch-lines tr:has(img)")
    expect(lines).to_have_count(2)
    said = {tuple(line.locator("td").last.inner_text().split(" ", 1)) for line in lines.all()}
    page.locator("#batch-filed a").first.click()
    rows = page.locator(".history tbody tr")
    expect(rows).to_have_count(2)
    parts = ("th a", ".judged span:not(.badge)")
    assert {tuple(row.locator(part).inner_text() for part in parts) for row in rows.all()} == said


def test_a_long_file_name_leaves_the_list_of_results_its_columns(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("/")
    names = [f"{'x' * 236}.png", "short.png"]
    files = [{"name": name, "mimeType": "image/png", "buffer": encoded(surface())} for name in names]
    page.get_by_label("Photo of the part").set_input_files(files)  # type: ignore[arg-type]
    page.get_by_role("button", name="Inspect 2 photos").click()
    expect(page.locator("#batch-said")).to_contain_text("Finished")
    assert page.locator(".batch").evaluate("one => one.scrollWidth <= one.parentElement.clientWidth")
    for result in page.locator("#batch-lines td:last-child").all():
        assert result.evaluate("one => one.clientWidth") > 400
    assert page.get_by_title(names[0]).evaluate("one => one.clientHeight") < 90


@pytest.mark.parametrize("share", [0, 0.0001, 0.0005, 0.314, 0.9994, 0.9995, 1])
def test_scripts_say_percent_as_the_pages_do(page: Page, share: float) -> None:
    page.goto("/")
    assert page.evaluate("inPercent", share) == percent(share)


PHOTOS = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": encoded(surface())} for n in range(5)]


def send_photos(page: Page, count: int = 5) -> None:
    page.goto("/")
    page.get_by_label("Photo of the part").set_input_files(PHOTOS[:count])  # type: ignore[arg-type]
    page.get_by_role("button", name=f"Inspect {count} photos").click()


def filed(page: Page) -> int:
    count: int = page.request.get("/api/v1/inspections").json()["count"]
    return count


@pytest.mark.parametrize("count", [1, 3])
def test_photos_on_their_way_are_not_sent_again_when_the_page_has_loaded(page: Page, count: int) -> None:
    slow, held = list[Route](), list[Route]()
    page.route("**/icon.svg", lambda route: slow.append(route))  # the page waits for its last picture
    page.route("**/api/v1/inspections", lambda route: held.append(route))
    page.goto("/", wait_until="domcontentloaded")
    photos = [
        {"name": f"{n}.png", "mimeType": "image/png", "buffer": encoded(surface())} for n in range(count)
    ]
    page.get_by_label("Photo of the part").set_input_files(photos)  # type: ignore[arg-type]
    button = page.locator("#upload button[type=submit]")
    button.click()
    expect(button).to_be_disabled()
    while len(held) < min(count, 2):
        page.wait_for_timeout(50)
    for route in slow:
        route.continue_()
    page.unroute("**/icon.svg")
    page.wait_for_load_state("load")
    page.wait_for_timeout(200)
    expect(button).to_be_disabled()
    page.evaluate("form.requestSubmit()")
    page.wait_for_timeout(200)
    assert len(held) == min(count, 2)
    for route in held:
        route.continue_()
    page.unroute("**/api/v1/inspections")
    if count == 1:
        page.wait_for_url("**/inspections/*")
    else:
        expect(page.locator("#batch-said")).to_have_text("Finished, 3 of 3: 3 accept")


def test_what_was_sent_before_a_cancel_is_filed_and_counted(page: Page) -> None:
    held: list[Route] = []
    page.route("**/api/v1/inspections", lambda route: held.append(route))
    send_photos(page)
    expect(page.locator("#batch-lines").get_by_text("inspecting…")).to_have_count(2)
    before = filed(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#batch-said")).to_have_text("Cancelling; photos on their way are finished: 0 of 5")
    for route in held:
        route.continue_()
    expect(page.locator("#batch-said")).to_have_text("Cancelled after 2 of 5: 2 accept, 3 cancelled")
    assert (len(held), filed(page)) == (2, before + 2)
    lines = page.locator("#batch-lines tr")
    expect(lines.filter(has_text="cancelled")).to_have_count(3)
    expect(lines.get_by_role("link", name=re.compile("^INSP-"))).to_have_count(2)
    page.get_by_role("link", name="These results in the history").click()
    expect(page.locator("#found-title")).to_have_text("2 inspections")
    expect(page.get_by_label("Numbers")).to_have_value(re.compile("^INSP-"))


def test_a_photo_that_a_busy_server_never_took_is_cancelled_at_once(page: Page) -> None:
    error = {"status": 503, "headers": {"Retry-After": "30"}, "content_type": "application/problem+json"}
    page.route("**/api/v1/inspections", lambda route: route.fulfill(**error, body='{"detail": "Busy."}'))
    with page.expect_response("**/api/v1/inspections"):
        send_photos(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#batch-said")).to_have_text("Cancelled after 0 of 5: 5 cancelled")
    expect(page.locator("#batch-after")).to_be_hidden()


def test_failed_photos_are_tried_again_and_all_results_are_one_list(page: Page) -> None:
    lost: list[int] = []

    def lose_one(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(1)
            route.fulfill(status=503, content_type="application/problem+json", body='{"detail": "No."}')

    page.route("**/api/v1/inspections", lose_one)
    send_photos(page, 3)
    expect(page.locator("#batch-said")).to_have_text("Finished, 3 of 3: 2 accept, 1 failed")
    page.get_by_role("button", name="Try 1 failed photo again").click()
    expect(page.locator("#batch-said")).to_have_text("Finished, 3 of 3: 3 accept")
    expect(page.get_by_role("button", name="again")).to_be_hidden()
    with page.expect_download() as started:
        page.locator("#batch-after").get_by_role("link", name="CSV").click()
    table = Path(started.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert len(table) == 1 + 3 and all(",accept," in line for line in table[1:])


def test_numbers_of_a_batch_are_said_as_runs(page: Page) -> None:
    page.goto("/")
    said = page.evaluate(
        "inRuns(['INSP-2026-000015', 'INSP-2026-000012', 'INSP-2026-000013', 'INSP-2027-000001'])"
    )
    assert said == "INSP-2026-000012..000013,000015,INSP-2027-000001"
    assert page.evaluate("inRuns(['INSP-2026-999999', 'INSP-2026-1000000'])") == ("INSP-2026-1000000,999999")


def test_a_busy_server_is_asked_again(page: Page, cracked_file: Path) -> None:
    refused: list[int] = []

    def busy_once(route: Route) -> None:
        if refused:
            route.continue_()
        else:
            refused.append(1)
            error = '{"code": "busy", "detail": "Busy.", "status": 503}'
            route.fulfill(
                status=503, headers={"Retry-After": "1"}, content_type="application/problem+json", body=error
            )

    page.route("**/api/v1/inspections", busy_once)
    page.goto("/")
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": encoded(surface())} for n in range(2)]
    page.get_by_label("Photo of the part").set_input_files(files)  # type: ignore[arg-type]
    page.get_by_role("button", name="Inspect 2 photos").click()
    expect(page.locator("#batch-said")).to_have_text("Finished, 2 of 2: 2 accept")
    assert refused


def test_a_pasted_picture_is_taken_and_pasted_text_is_not(page: Page) -> None:
    page.goto("/")
    paste = """bytes => {
        const clipboardData = new DataTransfer();
        const picture = new File([new Uint8Array(bytes ?? [])], "image.png", { type: "image/png" });
        if (bytes) clipboardData.items.add(picture);
        else clipboardData.setData("text/plain", "MT-4711");
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, cancelable: true }));
    }"""
    page.evaluate(paste, None)
    assert page.evaluate("document.getElementById('file').files.length") == 0
    page.evaluate(paste, list(encoded(cracked())))
    expect(page.locator("#drop-hint")).to_have_text(re.compile(r"^pasted \d\d\.\d\d\.\d\d\.png$"))
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")


def test_the_camera_inspects_one_after_the_other_by_key(page: Page) -> None:
    page.goto("/bench/camera")
    expect(page.locator("#shutter")).to_be_enabled()
    page.keyboard.press("Space")
    expect(page.locator("#shots a")).to_have_count(1)
    expect(page.locator("#flash")).to_have_text(re.compile("^(ACCEPT|REVIEW|REJECT|UNKNOWN): "))
    expect(page.locator("#shutter")).to_be_enabled()
    page.keyboard.press("PageDown")
    expect(page.locator("#shots a")).to_have_count(2)
    page.get_by_label("Stay here after each picture").uncheck()
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.wait_for_url("**/inspections/*")


def test_a_verdict_leaves_the_picture_before_the_next_part_lies_there(phone: Page) -> None:
    phone.goto("/bench/camera")
    expect(phone.locator("#shutter")).to_be_enabled()
    expect(phone.locator("#last-part")).to_be_hidden()
    phone.locator("#shutter").click()
    flash = phone.locator("#flash")
    expect(flash).to_have_text(re.compile("^(ACCEPT|REVIEW|REJECT|UNKNOWN): "))
    words = flash.inner_text().replace(": ", " ")
    flash.evaluate("one => { one.textContent += ', and many other words'.repeat(20); }")
    share = "one => one.offsetHeight / one.parentElement.offsetHeight"
    assert 0 < flash.evaluate(share) < 0.4
    number = phone.locator("#shots a").inner_text()
    expect(flash).to_be_hidden()  # after a few seconds
    expect(phone.locator("#last-part")).to_have_text(f"Last part: {number} {words}")
    phone.locator("#last-part a").click()
    phone.wait_for_url("**/inspections/*")


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_key_on_a_button_presses_it_and_takes_no_photo(page: Page, key: str) -> None:
    page.goto("/bench/camera")
    expect(page.locator("#shutter")).to_be_enabled()
    before = filed(page)
    page.get_by_role("button", name="Deutsch").press(key)
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.locator("#shutter")).to_be_enabled()
    page.get_by_role("button", name="English").press(key)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert filed(page) == before


@pytest.mark.parametrize("key", ["Enter", "Space", "PageDown"])
def test_a_key_on_the_shutter_takes_one_photo(page: Page, key: str) -> None:
    page.goto("/bench/camera")
    expect(page.locator("#shutter")).to_be_enabled()
    before = filed(page)
    page.locator("#shutter").press(key)
    expect(page.locator("#flash")).to_have_text(re.compile("^(ACCEPT|REVIEW|REJECT|UNKNOWN): "))
    expect(page.locator("#shutter")).to_be_enabled()
    assert filed(page) == before + 1


def test_a_key_scrolls_while_there_is_no_camera(phone: Page) -> None:
    phone.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
    )
    phone.goto("/bench/camera")
    expect(phone.locator("#camera-problem")).not_to_be_empty()
    phone.set_viewport_size({"width": 390, "height": 400})
    phone.keyboard.press("PageDown")
    expect(phone.locator("header.site")).not_to_be_in_viewport()


def test_the_camera_fits_a_phone_and_says_why_it_cannot_start(phone: Page) -> None:
    phone.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
    )
    phone.goto("/bench/camera")
    expect(phone.locator("#camera-problem")).to_contain_text("was not allowed")
    expect(phone.get_by_label("Take a picture with this device")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
