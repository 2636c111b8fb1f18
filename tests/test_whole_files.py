import json
import re
import subprocess
import sys

import pytest

from normbt_lab.errors import NormBTError
from normbt_lab.whole_files import whole_file, whole_folder, write_whole


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_a_file_has_its_name_only_once_it_is_complete(tmp_path):
    path = tmp_path / "new" / "pairs.jsonl"
    with whole_file(path) as unfinished:
        unfinished.write_text("half")
        assert not path.exists()
        unfinished.write_text("half and half")
    assert path.read_text() == "half and half"
    assert names(tmp_path) == ["new", "pairs.jsonl"]  # nothing else is left


def test_a_writer_that_fails_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("older")
    with pytest.raises(ZeroDivisionError), whole_file(path) as unfinished:
        unfinished.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "older" and names(tmp_path) == ["report.html"]


def test_a_full_disk_is_a_message_and_leaves_the_older_file(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("older")
    # Linux gives one of its own accord: /dev/full takes nothing.
    expected = r"cannot write the report to .*report\.html \(No space left on device\): free space"
    with pytest.raises(NormBTError, match=expected), whole_file(path, "the report") as unfinished:
        unfinished.symlink_to("/dev/full")
        unfinished.write_text("half")
    assert path.read_text() == "older" and names(tmp_path) == ["report.html"]


LIMITED_WRITING = """
import resource, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from normbt_lab.whole_files import whole_file

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # the system's own limit on a file stands for a full disk
with whole_file(Path(sys.argv[1]), "the model") as unfinished:
    {"torch": torch.save, "safetensors": save_file}[sys.argv[2]]({"weight": torch.zeros(100_000)}, unfinished)
"""


@pytest.mark.parametrize("library", ["torch", "safetensors"])
def test_a_library_that_runs_out_of_space_gives_the_same_message(tmp_path, library):
    words = [sys.executable, "-c", LIMITED_WRITING, str(tmp_path / "model"), library]
    failed = subprocess.run(words, capture_output=True, text=True)
    assert re.search(r"NormBTError: cannot write the model to .*model \(.+\): free space", failed.stderr)
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["a file/report.html", "a folder"])
def test_a_place_where_no_file_can_be_is_a_message(tmp_path, place):
    (tmp_path / "a file").touch()
    (tmp_path / "a folder").mkdir()
    with pytest.raises(NormBTError, match="cannot write .*choose another place"):
        write_whole(tmp_path / place, "text")
    assert names(tmp_path) == ["a file", "a folder"]


def test_text_is_written_as_utf_8_and_bytes_as_they_are(tmp_path):
    write_whole(tmp_path / "text", "☺\n")
    write_whole(tmp_path / "bytes", b"\xff\r\n")
    assert (tmp_path / "text").read_bytes() == b"\xe2\x98\xba\n"
    assert (tmp_path / "bytes").read_bytes() == b"\xff\r\n"


def test_the_files_of_a_folder_appear_together_and_leave_others_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "config.json").write_text("older")
    with whole_folder(tmp_path, "the model") as unfinished:
        (unfinished / "config.json").write_text(json.dumps({}))
        (unfinished / "weights").write_bytes(b"1")
        assert (tmp_path / "config.json").read_text() == "older" and not (tmp_path / "weights").exists()
    assert names(tmp_path) == ["config.json", "notes.txt", "weights"]
    assert (tmp_path / "config.json").read_text() == "{}" and (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("is_there", [False, True])
def test_a_writer_that_fails_leaves_no_new_folder_and_takes_no_old_one(tmp_path, is_there):
    folder = tmp_path / "model"
    if is_there:
        folder.mkdir()
    with pytest.raises(ValueError, match="other rewards"), whole_folder(folder) as unfinished:
        (unfinished / "weights").write_bytes(b"1")
        raise ValueError("other rewards")
    assert names(tmp_path) == (["model"] if is_there else [])


def test_a_folder_whose_writer_fails_is_as_it_was(tmp_path):
    (tmp_path / "config.json").write_text("older")
    with (
        pytest.raises(NormBTError, match=r"cannot write the model to .*free space"),
        whole_folder(tmp_path, "the model"),
    ):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == ["config.json"] and (tmp_path / "config.json").read_text() == "older"
