"""Some of an annotation file's images."""

import numpy as np
import pytest
from metric_case import read_detections, score, synthetic

from jaxdet.evaluation.average_precision import average_precision
from jaxdet.evaluation.ground_truth import ground_truth
from jaxdet.evaluation.selection import PROTOCOLS


@pytest.mark.parametrize('protocol', ['lvis', 'coco', 'lvis_fixed'])
def test_a_subset_scores_as_a_file_of_these_images(protocol):
  for seed in range(5):
    data, records = synthetic(seed, images=12)
    ids = [15, 11, 12, 20, 18]
    part = data | {
      'images': [image for image in data['images'] if image['id'] in ids],
      'annotations': [entry for entry in data['annotations'] if entry['image_id'] in ids],
    }
    expected = score(part, records, protocol, 'segm')
    truth = ground_truth(data, 'whole').subset(ids)
    columns = read_detections(truth, records, PROTOCOLS[protocol])
    found = average_precision(truth, columns, PROTOCOLS[protocol], 'segm')
    np.testing.assert_array_equal(found.precision, expected.precision)
    np.testing.assert_array_equal(found.recall, expected.recall)
    assert np.isfinite(found.precision).any()
    assert truth.source == 'whole (5 images of it)'


def test_images_that_are_not_of_the_file_are_named():
  data, _ = synthetic(0)
  with pytest.raises(ValueError, match='2 of 3 images are not in val.json, among them 7, 99'):
    ground_truth(data, 'val.json').subset([99, 11, 7])
