"""From a file, folder, stream or hub id to numbered raw records; what can't be read as one is a `BadRow`.

Nothing here knows about pairs: `formats` does. Text formats are read line by line and Parquet batch by batch, so memory
does not grow with the file (a JSON array is the exception: it has to be read whole).
"""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import io
import itertools
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, cast

from normbt_lab.data.rejects import BadRow, Reason
from normbt_lab.errors import NormBTError, UsageError

Rows = Iterator[tuple[int, Any]]
"""(line or row number from 1, record or BadRow), in the order of the source."""

RowsOf = Callable[[BinaryIO, str], Rows]
"""How the rows of one text format are read from a stream of a name."""

STDIN = "-"
_HUB_ID = re.compile(r"(?P<path>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]*))?(?::(?P<split>[\w.-]+))?")
_PARQUET_BATCH = 256
_SNIFFED = 4096
_DEEPEST = 100
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f")


def open_rows(source: str, split: str | None = None) -> Rows:
    """The records of a source, numbered.

    What is wrong with the source as a whole is raised here, before anything is read from it.

    Args:
        source: A file (.jsonl, .json, .csv, each also .gz, or .parquet), ``-`` for JSON lines on standard input, a
            folder written by ``datasets.save_to_disk``, or a hub id: ``owner/name``, ``owner/name:config``,
            ``owner/name:config:split``, and ``owner/name::split`` where it has no configurations.
        split: Which part of a folder or hub data set; files have no parts.

    Raises:
        NormBTError: There is no such source, or it is not what its name says.
        UsageError: A split of something that has none, or two different ones.
    """
    path = Path(source)
    if source != STDIN and path.is_dir():
        return _dataset_folder_rows(path, split)
    if source != STDIN and not path.exists() and not _suffix(path) and _HUB_ID.fullmatch(source):
        return _hub_rows(source, split)
    if split is not None:
        raise UsageError(f"split={split!r} was given, but {source} is a file or stream and has no splits")
    if source == STDIN:
        return _text_rows(lambda: nullcontext(sys.stdin.buffer), "standard input", _jsonl_rows)
    return _file_rows(path)


def _file_rows(path: Path) -> Rows:
    if not path.is_file():
        raise NormBTError(_missing(path))
    suffix = _suffix(path)
    if suffix == ".parquet":
        return _parquet_rows(path)
    if suffix not in _TEXT_ROWS:
        raise NormBTError(
            f"{path}: unknown kind of file {path.suffix!r}, expected .jsonl, .json, .csv (each also .gz) or .parquet. "
            "Convert it, or rename it if it is one of these."
        )
    try:
        with path.open("rb") as stream:
            _text_stream(stream, str(path))
    except (OSError, EOFError, zlib.error) as error:
        raise NormBTError(_broken(str(path), 0, error)) from error
    return _text_rows(lambda: path.open("rb"), str(path), _TEXT_ROWS[suffix])


def _suffix(path: Path) -> str:
    """The extension that says what is inside, ``.gz`` aside: a known one, or empty."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in (*_TEXT_ROWS, ".parquet") if name.endswith(suffix)), "")


def _missing(path: Path) -> str:
    try:
        neighbours = [neighbour.name for neighbour in path.parent.iterdir()]
    except OSError:
        neighbours = []
    close = difflib.get_close_matches(path.name, neighbours, n=2)
    hint = f"Did you mean {' or '.join(close)}?" if close else "Check the path, or run from the folder it starts in."
    return f"{path}: no such file. {hint}"


def _text_rows(opened: Callable[[], AbstractContextManager[BinaryIO]], name: str, rows_of: RowsOf) -> Rows:
    """Rows of a text stream; one that breaks in the middle is an error, since what follows would be lost unseen."""
    number = 0
    try:
        with opened() as stream:
            for number, row in rows_of(_text_stream(stream, name), name):
                yield number, row
    except (OSError, EOFError, zlib.error) as error:
        raise NormBTError(_broken(name, number, error)) from error


def _text_stream(stream: BinaryIO, name: str) -> BinaryIO:
    """The stream without its compression, after a look at its first bytes for what is no text at all."""
    text = _decompressed(stream)
    _refuse_binary(text.peek(_SNIFFED)[:_SNIFFED], name)
    return cast(BinaryIO, text)


def _decompressed(stream: BinaryIO) -> io.BufferedReader:
    """The stream without gzip, which is told by its first two bytes, not by the file's name."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
    if buffered.peek(2)[:2] == b"\x1f\x8b":
        return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=buffered)))
    return buffered


