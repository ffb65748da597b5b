"""Box head: class logits and box deltas from pooled RoI features (Girshick, 2015).

The standard has two fully connected layers; with group norm, four convolutions and one such layer (Wu & He, 2018);
after a stage of the backbone (C4), only the mean over the RoI.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import at_least_float32
from jaxdet.models.layers.conv_norm import conv_norm
from jaxdet.models.roi_heads.classifiers import CALIBRATIONS, CosineClassifier, LinearClassifier, NormedClassifier


class ConvFCBoxHead(nn.Module):
  """Convolutions `conv0`, ..., hidden layers `fc0`, ..., then `logits` and `deltas` in float32; `calibration` if any.

  A head without box regression has no `deltas`; a task then predicts the boxes (Grid R-CNN).

  RoI features are flattened as (y, x, channel) or, without hidden layers, averaged. The class loss defines the meaning
  of the logits (losses/class_loss.py); in most, background is the last of K + 1.
  """

  num_classes: int
  num_logits: int  # K + 1, unless the class loss has other columns
  num_convs: int
  conv_channels: int
  norm: str  # of the convolutions: '' (none, with biases) or a kind of layers/norm.py
  num_fcs: int
  channels: int  # of the hidden layers
  class_agnostic: bool  # one box per RoI, not per class
  box_regression: bool = True  # False: classes only
  classifier: str = 'linear'  # or 'cosine', 'normed'; see classifiers.py
  class_bias: float = 0.0  # of a linear classifier: initial bias of the classes
  tau: float = 0.0  # of a linear classifier: exponent of its weight normalisation; 0: none
  cosine_scale: float = 20.0  # of a cosine classifier
  cosine_scale_learned: bool = True
  cosine_bias: bool = False
  calibration: str = ''  # of the logits: '', or one of CALIBRATIONS
  dtype: jnp.dtype = jnp.float32  # of the convolutions and the hidden layers

  @nn.compact
  def __call__(
    self, roi_features: Float[Array, 'B R S S C'], *, train: bool = False
  ) -> tuple[Float[Array, 'B R L'], Float[Array, 'B R K|1 4'] | None]:
    regions = roi_features.shape[:2]
    x = roi_features.reshape(-1, *roi_features.shape[2:])
    for i in range(self.num_convs):
      x = nn.relu(conv_norm(x, self.conv_channels, norm=self.norm, train=train, dtype=self.dtype, name=f'conv{i}'))
    x = x.reshape(*regions, -1) if self.num_fcs else at_least_float32(x).mean((1, 2)).reshape(*regions, -1)
    for i in range(self.num_fcs):
      init = nn.initializers.xavier_uniform()
      x = nn.relu(nn.Dense(self.channels, kernel_init=init, dtype=self.dtype, name=f'fc{i}')(x))
    x = at_least_float32(x)
    logits = self._classifier()(x)
    if self.calibration:
      logits = self._calibration()(logits, x)
    if not self.box_regression:
      return logits, None
    boxes = 1 if self.class_agnostic else self.num_classes
    deltas = nn.Dense(4 * boxes, kernel_init=nn.initializers.normal(0.001), name='deltas')(x)
    return logits, deltas.reshape(*regions, boxes, 4)

  def _classifier(self) -> nn.Module:
    if self.classifier == 'linear':
      return LinearClassifier(self.num_classes, self.num_logits, self.class_bias, self.tau, name='logits')
    if self.classifier == 'cosine':
      settings = self.cosine_scale, self.cosine_scale_learned, self.cosine_bias
      return CosineClassifier(self.num_logits, *settings, name='logits')
    if self.classifier == 'normed':
      return NormedClassifier(self.num_logits, name='logits')
    raise ValueError(f"unknown classifier '{self.classifier}' of a box head: choose linear, cosine or normed")

  def _calibration(self) -> nn.Module:
    if self.calibration not in CALIBRATIONS:
      raise ValueError(f"unknown calibration '{self.calibration}' of a box head: choose {', '.join(CALIBRATIONS)}")
    return CALIBRATIONS[self.calibration](self.num_classes, name='calibration')
