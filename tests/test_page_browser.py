"""The report page as people use it: a real Chromium, the committed results, models that were not trained."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Generator, Tensor

from browsers import DESKTOP, PHONE, Visit, open_report, visiting
from pages import committed_results
from projects import DIMENSIONS, ROOT
from vaebench.findings.criteria import CRITERIA
from vaebench.models.vae import VAE
from vaebench.page.build import Results, build
from vaebench.pipeline.datasets import DATASETS
from vaebench.pipeline.key import ModelKey

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PIXEL = 1e-3  # what a pixel may differ by from PyTorch's
SHADE = PIXEL + 0.5 / 255  # where it was rounded to a grey value


@pytest.fixture(scope="module")
def results() -> Results:
    return committed_results((ROOT / "metrics/findings.md").read_text())


@pytest.fixture(scope="module")
def report(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(build(results))
    return path


@pytest.fixture(scope="module")
def opened(browser: "Browser", report: Path) -> Iterator[Visit]:
    with visiting(browser) as visit:
        open_report(visit, report)
        yield visit


@pytest.fixture
def visit(opened: Visit) -> Iterator[Visit]:
    """The report on a desktop, at the middle of two dimensions, without a digit.

    When the test ends, nothing has left the machine or gone wrong.
    """
    page = opened.page
    opened.errors.clear()  # of a test before
    page.evaluate("""() => {
        location.hash = '#d=2&z=0,0';
        document.querySelector('#turning input[value=point]').checked = true;
    }""")
    page.get_by_role("button", name="Clear").click()
    settled(page)
    yield opened
    assert opened.outside() == []
    assert opened.errors == []


def vae_of(results: Results, latent_dim: int) -> VAE:
    return results.models[ModelKey(latent_dim, 0)].vae


def picture(page: "Page", selector: str = "#picture") -> Tensor:
    """The grey values of a canvas: (28, 28) in [0, 1]."""
    read = """canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]
        .filter((_, index) => index % 4 === 0)"""
    return torch.tensor(page.locator(selector).evaluate(read)).view(28, 28) / 255


def settled(page: "Page") -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def choose(page: "Page", latent_dim: int) -> None:
    page.locator(f"#explorer input[name=model][value='{latent_dim}']").check()
    settled(page)


def set_slider(page: "Page", selector: str, value: float) -> None:
    page.locator(selector).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
    )
    settled(page)


def point(page: "Page") -> Tensor:
    """The latent that is shown: (1, latent_dim)."""
    return torch.tensor([page.evaluate("[...window.vaebench.state.latents]")], dtype=torch.float32)


def move(page: "Page", selector: str, *places: tuple[float, float]) -> None:
    """Press the mouse at the first place of a canvas and drag over the others; a place is in [0, 1]²."""
    canvas = page.locator(selector)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=4)
    page.mouse.up()
    settled(page)


def place_of(page: "Page", coordinates: tuple[float, float]) -> tuple[float, float]:
    """Where coordinates of the plane lie on its canvas, in [0, 1]²."""
    reach = page.evaluate("window.vaebench.load(window.vaebench.state.dimension).reach")
    return (1 + coordinates[0] / reach) / 2, (1 - coordinates[1] / reach) / 2


def status(page: "Page") -> str:
    return page.locator("#status").inner_text()


def assert_shows(page: "Page", vae: VAE) -> None:
    """The picture is what PyTorch decodes of the point."""
    with torch.no_grad():
        torch.testing.assert_close(picture(page), vae.decode(point(page))[0, 0], rtol=0, atol=SHADE)


def test_report_is_one_small_file(report: Path) -> None:
    assert report.stat().st_size < 12_000_000
    markup = report.read_text().partition("<script")[0]  # after it come scripts and their data alone
    assert not re.search(r"""(?:src|href)=["'](?!data:|#|http)""", markup)  # no other file
    assert not re.search(r"""<(?:link|img)[^>]+(?:src|href)=["']http""", markup)


