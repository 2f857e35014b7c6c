"""A trial's files: the folder, delimited text with the line where each value stands, and YAML.

What is wrong with a file is appended to `problems`, under the name `table`, or raised as a `TableError`.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import yaml

from nkhcc_helpers.trial.formats import HEAD, find_format, settle_dates, unpack
from nkhcc_helpers.trial.problems import (
    Problem,
    RawTable,
    Reading,
    TableError,
    YamlBlock,
    format_path,
    suggest_name,
)

READ = (".csv", ".tsv", ".txt", ".xpt", ".sas7bdat", ".parquet", ".json", ".ndjson", ".xlsx", ".xlsm", ".gz")
"""How the names of tables end; of what is compressed, two of them."""
_NOT_READ = (".xls", ".ods", ".zip", ".rds", ".rda", ".rdata", ".sav", ".dta", ".feather", ".cpt")
SOURCES = {"ADEX": "exposure", "ADAE": "adverse_events"}
"""Key of `trial.yaml` that says whether there is such a table."""
_NOT_FILES = {
    stat.S_ISDIR: "folder",
    stat.S_ISFIFO: "pipe",
    stat.S_ISSOCK: "socket",
    stat.S_ISCHR: "device",
    stat.S_ISBLK: "device",
}
_ISO_OR_BLANK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}|NA|[.]|"
_SEPARATORS = ",;\t|"
_WITH_COMMA = r"[+-]?[0-9]+(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_PARTLY_UTF8 = re.compile(rb"\xc3[\x80-\xbf]|\xe2[\x80-\x82][\x80-\xbf]")  # letters and marks of Europe


def list_folder(folder: Path, problems: list[Problem]) -> list[Path] | None:
    """Return what a trial's folder holds, or None and a problem when it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        rule = f"does not exist; looked for {folder.absolute()}"
    except NotADirectoryError:
        rule = "is a file; give the folder that holds trial.yaml and the tables"
    except (OSError, ValueError) as error:
        rule = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    problems.append(Problem("folder", None, "", str(folder), rule))
    return None


def find_file(
    files: list[Path], name: str, table: str, problems: list[Problem], *, required: bool
) -> Path | None:
    """Find one file by name whatever its case; absent and ambiguous are problems."""
    found = [path for path in files if path.name.casefold() == name]
    if required and not found:
        hint = suggest_name(name, [path.name for path in files if path.suffix.casefold() != ".md"])
        rule = f"{name} is not in the folder{hint}"
        if table in SOURCES:
            rule += f"; if nobody collected it, write '{SOURCES[table]}: {{collected: false}}' in trial.yaml"
        problems.append(Problem(table, None, "", "", rule))
    return _take_one(found, name, table, problems)


def find_table(
    files: list[Path], table: str, problems: list[Problem], *, required: bool, named: str = ""
) -> Path | None:
    """Find the file of a table in whatever format and case, or the one `named`; absent, several: problems."""
    if named:
        return find_file(files, named.casefold(), table, problems, required=True)
    names = {table.casefold() + ending for ending in (*READ, *_NOT_READ)}
    found = [path for path in files if path.name.casefold().removesuffix(".gz") in names]
    if required and not found:
        return find_file(files, f"{table.lower()}.csv", table, problems, required=True)
    return _take_one(found, table, table, problems)


def read_table(
    files: list[Path],
    table: str,
    kinds: Mapping[str, str],
    problems: list[Problem],
    said: list[str],
    date_order: str | None = None,
    *,
    required: bool = True,
    named: str = "",
) -> RawTable | None:
    """Find a table in a folder and read it as text, by its content; None where that cannot be done.

    `kinds` of known columns: number, date, partial (date) or text. Dates come as ISO as far as they can be
    read; what had to be supposed is said.
    """
    path = find_table(files, table, problems, required=required, named=named)
    content = read_bytes(path, table, problems) if path else None
    if path is None or content is None:
        return None
    reading = Reading(table, path, kinds, problems, said)
    try:
        raw = _read(content, reading)
    except TableError as error:
        value = error.value or ("" if error.column or error.row else path.name)
        problems.append(Problem(table, error.row, error.column, value, error.rule))
        return None
    known = raw.frame[[name for name in kinds if kinds[name] in ("date", "partial") and name in raw.frame]]
    odd = [name for name in known if not known[name].str.fullmatch(_ISO_OR_BLANK).all()]
    settled = settle_dates(known[odd], reading, date_order) if odd else {}
    return dataclasses.replace(raw, frame=raw.frame.assign(**settled)) if settled else raw


