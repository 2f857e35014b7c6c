import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nkhcc_helpers.run.pages import list_downloads, write_page
from nkhcc_helpers.run.publish import read_title, write_index

IMAGE = "<img src=x onerror=alert(1)>"
ESCAPED_IMAGE = "&lt;img src=x onerror=alert(1)&gt;"


def write_executed(folder, *cells):
    path = folder / "notebooks" / "sample.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells)), str(path))
    return path


def make_page(folder, *cells, **heading):
    executed = write_executed(folder, *cells)
    return write_page(executed, folder / "sample.html", **heading).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    for name in ("figures/sample/km_curves.svg", "figures/sample/km_curves.png", "tables/sample/medians.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    outputs = [
        new_output("stream", name="stdout", text=f"out {IMAGE}"),
        new_output("stream", name="stderr", text=f"err {IMAGE}"),
        new_output("execute_result", data={"text/plain": f"plain {IMAGE}"}),
        new_output("display_data", data={"text/html": "<p>shown</p>", "text/plain": "not shown"}),
        new_output("error", ename="E", evalue="v", traceback=[f"\x1b[31mtrace {IMAGE}\x1b[0m"]),
        new_output("display_data", data={"application/javascript": "alert(2)"}),
    ]
    return make_page(
        folder,
        new_markdown_cell("# Who *lives* & how long?\n\nA [link](other.html).\n\n## First `part`"),
        new_code_cell("x = '</pre><script>alert(3)</script>'", outputs=outputs),
        new_code_cell(""),
        new_markdown_cell("## Second\n\n### Not listed\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        trial_title=f"Trial {IMAGE}",
        is_illustrative=True,
    )


def test_a_page_leads_back_to_its_report_or_its_batch_and_says_which_run_it_is(page, tmp_path):
    assert '<a href="index.html">&larr; All pages of this report</a>' in page
    assert "batch.html" not in page
    run = make_page(tmp_path, new_markdown_cell("# Who?"), run=f"Run a-b: where {IMAGE}")
    assert '<a href="../../batch.html">&larr; All runs of this batch</a>' in run
    assert "index.html" not in run
    assert f"<title>Run a-b: where {ESCAPED_IMAGE} | Who?</title>" in run
    assert f"<b>Run a-b: where {ESCAPED_IMAGE}</b>" in run[: run.index("<main>")]
    assert IMAGE not in run


def test_page_is_titled_by_its_first_heading(page):
    assert "<title>Who lives &amp; how long?</title>" in page
    assert page.count("<h1") == 1


def test_page_lists_its_second_headings(page):
    contents = page[page.index("<nav") : page.index("</nav>")]
    anchors = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', contents)
    assert [text for _, text in anchors] == ["First part", "Second"]
    for anchor, _ in anchors:
        assert f'id="{anchor}"' in page


def test_page_says_where_its_data_come_from(page):
    assert f"Trial {ESCAPED_IMAGE}" in page
    assert "Illustrative reconstruction, not patient data" in page
    assert '<a href="index.html">' in page


def test_page_of_a_real_trial_has_no_ribbon(tmp_path):
    page = make_page(tmp_path, new_markdown_cell("No heading"), trial_title="T")
    assert "Illustrative" not in page
    assert "<title>sample</title>" in page
    assert "<nav" not in page


def test_code_is_folded_away_but_there(page):
    folded = re.findall(r'<details class="code">.*?</details>', page, re.DOTALL)
    assert len(folded) == 1  # the empty cell shows nothing
    assert "<summary>Code</summary>" in folded[0]
    assert "alert(3)" in re.sub(r"<[^>]+>", "", folded[0])


def test_text_outputs_are_escaped(page):
    for start in ("out", "err", "plain", "trace"):
        assert f"{start} {ESCAPED_IMAGE}" in page
    assert "<img src=x" not in page
    assert "<p>shown</p>" in page
    assert "not shown" not in page


def test_page_runs_no_script_and_fetches_nothing(page):
    assert "<script" not in page
    assert "alert(2)" not in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not re.search(r"<(?:link|iframe|object|embed|base)\b", page)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert not re.search(r"@import|url\(", page)


def test_page_leads_to_its_files(page):
    footer = page[page.index("<footer") :]
    assert re.findall(r'href="([^"]+)"', footer) == [
        "notebooks/sample.ipynb",
        "figures/sample/km_curves.png",
        "figures/sample/km_curves.svg",
        "tables/sample/medians.csv",
    ]
    assert "Figure km curves" in footer
    assert "Table medians" in footer


def test_downloads_of_a_notebook_without_files_are_none(tmp_path):
    assert list_downloads(tmp_path, "sample") == []


@pytest.mark.parametrize(
    ("cells", "title"),
    [
        ([new_markdown_cell("text\n\n# The *title* of `it` #\n\nmore\n# Other")], "The title of it"),
        ([new_code_cell("# Not this"), new_markdown_cell("## Nor this")], "sample"),
        ([], "sample"),
    ],
)
def test_title_is_the_first_heading(tmp_path, cells, title):
    assert read_title(write_executed(tmp_path, *cells)) == title


def index_content(**changes):
    content = {
        "trial": {
            "title": f"Trial {IMAGE}",
            "study_id": IMAGE,
            "registration": IMAGE,
            "source": IMAGE,
            "is_illustrative": True,
            "illustrative": "Illustrative reconstruction, not patient data",
        },
        "warnings": [IMAGE],
        "published": [
            {"claim": IMAGE, "published": "4.8", "reproduced": "4.8", "agrees": True},
            {"claim": "P", "published": "0.0403", "reproduced": IMAGE, "agrees": False},
        ],
        "left_out": {IMAGE: IMAGE},
        "n_finished": 1,
        "notebooks": [
            {
                "title": f"About {IMAGE}",
                "page": "one.html",
                "notebook": "notebooks/one.ipynb",
                "figure": {"file": "figures/one/km.png", "caption": f'{IMAGE} "'},
                "endpoint": IMAGE,
                "parameters": {"variables": IMAGE},
                "seconds": 7.25,
                "reused": True,
                "cut": True,
                "has_ended": True,
                "error": "",
            },
            {
                "title": "Two",
                "page": "",
                "notebook": "",
                "figure": None,
                "endpoint": "",
                "parameters": {},
                "seconds": 1,
                "reused": False,
                "cut": False,
                "has_ended": True,
                "error": f"cell 3: {IMAGE}",
            },
        ],
        "assumptions": [{"what": IMAGE, "value": 0.5, "why": IMAGE}],
        "started": "2026-01-24 12:00 UTC",
        "versions": {"python": "3.11"},
    }
    return content | changes


def test_index_shows_and_escapes_everything(tmp_path):
    page = write_index(tmp_path, **index_content()).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert page.count(ESCAPED_IMAGE) == 18
    assert page.count("<dt>Endpoint</dt>") == 1
    assert page.count("<dt>Parameters</dt><dd>defaults</dd>") == 1  # of the notebook where none was changed
    assert '<img src="figures/one/km.png" alt="&lt;img src=x onerror=alert(1)&gt; &#34;">' in page
    assert '<a href="one.html">' in page
    assert '<a href="notebooks/one.ipynb">Executed notebook</a>' in page
    assert "7.2 s, taken over from an earlier run" in page
    assert "Failed: cell 3" in page
    assert '<td class="yes">yes</td>' in page
    assert '<td class="no">no</td>' in page
    assert "python 3.11" in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)