@torch.no_grad()
def test_page_computes_what_pytorch_computes(visit: Visit, results: Results) -> None:
    ask = """([dimension, latents]) => {
        const { model } = window.vaebench.load(dimension);
        const images = model.decode(Float32Array.from(latents));
        const { mean, logVar } = model.encode(images);
        return [images, mean, logVar, window.vaebench.readBy(images)].map((values) => [...values]);
    }"""
    for latent_dim in DIMENSIONS:
        vae = vae_of(results, latent_dim)
        latents = 2 * torch.randn(8, latent_dim, generator=Generator().manual_seed(0))
        found = [
            torch.tensor(each) for each in visit.page.evaluate(ask, [latent_dim, latents.flatten().tolist()])
        ]
        images = vae.decode(latents)
        torch.testing.assert_close(found[0].view_as(images), images, rtol=0, atol=PIXEL)
        for own, expected in zip(found[1:3], vae.encode(images), strict=True):
            torch.testing.assert_close(own.view_as(expected), expected, rtol=1e-3, atol=1e-3)
        readings = torch.stack([member(images).softmax(1) for member in results.panel]).mean(0)
        torch.testing.assert_close(found[3].view_as(readings), readings, rtol=0, atol=PIXEL)


@torch.no_grad()
def test_sliders_move_the_point_and_the_panel_reads_it(visit: Visit, results: Results) -> None:
    page = visit.page
    for latent_dim in DIMENSIONS:
        choose(page, latent_dim)
        assert page.locator("#sliders input").count() == latent_dim
        for value in (0.0, 1.5):
            set_slider(page, "#z0", value)
            assert point(page).tolist() == [[value] + [0.0] * (latent_dim - 1)]
            assert_shows(page, vae_of(results, latent_dim))
        image = vae_of(results, latent_dim).decode(point(page))
        reading = torch.stack([member(image).softmax(1) for member in results.panel]).mean(0)[0]
        said = page.locator("#picture-reading p").inner_text()
        assert said == f"The panel reads {reading.argmax()}, {reading.max() * 100:.0f}\N{NO-BREAK SPACE}%"
        heights = page.locator("#picture-reading .bars span").evaluate_all(
            "bars => bars.map(bar => Number(bar.style.getPropertyValue('--share')))"
        )
        torch.testing.assert_close(torch.tensor(heights), reading, rtol=0, atol=PIXEL)


def test_plane_follows_mouse_and_keys_and_knows_test_digits(visit: Visit, results: Results) -> None:
    page = visit.page
    for latent_dim in (2, 3, 5):
        choose(page, latent_dim)
        vae, known = vae_of(results, latent_dim), results.models[ModelKey(latent_dim, 0)].pictures
        move(page, "#plane", (0.5, 0.5), (0.7, 0.2))
        assert (point(page)[0, :2].abs() > 0.2).all()
        assert_shows(page, vae)
        before = point(page)
        page.locator("#plane").focus()
        page.keyboard.press("ArrowLeft")
        settled(page)
        assert point(page)[0, 0] < before[0, 0]
        # A click near a test digit takes the point there, to where it lies in all of the space.
        x, y = place_of(page, tuple(known.latent[27, :2].tolist()))
        move(page, "#plane", (x + 0.005, y))
        expected = torch.from_numpy(known.latent_axes @ known.latent[27])
        torch.testing.assert_close(point(page)[0], expected, rtol=0, atol=1e-3)
        assert_shows(page, vae)
        rest = ", by its two components alone" if latent_dim > 3 else ""
        assert status(page) == f"Test digit 28, a 7{rest}."
        page.keyboard.press("ArrowUp")
        settled(page)
        assert status(page) == ""
        page.keyboard.press("Enter")
        settled(page)
        assert status(page).startswith("Test digit 28, a 7")