def _read(content: bytes, reading: Reading) -> RawTable:
    content = unpack(content)
    found = find_format(content[:HEAD])
    if found is None:
        return read_csv(content, reading)
    called, reader = found
    try:
        rows, labels = reader(content, reading)
        return make_table(rows, reading, labels)
    except TableError:
        raise
    except Exception as error:  # libraries raise errors of every kind for a file that is damaged
        is_told = not isinstance(error, LookupError | TypeError | AttributeError) and str(error).strip()
        said = str(error).strip().splitlines()[0] if is_told else "it is not built as one"
        raise TableError(f"cannot be read as {called}: {said}") from None


def _take_one(found: list[Path], name: str, table: str, problems: list[Problem]) -> Path | None:
    if len(found) > 1:
        shown = ", ".join(path.name for path in found)
        problems.append(Problem(table, None, "", shown, f"only one of these may stand for {name}"))
    return found[0] if len(found) == 1 else None


def read_bytes(path: Path, table: str, problems: list[Problem]) -> bytes | None:
    """Return what a file holds, or None and a problem; a pipe or device is refused, not waited for."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.read_bytes()
        word = next((word for is_it, word in _NOT_FILES.items() if is_it(mode)), "thing")
        rule = f"is a {word}, not a file"
    except OSError as error:
        rule = f"cannot be read ({error.strerror})"
    problems.append(Problem(table, None, "", path.name, rule))
    return None


def read_text(path: Path, table: str, problems: list[Problem]) -> str | None:
    """Return a file's text, or None and the problem that kept it from being read.

    UTF-8 only, with or without byte order mark: another encoding is reported, never guessed.
    """
    content = read_bytes(path, table, problems)
    if content is None:
        return None
    try:
        return _decode(content, "utf-8-sig")
    except TableError as error:
        problems.append(Problem(table, error.row, "", error.value or path.name, error.rule))
        return None


def _decode(content: bytes, encoding: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) and encoding != "utf-16":
        raise TableError("is UTF-16; save it as UTF-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        said = f"is not {encoding.removesuffix('-sig').upper()}; save the file as UTF-8"
        row, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise TableError(said, row, f"byte 0x{byte:02x}") from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise TableError("is not a text file; export it as CSV, UTF-8", row)
    if not text.strip():
        raise TableError("is empty")
    return text


def read_csv(content: bytes, reading: Reading) -> RawTable:
    """Read delimited text, every faulty row a problem.

    It is separated by that of comma, semicolon, tab and bar which gives most known columns, then most.
    Where that is not the comma, a column of numbers with decimal commas throughout is read so.
    """
    encoding = _find_encoding(content, reading)
    headers = {each: _read_header(content, encoding, each) for each in _SEPARATORS}
    n_known = {
        separator: (sum(name.upper() in reading.kinds for name in names), len(names))
        for separator, names in headers.items()
    }
    separator = max(n_known, key=n_known.__getitem__)
    raw = make_table(_split_rows(content, encoding, separator), reading)
    if separator == ",":
        return raw
    for name, cells in raw.frame.items():
        if reading.kinds.get(str(name), "number") == "number":
            filled = cells[cells != ""]
            if filled.str.contains(",").any() and filled.str.fullmatch(f"{_WITH_COMMA}|NA|[.]").all():
                raw.frame[name] = cells.str.replace(",", ".")
    return raw


def _find_encoding(content: bytes, reading: Reading) -> str:
    """Return in what a table is encoded, saying so where that is not Unicode."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        _decode(content, encoding)
    except TableError as error:
        # What would read as text of two letters each was UTF-8 before it was damaged.
        if not error.value or encoding == "utf-16" or _PARTLY_UTF8.search(content):
            raise
        encoding = "windows-1252"
        text = _decode(content, encoding).split("\n")[error.row - 1]
        word = re.search(r"\w*[^\x00-\x7f][^\s,;|]*", text)[0]
        said = f"is not UTF-8 and is read as Windows-1252, such as {word!r} in row {error.row}"
        reading.said.append(f"{reading.table}: {said}")
    return encoding


def _read_header(content: bytes, encoding: str, separator: str) -> list[str]:
    try:
        names = next(_split_rows(content, encoding, separator), (1, []))[1]
    except TableError:
        return []
    return [name for name in names if name.strip(_SEPARATORS)]