def _refuse_binary(start: bytes, name: str) -> None:
    kinds = {b"PAR1": "Parquet", b"PK\x03\x04": "a zip archive", b"ARROW1": "Arrow"}
    for magic, kind in kinds.items():
        if start.startswith(magic):
            raise NormBTError(f"{name} holds {kind}, not text: give it the extension of what it is, or unpack it.")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise NormBTError(f"{name} is UTF-16, expected UTF-8: save it again as UTF-8.")
    # One stray control character is one bad row; images, archives and UTF-16 without its mark are full of them.
    if len(start) - len(start.translate(None, delete=_CONTROLS)) > len(start) / 20:
        raise NormBTError(f"{name} is binary, expected UTF-8 text: is it the right file?")


def _broken(name: str, number: int, error: Exception) -> str:
    if not number:
        return f"{name} can't be read: {_first_line(error)}"
    return f"{name} breaks off after line {number} ({_first_line(error)}): was it copied or downloaded in full?"


def _jsonl_rows(stream: BinaryIO, name: str) -> Rows:
    for number, line in enumerate(stream, start=1):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if line and not line.isspace():
            yield number, _json_record(line)


def _json_record(line: bytes) -> Any:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadRow(Reason.NOT_UTF8, f"byte {error.start + 1} of the line", line.decode("utf-8", "replace"))
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return BadRow(Reason.NOT_JSON, str(error), text.rstrip("\r\n"))
    # Two quick looks spare most rows the slow ones.
    is_suspect = "\\u" in text or text.count("[") + text.count("{") > _DEEPEST
    return _checked_record(row) if is_suspect else row


def _json_rows(stream: BinaryIO, name: str) -> Rows:
    """Rows of a JSON array; a .json file that holds one record a line is read as what it is."""
    # Bytes that are not UTF-8 become surrogates, and fail their own record instead of the file.
    text = stream.read().decode("utf-8-sig", errors="surrogateescape")
    if text.lstrip()[:1] != "[":
        yield from _jsonl_rows(io.BytesIO(text.encode("utf-8", errors="surrogateescape")), name)
        return
    for line, row in _array_elements(text, name):
        yield line, _checked_record(row)


def _array_elements(text: str, name: str) -> Rows:
    """The array's elements one by one, so that each has its line and those before a defect are not lost."""
    decoder, space = json.JSONDecoder(), re.compile(r"\s*")

    def skip_space(position: int) -> int:
        return space.match(text, position).end()  # type: ignore[union-attr]

    line, counted = 1, 0
    position = skip_space(text.index("[") + 1)
    more = text[position : position + 1] != "]"
    while more:
        line, counted = line + text.count("\n", counted, position), position
        try:
            row, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise NormBTError(_broken_array(name, line, str(error))) from error
        yield line, row
        position = skip_space(end)
        more = text[position : position + 1] == ","
        if not more and text[position : position + 1] != "]":
            raise NormBTError(_broken_array(name, line, "expected ',' or ']' after the record"))
        position = skip_space(position + 1) if more else position
    if text[position + 1 :].strip():
        raise NormBTError(_broken_array(name, line, "there is more after the closing ']'"))


def _broken_array(name: str, line: int, cause: str) -> str:
    return f"{name}:{line}: the JSON array is broken here ({cause}). Repair it, or save one record a line (.jsonl)."


def _checked_record(row: Any) -> Any:
    """The record, or a BadRow if it could not be written out again: too deep, or some text in it is no Unicode."""
    if _is_deeper_than(_DEEPEST, row):
        # Each Python version has its own limit to what json writes, and all that follow recurse too.
        return BadRow(Reason.WRONG_TYPE, f"lists or objects in each other, more than {_DEEPEST} deep")
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return BadRow(Reason.NOT_UTF8, "it holds bytes or escapes that are no character", row)
    return row


def _is_deeper_than(levels: int, value: Any) -> bool:
    if not isinstance(value, dict | list):
        return False
    children = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper_than(levels - 1, child) for child in children)


