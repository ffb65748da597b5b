"""From words to flags: the forms in which they are written, and the types that values of a config keep."""

import dataclasses

import pytest
from absl import flags as absl_flags
from ml_collections import ConfigDict

from jaxdet.cli import flags
from jaxdet.cli.command import Command
from jaxdet.cli.parsing import UsageError, parse

CONFIG = """
from ml_collections import ConfigDict, config_dict

def get_config(variant='plain'):
  return ConfigDict({
    'variant': variant, 'steps': 10, 'rate': 0.5, 'flip': False, 'sizes': (1, 2), 'names': ('a',),
    'inner': {'key': 'text'}, 'classes': config_dict.placeholder(int), 'folder': config_dict.placeholder(str),
  })
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnFlags(flags.DeviceFlags):
  config: ConfigDict = flags.config('what')
  workdir: str = flags.text('where', 'DIR')
  count: int = flags.number('how many', 3)
  from_: str | None = flags.text('whose', 'NAME', None, choices=('mine', 'yours'))
  kinds: tuple[str, ...] = flags.texts('which', 'KINDS', ('x',))
  allow: tuple[str, ...] = flags.repeated('what passes', 'PATTERN')
  words: tuple[str, ...] = flags.words()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShowFlags(flags.Flags):
  files: tuple[str, ...] = flags.arguments('what is shown', 'FILE ..', at_least=1, at_most=2)
  large: bool = flags.switch('in large')


COMMANDS = {
  'learn': Command(LearnFlags, print, 'learns', 'learn --workdir x'),
  'show': Command(ShowFlags, print, 'shows', 'show a'),
}


@pytest.fixture
def config(tmp_path):
  (tmp_path / 'small.py').write_text(CONFIG)
  return str(tmp_path / 'small.py')


def learn(config, *words):
  return parse([f'--config={config}', '--workdir=x', *words], COMMANDS, 'learn')[1]


def test_defaults_are_those_of_the_dataclass(config):
  found = learn(config)
  assert (found.workdir, found.count, found.from_, found.kinds, found.allow) == ('x', 3, None, ('x',), ())
  assert (found.debug, found.multihost, found.config.variant) == (False, None, 'plain')


@pytest.mark.parametrize(
  'words',
  [
    ['learn', '--config=FILE:v', '--workdir=y', '--count=4', '--nomultihost'],
    ['--config', 'FILE:v', '--workdir', 'y', '--count', '4', '--nomultihost', 'learn'],
    ['-config', 'FILE:v', '-workdir', 'y', '-count=4', '-nomultihost'],
    ['learn', '--multihost', '--workdir=z', '--config=FILE:w', '--multihost=false', '--workdir=y']
    + ['--config=FILE:v', '--count=4'],
  ],
)
def test_flags_are_written_in_several_forms_and_the_last_one_counts(config, words):
  command, found = parse([word.replace('FILE', config) for word in words], COMMANDS, 'learn')
  assert command is COMMANDS['learn']
  assert (found.workdir, found.count, found.multihost, found.config.variant) == ('y', 4, False, 'v')


def test_lists_and_repeated_flags_and_the_words_themselves(config):
  found = learn(config, '--kinds=a,b', '--allow=p*', '--allow', 'q', '--from=yours')
  assert (found.kinds, found.allow, found.from_) == (('a', 'b'), ('p*', 'q'), 'yours')
  assert found.words[-1] == '--from=yours'


def test_flags_of_a_file_and_of_the_log_are_read(config, tmp_path):
  (tmp_path / 'flags').write_text('--count=5\n--config.steps=6\n')
  found = learn(config, f'--flagfile={tmp_path}/flags', '--stderrthreshold=error')
  assert (found.count, found.config.steps) == (5, 6)
  assert absl_flags.FLAGS.stderrthreshold == 'error'


@pytest.mark.parametrize(
  'words, key, value',
  [
    (['--config.steps=20'], 'steps', 20),
    (['--config.rate', '1e-3'], 'rate', 1e-3),
    (['--config.rate=2'], 'rate', 2.0),
    (['--config.flip'], 'flip', True),
    (['--config.flip=true'], 'flip', True),
    (['--noconfig.flip'], 'flip', False),
    (['--config.sizes=(3, 4, 5)'], 'sizes', (3, 4, 5)),
    (['--config.sizes=3', '--config.sizes=4'], 'sizes', (3, 4)),
    (['--config.names=b'], 'names', ('b',)),
    (['--config.inner.key=1'], 'inner.key', '1'),
    (['-config.classes', '7'], 'classes', 7),
    (['--config.folder=data'], 'folder', 'data'),
  ],
)
def test_a_value_of_the_config_keeps_its_type(config, words, key, value):
  found = learn(config, *words).config
  for name in key.split('.'):
    found = found[name]
  assert found == value and type(found) is type(value)


def test_values_may_be_changed_before_the_config_is_named(config):
  _, found = parse(['--config.steps=20', '--workdir=x', f'--config={config}'], COMMANDS, 'learn')
  assert found.config.steps == 20 and found.config.is_locked


def test_words_that_are_no_flags(config):
  assert parse(['show', 'a', '--large', 'b'], COMMANDS, 'learn')[1] == ShowFlags(files=('a', 'b'), large=True)
  assert parse(['--large', 'show', '--', '--odd'], COMMANDS, 'learn')[1].files == ('--odd',)


@pytest.mark.parametrize(
  'words, error',
  [
    (['--config.stesp=1'], "unknown config key 'stesp'; the nearest is 'steps'"),
    (['--config.inner.kye=1'], "unknown config key 'inner.kye'; the nearest is 'inner.key'"),
    (['--noconfig.flop'], "unknown config key 'flop'; the nearest is 'flip'"),
    (['--config.steps=many'], 'flag --config.steps=many: invalid'),
    (['--config.steps'], 'Missing value for flag --config.steps'),
    (['--count=0'], 'flag --count=0'),
    (['--cuont=4'], "learn has no flag '--cuont'; the nearest is '--count'"),
    (['--large'], "learn has no flag '--large'; the nearest is '--"),
    (['--from=mien'], "unknown --from 'mien'; the nearest is 'mine', of mine, yours"),
    (['learn', 'photo.jpg'], "learn takes flags only, not 'photo.jpg'"),
    (['lern'], "unknown command 'lern'; the nearest is 'learn', of learn, show"),
  ],
)
def test_mistakes_name_the_nearest(config, words, error):
  with pytest.raises(UsageError, match=error) as raised:
    learn(config, *words)
  assert '\n' not in str(raised.value)


@pytest.mark.parametrize('flag', ['--config=no_such_file.py', '--no_such_flag'])
def test_a_misspelt_command_is_named_before_its_flags(flag):
  with pytest.raises(UsageError, match="unknown command 'lern'; the nearest is 'learn'"):
    parse(['lern', flag], COMMANDS, 'learn')


@pytest.mark.parametrize(
  'words, error',
  [
    (['show'], 'show needs FILE .., what is shown'),
    (['show', 'a', 'b', 'c'], "show takes one FILE .., and 'c' is one more"),
    (['show', 'a', '--count=1'], "show has no flag '--count'"),
    (['--workdir=x'], r'learn needs --config FILE\[:VARIANT\], what; as jaxdet learn'),
    (['--workdir=x', '--config.steps=3'], 'changes a value of a config, and there is none'),
  ],
)
def test_what_is_missing_or_too_much_is_named(words, error):
  with pytest.raises(UsageError, match=error):
    parse(words, COMMANDS, 'learn')


def test_a_file_that_is_no_config_is_named(tmp_path):
  (tmp_path / 'empty.py').write_text('')
  with pytest.raises(UsageError, match='empty.py is no config: it defines no get_config'):
    learn(str(tmp_path / 'empty.py'))
  with pytest.raises(UsageError, match='no config file .*emty.py; the nearest is .*/empty.py'):
    learn(str(tmp_path / 'emty.py'))