@torch.no_grad()
def test_decoded_places_lie_behind_the_plane(visit: Visit, results: Results) -> None:
    page = visit.page
    page.locator("#plane").scroll_into_view_if_needed()
    choose(page, 4)
    page.wait_for_function("window.vaebench.manifold.done > 0")
    for latent_dim in (2, 5):  # what was begun for another model ends with it
        choose(page, latent_dim)
        set_slider(page, f"#z{latent_dim - 1}", 1.0)
        page.wait_for_function("window.vaebench.manifold.done === 225")
        reach = page.evaluate("window.vaebench.load(window.vaebench.state.dimension).reach")
        tile = page.evaluate("""[...window.vaebench.sheet.getContext('2d').getImageData(56, 28, 28, 28).data]
            .filter((_, index) => index % 4 === 3)""")
        latents = point(page)
        latents[0, :2] = torch.tensor([(2 * 2 + 1) / 15 - 1, 1 - (2 * 1 + 1) / 15]) * reach  # row 1, column 2
        shown = torch.tensor(tile).view(28, 28) / 255
        torch.testing.assert_close(
            shown, vae_of(results, latent_dim).decode(latents)[0, 0], rtol=0, atol=2 * SHADE
        )
    page.get_by_label("what each place is decoded to").uncheck()
    settled(page)
    ink = page.evaluate("""() => {
        const { data } = document.getElementById('plane').getContext('2d').getImageData(0, 0, 400, 400);
        return data.filter((value, index) => index % 4 === 3 && value > 0).length / 160000;
    }""")
    assert ink < 0.1  # points and axes alone


def test_mouse_pressed_elsewhere_moves_nothing(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="test digit 1,").click()
    set_slider(page, "#z0", 1.5)
    before = point(page)
    for selector in ("#plane", "#drawing"):
        page.locator(selector).scroll_into_view_if_needed()
        box = page.locator(selector).bounding_box()
        assert box is not None
        page.mouse.move(5, 300)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"], steps=2)
        page.mouse.up()
        settled(page)
        assert torch.equal(point(page), before)


def test_words_about_the_digit_are_of_the_picture_beside_them(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="test digit 1,").click()
    settled(page)
    whole = re.fullmatch(
        r"Test digit 1, a 0, as it is reconstructed\. It differs by ([\d.]+) \(squared error\); "
        r"its KL is [\d.]+ nats\.",
        status(page),
    )
    assert whole
    digit = picture(page, "#comparison figure:first-child canvas")
    assert ((picture(page) - digit) ** 2).sum() == pytest.approx(float(whole[1]), abs=1.5)
    set_slider(page, "#z0", 3)
    moved = re.fullmatch(
        r"Squared error against the digit: ([\d.]+); its reconstruction's: ([\d.]+)\.", status(page)
    )
    assert moved
    assert ((picture(page) - digit) ** 2).sum() == pytest.approx(float(moved[1]), abs=1.5)
    assert moved[2] == whole[1]


def test_drawn_digit_is_read_and_reconstructed_until_it_is_cleared(visit: Visit) -> None:
    page = visit.page
    move(page, "#drawing", (0.6, 0.2), (0.4, 0.8))
    assert status(page).startswith("Your digit, as it is reconstructed.")
    assert page.locator("#digit-reading p").inner_text().startswith("The panel reads ")
    assert page.locator("#comparison figure").count() == 1 + len(DIMENSIONS)
    read = picture(page, "#comparison figure:first-child canvas").double()
    place = torch.arange(28, dtype=torch.float64)
    for axis in (0, 1):  # centred by its mass, in a box of 20
        assert float((read.sum(1 - axis) * place).sum() / read.sum()) == pytest.approx(13.5, abs=0.6)
        assert 3 <= int((read.sum(1 - axis) > 30 / 255).sum()) <= 21
    page.locator("#walk-from").select_option("your digit")
    settled(page)
    assert status(page).startswith("0 % of the way.")
    page.get_by_role("button", name="test digit 2,").click()
    settled(page)
    assert not torch.equal(picture(page, "#comparison figure:first-child canvas").double(), read)
    page.get_by_role("button", name="Clear").click()
    settled(page)
    # Nothing speaks of a digit any more.
    assert status(page) == ""
    assert page.locator("#comparison figure").count() == 0
    assert not page.locator("#compare-note").is_visible()
    assert not page.locator("#digit-reading").is_visible()
    assert page.locator("#digits [aria-pressed=true]").count() == 0
    assert page.locator("#walk-from").input_value() == "0"
    assert page.locator("#walk-from option").count() == 15