def _csv_rows(stream: BinaryIO, name: str) -> Rows:
    # By default the csv module refuses cells above 128 KB. This is the largest value every platform takes.
    csv.field_size_limit(2**31 - 1)
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        # strict: a quote that is never closed is an error, not a last cell with the rest of the file in it.
        reader = csv.reader(text, strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, BadRow(Reason.NOT_CSV, f"{error}; the record goes on to line {reader.line_num}")
                continue
            if header is not None and cells:
                yield line, _csv_record(header, cells)
            header = header or cells  # a blank line has no cells


def _csv_record(header: list[str], cells: list[str]) -> Any:
    if len(cells) != len(header):
        return BadRow(Reason.NOT_CSV, f"{len(cells)} cells under {len(header)} columns: an unquoted comma?", cells)
    try:
        row = {column: _csv_cell(cell) for column, cell in zip(header, cells, strict=True)}
    except (ValueError, RecursionError):
        detail = "a message list that is not JSON (written by pandas?): save the data as .jsonl or .parquet"
        return BadRow(Reason.NOT_JSON, detail, cells)
    return _checked_record(row)


def _csv_cell(cell: str) -> Any:
    """The cell's text; a list of messages, which CSV can only hold as JSON, is read."""
    return json.loads(cell) if re.match(r"\[\s*\{\s*[\"']role|\[\s*\{\s*[\"']content", cell) else cell


def _parquet_rows(path: Path) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError, pyarrow.ArrowException) as error:  # ValueError: names that are not UTF-8
        raise NormBTError(f"{path} is no readable Parquet file: {_first_line(error)}") from error

    def rows() -> Rows:
        number = 0
        with file:
            try:
                for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
                    for record in _arrow_records(batch):
                        number += 1
                        yield number, record
            except (OSError, pyarrow.ArrowException) as error:
                raise NormBTError(_broken(str(path), number, error)) from error

    return rows()


def _arrow_records(batch: Any) -> list[Any]:
    """The batch's rows; where a value in it can't be read, row by row, so that only that row is lost."""
    try:
        return cast(list[Any], batch.to_pylist())
    except Exception as error:  # a date after the year 9999 and an unknown time zone each raise their own kind
        if batch.num_rows > 1:
            return [_arrow_records(batch.slice(index, 1))[0] for index in range(batch.num_rows)]
        if isinstance(error, UnicodeDecodeError):
            return [BadRow(Reason.NOT_UTF8, f"byte {error.start + 1} of a text")]
        return [BadRow(Reason.WRONG_TYPE, f"a value that Python can't hold: {_first_line(error)}")]


def _dataset_folder_rows(folder: Path, split: str | None) -> Rows:
    if not any((folder / name).exists() for name in ("dataset_dict.json", "state.json")):
        raise NormBTError(
            f"{folder} is a folder, but not one that datasets.save_to_disk wrote (no dataset_dict.json or state.json). "
            "Name a file in it."
        )
    from datasets import Dataset, load_from_disk

    try:
        data = load_from_disk(str(folder))
    except Exception as error:  # datasets raises many kinds for a damaged folder
        raise NormBTError(f"{folder} can't be opened by datasets.load_from_disk: {_first_line(error)}") from error
    if isinstance(data, Dataset):
        if split is not None:
            raise UsageError(f"split={split!r} was given, but {folder} holds one data set without splits")
        return _numbered(data, str(folder))
    return _numbered(_one_split(data, split, str(folder)), str(folder))


def _one_split(splits: Mapping[str, Any], split: str | None, name: str) -> Iterable[Any]:
    if split is None:
        split = "train" if "train" in splits else next(iter(splits))
    if split not in splits:
        raise UsageError(f"{name} has no split {split!r}: it has {', '.join(splits)}")
    return cast(Iterable[Any], splits[split])


def _hub_rows(source: str, split: str | None) -> Rows:
    from datasets import load_dataset

    match = _HUB_ID.fullmatch(source)
    assert match is not None
    if split and match["split"] and split != match["split"]:
        raise UsageError(f"{source} and split={split!r} ask for two different splits: give one")
    try:
        data = load_dataset(
            match["path"], match["config"] or None, split=split or match["split"] or "train", streaming=True
        )
    except Exception as error:  # datasets, huggingface_hub and httpx each have their own
        raise NormBTError(
            f"{source}: no such file here, and as a Hugging Face data set it can't be opened: {_first_line(error)} "
            "Check the spelling and the network, name its split (owner/name:config:split), or name a local file."
        ) from error
    return _numbered(data, source)


def _numbered(data: Iterable[Any], name: str) -> Rows:
    """The rows of a data set with their numbers; what goes wrong while they are read has as many kinds as sources."""
    rows = iter(data)
    for number in itertools.count(1):
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:
            raise NormBTError(f"{name} breaks off after row {number - 1}: {_first_line(error)}") from error
        yield number, row


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


_TEXT_ROWS: dict[str, RowsOf] = {
    ".jsonl": _jsonl_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
}
