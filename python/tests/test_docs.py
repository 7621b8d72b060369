"""The programs of the documentation print what their comments say."""

import contextlib
import doctest
import io
import re

import pytest
from conftest import HERE

import smooth_l1

ROOT = HERE.parent.parent
# Those without comments need a cluster; the examples of the docstrings of smooth_l1.ray and smooth_l1.spark run.
PROGRAMS = [
    pytest.param(program, id=f"{page.name}-{i}")
    for page in (ROOT / "docs" / "scale.md", ROOT / "python" / "README.md")
    for i, program in enumerate(re.findall("```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    if re.search(r"^print\(.*\)  # ", program, re.MULTILINE)
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(program, {})
    assert printed.getvalue().splitlines() == re.findall(r"^print\(.*\)  # (.*)$", program, re.MULTILINE)


def test_there_are_programs():
    assert len(PROGRAMS) == 3


@pytest.mark.parametrize("module", [smooth_l1._losses, smooth_l1._accumulator])
def test_the_examples_of_the_docstrings(module):
    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0