def _split_rows(content: bytes, encoding: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of each row in which anything stands."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    reader = csv.reader(lines, delimiter=separator, strict=True)
    share = {}.setdefault  # most values are there many times
    start = 1
    try:
        for cells in reader:
            stripped = [share(cell, cell) for cell in map(str.strip, cells)]
            # "sep=;" is how Excel is told the separator.
            if any(stripped) and not (start == 1 and stripped[0].startswith("sep=")):
                yield start, stripped
            start = reader.line_num + 1
    except csv.Error as error:
        raise TableError(f"is not valid CSV: {error}", start) from None


def make_table(
    rows: Iterable[tuple[int, list[str]]], reading: Reading, labels: Mapping[str, str] | None = None
) -> RawTable:
    """Return rows of text, each with its number, as a table; the first is the header.

    A row with more or fewer cells is a problem and set aside.
    """
    rows = iter(rows)
    header_row, header = next(rows, (1, []))
    names = [name.upper() for name in header]
    if not any(names):
        raise TableError("is empty")
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise TableError("column is there more than once", header_row, column=", ".join(repeated))
    kept, numbers, set_aside = [], [], set()
    for row, cells in rows:
        if len(cells) == len(names):
            kept.append(cells)
            numbers.append(row)
            continue
        set_aside.update(cells)
        rule = f"has {_counted(len(cells))} where the header has {_counted(len(names))}"
        reading.problems.append(Problem(reading.table, row, "", "", rule))
    index = pd.Index(numbers, name="row", dtype="int64")
    frame = pd.DataFrame(kept, columns=names, index=index, dtype=str)
    # A column without a name is what R writes for row names and Excel for trailing commas.
    frame = frame[[name for name in names if name]]
    told = {name.strip().upper(): label for name, label in (labels or {}).items() if label}
    return RawTable(frame, frozenset(set_aside), told)


def _counted(n_fields: int) -> str:
    return f"{n_fields} field{'' if n_fields == 1 else 's'}"


def read_yaml(path: Path, table: str, problems: list[Problem]) -> YamlBlock | None:
    """Read a YAML mapping; syntax, unsafe tags, aliases and repeated keys are problems; None without any."""
    text = read_text(path, table, problems)
    if text is None:
        return None
    try:
        return _load_block(text, table, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context
        problems.append(Problem(table, mark.line + 1 if mark else None, "", "", f"is not valid YAML: {said}"))
    except yaml.YAMLError as error:
        problems.append(Problem(table, None, "", "", f"is not valid YAML: {str(error).splitlines()[0]}"))
    except RecursionError:
        problems.append(Problem(table, None, "", "", "is nested too deeply"))
    return None


class CoreLoader(yaml.SafeLoader):
    """The safe loader by the core schema of YAML 1.2: 017 is 17, and 1:30 and no are text, as all keys are.

    So is what only looks like a value, such as ``!!int x``.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError, IndexError, AttributeError, OverflowError):
            self.recursive_objects.pop(node, None)
            return str(node.value)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        # An alias can make a small file huge or endless, and nothing here needs one.
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"aliases (*{event.anchor}) are not read", event.start_mark
            )
        node = super().compose_node(parent, index)
        if isinstance(parent, yaml.MappingNode) and index is None and isinstance(node, yaml.ScalarNode):
            node.tag = "tag:yaml.org,2002:str"
        return node


def _construct_int(loader: CoreLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _construct_float(loader: CoreLoader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).casefold()
    return float(text.replace(".", "") if text.endswith(("inf", "nan")) else text)


for _name, _pattern in {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}.items():
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), None)
CoreLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
CoreLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def _load_block(text: str, table: str, problems: list[Problem]) -> YamlBlock | None:
    loader = CoreLoader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            problems.append(Problem(table, 1, "", "", "must hold 'key: value' lines"))
            return None
        block = YamlBlock({})
        _note_lines(node, (), block, table, problems)
        block.data.update(loader.construct_document(node))
        return block
    finally:
        loader.dispose()


def _note_lines(
    node: yaml.Node, path: tuple[Any, ...], block: YamlBlock, table: str, problems: list[Problem]
) -> None:
    block.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.ScalarNode):
        block.texts[path] = node.value
    elif isinstance(node, yaml.SequenceNode):
        for at, entry in enumerate(node.value):
            _note_lines(entry, (*path, at), block, table, problems)
    else:
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            below = (*path, name)
            if name in seen:
                rule = f"key is there already in row {seen[name]}"
                problems.append(Problem(table, line, format_path(below), "", rule))
            seen.setdefault(name, line)
            block.lines.setdefault(below, line)
            _note_lines(value, below, block, table, problems)
