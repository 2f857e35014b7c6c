"""Reading a trial's files as text, with the line where each value stands.

What is wrong with a file is appended to `problems`, under the name `table`.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import yaml

from nkhcc_helpers.trial.problems import Problem, RawTable, YamlBlock, format_path, suggest_name

_NOT_TEXT = {
    b"PK\x03\x04": "is a spreadsheet or an archive (xlsx, ods, zip); export it as CSV, UTF-8",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet (xls); export it as CSV, UTF-8",
    b"\x1f\x8b": "is a compressed file; unpack it",
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
}
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def list_folder(folder: Path, problems: list[Problem]) -> list[Path] | None:
    """Return what a trial's folder holds, or None and a problem when it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        rule = "does not exist"
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
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        problems.append(Problem(table, None, "", names, f"only one of these may stand for {name}"))
    elif required:
        hint = suggest_name(name, [path.name for path in files if path.suffix.casefold() != ".md"])
        problems.append(Problem(table, None, "", "", f"{name} is not in the folder{hint}"))
    return None


def read_text(path: Path, table: str, problems: list[Problem]) -> str | None:
    """Return a file's text, or None and the problem that kept it from being read.

    UTF-8 only, with or without byte order mark: another encoding is reported, never guessed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        problems.append(Problem(table, None, "", path.name, f"cannot be read ({error.strerror})"))
        return None
    for start, rule in _NOT_TEXT.items():
        if content.startswith(start):
            problems.append(Problem(table, None, "", path.name, rule))
            return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        shown = f"byte 0x{content[error.start]:02x}"
        problems.append(Problem(table, row, "", shown, "is not UTF-8; save the file as UTF-8"))
        return None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        problems.append(Problem(table, row, "", path.name, "is not a text file; export it as CSV, UTF-8"))
        return None
    if not text.strip():
        problems.append(Problem(table, None, "", path.name, "is empty"))
        return None
    return text


def read_csv(path: Path, table: str, problems: list[Problem]) -> RawTable | None:
    """Read a comma-separated file as text, every faulty row a problem; None if nothing can be used."""
    text = read_text(path, table, problems)
    if text is None:
        return None
    rows = _split_rows(text, table, problems)
    if not rows:
        if rows is not None:
            problems.append(Problem(table, None, "", path.name, "is empty"))
        return None
    header_row, header = rows[0]
    names = [name.upper() for name in header]
    if not _check_header(header_row, names, table, problems):
        return None
    kept, lines, set_aside = [], [], set()
    for row, cells in rows[1:]:
        if len(cells) == len(names):
            kept.append(cells)
            lines.append(row)
            continue
        set_aside.update(cells)
        rule = f"has {_counted(len(cells))} where the header has {_counted(len(names))}"
        problems.append(Problem(table, row, "", "", rule))
    frame = pd.DataFrame(kept, columns=names, index=pd.Index(lines, name="row", dtype="int64"), dtype=str)
    # A column without a name is what R writes for row names and Excel for trailing commas.
    return RawTable(frame[[name for name in names if name]], frozenset(set_aside))


def _counted(n_fields: int) -> str:
    return f"{n_fields} field{'' if n_fields == 1 else 's'}"


def _split_rows(text: str, table: str, problems: list[Problem]) -> list[tuple[int, list[str]]] | None:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append((start, stripped))
            start = reader.line_num + 1
    except csv.Error as error:
        problems.append(Problem(table, start, "", "", f"is not valid CSV: {error}"))
        return None
    return rows


def _check_header(row: int, names: list[str], table: str, problems: list[Problem]) -> bool:
    if len(names) == 1:
        for separator, called in _SEPARATORS.items():
            if separator in names[0]:
                rule = f"fields are separated by {called}; save the file with commas"
                problems.append(Problem(table, row, "", names[0], rule))
                return False
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    for name in repeated:
        problems.append(Problem(table, row, name, "", "column is there more than once"))
    return not repeated


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
