"""Checkpoints: a folder with one sub-folder per step, written by Orbax in the background.

A step holds `variables` (params, constants, batch_stats), `ema` if there are averaged parameters, `training` (step and
optimizer state) and `metadata`, a JSON file: config, category table, preprocessing, version of jaxdet. Nothing is
pickled.
"""

import dataclasses
import fnmatch
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from flax import traverse_util
from ml_collections import ConfigDict

import jaxdet
from jaxdet import sharding
from jaxdet.configuration import detection_canvases
from jaxdet.structures import Category
from jaxdet.training import config_0_1
from jaxdet.training.categories import placeholders
from jaxdet.training.optimizer import path_name
from jaxdet.training.state import TrainState

Variables = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Metadata:
  """Metadata of a checkpoint: config, categories, version and metrics."""

  config: ConfigDict  # complete and locked
  categories: tuple[Category, ...]
  version: str = jaxdet.__version__
  metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)  # by name, such as 'segm/AP'

  def to_json(self) -> dict[str, Any]:
    config = self.config.to_dict()
    return {
      'config': config,
      'categories': [dataclasses.asdict(category) for category in self.categories],
      # A copy of the preprocessing settings, for other programs.
      'preprocessing': {
        'channels': 'RGB',
        'pixel_mean': config['model']['pixel_mean'],
        'pixel_std': config['model']['pixel_std'],
        'resize': config['data']['resize'],
        'canvases': detection_canvases(self.config.data),
      },
      'version': self.version,
      'metrics': dict(self.metrics),
    }

  @classmethod
  def from_json(cls, tree: Mapping[str, Any]) -> 'Metadata':
    config = _tuples(tree['config'])
    if config_0_1.is_of_0_1(config['model']):
      config = {**config, 'model': config_0_1.upgraded(config['model'])}
    if 'data' in config:
      config = {**config, 'data': config_0_1.with_later_keys(config['data'])}
    return cls(
      config=ConfigDict(config).lock(),
      categories=_categories(tree, config),
      version=tree['version'],
      metrics=tree['metrics'],
    )


class Checkpoints:
  """Checkpoints in one folder; only the last `keep` are kept."""

  def __init__(self, folder: str, keep: int):
    self._folder = pathlib.Path(folder).absolute()
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep, cleanup_tmp_directories=True, enable_async_checkpointing=True
      ),
    )

  def latest(self) -> int | None:
    """Latest step with a complete checkpoint; None if there is none."""
    return latest_step(self._folder)

  def metadata(self, step: int) -> Metadata:
    return _read_metadata(self._folder / str(step))

  def save(self, state: TrainState, metadata: Metadata) -> None:
    """Copies the state to the host and writes it in the background; an existing step is not overwritten."""
    step = int(jax.device_get(state.step))
    if step in _steps(self._folder):
      return
    variables = {'params': state.params, **state.collections}
    items = {'variables': variables, 'training': {'step': state.step, 'optimizer': _flat(state.opt_state)}}
    if state.ema_params is not None:
      items['ema'] = _flat(state.ema_params)
    self._save(step, items, metadata)

  def save_variables(self, variables: Variables, metadata: Metadata, step: int = 0) -> None:
    """Writes a checkpoint for inference or `train.init_from` only, such as a converted one."""
    self._save(step, {'variables': variables}, metadata)

  def restore(self, step: int, like: TrainState) -> TrainState:
    """Restores the state of a step, with the structure and shardings of `like` (arrays or jax.ShapeDtypeStruct).

    Raises:
      ValueError: names or shapes differ (the message has the first one), or the checkpoint has only weights.
    """
    folder = self._folder / str(step)
    if not (folder / 'training').exists():
      raise ValueError(f'{folder} holds weights alone: train in another workdir, with train.init_from={self._folder}')
    if (folder / 'ema').exists() != (like.ema_params is not None):
      raise ValueError(f'{folder} was trained with another train.ema_decay (zero or not); use that, or train.init_from')
    variables = _restore(folder / 'variables', {'params': like.params, **like.collections})
    training = _restore(folder / 'training', {'step': like.step, 'optimizer': _flat(like.opt_state)})
    ema = like.ema_params
    if ema is not None:
      ema = _unflat(_restore(folder / 'ema', _flat(ema)), like=ema)
    opt_state = _unflat(training['optimizer'], like=like.opt_state)
    return TrainState(step=training['step'], opt_state=opt_state, ema_params=ema, **variables)

  def wait(self) -> None:
    """Waits until everything is written."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, then ends the threads."""
    self._manager.close()

  def _save(self, step: int, items: dict[str, Any], metadata: Metadata) -> None:
    args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    args['metadata'] = ocp.args.JsonSave(metadata.to_json())
    self._manager.save(step, args=ocp.args.Composite(**args))


def latest_step(folder: str | pathlib.Path) -> int | None:
  """Latest step with a complete checkpoint in a folder of checkpoints; None if there is none."""
  return max(_steps(pathlib.Path(folder)), default=None)


def load_for_inference(path: str) -> tuple[Variables, Metadata]:
  """Loads the variables of a checkpoint (with averaged parameters if it has them), replicated on all devices.

  Args:
    path: a workdir (its last checkpoint is used), a folder of checkpoints, or one checkpoint.

  Raises:
    FileNotFoundError: there is no complete checkpoint.
  """
  folder = _find(pathlib.Path(path).absolute())
  replicated = sharding.replicated(sharding.make_mesh())

  def load(item):
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), _stored(folder / item))
    return _restore(folder / item, like)

  variables = load('variables')
  if (folder / 'ema').exists():
    params = traverse_util.flatten_dict(variables['params'], sep='/')
    variables['params'] = traverse_util.unflatten_dict({**params, **load('ema')}, sep='/')
  return variables, _read_metadata(folder)


