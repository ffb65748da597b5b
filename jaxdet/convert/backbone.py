"""The rules of a backbone's own file, such as ImageNet weights, from those of a detector that has the backbone."""

import dataclasses
import os
from collections.abc import Sequence

from jaxdet.convert.rules import Rule

# A backbone's last stage may be the regions' shared head, as in C4.
PARTS = ('backbone', 'shared_head')
SHARED_HEADS = ('roi_heads.', 'roi_head.shared_head.')  # what Detectron2 and mmdetection put before its names


def is_backbone(rule: Rule) -> bool:
  """Whether an array is found in a backbone's own file too."""
  return _part(rule) in PARTS


def bare_rules(rules: Sequence[Rule]) -> list[Rule]:
  """The backbone's rules among a detector's, by the names they have in the backbone's own file."""
  names = [rule.upstream for rule in rules if _part(rule) == 'backbone']
  prefixes = (os.path.commonprefix(names).rpartition('.')[0] + '.', *SHARED_HEADS)

  def bare(rule: Rule) -> Rule:
    prefix = next((prefix for prefix in prefixes if rule.upstream.startswith(prefix)), '')
    return dataclasses.replace(rule, upstream=rule.upstream.removeprefix(prefix))

  return [bare(rule) for rule in rules if is_backbone(rule)]


def _part(rule: Rule) -> str:
  """The network that holds the array: 'backbone' of 'params/backbone/stem/conv/kernel'."""
  return rule.path.split('/')[1]