@torch.no_grad()
def test_one_draw_is_decoded_by_every_model(visit: Visit, results: Results) -> None:
    page = visit.page
    for name, chosen in (("Draw from N(0, I)", 10), ("Draw another", 3)):
        choose(page, chosen)
        page.get_by_role("button", name=name).click()
        settled(page)
        draw = torch.tensor([page.evaluate("[...window.vaebench.state.draw]")])
        assert draw.shape[1] == max(DIMENSIONS)
        assert 0.4 < float(draw.std()) < 1.8
        assert torch.equal(point(page), draw[:, :chosen])
        assert page.locator("#draws figure").count() == len(DIMENSIONS)
        for number, latent_dim in enumerate(DIMENSIONS, 1):
            shown = picture(page, f"#draws figure:nth-child({number}) canvas")
            expected = vae_of(results, latent_dim).decode(draw[:, :latent_dim])[0, 0]
            torch.testing.assert_close(shown, expected, rtol=0, atol=SHADE)


@torch.no_grad()
def test_walk_leads_straight_from_one_digit_to_the_other(visit: Visit, results: Results) -> None:
    page = visit.page
    choose(page, 4)
    page.locator("#walk-from").select_option("test digit 3, a 2")
    page.locator("#walk-to").select_option("test digit 9, a 8")
    settled(page)
    assert status(page) == "100 % of the way."
    vae = vae_of(results, 4)
    images = torch.from_numpy(results.models[ModelKey(4, 0)].pictures.originals[[2, 8]]).unsqueeze(1) / 255
    start, end = vae.encode(images).mean
    set_slider(page, "#walk-share", 0.25)
    torch.testing.assert_close(point(page)[0], start + 0.25 * (end - start), rtol=0, atol=1e-3)
    assert_shows(page, vae)
    steps = page.locator("#walk-steps button")
    assert steps.count() == 11
    shown = picture(page, "#walk-steps button:nth-child(6) canvas")
    torch.testing.assert_close(shown, vae.decode((start + end)[None] / 2)[0, 0], rtol=0, atol=SHADE)
    choose(page, 2)  # the same walk in another space
    assert status(page) == "25 % of the way."
    page.get_by_role("button", name="Walk").click()
    page.wait_for_function("window.vaebench.state.at.share > 0.3")
    page.get_by_role("button", name="Go to 0").click()
    page.get_by_role("button", name="Walk").wait_for()  # it has stopped
    settled(page)
    assert status(page) == "The middle of the prior."
    assert page.locator("#walk-share").input_value() == "0"


def test_space_of_three_dimensions_turns(visit: Visit) -> None:
    page = visit.page
    assert not page.locator("#turning").is_visible()
    choose(page, 3)
    set_slider(page, "#z2", 1.0)
    before = point(page)
    page.get_by_role("radio", name="turns the space").check()
    move(page, "#plane", (0.5, 0.5), (0.5 + torch.pi / 8, 0.5))
    assert page.evaluate("window.vaebench.state.turn") == pytest.approx(torch.pi / 2, abs=0.03)
    assert torch.equal(point(page), before)
    # Seen from the side, z₃ points to the right.
    said = page.locator("#plane").get_attribute("aria-valuetext") or ""
    x, y = map(float, re.findall(r"-?[\d.]+", said))
    assert (x, y) == pytest.approx((1.0, 0.0), abs=0.05)
    page.get_by_role("radio", name="moves the point").check()
    move(page, "#plane", (0.5, 0.5), (0.6, 0.5))
    assert abs(float(point(page)[0, 2])) > 0.2
    assert abs(float(point(page)[0, 0])) < 0.1
    page.get_by_role("button", name="Front").click()
    settled(page)
    assert page.evaluate("window.vaebench.state.turn") == 0


