"""Terms, formulas and links of the notebooks' prose, and what pages make of them."""

import re
import runpy
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nkhcc_helpers.run.glossary import PAGE, Term, name_anchor, read_glossary
from nkhcc_helpers.run.pages import Book, write_page

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TERMS = {"at-risk": Term("at risk", 'Under <b>observation</b>, "so far".', ("event",))}
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$]+?\$", re.DOTALL)


def read_prose(path):
    cells = nbformat.read(str(path), 4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def make_page(folder, *cells, **heading):
    executed = folder / "sample.ipynb"
    nbformat.write(new_notebook(cells=list(cells)), str(executed))
    return write_page(executed, folder / "sample.html", **heading).read_text(encoding="utf-8")


# The notebooks


def test_the_page_for_jupyterlab_is_made_from_the_terms():
    write_markdown = runpy.run_path(str(ROOT / ".ci" / "make_glossary.py"))["write_markdown"]
    made = write_markdown(read_glossary().values())
    assert (ROOT / "notebooks" / PAGE).read_text(encoding="utf-8") == made, "make glossary"


def test_terms_stand_once_and_send_the_reader_to_terms_that_are_there():
    terms = read_glossary()
    written = (ROOT / "notebooks" / "glossary.yaml").read_text(encoding="utf-8")
    assert written.count("\n- term: ") == len(terms)
    assert [other for each in terms.values() for other in each.see if name_anchor(other) not in terms] == []
    assert all(each.text.endswith(".") and len(each.text.split()) <= 40 for each in terms.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_the_prose_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", read_prose(path))
    terms, headings = read_glossary(), {}
    assert [anchor for file, anchor in links if file == PAGE and anchor and anchor not in terms] == []
    for file, anchor in links:
        if file.endswith(".ipynb"):
            found = re.findall(r"^#+ +(.+?) *$", read_prose(ROOT / "notebooks" / file), re.MULTILINE)
            headings[file] = ["", *(heading.replace(" ", "-") for heading in found)]
            assert anchor in headings[file], (file, anchor)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_formulas_of_the_prose_are_typeset_and_hold_no_number_of_a_trial(path, tmp_path):
    formulas = FORMULA.findall(read_prose(path))
    assert [formula for formula in formulas if re.search(r"\d{2}|\d\.\d", formula)] == []
    page = make_page(tmp_path, *(new_markdown_cell(formula) for formula in formulas))
    assert page.count("<math ") == len(formulas)


# What a page makes of them


def test_a_term_leads_to_the_glossary_and_says_what_stands_there(tmp_path):
    prose = "[at **risk**](glossary.md#at-risk), [at risk](glossary.md#at-risk), [list](glossary.md)"
    page = make_page(tmp_path, new_markdown_cell(prose), book=Book({}, TERMS))
    for number, text in ((1, "at <strong>risk</strong>"), (2, "at risk")):
        link = f'<a aria-describedby="tip-{number}" class="term" href="glossary.html#at-risk">{text}</a>'
        tip = f'<span class="tip" id="tip-{number}" role="tooltip">Under &lt;b&gt;observation&lt;/b&gt;'
        assert f"{link}{tip}" in page
    assert '<a href="glossary.html">list</a>' in page


def test_without_a_glossary_and_other_pages_only_the_words_are_left(tmp_path):
    prose = "[at risk](glossary.md#at-risk), [a page](two.ipynb#A-b), [a site](https://example.org/x.ipynb)."
    page = make_page(tmp_path, new_markdown_cell(prose))
    assert '<p>at risk, a page, <a href="https://example.org/x.ipynb">a site</a>.</p>' in page
    page = make_page(tmp_path, new_markdown_cell(prose), book=Book({"two": "Two"}))
    assert 'at risk, <a href="two.html#A-b">a page</a>' in page


def test_formulas_of_prose_are_typeset_and_text_of_data_is_not(tmp_path):
    shown = new_output("display_data", data={"text/html": "<p>costs $x$</p>"})
    prose = r"With $d_i < n_i$:" "\n\n" r"$$\hat S = \prod \frac{d_i}{n_i}$$" "\n\n" r"$\frac{$ `$a$`"
    page = make_page(tmp_path, new_markdown_cell(prose), new_code_cell("1", outputs=[shown]))
    body = page[page.index("<main") :]
    assert re.findall(r'<math [^>]*display="(\w+)"', body) == ["inline", "block"]
    assert "<mfrac>" in body
    assert r"<code>\frac{</code>" in body
    assert "<code>$a$</code>" in body
    assert "<p>costs $x$</p>" in body


def test_text_in_a_formula_is_no_markup(tmp_path):
    page = make_page(tmp_path, new_markdown_cell(r"$\text{<img src=x>}$"))
    assert "<img" not in page
