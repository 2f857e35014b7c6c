"""What a table says, as a reader sees it."""

from html.parser import HTMLParser

OURS = {"div", "style", "table", "thead", "tbody", "tfoot", "tr", "td", "th", "span", "br"}


class TableReader(HTMLParser):
    """Rows of cell texts, as a reader sees them, and every tag met."""

    def __init__(self):
        super().__init__()
        self.rows, self.tags, self._inside = [], set(), False

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "br":
            self.rows[-1][-1] += " "
        self._inside = tag != "style"

    def handle_endtag(self, tag):
        self._inside = self._inside or tag == "style"

    def handle_data(self, data):
        if self._inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def read(table):
    reader = TableReader()
    reader.feed(table.as_raw_html())
    assert reader.tags <= OURS
    return [[cell.strip() for cell in row] for row in reader.rows]


def row(table, heading):
    return next(cells for cells in read(table) if cells[0] == heading)
