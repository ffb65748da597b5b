"""Pages of help: short, complete, with examples that are right."""

import pathlib

import pytest

import jaxdet
from jaxdet.cli import help as help_pages
from jaxdet.cli.commands import COMMANDS, DEFAULT
from jaxdet.cli.flags import written
from jaxdet.cli.parsing import parse
from jaxdet.main import main

ROOT = pathlib.Path(__file__).parents[2]


def shown(capsys, *words: str) -> str:
  main(words)
  return capsys.readouterr().out


@pytest.mark.parametrize('name', COMMANDS)
def test_a_commands_page_fits_a_screen_and_has_every_flag_of_it(capsys, name):
  page = shown(capsys, name, '--help')
  assert page == shown(capsys, '--help', name) == f'{help_pages.page(name, COMMANDS[name])}\n'
  assert len(page.splitlines()) <= 40 and max(map(len, page.splitlines())) <= 120
  for field in written(COMMANDS[name].flags):
    assert field.spec.kind in ('words', 'arguments') or f'--{field.flag} ' in page or f'--[no]{field.flag} ' in page
  assert f'  jaxdet {COMMANDS[name].example}\n' in page


def test_the_overview_lists_the_commands(capsys):
  page = shown(capsys, '--help')
  assert page == shown(capsys, '-h')
  for name, command in COMMANDS.items():
    assert any(line.split() == [name, *command.help.split()] for line in page.splitlines())
  assert len(page.splitlines()) <= 40 and max(map(len, page.splitlines())) <= 120


@pytest.mark.parametrize('name', COMMANDS)
def test_the_examples_are_right(monkeypatch, name):
  monkeypatch.chdir(ROOT)
  words = [word.strip("'") for word in COMMANDS[name].example.split()]
  command, flags = parse(words, COMMANDS, DEFAULT)
  assert command is COMMANDS[name] and isinstance(flags, command.flags)


def test_the_version(capsys):
  assert shown(capsys, '--version') == f'jaxdet {jaxdet.__version__}\n'


def test_a_script_of_the_package_is_the_same_program():
  assert "'console_scripts': ['jaxdet = jaxdet.main:main']" in (ROOT / 'setup.py').read_text()
  assert f"version='{jaxdet.__version__}'" in (ROOT / 'setup.py').read_text()
