"""Samplers of training images, as factors: the expected number of times that an epoch shows an image.

With f the share of images with a category, and t the threshold, 1e-3 for LVIS:

- 'uniform': each image once.
- 'repeat_factor': LVIS (Gupta et al. 2019, appendix B.2), as in Detectron2. A category's factor is
  max(1, sqrt(t / f)), an image's the largest of its categories' factors.
- 'instance_repeat_factor': IRFS (Yaman et al. 2023). The same, with f replaced by the geometric mean of f and the
  category's share of all objects.
- 'class_balanced': draws a category uniformly among those with images, then one of its images uniformly (Shen et al.
  2016; Kang et al. 2020). With N draws, C categories and n images of a category, an image is drawn N / (C n) times for
  it: the category's factor. An image's factor is the sum of its categories' factors. All factors sum to N.
"""

import numpy as np
from jaxtyping import Float32, Float64

from input_pipeline.class_counts import ClassCounts, classes_of_images, count_classes
from jaxdet.annotations.ragged import Ragged

SAMPLERS = ('repeat_factor', 'instance_repeat_factor', 'class_balanced', 'uniform')


def check_sampler(name: str) -> None:
  """Raises a ValueError for an unknown sampler."""
  if name not in SAMPLERS:
    raise ValueError(f"unknown data.sampler.name '{name}': choose one of {', '.join(SAMPLERS)}")


def image_factors(labels: Ragged, num_categories: int, sampler: str, threshold: float) -> Float32[np.ndarray, 'images']:
  """Computes the factor of every image.

  Images without labels have factor 1; 'class_balanced' never draws them.

  Args:
    labels: labels of every image's objects, with or without repetitions.
    sampler: one of SAMPLERS.
    threshold: of the repeat factors; the other samplers have none.

  Raises:
    ValueError: the sampler is 'class_balanced', and no image has a label.
  """
  of_category = category_factors(count_classes(labels, num_categories), sampler, threshold)
  images, categories = classes_of_images(labels, num_categories)
  if sampler == 'class_balanced':
    if not len(images):
      raise ValueError("data.sampler.name 'class_balanced': no training image has an object")
    factors = np.bincount(images, of_category[categories], len(labels))
  else:
    factors = np.ones(len(labels))
    np.maximum.at(factors, images, of_category[categories])
  return factors.astype(np.float32)


def category_factors(counts: ClassCounts, sampler: str, threshold: float) -> Float64[np.ndarray, 'categories']:
  """Computes each category's factor; 1 for a category without images."""
  images = np.maximum(counts.images, 1)
  share = images / counts.num_images
  if sampler == 'repeat_factor':
    factors = _repeat_factors(share, threshold)
  elif sampler == 'instance_repeat_factor':
    share_of_objects = np.maximum(counts.instances, 1) / max(counts.instances.sum(), 1)
    factors = _repeat_factors(np.sqrt(share * share_of_objects), threshold)
  elif sampler == 'class_balanced':
    factors = 1 / (np.count_nonzero(counts.images) * share) if counts.images.any() else np.ones(len(images))
  else:
    factors = np.ones(len(images))
  return np.where(counts.images > 0, factors, 1.0)


def _repeat_factors(share: Float64[np.ndarray, 'categories'], threshold: float) -> Float64[np.ndarray, 'categories']:
  return np.maximum(1.0, np.sqrt(threshold / share))
