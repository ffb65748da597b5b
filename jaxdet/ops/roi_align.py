"""RoIAlign on one feature map and on a pyramid (He et al. 2017, Mask R-CNN; Lin et al. 2017, FPN).

The operator is that of Detectron2, torchvision and mmcv, sample for sample. This file chooses between three forms with
one result: `roi_align_matmul` for accelerators, `roi_align_window` for CPUs, and `roi_align_gather` for GPUs, which is
not chosen yet because it has not been measured on one (scripts/gpu_report.py does that).
"""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh
from jaxtyping import Array, Float, Int

from jaxdet.ops import roi_align_matmul, roi_align_window
from jaxdet.ops.on_each_device import on_each_device
from jaxdet.ops.roi_levels import pyramid_levels, roi_levels
from jaxdet.ops.roi_weights import Sampling
from jaxdet.sharding import active_data_mesh


@jax.named_scope('roi_align')
def roi_align(
  features: Float[Array, 'B H W C'],
  rois: Float[Array, 'B R 4'],
  *,
  stride: int,
  output_size: int | tuple[int, int],
  sampling_ratio: int = 0,
  aligned: bool = True,
) -> Float[Array, 'B R p q C']:
  """Averages bilinear samples of a feature map in each of p x q bins of every RoI.

  Images are the leading axis of features and RoIs; no vmap is needed. Samples more than one feature pixel outside the
  map are zero, samples less far outside are clamped to the border. A RoI without extent gives zeros if `sampling_ratio`
  is 0 and `aligned` is True. RoIs get no gradient.

  Args:
    features: any float type, also of the result; sums are float32.
    rois: xyxy in image pixels, finite.
    stride: image pixels per feature pixel.
    output_size: p = q, or (p, q) for height and width.
    sampling_ratio: samples per bin and axis; 0: as many as the bin has feature pixels, rounded up, for each RoI.
    aligned: True subtracts half a feature pixel from coordinates. False does not, and makes RoIs at least one
      feature pixel wide and high (mmdetection's legacy_1.x, Detectron2's POOLER_TYPE ROIAlign).
  """
  rois = jnp.asarray(rois, jnp.float32)
  levels = jnp.zeros(rois.shape[:-1], jnp.int32)
  sampling = _sampling(output_size, sampling_ratio, aligned)
  return _pool((jnp.asarray(features),), (stride,), rois, levels, sampling, active_data_mesh())


@jax.named_scope('roi_align')
def multilevel_roi_align(
  features: Mapping[int, Float[Array, 'B _ _ C']],
  rois: Float[Array, 'B R 4'],
  *,
  output_size: int | tuple[int, int],
  sampling_ratio: int = 0,
  aligned: bool = True,
  canonical_size: float = 224,
  canonical_level: int = 4,
) -> Float[Array, 'B R p q C']:
  """RoIAlign of each RoI on the pyramid level that suits its size.

  Args:
    features: by level l, consecutive, of stride 2**l; all are used (drop P6 before the call).
    rois, output_size, sampling_ratio, aligned: as in `roi_align`.
    canonical_size, canonical_level: as in `roi_levels`.
  """
  levels = pyramid_levels(features)
  rois = jnp.asarray(rois, jnp.float32)
  level_of_roi = roi_levels(
    rois,
    min_level=levels[0],
    max_level=levels[-1],
    canonical_size=canonical_size,
    canonical_level=canonical_level,
  )
  return _pool(
    tuple(jnp.asarray(features[l]) for l in levels),
    tuple(2**l for l in levels),
    rois,
    level_of_roi - levels[0],
    _sampling(output_size, sampling_ratio, aligned),
    active_data_mesh(),
  )


def _sampling(output_size, sampling_ratio, aligned):
  bins = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
  return Sampling(bins, sampling_ratio, aligned)


class _ByPlatform:
  """Windows on a CPU, matrix products elsewhere; chosen when the program is compiled, not when it is traced.

  So a program exported for several platforms holds both.
  """

  @staticmethod
  def pool(features, strides, rois, levels, sampling):
    def of(form):
      return lambda features, rois, levels: form.pool(features, strides, rois, levels, sampling)

    return jax.lax.platform_dependent(features, rois, levels, cpu=of(roi_align_window), default=of(roi_align_matmul))

  @staticmethod
  def backward(cotangents, shapes, strides, rois, levels, sampling):
    def of(form):
      return lambda cotangents, rois, levels: form.backward(cotangents, shapes, strides, rois, levels, sampling)

    return jax.lax.platform_dependent(cotangents, rois, levels, cpu=of(roi_align_window), default=of(roi_align_matmul))


_form = _ByPlatform


@partial(jax.custom_vjp, nondiff_argnums=(1, 4, 5))
def _pool(
  features: tuple[Float[Array, 'B _ _ C'], ...],
  strides: tuple[int, ...],
  rois: Float[Array, 'B R 4'],
  levels: Int[Array, 'B R'],
  sampling: Sampling,
  mesh: AbstractMesh | None,
) -> Float[Array, 'B R p q C']:
  # All forms loop over the RoIs of all images, which a partitioner could not divide.
  def over_images(features, rois, levels):
    return _form.pool(features, strides, rois, levels, sampling)

  return on_each_device(over_images, mesh)(features, rois, levels)


def _pool_forward(features, strides, rois, levels, sampling, mesh):
  # Of the features only shape and type are needed for the transpose; an empty slice carries both.
  return _pool(features, strides, rois, levels, sampling, mesh), (tuple(f[:0] for f in features), rois, levels)


def _pool_backward(strides, sampling, mesh, residuals, cotangents):
  features, rois, levels = residuals

  def over_images(cotangents, rois, levels):
    shapes = tuple((rois.shape[0], *f.shape[1:]) for f in features)
    backward = _form.backward(cotangents, shapes, strides, rois, levels, sampling)
    return tuple(g.astype(f.dtype) for g, f in zip(backward, features, strict=True))

  return on_each_device(over_images, mesh)(cotangents, rois, levels), jnp.zeros_like(rois), None


_pool.defvjp(_pool_forward, _pool_backward)