def test_address_keeps_the_state(browser: "Browser", report: Path) -> None:
    state = "({dimension, latents, turn, tilt, behind}) => [dimension, [...latents], turn, tilt, behind]"
    with visiting(browser) as visit:
        page = open_report(visit, report)
        page.wait_for_timeout(400)
        assert "#" not in page.url  # nothing was changed yet
        choose(page, 3)
        set_slider(page, "#z1", -1.25)
        page.get_by_role("radio", name="turns the space").check()
        move(page, "#plane", (0.5, 0.5), (0.6, 0.4))
        page.get_by_label("what each place is decoded to").uncheck()
        page.wait_for_url("**behind=0")
        kept, shown = page.evaluate(f"({state})(window.vaebench.state)"), picture(page)
        page.reload()
        page.evaluate("window.vaebench.ready.then(() => null)")
        found = page.evaluate(f"({state})(window.vaebench.state)")
        assert found == [*kept[:2], *(pytest.approx(angle, abs=0.01) for angle in kept[2:4]), False]
        assert kept[2] * kept[3] != 0
        assert torch.equal(picture(page), shown)
        assert page.locator("input[name=model][value='3']").is_checked()
        assert not page.locator("#behind").is_checked()
        half = [0.5] * 10
        for address in (
            f"#d=10&z={','.join(map(str, half))}",
            "#d=7&z=1",
            "#d=2&z=1",
            "#d=2&z=1,x",
            "#d=2",
            "#table",
        ):
            page.evaluate("address => { location.hash = address; }", address)
            settled(page)
            assert point(page).tolist() == [half]  # what is no state changes nothing
        assert visit.errors == []


def test_charts_have_their_series(visit: Visit) -> None:
    page = visit.page
    page.locator("#scores summary").click()
    places = page.locator(".chart").count()
    assert places == page.locator(".chart svg").count() == 3 + 2 + len(CRITERIA)
    for loss in ("combined", "reconstruction", "kl"):  # training and test
        assert page.locator(f"#chart-{loss}_loss .mark-line path").count() == 2 * len(DIMENSIONS)
    assert page.locator("#chart-report .mark-line path").count() == 3
    assert page.locator("#chart-fid .mark-line path").count() == 2  # VAE and PCA
    # Intervals, and test images.
    assert page.locator("#chart-fid .mark-rule.role-mark line").count() == 2 * len(DIMENSIONS) + 1
    assert page.locator("#chart-nll_bound .mark-line path").count() == 1
    settled(page)
    for chart in page.locator(".chart").all():  # as wide as its place, also where that was folded away
        room, drawn = (
            chart.evaluate(f"each => each{part}.clientWidth") for part in ("", ".querySelector('svg')")
        )
        assert room - 12 <= drawn <= room


def boxes_of(page: "Page", selector: str) -> list[list[float]]:
    """Left, top, right and bottom of elements."""
    found: list[list[float]] = page.locator(selector).evaluate_all(
        """all => all.map(each => each.getBoundingClientRect())
            .map(({left, top, right, bottom}) => [left, top, right, bottom])"""
    )
    return found


