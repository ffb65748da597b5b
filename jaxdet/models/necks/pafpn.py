"""Path aggregation (Liu et al., 2018): a feature pyramid with a second path, from its finest level up."""

from collections.abc import Callable

from jaxtyping import Array, Float

from jaxdet.models.necks.fpn import FPN


class PAFPN(FPN):
  """A feature pyramid whose levels get the strided convolution of the level below added, from the finest one up.

  Further submodules are `down<level>`, a 3 x 3 convolution of stride 2 whose result has this level, and `path<level>`,
  a 3 x 3 convolution of each level but the finest. Extra levels follow the second path.
  """

  def refine(
    self, pyramid: dict[int, Float[Array, 'B _ _ C']], conv: Callable[..., Array]
  ) -> dict[int, Float[Array, 'B _ _ C']]:
    finest, *others = sorted(pyramid)
    refined, below = {finest: pyramid[finest]}, pyramid[finest]
    for level in others:
      below = pyramid[level] + conv(below, stride=2, name=f'down{level}')
      refined[level] = conv(below, name=f'path{level}')
    return refined
