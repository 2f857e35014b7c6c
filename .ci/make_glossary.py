"""Makes notebooks/glossary.md, which JupyterLab shows, from notebooks/glossary.yaml."""

from collections.abc import Iterable

from nkhcc_helpers.run.glossary import PAGE, Term, name_anchor, read_glossary
from nkhcc_helpers.run.plan import locate_notebooks

HEAD = "# Glossary\n\n<!-- Made from glossary.yaml by make glossary; change it there. -->\n"


def write_markdown(terms: Iterable[Term]) -> str:
    """The glossary as Markdown."""
    parts = [HEAD]
    for each in terms:
        see = ", ".join(f"[{other}](#{name_anchor(other)})" for other in each.see)
        parts.append(f"## {each.term}\n\n{each.text}{f' See {see}.' if see else ''}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (locate_notebooks() / PAGE).write_text(write_markdown(read_glossary().values()), encoding="utf-8")