def read_metadata(path: str) -> Metadata:
  """Reads a checkpoint's metadata; `path` as for `load_for_inference`."""
  return _read_metadata(_find(pathlib.Path(path).absolute()))


def initialize_from(state: TrainState, path: str, trainable: Any, anew: Sequence[str] = ()) -> TrainState:
  """Replaces variables of `state` by those of the checkpoint at `path` if names and shapes agree.

  The others keep their random values and are logged. Averaged parameters start from the loaded ones.

  Args:
    state: initial state of the model to train.
    path: as for `load_for_inference`.
    trainable: a tree of bool like `state.params`.
    anew: patterns of names that are not loaded, such as 'params/box_head/logits/*'.

  Raises:
    ValueError: nothing agrees, or an array that this training does not change is not loaded.
  """
  variables, _ = load_for_inference(path)
  loaded = traverse_util.flatten_dict(variables, sep='/')
  loaded = {name: x for name, x in loaded.items() if not any(fnmatch.fnmatch(name, pattern) for pattern in anew)}
  fixed = {f'params/{name}' for name, is_trained in _flat(trainable).items() if not is_trained}
  taken: list[str] = []
  missing: dict[str, str] = {}  # by name: the shape here, and in the checkpoint

  def choose(key_path, value):
    name = path_name(key_path)
    if name in loaded and loaded[name].shape == value.shape:
      taken.append(name)
      return loaded[name].astype(value.dtype)
    found = f'there {loaded[name].shape}' if name in loaded else 'not there'
    missing[name] = f'{name} {value.shape}: {found}'
    return value

  new = jax.tree_util.tree_map_with_path(choose, {'params': state.params, **state.collections})
  if not taken:
    raise ValueError(
      f'train.init_from: no parameter of {path} has a name and shape of this model, e.g. {next(iter(missing.values()))}'
    )
  if unset := [line for name, line in missing.items() if name in fixed]:
    raise ValueError(
      f'train.init_from: {len(unset)} arrays that this training does not change are not in {path} as they should be, '
      f'and would stay random: {"; ".join(unset[:3])}'
    )
  logging.info('loaded %d of %d arrays from %s', len(taken), len(taken) + len(missing), path)
  for line in missing.values():
    logging.info('  not loaded: %s', line)
  for name in sorted(set(loaded) - set(taken)):
    logging.info('  not used: %s %s', name, loaded[name].shape)
  ema = state.ema_params
  if ema is not None:
    flat = traverse_util.flatten_dict(new['params'], sep='/')
    # A copy: the step donates its state, and no buffer may be donated twice.
    ema = _unflat({name: flat[name].copy() for name in _flat(ema)}, like=ema)
  return state.replace(ema_params=ema, **new)


def _flat(tree: Any) -> dict[str, Any]:
  """Flattens a tree to {path: leaf}, so that Orbax need not know optax's containers."""
  return {path_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def _unflat(flat: Mapping[str, Any], like: Any) -> Any:
  return jax.tree.unflatten(jax.tree.structure(like), [flat[name] for name in _flat(like)])


def _restore(folder: pathlib.Path, like: Any) -> Any:
  """Restores the arrays of one item with the shardings of `like`, after comparing names and shapes."""
  stored, wanted = _flat(_stored(folder)), _flat(like)
  for name in sorted(stored | wanted):
    if name not in stored:
      raise ValueError(f"{folder} has no '{name}' {wanted[name].shape}, which the model has")
    if name not in wanted:
      raise ValueError(f"{folder} has '{name}' {stored[name].shape}, which the model has not")
    if tuple(stored[name].shape) != tuple(wanted[name].shape):
      raise ValueError(f"{folder}: '{name}' is {tuple(stored[name].shape)}, in the model it is {wanted[name].shape}")
  abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
  return ocp.StandardCheckpointer().restore(folder, abstract)


def _stored(folder: pathlib.Path) -> Any:
  """Tree of one item, with shapes and dtypes as leaves."""
  return ocp.StandardCheckpointHandler().metadata(epath.Path(folder)).tree


def _read_metadata(folder: pathlib.Path) -> Metadata:
  return Metadata.from_json(json.loads((folder / 'metadata' / 'metadata').read_text()))


def _steps(folder: pathlib.Path) -> Sequence[int]:
  """Steps of complete checkpoints: Orbax writes into a temporary folder and renames it when it is complete."""
  return [int(path.name) for path in folder.glob('*') if path.name.isdecimal() and _is_checkpoint(path)]


def _is_checkpoint(folder: pathlib.Path) -> bool:
  return (folder / '_CHECKPOINT_METADATA').exists() and (folder / 'variables').is_dir()


def _find(path: pathlib.Path) -> pathlib.Path:
  if _is_checkpoint(path):
    return path
  for folder in (path / 'checkpoints', path):
    if steps := _steps(folder):
      return folder / str(max(steps))
  raise FileNotFoundError(f'no checkpoint in {path}: give a workdir, a folder of checkpoints or one checkpoint')


def _categories(tree: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Category, ...]:
  """Categories of metadata; placeholders for a checkpoint that has none."""
  if tree.get('categories'):
    return tuple(Category(**category) for category in tree['categories'])
  return placeholders(config['model'].get('num_classes') or 0)


def _tuples(value: Any) -> Any:
  """Converts lists to tuples: JSON has only lists, configs only tuples."""
  if isinstance(value, dict):
    return {key: _tuples(item) for key, item in value.items()}
  return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