def test_index_of_a_trial_without_claims_or_assumptions(tmp_path):
    content = index_content(published=[], assumptions=[])
    content["trial"] |= {"is_illustrative": False, "registration": "", "source": ""}
    page = write_index(tmp_path, **content).read_text(encoding="utf-8")
    assert "Published against reproduced" not in page
    assert "Assumptions" not in page
    assert "Illustrative" not in page


def test_a_figure_leads_to_the_file_that_holds_it(tmp_path):
    folder = tmp_path / "figures" / "sample"
    folder.mkdir(parents=True)
    (folder / "a b.png").write_bytes(b"one")
    (folder / "empty.png").write_bytes(b"")
    shown = [new_output("display_data", data={"image/png": text}) for text in ("b25l\n", "dHdv", "")]
    page = make_page(tmp_path, new_code_cell("1", outputs=[*shown, new_output("stream", text="text")]))
    linked = re.findall(
        r'<a class="figure" href="([^"]+)"[^>]*>\s*<div[^>]*>\s*<img[^>]* src="([^"]+)"', page
    )
    assert [(href, source.strip()) for href, source in linked] == [
        ("figures/sample/a%20b.png", "data:image/png;base64,b25l")
    ]
    assert page.count("<img") == 3


def test_figures_fit_the_page_and_print_keeps_things_together(page):
    style = page[page.index("<style>") : page.index("</style>")]
    screen, _, printed = style.partition("@media print")
    assert ".output_png img { max-width: 100%; height: auto; }" in screen
    assert "min-width" not in screen.replace("min-width: min", "")
    for rule in (
        "h1, h2, h3, h4 { break-after: avoid; break-inside: avoid; }",
        "details::details-content { content-visibility: visible;",
        "thead { display: table-header-group; }",
        ".code,",
    ):
        assert rule in printed
