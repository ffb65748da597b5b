"""The LVIS config as a user runs it on photographs: records, training steps, evaluation, pictures."""

import json

import numpy as np

import mini_photos
from input_pipeline import dataset as datasets
from jaxdet.evaluation import evaluate
from jaxdet.models.build import build_detector
from jaxdet.training import loop
from jaxdet.training.categories import set_num_classes


def test_trains_and_evaluates_on_photographs(tmp_path):
  folder = mini_photos.make_folder(tmp_path / 'data', train=12, val=6)
  # The full network on small canvases: compiling it takes most of this test.
  config = mini_photos.make_config(folder, canvases=((128, 224),)).unlock()
  config.model.dtype = 'float32'
  config.model.backbone.depth = 18
  config.model.proposals.train_proposals.post_nms_topk = config.model.proposals.test_proposals.post_nms_topk = 100
  config.model.roi.sampler.num = 32
  config.model.test.detections = 20
  config.train.update({'steps': 3, 'batch_size': 2, 'log_every': 1})
  config.eval.pictures = 2
  workdir = str(tmp_path / 'run')

  dataset = datasets.build(config.lock(), workdir)
  set_num_classes(config, dataset.categories)
  assert config.model.num_classes == 80
  detector = build_detector(config.model, config.model.num_classes)
  state = loop.train(config, workdir, dataset, detector)
  metrics = evaluate(config, detector, state.variables, dataset, workdir)

  rows = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()]
  assert [row['step'] for row in rows] == [1, 2, 3]
  assert all(np.isfinite(row['total_loss']) for row in rows)
  assert metrics['images'] == 6 and 0 <= metrics['bbox']['AP'] < 20
  assert metrics == json.loads((tmp_path / 'run' / 'metrics.json').read_text())
  assert len(list((tmp_path / 'run' / 'pictures').iterdir())) == 2
