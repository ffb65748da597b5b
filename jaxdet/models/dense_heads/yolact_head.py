"""YOLACT's head (Bolya et al., 2019): classes, boxes and mask coefficients from shared convolutions."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv

Outputs = dict[str, dict[int, Float[Array, 'B _ _ A _']]]


class YOLACTHead(nn.Module):
  """Class logits [B, H, W, A, K + 1], background last, box deltas [.., 4] and mask coefficients [.., P] in [-1, 1].

  They are returned by name, 'logits', 'box_regression' and 'coefficients', each as {level: map}. Submodules are
  `conv<i>`, `logits`, `boxes` and `coefficients`.
  """

  num_classes: int
  num_anchors: int  # per cell
  box_channels: int  # box regression channels per anchor
  num_prototypes: int  # P
  num_convs: int = 1
  channels: int = 256
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: dict[int, Float[Array, 'B _ _ C']], *, train: bool = False) -> Outputs:
    del train  # there is no norm
    init = nn.initializers.xavier_uniform()
    convs = [Conv(self.channels, kernel_init=init, dtype=self.dtype, name=f'conv{i}') for i in range(self.num_convs)]
    # float32, so that rounding makes no ties in top-k.
    last = {'kernel_init': init, 'dtype': self.dtype, 'output_dtype': jnp.promote_types(self.dtype, jnp.float32)}
    readers = {
      'logits': Conv(self.num_anchors * (self.num_classes + 1), **last, name='logits'),
      'box_regression': Conv(self.num_anchors * self.box_channels, **last, name='boxes'),
      'coefficients': Conv(self.num_anchors * self.num_prototypes, **last, name='coefficients'),
    }
    outputs = {name: {} for name in readers}
    for level, x in features.items():
      for conv in convs:
        x = nn.relu(conv(x))
      for name, conv in readers.items():
        y = conv(x)
        outputs[name][level] = y.reshape(*y.shape[:3], self.num_anchors, -1)
      outputs['coefficients'][level] = jnp.tanh(outputs['coefficients'][level])
    return outputs
