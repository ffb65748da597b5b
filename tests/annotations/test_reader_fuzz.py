"""Whatever an annotation file holds, training and evaluation read it or refuse it clearly, and both alike."""

import os

from hypothesis import HealthCheck, given, settings

from annotation_mutations import annotation_bytes, evaluate, train, verdict

FILES = int(os.environ.get('JAXDET_FUZZ_FILES', 300))


@settings(max_examples=FILES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=annotation_bytes())
def test_every_file_is_read_or_refused_clearly_by_training_and_evaluation_alike(data, tmp_path_factory):
  path = tmp_path_factory.getbasetemp() / 'spoilt.json'
  path.write_bytes(data)
  training, evaluation = verdict(train, str(path)), verdict(evaluate, str(path))
  assert training[0] in ('accepted', 'refused'), training[1]
  assert evaluation == training