def covers(first: list[float], second: list[float]) -> bool:
    """Whether two boxes have more than a pixel in common, in both directions."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return min(wide, high) > 1


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_report_fits_the_screen(browser: "Browser", report: Path, viewport: dict[str, int]) -> None:
    with visiting(browser, viewport=viewport) as visit:
        page = open_report(visit, report)
        page.get_by_role("button", name="test digit 1,").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        # What is long is folded: the page had 20,107 pixels on a desktop and 35,256 on a phone.
        height = page.evaluate("document.documentElement.scrollHeight")
        assert height < (10_500 if viewport == DESKTOP else 16_500)
        [(left, _, right, _)] = boxes_of(page, "#theme")
        assert 0 <= left < right <= viewport["width"]
        [card] = boxes_of(page, "#explorer")
        for edges in boxes_of(page, "#explorer :is(canvas, button, input):visible"):
            assert card[0] <= edges[0] <= edges[2] <= card[2]
        # The picture stays in view whatever moves it.
        choose(page, 30)
        for selector in ("#plane", "#walk-share", "#sliders label:first-child", "#sliders label:last-child"):
            page.locator(selector).evaluate(
                "each => each.scrollIntoView({block: 'center', behavior: 'instant'})"
            )
            [moved], [seen], [nav] = (boxes_of(page, each) for each in (selector, "#picture", "nav"))
            assert nav[3] <= seen[1] + 1
            assert seen[3] <= viewport["height"]
            assert moved[1] >= seen[3] or moved[2] <= seen[0]  # below it or beside it, not behind it
        # Every point of the chart has its name, and none covers another or a point.
        chart = "#chart-rate-distortion .mark-{}.role-mark {}"
        found = page.locator(chart.format("text", "text")).evaluate_all(
            """all => all.filter(each => Number(each.getAttribute('opacity') ?? 1))
                .map(each => Number(each.textContent))"""
        )
        assert sorted(found) == sorted(3 * DIMENSIONS)
        names, points = (
            boxes_of(page, chart.format(*each)) for each in (("text", "text"), ("symbol", "path"))
        )
        assert len(points) == len(names)
        assert not any(covers(*pair) for pair in [*combinations(names, 2), *product(names, points)])


def test_gallery_shows_one_dimension_or_all(visit: Visit) -> None:
    page = visit.page
    page.locator("#pictures details:not([open]) summary").evaluate_all(
        "all => all.forEach(each => each.click())"
    )
    for shown in (*DIMENSIONS, "all"):
        page.locator(f"#pictures input[value='{shown}']").check()
        count = len(DIMENSIONS) if shown == "all" else 1
        assert page.locator("#pictures img:visible").count() == 5 * count + 3
        if shown != "all":
            assert page.locator(f"#pictures [data-dimension='{shown}']:visible").count() == 5
    for image in page.locator("img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        assert len(image.get_attribute("alt") or "") > 20


def test_what_is_folded_is_found(browser: "Browser", report: Path) -> None:
    with visiting(browser) as visit:
        page = open_report(visit, report, "#:~:text=Round%20robin%3A%20in%20every")
        page.locator("#findings details[open]", has_text="Round robin").wait_for()


def test_report_is_light_dark_and_printable(browser: "Browser", report: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with visiting(browser, color_scheme="dark") as visit:
        page = open_report(visit, report)
        dark = page.evaluate(paper)
        page.get_by_role("button", name="Switch between light and dark").click()
        light = page.evaluate(paper)
        assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 22, 26)")
        folded = page.locator("details:not([open])").count()
        page.evaluate(
            """addEventListener('beforeprint', () => {
                window.folded = document.querySelectorAll('details:not([open])').length; })"""
        )
        assert len(page.pdf()) > 100_000
        assert page.evaluate("window.folded") == 0
        assert page.locator("details:not([open])").count() == folded > 10
        page.emulate_media(media="print")
        assert not page.locator("#explore").is_visible()
        assert page.locator("#scores table").is_visible()
        assert page.locator("#pictures details[open] img:visible").count() == 2 * len(DIMENSIONS)


def test_report_can_be_used_by_keyboard(browser: "Browser", report: Path) -> None:
    wanted = {"skip", "theme", "plane", "behind", "sample", "origin", "clear", "walk-from", "walk-share"}
    with visiting(browser) as visit:
        page = open_report(visit, report)
        reached = set()
        for _ in range(70):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert wanted | {"walk-to", "walk-play", "z0", "z1", "sample-all"} <= reached


def test_page_of_clothes_names_them(browser: "Browser", results: Results, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(build(replace(results, dataset="fashion_mnist")))
    with visiting(browser) as visit:
        page = open_report(visit, tmp_path / "report.html")
        classes = page.locator("#picture-reading .bars span").all_inner_texts()
        assert classes == [*DATASETS["fashion_mnist"].classes]
        page.get_by_role("button", name="test image 10, Ankle boot").click()
        page.wait_for_function("document.querySelector('#status').textContent.startsWith('Test image 10')")
        assert status(page).startswith("Test image 10, Ankle boot, as it is reconstructed.")
        reading = page.locator("#digit-reading p").inner_text()
        assert re.fullmatch(r"The panel reads ([A-Z].+), \d+\s%", reading)
        assert "test image 1, T-shirt/top" in page.locator("#walk-from").inner_text()
        assert "digit" not in page.locator("#explore").inner_text()
        assert visit.errors == []
